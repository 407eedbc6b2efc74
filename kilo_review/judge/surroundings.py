"""Which changed lines of a file may alter what one of its functions does, although they are not in the function.

Whatever is not known to be harmless may: what stands outside of functions can wrap, hide or replace others. Harmless is
what is wholly within another function, or an import on one line that says which names it brings, if it has no word in
common with the function: each could be a name that it sets.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.deadline import PACE
from kilo_review.judge.reserved import WITHOUT_CASE, no_names
from kilo_review.plan.syntax import language_of
from kilo_review.source.diff import has_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.plan.syntax import Scope

SCRIPT_LINES = 2
"""At the top of a file, where a comment may say how it is read (PEP 263) or run."""
_WORD = r"[^\W\d]\w*"
_NAME = rf"{_WORD}|\$(?!\w)"
"""A name, or the dollar sign, which is one in JavaScript."""
_ESCAPE = r"\\(?:u+(?:\{0*([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4}))|U([0-9A-Fa-f]{8}))"
_JOINS = frozenset({"bash", "c", "cpp", "python"})
"""In these languages a backslash at the end of a line joins it with the next, words included in some."""
_NAMES = rf"{_WORD}(?: as {_WORD})?(?:\s*,\s*{_WORD}(?: as {_WORD})?)*"
_PATH = r"[\w.]+"
_TEXT = r"(?:\"[^\"]*\"|'[^']*')"
_FROM = rf"(?:\s+from\s+{_TEXT}\s*;?)"
_HARMLESS = {
    "python": rf"(?:from\s+{_PATH}\s+)?import\s+(?:{_NAMES}|{_PATH})",
    "javascript": rf"import\s+(?:{_WORD}|{{\s*{_NAMES}\s*,?\s*}}){_FROM}",
    "java": rf"import\s+(?:static\s+)?{_PATH};",
    "kotlin": rf"import\s+{_PATH}(?: as {_WORD})?",
    "php": rf"use\s+[\w\\]+(?: as {_WORD})?;",
}
"""Imports that say which names they bring, on one line: those of other languages bring whatever is there, and those of
Rust the methods of a trait, which they do not say."""
_LIKE = {"typescript": "javascript", "tsx": "javascript"}
_TO_TOOLS = r"\s*(?:#(?!\[)|//|/?\*|--|;|%|<!--|\{-).*(?:[@:<{+=]|-\*-|\buse\b)"
"""A comment that may say to a compiler or another tool how the whole file is read, such as `@jsx` and `coding: x`."""
_HAS_DIRECTIVES = frozenset({"c", "cpp", "csharp", "swift"})
_DIRECTIVE = r"#|%:|\?\?="
"""In these languages it may begin a line that switches code off wherever it stands, another function included."""
_UNNAMED = (
    "toString|valueOf|toJSON|then|equals|hashCode|compareTo|close|finalize|iterator|invoke"
    "|ToString|Equals|GetHashCode|CompareTo|Dispose|GetEnumerator|MoveNext|Deconstruct"
    "|to_s|to_str|to_a|to_ary|to_h|to_hash|to_proc|to_path|coerce|inspect|respond_to_missing|each|hash|eql|call"
    "|offsetGet|offsetSet|getIterator|callAsFunction|dynamicallyCall|eq|ne|lt|le|gt|ge|cmp|partial_cmp|drop|deref|fmt"
    "|command_not_found_handle"
)
"""Methods that languages call without their names being said: to make a text of an object, or to compare it."""
_OF_THE_FILE = (
    r"\b(?:global|nonlocal|globals|globalThis|window|GLOBALS|_G|_ENV|sys\.modules|exec|eval|setattr|__dict__)\b"
    r"|\boperator\b|\b(?:func|def)\s*(?:self\.)?\s*(?:[^\w\s(]|$)|\bmethod_missing\b|\bfunc\s+init\b"
    r"|\b__(?!(?:init|name|file|doc|main|post_init|version)__)\w+__|\bfunction\s+&?\s*__\w"
    rf"|(?<![\w-])(?:{_UNNAMED})\b(?!\s*\()|(?<![.\w>])(?:{_UNNAMED})\s*\(|\bSymbol\.\w"
    "|[\r\x0b\x0c\x85\u2028\u2029]."
)
"""Words by which a function sets names outside of it, or is called without its name being said, such as operators; and
characters that end a line for some languages."""
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
        self._words: set[str] = set()
        self._known_words: dict[tuple[int, int], set[str]] = {}
        self._owners: list[Scope | None] = [None] * len(self._lines)
        for index, line in enumerate(self._lines):
            if not index % PACE:
                check()
            self._words |= _words_in(line.text, self._language)
        for index, scope in enumerate(outline):
            if not index % PACE:
                check()
            if scope.is_function:
                self._claim(scope)
        owned = zip(self._lines, self._owners, strict=True)
        self._outside = [line for line, owner in owned if owner is None or self._leaves(line, owner)]
        """Those that may alter any function of the file."""
        self._is_open = any(not self._brings(line.text) for line in self._outside) or self._is_joined(every)

    def _is_joined(self, changed: Iterable[ChangedLine]) -> bool:
        """Tell whether a changed line, a blank one included, may be one with the line above or below it."""
        if self._language not in _JOINS:
            return False
        above = (self._rows[line.number - 2] for line in changed if 1 < line.number <= len(self._rows) + 1)
        return any(text.endswith("\\") for text in (*above, *(line.text for line in changed)))

    def reach(self, scopes: Sequence[Scope]) -> bool:
        """Tell whether a changed line may alter what a function does.

        Args:
            scopes: the functions and classes around a place, outermost first.
        """
        outer, inner = scopes[0], scopes[-1]
        if self._is_open or has_between(self._all_numbers, inner.first, inner.last):
            return True
        if any(has_between(self._numbers, scope.above, scope.first) for scope in scopes):
            return True
        if any(owner in scopes for owner in self._owners if owner):
            return True
        if any(outer.first <= line.number <= outer.last for line in self._outside):
            return True
        return not self._words.isdisjoint(self._mentioned_by(scopes))

    def _mentioned_by(self, scopes: Sequence[Scope]) -> set[str]:
        """Return the words of the outermost function, and of the headings of the classes around it."""
        function = next((scope for scope in scopes if scope.is_function), scopes[-1])
        headings = (self._words_of(scope.above, scope.first) for scope in scopes if scope.first < function.first)
        return self._words_of(function.above, function.last).union(*headings)

    def _words_of(self, first: int, last: int) -> set[str]:
        """Return the words of some lines that can be names; found out once."""
        if (first, last) not in self._known_words:
            text = "\n".join(self._rows[first - 1 : last])
            words = _words_in(text, self._language)
            self._known_words[first, last] = words - no_names(self._language, words, text)
        return self._known_words[first, last]

    def _claim(self, function: Scope) -> None:
        """Note the function as the owner of the changed lines that are in it, or that belong to it above it."""
        first, last = self._rows[function.first - 1], self._rows[function.last - 1]
        is_first_own = re.fullmatch(_MODIFIERS, first[: function.begin]) is not None
        is_last_own = not last[function.end :].strip(" \t\r;,")
        above = function.above if function.above > SCRIPT_LINES else min(function.first, SCRIPT_LINES + 1)
        begin = above if is_first_own else function.first + 1
        end = min(function.last, function.to_row + 1) - (not is_last_own)
        low, high = bisect_left(self._numbers, begin), bisect_right(self._numbers, end)
        if low < high:
            self._owners[low:high] = [function] * (high - low)

    def _leaves(self, line: ChangedLine, owner: Scope) -> bool:
        """Tell whether a line of a function may alter what is outside of it."""
        if line.number < owner.first and re.match(_TO_TOOLS, line.text):
            return True
        is_directive = self._language in _HAS_DIRECTIVES and re.search(_DIRECTIVE, line.text)
        return bool(is_directive or re.search(_OF_THE_FILE, line.text))

    def _brings(self, text: str) -> bool:
        """Tell whether a line does nothing but to import names that it says."""
        language = _LIKE.get(self._language or "", self._language or "")
        pattern = _HARMLESS.get(language)
        return pattern is not None and "__future__" not in text and re.fullmatch(pattern, text.strip()) is not None


def _words_in(text: str, language: str | None) -> set[str]:
    """Return the words of a text as compilers compare them: escapes read, and forms of a letter alike."""
    if language in WITHOUT_CASE:
        text = text.casefold()
    if "\\" in text:
        text = re.sub(_ESCAPE, _character, text)
    if not text.isascii():
        text = "".join(each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) != "Cf")
    return set(re.findall(_NAME, text))


def _character(escape: re.Match[str]) -> str:
    number = int(next(filter(None, escape.groups())), 16)
    return chr(number) if number <= sys.maxunicode else " "
