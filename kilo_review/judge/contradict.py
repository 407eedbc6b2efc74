"""Claims that the change itself disproves: settled here, before a model is asked to refute them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.display import printable

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


def contradiction(claim: Claim, lines: Sequence[Line], first: int, last: int) -> str:
    """Why a claim about the lines from `first` to `last` (indexes, both included) cannot be right; "" if it can."""
    quoted = lines[first : last + 1]
    if _proposes(claim, quoted):
        return ALREADY_SO
    kinds = {line.kind for line in quoted}
    if "+" in kinds:
        return ""
    if "-" in kinds:
        at = next(index for index in range(first, last + 1) if lines[index].kind == "-")
        return "" if _is_removal(lines, at) else REPLACED
    near = range(max(0, first - REACH), min(len(lines), last + 1 + REACH))
    return "" if any(lines[index].kind == "-" and _is_removal(lines, index) for index in near) else UNTOUCHED


def _is_removal(lines: Sequence[Line], index: int) -> bool:
    """Whether more is removed than added around a removed line: then its absence may be the defect."""
    begin = end = index
    while begin > 0 and lines[begin - 1].kind != " ":
        begin -= 1
    while end + 1 < len(lines) and lines[end + 1].kind != " ":
        end += 1
    kinds = [line.kind for line in lines[begin : end + 1]]
    return kinds.count("-") > kinds.count("+")


def _proposes(claim: Claim, quoted: Sequence[Line]) -> bool:
    """Whether the claim's remedy is the very code that it blames."""
    if any(line.kind == "-" for line in quoted):
        return False
    words = f"{claim.problem}\n{claim.title}"
    proposals = [claim.fix, *(code for form in _PROPOSALS for code in re.findall(f"(?im){form}", words))]
    present = "".join(_fold(line.text) for line in quoted)
    return any(present and _fold(proposal) == present for proposal in proposals)


def _fold(text: str) -> str:
    return "".join(printable(text).split())
