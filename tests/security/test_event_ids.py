"""What a CI system says of its event, where it is no id, no branch and no number: git is never asked with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.errors import SourceError
from kilo_review.source.fetch import Fetcher
from kilo_review.source.git import Git
from kilo_review.source.repo import Repository
from tests.support.forges import ZEROS, Forge, variables
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.conftest import Repo, Result

NO_IDS = (
    "HEAD",
    "main",
    "refs/pull/7/head",
    "--upload-pack=touch executed",
    "+refs/heads/*:refs/heads/*",
    "refs/heads/topic:refs/remotes/origin/main",
    ":refs/heads/main",
    "^main",
    "HEAD~1",
    "@{-1}",
    ":/topic",
    "abc1234",
    f"{'a' * 40}^",
    f"{'a' * 40}\n",
    f"-{'a' * 39}",
    "a" * 41,
    "a" * 64,
    " ",
)
"""64 digits are an id in a repository of the other hash alone."""
NO_BRANCHES = (
    "+main:refs/heads/main",
    "main:refs/remotes/origin/main",
    "*",
    "ma*n",
    "main~1",
    "main^{/topic}",
    "main@{1}",
    "../heads/topic",
    "a b",
    "a\nb",
    "main.lock",
    "main/",
    "a?b",
    "a[b",
    "a\\b",
)
A, B = "a" * 40, "b" * 40
Variables = dict[str, str]


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    hub = make_repo("hub")
    for number in range(3):
        hub.commit(f"main {number}", main__py=f"x = {number}\n")
    hub.git("checkout", "-q", "-b", "topic", "main~1")
    hub.commit("topic", topic__py="a = 1\n")
    hub.git("checkout", "-q", "main")
    made = Forge(hub, tmp_path)
    made.propose()
    return made


@pytest.fixture
def clone(forge: Forge) -> Repo:
    return forge.clone("+refs/heads/*:refs/remotes/origin/*", depth=None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The words of each git command, but for the question whether git would take a name."""
    words: list[tuple[str, ...]] = []
    original = Git.command

    def noted(self: Git, *arguments: str) -> list[str]:
        if arguments[0] != "check-ref-format":
            words.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(Git, "command", noted)
    return words


@pytest.fixture
def run(
    clone: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., Result]:
    """`ci` in the clone, with these variables and no others."""

    def started(environment: Mapping[str, str], *arguments: str) -> Result:
        monkeypatch.chdir(clone.path)
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return run_here(capsysbinary, "ci", "--dry-run", "--format", "json", *arguments)

    return started


def by_system(forge: Forge, system: str, *, base: str, head: str, branch: str, number: str = "7") -> Variables:
    """A pull request, as each system describes it."""
    facts = {"number": number, "pull_request": {"base": {"ref": branch, "sha": base}, "head": {"sha": head}}}
    return {
        "github": lambda: forge.event("pull_request", facts),
        "gitea": lambda: forge.event("pull_request", facts, GITEA_ACTIONS="true"),
        "gitlab": lambda: variables(
            GITLAB_CI="true",
            CI_MERGE_REQUEST_IID=number,
            CI_MERGE_REQUEST_TARGET_BRANCH_NAME=branch,
            CI_MERGE_REQUEST_DIFF_BASE_SHA=base,
            CI_COMMIT_SHA=head,
        ),
        "bitbucket": lambda: variables(
            BITBUCKET_BUILD_NUMBER="1",
            BITBUCKET_PR_ID=number,
            BITBUCKET_PR_DESTINATION_BRANCH=branch,
            BITBUCKET_PR_DESTINATION_COMMIT=base,
            BITBUCKET_COMMIT=head,
        ),
        "azure": lambda: variables(
            TF_BUILD="True",
            SYSTEM_PULLREQUEST_TARGETBRANCH=f"refs/heads/{branch}",
            SYSTEM_PULLREQUEST_SOURCECOMMITID=head,
            BUILD_SOURCEVERSION=base,
        ),
        "jenkins": lambda: variables(JENKINS_URL="http://127.0.0.1", CHANGE_ID=number, CHANGE_TARGET=branch),
        "woodpecker": lambda: variables(
            CI="woodpecker",
            CI_PIPELINE_EVENT="pull_request",
            CI_COMMIT_PULL_REQUEST=number,
            CI_COMMIT_TARGET_BRANCH=branch,
            CI_COMMIT_SHA=head,
        ),
    }[system]()


