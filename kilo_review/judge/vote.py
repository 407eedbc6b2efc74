"""Several answers to one question → what most of them say. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status, say_the_same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.judge.anchor import Anchored

    Sample = Sequence[Anchored]

ALIKE = 0.2
"""The share of words from which on two findings with overlapping quotes are taken for the same."""
ALIKE_ACROSS = 1 / 3
"""The same for findings of different categories."""


class _Defect(NamedTuple):
    """What several answers may have seen: the findings about it, each with the number of its answer."""

    found: list[tuple[int, Anchored]]
    further: frozenset[int] = frozenset()
    """Other answers that count for it."""

    @property
    def seen_by(self) -> set[int]:
        """The answers that saw it."""
        return {number for number, each in self.found if not _is_refuted(each)} | self.further


def majority(samples: Sequence[Sample], votes: int, unread: int = 0) -> list[Anchored]:
    """Return each finding once; one that not more than half of the votes saw does not count.

    Answers word and class a defect differently, so all that they say of one place counts for what most of them say
    there. What the others say is kept beside it, with its own votes. What was refuted is no vote, and does not stand
    for an answer that was not.

    Args:
        samples: what each answer found that could be read.
        votes: answers that were wanted.
        unread: answers that could not be read.
    """
    found = []
    for defect in _defects(samples):
        for part in _parts(defect, votes):
            each, seen = min((one for _, one in part.found), key=_worst_first), len(part.seen_by)
            is_open = 2 * (seen + unread) > votes
            found.append(each if 2 * seen > votes else _outvoted(each, seen, len(samples), is_open=is_open))
    return sorted(found, key=_worst_first)


def _parts(defect: _Defect, votes: int) -> list[_Defect]:
    """Divide what is said of one place by its meaning; a part that most answers saw stands for the place.

    Where there is none, each part has the votes of all: the answers agree that something is wrong there, and which of
    them is right is a question for the next test.
    """
    parts = _by_meaning(defect)
    if any(_is_majority(part, votes) for part in parts) or not _is_majority(defect, votes):
        return parts
    everyone = frozenset(defect.seen_by)
    return [part._replace(further=everyone) if part.seen_by else part for part in parts]


def _is_majority(defect: _Defect, votes: int) -> bool:
    return 2 * len(defect.seen_by) > votes


def _by_meaning(defect: _Defect) -> list[_Defect]:
    parts: list[_Defect] = []
    for number, each in defect.found:
        part = next((part for part in parts if _mean_the_same(part.found[0][1], each)), None)
        if part is None:
            parts.append(_Defect([(number, each)]))
        else:
            part.found.append((number, each))
    return parts


def is_decided(samples: Sequence[Sample], votes: int, left: int) -> bool:
    """Return whether the answers that are left to be asked for can change nothing any more."""
    return 2 * left <= votes and all(_is_settled(defect, votes, left) for defect in _defects(samples))


def _is_settled(defect: _Defect, votes: int, left: int) -> bool:
    """Return whether it is known already if a defect counts, and as what."""
    seen = len(defect.seen_by)
    if 2 * (seen + left) <= votes:
        return True
    most = max(len(part.seen_by) for part in _by_meaning(defect))
    return 2 * seen > votes and (2 * most > votes or 2 * (most + left) <= votes)


def _defects(samples: Sequence[Sample]) -> list[_Defect]:
    """Group the findings of all answers by what they are about.

    Answers word and class the same defect differently, so one finding of each answer at a place is the same defect;
    where their quotes only overlap, the words must be alike, too. Where an answer has several there, they are as many
    defects, and each goes with the one that it is most like.
    """
    defects: list[_Defect] = []
    for number, sample in enumerate(samples):
        _add(defects, _distinct(sample), number)
    return defects


def _add(defects: list[_Defect], found: Sequence[Anchored], number: int) -> None:
    """Add what one answer found: each finding to the defect nearest to it, or as a new one."""
    pairs = sorted(
        (
            (closeness, -at, -to)
            for at, each in enumerate(found)
            for to, defect in enumerate(defects)
            if (closeness := _closeness(each, defect.found[0][1]))
        ),
        reverse=True,
    )
    partner: dict[int, int] = {}
    for _, at, to in pairs:
        if -at not in partner and -to not in partner.values():
            partner[-at] = -to
    for at, each in enumerate(found):
        defect = defects[partner[at]] if at in partner else _Defect([])
        if at not in partner:
            defects.append(defect)
        defect.found.append((number, each))


def _distinct(sample: Sample) -> list[Anchored]:
    """Return the findings of an answer, the worst first, each once."""
    found: list[Anchored] = []
    for each in sorted(sample, key=_worst_first):
        if not any(_is_at(each, other) and say_the_same(each.finding, other.finding) for other in found):
            found.append(each)
    return found


def _closeness(one: Anchored, other: Anchored) -> tuple[bool, bool, bool, float] | None:
    """Return how near two findings are to being one: by place, meaning, category, and words; None if they are not."""
    shared = _shared_words(one, other)
    if not _is_at(one, other) and not (_overlap(one, other) and shared >= ALIKE):
        return None
    return _is_at(one, other), _mean_the_same(one, other), one.finding.category is other.finding.category, shared


def _is_at(one: Anchored, other: Anchored) -> bool:
    """Tell whether two findings stand at the same line.

    Removed lines beside one gap, and all lines of a deleted file, have the same number: the code tells them apart.
    """
    left, right = one.finding, other.finding
    return one.hunk == other.hunk and (left.path, left.line, left.code) == (right.path, right.line, right.code)


def _overlap(one: Anchored, other: Anchored) -> bool:
    """Tell whether two quotes have a line in common."""
    left, right = one.finding, other.finding
    if one.hunk != other.hunk or left.path != right.path or left.is_removed != right.is_removed:
        return False
    if Status.UNANCHORED in {left.status, right.status}:  # it stands at no line
        return False
    if not left.is_removed and not (left.line <= right.end_line and right.line <= left.end_line):
        return False
    return left.code in _lines(right) or right.code in _lines(left)


def _lines(finding: Finding) -> list[str]:
    return [line.strip() for line in finding.evidence.split("\n")]


def _mean_the_same(one: Anchored, other: Anchored) -> bool:
    """Tell whether two findings about one place may be one defect in other words."""
    is_alike = ALIKE if one.finding.category is other.finding.category else ALIKE_ACROSS
    return _shared_words(one, other) >= is_alike


def _shared_words(one: Anchored, other: Anchored) -> float:
    """Return the share of words that two findings have in common, from 0 to 1."""
    left, right = _words(one), _words(other)
    return len(left & right) / max(1, len(left | right))


def _words(each: Anchored) -> set[str]:
    return set(re.findall(r"\w+", f"{each.finding.title} {each.finding.message}".casefold()))


def _worst_first(each: Anchored) -> tuple[bool, bool, int]:
    return _is_refuted(each), bool(each.finding.doubt), each.finding.severity.rank


def _is_refuted(each: Anchored) -> bool:
    return each.finding.status is Status.REFUTED


def _outvoted(each: Anchored, number: int, answers: int, *, is_open: bool) -> Anchored:
    """Refuted; if answers that could not be read might have seen it, only unverified."""
    if each.finding.status is not Status.ACTIVE:
        return each
    status = Status.UNVERIFIED if is_open else Status.REFUTED
    read = " that could be read" if is_open else ""
    reason = f"seen in {number} of {answers} answer{'s' * (answers > 1)}{read}"
    return each._replace(finding=each.finding._replace(status=status, reason=reason))
