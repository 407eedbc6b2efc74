"""What reports say alike, in whatever form: counts, places, the headline. One line each, and fit for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import FORMS, State, TargetKind
from kilo_review.sanitize.terminal import escaped_path, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.outcome import Egress, Entry, Outcome, Usage

MOST_NAMED = 5
"""Files that are named in one line."""
NOTHING = {
    TargetKind.STAGED: "nothing is staged",
    TargetKind.UNCOMMITTED: "nothing differs from HEAD",
    TargetKind.BRANCH: "nothing differs from the base branch",
    TargetKind.RANGE: "the two ends do not differ",
    TargetKind.COMMIT: "the commit changes no file",
    TargetKind.PATCH: "the patch is empty",
}


def place_of(entry: Entry) -> str:
    """A hunk's file and lines; a path of any kind is one word of printable characters."""
    lines = f":{entry.start}-{entry.end}" if entry.start else ""
    return escaped_path(entry.path) + lines


def amount(entries: Sequence[Entry]) -> str:
    """How many hunks in how many files."""
    if not entries:
        return "nothing"
    hunks, files = sum(entry.is_hunk for entry in entries), len({entry.path for entry in entries})
    return f"{plural(hunks, 'hunk')} in {plural(files, 'file')}" if hunks else plural(files, "file")


def plural(number: int, word: str) -> str:
    """One of it, or some."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def headline(outcome: Outcome) -> str:
    """What came of the review, in one line."""
    if not outcome.entries:
        return f"nothing to review: {one_line(outcome.nothing) or NOTHING[outcome.target.kind]}"
    by = _by(outcome)
    looked_at = [entry for entry in outcome.entries if entry.state in {State.REVIEWED, State.CACHED}]
    missing = [entry for entry in outcome.entries if entry.state is State.NOT_REVIEWED]
    planned = [entry for entry in outcome.entries if entry.state is State.PLANNED]
    if outcome.interrupted:
        return f"interrupted: {amount(looked_at)} reviewed{by}"
    if outcome.dry_run:
        return f"dry run: {amount(planned)} would be reviewed" if planned else "dry run: nothing would be reviewed"
    if missing or outcome.failure:
        return _incomplete(outcome, by, looked_at, missing)
    if not looked_at:
        postponed = outcome.target.postponed
        late = f"not now, in the middle of {postponed}: {amount(outcome.entries)} {outcome.afterwards}"
        return late if postponed else "nothing to review"
    return f"{_found(outcome)}: {amount(looked_at)} reviewed{by}"


def _by(outcome: Outcome) -> str:
    """By which model, and how much of it was known from earlier reviews."""
    by = f" by {one_line(outcome.model.name)}" if outcome.model and outcome.model.name else ""
    known, asked = outcome.count(State.CACHED), outcome.count(State.REVIEWED)
    if known:
        by += ", from memory" if not asked else f", {known} of them from memory"
    return by


def _incomplete(outcome: Outcome, by: str, looked_at: Sequence[Entry], missing: Sequence[Entry]) -> str:
    if not missing:
        rest = "a further part"
        return f"not reviewed{by}: {rest}" if not looked_at else f"{_found(outcome)}: {amount(looked_at)} reviewed{by}"
    if not looked_at and not outcome.shown:
        return f"not reviewed{by}: {amount(missing)}"
    total = plural(len(looked_at) + len(missing), "hunk")
    late = sum(not entry.is_final for entry in missing) if outcome.afterwards else 0
    never = len(missing) - late
    rest = ", ".join([f"{late} {outcome.afterwards}"] * bool(late) + [f"{never} not reviewed"] * bool(never))
    return f"{_found(outcome)}: reviewed {len(looked_at)} of {total} in {outcome.usage.seconds:.0f} s{by}; {rest}"


def _found(outcome: Outcome) -> str:
    shown = [finding for finding in outcome.shown if finding.status is Status.ACTIVE]
    doubtful = sum(finding.status is Status.UNANCHORED for finding in outcome.shown)
    if not shown:
        return f"no findings, {doubtful} that do not count" if doubtful else "no findings"
    counts = [f"{number} {severity}" for severity in Severity if (number := sum(f.severity is severity for f in shown))]
    blocking = sum(finding.blocking for finding in shown)
    return f"{plural(len(shown), 'finding')} ({', '.join(counts)}{f'; {blocking} blocking' if blocking else ''})"


def marked_words(outcome: Outcome) -> list[str]:
    """How many findings do not count, by what took them out of the count."""
    order = (Status.REFUTED, Status.UNVERIFIED, Status.SUPPRESSED, Status.DISMISSED, Status.BASELINE)
    phrases = {Status.BASELINE: "in the baseline"}
    counts = [(sum(finding.status is status for finding in outcome.findings), status) for status in order]
    return (
        [", ".join(f"{number} {phrases.get(status, status)}" for number, status in counts if number)]
        if any(number for number, _ in counts)
        else []
    )


def skipped_words(outcome: Outcome) -> list[str]:
    """How many files were left out on purpose, and why."""
    reasons = outcome.skipped_by_reason()
    if not reasons or outcome.target.postponed:
        return []
    files = len({entry.path for entries in reasons.values() for entry in entries})
    return [f"{plural(files, 'file')} skipped ({', '.join(map(one_line, reasons))})"]


def left_out_words(outcome: Outcome) -> str:
    """Return which files were left out for their form, in one line; "" if none was."""
    rows = [entry for entry in outcome.entries if entry.state is State.SKIPPED and entry.reason in FORMS]
    files = {entry.path: entry.reason or "" for entry in rows}
    if not files:
        return ""
    named = [f"{escaped_path(path)} ({reason})" for path, reason in list(files.items())[:MOST_NAMED]]
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return f"left out for {'its' if len(files) == 1 else 'their'} form: {', '.join(named)}{more}"


def cost(usage: Usage) -> str:
    """What the server was asked for."""
    tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
    return f"{plural(usage.requests, 'request')}, {tokens}, {usage.seconds:.1f} s"


def sent(row: Egress) -> str:
    """What went to one address."""
    return f"{row.bytes_sent} bytes in {plural(row.requests, 'request')} to {row.address} ({one_line(row.url)})"
