"""What is pushed and is no commit: it is said not to have been reviewed, and no policy takes it for reviewed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from kilo_review.hooks import pre_push
from kilo_review.report import FORMATS
from kilo_review.source.repo import Repository
from tests.support.hooked import Hooked, environment_of, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Runner

ZEROS = "0" * 40
ONLY = "only commits are reviewed"


@pytest.fixture
def pushing(repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """A hook, and a remote that has the only commit."""
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")
    made = Hooked(repo, folder)
    made.install("pre-push")
    return made


def tag(repo: Repo, name: str, of: str) -> str:
    repo.git("tag", "-a", "-m", name, name, of)
    return repo.out("rev-parse", f"refs/tags/{name}")


OTHERS: dict[str, tuple[Callable[[Repo], object], str]] = {
    "a tag of a blob": (lambda repo: tag(repo, "x", "HEAD:app.py"), "a file (blob)"),
    "a tag of a tree": (lambda repo: tag(repo, "x", "HEAD^{tree}"), "a folder (tree)"),
    "a tag of a tag of a blob": (lambda repo: tag(repo, "x", tag(repo, "y", "HEAD:app.py")), "a file (blob)"),
    "a reference at a blob": (lambda repo: repo.git("update-ref", "refs/tags/x", "HEAD:app.py"), "a file (blob)"),
    "a reference at a tree": (lambda repo: repo.git("update-ref", "refs/tags/x", "HEAD^{tree}"), "a folder (tree)"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_it_is_said_and_recorded(pushing: Hooked, what: str) -> None:
    make, kind = OTHERS[what]
    make(pushing.repo)
    done = pushing.push("origin", "refs/tags/x")
    report = pushing.report()
    (entry,) = report["coverage"]["entries"]
    assert (report["outcome"], report["exit_code"], entry["path"], entry["state"]) == (
        *("not_reviewed", 0, "refs/tags/x", "not_reviewed"),
    )
    assert kind in entry["reason"]
    assert ONLY in entry["reason"]
    assert "refs/tags/x" in entry["reason"]
    assert b"nothing new" not in done.stderr
    (reason,) = pushing.left().values()
    assert kind in reason


def test_the_policy_stops_it(pushing: Hooked) -> None:
    tag(pushing.repo, "x", "HEAD:app.py")
    stopped = pushing.push("origin", "refs/tags/x", check=False, KILO_REVIEW_ON_UNAVAILABLE="block")
    assert (stopped.returncode, pushing.report()["exit_code"]) == (1, 3)
    assert pushing.repo.out("ls-remote", "origin", "refs/tags/x") == ""


@pytest.mark.parametrize("policy", ["allow", "block"])
def test_beside_commits_it_is_not_hidden(pushing: Hooked, policy: str) -> None:
    tag(pushing.repo, "x", "HEAD:app.py")
    pushing.repo.commit("more", b__py="b = 1\n")
    done = pushing.push(
        "origin", "main", "refs/tags/x", "HEAD^{tree}:refs/odd/y", check=False, KILO_REVIEW_ON_UNAVAILABLE=policy
    )
    report = pushing.report()
    assert (report["outcome"], done.returncode) == ("incomplete", int(policy == "block"))
    assert states(report) == ["not_reviewed", "not_reviewed", "reviewed"]
    assert {row["path"] for row in report["coverage"]["entries"]} == {"b.py", "refs/tags/x", "refs/odd/y"}


def test_every_report_tells_it(pushing: Hooked, kilo: Runner, tmp_path: Path) -> None:
    repo = pushing.repo
    oid = tag(repo, "x", "HEAD:app.py")
    words = [word for form in FORMATS for word in ("--output", f"{form}={tmp_path / form}")]
    line = f"refs/tags/x {oid} refs/tags/x {ZEROS}\n".encode()
    unset = {"KILO_REVIEW_FORMAT": "", "KILO_REVIEW_OUTPUT": ""}
    done = kilo("hook", "pre-push", *words, "origin", "url", stdin=line, env=unset)
    assert done.code == 0, done.talk
    for form in FORMATS:
        text = (tmp_path / form).read_text()
        assert re.search("not[ _]reviewed", text, re.IGNORECASE), form
        assert "refs/tags/x" in text, form


def test_the_record_hinders_no_later_command(pushing: Hooked, kilo: Runner) -> None:
    pushing.repo.commit("more", b__py="b = 1\n")
    pushing.repo.git("update-ref", "refs/tags/x", "HEAD^{tree}")
    pushing.push("origin", "main", "refs/tags/x")
    pushing.report()
    unset = {"KILO_REVIEW_FORMAT": "text", "KILO_REVIEW_OUTPUT": ""}
    for words in (("status",), ("catch-up",), ("doctor",), ("stats",)):
        done = kilo(*words, env=unset)
        assert done.code in {0, 3} if words == ("doctor",) else done.code == 0, done.talk
        assert "Traceback" not in done.talk


# By the framework's variables


@pytest.mark.parametrize("end", ["blob", "tree", "tag of a blob"])
def test_the_frameworks_variables_may_name_it(pushing: Hooked, kilo: Runner, end: str) -> None:
    repo = pushing.repo
    oid = {
        "blob": lambda: repo.out("rev-parse", "HEAD:app.py"),
        "tree": lambda: repo.out("rev-parse", "HEAD^{tree}"),
        "tag of a blob": lambda: tag(repo, "x", "HEAD:app.py"),
    }[end]()
    environment = {
        "PRE_COMMIT_FROM_REF": repo.out("rev-parse", "HEAD"),
        "PRE_COMMIT_TO_REF": oid,
        "PRE_COMMIT_REMOTE_NAME": "origin",
        "PRE_COMMIT_REMOTE_BRANCH": "refs/tags/x",
    }
    done = kilo("hook", "pre-push", env=environment)
    assert done.code == 0, done.talk
    report = pushing.report()
    assert (report["outcome"], report["coverage"]["entries"][0]["path"]) == ("not_reviewed", "refs/tags/x")


# What goes on working


def found(repo: Repo, *lines: str, remote: str = "origin") -> tuple[list[list[str]], list[str]]:
    """The subjects of each series, and the names of what is no commit."""
    with Repository(repo.path) as opened:
        told = "".join(f"{each}\n" for each in lines).encode()
        pushed = pre_push.pushed(opened, pre_push.updates(opened, (remote,), {}, told))
    return [[commit.subject for commit in each.commits] for each in pushed.series], [
        each.name for each in pushed.others
    ]


def at(repo: Repo, revision: str, name: str, old: str = ZEROS) -> str:
    """A line of git's for a pre-push hook."""
    oid = ZEROS if revision == "(delete)" else repo.out("rev-parse", revision)
    return f"{revision} {oid} {name} {old}"


