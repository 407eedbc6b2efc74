"""Comments in the code that take a finding out of the count: `kilo-review: ignore[category] reason`.

Any language's comment will do; a string is none, as far as the line shows (`suppression` asks the syntax of languages
that are known). It stands on the line itself, or alone on the line above; it names the category and says why. What it
lacks is told where it would have counted.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Category
from kilo_review.sanitize.terminal import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kilo_review.core.finding import Finding

WORD = "kilo-review:"
LONGEST_REASON = 200
LONGEST_LINE = 2000
MOST_LINES = 50
"""Above a finding, and in it, whose comments are heeded: a longer pile of them costs time and says nothing more."""
_IGNORE = r"(?i)kilo-review:\s*ignore\b\s*(?:\[([^\]]*)\])?\s*(.*)"
_MARKS = r"#|//|/\*|\*|--|;|%|<!--|\{-|\(\*|!|\bREM\b|\bdnl\b"
_BRACKETS = r"[{<@%]{0,3}"
"""What stands before a comment in templates and JSX: `{/*`, `{#`, `{{!--`, `<%--`."""
_ALONE = rf"\s*{_BRACKETS}(?:{_MARKS})[^\w\s]*(?:\s|\Z)"
"""`#define`, `*p = 1` and `--i` are code: behind the mark of a comment of its own comes a blank."""
_CLOSERS = r"(?:\*/\}?|-->|\*\)|-\}|#\}|--%>|%>|--\}\}|\*@)\Z"
_QUOTES = {".vb": "'", ".vbs": "'", ".bas": "'", ".vba": "'", ".cls": "'", ".frm": "'", ".vim": '"'}
"""Languages in which a quotation mark begins a comment; in the others it begins a string."""
_CATEGORIES = frozenset(Category)


class Ignore(NamedTuple):
    """One such comment.

    Attributes:
        line: its number in the new file.
        categories: what it names.
        reason: why.
        problem: why it is not honoured; "" if it is.
        is_alone: it has a line of its own, and so speaks of the next one.
        column: where it begins in its line.
    """

    line: int
    categories: frozenset[str]
    reason: str
    problem: str
    is_alone: bool
    column: int


def ignores_in(lines: Mapping[int, str], path: str = "") -> dict[int, Ignore]:
    """The comments in these numbered lines of a file, by line."""
    quote = _QUOTES.get(PurePosixPath(path).suffix.lower())
    marks = f"{_MARKS}|{quote}" if quote else _MARKS
    found = (_ignore(number, text, marks) for number, text in lines.items() if WORD in text.lower())
    return {each.line: each for each in found if each is not None}


def ignores_for(finding: Finding, ignores: Mapping[int, Ignore]) -> list[Ignore]:
    """The comments that speak of a finding, those first that may be honoured."""
    last = min(finding.end_line, finding.line + MOST_LINES)
    candidates = [ignores[number] for number in range(finding.line, last + 1) if number in ignores]
    above = finding.line - 1
    while above in ignores and ignores[above].is_alone and finding.line - above <= MOST_LINES:
        candidates.append(ignores[above])
        above -= 1
    speaking = (
        each
        for each in candidates
        if finding.category in each.categories or not each.categories or each.categories - _CATEGORIES
    )
    return sorted(speaking, key=lambda each: bool(each.problem))


def targets_of(ignores: Mapping[int, Ignore]) -> dict[int, int]:
    """Return the line that each comment, by its own line, speaks of: that one, or the next that is no such comment."""
    targets: dict[int, int] = {}
    for line in sorted(ignores, reverse=True):
        targets[line] = targets.get(line + 1, line + 1) if ignores[line].is_alone else line
    return targets


def numbered(text: str) -> dict[int, str]:
    """A file's lines by number."""
    return dict(enumerate(text.split("\n"), 1))


def _ignore(number: int, text: str, marks: str) -> Ignore | None:
    match = re.search(_IGNORE, text[:LONGEST_LINE])
    if match is None or not re.search(f"(?i){marks}", text[: match.start()]):
        return None
    named = [word.strip().lower() for word in (match[1] or "").split(",") if word.strip()]
    reason = one_line(printable(re.sub(_CLOSERS, "", match[2].rstrip()))).strip(" :-")[:LONGEST_REASON]
    is_alone = bool(re.match(_ALONE.replace(_MARKS, marks), text[: match.start()], re.IGNORECASE))
    return Ignore(number, frozenset(named), reason, _problem(named, reason), is_alone, match.start())


def _problem(named: Iterable[str], reason: str) -> str:
    if not named:
        return "names no category: ignore[bug] reason"
    unknown = sorted(set(named) - _CATEGORIES)
    if unknown:
        return f"names {unknown[0]!a}, which is no category; there are: {', '.join(Category)}"
    return "" if reason else "gives no reason"
