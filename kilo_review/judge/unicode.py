"""Trojan Source in added lines, found by the program itself: no model is asked, and none needs to be there.

A line of ASCII costs one look. See docs/unicode.md for what is found, and what on purpose is not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.core.deadline import Deadline
from kilo_review.core.finding import Category, Finding
from kilo_review.judge import bidi, invisible, lookalike
from kilo_review.judge.codepoints import BIDI, INVISIBLE, PRIVATE, SPACES
from kilo_review.judge.places import Page
from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.judge.codepoints import Deceit
    from kilo_review.judge.places import Row
    from kilo_review.source.diff import Line

NO_LIMIT = Deadline()
_UNUSUAL = f"[{BIDI}{INVISIBLE}{SPACES}{PRIVATE}]"
_LETTERS = f"[{lookalike.LETTERS}]"


def deceptive(path: str, lines: Sequence[Line], symbol: str = "") -> list[Finding]:
    """All that `search` finds."""
    return list(search(path, lines, symbol))


def search(
    path: str, lines: Sequence[Line], symbol: str = "", deadline: Deadline = NO_LIMIT
) -> Iterator[Finding]:  # fmt: skip
    """Find characters in added lines that show a reader something else than the compiler gets.

    Args:
        path: the file's path; its ending tells programs from prose and data.
        lines: lines of a hunk. Those that are not added serve as context.
        symbol: the enclosing function or class heading, or "".
        deadline: when the search must be over.

    Yields:
        For each line at most one finding of each kind of deceit, in order.

    Raises:
        DeadlineError: the time is used up; what was found so far has been yielded.
    """
    suspects = [index for index, line in enumerate(lines) if line.kind == "+" and not line.text.isascii()]
    page, names = Page(path, lines), lookalike.Names(lines, deadline)
    for index in deadline.paced(suspects):
        for deceit in _deceits(page.row(index), names):
            yield _finding(path, lines[index], deceit, symbol)


def _deceits(row: Row, names: lookalike.Names) -> Iterator[Deceit]:
    if re.search(_UNUSUAL, row.text):
        for judge in (bidi.reordering, invisible.unseen, invisible.wide_spaces, invisible.private_use):
            if found := judge(row):
                yield found
    if re.search(_LETTERS, row.text) and (found := lookalike.impostor(row, names)):
        yield found


def _finding(path: str, line: Line, deceit: Deceit, symbol: str) -> Finding:
    assert line.new is not None
    return Finding(
        path=path,
        line=line.new,
        end_line=line.new,
        severity=deceit.severity,
        category=Category.UNICODE,
        title=deceit.title,
        message=deceit.message,
        evidence=printable(line.text),
        symbol=printable(symbol),
    )
