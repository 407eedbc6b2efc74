"""Hunks that change nothing but line ends, trailing blanks and indentation, where those mean nothing.

A line may differ only at its two ends, so all that could give its blanks a meaning is a text that reaches over them: a
string, a template, a line that is continued. Whether there is one is asked of a parser, for the old file and the new.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.plan.syntax import language_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kilo_review.plan.syntax import Syntax
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Hunk

ONLY_BLANKS = "only line ends, trailing blanks or indentation"
LANGUAGES = frozenset({"c", "cpp", "csharp", "go", "java", "javascript", "kotlin", "rust", "swift", "typescript"})
"""In these, blanks at the ends of a line separate words, and every text that can reach over lines is a string."""
BLANKS = " \t\r"
CONTINUED = ("\\", "??/")
"""Ends of a line that goes on in the next one; the second is C's other way to write the first."""
DIRECTIVES = ("//go:", "//export", "//line", "// +build", "//+build")
"""Comments of Go that count only at the beginning of a line."""
DECEPTIVE = {
    "csharp": r"(?m)^[ \t\ufeff]*#",
    "go": r"(?i)\boutput:",
    "java": r"\\u",
    "rust": r"/\*[*!]",
}
"""What makes a compiler, or the tools beside it, read strings and comments otherwise than a parser does.

C# looks for no comment in what a directive leaves out; Java knows escapes outside of strings, such as for `*`; Go and
Rust run what stands in comments, and compare its output.
"""


class _Ends(NamedTuple):
    """The ends of a line that differ."""

    number: int
    is_first: bool
    is_last: bool


def only_blanks(change: Change, files: Mapping[str, FileChange], syntax: Syntax) -> Callable[[Hunk], bool]:
    """Return a test for hunks that change nothing but blanks that mean nothing.

    Args:
        change: with the contents of both sides; without them every hunk is a change.
        files: by their paths.
        syntax: what parses them.
    """
    is_known: dict[str, bool] = {}

    def test(hunk: Hunk) -> bool:
        if hunk.added != hunk.removed:
            return False
        if hunk.path not in is_known:
            is_known[hunk.path] = language_of(hunk.path) in LANGUAGES
        if not is_known[hunk.path] or (file := files[hunk.path]).status != "M":
            return False
        if not _is_alike(change.diff.data[hunk.begin : hunk.end]):
            return False
        old, new = change.old_content(file), change.new_content(file)
        if old is None or new is None or old.startswith(b"#!") or new.startswith(b"#!"):
            return False
        lines = change.diff.lines(hunk)
        before = [line for line in lines if line.kind in " -"]
        after = [line for line in lines if line.kind in " +"]
        pairs = [pair for pair in zip(before, after, strict=True) if pair[0].text != pair[1].text]
        own = [_Ends(one.old or 0, *_differ(one.text, other.text)) for one, other in pairs]
        its = [_Ends(other.new or 0, *_differ(one.text, other.text)) for one, other in pairs]
        is_free = _are_free(syntax, file.old_path or file.path, old, own)
        return is_free and _are_free(syntax, file.path, new, its)

    return test


def _is_alike(data: bytes) -> bool:
    """Tell whether both sides of a hunk have the same lines but for blanks at their ends; nothing is parsed."""
    rows = data.split(b"\n")[1:]
    blanks = BLANKS.encode()
    old, new = ([row[1:].strip(blanks) for row in rows if row[:1] in {b" ", sign}] for sign in (b"-", b"+"))
    return old == new


def _differ(one: str, other: str) -> tuple[bool, bool]:
    """Tell whether two lines differ where they begin, and where they end."""
    if not one.strip(BLANKS):
        return True, True
    begins = [text[: len(text) - len(text.lstrip(BLANKS))] for text in (one, other)]
    ends = [text[len(text.rstrip(BLANKS)) :] for text in (one, other)]
    return begins[0] != begins[1], ends[0] != ends[1]


def _are_free(syntax: Syntax, path: str, content: bytes, ends: Sequence[_Ends]) -> bool:
    """Tell whether blanks at these ends of lines mean nothing."""
    text = content.decode("utf-8", "replace")
    lines = ["", *text.split("\n")]
    language = language_of(path)
    if language not in LANGUAGES or not all(0 < each.number < len(lines) for each in ends):
        return False
    if language in DECEPTIVE and re.search(DECEPTIVE[language], text):
        return False
    if any(_is_continued(lines, each.number) for each in ends):
        return False
    places = [(each.number, 0) for each in ends if each.is_first]
    places += [(each.number, len(lines[each.number])) for each in ends if each.is_last]
    return syntax.are_outside_of_strings(path, text, places)


def _is_continued(lines: Sequence[str], number: int) -> bool:
    """Tell whether a line goes on in the next one, or the one before in it; or counts only where it begins."""
    own, before = lines[number].strip(BLANKS), lines[number - 1].strip(BLANKS)
    return own.endswith(CONTINUED) or before.endswith(CONTINUED) or own.startswith(DIRECTIVES)
