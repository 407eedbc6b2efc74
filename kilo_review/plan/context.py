"""What is shown around a hunk: the headings it lies in, a few lines before, fewer after.

Little on purpose: every model measured reviews worse the more it is shown (docs/prompts.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.plan.syntax import shortened
from kilo_review.source.diff import Line
from kilo_review.source.notebook import is_named

if TYPE_CHECKING:
    from kilo_review.plan.syntax import Syntax
    from kilo_review.source.diff import Hunk

LINES_BEFORE = 6
"""Lines shown before git's own three, as far as the enclosing function reaches."""


class Heading(NamedTuple):
    """A function or class that the hunk lies in: its first line's number and its signature."""

    line: int
    text: str


class Context(NamedTuple):
    """What surrounds a hunk.

    Attributes:
        headings: enclosing signatures, outermost first.
        before: lines above the hunk's own first line.
        last_line: new-side line after which trailing context belongs to something else.
    """

    headings: tuple[Heading, ...] = ()
    before: tuple[Line, ...] = ()
    last_line: int | None = None

    @property
    def symbol(self) -> str:
        """The headings as one text: the finding's enclosing symbol."""
        return " > ".join(heading.text for heading in self.headings)


@lru_cache(maxsize=2)
def text_of(content: bytes) -> str:
    """Return a file's text; that of the last two is kept, since their hunks and findings come one after the other."""
    return content.decode("utf-8", "replace")


@lru_cache(maxsize=1)
def _rows_of(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n"))


def of_hunk(hunk: Hunk, lines: list[Line], content: bytes | None, syntax: Syntax) -> Context:
    """Gather the context of a hunk.

    Args:
        hunk: the hunk.
        lines: its lines.
        content: the new side's whole file; None where there is none (a deleted file, a patch).
        syntax: what parses it; where that fails, git's own heading is the context.
    """
    fallback = (Heading(0, shortened(hunk.heading)),) if hunk.heading else ()
    if content is None or not hunk.new_length:
        return Context(headings=fallback)
    text = text_of(content)
    changed = _first_changed(lines, hunk)
    scopes = syntax.scopes(hunk.path, text, changed)
    if scopes is None:
        return Context(fallback, _lines_before(text, hunk.new_start, 1, is_notebook=is_named(hunk.path)))
    function = next((scope for scope in reversed(scopes) if scope.is_function), None)
    first = function.first if function else 1
    return Context(
        headings=tuple(Heading(scope.first, scope.signature) for scope in scopes),
        before=_lines_before(text, hunk.new_start, first, is_notebook=is_named(hunk.path)),
        last_line=function.last if function and _last_changed(lines, hunk) <= function.last else None,
    )


def trimmed(lines: list[Line], context: Context) -> list[Line]:
    """Return the hunk without trailing context that lies beyond the function which holds all of its changed lines."""
    end = len(lines)
    while end and context.last_line and lines[end - 1].kind == " " and (lines[end - 1].new or 0) > context.last_line:
        end -= 1
    return lines[:end]


def symbol_at(path: str, content: bytes, line: int, syntax: Syntax) -> str | None:
    """The headings that a line lies in, as `Context.symbol` has them; None if the file cannot be parsed."""
    scopes = syntax.scopes(path, text_of(content), line)
    return None if scopes is None else " > ".join(scope.signature for scope in scopes)


def _last_changed(lines: list[Line], hunk: Hunk) -> int:
    """New-side number of the last changed line, or of the line below a removal."""
    number, last = hunk.new_start, hunk.new_start
    for line in lines:
        number = number if line.new is None else line.new + 1
        if line.kind != " ":
            last = number if line.new is None else line.new
    return last


def _first_changed(lines: list[Line], hunk: Hunk) -> int:
    """New-side number of the first changed line, or of the line beside a removal."""
    number = hunk.new_start
    for line in lines:
        if line.kind != " ":
            return line.new or number
        number = (line.new or number) + 1
    return number


def _lines_before(text: str, start: int, first: int, *, is_notebook: bool) -> tuple[Line, ...]:
    begin = max(start - LINES_BEFORE, first, 1)
    if begin >= start:
        return ()
    every = _rows_of(text)
    lines = (Line(" ", None, number, every[number - 1]) for number in range(begin, min(start, len(every) + 1)))
    return tuple(line for line in lines if line.text.strip() or not is_notebook)  # blank lines there are no source
