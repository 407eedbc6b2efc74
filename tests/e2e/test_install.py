"""Our own hooks in git's folder: installed, chained, found again without PATH, taken away without a trace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.hooks.install import FORWARDED
from kilo_review.hooks.script import SAVED, is_ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Runner

BARE_PATH = {"PATH": "/usr/bin:/bin"}
"""What graphical clients have."""


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the scripted model answer so, in every process from now on."""
    script = tmp_path / "answers.json"
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setenv("KILO_REVIEW_MODEL", str(script))

    def answer(*replies: dict[str, Any]) -> None:
        script.write_text(json.dumps({"replies": list(replies)}))

    answer()
    return answer


@pytest.fixture
def hooks(repo: Repo, answers: object) -> Path:
    return repo.path / ".git" / "hooks"


def hook(path: Path, body: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def try_commit(repo: Repo, name: str = "new.py", **settings: Any) -> subprocess.CompletedProcess[bytes]:
    repo.stage(name, f"value = {name!r}\n")
    return repo.git("commit", "-m", "change", check=False, **settings)


def remote(repo: Repo, make_repo: Callable[..., Repo]) -> Repo:
    made = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(made.path))
    return made


@pytest.mark.long
def test_what_is_installed_reviews_commits_and_pushes_without_a_path(
    kilo: Runner, buggy: Repo, hooks: Path, make_repo: Callable[..., Repo], answers: Any, division: dict[str, Any]
) -> None:
    done = kilo("install")
    assert (done.code, done.text.count("is installed")) == (0, 2)
    assert "kilo-review uninstall" in done.text
    assert sorted(path.name for path in hooks.iterdir() if not path.name.endswith(".sample")) == [
        "pre-commit",
        "pre-push",
    ]
    answers({"findings": [division]})
    blocked = buggy.git("commit", "-m", "bad", check=False, env=BARE_PATH)
    assert (blocked.returncode, b"Division by zero" in blocked.stderr) == (1, True)
    answers()
    buggy.git("reset", "-q", "--hard")
    assert try_commit(buggy, env=BARE_PATH).returncode == 0
    remote(buggy, make_repo)
    pushed = buggy.git("push", "origin", "main", check=False, env=BARE_PATH)
    assert (pushed.returncode, b"2 hunks in 2 files reviewed" in pushed.stdout + pushed.stderr) == (0, True)


def test_it_is_idempotent_and_pins_an_interpreter_that_has_moved(kilo: Runner, repo: Repo, hooks: Path) -> None:
    kilo("install", "--hook", "pre-commit")
    before = (hooks / "pre-commit").read_bytes()
    again = kilo("install", "--hook", "pre-commit")
    assert "is installed already" in again.text
    assert (hooks / "pre-commit").read_bytes() == before
    (hooks / "pre-commit").write_bytes(before.replace(os.fsencode(sys.executable), b"/gone/python"))
    assert "is up to date again" in kilo("install", "--hook", "pre-commit").text
    assert (hooks / "pre-commit").read_bytes() == before
    assert not (hooks.parent / ("hooks" + SAVED)).exists()


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_hook_that_is_there_runs_first_and_comes_back(kilo: Runner, repo: Repo, hooks: Path, mode: int) -> None:
    theirs = hook(hooks / "pre-commit", 'echo "theirs $# in $PWD"', mode)
    before = theirs.read_bytes()
    assert "the hook that was there runs first" in kilo("install").text
    done = try_commit(repo)
    assert (done.returncode, f"theirs 0 in {repo.path}".encode() in done.stderr) == (0, True)
    assert b"1 hunk in 1 file reviewed" in done.stderr
    assert "is again what it was" in kilo("uninstall").text
    assert (theirs.read_bytes(), theirs.stat().st_mode & 0o777) == (before, mode)
    assert not [*hooks.glob("*kilo*"), *hooks.parent.glob(f"*{SAVED}")]
    assert not (hooks / "pre-push").exists()


def test_the_exit_code_of_a_hook_before_counts(kilo: Runner, repo: Repo, hooks: Path) -> None:
    hook(hooks / "pre-commit", "exit 7")
    kilo("install")
    done = try_commit(repo)
    assert done.returncode != 0
    assert b"reviewed" not in done.stderr
    direct = subprocess.run([hooks / "pre-commit"], cwd=repo.path, capture_output=True)
    assert direct.returncode == 7


