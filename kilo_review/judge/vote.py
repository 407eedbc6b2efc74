"""Several answers to one question → what most of them say. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.finding import Status, say_the_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.judge.anchor import Anchored
    from kilo_review.source.diff import Hunk

    Sample = Sequence[Anchored]


class _Place(NamedTuple):
    """Where a finding stands.

    Removed lines beside one gap, and all lines of a deleted file, have the same number: the code tells them apart.
    """

    hunk: Hunk
    path: str
    line: int
    quote: str


class _Defect(NamedTuple):
    """What several answers may have seen: the findings about it, the first one standing for all."""

    found: list[Anchored]
    seen_by: set[int]


def majority(samples: Sequence[Sample], votes: int, unread: int = 0) -> list[Anchored]:
    """Return each finding once; one that not more than half of the votes saw does not count.

    What was refuted is no vote, and does not stand for an answer that was not.

    Args:
        samples: what each answer found that could be read.
        votes: answers that were wanted.
        unread: answers that could not be read.
    """
    found = []
    for defect in _defects(samples):
        each, seen = min(defect.found, key=_worst_first), len(defect.seen_by)
        is_open = 2 * (seen + unread) > votes
        found.append(each if 2 * seen > votes else _outvoted(each, seen, len(samples), is_open=is_open))
    return sorted(found, key=_worst_first)


def is_decided(samples: Sequence[Sample], votes: int, left: int) -> bool:
    """Return whether the answers that are left to be asked for can change nothing any more."""
    counts = [0, *(len(defect.seen_by) for defect in _defects(samples))]  # 0: what no answer has seen yet
    return all(2 * seen > votes or 2 * (seen + left) <= votes for seen in counts)


def _defects(samples: Sequence[Sample]) -> list[_Defect]:
    """Group the findings of all answers by what they are about.

    Answers word and class the same defect differently, so one finding of each answer at a place is the same defect.
    Where an answer has several there, they are as many defects, and each goes with the one that it is most like.
    """
    by_place: dict[_Place, list[_Defect]] = {}
    for number, sample in enumerate(samples):
        for place, found in _by_place(sample).items():
            _add(by_place.setdefault(place, []), found, number)
    return [defect for defects in by_place.values() for defect in defects]


def _add(defects: list[_Defect], found: Sequence[Anchored], number: int) -> None:
    """Add what one answer found at a place: each finding to the defect nearest to it, or as a new one."""
    pairs = sorted(
        (
            (_likeness(each, defect.found[0]), -at, -to)
            for at, each in enumerate(found)
            for to, defect in enumerate(defects)
        ),
        reverse=True,
    )
    partner: dict[int, int] = {}
    for _, at, to in pairs:
        if -at not in partner and -to not in partner.values():
            partner[-at] = -to
    for at, each in enumerate(found):
        defect = defects[partner[at]] if at in partner else _Defect([], set())
        if at not in partner:
            defects.append(defect)
        defect.found.append(each)
        if not _is_refuted(each):
            defect.seen_by.add(number)


def _by_place(sample: Sample) -> dict[_Place, list[Anchored]]:
    found: dict[_Place, list[Anchored]] = {}
    for each in sorted(sample, key=_worst_first):
        known = found.setdefault(_place(each), [])
        if not any(say_the_same(each.finding, other.finding) for other in known):
            known.append(each)
    return found


def _likeness(one: Anchored, other: Anchored) -> float:
    """Return the share of words that two findings have in common, from 0 to 1, and 1 more for the same category."""
    left, right = _words(one), _words(other)
    return len(left & right) / max(1, len(left | right)) + (one.finding.category is other.finding.category)


def _words(each: Anchored) -> set[str]:
    return set(re.findall(r"\w+", f"{each.finding.title} {each.finding.message}".casefold()))


def _worst_first(each: Anchored) -> tuple[bool, bool, int]:
    return _is_refuted(each), bool(each.finding.doubt), each.finding.severity.rank


def _is_refuted(each: Anchored) -> bool:
    return each.finding.status is Status.REFUTED


def _place(each: Anchored) -> _Place:
    finding = each.finding
    return _Place(each.hunk, finding.path, finding.line, finding.code)


def _outvoted(each: Anchored, number: int, answers: int, *, is_open: bool) -> Anchored:
    """Refuted; if answers that could not be read might have seen it, only unverified."""
    if each.finding.status is not Status.ACTIVE:
        return each
    status = Status.UNVERIFIED if is_open else Status.REFUTED
    read = " that could be read" if is_open else ""
    reason = f"seen in {number} of {answers} answer{'s' * (answers > 1)}{read}"
    return each._replace(finding=each.finding._replace(status=status, reason=reason))
