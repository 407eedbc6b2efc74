"""Temporary folders of killed runs: removed by the next run, and never one that is in use, another's, or a link."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest

import kilo_review.core.deadline
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import DeadlineError
from kilo_review.source import scratch
from tests.support.here import run_here

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo

KILLED = (
    "import os, signal, sys; from kilo_review.cli.app import main; from kilo_review.review import pipeline;"
    "pipeline._select = lambda *_: os.kill(os.getpid(), signal.SIGKILL); main(sys.argv[1:])"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setenv("TMPDIR", str(made))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(kilo_review.core.deadline, "PROCESS_START", time.monotonic())
    return made


def left(place: Path, name: str = "left") -> Path:
    """A folder as a killed process leaves it."""
    made = place / f"kilo-review-{name:_<8}"
    (made / "objects" / "ab").mkdir(parents=True)
    (made / "objects" / "ab" / "cdef").write_bytes(b"x")
    (made / "objects" / "ab" / "cdef").chmod(0o444)
    (made / scratch.LOCK).touch()
    return made


def test_folders_that_stay_do_not_keep_others(place: Path) -> None:
    for number in range(2 * scratch.MOST_REMOVED):
        (place / f"kilo-review-a{number:_<7}").mkdir()  # without a lock
    made = left(place, "z")
    scratch.remove_leftovers(Deadline())
    assert not made.exists()


@pytest.mark.parametrize("command", [("hook", "pre-commit"), ("ci", "--base", "HEAD"), ("staged",)], ids=lambda c: c[0])
def test_what_a_killed_run_leaves_is_removed_by_the_next(
    buggy: Repo, place: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    if command[0] == "ci":
        buggy.git("checkout", "-q", "-b", "topic")
        base = buggy.out("rev-parse", "HEAD")
        buggy.commit("a change")
        command = ("ci", "--base", base)
    ended = subprocess.run([sys.executable, "-c", KILLED, *command], cwd=buggy.path, check=False, timeout=100)
    assert ended.returncode == -signal.SIGKILL
    assert list(place.iterdir())
    monkeypatch.chdir(buggy.path)
    run_here(capsysbinary, *command)
    assert list(place.iterdir()) == []


def test_a_folder_in_use_stays(place: Path) -> None:
    with scratch.folder() as used:
        assert scratch.remove_leftovers(Deadline()) == 0
        assert used.is_dir()
    assert list(place.iterdir()) == []


def test_a_folder_whose_lock_is_not_there_yet_stays(place: Path) -> None:
    made = left(place)
    (made / scratch.LOCK).rename(made / f"{scratch.LOCK}.new")
    assert scratch.remove_leftovers(Deadline()) == 0
    assert made.is_dir()


def test_links_are_not_followed(place: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (elsewhere / scratch.LOCK).touch()
    (place / "kilo-review-linklink").symlink_to(elsewhere)
    (left(place, "a") / "objects" / "link").symlink_to(elsewhere)
    (left(place, "b") / "file").symlink_to(elsewhere / "kept")
    linked = left(place, "c")
    (linked / scratch.LOCK).unlink()
    (linked / scratch.LOCK).symlink_to(elsewhere / scratch.LOCK)
    assert scratch.remove_leftovers(Deadline()) == 2
    assert sorted(path.name for path in place.iterdir()) == ["kilo-review-c_______", "kilo-review-linklink"]
    assert sorted(path.name for path in elsewhere.iterdir()) == [scratch.LOCK, "kept"]


def test_another_users_folder_and_other_names_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = left(place)
    made.rename(place / "other-left____")
    left(place)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert scratch.remove_leftovers(Deadline()) == 0
    assert len(list(place.iterdir())) == 2


def test_a_machine_without_a_temporary_folder_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert scratch.remove_leftovers(Deadline()) == 0


@pytest.mark.parametrize("git", ["a folder", "a file"])
def test_what_lies_in_a_worktree_stays(place: Path, git: str) -> None:
    """A repository can bring a folder that looks like ours."""
    made = left(place / "deep" / "tmp")
    tempfile.tempdir = str(made.parent)
    assert scratch.remove_leftovers(Deadline()) == 1
    made = left(place / "deep" / "tmp")
    (place / ".git").mkdir() if git == "a folder" else (place / ".git").write_text("gitdir: /elsewhere\n")
    assert scratch.remove_leftovers(Deadline()) == 0
    assert (made / scratch.LOCK).exists()


def test_a_pipe_in_place_of_the_lock_holds_nobody_up(place: Path) -> None:
    made = left(place)
    (made / scratch.LOCK).unlink()
    os.mkfifo(made / scratch.LOCK)
    assert scratch.remove_leftovers(Deadline()) == 0


def test_the_work_of_one_run_is_bounded(place: Path) -> None:
    for number in range(scratch.MOST_REMOVED + 5):
        left(place, str(number))
    assert scratch.remove_leftovers(Deadline().within(0)) == 0
    assert scratch.remove_leftovers(Deadline()) == scratch.MOST_REMOVED
    assert scratch.remove_leftovers(Deadline()) == 5


def test_what_the_time_did_not_suffice_for_is_still_known_as_a_leftover(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = left(place)
    calls: list[float] = []

    def cap(_self: Deadline, seconds: float) -> float:
        calls.append(seconds)
        if len(calls) == 2:
            raise DeadlineError("over")
        return seconds

    with monkeypatch.context() as patch:
        patch.setattr(Deadline, "cap", cap)
        assert scratch.remove_leftovers(Deadline()) == 0
    assert (made / scratch.LOCK).exists()
    assert scratch.remove_leftovers(Deadline()) == 1


def test_nothing_staged_does_not_look_for_any(
    repo: Repo, place: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    made = left(place)
    monkeypatch.chdir(repo.path)
    assert run_here(capsysbinary, "hook", "pre-commit").code == 0
    assert made.is_dir()
