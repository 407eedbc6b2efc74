"""Written files: a change of the checkout must not decide where they land, and what the user names must go on working."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core import atomic_write
from kilo_review.core.deadline import Deadline
from kilo_review.judge.policy import ExitCode
from kilo_review.ledger.background_lock import Turn
from kilo_review.ledger.store import FILE, Store
from kilo_review.report import deliver, job_summary
from kilo_review.report.view import View
from kilo_review.source import worktree
from tests.support.here import run_here
from tests.support.outcomes import outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Runner

BUGGY = "def mean(items):\n    return sum(items) / len(items)\n"
PRECIOUS = "what the user keeps\n"
PLAIN = "repos:\n  - repo: https://example.org/x\n    rev: v1\n    hooks:\n      - id: x\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder beside the repository, with a file that a shell runs."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / ".bashrc").write_text(PRECIOUS)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], repo: Repo) -> Any:
    """Run the program at the top of the repository, in this process."""
    monkeypatch.chdir(repo.path)
    return lambda *words: run_here(capsysbinary, *words)


@pytest.fixture
def planted(repo: Repo, home: Path) -> Repo:
    """A change in the checkout that brings links, an executable, and a text."""
    assert home.is_dir()
    repo.git("checkout", "-q", "-b", "topic")
    links = {
        "review.txt": "../own/.bashrc",
        "new.txt": "../own/.profile",
        "out": "../own",
        "deep/out": "../../own",
        "docs": "documentation",
        "chain.txt": "review.txt",
        "above": "..",
        "null": "/dev/null",
        "shown": "/dev/stdout",
        "gits": ".git",
        "absolute": str(home),
    }
    repo.write("documentation/page.md", "page\n")
    repo.write("deep/page.md", "page\n")
    for name, target in links.items():
        (repo.path / name).symlink_to(target)
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    repo.write("kilo.md", "kilo\n")
    repo.write("app.py", BUGGY)
    repo.git("add", "-A")
    repo.commit("topic")
    return repo


def ci(kilo: Runner, run: Any, *words: str) -> Any:
    return run("ci", "--base", "main", "--no-fetch", *kilo.scripted(), *words)


def contents(*folders: Path) -> dict[str, bytes | str]:
    """All files but those that git itself rewrites, and where links lead."""
    found: dict[str, bytes | str] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if {"kilo-review", "objects", "index"} & set(path.parts):
                continue
            found[str(path)] = (
                str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
            )
    return found


REFUSED = {
    "a link to a file": "review.txt",
    "a link to nothing yet": "new.txt",
    "a file in a linked folder": "out/review.txt",
    "a link further down": "deep/out/review.txt",
    "a link that stays in the checkout": "docs/review.txt",
    "a link to a link": "chain.txt",
    "a link upwards": "above/review.txt",
    "a link and back": "out/../review.json",
    "a link with a whole path": "absolute/review.txt",
    "a link to a device": "null",
    "a link to standard output": "shown",
    "an executable": "run.sh",
    "a text": "kilo.md",
    "a text by a way round": "documentation/../kilo.md",
    "git's settings": ".git/config",
    "a hook": ".git/hooks/pre-commit",
    "git's folder in capitals": ".GIT/config",
    "git's folder with a sign that is not seen": ".g\u200cit/config",
    "git's folder as Windows may call it": "git~1/config",
    "git's folder behind a link": "gits/config",
    "a name for git's folder": ".git",
}


@pytest.mark.parametrize("output", REFUSED.values(), ids=REFUSED)
def test_a_report_is_not_written_where_a_change_leads_it(
    kilo: Runner, run: Any, planted: Repo, home: Path, output: str
) -> None:
    for name in (".GIT", ".g\u200cit", "git~1"):  # as a file system that finds `.git` by these names would have them
        (planted.path / name).mkdir()
    before = contents(planted.path, home)
    for words in (("--output", output), ("--output", f"json={planted.path / output}")):
        done = ci(kilo, run, *words)
        assert done.code == 2, done.talk
        assert "--output" in done.talk
        assert "asking" not in done.talk, "it was not told before the review"
        assert contents(planted.path, home) == before


@pytest.mark.parametrize(
    "words",
    [
        ("review", "main..topic"),
        ("hook", "pre-commit"),
        ("rules",),
        ("baseline", "check"),
        ("merge", "shard.json"),
        ("doctor",),
        ("models",),
        ("stats",),
        ("status",),
        ("prompts",),
        ("dismissed",),
        ("bench", "--limit", "1"),
    ],
    ids=" ".join,
)
def test_every_command_that_has_an_output_refuses_the_same(
    kilo: Runner, run: Any, planted: Repo, home: Path, words: tuple[str, ...]
) -> None:
    before = contents(planted.path, home)
    for output in ("review.txt", "out/x", "run.sh", ".git/x"):
        done = run(*words, *kilo.scripted(), "--output", output)
        assert done.code == 2, done.talk
        assert f"--output: {output!a} may not be written" in done.talk + done.text
    assert contents(planted.path, home) == before


@pytest.mark.long
def test_the_checkout_is_known_by_whatever_way_it_is_entered(
    kilo: Runner, run: Any, planted: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(planted.path)
    (home / "work").symlink_to(planted.path)
    (home / "page.txt").symlink_to(planted.path / "run.sh")
    (home / "fine.txt").symlink_to(planted.path / "fine.txt")
    for output in (
        home / "work" / "run.sh",
        home / "work" / "out" / "new.txt",
        home / "work" / ".git" / "config",
        home / "page.txt",
        home / ".." / "repo" / "run.sh",
        Path("..") / "repo" / "out" / "new.txt",
    ):
        done = ci(kilo, run, "--output", str(output))
        assert (done.code, "may not be written" in done.talk) == (2, True), output
    monkeypatch.chdir(planted.path / "deep")
    assert ci(kilo, run, "--output", "../run.sh").code == 2
    assert ci(kilo, run, "--output", "out/new.txt").code == 2
    assert contents(planted.path) == before
    assert ci(kilo, run, "--output", str(home / "fine.txt")).code == 0
    assert "kilo-review" in (planted.path / "fine.txt").read_text()
    assert (home / "fine.txt").is_symlink()


def test_a_worktree_that_a_variable_names_is_one(
    kilo: Runner, run: Any, planted: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(planted.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(planted.path))
    monkeypatch.chdir(home)
    for output in (planted.path / "run.sh", planted.path / "out" / "new.txt", planted.path / ".git" / "new"):
        assert run("rules", *kilo.scripted(), "--output", str(output)).code == 2
    assert (home / ".bashrc").read_text() == PRECIOUS


@pytest.mark.parametrize("name", ["gone.txt", "run.sh", "out"])
def test_a_tracked_file_that_is_not_there_is_one_all_the_same(kilo: Runner, run: Any, planted: Repo, name: str) -> None:
    planted.commit("gone", gone__txt="gone\n")
    (planted.path / name).unlink()
    done = ci(kilo, run, "--output", name)
    assert (done.code, "git tracks it" in done.talk) == (2, True)
    planted.git("rm", "-q", "--cached", name)  # of the index, too: it is in the commit that is reviewed
    assert ci(kilo, run, "--output", name).code == 2
    assert not os.path.lexists(planted.path / name)


def test_a_file_of_the_proposal_is_one_where_its_base_is_checked_out(kilo: Runner, run: Any, planted: Repo) -> None:
    planted.git("checkout", "-q", "main")
    planted.git("update-ref", "refs/remotes/origin/main", "main")
    environment = {"CI_PIPELINE_EVENT": "pull_request", "CI": "woodpecker", "CI_COMMIT_PULL_REQUEST": "7"}
    environment |= {"CI_COMMIT_TARGET_BRANCH": "main", "CI_COMMIT_SHA": planted.out("rev-parse", "topic")}
    words = ("ci", "--no-fetch", *kilo.scripted(), "--output")
    for name in ("kilo.md", "review.txt"):
        done = kilo(*words, name, env=environment)
        assert (done.code, "git tracks it" in done.talk) == (2, True), done.talk
        assert not os.path.lexists(planted.path / name)
    assert kilo(*words, "other.md", env=environment).code == 0
    assert (planted.path / "other.md").exists()


def test_a_pipe_in_the_checkout_is_refused(kilo: Runner, run: Any, planted: Repo) -> None:
    os.mkfifo(planted.path / "pipe")
    done = ci(kilo, run, "--output", "pipe")
    assert (done.code, "must be a regular file" in done.talk) == (2, True)


# At the time of writing


def test_a_link_that_comes_during_the_review_is_not_followed(
    run: Any, repo: Repo, home: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run
    (repo.path / "late.txt").symlink_to(home / ".bashrc")
    (repo.path / "late").symlink_to(home)
    for output in ("late.txt", "late/new.txt"):
        assert deliver.deliver("the report", Path(output), 0) == 2
        assert deliver.deliver("the report", Path(output), 3) == 3
        told = capsysbinary.readouterr()
        assert told.out == b"the report\nthe report\n"
        assert b"is a link in the checkout" in told.err
    assert [path.name for path in home.iterdir()] == [".bashrc"]
    assert (home / ".bashrc").read_text() == PRECIOUS


def test_a_folder_that_is_exchanged_while_it_is_written_to_gets_the_file(
    run: Any, repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run
    folder = repo.path / "reports"
    folder.mkdir()
    synced = os.fsync

    def exchanged(descriptor: int) -> None:
        synced(descriptor)
        folder.rename(repo.path / "moved")
        folder.symlink_to(home)

    monkeypatch.setattr(os, "fsync", exchanged)
    assert deliver.deliver("the report", Path("reports/.bashrc"), 0) == 0
    assert (home / ".bashrc").read_text() == PRECIOUS
    assert [path.name for path in (repo.path / "moved").iterdir()] == [".bashrc"]


def test_a_file_that_becomes_a_link_while_it_is_written_is_replaced(
    run: Any, repo: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run
    synced = os.fsync

    def exchanged(descriptor: int) -> None:
        synced(descriptor)
        (repo.path / "r.txt").symlink_to(home / ".bashrc")

    monkeypatch.setattr(os, "fsync", exchanged)
    assert deliver.deliver("the report", Path("r.txt"), 0) == 0
    assert (home / ".bashrc").read_text() == PRECIOUS
    assert not (repo.path / "r.txt").is_symlink()


def test_what_cannot_be_written_leaves_nothing_behind(run: Any, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run
    repo.write("r.txt", "before")
    before = contents(repo.path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert deliver.deliver("the report", Path("r.txt"), 0) == 2
    assert contents(repo.path) == before


# What goes on working


@pytest.mark.parametrize("output", ["fine.txt", "reports/fine.txt", "deep/fine.txt", ".github.txt", "deep/../fine.txt"])
def test_a_new_file_beside_the_links_is_written_and_written_again(
    kilo: Runner, run: Any, planted: Repo, output: str
) -> None:
    (planted.path / "reports").mkdir()
    for _ in range(2):
        assert ci(kilo, run, "--format", "json", "--output", output).code == 0
        assert json.loads((planted.path / output).read_text())["outcome"] == "clean"


def test_a_file_of_an_earlier_run_is_replaced_and_cannot_be_executed(run: Any, repo: Repo, home: Path) -> None:
    assert run
    path = repo.write("r.txt", "before")
    path.chmod(0o755)
    os.link(path, home / "other")
    assert deliver.deliver("the report", Path("r.txt"), 0) == 0
    assert path.read_text() == "the report\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert (home / "other").read_text() == "before"


def test_outside_the_users_own_links_are_followed(kilo: Runner, run: Any, planted: Repo, home: Path) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (home / "reports").symlink_to("elsewhere")
    (home / "latest.json").symlink_to(elsewhere / "latest.json")
    (elsewhere / "tool").write_text("before")
    (elsewhere / "tool").chmod(0o755)
    for output in ("../own/reports/one.json", str(home / "reports" / "two.json"), str(home / "latest.json")):
        assert ci(kilo, run, "--output", output).code == 0
    assert ci(kilo, run, "--output", str(elsewhere / "tool")).code == 0
    assert {path.name for path in elsewhere.iterdir()} == {"one.json", "two.json", "latest.json", "tool"}
    assert (home / "latest.json").is_symlink()
    assert stat.S_IMODE((elsewhere / "tool").stat().st_mode) == 0o755
    assert planted.out("status", "--porcelain") == ""


def test_pipes_and_devices_of_the_user_are_written_to(kilo: Runner, planted: Repo, tmp_path: Path) -> None:
    words = ("ci", "--base", "main", "--no-fetch", *kilo.scripted(), "--format", "json", "--output")
    assert planted.path.is_dir()
    assert kilo(*words, "/dev/stdout").json()["outcome"] == "clean"
    assert kilo(*words, "/dev/null").code == 0
    reading, writing = os.pipe()
    assert kilo(*words, f"/dev/fd/{writing}", pass_fds=(writing,)).code == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert json.loads(stream.read())["outcome"] == "clean"
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert kilo(*words, str(tmp_path / "pipe")).code == 0
    with os.fdopen(reading, "rb") as stream:
        assert json.loads(stream.read())["outcome"] == "clean"


def test_a_folder_that_may_not_be_listed_may_be_gone_through(run: Any, home: Path) -> None:
    assert run
    (home / "r").mkdir()
    home.chmod(0o311)
    try:
        assert deliver.deliver("the report", home / "r" / "r.txt", 0) == 0
    finally:
        home.chmod(0o755)


def test_where_there_is_no_repository_nothing_is_refused(
    kilo: Runner, run: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "link.txt").symlink_to("real.txt")
    assert run("rules", *kilo.scripted(), "--output", "link.txt").code == 0
    assert (home / "real.txt").exists()


# Other repositories in it and around it


@pytest.mark.long
def test_a_submodule_brings_links_and_files_too(
    kilo: Runner, run: Any, planted: Repo, home: Path, make_repo: Callable[..., Repo]
) -> None:
    library = make_repo("library")
    (library.path / "away").symlink_to("../../own")
    library.stage("tool.sh", "#!/bin/sh\n")
    library.git("add", "-A")
    library.commit("library")
    planted.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.path), "sub")
    planted.commit("sub")
    for output in ("sub/away/new.txt", "sub/tool.sh", "sub/.git", "sub/.git/x"):
        assert ci(kilo, run, "--output", output).code == 2
    assert ci(kilo, run, "--output", "sub/fine.txt").code == 3  # a new submodule is not reviewed
    assert (planted.path / "sub" / "fine.txt").exists()
    assert ci(kilo, run, "--output", "sub/fine.txt").code == 3  # a new submodule is not reviewed
    assert (planted.path / "sub" / "fine.txt").exists()
    assert (planted.path / "sub" / "fine.txt").exists()
    assert [path.name for path in home.iterdir()] == [".bashrc"]


@pytest.mark.parametrize("kind", ["submodule", "worktree"])
def test_from_a_submodule_or_a_worktree_in_it_the_whole_is_the_checkout(
    kilo: Runner,
    run: Any,
    planted: Repo,
    home: Path,
    make_repo: Callable[..., Repo],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    library = make_repo("library")
    library.commit("library", lib__py="x = 1\n")
    if kind == "submodule":
        planted.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.path), "inner")
        planted.commit("inner")
    else:
        planted.git("worktree", "add", "-q", "inner", "main")
    monkeypatch.chdir(planted.path / "inner")
    for output in ("../out/new.txt", "../run.sh", "../.git/config"):
        done = run("rules", *kilo.scripted(), "--output", output)
        assert (done.code, "may not be written" in done.talk) == (2, True), output
    for _ in range(2):
        assert run("rules", *kilo.scripted(), "--output", "../fine.txt").code == 0
        assert run("rules", *kilo.scripted(), "--output", "fine.txt").code == 0
    assert run("rules", *kilo.scripted(), "--output", "lib.py" if kind == "submodule" else "app.py").code == 2
    assert [path.name for path in home.iterdir()] == [".bashrc"]


def test_a_repository_that_git_refuses_gets_new_files_alone(
    run: Any, planted: Repo, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for output in ("run.sh", "out/new.txt", ".git/config"):
        assert deliver.deliver("the report", Path(output), 0) == 2
    assert deliver.deliver("the report", Path("fine.txt"), 0) == 0
    assert (planted.path / "run.sh").read_text() == "#!/bin/sh\n"
    assert [path.name for path in home.iterdir()] == [".bashrc"]


def test_a_file_system_that_knows_other_spellings_is_asked_for_its_own(
    run: Any, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS: `RUN.sh` finds `run.sh`, which git tracks. Two names of one file stand for it here."""
    assert run
    path = repo.stage("run.sh", "#!/bin/sh\n")
    os.link(path, repo.path / "RUN.sh")
    scan = os.scandir

    class OwnNames:
        def __init__(self, folder: int) -> None:
            self._entries = scan(folder)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return [entry for entry in self._entries if entry.name != "RUN.sh"]

        def __exit__(self, *exc: object) -> None:
            self._entries.close()

    monkeypatch.setattr(os, "scandir", OwnNames)
    with pytest.raises(atomic_write.UnsafePathError, match="git tracks it"):
        atomic_write.check(Path("RUN.sh"), worktree.guard())
    atomic_write.check(Path("other.sh"), worktree.guard())


