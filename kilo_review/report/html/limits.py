"""How many lines of each hunk a page shows, so that a browser opens any of them in about a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.outcome import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.report.html.arrange import File
    from kilo_review.source.diff import Hunk

MOST_OF_A_FILE = 1_000
MOST_OF_A_SKIPPED_FILE = 100
"""Lock files and the like; nobody reads them here."""
MOST_OF_ALL = 20_000


def allowances(files: Sequence[File]) -> list[list[int]]:
    """For each file, how many lines of each of its blocks are shown.

    Files with findings come first, then those that were not skipped: what is left out is what is wanted least.
    """
    left = MOST_OF_ALL
    allowed: list[list[int]] = [[] for _ in files]
    for number in sorted(range(len(files)), key=lambda each: (not files[each].findings, is_skipped(files[each]))):
        most = min(left, MOST_OF_A_SKIPPED_FILE if is_skipped(files[number]) else MOST_OF_A_FILE)
        for block in files[number].blocks:
            shown = min(most, length(block.hunk) if block.hunk else 0)
            allowed[number].append(shown)
            most -= shown
            left -= shown
    return allowed


def length(hunk: Hunk) -> int:
    """Lines of the diff."""
    return hunk.old_length + hunk.added


def is_skipped(file: File) -> bool:
    """Whether all of it was left out on purpose."""
    rows = [block.entry for block in file.blocks]
    return bool(rows) and all(row is not None and row.state is State.SKIPPED for row in rows)
