"""Outcome and diff → files, their hunks with their coverage, and the findings that belong to each."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.source.diff import Diff, FileChange, Hunk

Row = TypeVar("Row", "Entry", "Finding")


class Block(NamedTuple):
    """A hunk, its row of the coverage, or both.

    Attributes:
        hunk: None where the change itself is not at hand, or the row is about a file without lines.
        entry: None where no row speaks of just this hunk, as when several commits are reported together.
        findings: in the order of their lines.
    """

    hunk: Hunk | None
    entry: Entry | None
    findings: list[Finding]

    @property
    def start(self) -> int:
        """First new-side line."""
        return self.hunk.start if self.hunk else self.entry.start if self.entry else 0

    @property
    def last(self) -> int:
        """Last new-side line."""
        return self.hunk.last if self.hunk else self.entry.end if self.entry else 0


class File(NamedTuple):
    """One file of the page.

    Attributes:
        path: its new path.
        change: None where the change itself is not at hand.
        blocks: in the order of their lines.
        loose: findings that belong to none of them.
    """

    path: str
    change: FileChange | None
    blocks: list[Block]
    loose: list[Finding]

    @property
    def findings(self) -> list[Finding]:
        """All of them, in the order of the page."""
        return [*self.loose, *(finding for block in self.blocks for finding in block.findings)]


def arrange(outcome: Outcome, diff: Diff | None) -> list[File]:
    """Each file that the outcome speaks of, in the order of the diff, then of their names."""
    entries, findings = _by_path(outcome.entries), _by_path(outcome.findings)
    changes = {change.path: change for change in diff.files} if diff else {}
    known = entries.keys() | findings.keys()
    paths = [*(path for path in changes if path in known), *sorted(known - changes.keys())]
    return [_file(path, changes.get(path), entries.get(path, []), findings.get(path, [])) for path in paths]


def _by_path(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.path].append(row)
    return grouped


def _file(path: str, change: FileChange | None, entries: Sequence[Entry], findings: Sequence[Finding]) -> File:
    blocks = _blocks(change, entries)
    shown, rest = [block for block in blocks if block.hunk], [block for block in blocks if not block.hunk]
    loose: list[Finding] = []
    for finding in sorted(findings, key=lambda each: (each.line, each.severity.rank)):
        home = _home(shown, finding.line) or _home(rest, finding.line)
        (home.findings if home else loose).append(finding)
    return File(path, change, blocks, loose)


def _blocks(change: FileChange | None, entries: Sequence[Entry]) -> list[Block]:
    waiting: dict[tuple[int, ...], deque[Entry]] = defaultdict(deque)
    for entry in entries:
        waiting[entry.start, entry.end, entry.added, entry.removed].append(entry)
    blocks = []
    for hunk in change.hunks if change else ():
        rows = waiting[hunk.start, hunk.last, hunk.added, hunk.removed] or _of_a_part(waiting, hunk)
        blocks.append(Block(hunk, rows.popleft() if rows else None, []))
    blocks += [Block(None, entry, []) for rows in waiting.values() for entry in rows]
    return sorted(blocks, key=lambda block: block.start)


def _of_a_part(waiting: Mapping[tuple[int, ...], deque[Entry]], hunk: Hunk) -> deque[Entry]:
    """Return the row of a hunk of which some lines were left out: they have rows of their own."""
    for (start, end, added, removed), rows in waiting.items():
        if rows and (start, end) == (hunk.start, hunk.last) and added <= hunk.added and removed <= hunk.removed:
            return rows
    return deque()


def _home(blocks: Sequence[Block], line: int) -> Block | None:
    """The block that has this line. Where lines are only removed, the line after the gap counts too."""
    at = bisect_right(blocks, line, key=lambda block: block.start) - 1
    return blocks[at] if at >= 0 and line <= blocks[at].last + 1 else None
