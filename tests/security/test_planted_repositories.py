"""Folders that a change brings and that git would take for repositories: their configuration names programs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import kilo_review
from kilo_review.cli.app import cli
from kilo_review.source.git import Git
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Result

REFUSED = "looks like a repository of its own"
OPENS_NONE = {("merge",), ("models",), ("rules",), ("init",), ("bench",), ("prompts",)}
"""Commands that say what they say without a repository; `prompts` with all that is below it."""
REQUIRED = {"identifier": "0123abcd", "folder": "made", "files": "report.json"}
TARGETS = (("uncommitted",), ("staged", "--dry-run"), ("branch",), ("HEAD",), ("HEAD~1..HEAD",), ("--show-prompt",))
SHARD = '{"version": 1}'


def leaves(command: click.Command, context: click.Context, *path: str) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every command of the program with the arguments that it cannot do without."""
    if not isinstance(command, click.Group) or (path and command.invoke_without_command):
        needed = [each for each in command.params if isinstance(each, click.Argument) and each.required]
        yield path, [REQUIRED[each.name or ""] for each in needed]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from leaves(below, click.Context(below, parent=context), *path, name)


COMMANDS = [(path, arguments) for path, arguments in leaves(cli, click.Context(cli)) if path != ("review",)]
EVERY = [*COMMANDS, *(((), list(words)) for words in TARGETS)]


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a program makes when it is started from the planted configuration."""
    return tmp_path / "executed"


@pytest.fixture
def plant(repo: Repo, mark: Path) -> Callable[..., Path]:
    """Commit a bare repository below the checkout; each program that its configuration can name leaves a mark."""

    def planted(where: str = "docs/sub", more: str = "", *, without: str = "") -> Path:
        touch = f"touch {mark}"
        hook = f"{where}/hooks/post-index-change"
        files = {
            "HEAD": "ref: refs/heads/main\n",
            "config": (
                f"[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {touch};\n\tpager = {touch};\n"
                f"\thooksPath = {repo.path / where / 'hooks'}\n\tsshCommand = {touch};\n\teditor = {touch};\n"
                f'[filter "x"]\n\tclean = {touch}; cat\n\tsmudge = {touch}; cat\n\trequired\n'
                f'[diff]\n\texternal = {touch};\n[diff "x"]\n\ttextconv = {touch};\n'
                f'[remote "origin"]\n\turl = ext::{touch}\n\tuploadpack = {touch};\n{more}'
            ),
            "info/attributes": "* filter=x diff=x\n",
            "objects/info/x": "",
            "refs/heads/x": "",
            "deep/er/file.txt": "text\n",
        }
        for name, text in files.items():
            if not without or not name.startswith(without):
                repo.stage(f"{where}/{name}", text)
        repo.write(hook, f"#!/bin/sh\n{touch}\n").chmod(0o755)
        repo.git("add", "-f", "--", hook)
        repo.git("commit", "-q", "-m", "brings a folder")
        return repo.path / where

    return planted


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Result]:
    """The program in this process, with the model that answers from a script."""
    script = tmp_path / "script.json"
    script.write_text('{"replies": []}')
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setenv("KILO_REVIEW_MODEL", str(script))

    def started(directory: Path, *arguments: str) -> Result:
        monkeypatch.chdir(directory)
        return run_here(capsysbinary, *arguments)

    return started


@pytest.fixture
def asked(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The words of each git command that is run in the checkout."""
    words: list[tuple[str, ...]] = []
    original = Git.command

    def noted(self: Git, *arguments: str) -> list[str]:
        if Path(str(self._git.working_dir)).is_relative_to(repo.path):  # the benchmark has a repository of its own
            words.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(Git, "command", noted)
    return words


def files_in(folder: Path) -> set[Path]:
    """All of them but those of the folder that a command is told to make."""
    return {each for each in folder.rglob("*") if "made" not in each.parts}


def said(result: Result) -> str:
    return result.text + result.talk


@pytest.mark.parametrize(("path", "arguments"), EVERY, ids=lambda value: " ".join(value) or "-")
def test_no_command_uses_it(
    run: Callable[..., Result],
    plant: Callable[..., Path],
    mark: Path,
    asked: list[tuple[str, ...]],
    repo: Repo,
    path: tuple[str, ...],
    arguments: list[str],
) -> None:
    """Git is asked for its version and for where the repository is, and nothing else."""
    folder = plant(more="[core]\n\tworktree = ../..\n")
    (folder / "report.json").write_text(SHARD)
    if path != ("baseline", "create"):
        repo.write(".kilo-review/baseline.json", '{"version": 1, "findings": []}')
    (folder / "file.txt").write_text("changed\n")
    before = files_in(folder)
    done = run(folder, *path, *arguments)
    assert not mark.exists()
    assert {each[0] for each in asked} <= {"--version", "rev-parse"}
    assert sum(each[0] == "rev-parse" for each in asked) <= 2
    assert files_in(folder) == before
    if path[:1] not in OPENS_NONE or path == ("bench", "mine"):
        assert REFUSED in said(done), said(done)
        assert done.code == 3 or path[:1] == ("hook",)


