"""A plan as text, for `--post-dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.report.wording import at_a_glance
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.sanitize.workflow_commands import for_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.forge.base import Remark
    from kilo_review.forge.plan import Plan


def of_plan(plan: Plan) -> str:
    """What would be done, a line each; titles come here with their secrets masked."""
    return for_log("\n".join(_lines(plan)) + "\n")


def _lines(plan: Plan) -> Iterator[str]:
    for draft in plan.create:
        yield f"would comment: {at_a_glance(draft.finding, str)}"
    for edit in plan.update:
        yield f"would change: {_remark(edit.remark)}"
    for edit in plan.reopen:
        yield f"would reopen: {_remark(edit.remark)}"
    for edit in plan.resolve:
        yield f"would resolve: {_remark(edit.remark)}"
    for remark in plan.keep:
        yield f"would keep: {_remark(remark)}"
    for finding in plan.rest:
        yield f"would list in the summary: {at_a_glance(finding, str)}"
    if plan.is_all_keep and not plan.keep and not plan.rest:
        yield "would post nothing"


def _remark(remark: Remark) -> str:
    place = escaped_path(remark.path) + (f":{remark.line}" if remark.line else "")
    state = (" (answered)" if remark.has_reply else "") + (" (resolved)" if remark.is_resolved else "")
    return f"{place}: {remark.fingerprint[:8]}{state}"
