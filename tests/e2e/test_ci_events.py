"""Events that are about a pull request without being `pull_request`: its head is reviewed, by the rules of its base."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.source import actions, ci_environment
from kilo_review.source.change import of_repository
from kilo_review.source.repo import Repository
from kilo_review.source.target import Request
from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.forge import OURS
from tests.support.fakes.github import REPOSITORY, FakeGitHub
from tests.support.fakes.ollama import Model, Ollama
from tests.support.forges import Forge
from tests.support.hooked import by_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner

OWN = {"app.py"}
PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
CODE = "return sum(items) / len(items)"
FOUND = {
    "file": "app.py",
    "line": 2,
    "problem": "An empty list divides by zero.",
    "severity": "critical",
    "title": "Division by zero",
    "code": CODE,
    "type": "bug",
}


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    """`topic` is proposed for `main`, which has gone on; its settings would pass anything."""
    hub = make_repo("hub")
    hub.git("config", "uploadpack.allowAnySHA1InWant", "true")
    hub.commit("first", app__py="def mean(items):\n    return 0\n")
    hub.commit("second", other__py="a = 1\n")
    hub.git("checkout", "-q", "-b", "topic")
    hub.commit("topic", app__py=f"def mean(items):\n    {CODE}\n")
    hub.git("checkout", "-q", "main")
    hub.commit("third", other__py="a = 2\n")
    made = Forge(hub, tmp_path)
    made.propose()
    return made


def commented(forge: Forge, **more: str) -> dict[str, str]:
    """Comments start a run with the default branch checked out; of the request the number alone is told."""
    facts = {
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "https://api.github.com/repos/a/b/pulls/7"}},
        "comment": {"body": "/review", "author_association": "MEMBER"},
    }
    return forge.event("issue_comment", facts, GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"), **more)


def of_gitea(forge: Forge) -> dict[str, str]:
    """Gitea puts the request beside the comment, and keeps no merge of it."""
    forge.hub.git("update-ref", "-d", "refs/pull/7/merge")
    facts = {"is_pull": True, "issue": {"number": 7, "pull_request": {"merged": False}}, "pull_request": request(forge)}
    return forge.event("issue_comment", facts, GITEA_ACTIONS="true", GITHUB_SHA=forge.at("main"))


def of_old_gitea(forge: Forge) -> dict[str, str]:
    forge.hub.git("update-ref", "-d", "refs/pull/7/merge")
    facts = {"is_pull": True, "issue": {"number": 7}}
    return forge.event("issue_comment", facts, FORGEJO_ACTIONS="true", GITHUB_SHA=forge.at("main"))


def commented_in_gitea(forge: Forge, **facts: Any) -> dict[str, str]:
    """Gitea's own name for a comment on a request."""
    return forge.event("pull_request_comment", facts, GITEA_ACTIONS="true", GITHUB_SHA=forge.at("main"))


def by_issue(forge: Forge) -> dict[str, str]:
    return commented_in_gitea(forge, is_pull=True, issue={"number": 7})


def by_issue_alone(forge: Forge) -> dict[str, str]:
    forge.hub.git("update-ref", "-d", "refs/pull/7/merge")
    return commented_in_gitea(forge, issue={"number": 7, "pull_request": None})


def by_request(forge: Forge) -> dict[str, str]:
    return commented_in_gitea(forge, is_pull=True, issue={"number": 7}, pull_request=request(forge))


def by_number(forge: Forge) -> dict[str, str]:
    return commented_in_gitea(forge, is_pull=True, number=7)


def request(forge: Forge, repository: int = 1) -> dict[str, Any]:
    return {
        "number": 7,
        "base": {"ref": "main", "sha": forge.at("main~1"), "repo": {"id": repository}},
        "head": {"ref": "topic", "sha": forge.at("topic"), "repo": {"id": 2}},
    }


def reviewed(name: str) -> Callable[[Forge], dict[str, str]]:
    return lambda forge: forge.event(
        name,
        {"pull_request": request(forge)},
        GITHUB_REF="refs/pull/7/merge",
        GITHUB_SHA=forge.at("refs/pull/7/merge"),
    )


def about(name: str, **run: Any) -> Callable[[Forge], dict[str, str]]:
    """An event about another run. GitHub lists requests among the forks, too, that have the same head."""

    def event(forge: Forge) -> dict[str, str]:
        listed = [request(forge, 3) | {"number": 1}, request(forge)]
        facts = {"repository": {"id": 1, "default_branch": "main"}, name: {"pull_requests": listed, **run}}
        return forge.event(name, facts, GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))

    return event


def dispatched(forge: Forge) -> dict[str, str]:
    facts = {"client_payload": {"pull_request": request(forge)}}
    return forge.event("repository_dispatch", facts, GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))


