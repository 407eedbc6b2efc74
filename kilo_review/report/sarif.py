"""SARIF 2.1.0, for code scanning on GitHub and for editors (docs/formats.md).

Nothing in it varies between two runs with the same outcome. Columns are not known; a region is whole lines.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kilo_review import __version__
from kilo_review.core.finding import Category, Severity, Status
from kilo_review.core.outcome import State
from kilo_review.report import upload
from kilo_review.report.fixes import Fixes
from kilo_review.report.rows import json_array, json_object, json_rows
from kilo_review.report.wording import NOT_REVIEWED, TOOL, claim, gap, gaps, general_gaps
from kilo_review.sanitize.terminal import for_terminal, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.report.view import View

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "kiloReview/v1"
"""Not GitHub's own name for such a thing: its upload action fills that in, and complains about other values."""
ROOT = "%SRCROOT%"
LEVELS = {Severity.CRITICAL: "error", Severity.MAJOR: "warning", Severity.MINOR: "note"}
DOUBTFUL = frozenset({Status.UNVERIFIED, Status.UNANCHORED})
"""They are shown and never block."""
SUPPRESSED = frozenset({Status.SUPPRESSED, Status.BASELINE, Status.DISMISSED, Status.REFUTED})
BY_A_COMMENT = "ignored in line "
"""How the reason of a finding begins that a comment in the code takes out of the count."""
RULES = {
    Category.BUG: ("Bug", "Code that goes wrong: a wrong result, a crash, lost data."),
    Category.SECURITY: ("Security", "Code that lets somebody do or see what they must not."),
    Category.PERFORMANCE: ("Performance", "Code that takes more time or memory than it need."),
    Category.CONCURRENCY: ("Concurrency", "Code that goes wrong when it runs beside other code."),
    Category.RESOURCE: ("Resource", "A file, a connection, a lock or memory that is not given back."),
    Category.API: ("Api", "An interface that is used or changed against its contract."),
    Category.MAINTAINABILITY: ("Maintainability", "Code that will mislead whoever changes it next."),
    Category.UNICODE: ("Unicode", "Characters that show a reader something else than a compiler."),
}
NOTICES = {
    NOT_REVIEWED: "A part of the change that nobody looked at, and why.",
    "skipped": "A part of the change that is left out on purpose, and why.",
    "planned": "A part of the change that would be reviewed.",
    "incomplete": "Why the review, or this report of it, is not complete.",
    "remark": "A remark on the run as a whole.",
}
_NAMES = {name: index for index, name in enumerate(NOTICES)}
_INDEXES = {category: index for index, category in enumerate(RULES)}


def render(view: View) -> str:
    """One log with one run; a result or a notification a line."""
    outcome, fixes = view.outcome, Fixes(view)
    findings = sorted(outcome.findings, key=lambda each: (each.status in SUPPRESSED, each.severity.rank))
    rows = [json.dumps(_result(finding, fixes, view.mask)) for finding in findings]
    notices = _notices(outcome)
    kept = upload.fitting(rows, json.dumps(notices))
    notices += [_notice("incomplete", text, "warning") for text in upload.shortfall(len(rows), kept)]
    run = json_object(
        tool=json.dumps({"driver": _driver()}),
        invocations=f"[{_invocation(view, notices)}]",
        originalUriBaseIds=json.dumps({ROOT: {"description": _message("The top folder of the repository.")}}),
        columnKind=json.dumps("unicodeCodePoints"),
        results=json_array(rows[:kept]),
        properties=json.dumps(
            {"outcome": outcome.word, "base": outcome.target.base, "head": outcome.target.head},
        ),
    )
    return json_object(**{"$schema": json.dumps(SCHEMA)}, version=json.dumps("2.1.0"), runs=f"[{run}]")


def _driver() -> dict[str, Any]:
    return {
        "name": TOOL,
        "version": __version__,
        "rules": [
            {
                "id": category.value,
                "name": name,
                "shortDescription": {"text": text},
                "fullDescription": {"text": text},
                "help": {"text": f"{text} `{TOOL} explain ID` asks for the why of one finding, and for a fix."},
                "defaultConfiguration": {"level": "warning"},
                "properties": {"tags": [category.value]},
            }
            for category, (name, text) in RULES.items()
        ],
        "notifications": [{"id": name, "shortDescription": {"text": text}} for name, text in NOTICES.items()],
    }


