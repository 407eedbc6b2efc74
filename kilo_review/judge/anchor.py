"""Claims → findings on real lines: the model quotes the code, the program finds it.

What cannot be found in the hunks that were asked about is marked `unanchored`, shown, and never blocks.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Finding, Status, say_the_same
from kilo_review.judge.contradict import contradiction, doubt
from kilo_review.judge.quotes import GUTTER, new_side, places, spoken_of
from kilo_review.judge.statement import LONGEST_BY_SIGNS, rest_by_signs
from kilo_review.plan.chunk import LEFT_OUT, Unshown
from kilo_review.sanitize.terminal import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kilo_review.judge.parse import Claim
    from kilo_review.judge.quotes import Place
    from kilo_review.plan.chunk import Piece
    from kilo_review.source.diff import Hunk

FAR = 10**9
LONGEST_EVIDENCE = 2000
"""Characters of a quotation that is not found."""
UNANCHORED = "the quoted code is not in the reviewed hunks"
NOT_CODE = "it quotes the mark of a line that was not shown"


class Anchored(NamedTuple):
    """A finding and the hunk that it stands in, or speaks of."""

    finding: Finding
    hunk: Hunk


def anchor(claims: Iterable[Claim], pieces: Sequence[Piece]) -> list[Anchored]:
    """Return a finding for each claim, in the hunk that it quotes.

    There are several where the claim may mean several places, such as one from which the code was removed and another
    one to which it was added.
    """
    return [each for claim in claims for each in _findings(claim, pieces)]


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without duplicates: of several that say the same of one place, the worst stays.

    Two defects of one category can be on one line, so the words decide. Removed lines beside one gap, and all lines of
    a deleted file, have the same number: the code tells them apart.
    """
    kept: dict[tuple[object, ...], list[Finding]] = {}
    every = list(findings)
    for finding in sorted(every, key=lambda each: each.severity.rank):
        key = (finding.path, finding.line, finding.code, finding.category, finding.status, finding.is_removed)
        known = kept.setdefault(key, [])
        if not any(say_the_same(each, finding) for each in known):
            known.append(finding)
    chosen = {id(each) for known in kept.values() for each in known}
    return [finding for finding in every if id(finding) in chosen]


def _findings(claim: Claim, pieces: Sequence[Piece]) -> list[Anchored]:
    named = spoken_of(claim.file, pieces)
    return [_finding(claim, place) for place in places(claim, named, pieces)] or [_unanchored(claim, named)]


def _finding(claim: Claim, place: Place) -> Anchored:
    piece = place.piece
    quoted = place.lines
    objection = claim.objection or contradiction(claim, quoted)
    finding = Finding(
        path=piece.change.path,
        line=new_side(piece, place.first),
        end_line=new_side(piece, place.last),
        severity=claim.severity,
        category=claim.category,
        title=printable(claim.title),
        message=printable(claim.problem),
        evidence="\n".join(printable(line.text) for line in quoted),
        symbol=printable(piece.context.symbol),
        rule=claim.rule,
        status=Status.REFUTED if objection else Status.ACTIVE,
        reason=objection or None,
        is_removed=place.kind == "-",
        rest=_rest(place),
        doubt=claim.doubt or doubt(claim, piece.lines, place.first, place.last),
    )
    return Anchored(finding, piece.hunk)


def _rest(place: Place) -> str:
    """Return the lines below a place's first line that complete its statement, as far as signs tell; "" for none."""
    side = "-" if place.kind == "-" else "+"
    below = islice((line for line in place.piece.lines[place.first :] if line.kind in {" ", side}), LONGEST_BY_SIGNS)
    return rest_by_signs([printable(line.text) for line in below], place.piece.change.path)


def _unanchored(claim: Claim, candidates: Sequence[Piece]) -> Anchored:
    near = min(candidates, key=lambda piece: _distance(piece, claim.line))
    hunk = near.hunk
    inside = claim.line is not None and hunk.start <= claim.line <= hunk.last
    line = claim.line if inside and claim.line is not None else hunk.start
    has_left_out = any(isinstance(each, Unshown) for piece in candidates for each in piece.lines)
    is_mark = has_left_out and re.sub(GUTTER, "", claim.code).strip() == LEFT_OUT
    finding = Finding(
        path=near.change.path,
        line=line,
        end_line=line,
        severity=claim.severity,
        category=claim.category,
        title=printable(claim.title),
        message=printable(claim.problem),
        evidence=shortened(printable(claim.code), LONGEST_EVIDENCE),
        rule=claim.rule,
        status=Status.REFUTED if is_mark else Status.UNANCHORED,
        reason=NOT_CODE if is_mark else UNANCHORED,
    )
    return Anchored(finding, hunk)


def _distance(piece: Piece, line: int | None) -> int:
    if line is None:
        return FAR
    return max(piece.hunk.start - line, line - piece.hunk.last, 0)
