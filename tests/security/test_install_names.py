"""A hook that was there before ours knows itself by its name, its folder and the files beside it: it works as before."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kilo_review.core.errors import UsageError
from kilo_review.hooks import install
from kilo_review.hooks.place import place_for_all
from kilo_review.hooks.script import HOOKS, SAVED
from tests.support.foreign import install_here, script, uninstall_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo

DISPATCHER = (
    'case $(basename "$0") in pre-commit | commit-msg | pre-push) echo "stopped $(basename "$0")"; exit 1 ;; esac'
)
"""Passes under any other name."""


@pytest.fixture
def hooks(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hooks folder of `repo`, whose reviews find nothing."""
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"replies": []}))
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    monkeypatch.setenv("KILO_REVIEW_MODEL", str(answers))
    folder = repo.path / ".git" / "hooks"
    folder.mkdir(exist_ok=True)
    return folder


def commit(repo: Repo) -> str:
    """Try to commit something; what was printed if it was stopped, else ''."""
    repo.stage("new.py", "x = 1\n")
    done = repo.git("commit", "-m", "change", check=False)
    printed = (done.stdout + done.stderr).decode()
    assert (done.returncode == 0) == (b"changed" in done.stdout), printed
    return printed if done.returncode else ""


def passing(repo: Repo) -> str:
    """Commit something; what the hooks printed."""
    repo.stage("new.py", "x = 1\n")
    return repo.git("commit", "-m", "change").stderr.decode()


def by_its_name(hooks: Path) -> None:
    script(hooks / "pre-commit", DISPATCHER)


def by_a_parameter_expansion(hooks: Path) -> None:
    script(hooks / "pre-commit", '[ "${0##*/}" != pre-commit ] || { echo stopped; exit 1; }')


def by_its_real_path(hooks: Path) -> None:
    script(hooks / "pre-commit", '[ "$(basename "$(readlink -f "$0")")" != pre-commit ] || { echo stopped; exit 1; }')


def in_another_language(hooks: Path) -> None:
    body = "import os, sys\nif os.path.basename(sys.argv[0]) == 'pre-commit':\n    sys.exit('stopped')"
    script(hooks / "pre-commit", body, shebang=f"#!{sys.executable}")


def with_a_module_beside_it(hooks: Path) -> None:
    (hooks / "checks.py").write_text("import sys\ndef run():\n    sys.exit('stopped')\n")
    body = "try:\n    import checks\nexcept ImportError:\n    raise SystemExit(0)\nchecks.run()"
    script(hooks / "pre-commit", body, shebang=f"#!{sys.executable}")


def with_a_folder_of_its_name(hooks: Path) -> None:
    script(hooks / "pre-commit", 'for each in "$0.d"/*; do [ ! -x "$each" ] || "$each" || exit; done')
    script(hooks / "pre-commit.d" / "10-check", "echo stopped; exit 1")


def with_a_file_beside_it(hooks: Path) -> None:
    script(hooks / "pre-commit", '[ -f "$(dirname -- "$0")/h" ] || exit 0; . "$(dirname -- "$0")/h"')
    script(hooks / "h", DISPATCHER, mode=0o644)


def with_a_hidden_file_beside_it(hooks: Path) -> None:
    script(hooks / "pre-commit", 'f=$(dirname "$0")/.checks; [ ! -f "$f" ] || . "$f"')
    script(hooks / ".checks", "echo stopped; exit 1", mode=0o644)


def with_a_folder_beside_it(hooks: Path) -> None:
    script(hooks / "pre-commit", 'f=$(dirname "$0")/_/husky.sh; [ ! -f "$f" ] || . "$f"')
    script(hooks / "_" / "husky.sh", DISPATCHER, mode=0o644)


def as_husky_4_does(hooks: Path) -> None:
    script(hooks / "pre-commit", '. "$(dirname "$0")/husky.sh"')
    script(
        hooks / "husky.sh",
        'name=$(basename "$0")\n. "$(dirname "$0")/husky.local.sh"\ngrep -qs "$name" .huskyrc || exit 0\nexit 1',
        mode=0o644,
    )
    script(hooks / "husky.local.sh", "echo stopped", mode=0o644)
    (hooks.parent.parent / ".huskyrc").write_text('{"hooks": {"pre-commit": "false"}}')


def from_the_top_of_the_worktree(hooks: Path) -> None:
    script(hooks / "pre-commit", 'f=$(dirname "$0")/../../scripts/check; [ ! -x "$f" ] || exec "$f"')
    script(hooks.parent.parent / "scripts" / "check", "echo stopped; exit 1")