# What else is written


def test_a_baseline_is_written_through_no_link_and_not_among_what_git_keeps(
    kilo: Runner, run: Any, planted: Repo, home: Path
) -> None:
    (planted.path / ".kilo-review").symlink_to("../own")
    before = contents(planted.path, home)
    script = kilo.scripted()
    for name in (
        (),
        ("out/b.json",),
        ("new.txt",),
        (".git/hooks/pre-push",),
        (".git/new/b.json",),
        ("docs/new/b.json",),
    ):
        done = run("baseline", "create", *name, *script)
        assert (done.code, "cannot be written" in done.talk) == (2, True), done.talk
    assert contents(planted.path, home) == before
    (planted.path / ".kilo-review").unlink()
    assert run("baseline", "create", *script).code == 0
    planted.git("add", "-A")
    planted.commit("baseline")
    assert run("baseline", "update", *script).code == 0, "a tracked one is what it is for"
    assert run("baseline", "create", "new/folder/b.json", *script).code == 0
    assert run("baseline", "create", str(home / "new" / "b.json"), *script).code == 0


def test_a_setting_of_the_repository_names_no_file_of_gits(kilo: Runner, run: Any, planted: Repo) -> None:
    planted.write(".kilo-review.toml", 'baseline = ".git/hooks/pre-push"\n')
    assert run("baseline", "create", *kilo.scripted()).code == 2
    assert not (planted.path / ".git" / "hooks" / "pre-push").exists()


