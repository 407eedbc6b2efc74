"""Outcomes made by hand, for what no short review brings about, and the real reviewdog."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind
from kilo_review.judge.policy import ExitCode
from kilo_review.report import renderer
from kilo_review.report.view import View
from tests.conftest import needs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ODD_NAMES = (
    "with space.py",
    "a:b.py",
    "::error::x.py",
    "100%41.py",
    "what?#here[0].py",
    "caf\u00e9/\u4e2d.py",
    "new\nline\t.py",
    "\u202egpj.py",
    'quo"te\\.py',
)
BYTES = "caf\udce9.py"
"""A name that is not UTF-8."""
HOSTILE = (
    "\x1b[31m@everyone\x07 [x](javascript:alert(1)) ![y](http://x.y/z) ::set-output name=a::b ##[error]x"
    " <img src=x onerror=y> \u202eevil\u202c {0} `tick` \\\n::error::line\r"
)


def found(**changes: Any) -> Finding:
    """A finding as a review makes them."""
    made: dict[str, Any] = {
        "path": "app.py",
        "line": 2,
        "end_line": 2,
        "severity": Severity.MAJOR,
        "category": Category.BUG,
        "title": "Division by zero",
        "message": "An empty list divides by zero.",
        "evidence": "    return sum(items) / len(items)",
        "symbol": "def mean(items):",
    }
    return Finding(**(made | changes))


def row(state: State = State.NOT_REVIEWED, **changes: Any) -> Entry:
    """A row of the coverage."""
    reason = "the server went away" if state in {State.NOT_REVIEWED, State.SKIPPED} else None
    made: dict[str, Any] = {"path": "app.py", "start": 1, "end": 2, "added": 0, "removed": 2, "reason": reason}
    return Entry(state=state, **(made | changes))


def outcome_of(*findings: Finding, entries: Sequence[Entry] = (row(State.REVIEWED),), **more: Any) -> Outcome:
    return Outcome(
        Target(TargetKind.STAGED, "1" * 40, "2" * 40), findings=list(findings), entries=list(entries), **more
    )


def everything() -> Outcome:
    """Each status, each severity and category, each state, odd names and hostile words, and all that is told besides."""
    findings = [found(status=status, reason="why" if status is not Status.ACTIVE else None) for status in Status]
    findings += [found(severity=severity, blocking=severity is Severity.CRITICAL) for severity in Severity]
    findings += [found(category=category, rule="no-zero") for category in Category]
    findings += [found(path=name) for name in (*ODD_NAMES, BYTES)]
    findings += [found(title=HOSTILE, message=HOSTILE, evidence=HOSTILE), found(title="", message="")]
    findings += [found(line=0, end_line=0), found(line=2, end_line=4)]
    entries = [row(state, path=name) for state in State for name in ("app.py", *ODD_NAMES, BYTES)]
    entries += [row(start=0, end=0, is_hunk=False), row(reason=HOSTILE)]
    more = {"failure": HOSTILE, "interrupted": True, "notes": [HOSTILE], "next_step": "Start the server"}
    return outcome_of(*findings, entries=entries, **more)


def shown(form: str, outcome: Outcome, **view: Any) -> Any:
    """The report in this format, read."""
    code = view.pop("exit_code", ExitCode.PASS)
    return json.loads(renderer(form)(View(outcome, code, **view)))


def reviewdog(form: str, report: bytes, folder: Path, reporter: str = "rdjson") -> Any:
    """What the real reviewdog makes of a report: its diagnostics, or the text of another reporter."""
    command = [needs("reviewdog", variable="KILO_TEST_REVIEWDOG"), f"-f={form}", f"-reporter={reporter}"]
    done = subprocess.run([*command, "-filter-mode=nofilter"], input=report, cwd=folder, capture_output=True)
    assert not done.stderr, done.stderr
    return (
        json.loads(done.stdout).get("diagnostics", [])
        if reporter == "rdjson"
        else done.stdout.decode("utf-8", "surrogateescape")
    )
