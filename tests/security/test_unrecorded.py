"""Every way out of a hook that is no review leaves a record, so that `status` and `catch-up` know of the commit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kilo_review.cli.hook
import kilo_review.cli.run
import kilo_review.config
import kilo_review.core.deadline
import kilo_review.hooks.post_commit
import kilo_review.hooks.pre_push
import kilo_review.plan.scope
import kilo_review.review.cache
import kilo_review.review.commit_series
import kilo_review.review.pipeline
import kilo_review.review.reviewer
import kilo_review.review.suppression
import kilo_review.source.change
import kilo_review.source.git_state
import kilo_review.source.history
import kilo_review.source.repo
import kilo_review.source.target
from kilo_review.core.errors import DeadlineError, ModelError, SourceError
from kilo_review.source.commits import Commits
from kilo_review.source.repo import Repository
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Result

REVIEW = (
    (kilo_review.source.change, "resolve"),
    (Repository, "diff"),
    (kilo_review.source.change, "parse_diff_tree"),
    (kilo_review.plan.scope, "select"),
    (Repository, "attributes"),
    (kilo_review.review.suppression, "known"),
    (kilo_review.review.reviewer.Inquiry, "__init__"),
    (kilo_review.review.reviewer.Inquiry, "ask"),
    (kilo_review.review.reviewer.Inquiry, "_ask_all"),
    (kilo_review.review.cache, "fall_back"),
    (kilo_review.review.pipeline, "_look_for_deceit"),
    (kilo_review.review.pipeline, "merged"),
    (kilo_review.review.pipeline, "mark_blocking"),
    (kilo_review.review.cache, "record"),
)
"""What a review does, in its order."""
AT_COMMIT = (
    (kilo_review.config, "load"),
    (Commits, "_read_layout"),
    (kilo_review.cli.hook, "_tell_what_the_background_found"),
    (kilo_review.cli.run.Run, "job"),
    (Repository, "snapshot_index"),
    (Commits, "head_tree"),
    (kilo_review.source.git_state, "sequence"),
    (kilo_review.review.cache, "begin"),
    *REVIEW[1:],
)
AT_PUSH = (
    (kilo_review.config, "load"),
    (Commits, "_read_layout"),
    (kilo_review.hooks.pre_push, "read"),
    (kilo_review.hooks.pre_push, "pushed"),
    (kilo_review.source.history, "commits"),
    (kilo_review.review.commit_series, "begin"),
    (kilo_review.review.commit_series, "valid_receipts"),
    (kilo_review.review.commit_series, "_net_receipt"),
    (kilo_review.review.commit_series, "_is_net_cheaper"),
    (kilo_review.source.history, "lines_changed"),
    *REVIEW,
)
ERRORS: dict[str, Callable[[], BaseException]] = {
    "git": partial(SourceError, "git did not do it"),
    "deadline": partial(DeadlineError, "the time limit is used up"),
    "model": partial(ModelError, "there is no model"),
    "system": partial(OSError, 28, "No space left on device"),
    "bug": partial(ValueError, "nobody has thought of this"),
    "memory": MemoryError,
    "depth": RecursionError,
    "pipe": partial(SystemExit, 1),
    "signal": KeyboardInterrupt,
}


@pytest.fixture
def pushed(repo: Repo, make_repo: Callable[..., Repo], monkeypatch: pytest.MonkeyPatch) -> Iterator[Repo]:
    """A repository without hooks, whose upstream has what it has."""
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")
    monkeypatch.chdir(repo.path)
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setattr(kilo_review.core.deadline, "PROCESS_START", time.monotonic())  # each test has its own time
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        yield repo


def fails_once(patch: pytest.MonkeyPatch, place: Any, name: str, error: Callable[[], BaseException]) -> list[None]:
    """Let one step fail, the first time that it is taken; how often that was."""
    failed: list[None] = []
    original = getattr(place, name)

    def step(*arguments: Any, **named: Any) -> Any:
        if failed:
            return original(*arguments, **named)
        failed.append(None)
        raise error()

    patch.setattr(place, name, step)
    return failed


def lines_about(status: Result, repo: Repo, revision: str = "HEAD") -> list[str]:
    oid = repo.out("rev-parse", "--short=12", revision)
    return [line for line in status.text.splitlines() if line.startswith(oid)]


def cases(steps: tuple[tuple[Any, str], ...]) -> list[Any]:
    """Each step with a few errors, so that each error is met at many steps."""
    names = list(ERRORS)
    chosen = [(step, names[(number + shift) % len(names)]) for number, step in enumerate(steps) for shift in (0, 4)]
    return [
        pytest.param(place, name, error, id=f"{getattr(place, '__name__', place)}.{name}-{error}")
        for (place, name), error in chosen
    ]


@pytest.mark.parametrize(("place", "name", "error"), cases(AT_COMMIT))
def test_a_commit_that_any_step_left_unreviewed_is_on_record(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, place: Any, name: str, error: str
) -> None:
    pushed.stage("new.py", "x = 1\n")
    with monkeypatch.context() as patch:
        failed = fails_once(patch, place, name, ERRORS[error])
        done = run_here(capsysbinary, "hook", "pre-commit")
    assert failed
    assert done.code in {0, 130}
    if done.code == 0 and b"no findings" not in done.stdout:
        assert "the commit goes on" in done.talk + done.text
        assert "left for kilo-review catch-up" in done.talk + done.text
    pushed.git("commit", "-q", "-m", "unreviewed")
    pushed.git("push", "-q")
    if b"no findings" in done.stdout:
        return  # the step was taken again, or was a courtesy
    (line,) = lines_about(run_here(capsysbinary, "status"), pushed)
    assert "not reviewed" in line
    assert "(pushed already)" in line
    run_here(capsysbinary, "catch-up")
    assert "none was left out" in run_here(capsysbinary, "status").text


@pytest.mark.parametrize(("place", "name", "error"), cases(AT_PUSH))
def test_a_push_that_any_step_left_unreviewed_is_on_record(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, place: Any, name: str, error: str
) -> None:
    pushed.commit("one", a__py="a = 1\n")
    pushed.commit("two", b__py="b = 1\n")
    with monkeypatch.context() as patch:
        failed = fails_once(patch, place, name, ERRORS[error])
        done = run_here(capsysbinary, "hook", "pre-push", "origin", "url")
    assert failed
    assert done.code in {0, 130}
    pushed.git("push", "-q")
    if b"no findings" in done.stdout and b"not reviewed" not in done.stdout + done.stderr:
        return
    status = run_here(capsysbinary, "status")
    assert "not reviewed" in status.text
    assert "(pushed already)" in status.text
    run_here(capsysbinary, "catch-up")
    assert "none was left out" in run_here(capsysbinary, "status").text


@pytest.mark.parametrize("limit", ["0.001", "0.05"])
def test_a_limit_that_is_over_before_git_is_asked(pushed: Repo, capsysbinary: Any, limit: str) -> None:
    first = pushed.commit("one", a__py="a = 1\n")
    pushed.commit("two", b__py="b = 1\n")
    done = run_here(capsysbinary, "hook", "pre-push", "--max-seconds", limit, "origin", "url")
    assert done.code == 0
    assert "the push goes on; left for kilo-review catch-up" in done.talk
    pushed.git("push", "-q")
    status = run_here(capsysbinary, "status")
    assert "(pushed already)" in lines_about(status, pushed, first)[0]
    assert "2 of 2 commits not reviewed" in status.text


@pytest.mark.parametrize("words", [("-m", "amended", "--amend"), ("-m", "merged")], ids=["amend", "merge"])
def test_commits_on_more_than_head_are_found_again(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, words: tuple[str, ...]
) -> None:
    is_amend = "--amend" in words
    if is_amend:
        pushed.commit("first try", a__py="a = 1\n")
        monkeypatch.setattr(kilo_review.source.git_state, "is_amend", lambda: True)
    else:
        pushed.git("checkout", "-q", "-b", "side", "HEAD")
        pushed.commit("side", a__py="a = 1\n")
        pushed.git("checkout", "-q", "main")
        pushed.commit("main", b__py="b = 1\n")
        pushed.git("merge", "-q", "--no-commit", "--no-ff", "side")
    pushed.stage("c.py", "c = 1\n")
    with monkeypatch.context() as patch:
        fails_once(patch, Repository, "snapshot_index", ERRORS["git"])
        run_here(capsysbinary, "hook", "pre-commit")
    pushed.git("commit", "-q", *words)
    pushed.git("push", "-q")
    (line,) = lines_about(run_here(capsysbinary, "status"), pushed)
    assert "not reviewed: git did not do it" in line


def test_a_commit_that_was_tried_again_with_success_is_reviewed(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    pushed.stage("new.py", "x = 1\n")
    for place, name in ((Repository, "snapshot_index"), (Repository, "diff")):
        with monkeypatch.context() as patch:
            fails_once(patch, place, name, ERRORS["git"])
            run_here(capsysbinary, "hook", "pre-commit")
    assert run_here(capsysbinary, "hook", "pre-commit").code == 0
    pushed.git("commit", "-q", "-m", "reviewed")
    assert "1 commit, all reviewed" in run_here(capsysbinary, "status").text
    pushed.git("push", "-q")
    assert "none was left out" in run_here(capsysbinary, "status").text


def test_a_commit_that_the_push_reviewed_together_with_others_is_not_left_over(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    pushed.stage("new.py", "x = 1\n")
    with monkeypatch.context() as patch:
        fails_once(patch, Repository, "snapshot_index", ERRORS["git"])
        run_here(capsysbinary, "hook", "pre-commit")
    pushed.git("commit", "-q", "-m", "unreviewed")
    pushed.commit("undone for the most part", new__py="x = 2\n")
    assert run_here(capsysbinary, "hook", "pre-push", "origin", "url").code == 0
    pushed.git("push", "-q")
    assert "none was left out" in run_here(capsysbinary, "status").text


def test_a_killed_review_has_left_its_record_already(pushed: Repo, capsysbinary: Any) -> None:
    pushed.stage("new.py", "x = 1\n")
    code = (
        "import os, signal; from kilo_review.cli.app import main; from kilo_review.review.reviewer import Inquiry;"
        "Inquiry.ask = lambda *_: os.kill(os.getpid(), signal.SIGKILL); main(['hook', 'pre-commit'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=pushed.path, check=False, timeout=100)
    assert ended.returncode == -signal.SIGKILL
    pushed.git("commit", "-q", "-m", "by a manager that passes such a hook")
    pushed.git("push", "-q")
    (line,) = lines_about(run_here(capsysbinary, "status"), pushed)
    assert "not reviewed: its review was begun and did not end (pushed already)" in line


def test_a_review_in_the_background_that_never_began_is_on_record(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    pushed.commit("one", a__py="a = 1\n")
    monkeypatch.setattr(kilo_review.hooks.post_commit, "start", lambda *_: None)  # as if killed at once
    run_here(capsysbinary, "hook", "post-commit")
    pushed.git("push", "-q")
    assert "(pushed already)" in lines_about(run_here(capsysbinary, "status"), pushed)[0]


@pytest.mark.parametrize("error", ["git", "system", "bug", "signal"])
def test_a_hook_post_commit_that_fails_leaves_a_record(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, error: str
) -> None:
    pushed.commit("one", a__py="a = 1\n")
    with monkeypatch.context() as patch:
        fails_once(patch, kilo_review.source.git_state, "sequence", ERRORS[error])
        run_here(capsysbinary, "hook", "post-commit")
    pushed.git("push", "-q")
    assert "(pushed already)" in lines_about(run_here(capsysbinary, "status"), pushed)[0]


def test_nothing_is_kept_where_nothing_may_be_and_the_line_says_so(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    pushed.stage("new.py", "x = 1\n")
    for place, name in (
        (Repository, "snapshot_index"),
        (Repository, "diff"),
        (kilo_review.review.reviewer.Inquiry, "_ask_all"),
    ):
        with monkeypatch.context() as patch:
            fails_once(patch, place, name, ERRORS["git"])
            done = run_here(capsysbinary, "hook", "pre-commit", "--no-cache")
        assert done.code == 0
        told = done.talk + done.text
        assert "the commit goes on; left out, and not on record: nothing is remembered (cache = false)" in told
    assert not (pushed.path / ".git" / "kilo-review").exists()


def test_a_ledger_that_cannot_be_written_is_named(
    pushed: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    pushed.stage("new.py", "x = 1\n")
    (pushed.path / ".git" / "kilo-review").symlink_to(pushed.path)  # as another user's, it is not used
    for place, name in (
        (Repository, "snapshot_index"),
        (Repository, "diff"),
        (kilo_review.review.reviewer.Inquiry, "_ask_all"),
    ):
        with monkeypatch.context() as patch:
            fails_once(patch, place, name, ERRORS["git"])
            done = run_here(capsysbinary, "hook", "pre-commit")
        assert "left out, and not on record: the git directory belongs to another user" in done.talk + done.text


def test_nothing_staged_costs_no_ledger(pushed: Repo, capsysbinary: Any) -> None:
    assert run_here(capsysbinary, "hook", "pre-commit").code == 0
    assert not (pushed.path / ".git" / "kilo-review").exists()
