"""What is made of an outcome: which findings block, and the exit code."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from kilo_review.core.finding import Finding, Severity, Status
from kilo_review.core.outcome import State

if TYPE_CHECKING:
    from kilo_review.core.outcome import Outcome


class FailOn(StrEnum):
    """The least severity that blocks."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    NEVER = "never"


class OnUnavailable(StrEnum):
    """What happens if the change was not, or not fully, reviewed."""

    ALLOW = "allow"
    BLOCK = "block"


class OnNothing(StrEnum):
    """What happens if nothing of a change that is not empty was selected for review."""

    ALLOW = "allow"
    FAIL = "fail"


class Verify(StrEnum):
    """Which findings the model is asked to refute."""

    OFF = "off"
    BLOCKING = "blocking"
    ALL = "all"


class ExitCode(IntEnum):
    """docs/usage.md shows these to users; a test compares."""

    PASS = 0
    BLOCKED = 1
    USAGE = 2
    NOT_REVIEWED = 3
    INTERRUPTED = 130


def mark_blocking(findings: list[Finding], fail_on: FailOn) -> list[Finding]:
    """The same findings, worst first, with `blocking` set where the policy says so."""
    ordered = sorted(findings, key=lambda finding: (finding.severity.rank, finding.path, finding.line))
    return [finding._replace(blocking=blocks(finding, fail_on)) for finding in ordered]


def selects_nothing(outcome: Outcome) -> bool:
    """Whether all of a change was skipped; a part of one, and a change that is not due yet, do not tell."""
    is_whole = outcome.shard is None and not outcome.target.postponed
    return is_whole and bool(outcome.entries) and outcome.count(State.SKIPPED) == len(outcome.entries)


def exit_code(outcome: Outcome, on_unavailable: OnUnavailable, on_nothing: OnNothing = OnNothing.ALLOW) -> ExitCode:
    """An interruption, then a finding that blocks, then whether all was looked at."""
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if any(finding.blocking for finding in outcome.findings):
        return ExitCode.BLOCKED
    if (
        (outcome.count(State.NOT_REVIEWED) or outcome.failure)
        and not outcome.dry_run
        and on_unavailable is OnUnavailable.BLOCK
    ):
        return ExitCode.NOT_REVIEWED
    if on_nothing is OnNothing.FAIL and selects_nothing(outcome) and not outcome.dry_run:
        return ExitCode.NOT_REVIEWED
    return ExitCode.PASS


def blocks(finding: Finding, fail_on: FailOn) -> bool:
    """Whether a finding stops what waits for the review."""
    if finding.status is not Status.ACTIVE or fail_on is FailOn.NEVER:
        return False
    return finding.severity.rank <= Severity(fail_on.value).rank
