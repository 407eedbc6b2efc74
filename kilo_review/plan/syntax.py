"""The syntax of the files of one review: which functions and classes a line lies in, and what is a string.

Parsers are native code, and what they read is hostile: in nearly every language there is a text of a few kilobytes that
crashes them, or costs gigabytes and minutes. So they run in a helper process with limits, and where it fails the caller
goes on without an answer.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.sandbox.limits import WALL_SECONDS
from kilo_review.core.sandbox.process import Helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kilo_review.core.deadline import Deadline

LARGEST_PARSED = 300_000
"""Characters; a larger file keeps git's hunk heading, since parsing it would be felt."""
LONGEST_PARSED_LINE = 2_000
"""Characters; deep nesting on one line makes parsers slow, and no function worth a heading looks like that."""
MOST_OPEN_BRACKETS = 1_000
"""Brackets that are open at once: beyond that no parser is tried. Ordinary files nest a few dozen, and leave
some hundreds open at most, in strings and comments."""
LONGEST_HEADING = 200
KEPT_OUTLINES = 8
"""Of the last files: their hunks come one after the other, and findings in them a little later."""
SHARE = 4
"""A file may take this part of the time that is left."""
SCOPE_NUMBERS = 8
LONGEST_NUMBER = 7
"""Digits of a line's number."""

LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".go": "go", ".rs": "rust", ".java": "java", ".c": "c", ".h": "cpp", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".cs": "csharp", ".rb": "ruby", ".php": "php", ".kt": "kotlin",
    ".kts": "kotlin", ".swift": "swift", ".scala": "scala", ".lua": "lua", ".sh": "bash", ".bash": "bash",
    ".ex": "elixir", ".exs": "elixir", ".hs": "haskell", ".sol": "solidity", ".ipynb": "python",
}  # fmt: skip
_BRACKETS = b"([{)]}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = {**dict.fromkeys(b"([{", 1), **dict.fromkeys(b")]}", -1)}


class Scope(NamedTuple):
    """A function or class.

    Attributes:
        from_row: the first row, from 0, for which it counts.
        to_row: the last one.
        first: its own first line, from 1.
        last: its own last line.
        begin: the column, from 0, where it begins in its first line.
        end: the column behind it in its last line.
        above: the first line from which on only its decorators, comments and blank lines stand above it.
        signature: its first words, up to the body.
        is_function: whether it is no class or module.
    """

    from_row: int
    to_row: int
    first: int
    last: int
    begin: int
    end: int
    above: int
    signature: str
    is_function: bool


