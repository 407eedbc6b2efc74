"""Which runs are for a proposal: one table for `ci` and for every other command, by system and event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import config
from kilo_review.source import ci_environment

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = {"pull_request": {"number": 7}}
EVENTS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "pull_request": ("pull_request", REQUEST, True),
    "pull_request_target": ("pull_request_target", REQUEST, True),
    "pull_request_review": ("pull_request_review", REQUEST, True),
    "pull_request_review_comment": ("pull_request_review_comment", REQUEST, True),
    "merge_group": ("merge_group", {"merge_group": {"base_sha": "1" * 40, "head_sha": "2" * 40}}, True),
    "comment on a request": ("issue_comment", {"issue": {"number": 7, "pull_request": {}}}, True),
    "comment on an issue": ("issue_comment", {"issue": {"number": 7}}, True),
    "workflow_run": ("workflow_run", {"workflow_run": {"pull_requests": [{"number": 7}]}}, True),
    "workflow_run of a fork": ("workflow_run", {"workflow_run": {"event": "pull_request"}}, True),
    "workflow_run of a fork's push": (
        "workflow_run",
        {
            "workflow_run": {"event": "push", "head_sha": "1" * 40, "head_repository": {"id": 2}},
            "repository": {"id": 1},
        },
        True,
    ),
    "workflow_run of a push": (
        "workflow_run",
        {
            "workflow_run": {"event": "push", "head_sha": "1" * 40, "head_repository": {"id": 1}},
            "repository": {"id": 1},
        },
        False,
    ),
    "check_run": ("check_run", {"check_run": {"head_sha": "1" * 40}}, True),
    "check_suite": ("check_suite", {"check_suite": {"pull_requests": [{"number": 7}]}}, True),
    "repository_dispatch": ("repository_dispatch", {}, True),
    "deployment": ("deployment", {}, True),
    "an event of tomorrow": ("tomorrow", {}, True),
    "no event": ("", {}, True),
    "push": ("push", {}, False),
    "schedule": ("schedule", {}, False),
    "workflow_dispatch": ("workflow_dispatch", {}, False),
    "release": ("release", {}, False),
}


@pytest.mark.parametrize("mark", ["GITHUB_ACTIONS", "GITEA_ACTIONS", "FORGEJO_ACTIONS"])
@pytest.mark.parametrize(("name", "facts", "is_one"), EVENTS.values(), ids=EVENTS)
def test_events_of_actions(tmp_path: Path, mark: str, name: str, facts: dict[str, Any], is_one: bool) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(facts))
    environment = {mark: "true", "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(path)}
    assert ci_environment.detect(environment).is_proposal is is_one
    assert config.is_pull_request(environment) is is_one


GITLAB = {"GITLAB_CI": "true"}
AZURE = {"TF_BUILD": "True"}
BITBUCKET = {"BITBUCKET_BUILD_NUMBER": "1"}
JENKINS = {"JENKINS_URL": "http://127.0.0.1"}
BITBUCKET_PLUGIN = {"BITBUCKET_PULL_REQUEST_ID": "7", "BITBUCKET_SOURCE_BRANCH": "topic", "GIT_BRANCH": "origin/topic"}
DRONE = {"CI": "true", "DRONE": "true"}
BUILDKITE = {"CI": "true", "BUILDKITE": "true"}
CIRCLE = {"CI": "true", "CIRCLECI": "true"}
RUNS: dict[str, tuple[dict[str, str], bool]] = {
    "nothing": ({}, False),
    "no CI": ({"CI": "false"}, False),
    "unknown": ({"CI": "true"}, True),
    "gitlab, request": (GITLAB | {"CI_MERGE_REQUEST_IID": "7"}, True),
    "gitlab, request without its number": (GITLAB | {"CI_PIPELINE_SOURCE": "merge_request_event"}, True),
    "gitlab, merge train": (
        GITLAB | {"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"},
        True,
    ),
    "gitlab, request elsewhere": (GITLAB | {"CI_PIPELINE_SOURCE": "external_pull_request_event"}, True),
    "gitlab, branch": (GITLAB | {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "topic"}, False),
    "gitlab, number alone": ({"CI_MERGE_REQUEST_IID": "7"}, True),
    "azure, request": (AZURE | {"SYSTEM_PULLREQUEST_PULLREQUESTID": "7"}, True),
    "azure, reason": (AZURE | {"BUILD_REASON": "PullRequest"}, True),
    "azure, target": (AZURE | {"SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main"}, True),
    "azure, reference": (AZURE | {"BUILD_SOURCEBRANCH": "refs/pull/7/merge"}, True),
    "azure, branch": (AZURE | {"BUILD_REASON": "IndividualCI", "BUILD_SOURCEBRANCH": "refs/heads/topic"}, False),
    "bitbucket, request": (BITBUCKET | {"BITBUCKET_PR_ID": "7"}, True),
    "bitbucket, branch": (BITBUCKET | {"BITBUCKET_BRANCH": "topic"}, False),
    "bitbucket, number alone": ({"BITBUCKET_PR_ID": "7"}, True),
    "jenkins, change": (JENKINS | {"CHANGE_ID": "7", "CHANGE_TARGET": "main"}, True),
    "jenkins, number alone": ({"CHANGE_ID": "7"}, True),
    "jenkins, target alone": (JENKINS | {"CHANGE_TARGET": "main"}, True),
    "jenkins, builder of GitHub's requests": (JENKINS | {"ghprbPullId": "7"}, True),
    "jenkins, GitLab": (JENKINS | {"gitlabMergeRequestIid": "7", "gitlabTargetBranch": "main"}, True),
    "jenkins, Gerrit": (JENKINS | {"GERRIT_CHANGE_NUMBER": "7", "GERRIT_BRANCH": "main"}, True),
    "jenkins, Bitbucket": (JENKINS | BITBUCKET_PLUGIN | {"BITBUCKET_TARGET_BRANCH": "main"}, True),
    "jenkins, Bitbucket, number alone": (BITBUCKET_PLUGIN, True),
    "jenkins, builder of Stash's requests": (
        JENKINS | {"pullRequestId": "7", "targetBranch": "main", "sourceBranch": "topic", "GIT_BRANCH": "origin/topic"},
        True,
    ),
    "jenkins, builder of Bitbucket's requests": (
        JENKINS | {"bbprbPullRequestId": "7", "bbprbDestinationBranch": "main", "GIT_BRANCH": "origin/topic"},
        True,
    ),
    "jenkins, integration of GitHub": (JENKINS | {"GITHUB_PR_NUMBER": "7", "GIT_BRANCH": "origin/topic"}, True),
    "jenkins, GitLab's old builder": (JENKINS | {"gitlabMergeRequestId": "7", "GIT_BRANCH": "origin/topic"}, True),
    "jenkins, Gitee": (JENKINS | {"giteePullRequestIid": "7", "giteeTargetBranch": "main"}, True),
    "jenkins, no branch": (JENKINS, True),
    "jenkins, detached": (JENKINS | {"GIT_BRANCH": "detached"}, True),
    "jenkins, commit": (JENKINS | {"GIT_BRANCH": "1" * 40}, True),
    "jenkins, reference of a request": (JENKINS | {"GIT_BRANCH": "origin/pr/7/merge"}, True),
    "jenkins, reference of Gerrit's": (JENKINS | {"GIT_BRANCH": "refs/changes/07/7/1"}, True),
    "jenkins, request of a multibranch pipeline": (JENKINS | {"BRANCH_NAME": "PR-7"}, True),
    "jenkins, branch": (JENKINS | {"BRANCH_NAME": "topic"}, False),
    "jenkins, branch of the checkout": (JENKINS | {"GIT_BRANCH": "origin/topic"}, False),
    "jenkins, branch with a number": (JENKINS | {"GIT_BRANCH": "origin/fix/7"}, False),
    "jenkins, tag": (JENKINS | {"TAG_NAME": "v1", "GIT_BRANCH": "detached"}, False),
    "jenkins, push of Bitbucket": (JENKINS | {"BITBUCKET_SOURCE_BRANCH": "topic", "GIT_BRANCH": "detached"}, False),
    "jenkins, push of GitLab": (JENKINS | {"gitlabTargetBranch": "main"}, False),
    "woodpecker, request": ({"CI": "woodpecker", "CI_PIPELINE_EVENT": "pull_request"}, True),
    "woodpecker, closed": ({"CI": "woodpecker", "CI_PIPELINE_EVENT": "pull_request_closed"}, True),
    "woodpecker, deployment of a request": (
        {"CI": "woodpecker", "CI_PIPELINE_EVENT": "deployment", "CI_COMMIT_REF": "refs/pull/7/head"},
        True,
    ),
    "woodpecker, push": ({"CI": "woodpecker", "CI_PIPELINE_EVENT": "push"}, False),
    "drone, request": (DRONE | {"DRONE_BUILD_EVENT": "pull_request", "DRONE_PULL_REQUEST": "7"}, True),
    "drone, promoted request": (DRONE | {"DRONE_BUILD_EVENT": "promote", "DRONE_COMMIT_REF": "refs/pull/7/head"}, True),
    "drone, promoted push": (DRONE | {"DRONE_BUILD_EVENT": "promote", "DRONE_COMMIT_REF": "refs/heads/main"}, False),
    "drone, push": (DRONE | {"DRONE_BUILD_EVENT": "push"}, False),
    "buildkite, request": (BUILDKITE | {"BUILDKITE_PULL_REQUEST": "7"}, True),
    "buildkite, request built by hand": (BUILDKITE | {"BUILDKITE_BRANCH": "refs/pull/7/head"}, True),
    "buildkite, branch": (BUILDKITE | {"BUILDKITE_PULL_REQUEST": "false"}, False),
    "circle, request": (CIRCLE | {"CIRCLE_PULL_REQUEST": "https://github.com/a/b/pull/7"}, True),
    "circle, fork": (CIRCLE | {"CIRCLE_PR_NUMBER": "7", "CIRCLE_BRANCH": "pull/7"}, True),
    "circle, branch": (CIRCLE | {"CIRCLE_BRANCH": "topic"}, False),
    "merge queue elsewhere": (BUILDKITE | {"BUILDKITE_BRANCH": "gh-readonly-queue/main/pr-7-abc"}, True),
    "one system in another": (JENKINS | {"BRANCH_NAME": "topic", "GITLAB_CI": "", "BITBUCKET_PR_ID": "7"}, True),
}


@pytest.mark.parametrize(("environment", "is_one"), RUNS.values(), ids=RUNS)
def test_other_systems(environment: dict[str, str], is_one: bool) -> None:
    assert ci_environment.detect(environment).is_proposal is is_one
    assert config.is_pull_request(environment) is is_one


@pytest.mark.parametrize("content", [None, "{", "[]", '{"pull_request": 7}', '{"before": "HEAD"}'])
def test_a_run_that_cannot_be_told_may_be_for_a_proposal(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "event.json"
    if content is not None:
        path.write_text(content)
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(path)}
    assert config.is_pull_request(environment)


@pytest.mark.parametrize(
    ("name", "number"),
    [("CHANGE_ID", "7"), ("GITHUB_PR_NUMBER", "7"), ("BITBUCKET_PULL_REQUEST_ID", ""), ("gitlabMergeRequestId", "")],
)
def test_a_number_of_another_forge_is_not_posted_to(name: str, number: str) -> None:
    assert ci_environment.detect(JENKINS | {name: "7"}).number == number


def test_the_last_build_counts_only_where_a_branch_is_named() -> None:
    """It may have been for an earlier commit of what is proposed, whose rules would count."""
    last = JENKINS | {"GIT_PREVIOUS_SUCCESSFUL_COMMIT": "1" * 40}
    for branch in ("", "detached", "origin/pr/7/head"):
        assert ci_environment.detect(last | {"GIT_BRANCH": branch}).base == ""
    assert ci_environment.detect(last | {"GIT_BRANCH": "origin/topic"}).base == "1" * 40
