"""What a CI system says of its run: who it is, whether it is for a pull request, from where to where.

Each system's words are translated here and nowhere else; nothing is asked of git or of a network. Sources of the
variables' meanings are each system's own documentation; what is known to be stale or empty is not believed alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST_EVENT = 64 << 20
GITHUB_DEPTH = "`fetch-depth: 0` in the step actions/checkout"
GITLAB_DEPTH = 'the variable GIT_DEPTH: "0"'
ID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z"
SHORT_ID = r"[0-9a-f]{7,64}\Z"
ABBREVIATING = frozenset({"bitbucket"})
"""Systems that may give the first digits of an id."""
NUMBER = r"[0-9]{1,20}\Z"
_UNSAYABLE = r"[\x00-\x1f\x7f\ud800-\udfff]"
"""Control characters and halves of characters: neither git nor any process could be told."""
_STEP = "Check what gives the run its event and its variables; nothing was asked of git with this"
PLAIN_DEPTH = "the whole history in the checkout (git fetch --unshallow)"


class Pipeline(NamedTuple):
    """One run of a CI system.

    Attributes:
        system: `github`, `gitea`, `gitlab`, `bitbucket`, `azure`, `jenkins`, `woodpecker`, or "" where none is known.
        event: the system's own word for why it runs.
        is_proposal: it runs for what somebody wants to be taken in, and that must not steer its own review.
        number: of the pull or merge request; "" if there is none.
        branch: the branch that was pushed or is built, without `refs/heads/`; "" if nothing tells.
        base_branch: the branch that it is proposed for, likewise.
        base: the commit that the system names as the other end; often stale, sometimes zeros.
        head: the commit that is proposed or was pushed; "" for HEAD.
        merge: the commit that the system made of both, where it checks out such a one.
        head_refs: what to fetch where `head` is missing.
        default_branch: the main branch; "" if nothing tells.
        depth: the setting that gives a whole history.
    """

    system: str
    event: str
    is_proposal: bool = False
    number: str = ""
    branch: str = ""
    base_branch: str = ""
    base: str = ""
    head: str = ""
    merge: str = ""
    head_refs: tuple[str, ...] = ()
    default_branch: str = ""
    depth: str = PLAIN_DEPTH


def detect(environment: Mapping[str, str]) -> Pipeline:
    """The run that these variables describe; an empty one outside of CI.

    Raises:
        SourceError: the system's description of its event cannot be read, or names a commit or a request by something
            else than an id or a number.
    """
    for is_it, read in _SYSTEMS:
        if is_it(environment):
            return _checked(read(environment))
    return Pipeline("", "")


def _checked(pipeline: Pipeline) -> Pipeline:
    """The same run, with ids in small letters.

    A word that is no id could be a reference, an expression or an option to git: `HEAD` in the place of the base would
    make every change empty. Names of branches are held against git's own rules where they are used.
    """
    pattern = SHORT_ID if pipeline.system in ABBREVIATING else ID
    found = {name: getattr(pipeline, name).lower() for name in ("base", "head", "merge")}
    for name, oid in found.items():
        if oid and not re.match(pattern, oid):
            raise _no(f"the id of a commit ({name})", getattr(pipeline, name))
    if pipeline.head_refs and not re.match(NUMBER, pipeline.number):
        raise _no("the number of a pull request", pipeline.number)
    return pipeline._replace(**found)


def _no(what: str, said: object) -> SourceError:
    return SourceError(f"the CI system gives {str(said)[:80]!a} for {what}, which it is not", hint=_STEP)


def _github(environment: Mapping[str, str]) -> Pipeline:
    """GitHub, Gitea and Forgejo Actions: the event is described in a file."""
    event, name = _event(environment), environment.get("GITHUB_EVENT_NAME", "")
    is_gitea = any(environment.get(each) == "true" for each in ("GITEA_ACTIONS", "FORGEJO_ACTIONS"))
    common: dict[str, Any] = {
        "system": "gitea" if is_gitea else "github",
        "event": name,
        "default_branch": _text(event, "repository", "default_branch"),
        "depth": GITHUB_DEPTH,
    }
    if name.startswith("pull_request"):
        number = _text(event, "number") or _text(event, "pull_request", "number")
        # The merge commit exists for `pull_request` alone; `pull_request_target` checks the base branch out.
        made = environment.get("GITHUB_SHA", "") if name == "pull_request" else ""
        return Pipeline(
            **common,
            is_proposal=True,
            number=number,
            base_branch=_text(event, "pull_request", "base", "ref") or environment.get("GITHUB_BASE_REF", ""),
            base=_text(event, "pull_request", "base", "sha"),
            head=_text(event, "pull_request", "head", "sha"),
            merge=made,
            head_refs=(f"refs/pull/{number}/head",) if number else (),
        )
    if name == "merge_group":
        base, head = (_text(event, "merge_group", end) for end in ("base_sha", "head_sha"))
        return Pipeline(**common, is_proposal=True, base=base, head=head)
    common["branch"] = _branch(environment.get("GITHUB_REF", ""))
    if name == "push":
        return Pipeline(**common, base=_text(event, "before"), head=_text(event, "after"))
    return Pipeline(**common, head=environment.get("GITHUB_SHA", ""))


def _gitlab(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    source = get("CI_PIPELINE_SOURCE", "")
    common: dict[str, Any] = {
        "system": "gitlab",
        "event": source,
        "default_branch": get("CI_DEFAULT_BRANCH", ""),
        "depth": GITLAB_DEPTH,
    }
    if get("CI_MERGE_REQUEST_IID"):
        number = get("CI_MERGE_REQUEST_IID", "")
        own = get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "")  # set in merged-results pipelines alone
        return Pipeline(
            **common,
            is_proposal=True,
            number=number,
            base_branch=get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""),
            base=get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
            head=own or get("CI_COMMIT_SHA", ""),
            merge=get("CI_COMMIT_SHA", "") if own else "",
            head_refs=(f"refs/merge-requests/{number}/head",),
        )
    base, head = get("CI_COMMIT_BEFORE_SHA", ""), get("CI_COMMIT_SHA", "")
    return Pipeline(**common, branch=get("CI_COMMIT_BRANCH", ""), base=base, head=head)


def _bitbucket(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    number = get("BITBUCKET_PR_ID", "")
    return Pipeline(
        "bitbucket",
        "pull_request" if number else "push",
        is_proposal=bool(number),
        number=number,
        branch=get("BITBUCKET_BRANCH", ""),
        base_branch=get("BITBUCKET_PR_DESTINATION_BRANCH", ""),
        base=get("BITBUCKET_PR_DESTINATION_COMMIT", ""),
        head=get("BITBUCKET_COMMIT", ""),
        depth="`clone: depth: full` in bitbucket-pipelines.yml",
    )


def _azure(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    target = get("SYSTEM_PULLREQUEST_TARGETBRANCH", "")
    built = get("BUILD_SOURCEVERSION", "")
    return Pipeline(
        "azure",
        get("BUILD_REASON", ""),
        is_proposal=bool(target),
        number=get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER") or get("SYSTEM_PULLREQUEST_PULLREQUESTID", ""),
        branch=_branch(get("BUILD_SOURCEBRANCH", "")),
        base_branch=target.removeprefix("refs/heads/"),
        head=get("SYSTEM_PULLREQUEST_SOURCECOMMITID", "") if target else built,
        merge=built if target else "",
        depth="`fetchDepth: 0` in the step checkout",
    )


def _jenkins(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    target = get("CHANGE_TARGET", "")
    return Pipeline(
        "jenkins",
        "change" if target else "branch",
        is_proposal=bool(target),
        number=get("CHANGE_ID", ""),
        branch="" if target else get("BRANCH_NAME", "") or get("GIT_BRANCH", "").removeprefix("origin/"),
        base_branch=target,
        base="" if target else get("GIT_PREVIOUS_SUCCESSFUL_COMMIT", ""),
        head="" if target else get("GIT_COMMIT", ""),  # of a change it may be a merge that Jenkins made
        depth="a checkout without shallow clone, with the target branch in its refspec",
    )


def _woodpecker(environment: Mapping[str, str]) -> Pipeline:
    get = environment.get
    is_pull = get("CI_PIPELINE_EVENT", "").startswith("pull_request")
    number = get("CI_COMMIT_PULL_REQUEST", "") if is_pull else ""
    return Pipeline(
        "woodpecker",
        get("CI_PIPELINE_EVENT", ""),
        is_proposal=is_pull,
        number=number,
        branch="" if is_pull else get("CI_COMMIT_BRANCH", ""),
        base_branch=get("CI_COMMIT_TARGET_BRANCH", "") if is_pull else "",
        base="" if is_pull else get("CI_PREV_COMMIT_SHA", ""),
        head=get("CI_COMMIT_SHA", ""),
        head_refs=(f"refs/pull/{number}/head",) if number else (),
        default_branch=get("CI_REPO_DEFAULT_BRANCH", ""),
        depth="`partial: false` and `depth: 0` in the settings of the step clone",
    )


_SYSTEMS: tuple[tuple[Callable[[Mapping[str, str]], bool], Callable[[Mapping[str, str]], Pipeline]], ...] = (
    (lambda each: each.get("GITHUB_ACTIONS") == "true", _github),
    (lambda each: bool(each.get("GITLAB_CI")), _gitlab),
    (lambda each: bool(each.get("BITBUCKET_BUILD_NUMBER")), _bitbucket),
    (lambda each: bool(each.get("TF_BUILD")), _azure),
    (lambda each: each.get("CI") == "woodpecker", _woodpecker),
    (lambda each: bool(each.get("JENKINS_URL")), _jenkins),
)


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    path = environment.get("GITHUB_EVENT_PATH")
    if not path:
        return {}
    try:
        with Path(path).open("rb") as stream:
            found = json.loads(stream.read(LARGEST_EVENT))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(
            f"the description of the event, {path!a}, cannot be read ({error})", hint="Name the base: --base"
        ) from None
    if not isinstance(found, dict):
        raise SourceError(f"the description of the event, {path!a}, is no object of JSON", hint="Name the base: --base")
    return found


def _branch(reference: str) -> str:
    return reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else ""


def _text(facts: Any, *path: str) -> str:  # noqa: ANN401  whatever the event holds
    """A text or a number of the event; "" where it has none.

    Raises:
        SourceError: it has something else there, or a text that git cannot be told.
    """
    for name in path:
        if facts is None:
            return ""
        if not isinstance(facts, dict):
            raise _no(f"a part of {'.'.join(path)} of the event", facts)
        facts = facts.get(name)
    if facts is None:
        return ""
    if isinstance(facts, bool) or not isinstance(facts, (str, int)) or re.search(_UNSAYABLE, str(facts)):
        raise _no(f"{'.'.join(path)} of the event", facts)
    return str(facts)
