"""Traps that lie in the repository and in how git is run. Each label carries the number of its trap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.errors import SourceError
from kilo_review.source.git import drained
from kilo_review.source.repo import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Result, Runner

    MakeRepo = Callable[..., Repo]

DRY = ("--dry-run", "--format", "json")
NO_GIT = {"PATH": "/nonexistent"}
UNKNOWN = "1234567890" * 4


def paths(done: Result) -> list[str]:
    """The files of the coverage, in order."""
    assert done.code == 0, done.talk
    return [row["path"] for row in done.json()["coverage"]["entries"]]


def refused(done: Result, *words: str, code: int = 2) -> bool:
    """Whether it ended with this code, said these words, and reported nothing."""
    assert (done.code, done.text, "Traceback" in done.talk) == (code, "", False), done.talk
    missing = [word for word in words if word not in done.talk]
    assert not missing, done.talk
    return True


def processes_in(folder: Path) -> list[str]:
    """Processes that still run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def clone(source: Repo, target: Path, *options: str) -> Repo:
    """A clone over git's own transport, so that depth and filters count."""
    copy = type(source)(target)
    source.git("clone", "-q", *options, f"file://{source.path}", str(target))
    return copy


def pre_commit_hook(repo: Repo, report: Path, folder: str = ".git/hooks") -> None:
    """A hook that writes down what is about to be committed."""
    command = f'exec "{sys.executable}" -m kilo_review --dry-run --format json --output "{report}"'
    repo.write(f"{folder}/pre-commit", f"#!/bin/sh\n{command}\n").chmod(0o755)


# Git as a program


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("hook", "--help")], ids=lambda a: f"trap-24{a[0]}")
def test_help_and_version_need_no_git(kilo: Runner, arguments: tuple[str, ...]) -> None:
    done = kilo(*arguments, env=NO_GIT)
    assert (done.code, done.talk) == (0, "")


def test_trap_24_a_wrong_setting_is_told_without_git(repo: Repo, kilo: Runner) -> None:
    repo.write(".kilo-review.toml", "unknown = 1\n")
    assert refused(kilo(*DRY, env=NO_GIT), "unknown key 'unknown'")


@pytest.mark.parametrize("target", ["staged", "uncommitted", "branch", "HEAD", "HEAD..HEAD"])
def test_trap_24_a_missing_git_is_one_sentence(kilo: Runner, target: str) -> None:
    done = kilo(target, env=NO_GIT)
    assert refused(done, "not reviewed: git was not found on PATH", code=3)
    assert len(done.talk.splitlines()) == 1


def test_trap_24_a_missing_git_stops_no_commit_and_no_push(kilo: Runner) -> None:
    for hook in ("pre-commit", "pre-push"):
        done = kilo("hook", hook, env=NO_GIT)
        assert done.code == 0
        assert "not reviewed: git was not found on PATH" in done.talk


def test_trap_24_a_patch_needs_no_git(buggy: Repo, kilo: Runner) -> None:
    patch = buggy.git("diff", "--cached").stdout
    assert paths(kilo("-", *DRY, stdin=patch, env=NO_GIT)) == ["app.py"]


