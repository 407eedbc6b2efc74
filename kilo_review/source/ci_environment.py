"""What a CI system says of its run: who it is, whether it is for a pull request, from where to where.

Each system's words are translated here and in `actions`, and nowhere else; nothing is asked of git or of a network.
Sources of the variables' meanings are each system's own documentation; what is known to be stale or empty is not
believed alone. `_SYSTEMS` is the one table by which a run is told to be for a proposal: that decides whether a change
may excuse itself, so that a run which may be for one counts as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.errors import SourceError
from kilo_review.source import actions
from kilo_review.source.actions import branch_of, tag_of, wrong
from kilo_review.source.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ABBREVIATING", "Pipeline", "detect", "is_proposal"]

GITLAB_DEPTH = 'the variable GIT_DEPTH: "0"'
ID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z"
SHORT_ID = r"[0-9a-f]{7,64}\Z"
ABBREVIATING = frozenset({"bitbucket"})
"""Systems that may give the first digits of an id."""
NUMBER = r"[0-9]{1,20}\Z"
QUEUE = "gh-readonly-queue/"
"""Branches of GitHub's merge queue, as other systems see them."""
REQUESTED = (
    r"(?:.*/)?(?:pr|pulls?|pull-requests?|merge-requests?|changes)/[0-9]+(?:/.*)?\Z|(?:origin/)?[PM]R-[0-9]+(?:-\w+)?\Z"
)
"""References of requests, and what Jenkins calls branches that it makes of them, where a branch is to be named."""
NAMELESS = frozenset({"", "HEAD", "detached"})
"""What systems write where a commit is built, and no branch."""
NO = frozenset({"", "0", "false"})
"""What systems write where there is no pull request, or no CI."""


def detect(environment: Mapping[str, str]) -> Pipeline:
    """Return the run that these variables describe; an empty one outside of CI.

    Variables of several systems may be set, as where one starts another; the first of them is read, and what any of
    them calls a proposal is one.

    Raises:
        SourceError: the system's description of its event cannot be read, or names a commit or a request by something
            else than an id or a number.
    """
    by_name = [system for system in _SYSTEMS if system.runs(environment)]
    by_request = [system for system in _SYSTEMS if system.mentions_request(environment)]
    systems = [*by_name, *(system for system in by_request if system not in by_name)]
    found = [_checked(system.read(environment)) for system in systems]
    if not found:
        # Nothing tells whether an unknown system runs for a proposed change.
        return Pipeline("", "", is_proposal=environment.get("CI", "").lower() not in NO)
    return found[0]._replace(is_proposal=any(each.is_proposal or _is_of_request(each.branch) for each in found))


def is_proposal(environment: Mapping[str, str]) -> bool:
    """Return whether a run is for a proposed change, which may not excuse itself; also where nothing can tell."""
    try:
        return detect(environment).is_proposal
    except SourceError:
        return True


def _checked(pipeline: Pipeline) -> Pipeline:
    """The same run, with ids in small letters.

    A word that is no id could be a reference, an expression or an option to git: `HEAD` in the place of the base would
    make every change empty. Names of branches are held against git's own rules where they are used.
    """
    pattern = SHORT_ID if pipeline.system in ABBREVIATING else ID
    found = {name: getattr(pipeline, name).lower() for name in ("base", "head", "merge")}
    for name, oid in found.items():
        if oid and not re.match(pattern, oid):
            raise wrong(f"the id of a commit ({name})", getattr(pipeline, name))
    if pipeline.head_refs and not re.match(NUMBER, pipeline.number):
        raise wrong("the number of a pull request", pipeline.number)
    return pipeline._replace(branch=_branch(pipeline.branch), **found)


def _branch(word: str) -> str:
    """Return a branch without where it is kept, but for the name of a remote; "" for a commit."""
    name = word.removeprefix("refs/heads/").removeprefix("refs/remotes/")
    return "" if name in NAMELESS or re.match(ID, name.lower()) else name


def _is_of_request(name: str) -> bool:
    """Return whether a branch or reference is one that a forge or a system keeps for a request."""
    return name.startswith(QUEUE) or re.match(REQUESTED, name) is not None


