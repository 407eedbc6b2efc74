"""Claims that cannot be right as they stand, and claims that the model must confirm before they count.

The program refutes a claim only if the claim contradicts itself. That a line was replaced or not touched proves
nothing: a check may have been replaced by a comment, or an untouched line may fail because of the lines around it.
Such claims are questions for the model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.judge.parse import Claim
    from kilo_review.source.diff import Line

REPLACED = "it speaks of a line that the change has replaced"
UNTOUCHED = "it speaks of a line that the change did not touch"
ALREADY_SO = "what it proposes is what stands there"
REACH = 3
"""Unchanged lines this near to a removal may be wrong because of it: the check before them is gone."""
_PROPOSALS = (
    r"\b(?:should (?:be|read)|must be):? `([^`\n]+)`",
    (
        r"(?:^|[.!?;:] )(?:instead,? )?(?:please )?(?:use|write|change (?:it|this) to|replace (?:it|this|that) with):?"
        r" `([^`\n]+)`(?= instead(?! of)|[.!;,]|$)"
    ),
)
"""A remedy in so many words; "do not use `x`" and "the change to `x`" blame the code instead."""
_IDLE = (
    r"\s*(?:\Z|#|//|/\*|\*|--|;|%|<!--|\{-|\(\*|'|\"\"\"|@?REM\b|dnl\b"  # blank, or a comment in some language
    r"|(?:pass|\.{3}|true|:|noop|nop|[{}()\[\];,]+)\s*;?\s*\Z)"
)
"""A line that does nothing, or may do nothing: it never makes up for one that was removed."""


def contradiction(claim: Claim, quoted: Sequence[Line]) -> str:
    """Return why a claim about these lines contradicts itself: its remedy is, to the letter, the code that it blames.

    Returns:
        The reason, or "" where the claim can be right.
    """
    if any(line.kind == "-" for line in quoted):
        return ""
    return ALREADY_SO if claim.fix and _is_written(claim.fix, claim, quoted) else ""


def doubt(claim: Claim, lines: Sequence[Line], first: int, last: int) -> str:
    """Return why a claim must be confirmed before it counts, or "" where nothing speaks against it.

    Args:
        claim: what the model says.
        lines: of the hunk.
        first: index of the first line that it quotes.
        last: index of the last one.
    """
    quoted = lines[first : last + 1]
    kinds = {line.kind for line in quoted}
    if "-" not in kinds and any(_is_written(proposal, claim, quoted) for proposal in _proposals(claim)):
        return ALREADY_SO
    if "+" in kinds:
        return ""
    if "-" in kinds:
        at = next(index for index in range(first, last + 1) if lines[index].kind == "-")
        return "" if _is_removal(lines, at) else REPLACED
    near = range(max(0, first - REACH), min(len(lines), last + 1 + REACH))
    return "" if any(lines[index].kind == "-" and _is_removal(lines, index) for index in near) else UNTOUCHED


def _proposals(claim: Claim) -> list[str]:
    words = f"{claim.problem}\n{claim.title}"
    return [code for form in _PROPOSALS for code in re.findall(f"(?im){form}", words)]


def _is_removal(lines: Sequence[Line], index: int) -> bool:
    """Tell whether more code is removed than added around a removed line: its absence may be the defect."""
    begin = end = index
    while begin > 0 and lines[begin - 1].kind != " ":
        begin -= 1
    while end + 1 < len(lines) and lines[end + 1].kind != " ":
        end += 1
    kinds = [line.kind for line in lines[begin : end + 1] if not re.match(_IDLE, line.text, re.IGNORECASE)]
    return kinds.count("-") > kinds.count("+")


def _is_written(proposal: str, claim: Claim, quoted: Sequence[Line]) -> bool:
    """Tell whether a remedy is the quoted code, white space included.

    Models often quote a line without its indentation. A remedy may leave it out in the same way, and in no other:
    where indentation decides, a remedy that moves a line is a remedy.
    """
    written = [printable(line.text) for line in quoted]
    proposed, shown = _lines(proposal), _lines(claim.code.strip("\n"))
    is_shifted = [line.lstrip() for line in shown] == [line.lstrip() for line in written]
    return bool("".join(written).strip()) and (proposed == written or (is_shifted and proposed == shown))


def _lines(text: str) -> list[str]:
    return printable(text).split("\n")
