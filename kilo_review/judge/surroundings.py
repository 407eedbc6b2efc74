"""Which changed lines of a file may alter what one of its functions does, although they are not in the function."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.plan.syntax import language_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.plan.syntax import Scope

_WORD = r"[^\W\d]\w*"
_DIRECTIVES = frozenset({"c", "cpp", "csharp", "swift"})
"""Languages with lines that switch code off wherever they stand, another function included."""
_DEFINES = (
    r"\s*(?:(?:import|from|use|using|package|require)\b|#\s*include\b"
    r"|(?:(?:const|let|var|val|export|pub|static|final|private|public)\s+)*[\w.$]+(?:\s*:[^=]+)?\s*=(?![=>])"
    r"|(?:[\w.$]+|\w+ as \w+),\s*\Z)"
)
"""An import, an assignment or one name of a list: outside of functions it alters only what uses its names."""


class ChangedLine(NamedTuple):
    """A line that is only in one version of a file, by its number and text."""

    number: int
    text: str


class Surroundings:
    """The changed lines of one version of a file, and the functions that they are in."""

    def __init__(
        self, path: str, text: str, outline: Sequence[Scope], changed: Iterable[ChangedLine], check: Callable[[], None]
    ) -> None:
        """Find the function of each changed line.

        Args:
            path: of the file in this version.
            text: of the file.
            outline: all of its functions and classes, an outer one before those that it contains.
            changed: the lines that the other version does not have.
            check: raises an error where the time is used up.
        """
        self._rows = text.split("\n")
        self._lines = sorted(line for line in changed if line.text.strip())
        self._numbers = [line.number for line in self._lines]
        self._every = [line.number for line in sorted(changed)]
        self._words = frozenset(word for line in self._lines for word in re.findall(_WORD, line.text))
        self._owners: list[Scope | None] = [None] * len(self._lines)
        for index, scope in enumerate(outline):
            if not index % 1000:
                check()
            if scope.is_function:
                self._claim(scope)
        has_directives = language_of(path) in _DIRECTIVES
        self._outside = [
            line
            for line, owner in zip(self._lines, self._owners, strict=True)
            if owner is None or (has_directives and line.text.lstrip().startswith("#"))
        ]

    def reach(self, scopes: Sequence[Scope]) -> bool:
        """Tell whether a changed line may alter what a function does.

        It may where it is in the function or in what is around it, in a decorator of either, where it mentions the
        function's name, and where it is outside of all functions: what stands there can wrap, hide or replace others.
        Only definitions of what the function does not mention are no reason there.

        Args:
            scopes: the functions and classes around a place, outermost first.
        """
        outer, inner = scopes[0], scopes[-1]
        if self._has_between(self._every, inner.first, inner.last) or _name(inner) & self._words:
            return True
        if any(self._has_between(self._numbers, scope.above, scope.first) for scope in scopes):
            return True
        if any(owner in scopes for owner in self._owners if owner):
            return True
        mentioned = frozenset(re.findall(_WORD, "\n".join(self._rows[outer.above - 1 : outer.last])))
        return any(_alters(line, outer, mentioned) for line in self._outside)

    def _claim(self, function: Scope) -> None:
        """Note the function as the owner of the changed lines that are in it, or that belong to it above it."""
        begin = bisect_left(self._numbers, function.above)
        end = bisect_right(self._numbers, min(function.last, function.to_row + 1))
        if begin < end:
            self._owners[begin:end] = [function] * (end - begin)

    @staticmethod
    def _has_between(numbers: Sequence[int], first: int, last: int) -> bool:
        return bisect_left(numbers, first) < bisect_right(numbers, last)


def _alters(line: ChangedLine, outer: Scope, mentioned: frozenset[str]) -> bool:
    """Tell whether a line outside of all functions may alter what stands in a scope that mentions these words."""
    if outer.first <= line.number <= outer.last or not re.match(_DEFINES, line.text):
        return True
    return not mentioned.isdisjoint(re.findall(_WORD, line.text))


def _name(scope: Scope) -> frozenset[str]:
    """Return the name of a function as its signature has it: the last word before what it takes."""
    signature = re.sub(r"^func\s*\([^)]*\)", "", scope.signature)
    words = re.findall(_WORD, re.sub(r"<[^>]*>\s*$", "", signature.partition("(")[0]))
    return frozenset(words[-1:])
