"""What the tool has done for its user, counted from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kilo_review.ledger.records import Ledger


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the runs of a time.

    Attributes:
        first: when the first of them was, in seconds since 1970; 0 if there were none.
        reviews: how many, by who asked for them.
        asked: hunks that the model was asked about.
        remembered: hunks that were known from an earlier review.
        left_out: hunks that were not reviewed.
        findings: findings shown, each counted once.
        fixed: of them, those that were gone at the next review of the same lines.
        dismissed: findings that were dismissed in this clone.
        held: commits and pushes that were stopped.
        seconds_waited: seconds that commits, pushes and people waited; reviews in the background not counted.
        prompt_tokens: tokens that models on this machine have read.
        completion_tokens: tokens that they have written.
    """

    first: float
    reviews: dict[str, int]
    asked: int
    remembered: int
    left_out: int
    findings: int
    fixed: int
    dismissed: int
    held: int
    seconds_waited: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What the ledger holds: rows of each kind, and bytes on the disk."""

    verdicts: int
    receipts: int
    unreviewed: int
    runs: int
    size: int


def tally(ledger: Ledger, since: float) -> Tally:
    """Count the runs since a time, given in seconds since 1970."""
    rows = ledger.store.rows
    by_kind = dict(rows("SELECT kind, count(*) FROM runs WHERE at >= ? GROUP BY kind ORDER BY kind", since))
    sums = rows(
        "SELECT coalesce(min(at), 0), coalesce(sum(asked), 0), coalesce(sum(remembered), 0),"
        " coalesce(sum(left_out), 0), coalesce(sum(held), 0),"
        " coalesce(sum(CASE WHEN kind <> 'background' THEN seconds END), 0),"
        " coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0) FROM runs WHERE at >= ?",
        since,
    )
    first, asked, remembered, left_out, held, waited, prompt, completion = sums[0] if sums else (0,) * 8
    found = rows("SELECT count(*) FROM sightings WHERE at >= ?", since)
    fixed = rows("SELECT count(*) FROM sightings WHERE fixed_at >= ?", since)
    dismissed = rows("SELECT count(*) FROM dismissals WHERE at >= ?", since)
    return Tally(
        first=first,
        reviews=by_kind,
        asked=asked,
        remembered=remembered,
        left_out=left_out,
        findings=found[0][0] if found else 0,
        fixed=fixed[0][0] if fixed else 0,
        dismissed=dismissed[0][0] if dismissed else 0,
        held=held,
        seconds_waited=waited,
        prompt_tokens=prompt,
        completion_tokens=completion,
    )


def contents(ledger: Ledger) -> Contents:
    """Count the rows."""

    def count(table: str) -> int:
        found = ledger.store.rows(f"SELECT count(*) FROM {table}")  # noqa: S608  names of our own tables
        return int(found[0][0]) if found else 0

    return Contents(
        count("verdicts"), count("receipts"), count("unreviewed"), count("runs"), ledger.store.size()
    )  # fmt: skip
