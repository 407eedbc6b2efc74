"""Lines of code → tokens with a colour, by Pygments.

A lexer is other people's code, run on hostile text: one regular expression can take for ever. So it runs in a helper
process with limits, its input is bounded, and what it makes of it counts only if it is the same text.
"""

from __future__ import annotations

import time
from html import escape
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from kilo_review.core.deadline import Deadline
from kilo_review.core.sandbox.limits import WALL_SECONDS
from kilo_review.core.sandbox.process import Helper
from kilo_review.sanitize.terminal import for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Token = tuple[str, str]
"""The class of its colour, or "", and its text, which is not escaped for HTML yet."""
LONGEST_LINE = 2_000
"""Characters of a line that are shown."""
LONGEST_PAINTED_LINE = 600
"""Longer lines are data or minified code, and what a lexer is slow with."""
LONGEST_PAINTED = 20_000
"""Characters of one side of a hunk: some lexers take the square of that."""
MOST_SECONDS = 15.0
"""For the whole page. Some hundred thousand characters are painted in a second."""
COLORS = {
    "Comment": "c",
    "Keyword": "k",
    "Literal.Number": "m",
    "Literal.String": "s",
    "Name.Attribute": "f",
    "Name.Builtin": "b",
    "Name.Class": "t",
    "Name.Constant": "m",
    "Name.Decorator": "d",
    "Name.Exception": "t",
    "Name.Function": "f",
    "Name.Tag": "k",
    "Operator.Word": "k",
}
"""Few, so that findings stand out, and so that the page is small."""


class Painter:
    """Makes lines fit to be shown, and colours them as long as there is time.

    Use it as a context manager: the helper process ends with it.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._seconds = MOST_SECONDS
        self._helper = Helper("coloring", "pygments")
        self._failed: set[str] = set()
        self._colors: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._helper.close()

    def paint(self, path: str, lines: Sequence[str]) -> list[list[Token]]:
        """One list of tokens for each of these lines, which follow each other in a file."""
        shown = [_cut(line) for line in for_terminal(self._masked(lines)).split("\n")] if lines else []
        begun = time.monotonic()
        colored = self._colored(path, shown) if self._seconds > 0 else None
        self._seconds -= time.monotonic() - begun
        return colored or [[("", line)] for line in shown]

    def _masked(self, lines: Sequence[str]) -> str:
        """All lines at once: a key has several."""
        text = "\n".join(lines)
        masked = self._mask(text)
        return masked if masked.count("\n") == text.count("\n") else "\n".join(map(self._mask, lines))

    def _colored(self, path: str, lines: Sequence[str]) -> list[list[Token]] | None:
        text = "\n".join(lines) + "\n"
        if len(text) > LONGEST_PAINTED or max(map(len, lines), default=0) > LONGEST_PAINTED_LINE:
            return None
        name = PurePosixPath(path).name
        tokens = self._tokens(name, text) if name not in self._failed else []
        return _by_line(tokens) if "".join(value for _, value in tokens) == text else None

    def _tokens(self, name: str, text: str) -> list[Token]:
        """What the lexer makes of it; nothing if it fails or takes too long, and then it is not asked again."""
        answer = self._helper.ask((name, text), Deadline().within(WALL_SECONDS))
        if answer is None or len(answer) % 2:
            self._failed.add(name)
            return []
        return [(self._color(kind), value) for kind, value in zip(answer[::2], answer[1::2], strict=True)]

    def _color(self, kind: str) -> str:
        if kind not in self._colors:
            words = kind.split(".")
            names = [".".join(words[:length]) for length in range(len(words), 0, -1)]
            self._colors[kind] = next((COLORS[name] for name in names if name in COLORS), "")
        return self._colors[kind]


def changed_parts(old: str, new: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Where two lines differ, from the first to the last difference; None if they have little in common."""
    if max(len(old), len(new)) > LONGEST_PAINTED_LINE:
        return None
    before = _common(old, new)
    after = _common(old[before:][::-1], new[before:][::-1])
    common = "".join((old[:before] + old[len(old) - after :]).split())
    if 3 * len(common) < max(len("".join(old.split())), len("".join(new.split()))):
        return None
    return (before, len(old) - after), (before, len(new) - after)


def _common(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    same = min(len(one), len(other))
    return next((at for at in range(same) if one[at] != other[at]), same)


def html_of(tokens: Iterable[Token], mark: tuple[int, int] = (0, 0)) -> str:
    """The tokens as HTML, with the characters from the first of `mark` to the second marked."""
    return "".join(_piece(color, text, is_marked) for color, text, is_marked in _split(tokens, mark))


def _piece(color: str, text: str, is_marked: bool) -> str:
    shown = escape(text)
    if is_marked:
        shown = f"<mark>{shown}</mark>"
    return f'<span class="{color}">{shown}</span>' if color and not text.isspace() else shown


def _split(tokens: Iterable[Token], mark: tuple[int, int]) -> Iterator[tuple[str, str, bool]]:
    at = 0
    for color, text in tokens:
        end = at + len(text)
        cuts = sorted({at, end, *(cut for cut in mark if at < cut < end)})
        for start, stop in pairwise(cuts):
            yield color, text[start - at : stop - at], mark[0] <= start and stop <= mark[1]
        at = end


def _by_line(tokens: Iterable[Token]) -> list[list[Token]]:
    lines: list[list[Token]] = [[]]
    for color, value in tokens:
        first, *rest = value.split("\n")
        for text, line in ((first, lines[-1]), *((text, []) for text in rest)):
            if line is not lines[-1]:
                lines.append(line)
            _extend(line, color, text)
    return lines[:-1]


def _extend(line: list[Token], color: str, text: str) -> None:
    """Add a token, to the one before it if that has the same colour."""
    if text and line and line[-1][0] == color:
        line[-1] = (color, line[-1][1] + text)
    elif text:
        line.append((color, text))


def _cut(line: str) -> str:
    rest = len(line) - LONGEST_LINE
    return line if rest <= 0 else f"{line[:LONGEST_LINE]} … {rest:,} more characters"
