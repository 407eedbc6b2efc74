"""Findings on the pull or merge request that they are about: GitHub, GitLab, Gitea and Forgejo.

`connect` tells before the review whether there is somewhere to post to; `post` plans, and carries the plan out. It does
not raise: what could not be posted stands in what it returns, and the report has all findings anyway.
"""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ForgeError
from kilo_review.core.finding import Status, digest
from kilo_review.core.outcome import State
from kilo_review.forge import body, marks
from kilo_review.forge.apply import Posted, SummaryPlan, apply
from kilo_review.forge.client import Patience
from kilo_review.forge.diff_positions import Places
from kilo_review.forge.plan import Writer, plan
from kilo_review.forge.pull_request import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.forge.base import Forge, Remark, Spot, Standing, Summary
    from kilo_review.report.view import View
    from kilo_review.source.ci_environment import Pipeline
    from kilo_review.source.diff import Diff

FORGES = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}
"""Each a module of this folder and its class, loaded when it is wanted (start-up is a feature)."""
MOST_COMMENTS = 3


def connect(
    environment: Mapping[str, str], pipeline: Pipeline, head: str = "", patience: Patience | None = None
) -> Forge:
    """The forge that a CI run is for. Nothing is sent yet.

    Args:
        environment: the variables of the run.
        pipeline: what they say of it.
        head: the commit that is reviewed; without it, the one that the CI system names.
        patience: how long to wait where the forge asks for it.

    Raises:
        ConfigError: there is nowhere to post to, no token, or no safe way to send it.
    """
    place = place_of(environment, pipeline, head or pipeline.head)
    module: Any = import_module(f"{__name__}.{place.system}")
    forge: Forge = getattr(module, FORGES[place.system])(place, patience or Patience())
    return forge


def post(
    view: View, diff: Diff | None, forge: Forge, max_comments: int = MOST_COMMENTS, *, dry_run: bool = False
) -> Posted:
    """Put what a review found on its pull or merge request.

    Args:
        view: what came of the review; its `mask` is applied to all that is posted.
        diff: the change, for the lines that comments can stand on; None: all findings go into the summary.
        forge: where.
        max_comments: new comments that may be made for one commit.
        dry_run: only plan.
    """
    with closing(forge):
        return _post(view, diff, forge, max_comments, dry_run)


def _post(view: View, diff: Diff | None, forge: Forge, max_comments: int, dry_run: bool) -> Posted:
    outcome, head = view.outcome, forge.place.head
    findings = [_masked(finding, view.mask) for finding in outcome.findings]
    active = [finding for finding in findings if finding.status is Status.ACTIVE]
    try:
        standing = forge.standing()
        if nothing := _why_not(standing, head):
            return Posted(forge.name, nothing=nothing, unposted=active)
        remarks, summaries = forge.remarks(), forge.summaries()
    except ForgeError as error:
        return Posted(forge.name, failures=[str(error)], unposted=active)
    posted = sum(each.posted for each in summaries if each.head == head)
    places = Places(diff)
    is_unseen = _unseen(outcome, places)
    planned = plan(findings, remarks, places.spot, _writer(forge), is_unseen=is_unseen, room=max_comments - posted)
    if dry_run:
        return Posted(forge.name, planned)
    told = body.digest(outcome, head, view.mask)
    carried = _carried(outcome, summaries, findings)
    return apply(planned, forge, SummaryPlan(told, summaries, posted, _has_gaps(outcome), carried))


def _why_not(standing: Standing, reviewed: str) -> str:
    if not standing.is_open:
        return "the pull or merge request is not open"
    if standing.head and reviewed and standing.head != reviewed:
        return f"it has moved on from {reviewed[:12]} to {standing.head[:12]}, whose own run posts"
    return ""


def _writer(forge: Forge) -> Writer:
    def write(finding: Finding, spot: Spot | None) -> str:
        return body.comment(finding, forge.fence(spot) if spot else "", spot)

    def settle(remark: Remark) -> str:
        return body.settled(remark, forge.place.head)

    return Writer(write, settle)


def _masked(finding: Finding, mask: Callable[[str], str]) -> Finding:
    """A finding as it is posted. Its evidence stays, since that is not posted; so does what it is known by."""
    suggestion, fingerprint = finding.suggestion, finding.fingerprint
    return finding._replace(
        known_as=fingerprint if marks.is_fingerprint(fingerprint) else digest(fingerprint),  # a file may say anything
        title=mask(finding.title),
        message=mask(finding.message),
        reason=finding.reason and mask(finding.reason),
        suggestion=suggestion if suggestion is not None and mask(suggestion) == suggestion else None,
    )


def _has_gaps(outcome: Outcome) -> bool:
    return bool(outcome.count(State.NOT_REVIEWED) or outcome.failure or outcome.interrupted)


def _unseen(outcome: Outcome, places: Places) -> Callable[[Remark], bool]:
    """Whether the file of a comment, or a part of it, was not looked at in this run."""
    seen, unseen = _seen(outcome)
    names = {name for path in unseen for name in places.old_paths(path)}
    known = {name for path in seen for name in (path, *places.old_paths(path))}
    if _is_partial(outcome):
        return lambda _: True
    # A comment may have a name that its file had in between: as long as anything was not looked at, it may be that.
    return lambda remark: remark.path in names or (bool(unseen) and remark.path not in known)


def _is_partial(outcome: Outcome) -> bool:
    """Whether it may be that not even the names of all files are known."""
    return bool(outcome.failure or outcome.interrupted or outcome.dry_run or outcome.shard)


def _seen(outcome: Outcome) -> tuple[set[str], set[str]]:
    """Paths that were looked at as a whole, and those that were not."""
    unseen = {entry.path for entry in outcome.entries if _is_unseen(entry)}
    return {entry.path for entry in outcome.entries} - unseen, unseen


def _carried(outcome: Outcome, summaries: Sequence[Summary], findings: Sequence[Finding]) -> tuple[str, ...]:
    """What the summary has said of files that were not looked at this time."""
    seen, unseen = _seen(outcome)
    if _is_partial(outcome):
        seen = set()
    elif not unseen:
        return ()
    rows = (row for each in summaries for row in body.carried(each.body, findings, seen))
    return tuple(dict.fromkeys(rows))


def _is_unseen(entry: Entry) -> bool:
    """A file without hunks was skipped since there is nothing in it that could be found."""
    has_lines = entry.is_hunk or entry.state is not State.SKIPPED
    return has_lines and entry.state not in {State.REVIEWED, State.CACHED}