KNOWN: dict[str, Callable[[Forge], dict[str, str]]] = {
    "issue_comment": commented,
    "issue_comment of Gitea": of_gitea,
    "issue_comment of an older Gitea": of_old_gitea,
    "pull_request_comment": by_issue,
    "pull_request_comment without is_pull": by_issue_alone,
    "pull_request_comment with the request": by_request,
    "pull_request_comment with the number alone": by_number,
    "pull_request_review": reviewed("pull_request_review"),
    "pull_request_review_comment": reviewed("pull_request_review_comment"),
    "pull_request_target": reviewed("pull_request_target"),
    "workflow_run": about("workflow_run", event="pull_request", head_sha="0" * 40),
    "check_run": about("check_run"),
    "check_suite": about("check_suite"),
    "repository_dispatch": dispatched,
}


def paths(done: Result) -> set[str]:
    assert done.code == 0, done.talk
    report: dict[str, Any] = done.json()
    return {entry["path"] for entry in report["coverage"]["entries"]}


def plan(kilo: Runner, made: Repo, environment: dict[str, str], *words: str) -> Result:
    return kilo("ci", "--dry-run", "--format", "json", *words, cwd=made.path, env=environment)


@pytest.mark.parametrize("event", KNOWN)
def test_the_head_of_the_request_is_reviewed(forge: Forge, kilo: Runner, event: str) -> None:
    environment = KNOWN[event](forge)
    assert paths(plan(kilo, forge.clone(checkout="main"), environment)) == OWN


def test_the_target_is_told_by_the_merge_that_the_forge_made(forge: Forge, kilo: Runner) -> None:
    """The request is for a release branch, and has moved on since that merge."""
    hub = forge.hub
    hub.git("checkout", "-q", "-b", "release", "main~1")
    hub.commit("fix", fix__py="f = 1\n")
    hub.git("checkout", "-q", "-B", "topic", "release")
    hub.commit("one", one__py="o = 1\n")
    hub.git("checkout", "-q", "--detach", "release")
    hub.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
    hub.git("update-ref", "refs/pull/7/merge", "HEAD")
    hub.git("checkout", "-q", "topic")
    hub.commit("two", two__py="t = 1\n")
    hub.git("update-ref", "refs/pull/7/head", "topic")
    hub.git("checkout", "-q", "main")
    assert paths(plan(kilo, forge.clone(checkout="main"), commented(forge))) == {"one.py", "two.py"}


def test_a_request_that_conflicts_is_compared_with_the_default_branch_and_says_so(forge: Forge, kilo: Runner) -> None:
    forge.hub.git("update-ref", "-d", "refs/pull/7/merge")
    done = plan(kilo, forge.clone(checkout="main"), commented(forge))
    assert paths(done) == OWN
    assert [note for note in done.json()["notes"] if "compared with the default branch, main" in note]


def test_a_base_that_is_named_is_compared_with_the_head_of_the_request(forge: Forge, kilo: Runner) -> None:
    done = plan(kilo, forge.clone(checkout="main"), commented(forge), "--base", "origin/main")
    assert paths(done) == OWN


def test_without_a_fetch_the_checkout_must_hold_the_head(forge: Forge, kilo: Runner) -> None:
    made = forge.clone(checkout="main", depth=None)
    done = plan(kilo, made, commented(forge), "--no-fetch")
    assert done.code == 3
    assert "refs/pull/7/head, the head of the request, is not in the clone" in done.talk
    made.git("fetch", "-q", "origin", "+refs/pull/7/*:refs/remotes/pull/7/*")
    assert paths(plan(kilo, made, commented(forge), "--no-fetch")) == OWN


def test_a_request_that_has_landed_is_not_called_clean(forge: Forge, kilo: Runner) -> None:
    forge.hub.git("merge", "-q", "--ff-only", "refs/pull/7/merge")
    forge.hub.git("update-ref", "-d", "refs/pull/7/merge")
    done = plan(kilo, forge.clone(checkout="main"), commented(forge))
    assert done.code == 3
    assert "there is nothing to compare" in done.talk
    closed = plan(kilo, forge.clone(checkout="main"), reviewed_as_closed(forge))
    assert paths(closed) == OWN


def reviewed_as_closed(forge: Forge) -> dict[str, str]:
    landed = request(forge) | {"merged": True}
    landed["base"]["sha"] = forge.at("topic~1")
    facts = {"action": "closed", "pull_request": landed}
    return forge.event("pull_request", facts, GITHUB_SHA=forge.at("main"))


UNKNOWN: dict[str, dict[str, Any]] = {
    "issue_comment": {"issue": {"number": 7}},
    "issues": {"issue": {"number": 7}},
    "repository_dispatch": {"client_payload": {"number": 7}},
    "workflow_run": {"workflow_run": {"event": "pull_request", "pull_requests": [], "head_sha": "1" * 40}},
    "check_suite": {"check_suite": {"pull_requests": None}},
    "check_run": {"check_run": {"pull_requests": [{"number": 1}, {"number": 2}], "head_sha": "1" * 40}},
    "discussion_comment": {"discussion": {"number": 7}},
    "an event of tomorrow": {},
    "delete": {"ref": "topic"},
}


