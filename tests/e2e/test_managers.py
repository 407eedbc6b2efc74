"""Real commits and pushes through each hook manager, in each situation that a user meets."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.hooks import pre_commit_config
from tests.conftest import manager
from tests.support.fakes.base import NOTHING_FOUND, NoAnswer
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import PROGRAM, Hooked, by_server, chats, environment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo

MANAGERS = ("raw", "pre-commit", "prek", "husky", "lefthook")
ALL_REFS = ("raw", "husky", "lefthook")
"""Those that hand all references of a push over; the others hand over one (trap 53)."""
LIMIT = 2.0
"""Seconds that a manager itself and a busy machine may take, beside our time limit plus one."""
LEFTHOOK = """\
pre-commit:
  jobs:
    - name: kilo-review
      run: kilo-review hook pre-commit
pre-push:
  jobs:
    - name: kilo-review
      run: kilo-review hook pre-push {0}
      use_stdin: true
"""


def install(hooked: Hooked, name: str) -> None:
    """As docs/hooks.md says, and committed."""
    repo = hooked.repo
    if name == "raw":
        subprocess.run([sys.executable, "-m", "kilo_review", "install"], cwd=repo.path, check=True, capture_output=True)
        return
    if name in {"pre-commit", "prek"}:
        repo.write(".pre-commit-config.yaml", pre_commit_config.added("", ("pre-commit", "pre-push")))
        program = [sys.executable, "-m", "pre_commit"] if name == "pre-commit" else [manager("prek")]
        words = [*program, "install", "-t", "pre-commit", "-t", "pre-push"]
    elif name == "husky":
        for stage in ("pre-commit", "pre-push"):
            repo.write(f".husky/{stage}", f'kilo-review hook {stage} "$@"\n')
        words = [manager("husky")]
    else:
        repo.write("lefthook.yml", LEFTHOOK)
        words = [manager("lefthook"), "install"]
    done = subprocess.run(words, cwd=repo.path, capture_output=True)
    assert done.returncode == 0, done.stderr
    repo.git("add", "-A")
    repo.git("commit", "-q", "--no-verify", "-m", "hooks")


@pytest.fixture(params=MANAGERS)
def managed(
    request: pytest.FixtureRequest,
    repo: Repo,
    make_repo: Callable[..., Repo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Hooked:
    """A repository with a remote, whose hooks belong to one of the managers; `folder.name` is its name."""
    folder = tmp_path / request.param
    folder.mkdir()
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    hooked = Hooked(repo, folder)
    install(hooked, request.param)
    repo.git("push", "-q", "--no-verify", "-u", "origin", "main")
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("KILO_REVIEW_OUTPUT")
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "text")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "kilo-review"
    program.write_text(f'#!/bin/sh\nexec {PROGRAM} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LEFTHOOK_BIN", shlex.quote(manager("lefthook")) if request.param == "lefthook" else "")
    return hooked


@pytest.fixture
def server(managed: Hooked, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ollama]:
    """What the hooks ask."""
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as server:
        monkeypatch.delenv("KILO_REVIEW_MODEL")
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        yield server


def seen(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode()


def at_remote(hooked: Hooked, name: str = "main") -> str:
    return hooked.repo.out("ls-remote", "origin", f"refs/heads/{name}").partition("\t")[0]


def finding(severity: str) -> dict[str, Any]:
    return {
        "code": "return a / b",
        "file": "new.py",
        "line": 2,
        "problem": "b may be 0.",
        "severity": severity,
        "title": "Division by zero",
        "type": "bug",
    }


@pytest.mark.long
def test_a_clean_change_goes_through(managed: Hooked, server: Ollama) -> None:
    managed.repo.stage("new.py", "x = 1\n")
    assert "no findings" in seen(managed.commit())
    assert len(chats(server)) == 1
    assert "no findings: 1 hunk in 1 file reviewed by qwen2.5-coder:7b, from memory" in seen(managed.push())
    assert len(chats(server)) == 1
    assert at_remote(managed) == managed.repo.out("rev-parse", "HEAD")
    assert len(managed.rows("SELECT * FROM receipts")) == 1


@pytest.mark.parametrize("severity", ["major", "critical"])
@pytest.mark.long
def test_a_finding_is_shown_and_blocks_by_its_severity(
    managed: Hooked, monkeypatch: pytest.MonkeyPatch, severity: str
) -> None:
    script = managed.folder / "script.json"
    script.write_text(f'{{"replies": [{{"findings": [{str(finding(severity)).replace(chr(39), chr(34))}]}}]}}')
    repo, head = managed.repo, managed.repo.out("rev-parse", "HEAD")
    repo.stage("new.py", "def f(a, b):\n    return a / b\n")
    blocks = severity == "critical"
    committed = managed.commit(check=False)
    assert (committed.returncode != 0) is blocks
    assert f"new.py:2: {severity}: Division by zero" in seen(committed)
    assert (repo.out("rev-parse", "HEAD") == head) is blocks
    if blocks:
        repo.git("commit", "-q", "--no-verify", "-m", "change")
    pushed = managed.push("origin", "main", check=False)
    assert (pushed.returncode != 0) is blocks
    assert f"new.py:2: {severity}: Division by zero" in seen(pushed)
    assert repo.out("rev-parse", "HEAD")[:12] in seen(pushed)
    assert (at_remote(managed) == head) is blocks


@pytest.mark.long
def test_a_server_that_is_down_costs_a_line(managed: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "ollama")
    monkeypatch.setenv("KILO_REVIEW_BASE_URL", "http://127.0.0.1:9")
    managed.repo.stage("new.py", "x = 1\n")
    said = seen(managed.commit())
    assert "connection refused" in said
    assert "(the commit goes on; will be reviewed at push)" in said
    assert list(managed.left()) == [managed.tree()]
    pushed = managed.push("origin", "main")
    assert "(the push goes on; left for kilo-review catch-up)" in seen(pushed)
    assert at_remote(managed) == managed.repo.out("rev-parse", "HEAD")


@pytest.mark.long
def test_a_server_that_hangs_costs_the_time_limit(managed: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("KILO_REVIEW_PROVIDER", "ollama")
        monkeypatch.setenv("KILO_REVIEW_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("KILO_REVIEW_MAX_SECONDS", str(LIMIT))
        managed.repo.stage("new.py", "x = 1\n")
        managed.commit()
    assert list(managed.left()) == [managed.tree()]


@pytest.mark.long
def test_what_the_time_did_not_allow_is_asked_at_push(
    managed: Hooked, server: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        managed.repo.stage(f"m{number}.py", f"value_{number} = 1\n" * 300)

    def answer(_body: dict[str, Any]) -> str:
        if len(chats(server)) > 1:
            raise NoAnswer
        return NOTHING_FOUND

    server.answer = answer
    said = seen(managed.commit(KILO_REVIEW_MAX_SECONDS=str(LIMIT)))
    assert "reviewed 2 of 3 hunks in 2 s" in said
    assert "; 1 will be reviewed at push" in said
    assert len(managed.rows("SELECT * FROM verdicts")) == 2
    server.answer = NOTHING_FOUND
    before = len(chats(server))
    said = seen(managed.push("origin", "main"))
    assert "3 hunks in 3 files reviewed by qwen2.5-coder:7b, 2 of them from memory" in said
    assert sum(question.count("FILE ") for question in chats(server)[before:]) == 1
    assert managed.left() == {}


@pytest.mark.long
def test_a_push_of_four_references(managed: Hooked, server: Ollama) -> None:
    repo = managed.repo
    for name in "abcd":
        repo.git("switch", "-q", "-c", name, "main")
        repo.stage(f"{name}.py", f"{name} = 1\n")
        repo.git("commit", "-q", "--no-verify", "-m", name)
    managed.push("-q", "origin", "a", "b", "c", "d")
    asked = "".join(chats(server))
    reviewed = [name for name in "abcd" if f"FILE {name}.py" in asked]
    assert reviewed == (list("abcd") if managed.folder.name in ALL_REFS else ["a"])
    assert all(at_remote(managed, name) for name in "abcd")
