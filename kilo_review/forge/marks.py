"""The hidden first line of each comment of ours, by which a comment and its finding know each other.

It is looked for in our own user's comments alone, and only there: what somebody makes another program of that user
repeat stands further down.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kilo_review.core.finding import FINGERPRINT

_REMARK = re.compile(rf"<!-- kilo-review: ({FINGERPRINT})( settled)? -->")
_SUMMARY = re.compile(r"<!-- kilo-review: summary ([0-9a-f]{0,64}) (\d{1,6}) -->")


class Mark(NamedTuple):
    """Which finding a comment tells of, and whether that is no longer found."""

    fingerprint: str
    is_settled: bool = False

    def __str__(self) -> str:
        return f"<!-- kilo-review: {self.fingerprint}{' settled' if self.is_settled else ''} -->"


class SummaryMark(NamedTuple):
    """Which commit a summary tells of, and how many comments were made for that."""

    head: str
    posted: int

    def __str__(self) -> str:
        return f"<!-- kilo-review: summary {self.head} {self.posted} -->"


def is_fingerprint(text: str) -> bool:
    """Whether a text can stand in a mark."""
    return re.fullmatch(FINGERPRINT, text) is not None


def of_remark(body: str) -> Mark | None:
    """The mark that a comment begins with."""
    found = _REMARK.match(body)
    return Mark(found[1], bool(found[2])) if found else None


def of_summary(body: str) -> SummaryMark | None:
    """The mark that a summary begins with."""
    found = _SUMMARY.match(body)
    return SummaryMark(found[1], int(found[2])) if found else None


def unmarked(body: str) -> str:
    """A comment without its first line."""
    return body.partition("\n")[2]


def same(one: str, other: str) -> bool:
    """Whether two texts are the same to a forge, which may change line ends and trim."""
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