def test_git_is_run_elsewhere_by_those_alone_that_need_no_repository() -> None:
    """Its version, the user's own configuration, and a repository that was made this moment."""
    package = Path(kilo_review.__file__).parent
    plain = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"(?<!class )\bGit\(", path.read_text())
    }
    assert plain == {"bench/run.py", "doctor/here.py", "hooks/install.py", "hooks/place.py", "source/worktree.py"}


@pytest.mark.parametrize("words", [("install",), ("uninstall",), ("install", "--hook", "pre-push")])
def test_no_hook_is_written_where_its_configuration_says(
    run: Callable[..., Result], plant: Callable[..., Path], tmp_path: Path, words: tuple[str, ...]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pre-push").write_text("#!/bin/sh\n# the user's\n")
    done = run(plant(more=f"[core]\n\thooksPath = {elsewhere}\n\tbare = true\n"), *words)
    assert (done.code, REFUSED in done.talk) == (3, True)
    assert [(each.name, each.read_text()) for each in elsewhere.iterdir()] == [
        ("pre-push", "#!/bin/sh\n# the user's\n")
    ]


@pytest.mark.parametrize(
    ("more", "below"),
    [
        ("[core]\n\tbare = true\n", ""),
        ("[core]\n\tbare = false\n", ""),
        ("[core]\n\tworktree = .\n", ""),
        ("[core]\n\tworktree = ../..\n", "deep/er"),
        ("", "deep/er"),
        ("", "refs/heads"),
        ("[safe]\n\tbareRepository = all\n\tdirectory = *\n", ""),
    ],
)
def test_no_setting_and_no_depth_makes_it_pass(
    run: Callable[..., Result], plant: Callable[..., Path], mark: Path, more: str, below: str
) -> None:
    folder = plant(more=more)
    for words in (("uncommitted",), ("--dry-run", "HEAD"), ("status",)):
        done = run(folder / below, *words)
        assert (done.code, REFUSED in said(done)) == (3, True), said(done)
    assert not mark.exists()


def test_a_folder_in_the_form_of_a_linked_worktree_is_refused(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, mark: Path
) -> None:
    """HEAD beside `commondir`, whose folder has the rest."""
    plant("docs/common")
    for name, text in {"HEAD": "ref: refs/heads/main\n", "commondir": "../common\n", "gitdir": "../../.git\n"}.items():
        repo.stage(f"docs/linked/{name}", text)
    repo.commit("linked")
    done = run(repo.path / "docs" / "linked", "uncommitted")
    assert (done.code, REFUSED in done.talk) == (3, True)
    assert not mark.exists()


def test_one_without_objects_is_not_taken_for_one_later(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, mark: Path
) -> None:
    """Git needs no `objects` in it once the objects are elsewhere, as they are for a private copy of the index."""
    folder = plant(without="objects")
    repo.write("app.py", "x = 1\n")
    done = run(folder, "uncommitted", "--dry-run", "--format", "json")
    assert done.code == 0, done.talk
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"app.py"}
    assert not mark.exists()


def test_the_checkout_is_found_though_git_may_not_look_so_far_up(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plant()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repo.path / "docs"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    done = run(folder, "uncommitted")
    assert (done.code, REFUSED in done.talk) == (3, True)
    assert not mark.exists()


def test_in_a_submodule_and_in_a_linked_worktree_it_is_refused(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path
) -> None:
    plant()
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    repo.git("worktree", "add", "-q", "--detach", str(repo.path / ".git" / "inside"))
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.path), "module")
    for top in (tmp_path / "linked", repo.path / ".git" / "inside", outer.path / "module"):
        done = run(top / "docs" / "sub", "uncommitted")
        assert (done.code, REFUSED in done.talk) == (3, True), top
        assert run(top, "--dry-run", "HEAD").code == 0


def test_one_beside_a_damaged_repository_does_not_take_its_place(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, mark: Path
) -> None:
    for name in ("HEAD", "objects", "refs", "config", "info", "hooks"):
        assert not (repo.path / name).exists()
    folder = plant()
    for name in ("HEAD", "objects", "refs", "config", "info", "hooks"):
        (folder / name).rename(repo.path / name)
    (repo.path / ".git" / "HEAD").unlink()
    done = run(repo.path, "uncommitted")
    assert (done.code, REFUSED in done.talk) == (3, True)
    assert not mark.exists()


