"""What a CI run reviews: exactly what was proposed or pushed, from real clones as the systems make them."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.report import FORMATS
from tests.conftest import Repo
from tests.support.forges import ZEROS, Forge, variables
from tests.support.planned import files, push, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.conftest import Runner

GONE = "1" * 40


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; a test gets a copy of it."""
    made = Repo(tmp_path_factory.mktemp("forge") / "hub")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    for name, value in (("user.name", "Tester"), ("user.email", "tester@example.invalid"), ("commit.gpgSign", "false")):
        made.git("config", name, value)
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    for number in range(30):
        made.commit(f"main {number}", main__py="".join(f"line_{each} = {each}\n" for each in range(number + 1)))
    made.git("checkout", "-q", "-b", "topic", "main~12")
    made.commit("topic one", topic__py="a = 1\n")
    made.commit("topic two", topic__py="a = 1\nb = 2\n", other__py="c = 3\n")
    made.git("checkout", "-q", "main")
    Forge(made, made.path.parent).propose()
    return made.path


@pytest.fixture
def forge(hub: Path, tmp_path: Path) -> Forge:
    shutil.copytree(hub, tmp_path / "hub", symlinks=True)
    return Forge(Repo(tmp_path / "hub"), tmp_path)


@pytest.fixture
def planned(kilo: Runner) -> Callable[..., dict[str, Any]]:
    """What `kilo-review ci` would review in a clone."""

    def plan(clone: Repo, environment: Mapping[str, str], *arguments: str) -> dict[str, Any]:
        done = run(kilo, clone, environment, *arguments)
        assert done.code == 0, done.talk
        report: dict[str, Any] = done.json()
        return report

    return plan


OWN = {"topic.py": (2, 0), "other.py": (1, 0)}
"""What the branch changes."""


# Pull requests


@pytest.mark.parametrize("depth", [1, 2, None])
@pytest.mark.long
def test_a_pull_request_is_its_own_changes_however_shallow_the_clone_is(
    forge: Forge, planned: Callable[..., dict[str, Any]], depth: int | None
) -> None:
    assert files(planned(forge.clone(depth=depth), forge.pull_request())) == OWN


