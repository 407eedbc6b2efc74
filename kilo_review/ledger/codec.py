"""Findings and coverage rows as text, without what changes when code moves: paths of files, numbers of lines."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, State

if TYPE_CHECKING:
    import types
    from collections.abc import Iterable

# Not `blocking`: whether a finding blocks is decided anew each time.
FINDING_FIELDS = (
    *("path", "line", "end_line", "severity", "category", "title", "message", "evidence", "symbol"),
    *("status", "suggestion", "reason", "rule", "is_removed", "doubt", "rest"),
)
ADDED_LATER = 3
"""Of these fields, counted from the end: rows of an earlier version lack them."""

KINDS: dict[str, type | types.UnionType] = {
    **dict.fromkeys(FINDING_FIELDS, str),
    **dict.fromkeys(("line", "end_line"), int),
    **dict.fromkeys(("suggestion", "reason"), str | None),
    "is_removed": bool,
}
ENTRY_KINDS = (str, int, int, int, int, str, str | None, bool, bool)
"""Of a row of the coverage; earlier versions wrote it without the last one."""
UNREADABLE = (ValueError, TypeError, KeyError, RecursionError, zlib.error)
"""What decoding raises for a row that this version did not write."""


def findings_to_text(findings: Iterable[Finding], *, begin: int = 0) -> str:
    """Findings as JSON; lines are counted from `begin`, the first line of their hunk."""
    return json.dumps([
        [getattr(_moved(finding, -begin), name) for name in FINDING_FIELDS] for finding in findings
    ])  # fmt: skip


def findings_from_text(text: str, *, begin: int = 0) -> list[Finding]:
    """The same findings, in a hunk that now begins at the line `begin`."""
    return [_moved(_finding(row), begin) for row in json.loads(text)]


def _finding(row: list[Any]) -> Finding:
    is_of_now = len(row) == len(FINDING_FIELDS)
    names = FINDING_FIELDS if is_of_now else FINDING_FIELDS[:-ADDED_LATER]
    fields = dict(zip(names, row, strict=True))
    _check(fields.values(), [KINDS[name] for name in names])
    fields["severity"] = Severity(fields["severity"])
    fields["category"] = Category(fields["category"])
    fields["status"] = Status(fields["status"])
    return Finding(**fields)


def _moved(finding: Finding, lines: int) -> Finding:
    return finding._replace(line=finding.line + lines, end_line=finding.end_line + lines)


def entries_to_blob(entries: Iterable[Entry]) -> bytes:
    """Coverage rows, compressed: a large change has thousands of them."""
    rows = [
        [
            *(entry.path, entry.start, entry.end, entry.added, entry.removed),
            *(entry.state, entry.reason, entry.is_hunk, entry.is_final),
        ]
        for entry in entries
    ]
    return zlib.compress(json.dumps(rows).encode(), 1)


def entries_from_blob(data: bytes) -> list[Entry]:
    """The same rows."""
    return [_entry(*row) for row in json.loads(zlib.decompress(data))]


def _entry(*values: Any) -> Entry:  # noqa: ANN401  whatever stands in the row
    is_of_now = len(values) == len(ENTRY_KINDS)
    _check(values, ENTRY_KINDS if is_of_now else ENTRY_KINDS[:-1])
    path, start, end, added, removed, state, reason, *flags = values
    return Entry(path, start, end, added, removed, State(state), reason, *flags)


def _check(values: Iterable[object], kinds: Iterable[type | types.UnionType]) -> None:
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise ValueError("a row has a value of another kind")