@pytest.mark.parametrize("target", ["../own/.bashrc", "real.yaml", "../own/new.yaml"])
def test_init_writes_no_linked_configuration(run: Any, repo: Repo, home: Path, target: str) -> None:
    repo.stage("real.yaml", PLAIN)
    (home / ".bashrc").write_text(PLAIN)
    (repo.path / ".pre-commit-config.yaml").symlink_to(target)
    before = contents(repo.path, home)
    assert run("init", "--yes").code == 2
    assert contents(repo.path, home) == before


def test_init_rewrites_a_tracked_configuration(run: Any, repo: Repo) -> None:
    repo.stage(".pre-commit-config.yaml", PLAIN)
    repo.commit("configuration")
    assert run("init", "--yes").code == 0
    assert "kilo-review" in (repo.path / ".pre-commit-config.yaml").read_text()


def test_exported_prompts_and_mined_cases_go_through_no_link(kilo: Runner, run: Any, planted: Repo, home: Path) -> None:
    planted.commit("Fix a crash", app__py="def mean(items):\n    return 0 if not items else sum(items) / len(items)\n")
    before = contents(planted.path, home)
    for folder in ("out/prompts", "docs/prompts", ".git/prompts"):
        for command in (("prompts", "export"), ("bench", "mine")):
            done = run(*command, folder, *kilo.scripted())
            assert (done.code, "cannot be written" in done.talk) == (2, True), done.talk
    assert contents(planted.path, home) == before
    assert run("prompts", "export", "own/prompts", *kilo.scripted()).code == 0
    assert run("bench", "mine", "own/cases", *kilo.scripted()).code == 0
    assert run("prompts", "export", str(home / "prompts"), *kilo.scripted()).code == 0