class Syntax:
    """Parses files, each once; to be closed at the end.

    A file at which the helper has failed is not tried again.
    """

    def __init__(self, deadline: Deadline) -> None:
        """Start nothing yet.

        Args:
            deadline: of the review; when it is over, there are no answers.
        """
        self._deadline = deadline
        self._helper = Helper("syntax", "ast_grep_py")
        self._outlines: dict[int, tuple[Scope, ...]] = {}
        self._failed: set[int] = set()

    def expect(self, paths: Iterable[str]) -> None:
        """Have the helper get ready if one of these files is of a known language."""
        if any(language_of(path) for path in paths):
            self._helper.start()

    def scopes(self, path: str, text: str, line: int) -> list[Scope] | None:
        """Return the functions and classes around a line, outermost first; None if the file cannot be parsed."""
        outline = self.outline(path, text)
        return None if outline is None else [each for each in outline if each.from_row <= line - 1 <= each.to_row]

    def outline(self, path: str, text: str) -> tuple[Scope, ...] | None:
        """Return all functions and classes, an outer one before those in it; None if the file cannot be parsed."""
        key = hash((language_of(path), text))
        if key not in self._outlines:
            scopes = _scopes(self._ask("outline", path, text))
            if scopes is None:
                self._failed.add(key)
                return None
            while len(self._outlines) >= KEPT_OUTLINES:
                del self._outlines[next(iter(self._outlines))]
            self._outlines[key] = scopes
        return self._outlines[key]

    def headings(self, path: str, text: str) -> list[str] | None:
        """Return the signatures of all functions and classes of a file; None if it cannot be parsed."""
        outline = self.outline(path, text)
        return None if outline is None else [scope.signature for scope in sorted(outline, key=lambda each: each.first)]

    def in_strings(self, path: str, text: str, places: Sequence[tuple[int, int]]) -> list[bool]:
        """Tell for each place, a line (the first is 1) and a column, whether it is in a string.

        None of them is where the file cannot be parsed.
        """
        named = " ".join(f"{line}:{column}" for line, column in places)
        answer = self._ask("in_strings", path, text, named) if places else None
        if answer is None or len(answer) != 1 or len(answer[0]) != len(places):
            return [False] * len(places)
        return [digit == "1" for digit in answer[0]]

    def are_outside_of_strings(self, path: str, text: str, places: Sequence[tuple[int, int]]) -> bool:
        """Tell whether none of these places is in a string for certain: the file is parsed without an error."""
        named = " ".join(f"{line}:{column}" for line, column in places)
        return self._ask("outside", path, text, named) == ["0" * len(places)]

    def statement_lines(self, path: str, text: str, line: int) -> list[int] | None:
        """Return the numbers of the lines below a line that belong to its statement; None if that is not known.

        The bodies of functions, branches and the like are no part of it.
        """
        answer = self._ask("statement", path, text, f"{line}:0")
        numbers = answer[0].split() if answer is not None and len(answer) == 1 else None
        if numbers is None or not all(each.isdecimal() and len(each) <= LONGEST_NUMBER for each in numbers):
            return None
        last = text.count("\n") + 1
        return [number for each in numbers if line < (number := int(each)) <= last]

    def close(self) -> None:
        """End the helper."""
        self._helper.close()

    def _ask(self, what: str, path: str, text: str, places: str = "") -> list[str] | None:
        language = language_of(path)
        key = hash((language, text))
        left = self._deadline.remaining()
        if language is None or key in self._failed or left == 0 or not _is_tame(text):
            return None
        within = self._deadline.within(WALL_SECONDS if left is None else min(WALL_SECONDS, left / SHARE))
        answer = self._helper.ask((what, language, text, places), within)
        if answer is None:
            self._failed.add(key)
        return answer


def language_of(path: str) -> str | None:
    """Return the language of a file by its name's ending, as ast-grep calls it."""
    return LANGUAGES.get(PurePosixPath(path).suffix.lower())


def _is_tame(text: str) -> bool:
    """Whether a file is worth a try: in linear time, and no proof of anything."""
    if len(text) > LARGEST_PARSED or max(map(len, text.split("\n"))) > LONGEST_PARSED_LINE:
        return False
    brackets = text.encode("utf-8", "replace").translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) <= MOST_OPEN_BRACKETS


def _scopes(answer: list[str] | None) -> tuple[Scope, ...] | None:
    """The helper's answer, if it is an outline."""
    if answer is None or len(answer) % 2:
        return None
    found = []
    for numbers, signature in zip(answer[::2], answer[1::2], strict=True):
        words = numbers.split(" ")
        if len(words) != SCOPE_NUMBERS or not all(word.isdecimal() and len(word) <= LONGEST_NUMBER for word in words):
            return None
        from_row, to_row, first, last, begin, end, above, is_function = map(int, words)
        if not 0 < above <= first <= last:
            return None
        # A lone surrogate cannot be in a file that was decoded; from a broken helper it could.
        clean = signature[: LONGEST_HEADING + 1].encode("utf-8", "replace").decode()
        rows = (from_row, to_row, first, last, begin, end, above)
        found.append(Scope(*rows, shortened(clean), bool(is_function)))
    return tuple(found)


def shortened(text: str) -> str:
    """Cut a heading that is too long."""
    return text if len(text) <= LONGEST_HEADING else text[: LONGEST_HEADING - 1] + "…"
