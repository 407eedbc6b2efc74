"""A deleted file: a model is told in one line that it is gone, and what it held, instead of being shown every line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.sanitize.terminal import printable
from kilo_review.source.diff import Line

if TYPE_CHECKING:
    from kilo_review.plan.syntax import Syntax
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange

DELETED = "[this file is deleted with all of its "
"""What the line begins with."""
TOLD = "a deleted file, told in one line"
MOST_HEADINGS = 20
LONGEST_HEADINGS = 800
"""Characters of all headings together."""
TYPICAL_BYTES = 300
"""Of the line, for an estimate."""


def is_told(file: FileChange) -> bool:
    """Tell whether a file is told in one line."""
    return file.status == "D" and bool(file.hunks)


def lines_of(change: Change, file: FileChange, syntax: Syntax) -> list[Line]:
    """Return the one line, in the place of all that the file had."""
    content = change.old_content(file)
    if content is None:  # a patch
        lines = (line.text for hunk in file.hunks for line in change.diff.lines(hunk))
        content = "\n".join(lines).encode("utf-8", "surrogateescape")
    return [Line("-", 1, None, told(file.path, content, file.removed, syntax))]


def is_back(evidence: str, path: str, content: bytes, syntax: Syntax) -> bool:
    """Tell whether a file has all again that its deletion, quoted as evidence, took away."""
    removed = content.count(b"\n") + (not content.endswith(b"\n"))
    return evidence == printable(told(path, content, removed, syntax))


def told(path: str, content: bytes, removed: int, syntax: Syntax) -> str:
    """Return the line that tells of a deleted file."""
    headings = syntax.headings(path, content.decode("utf-8", "replace")) or []
    return f"{DELETED}{removed} lines{_held(headings)}]"


def _held(headings: list[str]) -> str:
    """Return the functions and classes that it had, as far as there is room to name them."""
    named: list[str] = []
    for heading in headings[:MOST_HEADINGS]:
        if sum(map(len, named)) + len(heading) > LONGEST_HEADINGS:
            break
        named.append(heading)
    if not named:
        return ""
    more = f"; and {len(headings) - len(named)} more" if len(named) < len(headings) else ""
    return f"; it had: {'; '.join(named)}{more}"