@pytest.mark.long
def test_a_ledger_is_kept_behind_no_link_of_the_checkout(kilo: Runner, run: Any, planted: Repo, home: Path) -> None:
    (planted.path / "untracked").symlink_to(home)
    for folder in ("out/ledger", "untracked/ledger", "docs/ledger"):
        assert ci(kilo, run, "--ledger", folder).code == 2
    assert [path.name for path in home.iterdir()] == [".bashrc"]
    (home.parent / "link").symlink_to(home)
    for folder in ("kept/ledger", ".git/ledger", str(home.parent / "link" / "ledger")):
        assert ci(kilo, run, "--ledger", folder).code == 0
    assert (planted.path / "kept" / "ledger" / "kilo-review" / FILE).exists()


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", f"{FILE}-journal", "lock"])
def test_the_ledger_opens_no_link(tmp_path: Path, home: Path, name: str) -> None:
    (tmp_path / "kilo-review").mkdir()
    (tmp_path / "kilo-review" / name).symlink_to(home / "new")
    store = Store(tmp_path, Deadline())
    assert not store.write(("INSERT INTO calibration VALUES (?, 1, 1, 1, 1, 1)", [("m",)]))
    assert store.off
    store.close()
    assert [path.name for path in home.iterdir()] == [".bashrc"]


