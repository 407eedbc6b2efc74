"""`uncommitted` where git cannot take all of the worktree: the rest is reviewed, and what is missing has a row."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest

from kilo_review.source.git import Git
from kilo_review.source.unread import MOVED, NESTED
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner

    Here = Callable[..., Result]

DRY = ("--dry-run", "--format", "json")
CLOSED = "it cannot be read (Permission denied)"
PLANNED = ("app.py", "planned", None)


def rows(done: Result) -> list[tuple[str, str, str | None]]:
    return sorted((row["path"], row["state"], row["reason"]) for row in done.json()["coverage"]["entries"])


def recorded(repo: Repo, path: str, content: str) -> None:
    repo.stage(path, content)
    repo.commit()


@pytest.fixture
def here(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Here:
    """The program, run in `repo` and in this process."""
    monkeypatch.chdir(repo.path)
    return partial(run_here, capsysbinary)


@pytest.fixture
def edited(repo: Repo) -> Repo:
    """`repo` with one change in `app.py` that is not staged."""
    recorded(repo, "app.py", "x = 1\n")
    repo.write("app.py", "x = 2\n")
    return repo


def test_a_nested_repository_without_a_commit_is_skipped(edited: Repo, kilo: Runner) -> None:
    edited.git("init", "-q", "nested")
    edited.write("nested/z.py", "z = 1\n")
    reply = kilo.scripted({"findings": []})
    done = kilo("uncommitted", *reply, "--format", "json", "--no-cache")
    assert (done.code, done.json()["outcome"]) == (0, "clean")
    assert rows(done) == [("app.py", "reviewed", None), ("nested", "skipped", NESTED)]
    assert rows(kilo("uncommitted", *DRY, "--", "app.py")) == [PLANNED]


def test_wherever_it_lies_and_however_it_is_called(edited: Repo, here: Here, kilo: Runner) -> None:
    recorded(edited, ".gitignore", "ignored/\n")
    names = ["a b", "deep/er/one", 'it\'s "one"', "li\nne", "\xe9"]
    for name in (*names, "ignored/one"):
        (edited.path / name).parent.mkdir(parents=True, exist_ok=True)
        edited.git("init", "-q", name)
    shown = ["a b", "deep/er/one", 'it\'s "one"', "li\\nne", "\xe9"]
    expected = sorted([PLANNED, *((name, "skipped", NESTED) for name in shown)])
    found = [(path.replace("\n", "\\n"), *rest) for path, *rest in rows(here("uncommitted", *DRY))]
    assert found == expected
    assert rows(here("uncommitted", *DRY, "--", "deep")) == [("deep/er/one", "skipped", NESTED)]
    assert rows(here("uncommitted", *DRY, "--", "deep/er/one/x.py")) == [("deep/er/one", "skipped", NESTED)]
    done = here("uncommitted", "-v", *kilo.scripted({"findings": []}), "--", "deep")
    assert done.code == 0
    assert "no findings" not in done.text


def test_the_other_kinds_of_nested_repositories_are_as_git_has_them(edited: Repo, here: Here) -> None:
    edited.git("init", "-q", "one")
    edited.git("-C", "one", "commit", "-q", "--allow-empty", "-m", "first")
    edited.git("worktree", "add", "-q", "--detach", "tree")
    edited.git("init", "-q", "--bare", "bare.git")
    edited.write("torn/.git", "gitdir: /nonexistent\n")
    edited.write("torn/x.py", "x = 1\n")
    found = {row[0]: row[1:] for row in rows(here("uncommitted", *DRY))}
    assert {found[name] for name in ("one", "tree")} == {("skipped", "submodule")}
    assert found["bare.git/HEAD"] == found["torn/x.py"] == found["app.py"] == ("planned", None)


def test_sockets_and_pipes_are_no_files_unless_they_replace_one(edited: Repo, here: Here, kilo: Runner) -> None:
    recorded(edited, "pipe.py", "x = 1\n")
    (edited.path / "pipe.py").unlink()
    for name in ("pipe.py", "new.fifo"):
        os.mkfifo(edited.path / name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(edited.path / "socket"))
    gap = ("pipe.py", "not_reviewed", "it is neither a file nor a link")
    assert rows(here("uncommitted", *DRY)) == [PLANNED, gap]
    assert rows(here("uncommitted", *DRY, "--", "app.py")) == [PLANNED]
    done = here("uncommitted", "--format", "json", "--no-cache", *kilo.scripted({"findings": []}))
    assert (done.code, done.json()["outcome"]) == (3, "incomplete")


@pytest.mark.parametrize("is_tracked", [True, False])
def test_a_file_that_disappears_meanwhile_is_gone(edited: Repo, here: Here, *, is_tracked: bool) -> None:
    if is_tracked:
        recorded(edited, "z.py", "z = 1\n")
    edited.git("config", "filter.clears.clean", "rm -f z.py; cat")
    edited.write(".git/info/attributes", "a.py filter=clears\n")
    edited.write("a.py", "a = 1\n")
    edited.write("z.py", "z = 2\n")
    expected = [("a.py", "planned", None), PLANNED, *([("z.py", "planned", None)] if is_tracked else [])]
    assert rows(here("uncommitted", *DRY)) == expected
    assert not (edited.path / "z.py").exists()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    """Have git complain, in its own words, of what it may not read; for root it may read everything."""

    def complain(complaints: str, listed: bytes) -> None:
        attempt = Git.attempt

        def attempted(git: Git, *arguments: str) -> tuple[int, bytes, str]:
            status, output, errors = attempt(git, *arguments)
            if arguments[0] == "ls-files":
                output += listed
            return status, output, complaints + errors

        monkeypatch.setattr(Git, "attempt", attempted)

    return complain


def test_a_folder_that_cannot_be_listed_is_a_gap(
    edited: Repo, here: Here, kilo: Runner, closed: Callable[[str, bytes], None]
) -> None:
    recorded(edited, "d/t.py", "t = 1\n")
    said = "".join(f"warning: could not open directory '{name}/': Permission denied\n" for name in ("secret", "d"))
    closed(said + "error: cannot lstat 'd/t.py': Permission denied\n", b"d/t.py\0d/t.py\0d/gone.py\0")
    gaps = [("d", CLOSED), ("d/gone.py", MOVED), ("d/t.py", "git could not read it"), ("secret", CLOSED)]
    assert rows(here("uncommitted", *DRY)) == [PLANNED, *((path, "not_reviewed", why) for path, why in gaps)]
    assert here("uncommitted", *kilo.scripted({"findings": []})).code == 3


def test_a_failure_of_git_itself_is_one(edited: Repo, here: Here) -> None:
    edited.git("config", "filter.fails.clean", "false")
    edited.git("config", "filter.fails.required", "true")
    edited.write(".git/info/attributes", "app.py filter=fails\n")
    done = here("uncommitted", *DRY)
    assert done.code == 3
    assert "git add failed with status 128" in done.talk