def test_a_hook_that_git_would_not_run_is_not_run_but_kept(kilo: Runner, repo: Repo, hooks: Path) -> None:
    theirs = hook(hooks / "pre-commit", "exit 1", 0o644)
    kilo("install")
    assert try_commit(repo).returncode == 0
    kilo("uninstall")
    assert (theirs.read_text(), theirs.stat().st_mode & 0o777) == ("#!/bin/sh\nexit 1\n", 0o644)


def test_a_linked_hook_stays_a_link(kilo: Runner, repo: Repo, hooks: Path) -> None:
    hook(repo.path.parent / "shared-hook", "echo linked")
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").symlink_to("../../../shared-hook")
    kilo("install")
    assert b"linked" in try_commit(repo).stderr
    assert (repo.path.parent / "shared-hook").read_text() == "#!/bin/sh\necho linked\n"
    kilo("uninstall")
    assert str((hooks / "pre-commit").readlink()) == "../../../shared-hook"


@pytest.mark.parametrize("refs", [1, 2000])
def test_both_hooks_see_all_lines_of_a_push(
    kilo: Runner, repo: Repo, hooks: Path, make_repo: Callable[..., Repo], refs: int
) -> None:
    seen = repo.path.parent / "seen"
    hook(hooks / "pre-push", f'cat > "{seen}"; echo "$1" >> "{seen}"')
    kilo("install")
    head = repo.out("rev-parse", "HEAD")
    lines = "".join(f"refs/heads/b{n} {head} refs/heads/b{n} {'0' * 40}\n" for n in range(refs))
    report = repo.path.parent / "report.json"
    done = subprocess.run(
        [hooks / "pre-push", "origin", "somewhere"],
        cwd=repo.path,
        input=lines.encode(),
        capture_output=True,
        env=os.environ | {"KILO_REVIEW_FORMAT": "json", "KILO_REVIEW_OUTPUT": str(report)},
    )
    assert done.returncode == 0, done.stderr
    assert seen.read_text() == lines + "origin\n"
    assert json.loads(report.read_text())["coverage"]["hunks"] == 1


@pytest.mark.long
def test_a_hook_before_that_reads_nothing_is_no_trouble(
    kilo: Runner, repo: Repo, hooks: Path, make_repo: Callable[..., Repo]
) -> None:
    hook(hooks / "pre-push", "exit 0")
    kilo("install")
    head = repo.out("rev-parse", "HEAD")
    lines = f"refs/heads/a {head} refs/heads/a {'0' * 40}\n" * 2000  # more than a pipe holds
    done = subprocess.run([hooks / "pre-push", "origin", "x"], cwd=repo.path, input=lines.encode(), capture_output=True)
    assert (done.returncode, b"roken" in done.stderr) == (0, False)


def test_a_push_to_another_remote_by_a_hook_of_the_first_one_is_reviewed(
    kilo: Runner, repo: Repo, hooks: Path, make_repo: Callable[..., Repo]
) -> None:
    for name in ("origin", "mirror"):
        repo.git("remote", "add", name, str(make_repo(f"{name}.git", "--bare").path))
    hook(hooks / "pre-push", '[ "$1" = mirror ] || git push -q mirror main 2> said')
    kilo("install")
    repo.git("push", "-q", "origin", "main")
    assert "kilo-review: asking" in (repo.path / "said").read_text()


@pytest.mark.parametrize("what", ["interpreter", "program"])
def test_when_the_program_is_gone_the_commit_passes_with_a_line(
    kilo: Runner, repo: Repo, hooks: Path, tmp_path: Path, what: str
) -> None:
    kilo("install")
    text = (hooks / "pre-commit").read_text()
    other = tmp_path / "venv" / "python"
    other.parent.mkdir()
    if what == "program":  # an interpreter that lacks it
        hook(other, f'exec {sys.executable} -S "$@"')
    (hooks / "pre-commit").write_text(text.replace(sys.executable, str(other)))
    done = try_commit(repo)
    assert done.returncode == 0
    lines = [line for line in done.stderr.decode().splitlines() if line.startswith("kilo-review: not reviewed: ")]
    assert len(lines) == 1
    assert str(other) in lines[0]
    assert "kilo-review install" in lines[0]