def _gitlab(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    source = get("CI_PIPELINE_SOURCE", "")
    common: dict[str, Any] = {
        "system": "gitlab",
        "event": source,
        "default_branch": get("CI_DEFAULT_BRANCH", ""),
        "depth": GITLAB_DEPTH,
    }
    if get("CI_MERGE_REQUEST_IID") or source == "merge_request_event":
        number = get("CI_MERGE_REQUEST_IID", "")
        own = get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "")  # set in merged-results pipelines alone
        return Pipeline(
            **common,
            is_proposal=True,
            is_request=True,
            number=number,
            base_branch=get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""),
            base=get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
            head=own or get("CI_COMMIT_SHA", ""),
            merge=get("CI_COMMIT_SHA", "") if own else "",
            head_refs=(f"refs/merge-requests/{number}/head",) if number else (),
        )
    if get("CI_EXTERNAL_PULL_REQUEST_IID") or source == "external_pull_request_event":
        return Pipeline(  # its number is of another forge, so it is not kept
            **common,
            is_proposal=True,
            is_request=True,
            base_branch=get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_NAME", ""),
            base=get("CI_EXTERNAL_PULL_REQUEST_TARGET_BRANCH_SHA", ""),
            head=get("CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA", "") or get("CI_COMMIT_SHA", ""),
        )
    base, head = get("CI_COMMIT_BEFORE_SHA", ""), get("CI_COMMIT_SHA", "")
    common["branch"], common["tag"] = get("CI_COMMIT_BRANCH", ""), get("CI_COMMIT_TAG", "")
    return Pipeline(**common, base=base, head=head)


