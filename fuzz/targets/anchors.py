"""Claims of any kind about real hunks: what stands on a line, stands on a line that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from fuzz.changes import edits, halves, patch_of
from fuzz.strategies import hostile_text
from fuzz.target import property_of
from kilo_review.core.errors import PromptTooLongError, SourceError
from kilo_review.core.finding import Category, Finding, Severity, Status, fold
from kilo_review.judge.anchor import LONGEST_EVIDENCE, Anchored, anchor, merged
from kilo_review.judge.parse import Claim
from kilo_review.plan.chunk import Piece, TokenMeter, pieces_of
from kilo_review.plan.context import Context, Heading
from kilo_review.sanitize.model_input import inert
from kilo_review.sanitize.terminal import escaped_path, printable, shortened
from kilo_review.source.patch import parse_patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn

ROOMY, NARROW = 4000, 60
MOST_PLACES = 4
"""An added line, a removed one, an unchanged one, and one that holds the quote among other words."""


class Case(NamedTuple):
    """What was asked about, and what the model says."""

    pieces: list[Piece]
    claims: list[Claim]


@st.composite
def cases(draw: DrawFn) -> Case:
    """Pieces of a change, and claims, most of which quote it."""
    changed = [half for edit in draw(edits()) for half in halves(edit)]
    room = draw(st.sampled_from([ROOMY, NARROW]))
    context = Context((Heading(1, draw(hostile_text)),)) if draw(st.booleans()) else Context()
    pieces = _pieces(b"".join(patch_of(edit, draw(st.integers(0, 3)))[0] for edit in changed), context, room)
    assume(pieces)
    return Case(pieces, draw(st.lists(_claims(pieces), min_size=1, max_size=4)))


def _pieces(patch: bytes, context: Context, room: int) -> list[Piece]:
    try:
        diff = parse_patch(patch)
        return [
            piece
            for file in diff.files
            for hunk in file.hunks
            for piece in pieces_of(file, hunk, diff.lines(hunk), context, TokenMeter(), room)
        ]
    except (SourceError, PromptTooLongError):
        return []


@st.composite
def _claims(draw: DrawFn, pieces: Sequence[Piece]) -> Claim:
    piece = draw(st.sampled_from(range(len(pieces))).map(lambda at: pieces[at]))
    begin = draw(st.integers(0, max(len(piece.lines) - 1, 0)))
    lines = piece.lines[begin : begin + draw(st.integers(1, 3))]
    quote = "\n".join(line.text for line in lines)
    gutter = "\n".join(f"{line.new or '':>4} {line.kind} {line.text}" for line in lines)
    shown = "\n".join(inert(line.text.rstrip()) for line in lines)
    path = escaped_path(piece.change.path)
    return Claim(
        code=draw(
            st.sampled_from([quote, quote, shown, gutter, quote.strip(), quote[1:], f"  {quote}()"]) | hostile_text
        ),
        file=draw(st.sampled_from([path, "", f"FILE {path} (new file)", f"`x/{path}`"]) | hostile_text),
        line=draw(st.none() | st.integers(-5, 40) | st.just(10**400)),
        problem=draw(hostile_text | st.just(f"It should be `{quote}`")),
        severity=draw(st.sampled_from(Severity)),
        title=draw(hostile_text),
        category=draw(st.sampled_from(Category)),
        fix=draw(hostile_text | st.just(quote)),
    )


def check_anchors(case: Case) -> None:
    """Each claim becomes one finding, on the line that it quotes or nowhere; or one at each place that it may mean."""
    of_claims = [(claim, anchor([claim], case.pieces)) for claim in case.claims]
    anchored = anchor(case.claims, case.pieces)
    assert anchored == [each for _, of_claim in of_claims for each in of_claim]
    for claim, each in ((claim, each) for claim, of_claim in of_claims for each in of_claim):
        _check_identity(each, case.pieces)
        if each.finding.status is Status.UNANCHORED:
            _check_unanchored(claim, each, case.pieces)
        else:
            _check_anchored(claim, each, case.pieces)
    for _, of_claim in of_claims:
        assert 1 <= len(of_claim) <= MOST_PLACES
    _check_merged([each.finding for each in anchored])


def _check_identity(anchored: Anchored, pieces: Sequence[Piece]) -> None:
    """It is of a file and a hunk that were asked about, and can be named, stored and shown."""
    finding, hunk = anchored
    assert any(piece.hunk == hunk and piece.change.path == finding.path for piece in pieces)
    assert len(finding.fingerprint) == 32
    f"{finding.title}{finding.message}{finding.evidence}{finding.symbol}".encode()
    assert finding.status in {Status.ACTIVE, Status.REFUTED, Status.UNANCHORED}
    assert (finding.status is Status.ACTIVE) == (not finding.reason)


def _check_anchored(claim: Claim, anchored: Anchored, pieces: Sequence[Piece]) -> None:
    finding, hunk = anchored
    rows = finding.evidence.split("\n")
    own = [piece for piece in pieces if piece.hunk == hunk]
    places = [(piece, first) for piece in own for first in _runs(piece, rows)]
    assert places, "what it shows as evidence is not in the hunk"
    assert any(_is_at(piece, first, finding) for piece, first in places), "it stands on another line than its evidence"
    quotes = [fold(printable(row)) for row in claim.code.replace("\r\n", "\n").split("\n")]
    forms = [fold(rows[0]), fold(inert(rows[0].rstrip()))]
    assert any(quote and (quote in form or form in quote) for quote in quotes for form in forms), (
        "it stands on code that nobody quoted"
    )


def _runs(piece: Piece, rows: list[str]) -> list[int]:
    texts = [printable(line.text) for line in piece.lines]
    return [first for first in range(len(texts)) if texts[first : first + len(rows)] == rows]


def _is_at(piece: Piece, first: int, finding: Finding) -> bool:
    """Whether the finding's line is this one; for a removed line, one of those beside the gap."""
    line = piece.lines[first]
    if line.new is not None:
        return finding.line == line.new
    return piece.hunk.new_start - 1 <= finding.line <= piece.hunk.last + 1


def _check_unanchored(claim: Claim, anchored: Anchored, pieces: Sequence[Piece]) -> None:
    """It keeps the model's quote, stands within the hunk, and quotes indeed no line of what was asked about."""
    finding, hunk = anchored
    assert finding.evidence == shortened(printable(claim.code), LONGEST_EVIDENCE)
    assert hunk.start <= finding.line <= max(hunk.last, hunk.start)
    if not claim.file.strip():
        texts = [line.text.rstrip() for piece in pieces for line in piece.lines]
        lines = {*map(printable, texts), *map(inert, texts)} - {""}
        quotes = [row for row in printable(claim.code).replace("\r\n", "\n").split("\n") if row.strip()]
        assert not quotes or quotes[0].rstrip() not in lines


def _check_merged(findings: list[Finding]) -> None:
    kept = merged(findings)
    assert merged(kept) == kept
    assert set(kept) <= set(findings)
    for finding in findings:
        assert any(
            (one.path, one.line, one.category) == (finding.path, finding.line, finding.category)
            and one.severity.rank <= finding.severity.rank
            for one in kept
        ), "a worse finding has disappeared"


TARGETS = {"anchor": property_of(check_anchors, cases())}
