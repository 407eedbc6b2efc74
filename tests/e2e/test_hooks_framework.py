"""Hooks as the pre-commit framework starts them: the real program, with our manifest, in scratch repositories.

"Trap N" is the number of a way in which git or the framework surprises the authors of hooks.
"""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.conftest import Repo

MANIFEST = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
LIMIT = 100
"""Seconds after which something hangs; nothing here takes a tenth of it."""
BUGGY = "def mean(items):\n    return sum(items) / len(items)\n"
SERVER_DOWN = {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"}
CONFIG = """\
repos:
- repo: {url}
  rev: {revision}
  hooks:
  - id: kilo-review
    language: system
  - id: kilo-review-push
    language: system
"""


@dataclass
class Framework:
    """A repository whose hooks belong to pre-commit, with ours configured in it."""

    repo: Repo
    folder: Path

    def answer(self, *replies: dict[str, Any]) -> None:
        (self.folder / "script.json").write_text(json.dumps({"replies": list(replies)}))

    def git(self, *arguments: str, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """What people see of a git command that may start hooks."""
        done = self.repo.git(*arguments, check=False, env=dict(env or {}), timeout=LIMIT)
        text = (done.stdout + done.stderr).decode()
        assert (done.returncode == 0) is check, text
        return text

    def git_to_file(self, *arguments: str) -> dict[str, Any]:
        """The report that a git command's hook wrote."""
        path = self.folder / "report.json"
        self.git(*arguments, env={"KILO_REVIEW_FORMAT": "json", "KILO_REVIEW_OUTPUT": str(path)})
        report = json.loads(path.read_text())
        path.unlink()
        assert isinstance(report, dict)
        assert report["coverage"]["not_reviewed"] == 0
        return report

    def run(self, *arguments: str) -> str:
        """What `pre-commit` itself shows, started by hand."""
        done = self.repo.git("-c", f"alias.pc=!{sys.executable} -m pre_commit", "pc", *arguments, timeout=LIMIT)
        return (done.stdout + done.stderr).decode()


@pytest.fixture
def framework(repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Framework:
    """`repo` with pre-commit installed for both stages, and a remote that has its only branch."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "pre-commit"))
    project = make_repo("project")
    shutil.copy(MANIFEST, project.path)
    project.git("add", "-A")
    revision = project.commit("our manifest")
    folder = tmp_path / "hooks"
    folder.mkdir()
    made = Framework(repo, folder)
    made.answer()
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setenv("KILO_REVIEW_MODEL", str(folder / "script.json"))
    repo.stage(".pre-commit-config.yaml", CONFIG.format(url=project.path, revision=revision))
    repo.commit("configuration")
    make_repo("origin.git", "--bare")
    repo.git("remote", "add", "origin", "../origin.git")
    repo.git("push", "-q", "-u", "origin", "main")
    install = [sys.executable, "-m", "pre_commit", "install", "-t", "pre-commit", "-t", "pre-push"]
    subprocess.run(install, cwd=repo.path, check=True, capture_output=True, timeout=LIMIT)
    return made


def compared(report: dict[str, Any]) -> tuple[str, str]:
    return report["target"]["base"], report["target"]["head"]


def trees(repo: Repo, base: str | None, head: str) -> tuple[str, str]:
    empty = repo.out("hash-object", "-t", "tree", "/dev/null")
    return repo.out("rev-parse", f"{base}^{{tree}}") if base else empty, repo.out("rev-parse", f"{head}^{{tree}}")


def quietly_commit(repo: Repo, name: str, content: str = "new = 1\n") -> str:
    """A commit that no hook sees."""
    repo.stage(name, content)
    repo.git("commit", "-q", "--no-verify", "-m", name)
    return repo.out("rev-parse", "HEAD")


# The manifest


@pytest.mark.parametrize(("identifier", "stage"), [("kilo-review", "pre-commit"), ("kilo-review-push", "pre-push")])
def test_traps_50_57_58_the_manifest_asks_for_one_visible_run_in_one_stage(identifier: str, stage: str) -> None:
    hooks = importlib.import_module("yaml").safe_load(MANIFEST.read_text())
    (hook,) = [hook for hook in hooks if hook["id"] == identifier]
    assert hook["stages"] == [stage]
    assert hook["pass_filenames"] is False
    assert hook["always_run"] is hook["require_serial"] is hook["verbose"] is True
    assert hook["language"] == "python"
    assert hook["entry"] == f"kilo-review hook {stage}"


def test_the_framework_accepts_the_manifest() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(MANIFEST)]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# Commits


@pytest.mark.long
def test_trap_50_a_clean_commit_shows_that_it_was_reviewed(framework: Framework) -> None:
    framework.repo.stage("app.py", BUGGY)
    seen = framework.git("commit", "-q", "-m", "change")
    assert seen.count("- hook id: kilo-review\n") == 1
    assert "kilo-review-push" not in seen  # trap 57
    assert "no findings: 1 hunk in 1 file reviewed" in seen


@pytest.mark.long
def test_a_blocking_finding_refuses_the_commit(framework: Framework, division: dict[str, Any]) -> None:
    before = framework.repo.out("rev-parse", "HEAD")
    framework.answer({"findings": [division]})
    framework.repo.stage("app.py", BUGGY)
    seen = framework.git("commit", "-q", "-m", "bug", check=False)
    assert "Failed\n- hook id: kilo-review\n" in seen
    assert "- exit code: 1\n" in seen
    assert "app.py:2: critical: Division by zero [bug, blocks]" in seen
    assert framework.repo.out("rev-parse", "HEAD") == before


@pytest.mark.long
def test_the_commit_goes_on_when_the_server_is_down_and_says_so(framework: Framework) -> None:
    framework.repo.stage("app.py", BUGGY)
    seen = framework.git("commit", "-q", "-m", "change", env=SERVER_DOWN)
    (line,) = [line for line in seen.splitlines() if line.startswith("kilo-review: ")]
    assert line.startswith("kilo-review: not reviewed: 1 hunk in 1 file: Ollama: cannot connect")
    assert line.endswith("(the commit goes on; will be reviewed at push)")
    assert framework.repo.out("show", "HEAD:app.py") == BUGGY.strip()


@pytest.mark.parametrize("how", [[], ["-a"], ["app.py"]], ids=["staged", "all", "path"])
@pytest.mark.long
def test_trap_52_the_index_of_the_commit_is_the_one_reviewed(framework: Framework, how: list[str]) -> None:
    repo = framework.repo
    repo.stage("staged.py", "staged = True\n")
    repo.write("app.py", BUGGY)
    report = framework.git_to_file("commit", "-q", "-m", "change", *how)
    assert compared(report) == trees(repo, "HEAD^", "HEAD")


@pytest.mark.long
def test_traps_48_49_no_tracked_file_is_changed_and_unstaged_edits_survive(framework: Framework) -> None:
    repo = framework.repo
    repo.stage("app.py", BUGGY)
    repo.write("app.py", BUGGY + "\n\nunstaged = True\n")
    seen = framework.git("commit", "-q", "-m", "part")
    assert "files were modified by this hook" not in seen
    assert repo.out("show", "HEAD:app.py") == BUGGY.strip()
    assert (repo.path / "app.py").read_text() == BUGGY + "\n\nunstaged = True\n"
    assert repo.git("status", "--porcelain").stdout == b" M app.py\n"


@pytest.mark.long
def test_trap_58_a_commit_that_only_deletes_is_looked_at(framework: Framework) -> None:
    framework.repo.git("rm", "-q", "app.py")
    report = framework.git_to_file("commit", "-q", "-m", "gone")
    assert compared(report) == trees(framework.repo, "HEAD^", "HEAD")
    assert [entry["path"] for entry in report["coverage"]["entries"]] == ["app.py"]


@pytest.mark.long
def test_trap_58_many_files_are_one_review(framework: Framework) -> None:
    for number in range(300):
        framework.repo.write(f"data/{number:0100}.py", f"number = {number}\n")
    framework.repo.git("add", "-A")
    report = framework.git_to_file("commit", "-q", "-m", "many")
    assert report["coverage"]["files"] == 300
    assert report["coverage"]["reviewed"] == 300


@pytest.mark.long
def test_trap_52_a_linked_worktree(framework: Framework, tmp_path: Path) -> None:
    repo = framework.repo
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = replace(framework, repo=replace(repo, path=tmp_path / "linked"))
    linked.repo.write("app.py", BUGGY)
    report = linked.git_to_file("commit", "-q", "-a", "-m", "change")
    assert compared(report) == trees(linked.repo, "HEAD^", "HEAD")


@pytest.mark.long
def test_all_files_by_hand_reviews_what_is_staged_and_nothing_else(framework: Framework) -> None:
    assert "nothing to review: nothing is staged" in framework.run("run", "--all-files")


# Terminals


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


@pytest.mark.long
def test_trap_51_an_escape_sequence_never_reaches_a_dumb_terminal(framework: Framework) -> None:
    framework.repo.stage("app.py", BUGGY)
    seen = on_terminal(framework.repo, "git", "commit", "-q", "-m", "change")
    assert b"no findings: 1 hunk in 1 file reviewed" in seen
    assert b"\x1b" not in seen


@pytest.mark.long
def test_trap_51_nothing_but_colour_is_captured_on_a_real_terminal(framework: Framework) -> None:
    framework.repo.stage("app.py", BUGGY)
    seen = on_terminal(framework.repo, "git", "commit", "-q", "-m", "change", TERM="xterm-256color")
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", seen)
    assert b"no findings: 1 hunk in 1 file reviewed" in plain
    assert b"\x1b" not in plain
    assert b"\r" not in plain.replace(b"\r\r\n", b"").replace(b"\r\n", b"")


# Pushes


@pytest.mark.long
def test_trap_53_a_push_reviews_exactly_the_new_commits(framework: Framework) -> None:
    repo = framework.repo
    quietly_commit(repo, "one.py")
    quietly_commit(repo, "two.py")
    assert compared(framework.git_to_file("push", "origin", "main")) == trees(repo, "HEAD~2", "HEAD")


@pytest.mark.long
def test_trap_50_a_clean_push_shows_that_it_was_reviewed(framework: Framework) -> None:
    quietly_commit(framework.repo, "app.py", BUGGY)
    seen = framework.git("push", "origin", "main")
    assert seen.count("- hook id: kilo-review-push\n") == 1
    assert "- hook id: kilo-review\n" not in seen  # trap 57
    assert "no findings: 1 hunk in 1 file reviewed" in seen


@pytest.mark.long
def test_a_blocking_finding_refuses_the_push(framework: Framework, division: dict[str, Any]) -> None:
    before = framework.repo.out("ls-remote", "origin")
    framework.answer({"findings": [division]})
    quietly_commit(framework.repo, "app.py", BUGGY)
    seen = framework.git("push", "origin", "main", check=False)
    assert "Failed\n- hook id: kilo-review-push\n" in seen
    assert "- exit code: 1\n" in seen
    assert "app.py:2: critical: Division by zero [bug, blocks]" in seen
    assert framework.repo.out("ls-remote", "origin") == before


@pytest.mark.long
def test_the_push_goes_on_when_the_server_is_down_and_says_so(framework: Framework) -> None:
    head = quietly_commit(framework.repo, "app.py", BUGGY)
    seen = framework.git("push", "origin", "main", env=SERVER_DOWN)
    (line,) = [line for line in seen.splitlines() if line.startswith("kilo-review: ")]
    assert line.endswith("(the push goes on; left for kilo-review catch-up)")
    assert framework.repo.out("ls-remote", "origin", "refs/heads/main").startswith(head)


@pytest.mark.long
def test_trap_53_a_new_branch_reviews_only_its_own_commits(framework: Framework) -> None:
    repo = framework.repo
    repo.git("switch", "-q", "-c", "topic")
    quietly_commit(repo, "one.py")
    quietly_commit(repo, "two.py")
    assert compared(framework.git_to_file("push", "origin", "topic")) == trees(repo, "main", "topic")


@pytest.mark.parametrize("what", ["main", "HEAD:refs/heads/main", "HEAD^{/configuration}:refs/heads/main"])
@pytest.mark.long
def test_trap_53_the_first_push_to_an_empty_remote_reviews_everything(
    framework: Framework, make_repo: Callable[..., Repo], what: str
) -> None:
    make_repo("empty.git", "--bare")
    framework.repo.git("remote", "add", "empty", "../empty.git")
    report = framework.git_to_file("push", "empty", what)
    assert compared(report) == trees(framework.repo, None, "main")
    assert sorted(entry["path"] for entry in report["coverage"]["entries"]) == [".pre-commit-config.yaml", "app.py"]


@pytest.mark.long
def test_trap_53_an_orphan_branch_is_reviewed_whole(framework: Framework) -> None:
    repo = framework.repo
    repo.git("switch", "-q", "--orphan", "fresh")
    repo.git("checkout", "main", "--", ".pre-commit-config.yaml")
    quietly_commit(repo, "fresh.py")
    assert compared(framework.git_to_file("push", "origin", "fresh")) == trees(repo, None, "fresh")


@pytest.mark.long
def test_trap_53_a_force_push_does_not_review_the_reverse_of_what_it_drops(framework: Framework) -> None:
    repo = framework.repo
    quietly_commit(repo, "dropped.py")
    repo.git("push", "-q", "--no-verify", "origin", "main")
    repo.git("reset", "-q", "--hard", "HEAD^")
    quietly_commit(repo, "kept.py")
    report = framework.git_to_file("push", "--force", "origin", "main")
    assert compared(report) == trees(repo, "HEAD^", "HEAD")
    assert [entry["path"] for entry in report["coverage"]["entries"]] == ["kept.py"]


@pytest.mark.long
def test_trap_53_a_force_push_after_a_rebase_reviews_only_the_branch(framework: Framework) -> None:
    repo = framework.repo
    repo.git("switch", "-q", "-c", "topic")
    quietly_commit(repo, "topic.py")
    repo.git("push", "-q", "--no-verify", "origin", "topic")
    repo.git("switch", "-q", "main")
    quietly_commit(repo, "others.py")
    repo.git("push", "-q", "--no-verify", "origin", "main")
    repo.git("switch", "-q", "topic")
    repo.git("rebase", "-q", "main")
    assert compared(framework.git_to_file("push", "--force", "origin", "topic")) == trees(repo, "main", "topic")


@pytest.mark.long
def test_trap_53_another_branch_than_the_one_checked_out(framework: Framework) -> None:
    repo = framework.repo
    repo.git("switch", "-q", "-c", "topic")
    quietly_commit(repo, "topic.py")
    repo.git("switch", "-q", "main")
    repo.stage("app.py", "staged = 1\n")
    repo.write("app.py", "unsaved = 1\n")
    assert compared(framework.git_to_file("push", "origin", "topic")) == trees(repo, "main", "topic")
    assert (repo.path / "app.py").read_text() == "unsaved = 1\n"


@pytest.mark.long
def test_trap_53_a_deletion_starts_no_review(framework: Framework) -> None:
    framework.repo.git("push", "-q", "--no-verify", "origin", "main:refs/heads/x")
    assert "kilo-review" not in framework.git("push", "origin", ":x")


@pytest.mark.long
def test_trap_54_refs_of_a_run_by_hand_are_taken_as_typed(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    quietly_commit(framework.repo, "one.py")
    quietly_commit(framework.repo, "two.py")
    quietly_commit(framework.repo, "three.py")
    path = framework.folder / "report.json"
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "json")
    monkeypatch.setenv("KILO_REVIEW_OUTPUT", str(path))
    framework.run("run", "--hook-stage", "pre-push", "--from-ref", "HEAD~2", "--to-ref", "HEAD~1")
    assert compared(json.loads(path.read_text())) == trees(framework.repo, "HEAD~2", "HEAD~1")


@pytest.mark.long
def test_trap_54_the_stage_run_by_hand_without_refs_reviews_what_the_upstream_lacks(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    quietly_commit(framework.repo, "one.py")
    path = framework.folder / "report.json"
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "json")
    monkeypatch.setenv("KILO_REVIEW_OUTPUT", str(path))
    framework.run("run", "--hook-stage", "pre-push")
    assert compared(json.loads(path.read_text())) == trees(framework.repo, "HEAD^", "HEAD")