def _bitbucket(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    number = get("BITBUCKET_PR_ID", "")
    return Pipeline(
        "bitbucket",
        "pull_request" if number else "push",
        is_proposal=bool(number),
        is_request=bool(number),
        number=number,
        branch=get("BITBUCKET_BRANCH", ""),
        tag=get("BITBUCKET_TAG", ""),
        base_branch=get("BITBUCKET_PR_DESTINATION_BRANCH", ""),
        base=get("BITBUCKET_PR_DESTINATION_COMMIT", ""),
        head=get("BITBUCKET_COMMIT", ""),
        depth="`clone: depth: full` in bitbucket-pipelines.yml",
    )


def _azure(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    target, reference = get("SYSTEM_PULLREQUEST_TARGETBRANCH", ""), get("BUILD_SOURCEBRANCH", "")
    number = get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER") or get("SYSTEM_PULLREQUEST_PULLREQUESTID", "")
    is_pull = bool(target or number) or get("BUILD_REASON") == "PullRequest" or reference.startswith("refs/pull/")
    built = get("BUILD_SOURCEVERSION", "")
    return Pipeline(
        "azure",
        get("BUILD_REASON", ""),
        is_proposal=is_pull,
        is_request=is_pull,
        number=number,
        branch=branch_of(reference),
        tag=tag_of(reference),
        base_branch=target.removeprefix("refs/heads/"),
        head=get("SYSTEM_PULLREQUEST_SOURCECOMMITID", "") if is_pull else built,
        merge=built if is_pull else "",
        depth="`fetchDepth: 0` in the step checkout",
    )


_OF_JENKINS = {
    "CHANGE_ID": "CHANGE_TARGET",
    "ghprbPullId": "ghprbTargetBranch",
    "GITHUB_PR_NUMBER": "GITHUB_PR_TARGET_BRANCH",
    "gitlabMergeRequestIid": "gitlabTargetBranch",
    "gitlabMergeRequestId": "gitlabTargetBranch",
    "giteePullRequestIid": "giteeTargetBranch",
    "BITBUCKET_PULL_REQUEST_ID": "BITBUCKET_TARGET_BRANCH",
    "bbprbPullRequestId": "bbprbDestinationBranch",
    "pullRequestId": "targetBranch",
    "GERRIT_CHANGE_NUMBER": "GERRIT_BRANCH",
}
"""Variables of Jenkins and of its plug-ins: the number of what is proposed → the branch that it is for."""
_NUMBERING = frozenset({"CHANGE_ID", "ghprbPullId", "GITHUB_PR_NUMBER", "gitlabMergeRequestIid"})
"""Those of them that may be of a forge that is posted to, and number as it does."""
_BRANCHES_OF_JENKINS = (
    "BRANCH_NAME",
    "GIT_BRANCH",
    "gitlabTargetBranch",
    "giteeTargetBranch",
    "BITBUCKET_SOURCE_BRANCH",
)
"""Variables that name the branch where nothing is proposed; the last three are those of plug-ins, for a push."""


def _jenkins(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    given = next((name for name in _OF_JENKINS if get(name)), "CHANGE_ID")
    number, target = get(given, ""), get(_OF_JENKINS[given], "")
    common: dict[str, Any] = {
        "system": "jenkins",
        "depth": "a checkout without shallow clone, with the target branch in its refspec",
    }
    if number or (target and given == "CHANGE_ID"):
        # The head may be a merge that Jenkins made.
        number = number if given in _NUMBERING else ""
        return Pipeline(**common, event="change", is_proposal=True, is_request=True, number=number, base_branch=target)
    tag = get("TAG_NAME", "")
    branch = "" if tag else _branch_of_jenkins(environment)
    # A checkout without a branch, as of a request's reference, may be for what a stranger proposes. The last build may
    # have been for an earlier commit of it, whose rules must not count.
    is_doubtful = not (branch or tag) or _is_of_request(branch)
    return Pipeline(
        **common,
        event="branch",
        is_proposal=is_doubtful,
        branch=branch,
        tag=tag,
        base="" if is_doubtful else get("GIT_PREVIOUS_SUCCESSFUL_COMMIT", ""),
        head=get("GIT_COMMIT", ""),
    )


def _branch_of_jenkins(environment: Mapping[str, str]) -> str:
    """Return the branch that is built; "" where nothing tells, as in a checkout of a commit."""
    given = (_branch(environment.get(name, "")).removeprefix("origin/") for name in _BRANCHES_OF_JENKINS)
    return next((name for name in given if name not in NAMELESS), "")


def _woodpecker(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    event = get("CI_PIPELINE_EVENT", "")
    is_pull = event.startswith("pull_request") or _is_of_request(get("CI_COMMIT_REF", ""))
    number = get("CI_COMMIT_PULL_REQUEST", "") if is_pull else ""
    tag, before, head = get("CI_COMMIT_TAG", ""), get("CI_PREV_COMMIT_SHA", ""), get("CI_COMMIT_SHA", "")
    return Pipeline(
        "woodpecker",
        event,
        is_proposal=is_pull,
        is_request=is_pull,
        number=number,
        branch="" if is_pull or tag else get("CI_COMMIT_BRANCH", ""),
        tag=tag,
        base_branch=get("CI_COMMIT_TARGET_BRANCH", "") if is_pull else "",
        base="" if is_pull or before == head else before,  # of the last run, which may have been for this commit
        head=head,
        head_refs=(f"refs/pull/{number}/head",) if number else (),
        default_branch=get("CI_REPO_DEFAULT_BRANCH", ""),
        depth="`partial: false` and `depth: 0` in the settings of the step clone",
    )


def _drone(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    event = get("DRONE_BUILD_EVENT", "")
    # A build that is promoted or repeated keeps the reference of its request.
    is_pull = event == "pull_request" or _says(get("DRONE_PULL_REQUEST")) or _is_of_request(get("DRONE_COMMIT_REF", ""))
    tag = get("DRONE_TAG", "")
    return Pipeline(
        "drone",
        event,
        is_proposal=is_pull,
        is_request=is_pull,
        number=get("DRONE_PULL_REQUEST", "") if is_pull else "",
        branch="" if is_pull or tag else get("DRONE_BRANCH", "") or get("DRONE_COMMIT_BRANCH", ""),
        tag=tag,
        base_branch=get("DRONE_TARGET_BRANCH", "") or get("DRONE_COMMIT_BRANCH", "") if is_pull else "",
        base="" if is_pull else get("DRONE_COMMIT_BEFORE", ""),
        head=get("DRONE_COMMIT_SHA", "") or get("DRONE_COMMIT", ""),
        default_branch=get("DRONE_REPO_BRANCH", ""),
        depth="`depth: 0` in the pipeline's settings of clone",
    )


def _buildkite(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    number = get("BUILDKITE_PULL_REQUEST", "")
    is_pull = _says(number)
    head = get("BUILDKITE_COMMIT", "")
    return Pipeline(
        "buildkite",
        get("BUILDKITE_SOURCE", ""),
        is_proposal=is_pull,
        is_request=is_pull,
        number=number if is_pull else "",
        branch="" if is_pull or get("BUILDKITE_TAG") else get("BUILDKITE_BRANCH", ""),
        tag=get("BUILDKITE_TAG", ""),
        base_branch=get("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "") if is_pull else "",
        head="" if head == "HEAD" else head,  # its word for a build that was started for a branch
        default_branch=get("BUILDKITE_PIPELINE_DEFAULT_BRANCH", ""),
    )


def _circle(environment: Mapping[str, str]) -> Pipeline:
    """CircleCI builds branches and tells which of them are proposed, not for what."""
    get = environment.get
    names = ("CIRCLE_PR_NUMBER", "CIRCLE_PULL_REQUEST", "CIRCLE_PULL_REQUESTS", "CI_PULL_REQUEST", "CI_PULL_REQUESTS")
    branch, tag = get("CIRCLE_BRANCH", ""), get("CIRCLE_TAG", "")
    is_pull = any(_says(get(name)) for name in names) or branch.startswith("pull/")
    return Pipeline(
        "circleci",
        "",
        is_proposal=is_pull,
        branch=branch,
        tag=tag,
        head=get("CIRCLE_SHA1", ""),
    )


def _says(value: str | None) -> bool:
    return (value or "").lower() not in NO


class _System(NamedTuple):
    """How one system is known, and its reader.

    Attributes:
        marks: variables that it sets in each run → patterns of what they hold.
        requests: variables that it sets for a proposal, believed also where the others were not handed on.
        read: translates its variables.
    """

    marks: dict[str, str]
    requests: dict[str, str]
    read: Callable[[Mapping[str, str]], Pipeline]

    def runs(self, environment: Mapping[str, str]) -> bool:
        """Return whether it says that it runs."""
        return any(re.match(pattern, environment.get(name, "")) for name, pattern in self.marks.items())

    def mentions_request(self, environment: Mapping[str, str]) -> bool:
        """Return whether something speaks of a proposal in its words."""
        return any(re.match(pattern, environment.get(name, "")) for name, pattern in self.requests.items())


_SYSTEMS: tuple[_System, ...] = (
    _System(
        {"GITHUB_ACTIONS": "true", "GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"},
        {"GITHUB_EVENT_NAME": "."},
        actions.read,
    ),
    _System({"GITLAB_CI": "."}, {"CI_MERGE_REQUEST_IID": ".", "CI_EXTERNAL_PULL_REQUEST_IID": "."}, _gitlab),
    _System({"BITBUCKET_BUILD_NUMBER": "."}, {"BITBUCKET_PR_ID": "."}, _bitbucket),
    _System(
        {"TF_BUILD": "."},
        {
            "SYSTEM_PULLREQUEST_PULLREQUESTID": ".",
            "SYSTEM_PULLREQUEST_TARGETBRANCH": ".",
            "BUILD_REASON": "PullRequest",
        },
        _azure,
    ),
    _System({"CI": "woodpecker"}, {"CI_PIPELINE_EVENT": "pull_request"}, _woodpecker),
    _System({"DRONE": "true"}, {"DRONE_PULL_REQUEST": ".", "DRONE_BUILD_EVENT": "pull_request"}, _drone),
    _System({"BUILDKITE": "true"}, {"BUILDKITE_PULL_REQUEST": r"\d"}, _buildkite),
    _System({"CIRCLECI": "true"}, {"CIRCLE_PULL_REQUEST": ".", "CIRCLE_PR_NUMBER": "."}, _circle),
    _System(
        {"JENKINS_URL": ".", "JENKINS_HOME": ".", "BUILD_TAG": "jenkins-"}, dict.fromkeys(_OF_JENKINS, "."), _jenkins
    ),
)