SYSTEMS = ("github", "gitea", "gitlab", "bitbucket", "azure", "jenkins", "woodpecker")
PUSHES: dict[str, Callable[[Forge, str, str], Variables]] = {
    "github": lambda forge, base, head: forge.event("push", {"before": base, "after": head}),
    "merge queue": lambda forge, base, head: forge.event(
        "merge_group", {"merge_group": {"base_sha": base, "head_sha": head}}
    ),
    "gitlab": lambda _, base, head: variables(GITLAB_CI="true", CI_COMMIT_BEFORE_SHA=base, CI_COMMIT_SHA=head),
    "jenkins": lambda _, base, head: variables(
        JENKINS_URL="http://127.0.0.1", BRANCH_NAME="topic", GIT_PREVIOUS_SUCCESSFUL_COMMIT=base, GIT_COMMIT=head
    ),
    "woodpecker": lambda _, base, head: variables(
        CI="woodpecker", CI_PIPELINE_EVENT="push", CI_PREV_COMMIT_SHA=base, CI_COMMIT_SHA=head
    ),
}


def told(words: list[tuple[str, ...]]) -> Iterator[str]:
    for each in words:
        yield from each


def assert_refused(done: Result, asked: list[tuple[str, ...]], odd: str) -> None:
    assert done.code == 3, done.talk
    assert (done.json()["outcome"], done.json()["coverage"]["hunks"]) == ("not_reviewed", 0)
    assert "the CI system" in done.talk
    assert "Traceback" not in done.talk
    assert not [word for word in told(asked) if odd in word and odd.strip()]
    assert not [words for words in asked if words[0] == "fetch"]


@pytest.mark.parametrize("odd", NO_IDS)
@pytest.mark.parametrize("end", ["base", "head"])
def test_no_word_of_an_event_is_taken_for_an_id(
    forge: Forge, run: Callable[..., Result], asked: list[tuple[str, ...]], odd: str, end: str
) -> None:
    for system in ("github", "gitlab") if odd in NO_IDS[:3] else ("github",):
        given = {"base": A, "head": B} | {end: odd}
        asked.clear()
        assert_refused(run(by_system(forge, system, branch="main", **given)), asked, odd)


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_is_held_to_ids_and_branches(
    forge: Forge, run: Callable[..., Result], asked: list[tuple[str, ...]], system: str
) -> None:
    odd = "refs/heads/topic:refs/remotes/origin/main"
    wrong = [{"base": A, "head": B, "branch": odd}]
    if system != "jenkins":  # tells no ids of a change
        wrong.append({"base": A, "head": odd, "branch": "main"})
    if system not in {"jenkins", "woodpecker"}:
        wrong.append({"base": odd, "head": B, "branch": "main"})
    if system not in {"jenkins", "azure", "bitbucket"}:
        wrong.append({"base": A, "head": B, "branch": "main", "number": odd})
    for given in wrong:
        asked.clear()
        assert_refused(run(by_system(forge, system, **given)), asked, odd)


@pytest.mark.parametrize("system", PUSHES)
@pytest.mark.parametrize("odd", ["HEAD", "+refs/*:refs/*", "--depth=1"])
def test_pushes_are_held_to_ids(
    forge: Forge, run: Callable[..., Result], asked: list[tuple[str, ...]], system: str, odd: str
) -> None:
    for ends in ((odd, B), (A, odd)):
        asked.clear()
        assert_refused(run(PUSHES[system](forge, *ends)), asked, odd)


@pytest.mark.parametrize("odd", NO_BRANCHES)
def test_no_branch_is_called_like_a_refspec_or_an_expression(
    forge: Forge, run: Callable[..., Result], asked: list[tuple[str, ...]], odd: str
) -> None:
    environment = by_system(forge, "github", base=A, head=forge.at("topic"), branch=odd)
    assert_refused(run(environment), asked, odd)
    asked.clear()
    facts = {"repository": {"default_branch": odd}, "before": ZEROS, "after": forge.at("topic")}
    assert_refused(run(forge.event("push", facts)), asked, odd)


