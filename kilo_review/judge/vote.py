"""Several answers to one question → what most of them say. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.finding import Category, Status, fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.judge.anchor import Anchored
    from kilo_review.source.diff import Hunk

    Sample = Sequence[Anchored]


class _Place(NamedTuple):
    """What makes two findings the same: where they stand and of what kind they are, never their words.

    Removed lines beside one gap, and all lines of a deleted file, have the same number: the code tells them apart.
    """

    hunk: Hunk
    path: str
    line: int
    category: Category
    quote: str


def majority(samples: Sequence[Sample], votes: int, unread: int = 0) -> list[Anchored]:
    """Each finding once; one that not more than half of the votes saw does not count.

    What was refuted is no vote, and does not stand for an answer that was not.

    Args:
        samples: what each answer found that could be read.
        votes: answers that were wanted.
        unread: answers that could not be read.
    """
    seen = _tally(samples)
    first: dict[_Place, Anchored] = {}
    for each in sorted((each for sample in samples for each in sample), key=_worst_first):
        first.setdefault(_place(each), each)
    return [
        each
        if 2 * seen[place] > votes
        else _outvoted(each, seen[place], len(samples), is_open=2 * (seen[place] + unread) > votes)
        for place, each in first.items()
    ]


def is_decided(samples: Sequence[Sample], votes: int, left: int) -> bool:
    """Whether the answers that are left to be asked for can change nothing any more."""
    counts = [0, *_tally(samples).values()]  # 0: what nobody has seen yet
    return all(2 * seen > votes or 2 * (seen + left) <= votes for seen in counts)


def _tally(samples: Sequence[Sample]) -> Counter[_Place]:
    return Counter(place for sample in samples for place in {_place(each) for each in sample if not _is_refuted(each)})


def _worst_first(each: Anchored) -> tuple[bool, int]:
    return _is_refuted(each), each.finding.severity.rank


def _is_refuted(each: Anchored) -> bool:
    return each.finding.status is Status.REFUTED


def _place(each: Anchored) -> _Place:
    finding = each.finding
    return _Place(each.hunk, finding.path, finding.line, finding.category, fold(finding.code))


def _outvoted(each: Anchored, number: int, answers: int, *, is_open: bool) -> Anchored:
    """Refuted; if answers that could not be read might have seen it, only unverified."""
    if each.finding.status is not Status.ACTIVE:
        return each
    status = Status.UNVERIFIED if is_open else Status.REFUTED
    read = " that could be read" if is_open else ""
    reason = f"seen in {number} of {answers} answer{'s' * (answers > 1)}{read}"
    return each._replace(finding=each.finding._replace(status=status, reason=reason))
