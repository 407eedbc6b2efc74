"""The pipeline: from what was asked for to an outcome. Read `run` aloud."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kilo_review import memory, sieve
from kilo_review.deadline import PROCESS_START
from kilo_review.display import escaped_path
from kilo_review.judge.anchor import merged
from kilo_review.judge.policy import mark_blocking
from kilo_review.ledger.records import Ledger
from kilo_review.models.base import DEFAULT_WINDOW
from kilo_review.outcome import Outcome, State
from kilo_review.packing import Packer
from kilo_review.plan import merges, scope
from kilo_review.plan.chunk import TokenMeter, budget
from kilo_review.plan.patterns import ignore_list, is_within_limits
from kilo_review.plan.rules import blocks
from kilo_review.source import change as changes
from kilo_review.source import governing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.finding import Finding
    from kilo_review.inquiry import Inquiry
    from kilo_review.job import Job, Watch
    from kilo_review.judge.baseline import Known
    from kilo_review.prompts import Message
    from kilo_review.session import Session
    from kilo_review.source.change import Change

INQUIRY = "kilo_review.inquiry"
"""Loaded where there is something to ask, with all that it asks by."""
UNICODE = "kilo_review.judge.unicode"
"""Loaded for the first hunk that is not ASCII; most commits have none, and start-up is a feature."""
TOO_LONG = "its path is too long or too deep to be held against ignore lists"
RULING_FILES = frozenset({".kilocodeignore", ".kilo-review.toml", ".gitattributes"})


def run(job: Job, watch: Watch, session: Session) -> Outcome:
    """Review a change.

    Returns:
        The outcome, also when the model failed: then hunks are `not_reviewed`, with the reason.

    Raises:
        UsageError: what was asked for does not exist.
        SourceError: git could not tell what the change is.
    """
    change = _read(job, session)
    selection = _select(job, change)
    outcome = _outcome(job, change, selection)
    ledger = session.ledger if change.repo else Ledger.absent(Path())
    if selection.chosen:
        _ = job.rules.every  # what is wrong about them is told before a model is asked
        session.syntax.expect(file.path for file, _ in selection.chosen)
        decided = _decided(job, change, session)
        _inquiry()(job, watch, change, selection, session, ledger, decided).ask(outcome)
        memory.fall_back(job, outcome, ledger, _decided(job, change, session))
        outcome.findings += _deceptive(job, change, selection, session, decided)
        memory.follow_moves(decided, ledger)
    outcome.findings = mark_blocking(merged(outcome.findings), job.fail_on)
    outcome.usage.seconds = time.monotonic() - PROCESS_START
    if outcome.entries:
        memory.record(job, change, outcome, ledger)
    return outcome


def plan(job: Job, session: Session) -> Outcome:
    """What `run` would review and skip; contacts no server."""
    change = _read(job, session)
    selection = _select(job, change)
    planned = [scope.hunk_entry(hunk, State.PLANNED) for _, hunk in selection.chosen]
    outcome = _outcome(job, change, selection)
    outcome.entries[:0] = planned
    outcome.dry_run = True
    if planned:
        outcome.notes.append(f"about {_requests(job, selection)} of the model would be needed")
    return outcome


def prompts(job: Job, session: Session) -> Iterator[list[Message]]:
    """The messages of each request that `run` would begin with, as if nothing were known; contacts no server."""
    window = job.model.parameters.get("num_ctx", DEFAULT_WINDOW)
    change = _read(job, session)
    packer = Packer(job, change, window if isinstance(window, int) else DEFAULT_WINDOW, TokenMeter(), session.syntax)
    for chunk in packer.chunks(_select(job, change).chosen, lambda *_: False, lambda *_: None):
        yield job.prompts.review(chunk.text, blocks(chunk.rules))


def _read(job: Job, session: Session) -> Change:
    if job.patch is not None:
        return changes.of_patch(job.patch)
    return changes.of_repository(session.repository, job.request)


def _inquiry() -> type[Inquiry]:
    inquiry: Any = import_module(INQUIRY)
    of: type[Inquiry] = inquiry.Inquiry
    return of


def _decided(job: Job, change: Change, session: Session) -> Known:
    return sieve.known(job, session.dismissals if change.repo else {}, change, session.syntax)


def _deceptive(job: Job, change: Change, selection: scope.Selection, session: Session, decided: Known) -> list[Finding]:
    """Characters that show a reader something else than a compiler; no model is needed to see them."""
    suspects = [each for each in selection.chosen if not change.diff.data[each[1].begin : each[1].end].isascii()]
    if not suspects:
        return []
    unicode: Any = import_module(UNICODE)
    judge = sieve.Sieve(job, change, decided, session.syntax)
    found = (each for file, hunk in suspects for each in unicode.deceptive(file.path, change.diff.lines(hunk)))
    return [judge.sift(finding) for finding in found]


def _outcome(job: Job, change: Change, selection: scope.Selection) -> Outcome:
    """The outcome so far: what is left out, and what a reader should know of the change itself."""
    outcome = Outcome(change.target, entries=list(selection.left_out), shard=job.shard, division=selection.division)
    if job.request.paths:  # a mistyped path must not look like a clean change
        outcome.nothing = f"nothing changed below {', '.join(job.request.paths)}"
    if job.request.ruled_by is not None:
        outcome.notes += _not_honoured(job, change)
        return outcome
    ruling = sorted({file.path for file in change.diff.files if PurePosixPath(file.path).name in RULING_FILES})
    if ruling and selection.left_out:
        outcome.notes.append(f"the change itself touches what decides what is reviewed: {', '.join(ruling)}")
    return outcome


def _not_honoured(job: Job, change: Change) -> list[str]:
    """What a proposal changes of its own rules, for whoever decides about it."""
    base, head = job.request.ruled_by, change.target.head
    assert change.repo
    assert base
    assert head
    paths = governing.touched(change.diff.files, job.request.governing, change.repo, base, head)
    named = ", ".join(escaped_path(path) for path in paths)
    return [f"the change touches what governs its review, as which it does not count here: {named}"] if paths else []


def _requests(job: Job, selection: scope.Selection) -> str:
    """An estimate from the diff's size alone; context and a smaller window make it more."""
    meter = TokenMeter()
    fixed = meter.estimate(job.prompts.system + job.prompts.review_template)
    tokens = sum(meter.estimate_bytes(hunk.end - hunk.begin) for _, hunk in selection.chosen)
    number = -(-tokens // budget(DEFAULT_WINDOW, fixed))
    return "1 request" if number == 1 else f"{number} requests"


def _select(job: Job, change: Change) -> scope.Selection:
    if change.target.postponed:
        return scope.none_of(change.diff.files, f"in the middle of {change.target.postponed}")
    lists = [ignore_list(name, patterns, job.deadline) for name, patterns in job.ignore_lists.items()]
    files = change.diff.files
    too_long = [each for each in files if not (is_within_limits(each.path) and is_within_limits(each.old_path or ""))]
    selection = scope.select(
        [each for each in files if each not in too_long] if too_long else files,
        ignored=lambda path: next((name for matches in lists if (name := matches(path))), None),
        attributes=change.attributes(scope.ATTRIBUTES) if change.diff.files else {},
        read=change.start_of,
        exempts_itself=not job.is_pull_request,
    )
    rows = (row for file in too_long for row in scope.entries(file, State.NOT_REVIEWED, TOO_LONG))
    selection = selection._replace(left_out=(*selection.left_out, *rows, *change.target.left_out))
    if change.others:
        selection = selection.without(merges.inherited(change.diff, change.others), merges.INHERITED)
    return selection.shard(*job.shard) if job.shard else selection
