"""A claim is put to the model again, to be refuted: how it is named, and what is made of the answer."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import Finding, Status
from kilo_review.judge.parse import answer_of, object_with
from kilo_review.judge.policy import FailOn, Verify, blocks
from kilo_review.judge.quotes import SHORTEST_SUBSTRING, fold, new_side
from kilo_review.sanitize.model_input import inert
from kilo_review.sanitize.terminal import one_line, printable, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.plan.chunk import Piece

LONGEST_EVIDENCE = 200
LONGEST_QUOTE = 160
"""Of the line in the question: it stands in the change as a whole, and here it has the last word."""
NOT_SHOWN = "asked again, the model denies it"
NO_INPUT = "asked again, the model affirms it, and names no case in which it goes wrong"


class Ruling(NamedTuple):
    """What the model says of a claim.

    Attributes:
        is_confirmed: it stands.
        evidence: the input that shows it, or the line that disproves it.
    """

    is_confirmed: bool
    evidence: str


def is_due(finding: Finding, verify: Verify, fail_on: FailOn) -> bool:
    """Whether a finding must be confirmed before it counts."""
    if finding.status is not Status.ACTIVE or verify is Verify.OFF:
        return False
    return verify is Verify.ALL or bool(finding.doubt) or blocks(finding, fail_on)


def claim_of(finding: Finding, piece: Piece) -> str:
    """Return the line that a finding speaks of, without a word of what was said of it; and the rule that it breaks."""
    code, rule = _quoted(finding.code), finding.rule and f" the rule {finding.rule}"
    fails = f"breaks{rule}" if rule else "is wrong"
    kinds = {line.kind for line in piece.lines if printable(line.text).strip() == finding.code}
    if finding.is_removed or kinds == {"-"}:
        return f"the removal of the line `{code}` {fails}"
    if kinds == {" "}:
        return f"the change makes line {finding.line}, `{code}`, {f'break{rule}' if rule else 'wrong'}"
    if "-" not in kinds:
        gone = _removed_like_it(finding, piece)
        other = f", or the removal of the line `{_quoted(gone)}` {fails}" if gone else ""
        return f"line {finding.line}, `{code}`, {fails}{other}"
    # The code was moved, or is not the same that was removed: what is wrong may be that it is gone from where it was.
    if _is_moved_nearby(finding, piece):
        return f"moving the line `{code}` to line {finding.line} {fails}"
    return f"line {finding.line}, `{code}`, {fails}, or the removal of the same line elsewhere {fails}"


def _removed_like_it(finding: Finding, piece: Piece) -> str:
    """Return the removed line that has the finding's code in it, whatever its white space; "" if there is none.

    The model may have quoted that one: what the change puts beside it, a comment for one, does not take its place. Of
    several, one that has nothing else in it comes first.
    """
    code = fold(finding.code)
    if len(code) < SHORTEST_SUBSTRING:
        return ""
    removed = [printable(line.text).strip() for line in piece.lines if line.kind == "-"]
    return min((text for text in removed if code in fold(text)), key=lambda text: fold(text) != code, default="")


def _is_moved_nearby(finding: Finding, piece: Piece) -> bool:
    """Tell whether the same line is removed among the changed lines that the finding's line is in, without a gap."""
    lines = piece.lines
    at = next((index for index, line in enumerate(lines) if line.new == finding.line), None)
    if at is None:
        return False
    above = takewhile(lambda line: line.kind != " ", reversed(lines[:at]))
    below = takewhile(lambda line: line.kind != " ", lines[at + 1 :])
    return any(line.kind == "-" and printable(line.text).strip() == finding.code for line in (*above, *below))


def _quoted(code: str) -> str:
    """Code that cannot end the quotation that it stands in."""
    text = inert(code).replace("`", "'")
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}…"


def holding(finding: Finding, pieces: Sequence[Piece]) -> Piece:
    """Of a hunk's pieces the one that a finding speaks of."""
    if len(pieces) == 1:
        return pieces[0]
    first = finding.evidence.split("\n", 1)[0]
    quoted = [
        ((line.kind == "-") != finding.is_removed, abs(new_side(piece, row) - finding.line), index)
        for index, piece in enumerate(pieces)
        for row, line in enumerate(piece.lines)
        if printable(line.text) == first
    ]
    return pieces[min(quoted)[-1] if quoted else 0]


def parse_ruling(text: str, reasoning: str = "") -> Ruling:
    """Read the answer.

    Raises:
        BadReplyError: it is neither yes nor no.
    """
    found = object_with("confirmed", answer_of(text, reasoning))
    confirmed, evidence = found.get("confirmed"), found.get("evidence", "")
    if not isinstance(confirmed, bool) or not isinstance(evidence, str):
        raise BadReplyError("the model's answer neither confirms nor refutes")
    return Ruling(confirmed, shortened(one_line(printable(evidence)), LONGEST_EVIDENCE))


def ruled(finding: Finding, ruling: Ruling) -> Finding:
    """The finding as the answer leaves it."""
    if not ruling.is_confirmed:
        return finding._replace(status=Status.REFUTED, reason=ruling.evidence or NOT_SHOWN)
    return finding if ruling.evidence.strip() else unverified(finding, NO_INPUT)


def unverified(finding: Finding, why: str) -> Finding:
    """A finding that could not be put to the test; it never blocks."""
    return finding._replace(status=Status.UNVERIFIED, reason=why)
