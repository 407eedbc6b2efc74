"""What a review takes from the ledger where no server can be asked, and what it leaves there for the next one."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kilo_review.core.errors import DeadlineError, SourceError
from kilo_review.core.finding import fold
from kilo_review.core.outcome import ModelInfo, Outcome, State, TargetKind
from kilo_review.judge.baseline import is_current, revived
from kilo_review.ledger.records import NEXT_COMMIT, Ledger, Receipt
from kilo_review.source.text_view import as_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Target
    from kilo_review.judge.baseline import Known
    from kilo_review.review.request import Job
    from kilo_review.source.change import Change

FORWARD = frozenset({TargetKind.STAGED, TargetKind.UNCOMMITTED})
"""Targets that are the newest state of the code: what is gone from them has been fixed."""
INDEX_CHANGED = "the index changed during the review: what was added since was not looked at"


def is_valid(receipt: Receipt, decided: Known) -> bool:
    """Whether a receipt still says what a review would: what was out of the count then must be so now."""
    return all(is_current(finding, decided) for finding in receipt.findings)


def recalled(receipt: Receipt, outcome: Outcome, decided: Known) -> None:
    """Fill in what was found when this very change was reviewed, less what has been accepted since."""
    outcome.model = ModelInfo(receipt.provider, receipt.model, None, None, why="as on record")
    outcome.findings = findings_of(receipt, decided)
    outcome.entries = list(receipt.entries)
    outcome.answered_by = receipt.answerer


def findings_of(receipt: Receipt, decided: Known) -> list[Finding]:
    """What is on record, less what has been accepted since."""
    return [decided.mark(revived(finding)) for finding in receipt.findings]


def by_whom(receipts: Iterable[Receipt]) -> str:
    """Return the models on whose word these receipts stand, each with the day of its newest one."""
    days: dict[str, float] = {}
    for receipt in receipts:
        name = f"{receipt.model} ({receipt.provider})"
        days[name] = max(receipt.at, days.get(name, 0.0))
    return ", ".join(f"{name} on {time.strftime('%Y-%m-%d', time.localtime(at))}" for name, at in days.items())


def follow_moves(decided: Known, ledger: Ledger) -> None:
    """Dismiss again what was dismissed under a name that only this change connects with the new one."""
    for finding, reason in decided.moved:
        ledger.dismiss(revived(finding), reason)


def fall_back(job: Job, outcome: Outcome, ledger: Ledger, decided: Known) -> None:
    """A commit need not wait for a model that cannot be asked, if this very change was reviewed before.

    For those who ask by hand it is the model that they ask.
    """
    is_lost = outcome.model is None and not outcome.interrupted and outcome.count(State.NOT_REVIEWED)
    change = outcome.target.change
    if not is_lost or change is None or not job.request.in_commit:
        return
    receipt = ledger.receipts([change], job.identity).get(change)
    if receipt is not None:
        reason = next(iter(outcome.unreviewed_by_reason()))
        outcome.notes.append(f"{reason}; but this very change was reviewed before, by {by_whom([receipt])}")
        outcome.next_step = ""
        recalled(receipt, outcome, decided)


def begin(job: Job, target: Target, ledger: Ledger) -> None:
    """Put a commit on record as not reviewed, before its review: `record` takes that back, and a killed one cannot."""
    known_by = target.change
    if job.request.in_commit and known_by is not None and target.base != target.head:
        ledger.begin([known_by])


def record(job: Job, change: Change, outcome: Outcome, ledger: Ledger) -> None:
    """Leave a receipt for a change that was wholly reviewed, or else what of it was not."""
    known_by = change.target.change
    if change.repo is None or known_by is None or job.request.paths or job.shard:
        return
    left_out = [entry for entry in outcome.entries if entry.state is State.NOT_REVIEWED]
    postponed = change.target.postponed
    if left_out or postponed or outcome.interrupted or outcome.unsettled:
        reason = f"in the middle of {postponed}" if postponed else next(iter(outcome.unreviewed_by_reason()), "")
        reason = reason or (f"a finding was not verified: {outcome.unsettled}" if outcome.unsettled else "interrupted")
        ledger.leave(*known_by, reason, left_out or outcome.entries)
    else:
        ledger.sign(_receipt(job, known_by, outcome), unseen=job.in_background)
    if job.request.in_commit:
        _notice_a_changed_index(change, outcome, ledger)
    if change.target.kind in FORWARD:
        with suppress(SourceError, DeadlineError):  # the time is used up; the next review will see that they are gone
            ledger.fixed(list(_fixed(change, outcome, ledger, job.deadline)))
    outcome.unremembered = ledger.store.off
    outcome.notes += [note for note in ledger.store.notes if note not in outcome.notes]


def _receipt(job: Job, known_by: tuple[str, str], outcome: Outcome) -> Receipt:
    model = outcome.model
    return Receipt(
        *known_by,
        identity=job.identity,
        provider=model.provider if model else "",
        model=model.name if model else "",
        prompts=job.prompts.version,
        outcome=outcome.word,
        findings=tuple(outcome.findings),
        entries=tuple(outcome.entries),
        answerer=outcome.answered_by,
    )


def _notice_a_changed_index(change: Change, outcome: Outcome, ledger: Ledger) -> None:
    """Another terminal's `git add` during the review ends up in the commit, unseen."""
    assert change.repo
    known_by = change.target.change
    try:
        index = change.repo.index_since()
    except SourceError as error:  # what was found before is told all the same
        outcome.failure = f"the index may have changed during the review: {error}"
        if known_by is not None:
            ledger.leave(known_by[0], NEXT_COMMIT, outcome.failure, [])
        return
    if index is None or known_by is None:
        return
    outcome.failure = INDEX_CHANGED
    ledger.leave(known_by[0], index, INDEX_CHANGED, [])


def _fixed(change: Change, outcome: Outcome, ledger: Ledger, deadline: Deadline) -> Iterable[str]:
    """Fingerprints of findings of earlier reviews whose lines are gone, or were looked at again without being found."""
    reviewed = {entry.path for entry in outcome.entries if entry.state in {State.REVIEWED, State.CACHED}}
    reviewed -= {entry.path for entry in outcome.entries if entry.state is State.NOT_REVIEWED}
    still_there = {finding.fingerprint for finding in outcome.findings}
    known = ledger.open_sightings(reviewed)
    for file in change.diff.files:
        sightings = [each for each in known.get(file.path, ()) if each[0] not in still_there]
        if not sightings:
            continue
        hunks = deadline.paced(file.hunks)
        asked = {fold(line.text) for hunk in hunks for line in change.lines(file, hunk) if line.kind != "-"}
        everywhere = lines_of(file.path, change.new_content(file) or b"")
        for fingerprint, evidence in sightings:
            if not is_in(evidence, everywhere) or is_in(evidence, asked):
                yield fingerprint


def lines_of(path: str, content: bytes) -> set[str]:
    """Return the lines of a file as they are shown, without white space: what evidence is looked for in."""
    return {fold(line) for line in as_shown(path, content).decode("utf-8", "replace").split("\n")}


def is_in(evidence: str, lines: set[str]) -> bool:
    """Whether the first line of a finding's evidence is one of these."""
    return fold(evidence.split("\n", 1)[0]) in lines
