"""Patterns as in .gitignore, matched in time that grows no faster than path times pattern.

They are the repository's and the paths are the change's, so both may be made to keep a matcher busy. Regular
expressions and git's own matcher (before 2.40, and with several `**` thereafter) try every way to divide a path
among the stars, which takes forever. Here each part between two stars is searched once, from left to right:
since its length is fixed, its first place leaves the most room for the rest, and no other needs to be tried.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MOST_PATTERNS = 5000
"""In one list."""
LONGEST_PATTERN = 1024
"""Characters."""
MOST_WILDCARDS = 128
"""Stars, question marks and brackets of one pattern; two for each digit of a SHA-256."""
LONGEST_PATH = 4096
"""Characters of a path: PATH_MAX, so no worktree on Linux or macOS holds a longer one."""
MOST_NAMES, MOST_SLASHES = 256, 64
"""Names in a path, and slashes in a pattern: their product is what a pattern with `**` may cost."""
BETWEEN_LOOKS = 32
"""Patterns that are tried before the deadline is looked at once more."""
AS_IN_GIT = "Patterns are those of .gitignore"
CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": r"\ \t", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": r"\ -~", "punct": r"!-/:-@\[-`{-~", "space": r"\ \t\n\r\v\f",
    "upper": "A-Z", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
STAR, SLASH = "*/"
ANY = "[^/]"
MOST_KNOWN = 4096
"""Names of folders that are kept with what matches them."""
DEEPEST = 32
"""Folders of the path that was looked at last that are kept for the next one."""


def ignore_list(name: str, patterns: Sequence[str], deadline: Deadline | None = None) -> Callable[[str], str | None]:
    """Return a matcher that answers with the list's name where the last pattern that matches is not negated.

    Args:
        name: what the coverage and messages call the list.
        patterns: its lines.
        deadline: when matching must be over; the matcher raises a DeadlineError then.

    Raises:
        ConfigError: the list or one of its patterns is too large, or a pattern can match no path.
    """
    if len(patterns) > MOST_PATTERNS:
        raise ConfigError(
            f"{name} holds {len(patterns)} patterns; {MOST_PATTERNS} are the limit", hint="Name folders, not files"
        )
    parsed = [pattern for line in patterns if (pattern := _pattern(name, line)) is not None]
    if not parsed:
        return lambda _path: None
    matcher = _Matcher(parsed, deadline or Deadline())
    return lambda path: name if matcher.excludes(path) else None


def is_within_limits(path: str) -> bool:
    """Whether a path is short enough to be held against patterns; of those in a worktree each is."""
    return len(path) <= LONGEST_PATH and path.count(SLASH) < MOST_NAMES


# Matching


class _Piece:
    """Characters of one name between two stars, each of which stands for exactly one."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Compile nothing yet: of a long list most patterns are never needed.

        Args:
            tokens: regular expressions, each for one character.
        """
        self.width = len(tokens)
        is_literal = not any(token.startswith("[") for token in tokens)
        self.text = "".join(token[-1] for token in tokens) if is_literal else None
        self._expression: str | re.Pattern[str] = "".join(tokens)

    @property
    def _compiled(self) -> re.Pattern[str]:
        if isinstance(self._expression, str):
            self._expression = re.compile(self._expression)
        return self._expression

    def is_at(self, name: str, begin: int) -> bool:
        """Whether a name has it there."""
        if self.text is not None:
            return name.startswith(self.text, begin)
        return self._compiled.match(name, begin) is not None

    def end_of_first(self, name: str, begin: int, end: int) -> int:
        """Where it ends for the first time within these bounds, or -1."""
        if self.text is not None:
            return found + self.width if (found := name.find(self.text, begin, end)) >= 0 else -1
        match = self._compiled.search(name, begin, end)
        return match.end() if match else -1


class _Segment:
    """What one name of a path, between two slashes, must look like."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        """Of the pieces between the stars, in their order; with one piece there is no star."""
        self._head, self._middle, self._tail = pieces[0], pieces[1:-1], pieces[-1]
        self._literal = self._head.text if len(pieces) == 1 else None
        self._is_fixed = len(pieces) == 1

    def matches(self, name: str) -> bool:
        """Whether a name looks so."""
        if self._literal is not None:
            return name == self._literal
        tail = len(name) - self._tail.width
        if self._is_fixed:
            return tail == 0 and self._head.is_at(name, 0)
        at = self._head.width
        if at > tail or not self._tail.is_at(name, tail) or not self._head.is_at(name, 0):
            return False
        for piece in self._middle:
            at = piece.end_of_first(name, at, tail)
            if at < 0:
                return False
        return True


class _Pattern(NamedTuple):
    """One line of a list.

    Attributes:
        is_negated: it takes back what an earlier one matches.
        is_for_folders: it matches folders only.
        segments: of a path from the top; None stands for any number of names (`**`).
        is_name: there is one segment, for names at any depth.
        doubles: a bit for each segment that is `**`.
    """

    is_negated: bool
    is_for_folders: bool
    segments: tuple[_Segment | None, ...]
    is_name: bool
    doubles: int

    @property
    def start(self) -> int:
        """Bits of the segments that the first name of a path may meet; see `after`."""
        return self._reached(1)

    def after(self, state: int, name: str) -> int:
        """Bits of the segments that the next name may meet; the bit behind the last one says that all were met.

        A `**` that was reached may take in any names to come, so of what stands before it nothing matters any more.
        """
        found = 0
        while state:
            bit = state & -state
            state ^= bit
            index = bit.bit_length() - 1
            if index == len(self.segments):
                continue
            segment = self.segments[index]
            if segment is None:
                found |= bit if index + 1 < len(self.segments) else bit | bit << 1
            elif segment.matches(name):
                found |= bit << 1
        return self._reached(found)

    def is_met(self, state: int) -> bool:
        """Whether all segments were met."""
        return bool(state >> len(self.segments))

    def _reached(self, state: int) -> int:
        doubles = state & self.doubles
        if not doubles:
            return state
        last = 1 << (doubles.bit_length() - 1)
        if not last >> (len(self.segments) - 1):  # it may stand for no name at all, but not at the end
            state |= last << 1
        return state & -last


class _Folder(NamedTuple):
    """What is known of one folder of a path.

    Attributes:
        name: its own.
        is_excluded: whether it matches.
        states: the patterns that may match below it, the last one first, each with its state.
    """

    name: str
    is_excluded: bool
    states: tuple[tuple[int, int], ...]


class _Matcher:
    """Looks at a path name by name, as git does: nothing below a folder that matches can be taken back."""

    def __init__(self, patterns: Sequence[_Pattern], deadline: Deadline) -> None:
        self._patterns = patterns
        self._deadline = deadline
        backwards = [(index, pattern) for index, pattern in enumerate(patterns)][::-1]
        names = [(index, pattern) for index, pattern in backwards if pattern.is_name]
        self._of_folders = [(index, segment.matches) for index, each in names if (segment := each.segments[0])]
        of_files = {index for index, each in names if not each.is_for_folders}
        self._of_files = [each for each in self._of_folders if each[0] in of_files]
        self._known: dict[str, int] = {}
        """Which of the patterns for names is the last one to match a folder."""
        top = tuple((index, pattern.start) for index, pattern in backwards if not pattern.is_name)
        self._last: tuple[_Folder, ...] = (_Folder("", is_excluded=False, states=top),)
        """The folders of the path that was looked at last: the next one mostly lies beside it."""

    def excludes(self, path: str) -> bool:
        """Whether a file matches, or a folder that it lies in.

        Raises:
            DeadlineError: the time is used up.
        """
        self._look()
        *above, own = path.split(SLASH)
        shared = 0
        for known, name in zip(self._last[1:], above, strict=False):
            if known.name != name:
                break
            shared += 1
        walked = list(self._last[: shared + 1])
        folder = walked[-1]
        for name in above[shared:]:
            if folder.is_excluded:
                break
            folder = self._below(folder, name)
            if len(walked) < DEEPEST:
                walked.append(folder)
        self._last = tuple(walked)
        return folder.is_excluded or self._verdict(folder, own, is_folder=False)[0]

    def _below(self, folder: _Folder, name: str) -> _Folder:
        is_excluded, states = self._verdict(folder, name, is_folder=True)
        return _Folder(name, is_excluded, states)

    def _verdict(self, folder: _Folder, name: str, *, is_folder: bool) -> tuple[bool, tuple[tuple[int, int], ...]]:
        """Whether the last pattern that matches this name in that folder excludes it, and what may match below it."""
        last = -1
        states: list[tuple[int, int]] = []
        for count, (index, state) in enumerate(folder.states):
            if not count % BETWEEN_LOOKS:
                self._look()
            pattern = self._patterns[index]
            if found := pattern.after(state, name):
                states.append((index, found))
                if pattern.is_met(found) and (is_folder or not pattern.is_for_folders):
                    last = max(last, index)
        last = max(last, self._folder(name) if is_folder else self._last_of(self._of_files, name))
        return last >= 0 and not self._patterns[last].is_negated, tuple(states)

    def _folder(self, name: str) -> int:
        """Which of the patterns for names is the last one to match a folder; the same few names come often."""
        if name not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[name] = self._last_of(self._of_folders, name)
        return self._known[name]

    def _last_of(self, names: Sequence[tuple[int, Callable[[str], bool]]], name: str) -> int:
        """The number of the first of these that matches a name, or -1."""
        for count, (index, matches) in enumerate(names, 1):
            if matches(name):
                return index
            if not count % BETWEEN_LOOKS:
                self._look()
        return -1

    def _look(self) -> None:
        self._deadline.cap(1.0)


# Reading


def _pattern(origin: str, line: str) -> _Pattern | None:
    """One line, read as git does (`parse_path_pattern`); None for a comment or a blank one."""
    text = _without_spaces(line)
    if not text or text.startswith("#"):
        return None
    if len(text) > LONGEST_PATTERN:
        raise ConfigError(
            f"{origin} holds a pattern of {len(text)} characters; {LONGEST_PATTERN} are the limit", hint=AS_IN_GIT
        )
    if sum(map(text.count, "*?[")) > MOST_WILDCARDS:
        raise ConfigError(
            f"{origin} holds a pattern with more than {MOST_WILDCARDS} wildcards: {_shown(text)}", hint=AS_IN_GIT
        )
    if text.count(SLASH) > MOST_SLASHES:
        raise ConfigError(
            f"{origin} holds a pattern with more than {MOST_SLASHES} slashes: {_shown(text)}", hint=AS_IN_GIT
        )
    body = text.removeprefix("!")
    is_for_folders = body.endswith("/")
    body = body[:-1] if is_for_folders else body
    is_name = "/" not in body
    try:
        segments = tuple(_segments(body.removeprefix("/"), is_name=is_name))
    except ValueError as error:
        raise ConfigError(
            f"{origin} holds a pattern that can match no path: {_shown(text)}: {error}", hint=AS_IN_GIT
        ) from None
    if len(segments) == 2 and segments[0] is None and segments[1] is not None:  # noqa: PLR2004  as `**/name` is `name`
        segments, is_name = segments[1:], True
    doubles = sum(1 << index for index, segment in enumerate(segments) if segment is None)
    return _Pattern(text.startswith("!"), is_for_folders, segments, is_name, doubles)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:60]}…")  # noqa: PLR2004


def _without_spaces(line: str) -> str:
    """A line without blanks at its end, unless a backslash stands before them."""
    bare = line.rstrip(" ")
    is_quoted = (len(bare) - len(bare.rstrip("\\"))) % 2 and len(bare) < len(line)
    return f"{bare} " if is_quoted else bare


def _segments(text: str, *, is_name: bool) -> Iterator[_Segment | None]:
    """The segments of a pattern, those that are `**` as None.

    Raises:
        ValueError: it can match no path.
    """
    names: list[list[str]] = [[]]
    for token in _tokens(text):
        if token == SLASH:
            names.append([])
        else:
            names[-1].append(token)
    was_double = False
    for tokens in names:
        if not tokens:
            raise ValueError("a name in it is empty")
        if set(tokens) == {re.escape(".")} and len(tokens) <= len(".."):
            raise ValueError("paths begin at the top of the repository, and hold neither . nor ..")
        is_double = not is_name and len(tokens) > 1 and set(tokens) == {STAR}
        if not (is_double and was_double):
            yield None if is_double else _segment(tokens)
        was_double = is_double


def _segment(tokens: Sequence[str]) -> _Segment:
    pieces: list[list[str]] = [[]]
    for token in tokens:
        if token == STAR:
            pieces.append([])
        else:
            pieces[-1].append(token)
    between = [piece for piece in pieces[1:-1] if piece]
    return _Segment([_Piece(piece) for piece in (pieces[0], *between, *(pieces[-1:] if len(pieces) > 1 else ()))])


def _tokens(text: str) -> Iterator[str]:
    """Stars, slashes, and for every other character a regular expression."""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "[":
            token, at = _bracket(text, at)
            yield token
        elif char == "\\":
            if at == len(text):
                raise ValueError("it ends with a backslash")
            yield SLASH if text[at] == SLASH else re.escape(text[at])
            at += 1
        else:
            yield char if char in {STAR, SLASH} else ANY if char == "?" else re.escape(char)


def _bracket(text: str, at: int) -> tuple[str, int]:
    """The expression of a set of characters whose bracket is open, and where it ends; as git reads it (`dowild`)."""
    is_negated = text[at : at + 1] in {"!", "^"}
    at += is_negated
    first, members, before = at, "", ""
    while at == first or text[at : at + 1] != "]":
        if named := re.compile(r"\[:([^\]]*):\]").match(text, at):
            if named[1] not in CLASSES:
                raise ValueError(f"[:{named[1]}:] is no class of characters")
            members, before, at = members + CLASSES[named[1]], "", named.end()
        elif text[at : at + 1] == "-" and before and text[at + 1 : at + 2] not in {"", "]"}:
            char, at = _member(text, at + 1)
            members += f"{re.escape(before)}-{re.escape(char)}" if before <= char else ""
            before = ""
        else:
            before, at = _member(text, at)
            members += re.escape(before)
    return f"[{'^' if is_negated else ''}{members}]", at + 1


def _member(text: str, at: int) -> tuple[str, int]:
    """A character between brackets, which a backslash may quote, and where the next one is."""
    at += text[at : at + 1] == "\\"
    if at >= len(text):
        raise ValueError("its bracket [ is not closed")
    return text[at], at + 1
