"""Receipts outlive the model: a push passes from the memory of another model, or of other weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked, by_server, environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo

BUG = "return sum(items) / len(items)"
FOUND = {
    "file": "app.py",
    "line": 2,
    "problem": "An empty list divides by zero.",
    "severity": "critical",
    "title": "Division by zero",
    "code": BUG,
    "type": "bug",
}


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("m:1", loaded_window=8192)], ruling=AFFIRMED) as fake:
        yield fake


@pytest.fixture
def hooked(repo: Repo, tmp_path: Path, server: Ollama, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """Both hooks, a remote that has the only commit, and a bug that is staged."""
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in (environment_of(folder) | by_server(server)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KILO_REVIEW_MODEL")
    repo.git("init", "-q", "--bare", "../remote.git")
    repo.git("remote", "add", "origin", "../remote.git")
    repo.git("push", "-q", "-u", "origin", "main")
    made = Hooked(repo, folder)
    made.install("pre-commit", "pre-push")
    repo.stage("app.py", f"def mean(items):\n    {BUG}\n")
    return made


@pytest.fixture
def reviewed(hooked: Hooked, server: Ollama) -> Hooked:
    """A commit that the model saw nothing wrong with, ready to be pushed."""
    hooked.commit()
    report = hooked.report()
    assert report["outcome"] == "clean", report
    server.answer = json.dumps({"findings": [FOUND]})
    return hooked


def pushed(hooked: Hooked, **environment: str) -> tuple[int, dict[str, Any]]:
    return hooked.push(check=False, **environment).returncode, hooked.report()


@pytest.mark.long
def test_by_the_same_model_a_push_passes_from_memory(reviewed: Hooked) -> None:
    code, report = pushed(reviewed)
    assert (code, report["outcome"], report["usage"]["requests"]) == (0, "clean", 0)


@pytest.mark.long
def test_other_weights_of_the_same_name_are_asked(reviewed: Hooked, server: Ollama) -> None:
    server.models[:] = [Model("m:1", loaded_window=8192, parameters="seed 3")]
    code, report = pushed(reviewed)
    assert (code, report["blocking"], report["usage"]["requests"]) == (1, True, 2)


@pytest.mark.long
def test_another_model_of_the_same_server_is_asked(reviewed: Hooked, server: Ollama) -> None:
    server.models[:] = [Model("other:7b", loaded_window=8192)]
    code, report = pushed(reviewed)
    assert (code, report["model"]["name"], report["blocking"]) == (1, "other:7b", True)


@pytest.mark.long
def test_a_verifier_with_other_weights_is_asked(
    hooked: Hooked, server: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILO_REVIEW_VERIFY_MODEL", "judge:1")
    monkeypatch.setenv("KILO_REVIEW_MODEL", "m:1")
    server.models.append(Model("judge:1", loaded_window=8192))
    server.answer = json.dumps({"findings": [FOUND]})
    server.ruling = json.dumps({"confirmed": False, "evidence": "the caller checks"})
    hooked.commit()
    assert [each["status"] for each in hooked.report()["findings"]] == ["refuted"]
    server.ruling = AFFIRMED
    server.models[1] = Model("judge:1", loaded_window=8192, parameters="seed 3")
    code, report = pushed(hooked)
    assert (code, [each["status"] for each in report["findings"]]) == (1, ["active"])


@pytest.mark.long
def test_where_no_server_can_be_asked_it_says_on_whose_word_the_push_passes(reviewed: Hooked, server: Ollama) -> None:
    server.refuses_host = True
    code, report = pushed(reviewed)
    assert (code, report["outcome"]) == (0, "clean")
    (note,) = report["notes"]
    assert note.startswith("taken on the word of m:1 (ollama) on 20")
    assert "no model could be asked now" in note


@pytest.mark.long
def test_a_commit_from_memory_says_on_whose_word_too(reviewed: Hooked, server: Ollama) -> None:
    server.refuses_host = True
    reviewed.repo.git("reset", "-q", "--soft", "HEAD~")
    reviewed.commit()
    report = reviewed.report()
    assert report["outcome"] == "clean"
    assert any("this very change was reviewed before, by m:1 (ollama) on 20" in note for note in report["notes"])


@pytest.mark.long
def test_a_change_of_which_nothing_was_asked_needs_no_model(reviewed: Hooked, server: Ollama) -> None:
    """The legitimate case: a commit of a picture."""
    assert pushed(reviewed)[0] == 0
    reviewed.repo.stage("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    reviewed.commit()
    server.refuses_host = True
    code, report = pushed(reviewed)
    assert (code, report.get("notes", [])) == (0, [])
