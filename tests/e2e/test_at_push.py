"""Pushes, commit by commit: what is on record is not asked again, and what was seen and left is shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes.base import NOTHING_FOUND, NoAnswer
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked, by_server, chats, claims_tested, environment_of, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo

BAD = "def f(a, b):\n    return a / b\n"
FINDING = (
    '{"findings": [{"code": "return a / b", "file": "bad.py", "line": 2, "problem": "b may be 0.",'
    ' "severity": "%s", "title": "Division by zero", "type": "bug"}]}'
)


@pytest.fixture
def pushing(repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """Both hooks, and a remote that has the only commit."""
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")
    made = Hooked(repo, folder)
    made.install("pre-commit", "pre-push")
    return made


@pytest.fixture
def server(pushing: Hooked, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ollama]:
    """What the hooks ask; it finds a division in every question that holds one."""
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as server:
        server.answer = finding("major")
        monkeypatch.delenv("KILO_REVIEW_MODEL")
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        yield server


def finding(severity: str) -> Callable[[dict[str, Any]], str]:
    return lambda body: FINDING % severity if "return a / b" in body["messages"][-1]["content"] else NOTHING_FOUND


def quietly(pushing: Hooked, *arguments: str, **files: str) -> str:
    for name, text in files.items():
        pushing.repo.stage(name.replace("__", "."), text)
    pushing.repo.git("commit", "-q", "--no-verify", "-m", "quiet", *arguments)
    return pushing.repo.out("rev-parse", "HEAD")


@pytest.mark.long
def test_a_push_of_reviewed_commits_asks_nobody(pushing: Hooked, server: Ollama) -> None:
    for number in range(5):
        pushing.repo.stage(f"m{number}.py", f"x = {number}\n")
        pushing.commit()
    chats = len(server.asked("/api/chat"))
    pushing.push()
    report = pushing.report()
    asked = len(server.asked("/api/chat")) - chats  # which model it has, it is asked; about code, it is not
    assert (report["usage"]["requests"], report["coverage"]["cached"], asked) == (0, 5, 0)
    assert report["outcome"] == "clean"


@pytest.mark.long
def test_a_push_asks_about_exactly_what_the_commits_left(
    pushing: Hooked, server: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = pushing.repo
    repo.stage("a.py", "a = 1\n")
    pushing.commit()
    server.refuses_host = True
    repo.stage("b.py", "b = 1\n")
    pushing.commit()
    assert pushing.report()["outcome"] == "not_reviewed"
    quietly(pushing, c__py="c = 1\n")
    server.refuses_host = False
    before = len(chats(server))
    pushing.push()
    report = pushing.report()
    assert (report["usage"]["requests"], report["coverage"]["reviewed"], report["coverage"]["cached"]) == (2, 2, 1)
    asked = "".join(chats(server)[before:])
    assert [name for name in "abc" if f"FILE {name}.py" in asked] == ["b", "c"]
    assert pushing.left() == {}


def test_a_commit_that_two_references_share_is_reviewed_once(pushing: Hooked, server: Ollama) -> None:
    quietly(pushing, a__py="a = 1\n")
    pushing.push("-q", "origin", "main", "main:refs/heads/b", "main:refs/heads/c")
    assert len(chats(server)) == 1
    assert states(pushing.report()) == ["reviewed"]


@pytest.mark.long
def test_what_was_seen_at_commit_is_shown_at_push_and_judged_anew(
    pushing: Hooked, server: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushing.repo.stage("bad.py", BAD)
    pushing.commit()
    head = pushing.repo.out("rev-parse", "HEAD")
    assert pushing.report()["blocking"] is False
    quietly(pushing, other__py="x = 1\n")
    blocked = pushing.push(check=False, KILO_REVIEW_FAIL_ON="major")
    report = pushing.report()
    assert (blocked.returncode, report["blocking"], report["usage"]["requests"]) == (1, True, 2)
    assert len(claims_tested(server)) == 1  # by this policy it would block
    (shown,) = report["findings"]
    assert (shown["status"], shown["reason"]) == ("active", f"in commit {head[:12]}")
    pushing.push()
    assert pushing.report()["usage"]["requests"] == 0


@pytest.mark.parametrize("how", ["line", "file", "renamed and line"])
@pytest.mark.long
def test_what_a_later_commit_has_mended_counts_no_more(pushing: Hooked, server: Ollama, how: str) -> None:
    server.answer = finding("critical")
    quietly(pushing, bad__py=BAD, other__py="x = 1\n" * 9)
    pushing.repo.git("rm" if how == "file" else "status", *(["-q", "bad.py"] if how == "file" else []))
    if how != "file":
        pushing.repo.stage("bad.py", "def f(a, b):\n    return a / (b or 1)\n" + "# and more\n" * 9)
    quietly(pushing)
    pushing.push()
    report = pushing.report()
    assert report["blocking"] is False
    assert {(each["status"], each["reason"]) for each in report["findings"]} <= {
        ("suppressed", "fixed by a later commit")
    }


def test_a_renamed_file_takes_its_finding_along(pushing: Hooked, server: Ollama) -> None:
    server.answer = finding("critical")
    quietly(pushing, bad__py=BAD + "# a tail to be known by\n" * 5)
    pushing.repo.git("mv", "bad.py", "worse.py")
    quietly(pushing)
    assert pushing.push(check=False).returncode == 1
    assert any(each["blocking"] for each in pushing.report()["findings"])


@pytest.mark.long
def test_a_removed_line_is_not_taken_for_mended(pushing: Hooked, server: Ollama) -> None:
    guard = "def f(a, b):\n    if not b:\n        return 0\n    return a // b\n"
    quietly(pushing, bad__py=guard)
    pushing.repo.git("push", "-q", "--no-verify")
    server.answer = FINDING.replace("return a / b", "if not b:") % "critical"
    quietly(pushing, bad__py="def f(a, b):\n    return a // b\n")
    quietly(pushing, other__py="x = 1\n")
    assert pushing.push(check=False).returncode == 1


@pytest.mark.long
def test_the_net_change_is_reviewed_where_it_is_less(pushing: Hooked, server: Ollama) -> None:
    for number in range(5):
        quietly(pushing, same__py="".join(f"x_{n} = {number}\n" for n in range(20)))
    pushing.push("--dry-run")
    report = pushing.report()
    assert (report["usage"]["requests"], report["coverage"]["hunks"]) == (1, 1)
    assert "x_19 = 4" in chats(server)[0]
    pushing.push()
    assert pushing.report()["usage"]["requests"] == 0


@pytest.mark.long
def test_of_many_commits_only_the_net_change_is_reviewed(pushing: Hooked, server: Ollama) -> None:
    for number in range(105):
        pushing.repo.git("update-index", "--add", "--cacheinfo", f"100644,{blob(pushing, number)},m{number}.txt")
        pushing.repo.git("commit", "-q", "--no-verify", "-m", str(number))
    pushing.push()
    report = pushing.report()
    assert (report["coverage"]["hunks"], report["coverage"]["reviewed"]) == (105, 105)
    assert report["usage"]["requests"] < 10


def blob(pushing: Hooked, number: int) -> str:
    return pushing.repo.git("hash-object", "-w", "--stdin", input=f"{number}\n".encode()).stdout.decode().strip()


def test_a_merge_asks_only_about_what_is_in_no_parent(pushing: Hooked, server: Ollama) -> None:
    repo = pushing.repo
    repo.git("switch", "-q", "-c", "topic")
    quietly(pushing, topic__py="t = 1\n")
    repo.git("switch", "-q", "main")
    quietly(pushing, main__py="m = 1\n")
    repo.git("push", "-q", "--no-verify", "origin", "main")
    repo.git("switch", "-q", "topic")
    repo.git("merge", "-q", "--no-commit", "main")
    quietly(pushing, evil__py="e = 1\n")
    pushing.push("-q", "origin", "topic")
    asked = "".join(chats(server))
    assert [name for name in ("topic", "main", "evil") if f"FILE {name}.py" in asked] == ["topic", "evil"]


@pytest.mark.long
def test_an_amended_and_a_rebased_commit_of_the_same_trees_are_known(pushing: Hooked, server: Ollama) -> None:
    pushing.repo.stage("a.py", "a = 1\n")
    pushing.commit()
    before = len(chats(server))
    pushing.repo.git("commit", "-q", "--amend", "-m", "another message", "--date", "2020-01-01T00:00:00Z")
    pushing.push()
    assert len(chats(server)) == before


def test_empty_commits_are_nothing(pushing: Hooked, server: Ollama) -> None:
    quietly(pushing, "--allow-empty")
    pushing.push()
    assert (pushing.report()["coverage"]["entries"], server.calls) == ([], [])


@pytest.mark.long
def test_without_cache_everything_is_asked_again(pushing: Hooked, server: Ollama) -> None:
    pushing.repo.stage("a.py", "a = 1\n")
    pushing.commit()
    pushing.push(KILO_REVIEW_NO_CACHE="1")
    assert pushing.report()["usage"]["requests"] == 1


@pytest.mark.long
def test_other_settings_mean_another_review(pushing: Hooked, server: Ollama) -> None:
    pushing.repo.stage("a.py", "a = 1\n")
    pushing.commit()
    pushing.push(KILO_REVIEW_OPTION="temperature=0.5")
    assert pushing.report()["usage"]["requests"] == 1


@pytest.mark.long
def test_what_the_deadline_left_at_push_is_on_record(pushing: Hooked, server: Ollama) -> None:
    for number in range(3):
        quietly(pushing, **{f"m{number}__py": f"x = {number}\n"})

    def answer(_body: dict[str, Any]) -> str:
        if len(chats(server)) > 1:
            raise NoAnswer
        return NOTHING_FOUND

    server.answer = answer
    pushing.push(KILO_REVIEW_MAX_SECONDS="2")
    report = pushing.report()
    assert (report["outcome"], report["coverage"]["reviewed"]) == ("incomplete", 1)
    assert len(pushing.left()) == 2


@pytest.mark.long
def test_a_shallow_clone_says_what_it_does_not_know(
    pushing: Hooked, server: Ollama, make_repo: Callable[..., Repo], tmp_path: Path
) -> None:
    quietly(pushing, a__py="a = 1\n")
    pushing.repo.git("push", "-q", "--no-verify")
    source = make_repo("another.git", "--bare")
    clone = tmp_path / "shallow"
    pushing.repo.git("clone", "-q", "--depth", "1", f"file://{tmp_path / 'remote.git'}", str(clone))
    shallow = Hooked(type(pushing.repo)(clone), pushing.folder)
    shallow.install("pre-push")
    shallow.repo.git("remote", "add", "other", str(source.path))
    done = shallow.push("origin", "HEAD:refs/heads/new", check=False)
    assert b"nothing new is pushed" in done.stdout + done.stderr
    told = shallow.push("other", "HEAD:refs/heads/new", check=False)
    assert b"not in this clone" in told.stdout + told.stderr


# Pushes to an address


@pytest.fixture
def forked(pushing: Hooked, server: Ollama, make_repo: Callable[..., Repo]) -> str:
    """The address of `origin`, written in another way; a fork of which has a defect that `main` now has, too."""
    server.answer = finding("critical")
    make_repo("evil.git", "--bare")
    pushing.repo.git("remote", "add", "evil", "../evil.git")
    pushing.repo.git("checkout", "-q", "-b", "topic")
    quietly(pushing, bad__py=BAD)
    pushing.repo.git("push", "-q", "--no-verify", "evil", "topic")
    pushing.repo.git("checkout", "-q", "main")
    pushing.repo.git("merge", "-q", "--ff-only", "evil/topic")
    return "../remote.git"


@pytest.mark.parametrize("branch", ["main", "new"])
def test_what_some_fork_has_is_new_at_an_address(pushing: Hooked, forked: str, branch: str) -> None:
    done = pushing.push(forked, f"main:{branch}", check=False)
    assert done.returncode == 1
    assert pushing.report()["blocking"] is True


def test_what_the_remote_with_that_address_has_is_not_new(pushing: Hooked, forked: str, server: Ollama) -> None:
    pushing.repo.git("push", "-q", "--no-verify", "origin", "main")
    pushing.push(pushing.repo.out("remote", "get-url", "origin"), "main:new")
    assert chats(server) == []


def test_a_remote_whose_name_has_a_slash_is_no_address(pushing: Hooked, forked: str, server: Ollama) -> None:
    pushing.repo.git("remote", "rename", "evil", "team/evil")
    pushing.push("team/evil", "main:new")
    assert chats(server) == []


@pytest.mark.parametrize("how", ["pushurl", "pushInsteadOf", "nested name"])
def test_what_was_fetched_from_elsewhere_is_new_where_it_is_pushed_to(pushing: Hooked, forked: str, how: str) -> None:
    git, hub = pushing.repo.git, pushing.repo.out("remote", "get-url", "origin")
    if how == "nested name":
        git("remote", "rename", "evil", "origin/evil")
    else:
        git("remote", "set-url", "origin", "../evil.git")
        git("fetch", "-q", "origin", "topic:refs/remotes/origin/topic")
    if how == "pushurl":
        git("config", "remote.origin.pushurl", hub)
    elif how == "pushInsteadOf":
        git("config", f"url.{hub}.pushInsteadOf", "../evil.git")
    assert pushing.push("origin", "main:main", check=False).returncode == 1