@pytest.mark.parametrize("event", UNKNOWN)
def test_an_event_that_names_no_request_is_no_review_of_the_default_branch(
    forge: Forge, kilo: Runner, event: str
) -> None:
    environment = forge.event(event, UNKNOWN[event], GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))
    made = forge.clone(checkout="main")
    done = plan(kilo, made, environment)
    assert done.code == 3
    assert done.json()["outcome"] == "not_reviewed"
    assert event in done.talk
    assert "--base" in done.talk
    assert paths(plan(kilo, made, environment, "--base", "HEAD~1")) == {"other.py"}


@pytest.mark.parametrize("event", sorted(actions.OF_A_COMMIT))
def test_an_event_about_a_commit_is_for_what_the_default_branch_has_not(forge: Forge, kilo: Runner, event: str) -> None:
    environment = forge.event(event, {}, GITHUB_REF="", GITHUB_SHA=forge.at("topic"))
    made = forge.clone(checkout="topic")
    assert paths(plan(kilo, made, environment)) == OWN
    assert ci_environment.is_proposal(environment)


@pytest.mark.parametrize("event", sorted(actions.OF_A_COMMIT))
@pytest.mark.parametrize("revision", ["main", "main~1"])
def test_a_commit_of_the_default_branch_is_not_called_clean(
    forge: Forge, kilo: Runner, event: str, revision: str
) -> None:
    environment = forge.event(event, {}, GITHUB_REF="", GITHUB_SHA=forge.at(revision))
    done = plan(kilo, forge.clone(checkout="main"), environment)
    assert done.code == 3
    assert "--base" in done.talk


ABOUT_REQUESTS: dict[str, dict[str, Any]] = {
    "issues": {"issue": {"number": 7, "pull_request": {}}},
    "pull_request_comment": {"issue": {"number": 7}},
    "an event of tomorrow": {"pull_request": {"number": 7}},
}


@pytest.mark.parametrize("event", ABOUT_REQUESTS)
def test_an_event_whose_description_holds_a_request_is_about_it(forge: Forge, kilo: Runner, event: str) -> None:
    environment = forge.event(event, ABOUT_REQUESTS[event], GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))
    assert paths(plan(kilo, forge.clone(checkout="main"), environment)) == OWN


def test_the_table_of_events_is_complete() -> None:
    rows = re.findall(r"(?m)^\| (.*`.*) \| .* \|$", PAGE.partition("| event |")[2].partition("\n\n")[0])
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    known = actions.OF_A_BRANCH | actions.OF_A_COMMIT | actions.ABOUT_A_RUN | actions.OF_THE_BASE
    assert named >= (known - {"push"}) | {"merge_group", "repository_dispatch", "issues", "issue_comment"}


def test_a_run_that_follows_a_push_reviews_what_was_pushed(forge: Forge, kilo: Runner) -> None:
    """`GITHUB_SHA` is the newest commit of the default branch there."""
    run = {"event": "push", "pull_requests": [], "head_sha": forge.at("topic"), "head_branch": "topic"}
    facts = {"workflow_run": run | {"head_repository": {"id": 1}}, "repository": {"id": 1, "default_branch": "main"}}
    environment = forge.event("workflow_run", facts, GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))
    assert paths(plan(kilo, forge.clone(checkout="main"), environment)) == OWN


@pytest.mark.parametrize(("branch", "code"), [("topic", 0), ("main", 3)])
def test_a_run_that_was_started_by_hand_is_for_its_branch(forge: Forge, kilo: Runner, branch: str, code: int) -> None:
    environment = forge.event("workflow_dispatch", {}, GITHUB_REF=f"refs/heads/{branch}", GITHUB_SHA=forge.at(branch))
    done = plan(kilo, forge.clone(checkout=branch), environment)
    assert done.code == code
    assert code or paths(done) == OWN


@pytest.mark.parametrize("event", ["issue_comment", "workflow_run"])
def test_it_is_judged_by_the_rules_of_its_base_and_posted_where_it_is_discussed(
    forge: Forge, kilo: Runner, event: str
) -> None:
    hub = forge.hub
    hub.git("checkout", "-q", "topic")
    hub.stage(".kilo-review.toml", 'fail_on = "never"\nexclude = ["*"]\n')
    hub.stage("app.py", f"def mean(items):\n    {CODE}  # kilo-review: ignore[bug] it is fine\n")
    hub.commit("excuses")
    hub.git("checkout", "-q", "main")
    forge.propose()
    with Repository(hub.path) as repo:
        diff = of_repository(repo, Request("main...topic")).diff
    answer = json.dumps({"findings": [FOUND]})
    with (
        Ollama(models=[Model("m:1", loaded_window=32768)], ruling=AFFIRMED, answer=answer) as server,
        FakeGitHub(diff=diff, head=forge.at("topic")) as github,
    ):
        address = {"GITHUB_API_URL": f"{github.url}/api/v3", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": OURS}
        environment = by_server(server) | KNOWN[event](forge) | address
        done = kilo("ci", "--post", cwd=forge.clone(checkout="main").path, env=environment)
        assert done.code == 1, done.talk
        assert "is not honoured, since this pull request brings it in" in done.text
        assert [thread["path"] for thread in github.open_threads()] == ["app.py"]