@pytest.mark.parametrize("odd", [{"a": 1}, ["x"], True, 1.5, "\ud800", "a\0b", "x\x1b[31m"])
def test_what_is_no_text_is_not_passed_over(
    forge: Forge, run: Callable[..., Result], asked: list[tuple[str, ...]], odd: Any
) -> None:
    """An empty base would have the branch compared with something else."""
    for facts in (
        {"number": 7, "pull_request": {"base": {"ref": "main", "sha": odd}, "head": {"sha": B}}},
        {"number": 7, "pull_request": {"base": {"ref": odd, "sha": A}, "head": {"sha": B}}},
        {"number": odd, "pull_request": {"base": {"ref": "main", "sha": A}, "head": {"sha": B}}},
        {"number": 7, "pull_request": {"base": [odd], "head": {"sha": B}}},
    ):
        asked.clear()
        assert_refused(run(forge.event("pull_request", facts)), asked, "no such word")


@pytest.mark.parametrize("text", ["[]", "7", '"x"', "null"])
def test_an_event_that_is_no_object_is_not_passed_over(
    forge: Forge, run: Callable[..., Result], tmp_path: Path, text: str
) -> None:
    environment = forge.event("pull_request", {})
    (tmp_path / "event.json").write_text(text)
    done = run(environment)
    assert (done.code, "is no object" in done.talk) == (3, True)


@pytest.mark.parametrize(
    "name", ["--upload-pack=x", "+refs/heads/*:refs/heads/*", "a:b", "main", "refs/heads/a*", "refs/heads/^x", ""]
)
def test_the_fetcher_lets_nothing_else_through(clone: Repo, asked: list[tuple[str, ...]], name: str) -> None:
    """Whoever calls it."""
    with Repository(clone.path) as repo:
        fetcher = Fetcher(repo, is_allowed=True)
        with pytest.raises(SourceError, match="neither the id of a commit nor"):
            fetcher.reference(name)
        with pytest.raises(SourceError, match="neither the id of a commit nor"):
            fetcher.deepen_until(lambda: False, "refs/heads/main", name)
        if name != "main":
            with pytest.raises(SourceError, match="neither the id of a commit nor"):
                fetcher.branch(name + ":")
    assert not [words for words in asked if words[0] == "fetch"]


def test_a_named_base_that_no_branch_can_be_called_is_not_fetched(
    run: Callable[..., Result], asked: list[tuple[str, ...]]
) -> None:
    for odd in ("+main:refs/heads/other", "nowhere~1", "nowhere*"):
        assert run({}, f"--base={odd}").code == 2
    assert not [words for words in asked if words[0] == "fetch"]


# What goes on working


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_each_system_says_rightly_is_reviewed(forge: Forge, run: Callable[..., Result], system: str) -> None:
    base = forge.at("refs/pull/7/merge" if system == "azure" else "main")
    base = base[:12] if system == "bitbucket" else base
    done = run(by_system(forge, system, base=base, head=forge.at("topic"), branch="main"))
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"topic.py"}, done.talk


def test_capital_digits_unusual_branches_and_zeros_are_taken(forge: Forge, run: Callable[..., Result]) -> None:
    forge.hub.git("branch", "größer/-x@+#1", "main")
    head = forge.at("topic").upper()
    done = run(by_system(forge, "github", base=forge.at("main").upper(), head=head, branch="größer/-x@+#1"))
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"topic.py"}, done.talk
    done = run(forge.event("push", {"before": ZEROS, "after": forge.at("topic")}, GITHUB_REF="refs/heads/topic"))
    assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"topic.py"}, done.talk


def test_first_digits_are_never_a_reference(forge: Forge, clone: Repo, run: Callable[..., Result]) -> None:
    """Bitbucket abbreviates the other end; a branch may be called like that, and git would prefer it."""
    short = forge.at("main")[:12]
    clone.git("update-ref", f"refs/heads/{short}", forge.at("topic"))
    head = forge.at("topic")[:12]
    clone.git("update-ref", f"refs/heads/{head}", forge.at("main"))
    environment = by_system(forge, "bitbucket", base=short, head=head, branch="")
    for words in (("--no-fetch",), ()):
        done = run(environment, *words)
        assert {row["path"] for row in done.json()["coverage"]["entries"]} == {"topic.py"}, done.talk
