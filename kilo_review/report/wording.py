"""What the formats for forges and their tools say in the same words, each on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.finding import Status
from kilo_review.core.outcome import State
from kilo_review.sanitize.terminal import escaped_path, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome

TOOL = "kilo-review"
NOT_REVIEWED = "not-reviewed"
"""Stands where a finding has its category: nobody looked at this."""
_SENTENCE_ENDS = (".", "!", "?", "…", ":")


def claim(finding: Finding, mask: Callable[[str], str]) -> str:
    """What is wrong: the title as a first sentence, which may be all that a forge shows; then why."""
    title, message = one_line(mask(finding.title)), one_line(mask(finding.message))
    if title and message and not title.endswith(_SENTENCE_ENDS):
        title += "."
    words = " ".join(filter(None, (title, message))) or finding.category.value
    note = remark(finding, mask)
    return f"{words} ({note})" if note else words


def remark(finding: Finding, mask: Callable[[str], str]) -> str:
    """Why a finding does not count; of one that does, where it comes from: a rule, a commit."""
    status = finding.status.value if finding.status is not Status.ACTIVE else ""
    rule = f"rule {one_line(finding.rule)}" if finding.rule else ""
    reason = one_line(mask(finding.reason or ""))
    return "; ".join(filter(None, (rule, ": ".join(filter(None, (status, reason))))))


def at_a_glance(finding: Finding, mask: Callable[[str], str]) -> str:
    """A finding as a compiler would print it, with its id."""
    place = escaped_path(finding.path) + (f":{finding.line}" if finding.line else "")
    return f"{place}: {finding.severity}: {one_line(mask(finding.title))} [{finding.category}] {finding.short_id}"


def gap(entry: Entry) -> str:
    """Why nobody looked at a hunk or a file."""
    return f"Not reviewed: {one_line(entry.reason or '')}"


def gaps(outcome: Outcome) -> list[Entry]:
    """The rows that nobody looked at."""
    return [entry for entry in outcome.entries if entry.state is State.NOT_REVIEWED]


def general_gaps(outcome: Outcome) -> list[str]:
    """Why the review as a whole is not one, where no single file is to blame."""
    told = [f"Not reviewed: {one_line(outcome.failure)}"] if outcome.failure else []
    if outcome.interrupted:
        told.append("Not reviewed to the end: the review was interrupted")
    if outcome.dry_run:
        told.append("Not reviewed: this was a dry run")
    return told
