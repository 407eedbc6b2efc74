"""What is to be done on the forge: our comments there against the findings of this run. Nothing is asked or sent."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status
from kilo_review.forge.base import Draft, Remark, Spot
from kilo_review.forge.marks import same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kilo_review.core.finding import Finding

DOUBTFUL = frozenset({Status.UNVERIFIED, Status.UNANCHORED})
"""They are told of and do not count: no reason for a comment, nor for taking one back."""


class Edit(NamedTuple):
    """A comment of ours and the text that it gets; and the finding that it tells of, if that is there."""

    remark: Remark
    body: str
    finding: Finding | None = None


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        create: new comments, the worst first.
        keep: comments that stay as they are.
        update: comments that get another text.
        reopen: comments that were settled and whose finding is back.
        resolve: comments whose finding is gone.
        told: findings that a comment of ours tells of already.
        rest: findings that have no comment: for the summary.
    """

    create: tuple[Draft, ...] = ()
    keep: tuple[Remark, ...] = ()
    update: tuple[Edit, ...] = ()
    reopen: tuple[Edit, ...] = ()
    resolve: tuple[Edit, ...] = ()
    told: tuple[Finding, ...] = ()
    rest: tuple[Finding, ...] = ()

    @property
    def is_all_keep(self) -> bool:
        """Whether nothing is to be done to comments on lines."""
        return not (self.create or self.update or self.reopen or self.resolve)


class Writer(NamedTuple):
    """What comments say.

    Attributes:
        write: a finding, and the lines that it would stand under, → the comment.
        settle: a comment of ours → what it says when its finding is gone.
    """

    write: Callable[[Finding, Spot | None], str]
    settle: Callable[[Remark], str]


def plan(
    findings: Sequence[Finding],
    remarks: Sequence[Remark],
    placeable: Callable[[Finding], Spot | None],
    writer: Writer,
    *,
    is_unseen: Callable[[Remark], bool],
    room: int,
) -> Plan:
    """Work out what is to be done.

    Args:
        findings: of this run, in any state.
        remarks: comments of ours that are there.
        placeable: the lines that a comment on a finding can stand under, or None.
        writer: what comments say.
        is_unseen: whether what a comment is about was not looked at this time: then it is never taken back.
        room: new comments that may be made.
    """
    active = sorted((each for each in findings if each.status is Status.ACTIVE), key=_worst_first)
    doubtful = {each.fingerprint for each in findings if each.status in DOUBTFUL}
    spots = _spots(active, remarks, placeable)
    texts = {at: writer.write(active[at], spot) for at, spot in spots.items()}
    partner = _matched(active, remarks, spots, texts)
    steps = _Steps()
    told = {at for at, number in partner.items() if steps.found(active[at], remarks[number], texts[at])}
    for number, remark in enumerate(remarks):
        if number not in partner.values():
            is_gone = remark.fingerprint not in doubtful and not is_unseen(remark)
            steps.not_found(remark, writer.settle(remark), is_gone=is_gone)
    fresh = {at: finding for at, finding in enumerate(active) if at not in partner}
    placed = ((at, spot) for at, finding in fresh.items() if (spot := placeable(finding)) is not None)
    create = {at: Draft(active[at], spot, writer.write(active[at], spot)) for at, spot in islice(placed, max(room, 0))}
    return Plan(
        create=tuple(create.values()),
        told=tuple(active[at] for at in partner if at in told),
        rest=tuple(finding for at, finding in enumerate(active) if at not in told and at not in create),
        **{name: tuple(edits) for name, edits in vars(steps).items()},
    )


class _Steps:
    def __init__(self) -> None:
        self.keep: list[Remark] = []
        self.update: list[Edit] = []
        self.reopen: list[Edit] = []
        self.resolve: list[Edit] = []

    def not_found(self, remark: Remark, body: str, *, is_gone: bool) -> None:
        """No finding belongs to a comment. Marked as settled and open again, a person has opened it."""
        if is_gone and not (remark.is_resolved or remark.is_settled or remark.has_reply):
            self.resolve.append(Edit(remark, body))
        else:
            self.keep.append(remark)

    def found(self, finding: Finding, remark: Remark, body: str) -> bool:
        """The finding of a comment is there. What people have answered to, or closed, is left as it is.

        Returns:
            Whether the comment tells of it then: one that calls it gone, and was answered, does not.
        """
        if remark.is_settled and not remark.has_reply:
            self.reopen.append(Edit(remark, body, finding))
        elif remark.is_resolved or remark.has_reply or same(remark.body, body):
            self.keep.append(remark)
        else:
            self.update.append(Edit(remark, body, finding))
        return not (remark.is_settled and remark.has_reply)


def _worst_first(finding: Finding) -> tuple[bool, int, str, int]:
    return (not finding.blocking, finding.severity.rank, finding.path, finding.line)


def _spots(
    findings: Sequence[Finding], remarks: Sequence[Remark], placeable: Callable[[Finding], Spot | None]
) -> dict[int, Spot | None]:
    """The lines of those findings that a comment may belong to, by the finding's number."""
    wanted = {remark.fingerprint for remark in remarks}
    return {at: placeable(each) for at, each in enumerate(findings) if each.fingerprint in wanted}


def _matched(
    findings: Sequence[Finding], remarks: Sequence[Remark], spots: Mapping[int, Spot | None], texts: Mapping[int, str]
) -> dict[int, int]:
    """Number of a finding → number of its comment: those with the same fingerprint.

    The same code may stand twice in a function: then those that fit best belong together.
    """
    there: defaultdict[str, list[int]] = defaultdict(list)
    for number, remark in enumerate(remarks):
        there[remark.fingerprint].append(number)
    candidates = [
        (_misfit(findings[at], spot, texts[at], remarks[number]), at, number)
        for at, spot in spots.items()
        for number in there[findings[at].fingerprint]
    ]
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for _, at, number in sorted(candidates):
        if at not in partner and number not in taken:
            partner[at] = number
            taken.add(number)
    return dict(sorted(partner.items()))


def _misfit(finding: Finding, spot: Spot | None, text: str, remark: Remark) -> tuple[bool, bool, bool, bool, int]:
    """Open comments first, then those that say the same, then findings that need a comment, then the nearest."""
    away = 0 if finding.line <= remark.line <= finding.end_line else abs(remark.line - finding.end_line)
    return (remark.is_settled, remark.is_resolved, not same(remark.body, text), spot is None, away)
