"""Hooks as git itself starts them: real commits and pushes through scripts in `.git/hooks`.

"Trap N" is the number of a way in which git surprises the authors of hooks.
"""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner

PROGRAM = f"{shlex.quote(sys.executable)} -m kilo_review"
LIMIT = 100
"""Seconds after which something hangs; nothing here takes a tenth of it."""
GOOD = "def mean(items):\n    if not items:\n        return 0\n    return sum(items) / len(items)\n"
BUGGY = "def mean(items):\n    return sum(items) / len(items)\n"
SERVER_DOWN = {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"}
NOTHING_NEW = "kilo-review: nothing new is pushed"


@dataclass
class Hooks:
    """Installs hook scripts and tells what became of their runs."""

    folder: Path

    def install(self, repo: Repo, stage: str, before: str = "", arguments: str = '"$@"') -> None:
        """The script that our manual tells people to write; it also notes the exit code."""
        directory = repo.path / repo.out("rev-parse", "--git-path", "hooks")
        directory.mkdir(parents=True, exist_ok=True)
        script = directory / stage
        codes = shlex.quote(str(self.folder / "codes"))
        script.write_text(
            f"#!/bin/sh\n{before}\n{PROGRAM} hook {stage} {arguments}\ncode=$?\necho $code >>{codes}\nexit $code\n"
        )
        script.chmod(0o755)

    def answer(self, *replies: dict[str, Any]) -> None:
        (self.folder / "script.json").write_text(json.dumps({"replies": list(replies)}))

    def codes(self) -> list[int]:
        """Exit codes of all runs so far."""
        path = self.folder / "codes"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def report(self) -> dict[str, Any]:
        """The report of the last run, which must have been the only one since the last call."""
        path = self.folder / "report.json"
        report = json.loads(path.read_text())
        path.unlink()
        assert isinstance(report, dict)
        assert report["coverage"]["not_reviewed"] == 0
        return report

    def trees(self) -> tuple[str, str]:
        """What the last run compared."""
        target = self.report()["target"]
        return target["base"], target["head"]


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """Runs of hooks are answered by a script that finds nothing, and leave their report in a file."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    made = Hooks(folder)
    made.answer()
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setenv("KILO_REVIEW_MODEL", str(folder / "script.json"))
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "json")
    monkeypatch.setenv("KILO_REVIEW_OUTPUT", str(folder / "report.json"))
    return made


@pytest.fixture
def as_text(hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is text on standard output, as most people have it."""
    monkeypatch.delenv("KILO_REVIEW_FORMAT")
    monkeypatch.delenv("KILO_REVIEW_OUTPUT")


@pytest.fixture
def committing(repo: Repo, hooks: Hooks) -> Repo:
    """`repo` with a pre-commit hook."""
    hooks.install(repo, "pre-commit")
    return repo


@pytest.fixture
def unpushed(repo: Repo, hooks: Hooks, make_repo: Callable[..., Repo]) -> Repo:
    """`repo` with a pre-push hook and an empty remote."""
    make_repo("origin.git", "--bare")
    repo.git("remote", "add", "origin", "../origin.git")
    hooks.install(repo, "pre-push")
    return repo


@pytest.fixture
def pushing(unpushed: Repo) -> Repo:
    """`unpushed` after its first push."""
    unpushed.git("push", "-q", "-u", "--no-verify", "origin", "main")
    return unpushed


def within(repo: Repo, folder: str) -> Repo:
    """Another folder to run git in, relative to the top of `repo`."""
    return replace(repo, path=repo.path / folder)


def tree(repo: Repo, revision: str | None) -> str:
    if revision is None:
        return repo.out("hash-object", "-t", "tree", "/dev/null")
    return repo.out("rev-parse", "--verify", revision + "^{tree}")


def trees(repo: Repo, base: str | None, head: str) -> tuple[str, str]:
    return tree(repo, base), tree(repo, head)


def push(repo: Repo, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    return repo.git("push", *arguments, timeout=LIMIT, **settings)


def shown(done: subprocess.CompletedProcess[bytes]) -> str:
    """What people see: git sends all output of a pre-commit hook to standard error, that of others to both channels."""
    return (done.stdout + done.stderr).decode()


def talk(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """What the program said."""
    return [line for line in shown(done).splitlines() if line.startswith("kilo-review")]


def files(report: dict[str, Any]) -> list[str]:
    return [entry["path"] for entry in report["coverage"]["entries"]]


def at_remote(repo: Repo, name: str) -> str:
    """The id that a reference has at the remote, or nothing."""
    return repo.out("ls-remote", "origin", name).partition("\t")[0]


# Commits


def test_trap_66_a_clean_commit_is_recorded_as_it_was_reviewed(committing: Repo, hooks: Hooks) -> None:
    committing.commit(app__py=BUGGY)
    report = hooks.report()
    assert (report["outcome"], report["target"]["kind"]) == ("clean", "staged")
    assert (report["target"]["base"], report["target"]["head"]) == trees(committing, "HEAD^", "HEAD")
    assert hooks.codes() == [0]


def test_a_blocking_finding_refuses_the_commit(
    committing: Repo, hooks: Hooks, as_text: None, division: dict[str, Any]
) -> None:
    before = committing.out("rev-parse", "HEAD")
    hooks.answer({"findings": [division]})
    committing.stage("app.py", BUGGY)
    done = committing.git("commit", "-m", "bug", check=False)
    assert (done.returncode, hooks.codes()) == (1, [1])
    assert "app.py:2: critical: Division by zero [bug, blocks]" in shown(done)
    assert committing.out("rev-parse", "HEAD") == before


def test_a_finding_that_does_not_block_is_seen_and_lets_the_commit_pass(
    committing: Repo, hooks: Hooks, as_text: None, division: dict[str, Any]
) -> None:
    hooks.answer({"findings": [division | {"severity": "minor"}]})
    committing.stage("app.py", BUGGY)
    done = committing.git("commit", "-m", "small bug")
    assert hooks.codes() == [0]
    assert "app.py:2: minor: Division by zero [bug]" in shown(done)


def test_the_commit_goes_on_when_the_server_is_down(committing: Repo, hooks: Hooks, as_text: None) -> None:
    committing.stage("app.py", BUGGY)
    done = committing.git("commit", "-q", "-m", "change", env=SERVER_DOWN)
    (line,) = shown(done).splitlines()
    assert line.startswith("kilo-review: not reviewed: 1 hunk in 1 file: Ollama: cannot connect")
    assert line.endswith("(the commit goes on; left for kilo-review catch-up)")
    assert hooks.codes() == [0]
    assert committing.out("show", "HEAD:app.py") == BUGGY.strip()


def test_the_first_commit_of_a_repository(make_repo: Callable[..., Repo], hooks: Hooks) -> None:
    repo = make_repo("new")
    hooks.install(repo, "pre-commit")
    repo.commit(app__py=BUGGY)
    assert hooks.trees() == trees(repo, None, "HEAD")


def test_only_the_staged_part_of_a_file_is_reviewed(committing: Repo, hooks: Hooks) -> None:
    committing.stage("app.py", BUGGY)
    committing.write("app.py", "import os\n\n\n" + BUGGY + "\n\nunstaged = True\n")
    committing.git("commit", "-q", "-m", "part")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(committing, "HEAD^", "HEAD")
    (entry,) = report["coverage"]["entries"]
    assert (entry["path"], entry["added"], entry["removed"]) == ("app.py", 0, 2)


@pytest.mark.parametrize("how", [["-a"], ["app.py"], ["-o", "app.py"], ["-i", "app.py"]], ids=" ".join)
def test_trap_68_an_index_that_git_makes_for_one_commit_is_the_one_reviewed(
    committing: Repo, hooks: Hooks, how: list[str]
) -> None:
    committing.stage("staged.py", "staged = True\n")
    committing.write("app.py", BUGGY)
    committing.git("commit", "-q", "-m", "change", *how)
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(committing, "HEAD^", "HEAD")
    assert files(report) == ["app.py"] + ["staged.py"] * ("-a" in how or "-i" in how)
    assert hooks.codes() == [0]


def test_trap_68_a_commit_from_a_subfolder(committing: Repo, hooks: Hooks) -> None:
    committing.stage("deep/er/new.py", "new = 1\n")
    within(committing, "deep/er").commit(file__py="x = 1\n")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(committing, "HEAD^", "HEAD")
    assert files(report) == ["deep/er/file.py", "deep/er/new.py"]


@pytest.mark.parametrize("folder", [".", "deep"])
@pytest.mark.parametrize("how", [[], ["-a"]], ids=["staged", "all"])
def test_trap_68_a_linked_worktree(committing: Repo, hooks: Hooks, tmp_path: Path, folder: str, how: list[str]) -> None:
    committing.stage("only-in-main.py", "staged_elsewhere = True\n")
    committing.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = within(committing, "../linked")
    linked.stage("app.py", BUGGY)
    (linked.path / "deep").mkdir()
    within(linked, folder).git("commit", "-q", "-m", "change", *how)
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(linked, "HEAD^", "HEAD")
    assert files(report) == ["app.py"]
    assert committing.out("diff", "--cached", "--name-only") == "only-in-main.py"


@pytest.mark.parametrize("how", [[], ["-a"], ["app.py"]], ids=["staged", "all", "path"])
@pytest.mark.long
def test_trap_68_a_submodule(committing: Repo, hooks: Hooks, make_repo: Callable[..., Repo], how: list[str]) -> None:
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(committing.path), "sm")
    inner = within(outer, "sm")
    hooks.install(inner, "pre-commit")
    inner.stage("app.py", BUGGY)
    inner.git("commit", "-q", "-m", "change", *how)
    assert hooks.trees() == trees(inner, "HEAD^", "HEAD")


def test_trap_68_a_new_commit_of_a_submodule_in_the_outer_repository(
    repo: Repo, hooks: Hooks, make_repo: Callable[..., Repo]
) -> None:
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo.path), "sm")
    outer.commit()
    hooks.install(outer, "pre-commit")
    within(outer, "sm").commit(app__py=BUGGY)
    outer.git("commit", "-q", "-a", "-m", "newer")
    assert hooks.trees() == trees(outer, "HEAD^", "HEAD")


