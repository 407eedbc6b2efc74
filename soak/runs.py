"""One review, through the library as `cli` does it or as a process, and what was seen of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from kilo_review import prompts
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError, UsageError
from kilo_review.judge.policy import OnUnavailable, exit_code
from kilo_review.ledger import store
from kilo_review.models import retry, transport
from kilo_review.models.base import ModelRequest
from kilo_review.report import renderer
from kilo_review.report.view import View
from kilo_review.review import pipeline
from kilo_review.review.request import Job
from kilo_review.review.session import Session
from kilo_review.source.target import Request
from soak.plan import COMMIT, HAND, LIBRARY
from soak.wire import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilo_review.core.outcome import ModelInfo, Outcome
    from kilo_review.judge.policy import ExitCode
    from soak.plan import Plan

PATIENCE_SECONDS = 1.0
"""For a server that says nothing; the program's own limits are minutes."""
LARGEST_LEDGER = 1 << 20
"""Bytes, of 32 MiB, so that a soak is long enough to see what is old being forgotten."""
NO_REPORT = "no report"
HANGING_SECONDS = 60.0


class Row(NamedTuple):
    """A row of the coverage."""

    path: str
    start: int
    state: str
    reason: str


class Found(NamedTuple):
    """A finding of the report."""

    title: str
    status: str
    severity: str
    is_blocking: bool
    category: str
    evidence: str


@dataclass
class Seen:
    """What came of a review.

    Attributes:
        word: of the outcome; `no report` if there is none.
        next_step: what the user is told to do about hunks that were not reviewed; None where the report has no
            place for it.
        is_local: what the report says of the model; None if it names none.
        told: what the error said, where there is no report.
        code: exit code of a process; for the library, the one that it would have.
    """

    began: float
    word: str = NO_REPORT
    rows: list[Row] = field(default_factory=list)
    findings: list[Found] = field(default_factory=list)
    next_step: str | None = None
    is_local: bool | None = None
    addresses: list[str] = field(default_factory=list)
    told: str = ""
    code: int = 0
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)
    """What is wrong whatever the server did."""

    def count(self, state: str) -> int:
        return sum(row.state == state for row in self.rows)


class _Nobody:
    """Is told how it goes, and does not care."""

    def model_chosen(self, info: ModelInfo) -> None:
        pass

    def progress(self, done: int, total: int) -> None:
        pass


@contextmanager
def hurried() -> Iterator[None]:
    """In this process nobody waits for minutes: the program's waits are shortened, its limits are not.

    Processes of their own keep everything as it is.
    """
    begin = transport.Patience.begin

    def quickly(self: transport.Patience, first: float) -> None:  # noqa: ARG001
        begin(self, PATIENCE_SECONDS)

    with (
        patch.object(transport.Patience, "begin", quickly),
        patch.object(transport, "SILENCE_SECONDS", PATIENCE_SECONDS),
        patch.object(retry, "BUSY_SECONDS", (0.02, 0.04, 0.08)),
        patch.object(retry, "RESTART_SECONDS", 0.05),
        patch.object(store, "LARGEST", LARGEST_LEDGER),
    ):
        yield


def run(plan: Plan, folder: Path, url: str) -> Seen:
    """Do one review."""
    return in_this_process(plan, folder, url) if plan.how == LIBRARY else as_a_process(plan, folder, url)


# Through the library


def in_this_process(plan: Plan, folder: Path, url: str) -> Seen:
    seen = Seen(time.monotonic())
    deadline = Deadline() if plan.seconds is None else Deadline().within(plan.seconds)
    try:
        with Session(deadline, remembers=plan.remembers, directory=folder) as session:
            outcome = pipeline.run(_job(plan, url, deadline), _Nobody(), session)
            outcome.egress = session.egress
            code = seen.code = exit_code(outcome, OnUnavailable.BLOCK)
            session.ledger.count("hand", outcome, held=False)
        seen.seconds = time.monotonic() - seen.began
        _take_outcome(seen, outcome, code)
    except KiloReviewError as error:
        seen.seconds = time.monotonic() - seen.began
        seen.told, seen.code, seen.next_step = error.message, error.exit_code, error.hint
        if isinstance(error, UsageError):
            seen.troubles.append(f"a usage error: {error}")
    except Exception:  # noqa: BLE001  whatever it raises is what is looked for
        seen.seconds = time.monotonic() - seen.began
        seen.troubles.append(traceback.format_exc())
    return seen