@pytest.mark.parametrize("name", ["background.wanted", "background.lock"])
def test_the_turn_opens_no_link(tmp_path: Path, home: Path, name: str) -> None:
    folder = tmp_path / "kilo-review"
    folder.mkdir()
    (folder / name).symlink_to(home / ".bashrc")
    turn = Turn(folder)
    with pytest.raises(OSError, match="symbolic links"):
        turn.leave_word() if name.endswith("wanted") else turn.take()
    assert (home / ".bashrc").read_text() == PRECIOUS


def test_hooks_are_installed_through_no_link_of_the_checkout(run: Any, repo: Repo, home: Path) -> None:
    (repo.path / "hooks").symlink_to("../own")
    repo.git("add", "hooks")
    repo.commit("hooks")
    repo.git("config", "core.hooksPath", "hooks")
    done = run("install")
    assert (done.code, "is a link in the checkout" in done.talk) == (2, True), done.talk
    assert [path.name for path in home.iterdir()] == [".bashrc"]


def test_hooks_are_installed_where_the_users_own_links_lead(run: Any, repo: Repo, home: Path) -> None:
    hooks = repo.path / ".git" / "hooks"
    for path in hooks.iterdir():
        path.unlink()
    hooks.rmdir()
    hooks.symlink_to(home)
    done = run("install")
    assert done.code == 0, done.talk
    assert (home / "pre-commit").exists()