@pytest.mark.long
def test_a_blocked_commit_is_blocked_also_if_only_one_line_tells(
    kilo: Runner, buggy: Repo, hooks: Path, answers: Any, division: dict[str, Any]
) -> None:
    kilo("install")
    answers({"findings": [division]})
    assert buggy.git("commit", "-m", "bad", check=False).returncode == 1


def test_a_folder_of_the_same_name_in_the_repository_is_not_run(kilo: Runner, repo: Repo, hooks: Path) -> None:
    kilo("install")
    repo.stage("kilo_review/__init__.py", "raise SystemExit(9)\n")
    repo.stage("kilo_review/__main__.py", "raise SystemExit(9)\n")
    done = try_commit(repo)
    assert (done.returncode, b"reviewed" in done.stderr) == (0, True)


def test_a_hook_that_took_our_place_is_left_alone(kilo: Runner, repo: Repo, hooks: Path) -> None:
    hook(hooks / "pre-commit", "echo first")
    kilo("install")
    hook(hooks / "pre-commit", "echo second")
    done = kilo("uninstall")
    assert "is not ours any more and stays" in done.text
    assert "echo second" in (hooks / "pre-commit").read_text()
    taken = kilo("install")
    assert (taken.code, "is in the way" in taken.talk) == (2, True)
    assert "echo second" in (hooks / "pre-commit").read_text()


def test_nothing_to_take_away(kilo: Runner, repo: Repo) -> None:
    done = kilo("uninstall")
    assert (done.code, done.text) == (0, "there is no hook of ours\n")


def test_a_hooks_path_of_the_repository_is_honoured(kilo: Runner, repo: Repo, hooks: Path) -> None:
    repo.git("config", "core.hooksPath", "tools/my hooks")
    done = kilo("install")
    assert "do not commit these hooks" in done.talk
    assert (repo.path / "tools" / "my hooks" / "pre-commit").exists()
    assert not (hooks / "pre-commit").exists()
    assert b"reviewed" in try_commit(repo).stderr
    repo.write(".gitignore", "tools/\n")
    assert kilo("install").talk == ""


def test_huskys_folder_is_left_to_husky(kilo: Runner, repo: Repo) -> None:
    repo.git("config", "core.hooksPath", ".husky/_")
    done = kilo("install")
    assert (done.code, ".husky/pre-commit" in done.talk) == (2, True)
    assert not (repo.path / ".husky").exists()