def _job(plan: Plan, url: str, deadline: Deadline) -> Job:
    options = {"num_ctx": plan.num_ctx} if plan.num_ctx else {}
    name = MODEL[plan.wire] if plan.is_named else None
    return Job(
        Request("staged", in_commit=plan.in_commit),
        ModelRequest(plan.wire, name, url, options=options),
        prompts.load(),
        deadline,
        fail_on=plan.fail_on,
        verify=plan.verify,
        votes=plan.votes,
        jobs=plan.jobs,
    )


def _take_outcome(seen: Seen, outcome: Outcome, code: ExitCode) -> None:
    text = renderer("text")(View(outcome, code, color=False, verbosity=1, held=""))
    odd = {letter for letter in text if letter != "\n" and not letter.isprintable() and letter != "\t"}
    if odd:
        seen.troubles.append(f"the text report holds {sorted(odd)!a}")
    _take_report(seen, json.loads(renderer("json")(View(outcome, code, color=False, verbosity=0, held=""))))
    seen.next_step = outcome.next_step


# As a process


def as_a_process(plan: Plan, folder: Path, url: str) -> Seen:
    output = folder.parent / "report.json"
    output.unlink(missing_ok=True)
    environment = os.environ | _settings(plan, url, output)
    command = {
        HAND: [sys.executable, "-m", "kilo_review"],
        COMMIT: ["git", "commit", "-q", "-m", "change"],
    }.get(plan.how, [sys.executable, "-m", "kilo_review", "hook", "pre-commit"])
    seen = Seen(time.monotonic())
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=HANGING_SECONDS)
    except subprocess.TimeoutExpired:
        seen.troubles.append(f"it ran on for {HANGING_SECONDS:g} s")
        return seen
    seen.seconds = time.monotonic() - seen.began
    if plan.how == COMMIT and done.returncode == 0:
        subprocess.run(("git", "reset", "-q", "--soft", "HEAD~1"), cwd=folder, check=True)
    seen.code, seen.told = done.returncode, done.stderr.decode("utf-8", "replace").strip()
    if "Traceback" in seen.told or done.stdout:
        seen.troubles.append(f"it said {seen.told[-500:]!a} {done.stdout[:200]!a}")
    if output.exists():
        _take_report(seen, json.loads(output.read_text()))
    return seen


def install_hook(folder: Path) -> None:
    hook = folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m kilo_review hook pre-commit\n")
    hook.chmod(0o755)


def _settings(plan: Plan, url: str, output: Path) -> dict[str, str]:
    given: dict[str, object] = {
        "PROVIDER": plan.wire,
        "BASE_URL": url,
        "MAX_SECONDS": plan.seconds,
        "VERIFY": plan.verify.value,
        "FAIL_ON": plan.fail_on.value,
        "FORMAT": "json",
        "OUTPUT": output,
        "OPTION": f"num_ctx={plan.num_ctx}" if plan.num_ctx else None,
        "MODEL": MODEL[plan.wire] if plan.is_named else None,
        "VOTES": plan.votes if plan.votes > 1 else None,
        "NO_CACHE": None if plan.remembers else 1,
    }
    return {f"KILO_REVIEW_{name}": str(value) for name, value in given.items() if value is not None}


def _take_report(seen: Seen, report: dict[str, Any]) -> None:
    """From the JSON report, whose form is a contract."""
    seen.word = report["outcome"]
    seen.rows = [
        Row(each["path"], each["start"], each["state"], each["reason"] or "") for each in report["coverage"]["entries"]
    ]
    seen.findings = [
        Found(*(each[name] for name in ("title", "status", "severity", "blocking", "category", "evidence")))
        for each in report["findings"]
    ]
    seen.addresses = [f"{each['url']} {each['address']}" for each in report["egress"]]
    seen.is_local = report["model"] and report["model"]["local"]
