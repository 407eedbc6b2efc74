"""The Reviewdog Diagnostic Format: what reviewdog reads with `-f=rdjson` (docs/formats.md).

Reviewdog posts whatever it gets, so it gets what counts, and what nobody looked at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kilo_review.core.finding import Severity, Status
from kilo_review.report.fixes import Fixes
from kilo_review.report.rows import json_object, json_rows
from kilo_review.report.wording import NOT_REVIEWED, TOOL, at_a_glance, claim, gap, gaps, general_gaps
from kilo_review.sanitize.markdown import code_span, for_markdown
from kilo_review.sanitize.terminal import escaped_path, json_path
from kilo_review.sanitize.workflow_commands import for_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry
    from kilo_review.report.view import View

SEVERITIES = {Severity.CRITICAL: "ERROR", Severity.MAJOR: "WARNING", Severity.MINOR: "INFO"}
ORDER = ("ERROR", "WARNING", "INFO")
REPOSITORY = "."
"""Where nothing more exact is known: without any place reviewdog crashes."""


def render(view: View) -> str:
    """One result with a diagnostic a line."""
    fixes = Fixes(view)
    rows = [_finding(finding, fixes, view.mask) for finding in view.outcome.shown]
    rows += [_entry(entry) for entry in gaps(view.outcome)]
    rows += [_row(text, {"path": REPOSITORY}, "WARNING", NOT_REVIEWED, text) for text in general_gaps(view.outcome)]
    return json_object(
        source=json.dumps({"name": TOOL}),
        severity=json.dumps(min((row["severity"] for row in rows), key=ORDER.index, default="INFO")),
        diagnostics=json_rows(rows),
    )


def _finding(finding: Finding, fixes: Fixes, mask: Callable[[str], str]) -> dict[str, Any]:
    severity = SEVERITIES[finding.severity] if finding.status is Status.ACTIVE else "INFO"
    place = _place(finding.path, finding.line, finding.end_line)
    row = _row(claim(finding, mask), place, severity, finding.category.value, at_a_glance(finding, mask))
    fix = fixes.of(finding)
    return row | {"suggestions": [{"range": place["range"], "text": fix}]} if fix else row


def _entry(entry: Entry) -> dict[str, Any]:
    lines = f":{entry.start}-{entry.end}" if entry.start else ""
    shown = f"{escaped_path(entry.path)}{lines}: {gap(entry)}"
    return _row(gap(entry), _place(entry.path, entry.start, entry.end), "WARNING", NOT_REVIEWED, shown)


def _row(text: str, place: dict[str, Any], severity: str, code: str, original: str) -> dict[str, Any]:
    return {
        "message": _inert(text),
        "location": place,
        "severity": severity,
        "code": {"value": code},
        "original_output": for_log(original),
    }


def _place(path: str, first: int, last: int) -> dict[str, Any]:
    """Whole lines; the file itself where the new one has no such line."""
    place: dict[str, Any] = {"path": json_path(path)}
    if first:
        place["range"] = {"start": {"line": first}} | ({"end": {"line": last}} if last > first else {})
    return place


def _inert(text: str) -> str:
    """Prose as it is; what a comment's markdown or a log would make something of, as code.

    Reviewdog shows a message here as markdown and there as plain text; escapes would be seen in the latter.
    """
    line = for_log(text)
    return line if for_markdown(line) == line else code_span(line)
