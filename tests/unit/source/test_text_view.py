"""Text that git takes for binary is shown as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kilo_review.source.text_view import as_shown
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result

    Run = Callable[..., Result]

OLD = "def mean(items):\r\n    if not items:\r\n        return 0\r\n    return sum(items) / len(items)\r\n"
NEW = "def mean(items):\r\n    return sum(items) / len(items)\r\n"
ENCODINGS = ("utf-16", "utf-16-be", "utf-32")


@pytest.fixture
def run(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:  # fmt: skip
    """The program in this process, answered by a script that finds a division."""
    monkeypatch.chdir(repo.path)
    script = tmp_path / "script.json"

    def reviewed(*arguments: str, found: object = None) -> Result:
        script.write_text(json.dumps({"replies": [{"findings": [found] if found else []}]}))
        return run_here(capsysbinary, *arguments, "--provider", "scripted", "--model", str(script))

    return reviewed


def encoded(text: str, encoding: str) -> bytes:
    return (text if encoding in {"utf-16", "utf-32"} else f"\ufeff{text}").encode(encoding)


def rows(done: Result) -> list[tuple[str, int, int, int, int, str, str | None]]:
    names = ("path", "start", "end", "added", "removed", "state", "reason")
    return [tuple(row[name] for name in names) for row in done.json()["coverage"]["entries"]]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("is_proposal", [False, True])
def test_utf_16_is_reviewed_line_by_line(
    repo: Repo,
    run: Run,
    division: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    encoding: str,
    *,
    is_proposal: bool,
) -> None:
    repo.stage("wide.py", encoded(OLD, encoding))
    repo.commit("wide")
    repo.stage("wide.py", encoded(NEW, encoding))
    repo.stage("aaa.py", "x = 1\n")
    repo.stage("zzz.py", "y = 1\n")
    if is_proposal:
        monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    done = run("--format", "json", found=division | {"file": "wide.py"})
    assert rows(done) == [
        ("aaa.py", 1, 1, 1, 0, "reviewed", None),
        ("wide.py", 1, 2, 0, 2, "reviewed", None),
        ("zzz.py", 1, 1, 1, 0, "reviewed", None),
    ]
    (finding,) = done.json()["findings"]
    assert (finding["line"], finding["evidence"].rstrip()) == (2, "    return sum(items) / len(items)")


def test_new_and_deleted_files_in_folders(repo: Repo, run: Run) -> None:
    repo.stage("old/gone.sql", encoded("select 1;\n", "utf-16"))
    repo.commit("old")
    repo.git("rm", "-q", "old/gone.sql")
    repo.stage("new/here.sql", encoded("select 2;\nselect 3;\n", "utf-16"))
    assert [row[0:5] for row in rows(run("--format", "json"))] == [
        ("new/here.sql", 1, 2, 2, 0),
        ("old/gone.sql", 0, 0, 0, 1),
    ]


@pytest.mark.parametrize("before", [b"x = 1\n", None])
def test_text_with_a_nul_shows_it(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:  # fmt: skip
    if before is not None:
        repo.stage("evil.php", before)
        repo.commit("before")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    repo.stage("evil.php", b"<?php\n" + b"system($_GET['c']); // \0\n" + b"# text\n" * 20)
    assert [row[5] for row in rows(run("--format", "json"))] == ["reviewed"]
    (request,) = json.loads(run("--show-prompt", "--format", "json").stdout)
    assert "   2 + system($_GET['c']); // \ufffd" in request[1]["content"]


CANNOT_BE_SHOWN = {
    "ASCII behind a mark, which an interpreter would read": b"\xff\xfe\0\0<?php system($_GET['c']); ?>\0\0",
    "ASCII behind the mark of UTF-16": b"\xff\xfe<?php system($_GET['c']); ?>\0\0",
    "half a character": "text".encode("utf-16") + b"\0",
    "a lone surrogate": b"\xff\xfe\0\xd8a\0",
    "many NULs": b"a\0b\0c\0d\0" * 20,
    "other control characters": b"text\0\1\2" + b"# text\n" * 30,
    "a mark that stands for a NUL": "\ufffd".encode() + b"\0" + b"# text\n" * 30,
}


@pytest.mark.parametrize("content", CANNOT_BE_SHOWN.values(), ids=CANNOT_BE_SHOWN)
def test_what_cannot_be_shown_as_it_is_stays_unreviewed(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    repo.stage("evil.php", content)
    assert [row[5] for row in rows(run("--format", "json"))] == ["not_reviewed"]


@pytest.mark.parametrize("before", ["utf-8", "utf-16-be", "utf-32"])
def test_lines_that_change_with_the_encoding_are_reviewed(repo: Repo, run: Run, before: str) -> None:
    old = b"x = 1\n" if before == "utf-8" else encoded("x = 1\n", before)
    repo.stage("a.py", old)
    repo.commit("before")
    repo.stage("a.py", encoded("x = 1\ny = 2\n", "utf-16"))
    assert [row[3:6] for row in rows(run("--format", "json"))] == [(1, 0, "reviewed")]


@pytest.mark.parametrize("before", ["utf-8", "utf-16-be", "utf-32"])
def test_another_encoding_of_the_same_lines_is_not_reviewed(repo: Repo, run: Run, before: str) -> None:
    old = b"x = 1\n" if before == "utf-8" else encoded("x = 1\n", before)
    repo.stage("a.py", old)
    repo.commit("before")
    repo.stage("a.py", encoded("x = 1\n", "utf-16"))
    assert [row[3:6] for row in rows(run("--format", "json"))] == [(0, 0, "not_reviewed")]


@pytest.mark.parametrize("hidden", ["# \x01", "# \u6161\u6261\u6361\u6461\u6561"], ids=["control", "ascii"])
def test_text_in_utf_16_does_not_become_binary(repo: Repo, run: Run, hidden: str) -> None:
    repo.stage("deploy.ps1", encoded("echo 1\n", "utf-16"))
    repo.commit("before")
    repo.stage("deploy.ps1", encoded(f"echo 1\niex $args[0]\n{hidden}\n", "utf-16"))
    assert [row[5] for row in rows(run("--format", "json"))] == ["not_reviewed"]


def test_a_picture_stays_binary(repo: Repo, run: Run) -> None:
    repo.stage("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)
    assert rows(run("--format", "json")) == [("logo.png", 0, 0, 0, 0, "skipped", "binary file")]


def test_other_content_is_left_as_it_is() -> None:
    assert as_shown("a.txt", b"\xff\xfeplain text") == b"\xff\xfeplain text"
    assert as_shown("a.txt", encoded("text\n", "utf-16")) == b"text\n"