def from_the_top_by_cd(hooks: Path) -> None:
    script(hooks / "pre-commit", 'cd "$(dirname "$0")/../.." && [ -x scripts/check ] && exec ./scripts/check')
    script(hooks.parent.parent / "scripts" / "check", "echo stopped; exit 1")


def in_gits_folder(hooks: Path) -> None:
    script(hooks / "pre-commit", 'case "$0" in *.git/hooks/*) echo stopped; exit 1 ;; esac')


def as_a_relative_link(hooks: Path) -> None:
    script(hooks.parent.parent / "scripts" / "hooks" / "pre-commit", DISPATCHER)
    (hooks / "pre-commit").symlink_to("../../scripts/hooks/pre-commit")


def as_a_link_to_a_dispatcher(hooks: Path) -> None:
    script(hooks / "dispatcher", DISPATCHER)
    for name in ("pre-commit", "pre-push"):
        (hooks / name).symlink_to("dispatcher")


def as_an_absolute_link(hooks: Path) -> None:
    script(hooks / "dispatcher", DISPATCHER)
    (hooks / "pre-commit").symlink_to(hooks / "dispatcher")


def as_a_link_to_another_hook(hooks: Path) -> None:
    script(hooks / "pre-push", DISPATCHER)
    (hooks / "pre-commit").symlink_to("pre-push")


def as_one_of_two_names(hooks: Path) -> None:
    script(hooks / "dispatcher", DISPATCHER)
    (hooks / "pre-commit").hardlink_to(hooks / "dispatcher")


KINDS = [
    *(by_its_name, by_a_parameter_expansion, by_its_real_path, in_another_language, with_a_module_beside_it),
    *(with_a_folder_of_its_name, with_a_file_beside_it, with_a_hidden_file_beside_it, with_a_folder_beside_it),
    *(as_husky_4_does, from_the_top_of_the_worktree, from_the_top_by_cd, in_gits_folder, as_a_relative_link),
    *(as_a_link_to_a_dispatcher, as_an_absolute_link, as_a_link_to_another_hook, as_one_of_two_names),
]