def test_a_linked_worktree_has_the_same_hooks(kilo: Runner, repo: Repo, tmp_path: Path, hooks: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    assert kilo("install", cwd=tmp_path / "linked").code == 0
    assert (hooks / "pre-commit").exists()
    (tmp_path / "linked" / "b.py").write_text("b = 1\n")
    subprocess.run(["git", "add", "b.py"], cwd=tmp_path / "linked", check=True)
    done = subprocess.run(["git", "commit", "-m", "b"], cwd=tmp_path / "linked", capture_output=True)
    assert b"1 hunk in 1 file reviewed" in done.stderr


def test_where_nothing_can_be_installed(
    kilo: Runner, repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path
) -> None:
    outside = tmp_path / "plain"
    outside.mkdir()
    nowhere = kilo("install", cwd=outside)
    assert (nowhere.code, "not a git repository" in nowhere.talk) == (2, True)
    bare = make_repo("bare.git", "--bare")
    assert kilo("install", cwd=bare.path).code == 2
    assert kilo("install", "--hook", "pre-push", cwd=bare.path).code == 0
    shutil.rmtree(repo.path / ".git" / "hooks")
    (repo.path / ".git" / "hooks").write_text("a file")
    done = kilo("install")
    assert (done.code, "cannot be written" in done.talk, "Traceback" in done.talk) == (2, True, False)


def test_odd_paths(kilo: Runner, make_repo: Callable[..., Repo], answers: object) -> None:
    odd = make_repo('it\'s a "repo" $HOME `x`')
    assert kilo("install", cwd=odd.path).code == 0
    done = try_commit(odd)
    assert (done.returncode, b"1 hunk in 1 file reviewed" in done.stderr) == (0, True)


# For all repositories


@pytest.fixture
def everywhere(kilo: Runner, repo: Repo, hooks: Path) -> Path:
    """The folder of the global hooks, after their installation."""
    done = kilo("install", "--global")
    assert done.code == 0, done.talk
    folder = Path(repo.out("config", "--global", "core.hooksPath"))
    assert str(folder) in done.text
    return folder


@pytest.mark.long
def test_global_hooks_review_every_repository(everywhere: Path, make_repo: Callable[..., Repo]) -> None:
    other = make_repo("other")
    done = try_commit(other)
    assert (done.returncode, b"1 hunk in 1 file reviewed" in done.stderr) == (0, True)


@pytest.mark.long
def test_global_hooks_hand_over_to_the_repositorys_own(everywhere: Path, repo: Repo, hooks: Path) -> None:
    hook(hooks / "commit-msg", 'grep -q change "$1" && echo "message seen"')
    hook(hooks / "pre-commit", "echo own first")
    hook(hooks / "post-commit", "echo own last")
    done = try_commit(repo)
    assert done.returncode == 0
    assert all(text in done.stderr for text in (b"message seen", b"own first", b"own last", b"reviewed"))
    hook(hooks / "commit-msg", "exit 3")
    assert try_commit(repo, "b.py").returncode != 0
    assert {path.name for path in everywhere.iterdir()} == set(FORWARDED)
    assert not {"push-to-checkout", "proc-receive", "fsmonitor-watchman"} & set(FORWARDED)


def test_a_commit_is_reviewed_once_with_both(everywhere: Path, repo: Repo, hooks: Path, kilo: Runner) -> None:
    repo.git("config", "core.hooksPath", str(hooks))
    kilo("install")
    repo.git("config", "--unset", "core.hooksPath")
    done = try_commit(repo)
    assert done.stderr.count(b"1 hunk in 1 file reviewed") == 1
    refused = kilo("install")
    assert (refused.code, "--global" in refused.talk) == (2, True)


def test_global_hooks_are_taken_away_whole(everywhere: Path, repo: Repo, hooks: Path, kilo: Runner) -> None:
    hook(hooks / "pre-commit", "echo own")
    some = kilo("uninstall", "--global", "--hook", "pre-push")
    assert "is taken away" in some.text
    assert b"own" in try_commit(repo).stderr
    done = kilo("uninstall", "--global")
    assert "is unset" in done.text
    assert not everywhere.exists()
    assert repo.git("config", "--global", "core.hooksPath", check=False).returncode == 1
    after = try_commit(repo, "b.py")
    assert (b"own" in after.stderr, b"reviewed" in after.stderr) == (True, False)


def test_a_global_folder_of_the_user_is_used_as_it_is(kilo: Runner, repo: Repo, tmp_path: Path, hooks: Path) -> None:
    mine = tmp_path / "mine"
    hook(mine / "pre-commit", "echo mine")
    repo.git("config", "--global", "core.hooksPath", str(mine))
    assert kilo("install", "--global", "--hook", "pre-commit").code == 0
    assert [path.name for path in mine.iterdir()] == ["pre-commit"]
    assert [path.name for path in (tmp_path / ("mine" + SAVED)).iterdir()] == ["pre-commit"]
    done = try_commit(repo)
    assert (b"mine" in done.stderr, b"reviewed" in done.stderr) == (True, True)
    kilo("uninstall", "--global")
    assert (mine / "pre-commit").read_text() == "#!/bin/sh\necho mine\n"
    assert repo.out("config", "--global", "core.hooksPath") == str(mine)


@pytest.mark.long
def test_a_commit_in_another_repository_inside_a_hook_is_reviewed_too(
    kilo: Runner, repo: Repo, hooks: Path, make_repo: Callable[..., Repo]
) -> None:
    other = make_repo("other")
    kilo("install", cwd=other.path)
    hook(
        hooks / "pre-commit",
        f'unset GIT_INDEX_FILE GIT_DIR; cd "{other.path}" && echo 1 > a.py && git add a.py && git commit -m nested',
    )
    kilo("install")
    done = try_commit(repo)
    assert done.stderr.count(b"1 hunk in 1 file reviewed") == 2


def test_a_hook_that_only_speaks_of_ours_is_not_ours() -> None:
    assert not is_ours(b"#!/bin/sh\n# kilo-review hook, and our own checks\n./lint.sh || exit 1\n")
