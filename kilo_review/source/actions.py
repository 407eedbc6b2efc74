"""What GitHub, Gitea and Forgejo Actions say of a run: the event is described in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import SourceError
from kilo_review.source.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_EVENT = 64 << 20
GITHUB_DEPTH = "`fetch-depth: 0` in the step actions/checkout"
OF_A_BRANCH = frozenset({"push", "schedule", "workflow_dispatch", "workflow_call", "create", "release"})
"""Events of what is in the repository already, by somebody who may write to it."""
OF_A_COMMIT = frozenset({"deployment", "deployment_status", "registry_package"})
"""Events whose commit may be that of a pull request; `GITHUB_SHA` is that commit."""
ABOUT_A_RUN = frozenset({"workflow_run", "check_run", "check_suite"})
"""Events about a run for another commit; `GITHUB_SHA` is the newest one of the default branch."""
OF_THE_BASE = frozenset({"pull_request_target", "pull_request_comment"})
"""Events of a pull request for which `GITHUB_SHA` is a commit of the base branch."""
_UNSAYABLE = r"[\x00-\x1f\x7f\ud800-\udfff]"
"""Control characters and halves of characters: neither git nor any process could be told."""
_STEP = "Check what gives the run its event and its variables; nothing was asked of git with this"


def read(environment: Mapping[str, str]) -> Pipeline:
    """Return the run that an event describes.

    Raises:
        SourceError: the description cannot be read.
    """
    event, name = _event(environment), environment.get("GITHUB_EVENT_NAME", "")
    is_gitea = any(environment.get(each) == "true" for each in ("GITEA_ACTIONS", "FORGEJO_ACTIONS"))
    common: dict[str, Any] = {
        "system": "gitea" if is_gitea else "github",
        "event": name,
        "default_branch": text(event, "repository", "default_branch"),
        "depth": GITHUB_DEPTH,
    }
    request = _request_in(name, event)
    if request is not None:
        # The merge commit is there where GITHUB_REF is its reference; other events check the base branch out.
        is_of_base = name in OF_THE_BASE or not name.startswith("pull_request")
        made = "" if is_of_base else environment.get("GITHUB_SHA", "")
        found = _request(request, common)
        return found._replace(base_branch=found.base_branch or environment.get("GITHUB_BASE_REF", ""), merge=made)
    if name == "merge_group":
        base, head = (text(event, "merge_group", end) for end in ("base_sha", "head_sha"))
        return Pipeline(**common, is_proposal=True, base=base, head=head)
    if name in ABOUT_A_RUN:
        return _of_a_run(event, name, common)
    return _of_what_is_there(event, environment, common)


def _of_what_is_there(event: dict[str, Any], environment: Mapping[str, str], common: dict[str, Any]) -> Pipeline:
    """Return the run for a branch, a tag or a commit."""
    name, reference = common["event"], environment.get("GITHUB_REF", "")
    if name and name not in OF_A_BRANCH | OF_A_COMMIT:
        why = f"the event {name[:80]!a} names neither a pull request nor a commit to review"
        return Pipeline(**common, is_proposal=True, problem=why)
    common["branch"], common["tag"] = branch_of(reference), tag_of(reference)
    common["is_proposal"] = name not in OF_A_BRANCH
    if name == "push":
        return Pipeline(**common, base=text(event, "before"), head=text(event, "after"))
    return Pipeline(**common, head=environment.get("GITHUB_SHA", ""))


def _request_in(name: str, event: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the event says of its pull request; None where it is about none.

    A comment on one is an `issue_comment`, and its description has the number alone (GitHub) or also the request
    itself (Gitea, which may call it `pull_request_comment`). Who sends a `repository_dispatch` may put one into its
    payload.
    """
    for holder in (event, event.get("client_payload") if name == "repository_dispatch" else None):
        if isinstance(holder, dict) and holder.get("pull_request") is not None:
            number = text(holder, "pull_request", "number") or text(event, "number")
            return {**holder["pull_request"], "number": number}
    is_named = name.startswith("pull_request")
    issue = event.get("issue")
    if isinstance(issue, dict) and (is_named or issue.get("pull_request") is not None or event.get("is_pull") is True):
        return {"number": text(issue, "number") or text(event, "number")}
    return {"number": text(event, "number")} if is_named else None