@pytest.mark.parametrize("how", [[], ["-a"], ["app.py"]], ids=["staged", "all", "path"])
def test_trap_68_git_dir_and_work_tree_given_from_elsewhere(
    committing: Repo, hooks: Hooks, tmp_path: Path, how: list[str]
) -> None:
    (committing.path / ".git").rename(tmp_path / "apart.git")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    there = ["git", f"--git-dir={tmp_path / 'apart.git'}", f"--work-tree={committing.path}"]
    committing.write("app.py", BUGGY)
    if not how:
        subprocess.run([*there, "add", "-A"], cwd=committing.path, check=True)
    where = committing.path if how == ["app.py"] else elsewhere
    subprocess.run([*there, "commit", "-q", "-m", "change", *how], cwd=where, check=True, timeout=LIMIT)
    assert hooks.trees() == trees(within(committing, "../apart.git"), "HEAD^", "HEAD")
    assert hooks.codes() == [0]


def test_trap_68_a_relative_index_named_by_the_user(committing: Repo, hooks: Hooks) -> None:
    mine = {"GIT_INDEX_FILE": ".git/mine"}
    committing.git("read-tree", "HEAD", env=mine)
    committing.write("new.py", "new = 1\n")
    committing.git("add", "new.py", env=mine)
    committing.git("commit", "-q", "-m", "through my index", env=mine)
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(committing, "HEAD^", "HEAD")
    assert files(report) == ["new.py"]