def picture(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that is below a folder: kind and mode, time, and content or target."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        if "__pycache__" not in path.parts:
            when = 0 if path.is_dir() else status.st_mtime_ns
            seen[str(path.relative_to(folder))] = (status.st_mode, when, content)
    return seen


@pytest.mark.parametrize("names", [("pre-commit",), ("pre-commit", "pre-push")], ids=len)
@pytest.mark.parametrize("make", KINDS, ids=lambda kind: kind.__name__)
def test_a_hook_that_stops_a_commit_still_does(
    repo: Repo, hooks: Path, make: Callable[[Path], None], names: tuple[str, ...]
) -> None:
    make(hooks)
    before = picture(hooks)
    assert "stopped" in commit(repo)
    install_here(repo, *names)
    assert "stopped" in commit(repo)
    install_here(repo, *names)  # and once more
    assert "stopped" in commit(repo)
    uninstall_here(repo)
    assert picture(hooks) == before
    assert not (hooks.parent / f"hooks{SAVED}").exists()
    assert "stopped" in commit(repo)


@pytest.mark.parametrize("one", ["pre-commit", "pre-push"])
def test_taken_away_one_by_one(repo: Repo, hooks: Path, one: str) -> None:
    as_a_link_to_another_hook(hooks)
    before = picture(hooks)
    install_here(repo, "pre-commit", "pre-push")
    uninstall_here(repo, one)
    assert "stopped" in commit(repo)
    install_here(repo, one)
    assert "stopped" in commit(repo)
    uninstall_here(repo)
    assert picture(hooks) == before


@pytest.mark.parametrize("target", ["pre-commit", "chain", "absolute"])
@pytest.mark.long
def test_another_hook_that_is_a_link_to_the_one_that_was_here(repo: Repo, hooks: Path, target: str) -> None:
    script(hooks / "pre-commit", 'case ${0##*/} in commit-msg) grep -q change "$1" && echo stopped && exit 1 ;; esac')
    (hooks / "chain").symlink_to("pre-commit")
    (hooks / "commit-msg").symlink_to(hooks / "pre-commit" if target == "absolute" else target)
    before = picture(hooks)
    install_here(repo)
    assert "stopped" in commit(repo)
    assert "reviewed" in commit(repo)
    uninstall_here(repo)
    assert picture(hooks) == before


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.long
def test_a_link_to_the_hook_that_comes_after_ours(repo: Repo, hooks: Path, early: bool) -> None:
    script(hooks / "pre-commit", DISPATCHER.replace("pre-commit | ", ""))
    if early:  # it was a hook of its own when ours came
        script(hooks / "commit-msg", "exit 0")
    install_here(repo)
    assert not commit(repo)
    (hooks / "commit-msg").unlink(missing_ok=True)
    (hooks / "commit-msg").symlink_to("pre-commit")
    repo.write("new.py", "x = 2\n")
    assert "stopped commit-msg" in repo.git("commit", "-am", "change", check=False).stderr.decode()


@pytest.mark.long
def test_a_link_to_our_hook_alone_reviews(repo: Repo, hooks: Path) -> None:
    install_here(repo)
    (hooks / "pre-merge-commit").symlink_to("pre-commit")
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit("topic", a__py="a = 1\n")
    repo.git("checkout", "-q", "main")
    repo.commit("main", b__py="b = 1\n")
    assert b"kilo-review: " in repo.git("merge", "topic").stderr


@pytest.mark.parametrize(
    ("body", "late"),
    [('for each in "$0.d"/*; do [ ! -x "$each" ] || "$each" || exit; done', "pre-commit.d/check"),
     ('f=$(dirname "$0")/local; [ ! -x "$f" ] || "$f"', "local"),
     ('f=$(dirname "$0")/pre-push; [ ! -x "$f" ] || "$f"', "pre-push")],
)  # fmt: skip
def test_a_file_that_comes_after_ours_is_found(repo: Repo, hooks: Path, body: str, late: str) -> None:
    script(hooks / "pre-commit", body)
    install_here(repo)
    assert not commit(repo)
    script(hooks / late, "echo stopped; exit 1")
    repo.write("new.py", "x = 2\n")
    for _ in range(2):
        assert b"stopped" in repo.git("commit", "-am", "change", check=False).stderr
    assert sorted(path.name for path in (hooks / late).parent.iterdir()) == sorted(
        {path.name for path in (hooks / late).parent.iterdir()} - {"pre-commit.d/pre-commit.d"}
    )
    assert not (hooks / "pre-commit.d" / "pre-commit.d").exists()
    uninstall_here(repo)
    assert (hooks / late).is_file()


def test_what_a_hook_writes_beside_itself_comes_back_with_it(repo: Repo, hooks: Path) -> None:
    (hooks / "old").write_text("")
    script(hooks / "pre-commit", 'd=$(dirname "$0"); echo 1 >>"$d/old"; mkdir -p "$d/state"; echo 1 >>"$d/state/new"')
    install_here(repo)
    assert not commit(repo)
    uninstall_here(repo)
    assert ((hooks / "old").read_text(), (hooks / "state" / "new").read_text()) == ("1\n", "1\n")
    assert not (hooks.parent / f"hooks{SAVED}").exists()


def test_a_hooks_folder_that_is_a_link(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    (shared := tmp_path / "deep" / "shared").parent.mkdir()
    hooks.rename(shared)
    hooks.symlink_to(shared)
    as_a_link_to_a_dispatcher(hooks)
    script(hooks / "dispatcher", '. "$(cd "$(dirname "$0")" && pwd)/h"')
    script(hooks / "h", DISPATCHER)
    install_here(repo)
    assert "stopped" in commit(repo)
    uninstall_here(repo)
    assert "stopped" in commit(repo)
    assert [path.name for path in shared.parent.iterdir()] == ["shared"]


def test_odd_names_of_the_hooks_folder(repo: Repo, hooks: Path) -> None:
    repo.git("config", "core.hooksPath", 'it\'s $HOME `x` "hooks"')
    by_its_name(repo.path / 'it\'s $HOME `x` "hooks"')
    install_here(repo)
    assert "stopped" in commit(repo)
    uninstall_here(repo)
    assert "stopped" in commit(repo)


# With other managers of hooks


def framework(repo: Repo, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "pre_commit", *words], cwd=repo.path, check=True, capture_output=True)


def configured(repo: Repo) -> Path:
    """Use the framework, with one hook that notes its runs."""
    runs = repo.path.parent / "runs"
    entry = json.dumps(f"sh -c 'echo run >> {shlex.quote(str(runs))}'")
    repo.stage(
        ".pre-commit-config.yaml",
        f"repos:\n- repo: local\n  hooks:\n  - {{id: a, name: a, language: system, always_run: true, entry: {entry}}}\n",
    )
    return runs


@pytest.mark.long
def test_the_frameworks_legacy_hook_still_runs(repo: Repo, hooks: Path) -> None:
    by_its_name(hooks)
    script(hooks / "pre-commit", "echo stopped; exit 1")
    runs = configured(repo)
    framework(repo, "install")
    install_here(repo)
    assert "stopped" in commit(repo)
    assert runs.read_text() == "run\n"


@pytest.mark.long
def test_the_framework_takes_our_place_and_calls_us(repo: Repo, hooks: Path) -> None:
    """It renames our script; the hook before ours still runs under its own name."""
    by_its_name(hooks)
    install_here(repo)
    configured(repo)
    framework(repo, "install")
    assert (hooks / "pre-commit.legacy").exists()
    assert commit(repo).count("stopped pre-commit") == 1


@pytest.mark.parametrize("is_other", [False, True])
@pytest.mark.long
def test_the_framework_before_and_after_ours(repo: Repo, hooks: Path, is_other: bool) -> None:
    runs = configured(repo)
    framework(repo, "install")
    install_here(repo)
    framework(repo, "install")
    if is_other:  # of another version
        with (hooks / "pre-commit").open("a") as stream:
            stream.write("# new\n")
    printed = passing(repo)
    assert "reviewed" in printed
    assert runs.read_text() == "run\n"


# What goes through


def test_arguments_input_status_and_environment_pass(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script(
        hooks / "pre-push",
        f'{{ printf "%s|" "$0" "$@"; env | sort | grep -e ^GIT_ -e ^python -e ^hook; cat; }} >"{seen}"; exit 7',
    )
    environment = os.environ | {"GIT_INDEX_FILE": "x y", "GIT_DIR": str(repo.path / ".git"), "python": "p", "hook": "h"}
    texts = []
    for do in (lambda: None, lambda: install_here(repo, "pre-push")):
        do()
        done = subprocess.run(
            [".git/hooks/pre-push", "origin", "a b", ""], cwd=repo.path, input=b"a b\n\nc", env=environment, check=False
        )
        assert done.returncode == 7
        texts.append(seen.read_text().partition("|"))
    assert texts[0][2] == texts[1][2]
    assert [Path(text[0]).name for text in texts] == ["pre-push", "pre-push"]
    assert "GIT_INDEX_FILE=x y\n" in texts[0][2]
    assert texts[0][2].endswith("a b\n\nc")


@pytest.mark.parametrize("text", ["#!/bin/sh\r\nexit 0\r\n", "#!/gone/interpreter\nexit 0\n"])
def test_a_hook_that_cannot_be_started_stops_the_commit_as_before(repo: Repo, hooks: Path, text: str) -> None:
    (hooks / "pre-commit").write_bytes(text.encode())
    (hooks / "pre-commit").chmod(0o755)
    repo.stage("new.py", "x = 1\n")
    before = repo.git("commit", "-m", "change", check=False).returncode
    install_here(repo)
    assert (before != 0, repo.git("commit", "-m", "change", check=False).returncode != 0) == (True, True)


def test_a_hook_without_a_first_line_runs_as_before(repo: Repo, hooks: Path) -> None:
    (hooks / "pre-commit").write_text(DISPATCHER)
    (hooks / "pre-commit").chmod(0o755)
    assert "stopped" in commit(repo)
    install_here(repo)
    assert "stopped" in commit(repo)


@pytest.mark.parametrize("make", [lambda path: script(path, "echo stopped; exit 1", mode=0o644),
                                  lambda path: path.symlink_to("gone")])  # fmt: skip
def test_what_git_would_not_run_is_not_run(repo: Repo, hooks: Path, make: Callable[[Path], object]) -> None:
    make(hooks / "pre-commit")
    before = picture(hooks)
    install_here(repo)
    assert not commit(repo)
    uninstall_here(repo)
    assert picture(hooks) == before


# Where hooks are committed


def committed(repo: Repo, folder: str = "tools/hooks") -> Path:
    path = script(repo.path / folder / "pre-commit", DISPATCHER)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "hooks")
    return path


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_hook_that_git_tracks_is_not_changed(repo: Repo, hooks: Path, is_linked: bool) -> None:
    committed(repo)
    if is_linked:
        for each in hooks.iterdir():
            each.unlink()
        hooks.rmdir()
        hooks.symlink_to("../tools/hooks")
    else:
        repo.git("config", "core.hooksPath", "tools/hooks")
    with pytest.raises(UsageError, match="git tracks it") as caught:
        install_here(repo, "pre-push", "pre-commit")
    assert 'kilo-review hook pre-commit "$@"' in caught.value.hint
    assert not repo.out("status", "--porcelain", "--ignored")


def test_the_line_that_the_hint_names_reviews(repo: Repo, hooks: Path) -> None:
    path = committed(repo)
    script(path, f'{shlex.quote(sys.executable)} -m kilo_review hook pre-commit "$@"')
    repo.git("config", "core.hooksPath", "tools/hooks")
    assert "reviewed" in passing(repo)


def test_a_hooks_folder_behind_a_committed_link_is_refused(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    victim = script(tmp_path / "elsewhere" / "pre-commit", "echo mine")
    (repo.path / ".githooks").symlink_to("../elsewhere")
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "hooks")
    for value in (".githooks", str(repo.path / ".githooks")):
        repo.git("config", "core.hooksPath", value)
        with pytest.raises(UsageError, match="a link in the worktree"):
            install_here(repo)
    repo.git("config", "--unset", "core.hooksPath")
    for each in hooks.iterdir():
        each.unlink()
    hooks.rmdir()
    hooks.symlink_to("../.githooks")
    with pytest.raises(UsageError, match="a link in the worktree"):
        install_here(repo)
    assert [path.name for path in victim.parent.iterdir()] == ["pre-commit"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.json", "elsewhere", "repo"]


def test_the_worktree_itself_as_hooks_folder_is_refused(repo: Repo, hooks: Path) -> None:
    repo.git("config", "core.hooksPath", ".")
    with pytest.raises(UsageError, match="the worktree itself"):
        install_here(repo)


def test_an_untracked_hook_in_the_worktree_is_kept_out_of_commits(repo: Repo, hooks: Path) -> None:
    repo.write(".gitignore", "/tools/hooks/\n")
    repo.git("add", "-A")
    script(repo.path / "tools" / "hooks" / "pre-commit", DISPATCHER)
    repo.git("config", "core.hooksPath", "tools/hooks")
    install_here(repo)
    assert "stopped" in commit(repo)
    assert "tools" not in repo.out("status", "--porcelain")
    uninstall_here(repo)
    assert [path.name for path in (repo.path / "tools").iterdir()] == ["hooks"]


# For all repositories


def install_for_all(repo: Repo, own: Path) -> list[str]:
    place = place_for_all(repo.path, own)
    return install.install(place, install.USUAL, repo.path)


@pytest.mark.long
def test_a_hook_of_the_users_in_our_own_folder_runs_and_stays(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    script(own / "pre-commit", 'echo "mine ${0##*/}"')
    script(own / "commit-msg", "echo message")
    script(hooks / "pre-commit", 'echo "theirs ${0##*/}"')
    before = picture(own)
    lines = install_for_all(repo, own)
    assert any("commit-msg is not ours and stays" in line for line in lines)
    printed = passing(repo)
    assert [printed.count(text) for text in ("mine pre-commit", "theirs pre-commit", "message", "reviewed")] == [1] * 4
    done = install.uninstall(place_for_all(repo.path, own), HOOKS, repo.path)
    assert any("stays set" in line for line in done)
    assert {name: each for name, each in picture(own).items() if name in before} == before
    assert "mine pre-commit" in passing_again(repo)


def passing_again(repo: Repo) -> str:
    repo.stage("new.py", "x = 2\n")
    return repo.git("commit", "-m", "change").stderr.decode()


def test_a_relative_folder_for_all_is_each_repositorys_own(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    repo.git("config", "--global", "core.hooksPath", ".my-hooks")
    with pytest.raises(UsageError, match="a folder in each of them"):
        install_for_all(repo, tmp_path / "own")
    by_its_name(repo.path / ".my-hooks")
    install_here(repo)
    assert "stopped" in commit(repo)


# Installed by a former version


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_hook_that_a_former_version_has_renamed(repo: Repo, hooks: Path, again: bool, is_link: bool) -> None:
    script(hooks / "dispatcher", DISPATCHER)
    if is_link:
        (hooks / "pre-commit").symlink_to("dispatcher")
    else:
        by_its_name(hooks)
    before = picture(hooks)
    (hooks / "pre-commit").rename(hooks / f"pre-commit{SAVED}")
    script(hooks / "pre-commit", "# kilo-review hook, version 1\nexit 0")
    if again:
        assert any("up to date again" in line for line in install_here(repo))
        assert "stopped" in commit(repo)
        assert sorted(path.name for path in hooks.glob("pre-commit*")) == ["pre-commit", "pre-commit.sample"]
    uninstall_here(repo)
    assert picture(hooks) == before
