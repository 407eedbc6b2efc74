"""What is said where a command fails, or has nothing to do, and its exit code."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from kilo_review.cli.app import COMMANDS, REVIEWING
from kilo_review.core import deadline
from kilo_review.core.errors import SourceError
from kilo_review.source.git_errors import explain
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

    Here = Callable[..., Result]

GONE = "the working directory was removed. Change into one that is there"
NOWHERE = "No such file or directory"
ALONE = ("install", "uninstall", "init", "status", "models", "doctor", "rules", "stats", "dismissed")


@pytest.fixture
def here(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Here:
    """The program, run in `repo` and in this process."""
    monkeypatch.chdir(repo.path)
    monkeypatch.setattr(deadline, "PROCESS_START", time.monotonic())  # a hook's time is counted from there
    return partial(run_here, capsysbinary)


def test_every_command_that_reviews_is_one() -> None:
    assert set(COMMANDS) >= REVIEWING
    assert REVIEWING.isdisjoint(ALONE)


@pytest.mark.parametrize("command", ["", *ALONE, "ci", "hook pre-commit"])
def test_a_removed_working_directory_is_called_so(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = here(*command.split())
    said = {"hook pre-commit": f"not reviewed: {GONE} (the commit goes on; left out, and not on record: {NOWHERE})"}
    expected = f"{command} failed: {GONE}" if command in ALONE else said.get(command, f"not reviewed: {GONE}")
    assert (done.talk, done.text) == (f"kilo-review: {expected}\n", "")
    assert done.code == (0 if command == "hook pre-commit" else 3)


def test_what_fails_without_a_review_does_not_pass_by_the_policy_of_reviews(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILO_REVIEW_ON_UNAVAILABLE", "allow")
    monkeypatch.setenv("PATH", "/nonexistent")
    done = here("status")
    assert (done.code, done.talk.startswith("kilo-review: status failed: git was not found on PATH")) == (3, True)
    done = here()
    assert (done.code, done.talk.startswith("kilo-review: not reviewed: git was not found on PATH")) == (0, True)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("fatal: unknown repository extension found:\n\tfoo\n", "unknown repository extension found: foo"),
        ("fatal: unknown repository extensions found:\n\tfoo\n\tbar\n", "unknown repository extensions found: foo bar"),
        ("warning: x\n\ty\nerror: a\n  b\nfatal: c\nhint: d\n", "error: a b; fatal: c"),
    ],
)
def test_names_on_lines_of_their_own_are_told(said: str, told: str) -> None:
    error = explain("rev-parse", 128, said)
    assert isinstance(error, SourceError)
    assert str(error).endswith(told)


def test_an_unknown_extension_is_named(repo: Repo, here: Here) -> None:
    config = repo.path / ".git/config"
    config.write_text(config.read_text().replace("version = 0", "version = 1") + "[extensions]\n\tfoo = true\n")
    for command, words in (("install", "install failed"), ("staged", "not reviewed")):
        done = here(command)
        assert done.code == 3
        assert f"kilo-review: {words}: " in done.talk
        assert "unknown repository extension found: foo" in done.talk


def test_installing_fails_in_its_own_words(repo: Repo, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.git("config", "core.hooksPath", "")
    done = here("install")
    assert done.code == 3
    assert done.talk.startswith("kilo-review: install failed: a path in git's configuration is empty. ")
    repo.git("config", "--unset", "core.hooksPath")
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    done = here("install", "--global")
    assert done.code in {2, 3}
    assert "not reviewed" not in done.talk
    assert "Set HOME" in done.talk


def test_an_empty_home_is_none(kilo: Runner, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    done = kilo("install", "--global", env={"HOME": ""})
    assert (done.code, "Set HOME" in done.talk) == (2, True)


def test_settings_that_are_kept_nowhere_are_not_written(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = kilo("install", "--global", env={"GIT_CONFIG_GLOBAL": str(pipe)})
    assert (done.code, "which keeps no settings" in done.talk) == (2, True)
    assert pipe.is_fifo()


def test_a_hooks_path_that_is_no_folder_is_named(kilo: Runner, repo: Repo) -> None:
    repo.git("config", "core.hooksPath", "/dev/null")
    done = kilo("install")
    assert done.code == 2
    assert "core.hooksPath is /dev/null, which is no folder" in done.talk
    assert "git config --unset core.hooksPath" in done.talk


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_reader_who_leaves_does_not_make_installing_fail(repo: Repo, kilo: Runner, command: str) -> None:
    if command == "uninstall":
        kilo("install")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = kilo(command, stdout=closed)
    assert (done.code, done.talk) == (0, "")
    assert (repo.path / ".git/hooks/pre-push").exists() == (command == "install")


# Nothing to review


def test_where_nothing_is_staged_the_way_to_the_rest_is_named(repo: Repo, here: Here) -> None:
    repo.write("app.py", "x = 1\n")
    way = "; kilo-review uncommitted reviews what is not staged\n"
    assert here().text == f"kilo-review: nothing to review: nothing is staged{way}"
    assert here("--dry-run").text.endswith(f"nothing is staged{way}")
    assert here("staged", "--", "app.py").text.endswith(f"nothing changed below app.py{way}")
    assert here("hook", "pre-commit").text == "kilo-review: nothing to review: nothing is staged\n"
    assert "uncommitted" not in here("HEAD..HEAD").text


SKIPPED = "all of the change was skipped, which counts as not reviewed (--on-nothing fail)"


def test_a_change_that_selects_nothing_passes_unless_it_must_not(repo: Repo, here: Here) -> None:
    assert here("--on-nothing", "fail").code == 0  # nothing has changed
    repo.stage("poetry.lock", "1\n")
    assert here().code == here("--on-nothing", "allow").code == here("--on-nothing", "fail", "--dry-run").code == 0
    done = here("--on-nothing", "fail", "-q", "--on-unavailable", "allow")
    assert (done.code, SKIPPED in done.text) == (3, True)
    report = here("--on-nothing", "fail", "--format", "json").json()
    assert (report["exit_code"], report["outcome"], report["coverage"]["skipped"]) == (3, "not_reviewed", 1)
    assert here("hook", "pre-commit", "--on-nothing", "fail").code == 3
    assert here("hook", "pre-commit").code == 0


@pytest.mark.parametrize("source", ["setting", "variable"])
def test_it_can_be_set_elsewhere(repo: Repo, here: Here, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    repo.stage("poetry.lock", "1\n")
    if source == "setting":
        repo.write(".kilo-review.toml", 'on_nothing = "fail"\n')
    else:
        monkeypatch.setenv("KILO_REVIEW_ON_NOTHING", "fail")
    assert here().code == 3
    assert here("--on-nothing", "allow").code == 0


def test_a_part_that_is_reviewed_is_enough(repo: Repo, here: Here, kilo: Runner) -> None:
    repo.stage("poetry.lock", "1\n")
    repo.stage("app.py", "x = 1\n")
    assert here("--on-nothing", "fail", *kilo.scripted({"findings": []})).code == 0


def test_in_a_pipeline_too_and_not_for_one_share(repo: Repo, here: Here, kilo: Runner) -> None:
    repo.stage("poetry.lock", "1\n")
    base = repo.commit()
    repo.stage("poetry.lock", "2\n")
    repo.commit()
    arguments = ("--on-nothing", "fail", *kilo.scripted({"findings": []}))
    assert here("ci", "--base", base, *arguments).code == 3
    assert here("ci", "--base", base, "--shard", "1/2", *arguments).code == 0


def test_in_the_middle_of_a_rebase_it_waits(repo: Repo, here: Here) -> None:
    repo.stage("app.py", "x = 1\n")
    (repo.path / ".git/rebase-merge").mkdir()
    assert here("hook", "pre-commit", "--on-nothing", "fail").code == 0