@pytest.mark.long
def test_sha256_commits(make_repo: Callable[..., Repo], hooks: Hooks) -> None:
    repo = make_repo("long", "--object-format=sha256")
    hooks.install(repo, "pre-commit")
    repo.commit(app__py=GOOD)
    assert hooks.trees() == trees(repo, None, "HEAD")
    repo.commit(app__py=BUGGY)
    base, head = hooks.trees()
    assert (base, head) == trees(repo, "HEAD^", "HEAD")
    assert len(base) == len(head) == 64


def test_an_escape_sequence_never_reaches_a_dumb_terminal(committing: Repo, hooks: Hooks, as_text: None) -> None:
    committing.stage("app.py", BUGGY)
    seen = on_terminal(committing, "git", "commit", "-q", "-m", "change")
    assert b"1 hunk in 1 file reviewed" in seen
    assert b"\x1b" not in seen


def test_nothing_moves_on_a_terminal_while_a_hook_runs(committing: Repo, hooks: Hooks, as_text: None) -> None:
    committing.stage("app.py", BUGGY)
    seen = on_terminal(committing, "git", "commit", "-q", "-m", "change", TERM="xterm-256color")
    assert b"1 hunk in 1 file reviewed" in seen
    assert re.sub(rb"\x1b\[[0-9;]*m", b"", seen).count(b"\x1b") == 0
    assert b"\r" not in seen.replace(b"\r\n", b"")