def _invocation(view: View, notices: list[dict[str, Any]]) -> str:
    outcome = view.outcome
    return json_object(
        executionSuccessful=json.dumps(outcome.word in {"clean", "findings"} and not outcome.interrupted),
        exitCode=json.dumps(int(view.exit_code)),
        toolExecutionNotifications=json_rows(notices),
    )


# Findings


def _result(finding: Finding, fixes: Fixes, mask: Callable[[str], str]) -> dict[str, Any]:
    fix = fixes.of(finding)
    return {
        "ruleId": finding.category.value,
        "ruleIndex": _INDEXES[finding.category],
        "level": "note" if finding.status in DOUBTFUL else LEVELS[finding.severity],
        "message": _message(claim(finding, mask)),
        "locations": [_location(finding.path, finding.line, finding.end_line, _snippet(finding, mask))],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        # All results of a run must have this list, or none; GitHub shows suppressed ones all the same.
        "suppressions": _suppressions(finding, mask),
        **({"fixes": [_fix(finding, fix)]} if fix else {}),
        "properties": {
            "severity": finding.severity.value,
            "status": finding.status.value,
            "blocking": finding.blocking,
        },
    }


def _snippet(finding: Finding, mask: Callable[[str], str]) -> str:
    """The code itself; not the model's quote of what is not there."""
    return "" if finding.status is Status.UNANCHORED else for_terminal(mask(finding.evidence))


def _suppressions(finding: Finding, mask: Callable[[str], str]) -> list[dict[str, Any]]:
    if finding.status not in SUPPRESSED:
        return []
    reason = one_line(mask(finding.reason or ""))
    in_source = finding.status is Status.SUPPRESSED and reason.startswith(BY_A_COMMENT)
    return [
        {
            "kind": "inSource" if in_source else "external",
            "status": "accepted",
            "justification": f"{finding.status}: {reason}" if reason else finding.status.value,
        }
    ]


def _fix(finding: Finding, text: str) -> dict[str, Any]:
    replacement = {"deletedRegion": _region(finding.line, finding.end_line), "insertedContent": {"text": text}}
    return {"artifactChanges": [{"artifactLocation": _artifact(finding.path), "replacements": [replacement]}]}


# What was not reviewed, and what else is to be told


def _notices(outcome: Outcome) -> list[dict[str, Any]]:
    level = "note" if outcome.dry_run else "error"
    notices = [_notice("incomplete", text, level) for text in general_gaps(outcome)]
    notices += [_notice(NOT_REVIEWED, gap(entry), "warning", entry) for entry in gaps(outcome)]
    for entry in outcome.entries:
        if entry.state is State.SKIPPED:
            notices.append(_notice("skipped", f"Skipped: {one_line(entry.reason or '')}", "note", entry))
        elif entry.state is State.PLANNED:
            notices.append(_notice("planned", "Would be reviewed", "note", entry))
    remarks = [*outcome.notes, *filter(None, [outcome.next_step])]
    return notices + [_notice("remark", one_line(text), "note") for text in remarks]


def _notice(name: str, text: str, level: str, entry: Entry | None = None) -> dict[str, Any]:
    return {
        "descriptor": {"id": name, "index": _NAMES[name]},
        "level": level,
        "message": _message(text),
        **({"locations": [_location(entry.path, entry.start, entry.end)]} if entry else {}),
    }


# Places and words


def _location(path: str, first: int, last: int, snippet: str = "") -> dict[str, Any]:
    """A place in a file; the file itself where the new one has no such line, as when it is deleted."""
    physical: dict[str, Any] = {"artifactLocation": _artifact(path)}
    if first:
        physical["region"] = _region(first, last) | ({"snippet": {"text": snippet}} if snippet else {})
    return {"physicalLocation": physical}


def _artifact(path: str) -> dict[str, str]:
    """A path's bytes as a URI; a colon is escaped too, since what stands before it could be taken for a scheme."""
    return {"uri": quote(path.encode("utf-8", "surrogateescape")), "uriBaseId": ROOT}


def _region(first: int, last: int) -> dict[str, int]:
    return {"startLine": first, "endLine": max(first, last)}


def _message(text: str) -> dict[str, str]:
    """Plain text that holds no link and no placeholder (SARIF 3.11.5, 3.11.6), also for viewers that know no escapes.

    A space parts the brackets of what looks like a link. Braces are doubled where they would be a placeholder, and not,
    as the standard has it, wherever they stand: where there is nothing to put in, viewers show the text as it is.
    """
    parted = text.replace("](", "] (")
    escaped = re.sub(r"([\\\[\]])", r"\\\1", parted)
    return {"text": re.sub(r"\{(\d+)\}", r"{{\1}}", escaped)}
