"""Bidirectional controls: a line that is shown in another order than it is compiled (Trojan Source, CVE-2021-42574).

Their effect ends with the line, so each line is judged alone. As in GCC's `-Wbidi-chars=unpaired` a control that is not
closed is worst; one that is closed must stay inside one string or comment, which is where text is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Severity
from kilo_review.judge.codepoints import BIDI, Deceit, named
from kilo_review.judge.places import Place

if TYPE_CHECKING:
    from kilo_review.judge.places import Row

MOST_CONTROLS = 100
"""On one line; the bidirectional algorithm itself nests no deeper than 125."""
_OVERRIDES, _ISOLATES = "\u202d\u202e", "\u2066\u2067\u2068"
_POP_EMBEDDING, _POP_ISOLATE = "\u202c", "\u2069"
_CODE_MARKS = r"[][{}()<>=;\"'`#/\\|&+*$@%^~]"
_WHAT_HAPPENS = (
    "A reader sees parts of this line in another order than the compiler, which reads them as they are stored: what"
    " looks like a comment can be code, and the other way round."
)
_CONTAINED = (
    "A reader does not see the control, and may see the text that it encloses in another order; the compiler reads what"
    " is stored, the control with it."
)
_REMEDY = "Delete it, or write it as an escape if a string must hold it."


class _Nesting(NamedTuple):
    """How the controls of a line belong together, by index."""

    pairs: list[tuple[int, int]]
    unclosed: list[int]
    strays: list[int]


def reordering(row: Row) -> Deceit | None:
    """What bidirectional controls do to a line."""
    controls = [match.start() for match in re.finditer(f"[{BIDI}]", row.text)]
    if not controls:
        return None
    severity, why = _judge(row, controls)
    title = f"{_title(severity)}: {named(row.text, controls[:1])}"
    if len(controls) > 1:
        title += f" and {len(controls) - 1} more"
    effect = _WHAT_HAPPENS if severity is Severity.CRITICAL else _CONTAINED
    return Deceit(severity, title, f"{named(row.text, controls)}: {why} {effect} {_REMEDY}")


def _title(severity: Severity) -> str:
    return "Shown in another order than compiled" if severity is Severity.CRITICAL else "Text direction control"


def _judge(row: Row, controls: list[int]) -> tuple[Severity, str]:
    if len(controls) > MOST_CONTROLS:
        return Severity.CRITICAL, "no text needs so many."
    nesting = _nest(row.text, controls)
    is_prose = row.is_text and row.has_right_to_left
    if any(row.text[index] in _OVERRIDES for index in controls):
        return Severity.CRITICAL, "an override turns letters around against their own direction."
    if nesting.unclosed:
        severity = Severity.MAJOR if is_prose else Severity.CRITICAL
        return severity, "it is not closed before the line ends, so all that follows may be moved."
    if any(_escapes(row, begin, end) for begin, end in nesting.pairs):
        return Severity.CRITICAL, "what it encloses is more than a piece of text within one string or comment."
    if nesting.pairs:
        severity = Severity.MINOR if is_prose else Severity.MAJOR
        return severity, "it is closed, within one piece of text."
    return Severity.MINOR, "it closes nothing, and is invisible."


def _nest(text: str, controls: list[int]) -> _Nesting:
    """Pair the controls as the Unicode Bidirectional Algorithm does; an isolate's end also ends what it holds open."""
    nesting = _Nesting([], [], [])
    stack: list[int] = []
    for index in controls:
        char = text[index]
        if char not in {_POP_EMBEDDING, _POP_ISOLATE}:
            stack.append(index)
        elif char == _POP_EMBEDDING and stack and text[stack[-1]] not in _ISOLATES:
            nesting.pairs.append((stack.pop(), index))
        elif char == _POP_ISOLATE and any(text[opened] in _ISOLATES for opened in stack):
            while text[stack[-1]] not in _ISOLATES:
                nesting.unclosed.append(stack.pop())
            nesting.pairs.append((stack.pop(), index))
        else:
            nesting.strays.append(index)
    nesting.unclosed.extend(stack)
    return nesting


def _escapes(row: Row, begin: int, end: int) -> bool:
    """Whether a pair encloses more than text: it leaves its string or comment, or has marks of code in it."""
    span = row.span(begin)
    if span is not row.span(end):
        return True
    if row.place(begin) is not Place.CODE:
        return False
    return not row.has_right_to_left or re.search(_CODE_MARKS, row.text[begin + 1 : end]) is not None