def test_trap_24_git_is_not_asked_for_its_version(
    buggy: Repo, kilo: Runner, wrapped_git: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    environment = wrapped_git(f"open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')")
    assert paths(kilo(*DRY, env=environment)) == ["app.py"]
    commands = log.read_text()
    assert "diff-tree" in commands
    assert "version" not in commands


@pytest.fixture
def wrapped_git(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Environment in which the real git is started by a program that first runs the given code."""

    def wrap(code: str) -> dict[str, str]:
        real = subprocess.run(["/bin/sh", "-c", "command -v git"], capture_output=True, check=True).stdout.decode()
        folder = tmp_path / "wrapper"
        folder.mkdir()
        lines = [f"#!{sys.executable} -SE", "import os, sys, time", code, f"os.execv({real.strip()!r}, sys.argv)"]
        (folder / "git").write_text("\n".join(lines) + "\n")
        (folder / "git").chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    return wrap


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n\n", b"a\n\n", b"a", b"\r\n", b"caf\xe9\n", b"\0\n"])
def test_trap_25_26_bytes_arrive_as_git_wrote_them(repo: Repo, content: bytes) -> None:
    oid = repo.git("hash-object", "-w", "--stdin", input=content).stdout.decode().strip()
    with Repository(repo.path) as opened:
        assert opened.run("cat-file", "blob", oid) == content
        assert opened.blob(oid) == content
        assert opened.blob_start(oid) == content


def test_trap_27_blank_lines_at_the_end_of_a_diff_are_kept(repo: Repo, kilo: Runner) -> None:
    repo.commit("base", f__txt="1\n\n\n\n")
    repo.stage("f.txt", "2\n\n\n\n")
    for value in ("true", "false"):
        repo.git("config", "diff.suppressBlankEmpty", value)
        (row,) = kilo(*DRY).json()["coverage"]["entries"]
        assert (row["start"], row["end"], row["added"], row["removed"]) == (1, 4, 1, 1)


# The index that is being committed


@pytest.fixture
def two_edits(repo: Repo) -> Repo:
    """`staged.py` is staged, `edited.py` is only edited, `sub/` exists."""
    repo.commit("base", staged__py="1\n", edited__py="1\n")
    repo.commit("sub", **{"sub/deep__py": "1\n"})
    repo.stage("staged.py", "2\n")
    repo.write("edited.py", "2\n")
    return repo


COMMITS: dict[str, tuple[tuple[str, ...], str, list[str]]] = {
    "trap-41-plain": (("commit",), ".", ["staged.py"]),
    "trap-28-all": (("commit", "-a"), ".", ["edited.py", "staged.py"]),
    "trap-28-path": (("commit", "edited.py"), ".", ["edited.py"]),
    "trap-28-include": (("commit", "-i", "edited.py"), ".", ["edited.py", "staged.py"]),
    "trap-28-path-from-subdirectory": (("commit", "../edited.py"), "sub", ["edited.py"]),
    "trap-41-from-subdirectory": (("commit",), "sub", ["staged.py"]),
    "trap-41-amend": (("commit", "--amend"), ".", ["staged.py"]),
    "trap-45-coloured": (("-c", "color.ui=always", "-c", "diff.noprefix=true", "commit"), ".", ["staged.py"]),
    "trap-45-external": (("-c", "diff.external=false", "-c", "core.fsmonitor=false", "commit"), ".", ["staged.py"]),
}


@pytest.mark.parametrize(("arguments", "folder", "expected"), COMMITS.values(), ids=COMMITS)
def test_a_hook_sees_the_tree_that_is_then_recorded(
    two_edits: Repo, tmp_path: Path, arguments: tuple[str, ...], folder: str, expected: list[str]
) -> None:
    report = tmp_path / "report.json"
    pre_commit_hook(two_edits, report)
    two_edits.git("-C", folder, *arguments[: arguments.index("commit")], "commit", "-qm", "it", *after(arguments))
    seen = json.loads(report.read_bytes())
    assert [row["path"] for row in seen["coverage"]["entries"]] == expected
    assert seen["target"]["head"] == two_edits.out("rev-parse", "HEAD^{tree}")


def after(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return arguments[arguments.index("commit") + 1 :]


@pytest.mark.parametrize("folder", [".", "sub"], ids=["trap-41-worktree", "trap-41-worktree-subdirectory"])
@pytest.mark.long
def test_a_hook_in_a_linked_worktree_sees_its_own_index(two_edits: Repo, tmp_path: Path, folder: str) -> None:
    report = tmp_path / "report.json"
    pre_commit_hook(two_edits, report)
    two_edits.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = type(two_edits)(tmp_path / "linked")
    linked.stage("only_here.py", "1\n")
    linked.git("-C", folder, "commit", "-qm", "it")
    seen = json.loads(report.read_bytes())
    assert [row["path"] for row in seen["coverage"]["entries"]] == ["only_here.py"]
    assert seen["target"]["head"] == linked.out("rev-parse", "HEAD^{tree}")


def test_trap_41_a_hook_works_for_a_commit_from_the_root_folder(two_edits: Repo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    pre_commit_hook(two_edits, report)
    place = (f"--git-dir={two_edits.path}/.git", f"--work-tree={two_edits.path}")
    two_edits.git("-C", "/", *place, "commit", "-qam", "it")
    seen = json.loads(report.read_bytes())
    assert [row["path"] for row in seen["coverage"]["entries"]] == ["edited.py", "staged.py"]
    assert seen["target"]["head"] == two_edits.out("rev-parse", "HEAD^{tree}")


@pytest.mark.long
def test_trap_41_a_hook_in_a_submodule_sees_the_submodule(repo: Repo, make_repo: MakeRepo, tmp_path: Path) -> None:
    inner = make_repo("inner")
    inner.commit("first", inner__py="1\n")
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "sm")
    report = tmp_path / "report.json"
    pre_commit_hook(repo, report, ".git/modules/sm/hooks")
    module = type(repo)(repo.path / "sm")
    module.write("inner.py", "2\n")
    module.git("commit", "-qam", "it")
    seen = json.loads(report.read_bytes())
    assert [row["path"] for row in seen["coverage"]["entries"]] == ["inner.py"]
    assert seen["target"]["head"] == module.out("rev-parse", "HEAD^{tree}")


def test_trap_28_another_index_is_honoured(two_edits: Repo, kilo: Runner) -> None:
    other = {"GIT_INDEX_FILE": str(two_edits.path / ".git/other")}
    two_edits.git("read-tree", "HEAD", env=other)
    two_edits.git("add", "edited.py", env=other)
    assert paths(kilo(*DRY)) == ["staged.py"]
    assert paths(kilo(*DRY, env=other)) == ["edited.py"]
    relative = {"GIT_INDEX_FILE": ".git/other"}
    assert paths(kilo(*DRY, env=relative)) == ["edited.py"]


def test_trap_28_a_split_index_is_read_whole(two_edits: Repo, kilo: Runner) -> None:
    expected = kilo(*DRY).stdout
    two_edits.git("update-index", "--split-index")
    two_edits.stage("staged.py", "2\n")
    assert list((two_edits.path / ".git").glob("sharedindex.*"))
    assert kilo(*DRY).stdout == expected


def test_trap_28_what_is_only_intended_to_be_added_is_not_staged(two_edits: Repo, kilo: Runner) -> None:
    two_edits.write("intended.py", "1\n")
    two_edits.git("add", "-N", "intended.py")
    assert paths(kilo(*DRY)) == ["staged.py"]
    assert paths(kilo("uncommitted", *DRY)) == ["edited.py", "intended.py", "staged.py"]


def test_trap_28_an_edit_in_the_second_of_its_staging_is_seen(repo: Repo, kilo: Runner) -> None:
    moment = (1_600_000_000, 1_600_000_000)
    repo.git("config", "core.trustctime", "false")
    os.utime(repo.write("f.txt", "1\n"), moment)
    repo.git("add", "f.txt")
    repo.commit()
    os.utime(repo.write("f.txt", "2\n"), moment)
    os.utime(repo.path / ".git/index", moment)
    assert repo.out("diff", "--name-only") == "f.txt"
    assert paths(kilo("uncommitted", *DRY)) == ["f.txt"]


def test_trap_28_unmerged_paths_are_named_as_the_cause(repo: Repo, kilo: Runner) -> None:
    repo.git("checkout", "-q", "-b", "topic")
    repo.commit("theirs", app__py="theirs\n")
    repo.git("checkout", "-q", "main")
    repo.commit("ours", app__py="ours\n")
    repo.git("merge", "-q", "topic", check=False)
    assert refused(kilo(*DRY), "the index has unmerged paths", code=3)


def test_trap_29_a_new_file_is_new_and_a_deleted_one_is_deleted(repo: Repo, kilo: Runner) -> None:
    repo.stage("new.py", "one\n")
    repo.git("rm", "-q", "app.py")
    prompt = kilo("--show-prompt").text
    assert "FILE new.py (new file)\n   1 + one" in prompt
    assert (
        "FILE app.py (deleted file)\n     - [this file is deleted with all of its 4 lines; it had: def mean(items)]\n"
        in prompt
    )


# HEAD


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"], ids=lambda name: f"trap-30-{name}")
@pytest.mark.long
def test_the_first_commit_can_be_reviewed(make_repo: MakeRepo, kilo: Runner, algorithm: str) -> None:
    unborn = make_repo("unborn", f"--object-format={algorithm}")
    kilo.directory = unborn.path
    assert paths(kilo(*DRY)) == []
    unborn.stage("first.py", "1\n")
    assert paths(kilo(*DRY)) == paths(kilo("uncommitted", *DRY)) == ["first.py"]
    assert refused(kilo("HEAD", *DRY), "'HEAD' is neither a commit")
    assert refused(kilo("branch", *DRY), "there is no commit yet")
    unborn.commit()
    unborn.commit("second", first__py="2\n")
    assert paths(kilo("HEAD", *DRY)) == paths(kilo("HEAD~1", *DRY)) == ["first.py"]
    assert len(kilo("HEAD~1..HEAD", *DRY).json()["target"]["head"]) == {"sha1": 40, "sha256": 64}[algorithm]


def test_trap_30_the_first_commit_passes_its_own_hook(make_repo: MakeRepo, tmp_path: Path) -> None:
    unborn = make_repo("unborn")
    report = tmp_path / "report.json"
    pre_commit_hook(unborn, report)
    unborn.commit("first", first__py="1\n")
    seen = json.loads(report.read_bytes())
    assert seen["target"]["head"] == unborn.out("rev-parse", "HEAD^{tree}")
    assert seen["coverage"]["files"] == 1


@pytest.mark.long
def test_trap_31_a_detached_head_changes_nothing(two_edits: Repo, kilo: Runner) -> None:
    expected = [kilo(target, *DRY).stdout for target in ("staged", "uncommitted", "HEAD")]
    two_edits.git("checkout", "-q", "--detach")
    assert [kilo(target, *DRY).stdout for target in ("staged", "uncommitted", "HEAD")] == expected
    two_edits.commit()
    assert paths(kilo("branch", *DRY)) == ["staged.py"]


def test_trap_30_a_damaged_head_is_not_an_empty_one(two_edits: Repo, kilo: Runner) -> None:
    oid = two_edits.out("rev-parse", "HEAD")
    (two_edits.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    assert refused(kilo(*DRY), "not reviewed: ", code=3)


# A repository of somebody else, or in an unusual place


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("target", ["staged", "uncommitted", "branch", "HEAD", "HEAD~1..HEAD"])
def test_trap_32_a_repository_of_another_user_is_explained_and_not_trusted(
    two_edits: Repo, kilo: Runner, target: str
) -> None:
    subprocess.run(["chown", "-R", "12345", str(two_edits.path)], check=True)
    said = two_edits.git("diff-index", "HEAD", check=False)
    assert b"detected dubious ownership" in said.stderr
    done = kilo(target, *DRY)
    assert refused(done, f"git refuses to read '{two_edits.path}'", "safe.directory", code=3)
    two_edits.git("config", "--global", "--add", "safe.directory", str(two_edits.path))
    assert kilo(target, *DRY).code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_trap_32_a_repository_of_another_user_stops_no_commit(two_edits: Repo, kilo: Runner) -> None:
    subprocess.run(["chown", "-R", "12345", str(two_edits.path)], check=True)
    done = kilo("hook", "pre-commit")
    assert done.code == 0
    assert "the commit goes on; left out, and not on record: git refuses to read" in done.talk


def test_trap_33_nothing_that_is_sent_or_reported_has_a_lone_surrogate(repo: Repo, kilo: Runner) -> None:
    repo.stage(b"lat\xe9.py", b"x = 'caf\xe9'\nreturn 1 / 0\n")
    for request in json.loads(kilo("--show-prompt", "--format", "json").stdout):
        for message in request:
            message["content"].encode("utf-8")
    finding = {"file": "lat\\xe9.py", "line": 1, "code": "x = 'caf\ufffd'", "severity": "critical", "type": "bug"}
    done = kilo(*kilo.scripted({"findings": [finding | {"title": "T", "problem": "P."}]}), "--format", "json")
    (found,) = done.json()["findings"]
    assert (found["path"], found["line"], done.code) == ("lat\\xe9.py", 1, 1)
    json.dumps(done.json(), ensure_ascii=False).encode("utf-8")


def test_trap_34_git_dir_names_the_repository(two_edits: Repo, make_repo: MakeRepo, kilo: Runner) -> None:
    other = make_repo("other")
    other.stage("other.py", "1\n")
    named = {"GIT_DIR": str(other.path / ".git")}
    assert two_edits.git("diff", "--cached", "--name-only", env=named).stdout == b"other.py\n"
    assert paths(kilo(*DRY, env=named)) == ["other.py"]


@pytest.mark.parametrize(
    ("folder", "variables"),
    [
        pytest.param(".", {"GIT_DIR": ".git"}, id="trap-34-relative"),
        pytest.param(".", {"GIT_DIR": ".git", "GIT_WORK_TREE": "."}, id="trap-41-relative-work-tree"),
        pytest.param("sub", {"GIT_DIR": "../.git", "GIT_WORK_TREE": ".."}, id="trap-34-relative-from-subdirectory"),
        pytest.param("..", {"GIT_DIR": "repo/.git", "GIT_WORK_TREE": "repo"}, id="trap-34-from-outside"),
        pytest.param("sub", {}, id="trap-35-subdirectory"),
        pytest.param("sub", {"GIT_PREFIX": "sub/"}, id="trap-34-prefix"),
    ],
)
@pytest.mark.parametrize("target", ["staged", "uncommitted"])
def test_wherever_it_is_started_the_change_is_the_same(
    two_edits: Repo, kilo: Runner, folder: str, variables: dict[str, str], target: str
) -> None:
    expected = kilo(target, *DRY).stdout
    assert kilo(target, *DRY, cwd=two_edits.path / folder, env=variables).stdout == expected


def test_trap_34_a_git_dir_that_git_does_not_find_is_an_error(two_edits: Repo, kilo: Runner) -> None:
    done = kilo(*DRY, cwd=two_edits.path / "sub", env={"GIT_DIR": ".git"})
    assert refused(done, "this is not a git repository")


def test_trap_35_outside_of_any_repository_is_an_error(kilo: Runner, tmp_path: Path) -> None:
    for target in ("staged", "uncommitted", "branch", "HEAD", "a..b"):
        assert refused(kilo(target, *DRY, cwd=tmp_path), "this is not a git repository")


@pytest.mark.parametrize("target", ["staged", "uncommitted"])
def test_trap_35_inside_the_git_folder_nothing_is_mistaken_for_a_deletion(
    two_edits: Repo, kilo: Runner, target: str
) -> None:
    done = kilo(target, *DRY, cwd=two_edits.path / ".git")
    assert refused(done, "this operation must be run in a work tree", code=3)


def test_trap_35_a_git_folder_without_a_config_file_is_read(two_edits: Repo, kilo: Runner) -> None:
    expected = kilo(*DRY).stdout
    (two_edits.path / ".git/config").unlink()
    assert kilo(*DRY).stdout == expected


def test_trap_35_paths_are_relative_to_the_working_directory(two_edits: Repo, kilo: Runner) -> None:
    two_edits.stage("sub/deep.py", "2\n")
    assert paths(kilo(*DRY, "--", "deep.py", cwd=two_edits.path / "sub")) == ["sub/deep.py"]
    assert paths(kilo(*DRY, "--", "../staged.py", cwd=two_edits.path / "sub")) == ["staged.py"]


FOLDERS = {
    "trap-36-variable": "$HOME",
    "trap-36-braces": "${PATH}",
    "trap-36-tilde": "~root",
    "trap-36-percent": "%APPDATA%",
    "trap-35-colon": "a:b",
    "trap-35-quote": "\"a\" 'b'",
    "trap-35-leading-quote-and-colon": '"a:b',
    "trap-35-backslash-and-colon": "a\\b:c",
    "trap-35-space": " a b ",
    "trap-35-dash": "-c",
    "trap-08-bytes": "caf\udce9",
}


@pytest.mark.parametrize("name", FOLDERS.values(), ids=FOLDERS)
def test_any_name_of_the_repository_is_taken_as_it_is(make_repo: MakeRepo, kilo: Runner, name: str) -> None:
    strange = make_repo(name)
    strange.commit("first", f__py="1\n")
    strange.stage("f.py", "2\n")
    assert paths(kilo(*DRY, cwd=strange.path)) == ["f.py"]
    assert paths(kilo("uncommitted", *DRY, cwd=strange.path)) == ["f.py"]


def test_trap_35_a_line_break_in_the_repositorys_name_is_an_error_not_a_guess(
    make_repo: MakeRepo, kilo: Runner
) -> None:
    strange = make_repo("a\nb")
    strange.stage("f.py", "2\n")
    done = kilo(*DRY, cwd=strange.path)
    assert refused(done, "line break in its path", code=3)


# Words that become arguments


INJECTIONS = {
    "trap-37-target": ("--", "--output=evil"),
    "trap-37-range-start": ("--output=evil..HEAD",),
    "trap-37-range-end": ("HEAD..--output=evil",),
    "trap-37-three-dots": ("HEAD...--output=evil",),
    "trap-37-base": ("branch", "--base=--output=evil"),
    "trap-37-short": ("HEAD..-Oevil",),
    "trap-37-stdin": ("HEAD..--stdin",),
    "trap-37-line-break": ("HEAD\n--output=evil",),
    "trap-37-exclusion": ("HEAD..^HEAD",),
    "trap-37-empty": ("",),
    "trap-37-blank": (" ",),
    "trap-37-all": ("HEAD..--all",),
}


@pytest.mark.parametrize("arguments", INJECTIONS.values(), ids=INJECTIONS)
def test_no_word_becomes_an_option_of_git(two_edits: Repo, kilo: Runner, arguments: tuple[str, ...]) -> None:
    done = kilo("--dry-run", *arguments, cwd=two_edits.path)
    assert "Traceback" not in done.talk
    assert b"diff --git" not in b"".join(path.read_bytes() for path in two_edits.path.glob("evil*"))
    if arguments[0] == "--output=evil..HEAD":  # an option of our own
        assert (done.code, [path.name for path in two_edits.path.glob("evil*")]) == (0, ["evil..HEAD"])
        assert "staged.py" in (two_edits.path / "evil..HEAD").read_text()
    else:
        assert done.code == 2
        assert not list(two_edits.path.glob("evil*"))


@pytest.mark.parametrize("name", ["PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF", "PRE_COMMIT_LOCAL_BRANCH"])
def test_trap_37_no_variable_of_a_hook_framework_becomes_an_option(two_edits: Repo, kilo: Runner, name: str) -> None:
    given = {"PRE_COMMIT_FROM_REF": "HEAD~1", "PRE_COMMIT_TO_REF": "HEAD"} | {name: "--output=evil"}
    if name == "PRE_COMMIT_LOCAL_BRANCH":
        given["PRE_COMMIT_TO_REF"] = ""
    done = kilo("hook", "pre-push", *kilo.scripted({"findings": []}), env=given)
    assert done.code == 2
    assert "is not here" in done.talk
    assert not list(two_edits.path.glob("evil*"))


@pytest.mark.parametrize("place", [1, 3], ids=["trap-37-local-id", "trap-37-remote-id"])
def test_no_word_on_standard_input_becomes_an_option(two_edits: Repo, kilo: Runner, place: int) -> None:
    words = ["refs/heads/main", two_edits.out("rev-parse", "HEAD"), "refs/heads/main", "0" * 40]
    words[place] = "--output=evil"
    kilo("hook", "pre-push", "origin", "url", *kilo.scripted(), stdin=" ".join(words).encode() + b"\n")
    assert not list(two_edits.path.glob("evil*"))


def test_trap_37_a_remote_named_like_an_option_is_only_a_name(two_edits: Repo, kilo: Runner) -> None:
    line = f"refs/heads/main {two_edits.out('rev-parse', 'HEAD')} refs/heads/main {'0' * 40}\n".encode()
    done = kilo("hook", "pre-push", *kilo.scripted({"findings": []}), "--", "--sort=x", "url", stdin=line)
    assert done.code == 0
    assert "Traceback" not in done.talk


def test_trap_38_a_revision_named_like_a_file_is_a_revision(two_edits: Repo, kilo: Runner) -> None:
    two_edits.git("branch", "edited.py", "HEAD")
    two_edits.git("tag", "staged", "HEAD")
    assert paths(kilo("edited.py", *DRY)) == ["sub/deep.py"]
    assert paths(kilo("edited.py~1..edited.py", *DRY)) == ["sub/deep.py"]
    assert kilo("branch", "--base", "edited.py", *DRY).code == 0
    assert kilo("staged", *DRY).json()["target"]["kind"] == "staged"
    assert refused(kilo("staged.py", *DRY), "neither a commit", "A path goes after --: kilo-review -- staged.py")
    assert paths(kilo(*DRY, "--", "staged.py")) == ["staged.py"]


@pytest.mark.parametrize(
    "target",
    [UNKNOWN, f"{UNKNOWN}..HEAD", f"HEAD..{UNKNOWN}", f"HEAD...{UNKNOWN}", "0" * 40, "HEAD:app.py", "HEAD^{tree}"],
    ids=lambda text: f"trap-39-{text[:14]}",
)
def test_a_name_without_a_commit_is_an_error(kilo: Runner, target: str) -> None:
    assert refused(kilo(target, *DRY), "neither a commit nor staged")


def test_trap_39_a_remote_id_that_is_not_here_does_not_stop_a_push(two_edits: Repo, kilo: Runner) -> None:
    line = f"refs/heads/main {two_edits.out('rev-parse', 'HEAD')} refs/heads/main {UNKNOWN}\n".encode()
    done = kilo("hook", "pre-push", "origin", "url", *kilo.scripted({"findings": []}), "--format", "json", stdin=line)
    assert done.json()["coverage"]["reviewed"] == 4


# Processes


@pytest.mark.parametrize("target", ["staged", "uncommitted", "HEAD"])
def test_trap_40_no_process_and_no_file_is_left_behind(
    two_edits: Repo, kilo: Runner, tmp_path: Path, target: str
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = kilo(target, *kilo.scripted({"findings": []}), "--format", "json", env={"TMPDIR": str(temporary)})
    assert done.json()["outcome"] == "clean"
    assert processes_in(two_edits.path) == []
    assert list(temporary.iterdir()) == []


def test_trap_40_a_closed_repository_has_ended_its_child(two_edits: Repo) -> None:
    with Repository(two_edits.path) as opened:
        opened.blob(two_edits.out("rev-parse", "HEAD:app.py"))
        assert any("cat-file" in command for command in processes_in(two_edits.path))
    assert processes_in(two_edits.path) == []


@pytest.mark.parametrize("word", ["write-tree", "--raw", "--numstat", "cat-file", "check-attr"])
@pytest.mark.long
def test_trap_40_a_git_that_hangs_is_ended_with_the_time_limit(
    two_edits: Repo, kilo: Runner, wrapped_git: Callable[[str], dict[str, str]], tmp_path: Path, word: str
) -> None:
    waited = tmp_path / "waited"
    environment = wrapped_git(f"{word!r} in sys.argv and (time.sleep(8), open({str(waited)!r}, 'w'))")
    done = kilo(*DRY, "--max-seconds", "1", env=environment)
    assert not waited.exists()
    assert refused(done, "did not end within the time limit", code=3)
    assert processes_in(two_edits.path) == []


# History that is not all here


@pytest.fixture
def upstream(make_repo: MakeRepo) -> Repo:
    """Three commits on main, then two on topic."""
    made = make_repo("upstream")
    for number in range(3):
        made.commit(f"main {number}", **{f"m{number}__py": "1\n"})
    made.git("checkout", "-q", "-b", "topic")
    made.commit("topic 1", t1__py="1\n")
    made.commit("topic 2", t2__py="1\n")
    made.git("checkout", "-q", "main")
    made.commit("main 3", m3__py="1\n")
    made.git("config", "uploadpack.allowFilter", "true")
    return made


@pytest.fixture
def shallow(upstream: Repo, tmp_path: Path) -> Repo:
    """Depth one, both branches."""
    return clone(upstream, tmp_path / "shallow", "--depth=1", "--no-single-branch", "--branch=topic")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("HEAD",), "the parent of 'HEAD' is not in this clone"),
        (("branch",), "this clone is shallow"),
        (("origin/main...HEAD",), "this clone is shallow"),
        (("branch", "--base=origin/main"), "this clone is shallow"),
    ],
)
def test_trap_42_a_shallow_clone_is_named_as_the_cause(
    shallow: Repo, kilo: Runner, arguments: tuple[str, ...], cause: str
) -> None:
    done = kilo(*arguments, *DRY, cwd=shallow.path)
    assert refused(done, "git fetch", code=3)
    assert cause in done.talk


def test_trap_42_a_shallow_clone_can_still_review_what_is_staged(shallow: Repo, kilo: Runner) -> None:
    shallow.stage("t2.py", "2\n")
    assert paths(kilo(*DRY, cwd=shallow.path)) == ["t2.py"]
    assert paths(kilo("uncommitted", *DRY, cwd=shallow.path)) == ["t2.py"]


def test_trap_42_deepening_helps_as_the_message_says(shallow: Repo, kilo: Runner) -> None:
    shallow.git("fetch", "-q", "--unshallow")
    assert paths(kilo("branch", "--base=origin/main", *DRY, cwd=shallow.path)) == ["t1.py", "t2.py"]


def test_trap_42_histories_without_a_common_start_are_an_error(repo: Repo, kilo: Runner) -> None:
    repo.git("checkout", "-q", "--orphan", "other")
    repo.commit("other", other__py="1\n")
    assert refused(kilo("main...other", *DRY), "no common history")
    assert paths(kilo("main..other", *DRY)) == ["other.py"]


@pytest.fixture
def partial(upstream: Repo, tmp_path: Path) -> Repo:
    """A clone without any blob."""
    return clone(upstream, tmp_path / "partial", "--filter=blob:none", "--no-checkout", "--branch=topic")


def objects_in(repo: Repo) -> set[Path]:
    return set((repo.path / ".git/objects").rglob("*"))


@pytest.mark.parametrize("arguments", [("HEAD",), ("branch",), ("origin/main..HEAD",)])
def test_trap_43_a_partial_clone_is_explained_and_nothing_is_fetched(
    partial: Repo, kilo: Runner, arguments: tuple[str, ...]
) -> None:
    before = objects_in(partial)
    done = kilo(*arguments, *DRY, cwd=partial.path)
    assert refused(done, "partial clone", "git fetch", code=3)
    assert objects_in(partial) == before


def test_trap_43_a_partial_clone_that_has_the_blobs_is_reviewed_offline(
    partial: Repo, upstream: Repo, kilo: Runner
) -> None:
    partial.git("checkout", "-q", "topic")
    upstream.path.rename(upstream.path.with_name("gone"))
    assert paths(kilo("HEAD", *DRY, cwd=partial.path)) == ["t2.py"]
    partial.stage("t2.py", "2\n")
    assert paths(kilo(*DRY, cwd=partial.path)) == ["t2.py"]


def test_trap_43_a_missing_object_is_an_error(two_edits: Repo, kilo: Runner) -> None:
    oid = two_edits.out("rev-parse", ":staged.py")
    (two_edits.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    assert refused(kilo(*DRY), "not reviewed: ", code=3)
    with Repository(two_edits.path) as opened, pytest.raises(SourceError, match="no content for object"):
        opened.blob(oid)


@pytest.mark.parametrize("target", ["staged", "uncommitted"])
def test_trap_44_a_bare_repository_has_no_staged_change(
    upstream: Repo, kilo: Runner, tmp_path: Path, target: str
) -> None:
    bare = clone(upstream, tmp_path / "bare.git", "--bare")
    assert refused(kilo(target, *DRY, cwd=bare.path), f"a bare repository has nothing {target}")


def test_trap_44_a_bare_repository_has_history(upstream: Repo, kilo: Runner, tmp_path: Path) -> None:
    bare = clone(upstream, tmp_path / "bare.git", "--bare")
    assert paths(kilo("topic", *DRY, cwd=bare.path)) == ["t2.py"]
    assert paths(kilo("main...topic", *DRY, cwd=bare.path)) == ["t1.py", "t2.py"]


@pytest.mark.parametrize("sparse_index", ["--no-sparse-index", "--sparse-index"], ids=lambda o: f"trap-44{o[1:]}")
def test_a_sparse_checkout_hides_no_change_and_invents_none(two_edits: Repo, kilo: Runner, sparse_index: str) -> None:
    two_edits.commit()
    two_edits.git("checkout", "-q", "--", "edited.py")
    for folder in ("kept", "gone"):
        two_edits.stage(f"{folder}/f.py", "1\n")
    two_edits.commit()
    two_edits.git("sparse-checkout", "set", "--cone", sparse_index, "kept")
    assert not (two_edits.path / "gone").exists()
    two_edits.stage("kept/f.py", "2\n")
    assert paths(kilo(*DRY)) == ["kept/f.py"]
    assert paths(kilo("uncommitted", *DRY)) == ["kept/f.py"]
    blob = two_edits.git("hash-object", "-w", "--stdin", input=b"2\n").stdout.decode().strip()
    two_edits.git("update-index", "--cacheinfo", f"100644,{blob},gone/f.py")
    assert paths(kilo(*DRY)) == ["gone/f.py", "kept/f.py"]


def test_trap_45_git_speaks_english_whatever_the_user_speaks(kilo: Runner, tmp_path: Path) -> None:
    foreign = {"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}
    assert refused(kilo(*DRY, cwd=tmp_path, env=foreign), "this is not a git repository")


def test_trap_46_a_hook_in_a_folder_of_the_users_works(two_edits: Repo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    pre_commit_hook(two_edits, report, "../own-hooks")
    two_edits.git("config", "core.hooksPath", str(tmp_path / "own-hooks"))
    two_edits.git("commit", "-qm", "it")
    seen = json.loads(report.read_bytes())
    assert seen["target"]["head"] == two_edits.out("rev-parse", "HEAD^{tree}")


def test_trap_47_several_merge_bases_are_no_error(repo: Repo, kilo: Runner) -> None:
    base = repo.commit("base")
    repo.git("checkout", "-q", "-b", "topic")
    one = repo.commit("one", one__py="1\n")
    repo.git("checkout", "-q", "main")
    two = repo.commit("two", two__py="1\n")
    repo.git("merge", "-q", "--no-edit", one)
    repo.git("checkout", "-q", "topic")
    repo.git("merge", "-q", "--no-edit", two)
    repo.commit("three", three__py="1\n")
    assert len(repo.out("merge-base", "--all", "main", "topic").split()) == 2
    for arguments in (("main...topic",), ("branch", "--base=main")):
        seen = paths(kilo(*arguments, *DRY))
        assert "three.py" in seen
        assert len(seen) == 2
    assert paths(kilo(f"{base}..topic", *DRY)) == ["one.py", "three.py", "two.py"]


@pytest.mark.parametrize("variables", [{}, {"GIT_NO_REPLACE_OBJECTS": "0"}, {"GIT_REPLACE_REF_BASE": "refs/other/"}])
def test_trap_47_replaced_objects_do_not_hide_the_recorded_ones(
    two_edits: Repo, kilo: Runner, variables: dict[str, str]
) -> None:
    expected = kilo("HEAD", *DRY).stdout
    two_edits.git("replace", "HEAD", "HEAD~1")
    assert two_edits.out("show", "--format=", "--name-only", "HEAD") != "sub/deep.py"
    two_edits.git("update-ref", f"refs/other/{two_edits.git('rev-parse', 'HEAD').stdout.decode().strip()}", "HEAD~1")
    assert kilo("HEAD", *DRY, env=variables).stdout == expected


def test_trap_47_a_replaced_blob_is_not_what_is_reviewed(two_edits: Repo, kilo: Runner) -> None:
    real = two_edits.out("rev-parse", ":staged.py")
    harmless = two_edits.git("hash-object", "-w", "--stdin", input=b"harmless\n").stdout.decode().strip()
    expected = kilo("--show-prompt").stdout
    two_edits.git("replace", real, harmless)
    assert two_edits.git("cat-file", "blob", real).stdout == b"harmless\n"
    assert kilo("--show-prompt").stdout == expected


def test_trap_47_talk_of_git_on_standard_error_is_no_failure(two_edits: Repo, kilo: Runner) -> None:
    report: dict[str, Any] = kilo(*DRY, env={"GIT_TRACE": "2"}).json()
    assert report["coverage"]["files"] == 1


def test_what_a_child_complains_about_may_end_in_the_middle() -> None:
    """Its pipe is closed while it is read from, where the child is given up."""

    class Closed:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> Iterator[bytes]:
            yield b"warning\n"
            raise ValueError("I/O operation on closed file")

    before = threading.enumerate()
    said = drained(Closed())
    for thread in set(threading.enumerate()) - set(before):
        thread.join()  # an exception that nobody has caught fails the test
    assert said == [b"warning\n"]


@pytest.mark.parametrize("target", ["staged", "HEAD", "HEAD~1..HEAD"])
def test_trap_45_filters_are_not_run_for_what_is_in_git_already(
    repo: Repo, kilo: Runner, tmp_path: Path, target: str
) -> None:
    repo.commit("second", b__py="b = 1\n", __gitattributes="* filter=trap\n")
    changed = repo.write("b.py", "b = 2\n")
    later = time.time() + 100  # git does not trust what changed after its index did, and would look into the file
    os.utime(changed, (later, later))
    repo.git("add", "b.py")
    repo.git("config", "filter.trap.clean", f"touch {tmp_path / 'called'}; cat")
    assert "b.py" in paths(kilo(target, *DRY))
    assert not (tmp_path / "called").exists()
    repo.git("-c", "core.splitIndex=false", "write-tree")
    assert (tmp_path / "called").exists(), "git by itself would have run it"