def test_a_tag_of_a_tag_of_a_commit_is_the_commit(pushing: Hooked) -> None:
    repo = pushing.repo
    repo.commit("more", b__py="b = 1\n")
    tag(repo, "x", tag(repo, "y", "HEAD"))
    pushing.push("origin", "refs/tags/x")
    report = pushing.report()
    assert (report["outcome"], states(report)) == ("clean", ["reviewed"])


def test_a_deletion_and_what_is_there_already_are_nothing(pushing: Hooked) -> None:
    repo = pushing.repo
    repo.git("branch", "gone")
    repo.git("push", "-q", "--no-verify", "origin", "gone")
    for words in ((":gone",), ("main:same",)):
        done = pushing.push("origin", *words)
        assert b"nothing new is pushed" in done.stderr
    blob = tag(repo, "x", "HEAD:app.py")
    assert found(repo, at(repo, "(delete)", "refs/tags/x", blob)) == ([], [])


def test_a_mirror_shows_commits_of_every_kind_and_the_rest(pushing: Hooked) -> None:
    """Notes and the stash are commits like others."""
    repo = pushing.repo
    repo.commit("more", b__py="b = 1\n")
    repo.git("notes", "add", "-m", "a note")
    repo.write("b.py", "b = 2\n")
    repo.git("stash", "-q")
    tag(repo, "x", "HEAD:b.py")
    repo.git("push", "-q", "--mirror", str(pushing.folder / ".." / "remote.git"))
    report = pushing.report()
    assert {row["path"] for row in report["coverage"]["entries"] if row["state"] == "not_reviewed"} == {"refs/tags/x"}
    assert "b.py" in {row["path"] for row in report["coverage"]["entries"]}


@pytest.mark.parametrize(
    "name", ["refs/tags/größe", "refs/tags/-x", "refs/tags/a;b$(c)", "refs/tags/\u202ex", "refs/x"]
)
def test_names_of_any_kind_are_told(pushing: Hooked, name: str) -> None:
    repo = pushing.repo
    assert found(repo, at(repo, "HEAD:app.py", name)) == ([], [name])
    assert found(repo, at(repo, "HEAD^{tree}", name, repo.out("rev-parse", "HEAD"))) == ([], [name])


def test_one_commit_under_many_names_is_one_series_and_each_other_name_is_told(pushing: Hooked) -> None:
    repo = pushing.repo
    repo.commit("more", b__py="b = 1\n")
    lines = [at(repo, "HEAD", "refs/heads/a"), at(repo, "HEAD", "refs/heads/b")]
    lines += [at(repo, "HEAD:b.py", "refs/tags/x"), at(repo, "HEAD:b.py", "refs/tags/y")]
    assert found(repo, *lines) == ([["more"]], ["refs/tags/x", "refs/tags/y"])


@pytest.mark.parametrize("remote", ["https://host.example/x.git", "../other.git", "host:x.git"])
def test_a_push_to_an_address_tells_it_too(pushing: Hooked, remote: str) -> None:
    assert found(pushing.repo, at(pushing.repo, "HEAD:app.py", "refs/tags/x"), remote=remote)[1] == ["refs/tags/x"]


def test_a_tag_whose_object_is_gone_is_told(pushing: Hooked) -> None:
    repo = pushing.repo
    blob = repo.git("hash-object", "-w", "--stdin", input=b"gone\n").stdout.decode().strip()
    tag(repo, "x", blob)
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    assert found(repo, at(repo, "refs/tags/x", "refs/tags/x"))[1] == ["refs/tags/x"]


def test_a_graft_hides_no_commit(pushing: Hooked) -> None:
    """The commits that are recorded are pushed, not those that a local file puts in their place."""
    repo = pushing.repo
    first = repo.out("rev-parse", "HEAD")
    for number in range(3):
        repo.commit(f"more {number}", **{f"m{number}__py": "x = 1\n"})
    repo.write(".git/info/grafts", f"{repo.out('rev-parse', 'HEAD')} {first}\n")
    assert found(repo, at(repo, "HEAD", "refs/heads/a")) == ([["more 0", "more 1", "more 2"]], [])


def test_a_replacement_hides_no_commit(pushing: Hooked) -> None:
    repo = pushing.repo
    for number in range(2):
        repo.commit(f"more {number}", **{f"m{number}__py": "x = 1\n"})
    head = repo.out("rev-parse", "HEAD")
    repo.git("replace", "--graft", head, "HEAD~2")
    assert found(repo, at(repo, head, "refs/heads/a")) == ([["more 0", "more 1"]], [])