def on_terminal(repo: Repo, *command: str, **environment: str) -> bytes:
    """Output of a command whose three channels are a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=repo.path, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | environment
    )
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 65536):
            pieces.append(piece)
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    finally:
        os.close(ours)
    assert process.wait(LIMIT) == 0
    return b"".join(pieces)


# Pushes


def test_trap_66_a_clean_push_reviews_the_new_commits(pushing: Repo, hooks: Hooks) -> None:
    pushing.commit(app__py=BUGGY)
    pushing.commit(new__py="new = 1\n")
    push(pushing, "origin", "main")
    report = hooks.report()
    assert report["target"] == {
        "kind": "range",
        "base": tree(pushing, "HEAD~2"),
        "head": tree(pushing, "HEAD"),
    }
    assert files(report) == ["app.py", "new.py"]
    assert report["coverage"]["reviewed"] == 2
    assert hooks.codes() == [0]


def test_a_blocking_finding_refuses_the_push(
    pushing: Repo, hooks: Hooks, as_text: None, division: dict[str, Any]
) -> None:
    before = at_remote(pushing, "main")
    hooks.answer({"findings": [division]})
    pushing.commit(app__py=BUGGY)
    done = push(pushing, "origin", "main", check=False)
    assert (done.returncode, hooks.codes()) == (1, [1])
    assert "app.py:2: critical: Division by zero [bug, blocks]" in shown(done)
    assert at_remote(pushing, "main") == before


def test_the_push_goes_on_when_the_server_is_down(pushing: Repo, hooks: Hooks, as_text: None) -> None:
    head = pushing.commit(app__py=BUGGY)
    done = push(pushing, "-q", "origin", "main", env=SERVER_DOWN)
    (line,) = shown(done).splitlines()
    assert line.startswith("kilo-review: not reviewed: 1 hunk in 1 file: Ollama: cannot connect")
    assert line.endswith("(the push goes on; left for kilo-review catch-up)")
    assert hooks.codes() == [0]
    assert at_remote(pushing, "main") == head


def test_trap_66_a_new_branch_reviews_only_its_own_commits(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "topic")
    pushing.commit(one__py="one = 1\n")
    pushing.commit(two__py="two = 2\n")
    push(pushing, "origin", "topic")
    assert hooks.trees() == trees(pushing, "main", "topic")


def test_trap_66_a_new_branch_without_commits_of_its_own_adds_nothing(pushing: Repo, hooks: Hooks) -> None:
    done = push(pushing, "origin", "main:refs/heads/same")
    assert talk(done) == [NOTHING_NEW]
    assert hooks.codes() == [0]


def test_trap_66_a_new_branch_of_an_old_remote_branch_starts_where_it_left_it(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "base")
    pushing.commit(base__py="base = 1\n")
    push(pushing, "--no-verify", "origin", "base")
    pushing.git("switch", "-q", "-c", "topic")
    pushing.commit(topic__py="topic = 1\n")
    push(pushing, "origin", "topic")
    assert hooks.trees() == trees(pushing, "base", "topic")


def test_trap_66_the_first_push_to_an_empty_remote_reviews_everything(unpushed: Repo, hooks: Hooks) -> None:
    unpushed.commit(new__py="new = 1\n")
    push(unpushed, "origin", "main")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(unpushed, None, "main")
    assert files(report) == ["app.py", "new.py"]


def test_trap_66_an_orphan_branch_is_reviewed_whole(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "--orphan", "fresh")
    pushing.commit(fresh__py="fresh = 1\n")
    push(pushing, "origin", "fresh")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(pushing, None, "fresh")
    assert files(report) == ["fresh.py"]


def test_trap_66_a_force_push_does_not_review_the_reverse_of_what_it_drops(pushing: Repo, hooks: Hooks) -> None:
    pushing.commit(dropped__py="dropped = 1\n")
    push(pushing, "--no-verify", "origin", "main")
    pushing.git("reset", "-q", "--hard", "HEAD^")
    pushing.commit(kept__py="kept = 1\n")
    push(pushing, "--force", "origin", "main")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(pushing, "main^", "main")
    assert files(report) == ["kept.py"]


def test_trap_66_a_force_push_of_older_commits_adds_nothing(pushing: Repo, hooks: Hooks) -> None:
    pushing.commit(dropped__py="dropped = 1\n")
    push(pushing, "--no-verify", "origin", "main")
    pushing.git("reset", "-q", "--hard", "HEAD^")
    assert talk(push(pushing, "--force", "origin", "main")) == [NOTHING_NEW]
    assert hooks.codes() == [0]


@pytest.mark.long
def test_trap_66_a_force_push_after_a_rebase_reviews_only_the_branch(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "topic")
    pushing.commit(topic__py="topic = 1\n")
    push(pushing, "--no-verify", "origin", "topic")
    pushing.git("switch", "-q", "main")
    pushing.commit(others__py="work_of_others = 1\n")
    push(pushing, "--no-verify", "origin", "main")
    pushing.git("switch", "-q", "topic")
    pushing.git("rebase", "-q", "main")
    push(pushing, "--force", "origin", "topic")
    report = hooks.report()
    assert files(report) == ["topic.py"]  # not others.py, which the remote already has in main
    assert (report["target"]["base"], report["target"]["head"]) == trees(pushing, "main", "topic")


@pytest.mark.long
def test_trap_66_a_branch_that_grew_by_a_merge_is_reviewed_from_its_old_tip(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "topic")
    old = pushing.commit(topic__py="topic = 1\n")
    push(pushing, "--no-verify", "origin", "topic")
    pushing.git("switch", "-q", "-c", "side", "main")
    pushing.commit(side__py="side = 1\n")
    pushing.git("switch", "-q", "topic")
    pushing.git("merge", "-q", "--no-edit", "side")
    push(pushing, "origin", "topic")
    assert hooks.trees() == trees(pushing, old, "topic")


def test_trap_66_a_deletion_adds_nothing(pushing: Repo, hooks: Hooks) -> None:
    push(pushing, "--no-verify", "origin", "main:refs/heads/x")
    assert talk(push(pushing, "origin", ":x")) == [NOTHING_NEW]
    assert hooks.codes() == [0]
    assert at_remote(pushing, "refs/heads/x") == ""


def test_trap_66_a_deletion_beside_a_branch_leaves_the_branch_to_review(pushing: Repo, hooks: Hooks) -> None:
    push(pushing, "--no-verify", "origin", "main:refs/heads/x")
    pushing.commit(new__py="new = 1\n")
    push(pushing, "origin", ":x", "main")
    assert hooks.trees() == trees(pushing, "main^", "main")
    assert hooks.codes() == [0]


@pytest.mark.parametrize("how", [[], ["-a", "-m", "annotated"]], ids=["light", "annotated"])
def test_trap_66_a_tag_is_reviewed_as_its_commit(pushing: Repo, hooks: Hooks, how: list[str]) -> None:
    pushing.commit(new__py="new = 1\n")
    pushing.git("tag", *how, "v1")
    push(pushing, "origin", "v1")
    assert hooks.trees() == trees(pushing, "main^", "main")


def test_trap_66_a_tag_of_something_that_is_there_adds_nothing(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("tag", "-a", "-m", "annotated", "v1", "HEAD")
    assert talk(push(pushing, "origin", "v1")) == [NOTHING_NEW]
    assert hooks.codes() == [0]
    assert at_remote(pushing, "refs/tags/v1")


@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:app.py"])
def test_trap_66_a_tag_of_no_commit_is_not_reviewed_and_goes_on(pushing: Repo, hooks: Hooks, what: str) -> None:
    pushing.git("tag", "-a", "-m", "annotated", "v1", what)
    push(pushing, "origin", "v1")
    report = json.loads((hooks.folder / "report.json").read_text())
    assert (hooks.codes(), report["outcome"]) == ([0], "not_reviewed")
    assert at_remote(pushing, "refs/tags/v1")


def test_trap_66_a_push_by_sha(pushing: Repo, hooks: Hooks) -> None:
    middle = pushing.commit(new__py="new = 1\n")
    pushing.commit(later__py="later = 1\n")
    push(pushing, "origin", f"{middle}:refs/heads/main")
    assert hooks.trees() == trees(pushing, "main~2", middle)


def test_trap_66_a_push_from_a_detached_head(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "--detach")
    pushing.commit(new__py="new = 1\n")
    push(pushing, "origin", "HEAD:refs/heads/det")
    assert hooks.trees() == trees(pushing, "main", "HEAD")


def test_trap_66_a_push_by_an_expression_with_spaces(pushing: Repo, hooks: Hooks) -> None:
    middle = pushing.commit("fix the bug", new__py="new = 1\n")
    pushing.commit(later__py="later = 1\n")
    push(pushing, "origin", "HEAD^{/fix the bug}:refs/heads/main")
    assert hooks.trees() == trees(pushing, "main~2", middle)
    assert hooks.codes() == [0]


@pytest.mark.parametrize("name", ["next\u3000step", "next\u2028step", "next\u00a0step", "n\u00e4chster"], ids=ascii)
def test_trap_66_a_branch_with_an_uncommon_name(pushing: Repo, hooks: Hooks, name: str) -> None:
    pushing.git("switch", "-q", "-c", name)
    pushing.commit(new__py="new = 1\n")
    push(pushing, "origin", name)
    assert hooks.trees() == trees(pushing, "main", name)
    assert hooks.codes() == [0]


@pytest.mark.long
def test_trap_66_a_tip_of_the_remote_that_is_unknown_here(
    pushing: Repo, hooks: Hooks, make_repo: Callable[..., Repo]
) -> None:
    other = make_repo("other")
    other.git("pull", "-q", "../origin.git", "main")
    other.commit(others__py="work_of_others = 1\n")
    other.git("push", "-q", "../origin.git", "HEAD:main")
    pushing.commit(mine__py="mine = 1\n")
    push(pushing, "--force", "origin", "main")
    report = hooks.report()
    assert (report["target"]["base"], report["target"]["head"]) == trees(pushing, "main^", "main")
    assert files(report) == ["mine.py"]


@pytest.fixture
def several(pushing: Repo) -> Repo:
    """Commits on `main`, a new branch `feat` and a tag, none of them at the remote."""
    pushing.git("switch", "-q", "-c", "feat")
    pushing.commit(feat__py="feature = 1\n")
    pushing.git("switch", "-q", "main")
    pushing.commit(app__py=BUGGY)
    pushing.git("switch", "-q", "--detach", "main^")
    pushing.commit(tagged__py="tagged = 1\n")
    pushing.git("tag", "v1")
    return pushing


SEVERAL = ("main", "feat", "v1")


@pytest.mark.parametrize("culprit", ["feature = 1", "def mean", "tagged = 1"])
@pytest.mark.long
def test_trap_66_each_of_several_refs_can_refuse_the_push(
    several: Repo, hooks: Hooks, division: dict[str, Any], culprit: str
) -> None:
    where = {"feature = 1": "feat.py", "def mean": "app.py", "tagged = 1": "tagged.py"}[culprit]
    code = "return sum(items) / len(items)" if where == "app.py" else culprit
    hooks.answer({"when": culprit, "findings": [division | {"file": where, "code": code, "line": 1}]})
    done = push(several, "origin", *SEVERAL, check=False)
    assert (done.returncode, hooks.codes()) == (1, [1])
    assert at_remote(several, "feat") == ""


@pytest.mark.long
def test_trap_66_each_of_several_refs_is_reviewed(
    several: Repo, hooks: Hooks, as_text: None, division: dict[str, Any]
) -> None:
    minor = division | {"severity": "minor"}
    hooks.answer(
        {"when": "feature = 1", "findings": [minor | {"file": "feat.py", "code": "feature = 1", "line": 1}]},
        {"when": "tagged = 1", "findings": [minor | {"file": "tagged.py", "code": "tagged = 1", "line": 1}]},
        {"when": "def mean", "findings": [minor]},
    )
    said = shown(push(several, "origin", *SEVERAL))
    assert hooks.codes() == [0]
    assert sorted(re.findall(r"^(\w+\.py):\d+: minor", said, re.MULTILINE)) == ["app.py", "feat.py", "tagged.py"]


@pytest.mark.long
def test_trap_66_the_report_file_of_several_refs_tells_of_all(several: Repo, hooks: Hooks) -> None:
    push(several, "origin", *SEVERAL)
    text = (hooks.folder / "report.json").read_text()
    assert [name for name in ("app.py", "feat.py", "tagged.py") if name in text] == ["app.py", "feat.py", "tagged.py"]


def test_trap_66_refs_with_the_same_range_are_reviewed_once(pushing: Repo, hooks: Hooks, as_text: None) -> None:
    pushing.commit(app__py=BUGGY)
    pushing.git("tag", "v1")
    done = push(pushing, "origin", "main", "v1", "main:refs/heads/copy")
    assert sum("1 hunk in 1 file reviewed" in line for line in talk(done)) == 1


def test_trap_66_a_dry_run_is_reviewed_too(pushing: Repo, hooks: Hooks) -> None:
    pushing.commit(app__py=BUGGY)
    push(pushing, "--dry-run", "origin", "main")
    assert hooks.trees() == trees(pushing, "main^", "main")


def test_trap_66_a_remote_without_a_name(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "topic")
    pushing.commit(app__py=BUGGY)
    push(pushing, "../origin.git", "topic")
    assert hooks.trees() == trees(pushing, "main", "topic")


def test_trap_66_what_another_remote_has_is_still_new_to_this_one(
    pushing: Repo, hooks: Hooks, make_repo: Callable[..., Repo]
) -> None:
    make_repo("backup.git", "--bare")
    pushing.git("remote", "add", "backup", "../backup.git")
    push(pushing, "backup", "main")
    assert hooks.trees() == trees(pushing, None, "main")


def test_trap_66_another_branch_than_the_one_checked_out(pushing: Repo, hooks: Hooks) -> None:
    pushing.git("switch", "-q", "-c", "topic")
    pushing.commit(app__py=BUGGY)
    pushing.git("switch", "-q", "main")
    pushing.stage("app.py", "staged = 1\n")
    pushing.write("app.py", "unsaved = 1\n")
    push(pushing, "origin", "topic")
    assert hooks.trees() == trees(pushing, "main", "topic")


def test_trap_66_a_push_of_what_is_there_already_adds_nothing(pushing: Repo, hooks: Hooks) -> None:
    assert talk(push(pushing, "origin", "main")) == [NOTHING_NEW]
    assert hooks.codes() == [0]


def test_sha256_pushes(make_repo: Callable[..., Repo], hooks: Hooks, division: dict[str, Any]) -> None:
    repo = make_repo("long", "--object-format=sha256")
    make_repo("long.git", "--bare", "--object-format=sha256")
    repo.git("remote", "add", "origin", "../long.git")
    hooks.install(repo, "pre-push")
    repo.commit(app__py=GOOD)
    push(repo, "origin", "main")
    assert hooks.trees() == trees(repo, None, "main")
    head = repo.commit(app__py=BUGGY)
    hooks.answer({"findings": [division]})
    assert push(repo, "origin", "main", check=False).returncode == 1
    assert hooks.trees() == trees(repo, "main^", "main")
    assert push(repo, "origin", "main", check=False).returncode == 1  # nothing has changed, and no model is asked
    assert hooks.report()["usage"]["requests"] == 0
    hooks.answer()
    push(repo, "origin", "main", "main:refs/heads/new", env={"KILO_REVIEW_NO_CACHE": "1"})
    assert hooks.trees() == trees(repo, "main^", "main")
    assert talk(push(repo, "origin", ":new")) == [NOTHING_NEW]
    assert hooks.codes() == [0, 1, 1, 0, 0]
    assert at_remote(repo, "main") == head
    assert len(head) == 64


def test_trap_68_a_push_from_a_linked_worktree(pushing: Repo, hooks: Hooks, tmp_path: Path) -> None:
    pushing.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = within(pushing, "../linked")
    linked.commit(app__py=BUGGY)
    push(linked, "origin", "topic")
    assert hooks.trees() == trees(linked, "main", "topic")


def test_trap_68_a_push_from_a_submodule(pushing: Repo, hooks: Hooks, make_repo: Callable[..., Repo]) -> None:
    outer = make_repo("outer")
    origin = str(pushing.path.parent / "origin.git")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", origin, "sm")
    inner = within(outer, "sm")
    hooks.install(inner, "pre-push")
    inner.commit(app__py=BUGGY)
    push(inner, "origin", "main")
    assert hooks.trees() == trees(inner, "main^", "main")


@pytest.mark.parametrize("work_tree", [True, False])
def test_trap_68_a_push_with_git_dir_from_elsewhere(
    pushing: Repo, hooks: Hooks, tmp_path: Path, work_tree: bool
) -> None:
    pushing.commit(app__py=BUGGY)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = ["git", f"--git-dir={pushing.path}/.git", *[f"--work-tree={pushing.path}"] * work_tree]
    subprocess.run([*command, "push", "-q", "origin", "main"], cwd=elsewhere, check=True, timeout=LIMIT)
    assert hooks.trees() == trees(pushing, "main^", "main")
    assert hooks.codes() == [0]


def test_trap_68_a_push_from_a_bare_repository(pushing: Repo, hooks: Hooks, tmp_path: Path) -> None:
    pushing.commit(app__py=BUGGY)
    pushing.git("clone", "-q", "--bare", ".", "../mirror.git")
    mirror = within(pushing, "../mirror.git")
    hooks.install(mirror, "pre-push")
    push(mirror, "../origin.git", "main")
    assert hooks.trees() == trees(pushing, "main^", "main")


@pytest.mark.long
def test_trap_67_thousands_of_refs_are_read_to_the_end(pushing: Repo, hooks: Hooks) -> None:
    head = pushing.commit(app__py=BUGGY)
    many(pushing, head, 1000)  # more than a pipe holds
    push(pushing, "-q", "origin", "refs/tags/*", "main")
    assert hooks.trees() == trees(pushing, "main^", "main")
    assert hooks.codes() == [0]


@pytest.mark.long
def test_trap_67_thousands_of_refs_that_nobody_reads_do_not_break_the_push(pushing: Repo, hooks: Hooks) -> None:
    head = pushing.commit(app__py=BUGGY)
    many(pushing, head, 3000)
    push(pushing, "-q", "origin", "refs/tags/*", env={"PRE_COMMIT_FROM_REF": "main^", "PRE_COMMIT_TO_REF": "main"})
    assert hooks.trees() == trees(pushing, "main^", "main")
    assert hooks.codes() == [0]


def many(repo: Repo, head: str, count: int) -> None:
    commands = "".join(f"create refs/tags/t{number} {head}\n" for number in range(count))
    repo.git("update-ref", "--stdin", input=commands.encode())


# Standard input of the pre-push hook, and programs that stand between git and us


@pytest.fixture
def ahead(pushing: Repo) -> Repo:
    """`main` has one commit that its upstream lacks."""
    pushing.commit(app__py=BUGGY)
    return pushing


def line_of(repo: Repo, local: str = "main", remote: str = "origin/main") -> bytes:
    ids = [repo.out("rev-parse", name) for name in (local, remote)]
    return f"refs/heads/{local} {ids[0]} refs/heads/main {ids[1]}\n".encode()


def run_hook(repo: Repo, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "kilo_review", "hook", "pre-push", *(arguments or ("origin", "../origin.git"))]
    environment = os.environ | settings.pop("env", {})
    return subprocess.run(command, cwd=repo.path, capture_output=True, timeout=LIMIT, env=environment, **settings)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe; the writing one stays open."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


@pytest.mark.parametrize("said", [True, False], ids=["after git's lines", "silent"])
@pytest.mark.long
def test_trap_69_a_standard_input_that_stays_open_does_not_hang(ahead: Repo, hooks: Hooks, said: bool) -> None:
    with pipe() as (reading, writing):
        if said:
            os.write(writing, line_of(ahead))
        done = run_hook(ahead, stdin=reading)
    assert done.returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_a_standard_input_that_talks_for_ever_does_not_hang(ahead: Repo) -> None:
    talker = subprocess.Popen(["yes", "all work and no play"], stdout=subprocess.PIPE)
    try:
        done = run_hook(ahead, stdin=talker.stdout, preexec_fn=lambda: limit_memory(1 << 30))
    finally:
        talker.kill()
        talker.communicate()
    assert done.returncode == 2
    assert b"not what git gives a pre-push hook" in done.stderr


def limit_memory(most: int) -> None:
    """So that a reader without bounds dies alone."""
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.long
def test_trap_69_a_standard_input_that_drips_does_not_hang(ahead: Repo) -> None:
    dripper = subprocess.Popen(["sh", "-c", "while echo; do sleep 0.5; done"], stdout=subprocess.PIPE)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "kilo_review", "hook", "pre-push", "origin", "../origin.git"],
            cwd=ahead.path,
            stdin=dripper.stdout,
            stderr=subprocess.PIPE,
            timeout=20,
        )
    finally:
        dripper.kill()
        dripper.communicate()
    assert done.returncode == 2
    assert b"standard input is not what git gives a pre-push hook: it has no end" in done.stderr


@pytest.mark.parametrize("settings", [{"input": b""}, {"stdin": subprocess.DEVNULL}], ids=["empty", "/dev/null"])
def test_trap_69_without_gits_lines_the_upstream_tells_what_is_new(
    ahead: Repo, hooks: Hooks, settings: dict[str, Any]
) -> None:
    assert run_hook(ahead, **settings).returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_a_closed_standard_input_says_nothing(ahead: Repo, hooks: Hooks) -> None:
    command = f"exec {PROGRAM} hook pre-push origin ../origin.git <&-"
    done = subprocess.run(["sh", "-c", command], cwd=ahead.path, capture_output=True, timeout=LIMIT)
    assert b"internal error" not in done.stderr
    assert done.returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_a_terminal_is_not_waited_for(ahead: Repo, hooks: Hooks) -> None:
    on_terminal(ahead, sys.executable, "-m", "kilo_review", "hook", "pre-push", "origin", "../origin.git")
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_without_lines_and_upstream_what_the_remote_lacks_is_new(ahead: Repo, hooks: Hooks) -> None:
    ahead.git("branch", "-q", "--unset-upstream")
    assert run_hook(ahead, stdin=subprocess.DEVNULL).returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_without_lines_and_without_a_commit_there_is_nothing(
    make_repo: Callable[..., Repo], hooks: Hooks
) -> None:
    done = run_hook(make_repo("unborn"), stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr.decode().strip()) == (0, NOTHING_NEW)


MALFORMED = {
    "words": b"refs/heads/main\n",
    "two words": b"refs/heads/main refs/heads/main\n",
    "no ids": b"refs/heads/main nonsense refs/heads/main rubbish\n",
    "short ids": b"refs/heads/main 1234567 refs/heads/main 7654321\n",
    "not text": b"\xff\xfe\x00 \x80\n",
}


@pytest.mark.parametrize("lines", MALFORMED.values(), ids=MALFORMED.keys())
def test_trap_66_malformed_lines_are_a_wrong_use(ahead: Repo, lines: bytes) -> None:
    done = run_hook(ahead, input=lines)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("kilo-review: standard input is not what git gives a pre-push hook")


def test_trap_66_a_malformed_line_after_a_good_one_is_a_wrong_use(ahead: Repo) -> None:
    assert run_hook(ahead, input=line_of(ahead) + b"rubbish\n").returncode == 2


def test_trap_66_a_commit_that_is_not_here_is_never_called_nothing(ahead: Repo) -> None:
    lines = b"refs/heads/main " + b"ab" * 20 + b" refs/heads/main " + b"0" * 40 + b"\n"
    done = run_hook(ahead, input=lines)
    assert NOTHING_NEW.encode() not in done.stderr
    assert done.stderr


def test_trap_66_a_commit_hook_never_reads_its_standard_input(committing: Repo, hooks: Hooks) -> None:
    committing.stage("app.py", BUGGY)
    with pipe() as (reading, _):
        done = subprocess.run(
            [sys.executable, "-m", "kilo_review", "hook", "pre-commit"],
            cwd=committing.path,
            stdin=reading,
            capture_output=True,
            timeout=LIMIT,
        )
    assert done.returncode == 0
    assert hooks.report()["coverage"]["reviewed"] == 1


def test_trap_69_husky_a_foreign_hooks_folder_and_an_emptied_standard_input(ahead: Repo, hooks: Hooks) -> None:
    ahead.git("config", "core.hooksPath", ".husky")
    hooks.install(ahead, "pre-push", before="cat >/dev/null")
    push(ahead, "origin", "main")
    assert hooks.trees() == trees(ahead, "main^", "main")
    assert hooks.codes() == [0]


@pytest.mark.long
def test_trap_69_lefthook_no_standard_input_unless_asked_for(ahead: Repo, hooks: Hooks) -> None:
    hooks.install(ahead, "pre-push", before="exec </dev/null", arguments="")
    push(ahead, "origin", "main")
    assert hooks.trees() == trees(ahead, "main^", "main")


@pytest.mark.long
def test_trap_69_prek_the_first_pair_in_variables_and_unexpanded_arguments(ahead: Repo, hooks: Hooks) -> None:
    variables = "export PRE_COMMIT=1 PRE_COMMIT_REMOTE_NAME=$1 PRE_COMMIT_REMOTE_URL=$2\n"
    variables += "read local PRE_COMMIT_TO_REF remote PRE_COMMIT_FROM_REF\nexport PRE_COMMIT_TO_REF PRE_COMMIT_FROM_REF"
    hooks.install(ahead, "pre-push", before=variables + "\ncat >/dev/null", arguments="""'$1' '$2'""")
    push(ahead, "origin", "main")
    assert hooks.trees() == trees(ahead, "main^", "main")
    assert hooks.codes() == [0]


# The framework's variables


def by_variables(repo: Repo, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A run as the framework starts it: no arguments, nothing on standard input."""
    environment = {"PRE_COMMIT": "1"} | {f"PRE_COMMIT_{name}": value for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-m", "kilo_review", "hook", "pre-push"],
        cwd=repo.path,
        input=b"",
        capture_output=True,
        timeout=LIMIT,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("typed", [True, False], ids=["trap 54: as typed", "trap 53: ids"])
def test_from_and_to_name_the_range(ahead: Repo, hooks: Hooks, typed: bool) -> None:
    ahead.commit(new__py="new = 1\n")
    start, end = ("HEAD~2", "HEAD~1") if typed else (ahead.out("rev-parse", name) for name in ("HEAD~2", "HEAD~1"))
    assert by_variables(ahead, FROM_REF=start, TO_REF=end).returncode == 0
    assert hooks.trees() == trees(ahead, "HEAD~2", "HEAD~1")


def test_trap_53_from_is_the_old_tip_after_a_force_push(pushing: Repo, hooks: Hooks) -> None:
    old = pushing.commit(dropped__py="dropped = 1\n")
    pushing.git("reset", "-q", "--hard", "HEAD^")
    new = pushing.commit(kept__py="kept = 1\n")
    assert by_variables(pushing, FROM_REF=old, TO_REF=new, REMOTE_NAME="origin").returncode == 0
    assert hooks.trees() == trees(pushing, "main^", "main")


@pytest.mark.parametrize("branch", ["refs/heads/topic", "HEAD"])
def test_trap_53_only_the_branch_is_named_on_a_first_push(
    ahead: Repo, hooks: Hooks, make_repo: Callable[..., Repo], branch: str
) -> None:
    ahead.git("switch", "-q", "-c", "topic")
    make_repo("backup.git", "--bare")
    ahead.git("remote", "add", "backup", "../backup.git")
    named = {"LOCAL_BRANCH": branch, "REMOTE_BRANCH": "refs/heads/topic", "REMOTE_URL": "../backup.git"}
    assert by_variables(ahead, **named, REMOTE_NAME="backup").returncode == 0
    assert hooks.trees() == trees(ahead, None, "topic")


@pytest.mark.parametrize("zeros", ["", "0" * 40, "0" * 64])
def test_trap_53_an_older_framework_gives_zeros_for_a_new_branch(ahead: Repo, hooks: Hooks, zeros: str) -> None:
    ahead.git("switch", "-q", "-c", "topic")
    assert by_variables(ahead, FROM_REF=zeros, TO_REF="topic", REMOTE_NAME="origin").returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "topic")