def _request(facts: dict[str, Any], common: dict[str, Any]) -> Pipeline:
    number = text(facts, "number")
    return Pipeline(
        **common,
        is_proposal=True,
        is_request=True,
        number=number,
        base_branch=text(facts, "base", "ref"),
        base=text(facts, "base", "sha"),
        head=text(facts, "head", "sha"),
        head_refs=(f"refs/pull/{number}/head",) if number else (),
    )


def _of_a_run(event: dict[str, Any], name: str, common: dict[str, Any]) -> Pipeline:
    """Return the run about another run: for that one's pull request, or its commit."""
    run = event.get(name)
    run = run if isinstance(run, dict) else {}
    listed = run.get("pull_requests")
    requests = [each for each in listed if _is_here(each, event)] if isinstance(listed, list) else []
    if len(requests) == 1:
        return _request(requests[0], common)
    common["is_proposal"] = True
    head = text(run, "head_sha")
    cause = text(run, "event")
    if requests:
        numbers = ", ".join(text(each, "number") for each in requests)
        return Pipeline(**common, problem=f"the event {name} is about several pull requests ({numbers})")
    if not head or (name == "workflow_run" and cause not in OF_A_BRANCH):
        why = f" of {cause[:80]!a}" if cause else ""
        return Pipeline(**common, problem=f"the event {name}{why} names no pull request, as where that is of a fork")
    branch = text(run, "head_branch") or text(run, "check_suite", "head_branch")
    home, origin = text(event, "repository", "id"), text(run, "head_repository", "id")
    common["is_proposal"] = name != "workflow_run" or not home or home != origin
    return Pipeline(**common, branch=branch, head=head)


def _is_here(request: object, event: dict[str, Any]) -> bool:
    """Return whether a listed pull request is of this repository; GitHub lists those of forks among themselves too."""
    home, target = text(event, "repository", "id"), text(request, "base", "repo", "id")
    return not home or not target or home == target


def _event(environment: Mapping[str, str]) -> dict[str, Any]:
    path = environment.get("GITHUB_EVENT_PATH")
    if not path:
        return {}
    import json  # noqa: PLC0415  a run outside of CI, such as a hook, need not load it

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


def branch_of(reference: str) -> str:
    """`refs/heads/topic` → `topic`; "" for what is no branch."""
    return reference.removeprefix("refs/heads/") if reference.startswith("refs/heads/") else ""


def tag_of(reference: str) -> str:
    """`refs/tags/v1` → `v1`; "" for what is no tag."""
    return reference.removeprefix("refs/tags/") if reference.startswith("refs/tags/") else ""


def text(facts: Any, *path: str) -> str:  # noqa: ANN401  whatever the event holds
    """Return a text or a number of the event; "" where it has none.

    Raises:
        SourceError: it has something else there, or a text that git cannot be told.
    """
    for name in path:
        if facts is None:
            return ""
        if not isinstance(facts, dict):
            raise wrong(f"a part of {'.'.join(path)} of the event", facts)
        facts = facts.get(name)
    if facts is None:
        return ""
    if isinstance(facts, bool) or not isinstance(facts, (str, int)) or re.search(_UNSAYABLE, str(facts)):
        raise wrong(f"{'.'.join(path)} of the event", facts)
    return str(facts)


def wrong(what: str, said: object) -> SourceError:
    """Return the error for a word of the system that is not what it stands for."""
    return SourceError(f"the CI system gives {str(said)[:80]!a} for {what}, which it is not", hint=_STEP)
