"""Comments in the code that take a finding out of the count: `kilo-review: ignore[category] reason`.

Any language's comment will do. It stands on the line itself, or alone on the line above; it names the category
and says why. What it lacks is told where it would have counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.display import one_line, printable
from kilo_review.finding import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kilo_review.finding import Finding

WORD = "kilo-review:"
LONGEST_REASON = 200
LONGEST_LINE = 2000
_IGNORE = r"(?i)kilo-review:\s*ignore\b\s*(?:\[([^\]]*)\])?\s*(.*)"
_MARKS = r"(?i)#|//|/\*|\*|--|;|%|<!--|\{-|\(\*|!|\bREM\b|\bdnl\b"
# A quotation mark begins a comment in few languages and a string in most: there the word must follow at once.
_COMMENT_UP_TO_HERE = rf"{_MARKS}|['\"]\s*\Z"
_ALONE = rf"\s*(?:{_MARKS[4:]}|['\"])"
_CLOSERS = r"\s*(?:\*/|-->|\*\)|-\}|#\}|%>)\s*\Z"
_CATEGORIES = frozenset(Category)


class Ignore(NamedTuple):
    """One such comment.

    Attributes:
        line: its number in the new file.
        categories: what it names.
        reason: why.
        problem: why it is not honoured; "" if it is.
        is_alone: it has a line of its own, and so speaks of the next one.
    """

    line: int
    categories: frozenset[str]
    reason: str
    problem: str
    is_alone: bool


def ignores_in(lines: Mapping[int, str]) -> dict[int, Ignore]:
    """The comments in these numbered lines, by line."""
    found = (_ignore(number, text) for number, text in lines.items() if WORD in text.lower())
    return {each.line: each for each in found if each is not None}


def ignore_for(finding: Finding, ignores: Mapping[int, Ignore]) -> Ignore | None:
    """The comment that speaks of a finding, also one that is not honoured; None if there is none."""
    candidates = [ignores[number] for number in range(finding.line, finding.end_line + 1) if number in ignores]
    above = finding.line - 1
    while above in ignores and ignores[above].is_alone:
        candidates.append(ignores[above])
        above -= 1
    speaking = [
        each
        for each in candidates
        if finding.category in each.categories or not each.categories or each.categories - _CATEGORIES
    ]
    return min(speaking, key=lambda each: bool(each.problem), default=None)


def target_of(ignore: Ignore, ignores: Mapping[int, Ignore]) -> int:
    """The line that a comment speaks of: its own, or the next that is no such comment."""
    line = ignore.line
    while line in ignores and ignores[line].is_alone:
        line += 1
    return line


def numbered(content: bytes) -> dict[int, str]:
    """A file's lines by number."""
    return dict(enumerate(content.decode("utf-8", "replace").split("\n"), 1))


def _ignore(number: int, text: str) -> Ignore | None:
    match = re.search(_IGNORE, text[:LONGEST_LINE])
    if match is None or not re.search(_COMMENT_UP_TO_HERE, text[: match.start()]):
        return None
    named = [word.strip().lower() for word in (match[1] or "").split(",") if word.strip()]
    reason = one_line(printable(re.sub(_CLOSERS, "", match[2]))).strip(" :-")[:LONGEST_REASON]
    is_alone = bool(re.match(_ALONE, text, re.IGNORECASE))
    return Ignore(number, frozenset(named), reason, _problem(named, reason), is_alone)


def _problem(named: Iterable[str], reason: str) -> str:
    if not named:
        return "names no category: ignore[bug] reason"
    unknown = sorted(set(named) - _CATEGORIES)
    if unknown:
        return f"names {unknown[0]!a}, which is no category; there are: {', '.join(Category)}"
    return "" if reason else "gives no reason"