# The page of a job


def append(path: Path) -> str:
    return job_summary.append(path, View(outcome_of(), ExitCode.PASS))


def test_a_page_in_the_checkout_follows_the_same_rule(run: Any, planted: Repo, home: Path) -> None:
    assert run
    os.link(home / ".bashrc", planted.path / "second-name")
    before = contents(planted.path, home)
    for name in ("review.txt", "out/page.md", "docs/page.md", "kilo.md", ".git/config", "second-name", "null"):
        assert "could not be written" in append(planted.path / name), name
    assert contents(planted.path, home) == before
    for _ in range(2):
        assert append(planted.path / "page.md") == ""
    assert (planted.path / "page.md").read_text().count("kilo-review") >= 2


def test_a_page_elsewhere_is_added_to_through_the_users_links(run: Any, home: Path) -> None:
    assert run
    (home / "page.md").write_text("before\n")
    (home / "link.md").symlink_to("page.md")
    assert append(home / "link.md") == ""
    assert (home / "page.md").read_text().startswith("before\n\n\n")
    assert append(Path(os.devnull)) == ""


# Started beside the checkout


@pytest.mark.parametrize("output", ["repo/review.txt", "repo/out/x", "repo/run.sh", "repo/.git/hooks/pre-commit"])
@pytest.mark.parametrize("inside", [False, True], ids=["beside", "in another checkout"])
def test_a_checkout_is_guarded_from_wherever_the_program_is_started(
    kilo: Runner, planted: Repo, home: Path, make_repo: Callable[..., Repo], output: str, *, inside: bool
) -> None:
    folder = make_repo("other").path if inside else planted.path.parent
    patch = b"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    before = contents(planted.path, home)
    where = f"../{output}" if inside else output
    done = kilo("-", *kilo.scripted(), "--output", where, cwd=folder, stdin=patch)
    assert (done.code, "may not be written" in done.talk) == (2, True)
    assert contents(planted.path, home) == before


def test_a_new_file_in_another_checkout_is_written_and_replaced(kilo: Runner, planted: Repo) -> None:
    patch = b"--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    for _ in range(2):
        assert kilo("-", *kilo.scripted(), "--output", "repo/own.txt", cwd=planted.path.parent, stdin=patch).code == 0
    assert "no findings" in (planted.path / "own.txt").read_text()