def test_a_target_request_checks_out_the_base_and_reviews_the_head(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    clone = forge.clone(checkout="main")
    assert files(planned(clone, forge.pull_request("pull_request_target"))) == OWN
    assert clone.out("rev-parse", "HEAD") == forge.at("main")


def test_an_old_clone_of_the_base_shows_nothing_of_others(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    """A runner that keeps its checkout has the target branch as it was; the topic has merged a newer one since."""
    clone = forge.clone(checkout="main", depth=None)
    clone.git("update-ref", "refs/remotes/origin/main", forge.at("main~10"))
    forge.hub.git("checkout", "-q", "topic")
    forge.hub.git("merge", "-q", "-m", "up to date", "main")
    forge.hub.git("checkout", "-q", "main")
    forge.propose()
    assert files(planned(clone, forge.pull_request("pull_request_target"))) == OWN


def test_branches_that_were_merged_crosswise_show_the_own_changes_alone(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    hub = forge.hub
    main, topic = forge.at("main"), forge.at("topic")
    hub.git("merge", "-q", "--no-ff", "-m", "topic into main", topic)
    hub.git("checkout", "-q", "topic")
    hub.git("merge", "-q", "--no-ff", "-m", "main into topic", main)
    hub.commit("more", more__py="d = 4\n")
    hub.git("checkout", "-q", "main")
    hub.commit("main goes on", main2__py="e = 5\n")
    assert len(hub.out("merge-base", "--all", "main", "topic").split()) == 2
    forge.propose()
    assert files(planned(forge.clone(), forge.pull_request())) == {"more.py": (1, 0)}


def test_without_a_fetch_the_merge_that_github_made_is_enough(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    assert files(planned(forge.clone(depth=2), forge.pull_request(), "--no-fetch")) == OWN


def test_without_a_fetch_a_clone_of_one_commit_names_the_setting(forge: Forge, kilo: Runner) -> None:
    done = run(kilo, forge.clone(), forge.pull_request(), "--no-fetch")
    assert done.code == 3
    assert done.json()["outcome"] == "not_reviewed"
    assert "fetch-depth: 0" in done.json()["failure"]
    assert "fetch-depth: 0" in done.talk


def test_a_change_that_was_not_found_is_told_in_every_report_and_passes_under_no_policy(
    forge: Forge, kilo: Runner, tmp_path: Path
) -> None:
    clone, environment = forge.clone(), forge.pull_request(GITHUB_STEP_SUMMARY=str(tmp_path / "page"))
    words = [word for form in FORMATS for word in ("--output", f"{form}={tmp_path / form}")]
    done = kilo("ci", "--no-fetch", "--on-unavailable", "allow", *words, cwd=clone.path, env=environment)
    assert done.code == 3
    for name in (*FORMATS, "page"):
        assert "fetch-depth" in (tmp_path / name).read_text(), name


def test_a_remote_that_is_gone_is_told_with_what_git_says(forge: Forge, kilo: Runner) -> None:
    clone = forge.clone()
    clone.git("remote", "set-url", "origin", (forge.folder / "nowhere").as_uri())
    done = run(kilo, clone, forge.pull_request())
    assert done.code == 3
    assert "fetch-depth: 0" in done.talk
    assert "does not appear to be a git repository" in done.talk


def test_sides_without_a_common_commit_are_neither_new_nor_clean(forge: Forge, kilo: Runner) -> None:
    forge.hub.git("checkout", "-q", "--orphan", "island")
    forge.hub.commit("island", island__py="i = 1\n")
    forge.hub.git("branch", "-f", "topic", "island")
    forge.hub.git("checkout", "-q", "-f", "main")
    forge.hub.git("update-ref", "refs/pull/7/head", "topic")
    done = run(kilo, forge.clone(checkout="refs/pull/7/head"), forge.pull_request())
    assert done.code == 3
    assert "the point where the two sides part is not in the clone" in done.talk


def test_giteas_reference_is_the_head_and_a_merge_in_it_is_the_users(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    """go-gitea#27126: what is checked out is the head itself, here one that has merged the target branch."""
    forge.hub.git("checkout", "-q", "topic")
    forge.hub.git("merge", "-q", "--no-ff", "-m", "up to date", "main")
    forge.hub.git("checkout", "-q", "main")
    forge.propose()
    environment = forge.pull_request() | {"GITEA_ACTIONS": "true", "GITHUB_SHA": forge.at("topic")}
    assert files(planned(forge.clone(checkout="refs/pull/7/head"), environment)) == OWN


@pytest.mark.parametrize("depth", [1, 20, None])
def test_a_merge_request_of_gitlab(forge: Forge, planned: Callable[..., dict[str, Any]], depth: int | None) -> None:
    forge.hub.git("update-ref", "refs/merge-requests/7/head", "topic")
    environment = variables(
        CI="true",
        GITLAB_CI="true",
        CI_PIPELINE_SOURCE="merge_request_event",
        CI_MERGE_REQUEST_IID="7",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main",
        CI_DEFAULT_BRANCH="main",
        CI_COMMIT_SHA=forge.at("topic"),
        CI_COMMIT_BEFORE_SHA=ZEROS,
        # Stale, as after another target branch was chosen (gitlab#442031).
        CI_MERGE_REQUEST_DIFF_BASE_SHA=forge.at("main~20"),
    )
    clone = forge.clone(checkout="refs/merge-requests/7/head", depth=depth)
    assert files(planned(clone, environment)) == OWN


def test_a_merged_result_of_gitlab_is_reviewed_as_the_request(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    environment = variables(
        CI="true",
        GITLAB_CI="true",
        CI_PIPELINE_SOURCE="merge_request_event",
        CI_MERGE_REQUEST_IID="7",
        CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main",
        CI_COMMIT_SHA=forge.at("refs/pull/7/merge"),
        CI_COMMIT_BEFORE_SHA=ZEROS,
        CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=forge.at("topic"),
    )
    assert files(planned(forge.clone(), environment)) == OWN


OTHERS: dict[str, Callable[[Forge], dict[str, str]]] = {
    "bitbucket": lambda forge: variables(
        BITBUCKET_BUILD_NUMBER="1",
        BITBUCKET_PR_ID="7",
        BITBUCKET_PR_DESTINATION_BRANCH="main",
        BITBUCKET_PR_DESTINATION_COMMIT=forge.at("main")[:12],
        BITBUCKET_COMMIT=forge.at("topic")[:12],
    ),
    "azure": lambda forge: variables(
        TF_BUILD="True",
        BUILD_REASON="PullRequest",
        BUILD_SOURCEVERSION=forge.at("refs/pull/7/merge"),
        SYSTEM_PULLREQUEST_TARGETBRANCH="refs/heads/main",
        SYSTEM_PULLREQUEST_PULLREQUESTID="7",
        SYSTEM_PULLREQUEST_SOURCECOMMITID=forge.at("topic"),
    ),
    "azure, short name": lambda forge: variables(
        TF_BUILD="True",
        BUILD_REASON="PullRequest",
        BUILD_SOURCEVERSION=forge.at("refs/pull/7/merge"),
        SYSTEM_PULLREQUEST_TARGETBRANCH="main",
        SYSTEM_PULLREQUEST_PULLREQUESTNUMBER="7",
        SYSTEM_PULLREQUEST_SOURCECOMMITID=forge.at("topic"),
    ),
    "jenkins": lambda _: variables(JENKINS_URL="http://127.0.0.1", CHANGE_ID="7", CHANGE_TARGET="main"),
    "woodpecker": lambda forge: variables(
        CI="woodpecker",
        CI_PIPELINE_EVENT="pull_request",
        CI_COMMIT_PULL_REQUEST="7",
        CI_COMMIT_TARGET_BRANCH="main",
        CI_COMMIT_SHA=forge.at("topic"),
    ),
}


@pytest.mark.parametrize("system", OTHERS)
def test_other_systems(forge: Forge, planned: Callable[..., dict[str, Any]], system: str) -> None:
    environment = OTHERS[system](forge)
    checkout = "refs/pull/7/merge" if system.startswith("azure") else "refs/pull/7/head"
    depth = 50 if system in {"bitbucket", "jenkins"} else 1
    assert files(planned(forge.clone(checkout=checkout, depth=depth), environment)) == OWN


@pytest.mark.parametrize("depth", [1, None])
def test_a_base_that_is_named_needs_no_system(
    forge: Forge, planned: Callable[..., dict[str, Any]], depth: int | None
) -> None:
    clone = forge.clone(checkout="topic", depth=depth)
    assert files(planned(clone, {}, "--base", "main")) == OWN
    assert files(planned(clone, {}, "--base", "origin/main")) == OWN
    assert files(planned(clone, {}, "--base", forge.at("main"))) == OWN


def test_a_base_that_is_nowhere_is_wrong_usage(forge: Forge, kilo: Runner) -> None:
    done = run(kilo, forge.clone(checkout="topic"), {}, "--base", "no-such")
    assert done.code == 2
    assert "--base: 'no-such' is no commit here" in done.talk


def test_no_system_and_no_base_is_the_branch_against_main(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    assert files(planned(forge.clone(checkout="topic", depth=None), {})) == OWN


# Pushes


@pytest.mark.parametrize("depth", [1, None])
def test_a_push_is_what_the_branch_had_not(
    forge: Forge, planned: Callable[..., dict[str, Any]], depth: int | None
) -> None:
    environment = push(forge, forge.at("main~3"), forge.at("main"), "main")
    assert files(planned(forge.clone(checkout="main", depth=depth), environment)) == {"main.py": (3, 0)}


@pytest.mark.parametrize(("before", "told"), [(ZEROS, "is new"), (GONE, "was rewritten")])
@pytest.mark.parametrize("depth", [1, None])
def test_a_new_or_rewritten_branch_is_what_main_has_not(
    forge: Forge, planned: Callable[..., dict[str, Any]], kilo: Runner, before: str, told: str, depth: int | None
) -> None:
    clone, environment = forge.clone(checkout="topic", depth=depth), push(forge, before, forge.at("topic"))
    assert files(planned(clone, environment)) == OWN
    assert told in kilo("ci", "--dry-run", cwd=clone.path, env=environment).text


def test_a_rewritten_branch_whose_old_tip_is_still_there(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    old = forge.at("topic")
    forge.hub.git("checkout", "-q", "-B", "topic", "main")
    forge.hub.commit("again", again__py="x = 1\n")
    environment = push(forge, old, forge.at("topic"))
    assert files(planned(forge.clone(checkout="topic"), environment)) == {"again.py": (1, 0)}


def test_a_rewritten_main_branch_whose_old_tip_is_gone_is_not_reviewed_by_its_newest_commit(
    forge: Forge, kilo: Runner
) -> None:
    environment = push(forge, GONE, forge.at("main"), "main")
    done = run(kilo, forge.clone(checkout="main"), environment)
    assert done.code == 3
    assert "nothing tells which commits were pushed to the default branch 'main'" in done.talk
    assert "--base" in done.talk


def test_a_new_branch_without_commits_of_its_own_changes_nothing(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    forge.hub.git("branch", "fresh", "main")
    environment = push(forge, ZEROS, forge.at("main"), "fresh")
    assert files(planned(forge.clone(checkout="main"), environment)) == {}


def test_the_first_push_of_all(make_repo: Callable[..., Repo], tmp_path: Path, kilo: Runner) -> None:
    hub = make_repo("hub")
    hub.commit("first", a__py="a = 1\n")
    forge = Forge(hub, tmp_path)
    done = run(kilo, forge.clone(checkout="main"), push(forge, ZEROS, forge.at("main"), "main"))
    assert files(done.json()) == {"a.py": (1, 0)}


def test_a_merge_queue_reviews_the_group(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    facts = {"merge_group": {"base_sha": forge.at("main"), "head_sha": forge.at("refs/pull/7/merge")}}
    environment = forge.event("merge_group", facts)
    assert files(planned(forge.clone(), environment)) == OWN


def test_a_scheduled_run_of_the_main_branch_is_its_newest_commit(
    forge: Forge, planned: Callable[..., dict[str, Any]]
) -> None:
    environment = forge.event("schedule", {}, GITHUB_REF="refs/heads/main", GITHUB_SHA=forge.at("main"))
    assert files(planned(forge.clone(checkout="main"), environment)) == {"main.py": (1, 0)}


@pytest.mark.parametrize("source", ["push", "web", "schedule"])
def test_a_branch_of_gitlab(forge: Forge, planned: Callable[..., dict[str, Any]], source: str) -> None:
    """What was there before is all zeros for a first push, for manual runs and for scheduled ones (gitlab#12850)."""
    environment = variables(
        CI="true",
        GITLAB_CI="true",
        CI_PIPELINE_SOURCE=source,
        CI_COMMIT_BRANCH="topic",
        CI_COMMIT_SHA=forge.at("topic"),
        CI_COMMIT_BEFORE_SHA=ZEROS,
        CI_DEFAULT_BRANCH="main",
    )
    assert files(planned(forge.clone(checkout="topic"), environment)) == OWN


def test_an_event_that_cannot_be_read_is_no_clean_review(forge: Forge, kilo: Runner) -> None:
    environment = forge.pull_request()
    (forge.folder / "event.json").write_text("{")
    done = run(kilo, forge.clone(), environment)
    assert done.code == 3
    assert "the description of the event" in done.talk


def test_a_partial_clone_gets_what_it_lacks(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    forge.hub.git("config", "uploadpack.allowFilter", "true")
    made = Repo(forge.folder / "clone")
    forge.hub.git("clone", "-q", "--no-local", "--filter=blob:none", "--no-checkout", ".", str(made.path))
    made.git("fetch", "-q", "origin", "refs/pull/7/merge")
    assert files(planned(made, forge.pull_request())) == OWN


def test_crosswise_merges_that_conflict_are_told(forge: Forge, kilo: Runner) -> None:
    hub = forge.hub
    main, topic = forge.at("main"), forge.at("topic")
    hub.git("merge", "-q", "--no-ff", "-m", "topic into main", topic)
    hub.git("checkout", "-q", "topic")
    hub.git("merge", "-q", "--no-ff", "-m", "main into topic", main)
    hub.commit("one", same__py="d = 4\n")
    hub.git("checkout", "-q", "main")
    hub.commit("other", same__py="d = 5\n")
    hub.git("update-ref", "refs/pull/7/head", "topic")
    hub.git("update-ref", "refs/pull/7/merge", "topic")
    environment = forge.pull_request()
    done = kilo("ci", "--dry-run", cwd=forge.clone(checkout="refs/pull/7/head").path, env=environment)
    assert done.code == 0, done.talk
    assert "merged crosswise and conflict" in done.text
    assert "same.py" in done.text


@pytest.mark.long
def test_a_remote_that_does_not_answer_does_not_hold_the_pipeline(forge: Forge, kilo: Runner) -> None:
    """Here by the time limit of the run; without one each fetch has its own."""
    clone = forge.clone()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        clone.git("remote", "set-url", "origin", f"git://127.0.0.1:{silent.getsockname()[1]}/hub")
        done = run(kilo, clone, forge.pull_request(), "--max-seconds", "3")
    assert done.code == 3
    assert "the time limit of 3 s is used up" in done.talk


def test_a_fetch_leaves_nothing_in_the_checkout(forge: Forge, planned: Callable[..., dict[str, Any]]) -> None:
    clone = forge.clone()
    before = (clone.out("rev-parse", "HEAD"), clone.out("status", "--porcelain"), clone.out("for-each-ref"))
    planned(clone, forge.pull_request())
    head, status, references = (
        clone.out("rev-parse", "HEAD"),
        clone.out("status", "--porcelain"),
        clone.out("for-each-ref"),
    )
    assert (head, status) == before[:2]
    assert {line.split()[-1] for line in references.splitlines()} <= {"refs/remotes/origin/main"}