def test_trap_54_a_stage_run_by_hand_has_no_variables(ahead: Repo, hooks: Hooks) -> None:
    assert by_variables(ahead).returncode == 0
    assert hooks.trees() == trees(ahead, "main^", "main")


def test_trap_69_variables_win_over_standard_input(ahead: Repo, hooks: Hooks) -> None:
    ahead.commit(new__py="new = 1\n")
    variables = {"PRE_COMMIT_FROM_REF": "main~1", "PRE_COMMIT_TO_REF": "main"}
    assert run_hook(ahead, input=line_of(ahead), env=variables).returncode == 0
    assert hooks.trees() == trees(ahead, "main~1", "main")


@pytest.mark.parametrize(
    "variables",
    [{"FROM_REF": "nowhere", "TO_REF": "HEAD"}, {"FROM_REF": "HEAD", "TO_REF": "--all"}, {"LOCAL_BRANCH": "gone"}],
    ids=str,
)
def test_trap_54_a_name_of_nothing_is_a_wrong_use(ahead: Repo, variables: dict[str, str]) -> None:
    done = by_variables(ahead, **variables)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("which the hook framework names, is not here (the push is stopped)")


def test_the_program_by_hand_and_the_hook_agree(ahead: Repo, hooks: Hooks, kilo: Runner) -> None:
    push(ahead, "--dry-run", "origin", "main")
    hooked = hooks.report()
    assert kilo("origin/main..main", "--no-cache").code == 0
    by_hand = hooks.report()
    assert hooked["target"] == by_hand["target"]
    assert hooked["coverage"] == by_hand["coverage"]
