"""GitLab's Code Quality report: what counts, and what nobody looked at (docs/formats.md)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from kilo_review.core.finding import Status, digest
from kilo_review.report.rows import json_rows
from kilo_review.report.wording import NOT_REVIEWED, claim, gap, gaps, general_gaps
from kilo_review.sanitize.terminal import json_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry
    from kilo_review.report.view import View

REPOSITORY = "."
"""Where nothing more exact is known: a place there must be, or GitLab reads no further."""


def render(view: View) -> str:
    """An array with an entry a line."""
    rows = [_finding(finding, view.mask) for finding in view.outcome.shown]
    rows += [_entry(entry) for entry in gaps(view.outcome)]
    rows += [_row(text, NOT_REVIEWED, digest(NOT_REVIEWED), "info", REPOSITORY) for text in general_gaps(view.outcome)]
    return json_rows(_told_apart(rows))


def _finding(finding: Finding, mask: Callable[[str], str]) -> dict[str, Any]:
    severity = "blocker" if finding.blocking else finding.severity.value
    return _row(
        claim(finding, mask),
        finding.category.value,
        finding.fingerprint,
        severity if finding.status is Status.ACTIVE else "info",
        finding.path,
        (finding.line, finding.end_line),
    )


def _entry(entry: Entry) -> dict[str, Any]:
    """Neither lines nor the reason are in the fingerprint: it is the same gap if the server fails in another way."""
    fingerprint = digest(NOT_REVIEWED, entry.path)
    return _row(gap(entry), NOT_REVIEWED, fingerprint, "info", entry.path, (entry.start, entry.end))


def _row(
    text: str, check: str, fingerprint: str, severity: str, path: str, lines: tuple[int, int] = (1, 1)
) -> dict[str, Any]:
    begin = max(1, lines[0])
    return {
        "description": text,
        "check_name": check,
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": json_path(path), "lines": {"begin": begin, "end": max(begin, lines[1])}},
    }


def _told_apart(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """GitLab keeps one entry of each fingerprint; the second of the same code in the same function gets its own."""
    seen: Counter[str] = Counter()
    apart = []
    for row in rows:
        fingerprint = row["fingerprint"]
        times = seen[fingerprint]
        seen[fingerprint] += 1
        apart.append(row | {"fingerprint": digest(fingerprint, str(times))} if times else row)
    return apart