# What goes on working


def test_the_folder_beside_it_and_the_top_are_reviewed(
    run: Callable[..., Result], plant: Callable[..., Path], repo: Repo, mark: Path
) -> None:
    plant()
    repo.write("docs/page.py", "x = 1\n")
    for folder in (repo.path, repo.path / "docs"):
        done = run(folder, "uncommitted", "--dry-run", "--format", "json")
        assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"docs/page.py"}
    assert not mark.exists()


def test_a_bare_repository_of_the_users_own_is_reviewed(run: Callable[..., Result], repo: Repo, tmp_path: Path) -> None:
    repo.commit("second", app__py="x = 1\n")
    repo.git("clone", "-q", "--bare", str(repo.path), str(tmp_path / "own.git"))
    for folder in (tmp_path / "own.git", tmp_path / "own.git" / "refs"):
        assert run(folder, "--dry-run", "HEAD~1..HEAD").code == 0
        assert run(folder, "status").code == 0


def test_a_bare_repository_in_a_checkout_is_reviewed_when_it_is_named(
    run: Callable[..., Result], repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a hook of git's is told, or as the refusal tells."""
    repo.commit("second", app__py="x = 1\n")
    inner = repo.path / "mirrors" / "own.git"
    repo.git("clone", "-q", "--bare", str(repo.path), str(inner))
    refused = run(inner, "--dry-run", "HEAD~1..HEAD")
    assert (refused.code, REFUSED in refused.talk) == (3, True)
    named = re.search(r"GIT_DIR=(\S+)", refused.talk)
    assert named is not None
    for value in (".", named[1].rstrip(".,)")):
        monkeypatch.setenv("GIT_DIR", value)
        assert run(inner, "--dry-run", "HEAD~1..HEAD").code == 0


def test_a_clone_of_the_users_own_in_a_checkout_is_reviewed(run: Callable[..., Result], repo: Repo) -> None:
    inner = repo.path / "vendor" / "lib"
    repo.git("clone", "-q", str(repo.path), str(inner))
    (inner / "new.py").write_text("x = 1\n")
    done = run(inner, "uncommitted", "--dry-run", "--format", "json")
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"new.py"}


def test_inside_of_gits_own_folder_it_works_as_git_does(
    run: Callable[..., Result], repo: Repo, make_repo: Callable[..., Repo]
) -> None:
    repo.commit("second", app__py="x = 1\n")
    outer = make_repo("outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.path), "module")
    for folder in (repo.path / ".git", repo.path / ".git" / "hooks", outer.path / ".git" / "modules" / "module"):
        assert run(folder, "status").code == 0


def test_a_git_folder_that_lies_in_its_own_worktree_is_its_own(
    run: Callable[..., Result], repo: Repo, tmp_path: Path
) -> None:
    """`.git` is a file that names a bare repository beside it, which has the worktrees."""
    repo.commit("second", app__py="x = 1\n")
    project = tmp_path / "project"
    project.mkdir()
    repo.git("clone", "-q", "--bare", str(repo.path), str(project / ".bare"))
    (project / ".git").write_text("gitdir: ./.bare\n")
    repo.git("-C", str(project), "worktree", "add", "-q", "main-copy")
    for folder in (project, project / ".bare", project / "main-copy", project / ".bare" / "worktrees" / "main-copy"):
        assert run(folder, "--dry-run", "HEAD~1..HEAD").code == 0, folder


def test_what_only_resembles_a_repository_hinders_no_one(run: Callable[..., Result], repo: Repo) -> None:
    """Git does not take it for one."""
    for name, text in {"HEAD": "title\n", "objects/x": "", "refs/x": "", "config": "x = 1\n"}.items():
        repo.stage(f"fixtures/{name}", text)
    repo.commit("fixtures")
    (repo.path / "fixtures" / "config").write_text("x = 2\n")
    done = run(repo.path / "fixtures", "uncommitted", "--dry-run", "--format", "json", "--", ".")
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"fixtures/config"}


def test_a_worktree_that_is_named_elsewhere_is_used(
    run: Callable[..., Result], repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("app.py", "x = 1\n")
    monkeypatch.setenv("GIT_DIR", os.path.relpath(repo.path / ".git", tmp_path))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    done = run(tmp_path, "uncommitted", "--dry-run", "--format", "json")
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"app.py"}
