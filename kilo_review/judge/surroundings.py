"""Which changed lines of a file may alter what one of its functions does, although they are not in the function.

Whatever is not known to be harmless may: what stands outside of functions can wrap, hide or replace others. Harmless is
what is wholly within another function, and what only defines names that the function does not mention.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.plan.syntax import language_of
from kilo_review.source.diff import has_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.plan.syntax import Scope

SCRIPT_LINES = 2
"""At the top of a file, where a comment may say how it is read (PEP 263) or run."""
_WORD = r"[^\W\d]\w*"
_NAMES = rf"{_WORD}(?: as {_WORD})?(?:\s*,\s*{_WORD}(?: as {_WORD})?)*"
_PATH = r"[\w.]+"
_TEXT = r"(?:\"[^\"\\$#{}]*\"|'[^'\\$#{}]*')"
_FROM = rf"(?:\s+from\s+{_TEXT}\s*;?)"
_VALUE = rf"(?:-?\d[\w.]*|{_TEXT}|True|False|None|true|false|null|nil)"
_HARMLESS = {
    "python": rf"(?:from\s+{_PATH}\s+)?import\s+(?:{_NAMES}|{_PATH})",
    "javascript": rf"import\s+(?:{_WORD}|{{\s*{_NAMES}\s*,?\s*}}){_FROM}",
    "java": rf"import\s+(?:static\s+)?{_PATH};",
    "kotlin": rf"import\s+{_PATH}(?: as {_WORD})?",
    "rust": r"use\s+[\w:]+(?:::\{[\w\s,]+\})?;",
    "php": rf"use\s+[\w\\]+(?: as {_WORD})?;",
}
"""Imports that say which names they bring, on one line: those of other languages bring whatever is there."""
_LIKE = {"typescript": "javascript", "tsx": "javascript"}
_CONSTANT = rf"(?:(?:const|let|var|val|export|pub|static|final|private|public)\s+)*{_WORD}\s*=\s*{_VALUE}\s*;?"
"""A name for a number or a plain text; a shell's names mean something to other programs."""
_KEYWORDS = frozenset(
    {
        "import",
        "from",
        "as",
        "use",
        "const",
        "let",
        "var",
        "val",
        "export",
        "pub",
        "static",
        "final",
        "private",
        "public",
    }
)
_HAS_DIRECTIVES = frozenset({"c", "cpp", "csharp", "swift"})
_DIRECTIVE = r"#|%:|\?\?="
"""In these languages it may begin a line that switches code off wherever it stands, another function included."""
_OF_THE_FILE = r"\b(?:global|nonlocal|globals)\b"
"""Words by which a function sets names outside of it."""
_MODIFIERS = r"\s*(?:(?:export|default|declare|abstract|async|pub(?:\([^)]*\))?|static|public|private|local|final)\s+)*"
"""What stands before a function and belongs to it."""


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
        every = sorted(changed)
        self._language = language_of(path)
        self._rows = text.split("\n")
        self._all_numbers = [line.number for line in every]
        self._lines = [line for line in every if line.text.strip()]
        self._numbers = [line.number for line in self._lines]
        self._words = frozenset(word for line in self._lines for word in re.findall(_WORD, line.text))
        self._owners: list[Scope | None] = [None] * len(self._lines)
        named: set[str] = set()
        for index, scope in enumerate(outline):
            if not index % 1000:
                check()
            if has_between(self._numbers, scope.first, scope.first):
                named |= _name(scope)
            if scope.is_function:
                self._claim(scope)
        self._named = frozenset(named)
        """Names of functions and classes whose headings are changed."""
        owned = zip(self._lines, self._owners, strict=True)
        self._outside = [line for line, owner in owned if owner is None or self._leaves(line)]

    def reach(self, scopes: Sequence[Scope]) -> bool:
        """Tell whether a changed line may alter what a function does.

        Args:
            scopes: the functions and classes around a place, outermost first.
        """
        outer, inner = scopes[0], scopes[-1]
        if has_between(self._all_numbers, inner.first, inner.last) or _name(inner) & self._words:
            return True
        if any(has_between(self._numbers, scope.above, scope.first) for scope in scopes):
            return True
        if any(owner in scopes for owner in self._owners if owner):
            return True
        mentioned = frozenset(re.findall(_WORD, "\n".join(self._rows[outer.above - 1 : outer.last])))
        return bool(mentioned & self._named) or any(self._alters(line, outer, mentioned) for line in self._outside)

    def _claim(self, function: Scope) -> None:
        """Note the function as the owner of the changed lines that are in it, or that belong to it above it."""
        first, last = self._rows[function.first - 1], self._rows[function.last - 1]
        is_first_own = re.fullmatch(_MODIFIERS, first[: function.begin]) is not None
        is_last_own = not last[function.end :].strip(" \t\r;,")
        begin = max(function.above, SCRIPT_LINES + 1) if is_first_own else function.first + 1
        end = min(function.last, function.to_row + 1) - (not is_last_own)
        if function.first <= SCRIPT_LINES and is_first_own:
            begin = min(begin, function.first)
        low, high = bisect_left(self._numbers, begin), bisect_right(self._numbers, end)
        if low < high:
            self._owners[low:high] = [function] * (high - low)

    def _leaves(self, line: ChangedLine) -> bool:
        """Tell whether a line within a function may alter what is outside of it."""
        is_directive = self._language in _HAS_DIRECTIVES and re.search(_DIRECTIVE, line.text)
        return bool(is_directive or re.search(_OF_THE_FILE, line.text))

    def _alters(self, line: ChangedLine, outer: Scope, mentioned: frozenset[str]) -> bool:
        """Tell whether a line outside of all functions may alter what stands in a scope that mentions these words."""
        if outer.first <= line.number <= outer.last or not self._defines(line.text.strip()):
            return True
        return not (mentioned - _KEYWORDS).isdisjoint(re.findall(_WORD, line.text))

    def _defines(self, text: str) -> bool:
        """Tell whether a line does nothing but to define names that it says."""
        language = _LIKE.get(self._language or "", self._language or "")
        brought = _HARMLESS.get(language)
        is_constant = language != "bash" and re.fullmatch(_CONSTANT, text) is not None
        return is_constant or (brought is not None and re.fullmatch(brought, text) is not None)


def _name(scope: Scope) -> frozenset[str]:
    """Return the name of a function as its signature has it: the last word before what it takes."""
    signature = re.sub(r"^func\s*\([^)]*\)", "", scope.signature)
    words = re.findall(_WORD, re.sub(r"<[^>]*>\s*$", "", signature.partition("(")[0]))
    return frozenset(words[-1:])
