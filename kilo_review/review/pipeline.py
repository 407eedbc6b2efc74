"""The pipeline: from what was asked for to an outcome. Read `run` aloud."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kilo_review.core.deadline import PROCESS_START, Deadline
from kilo_review.core.errors import DeadlineError, SourceError
from kilo_review.core.outcome import Outcome, State
from kilo_review.judge.anchor import merged
from kilo_review.judge.policy import mark_blocking
from kilo_review.ledger.records import Ledger
from kilo_review.models.base import DEFAULT_WINDOW
from kilo_review.plan import blanks, deletion, long_lines, merges, scope
from kilo_review.plan.chunk import TokenMeter, budget
from kilo_review.plan.patterns import ignore_list, is_within_limits
from kilo_review.plan.rules import blocks
from kilo_review.review import cache, suppression
from kilo_review.review.chunker import Packer
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.source import change as changes
from kilo_review.source import policy_files, scratch
from kilo_review.source.notebook import is_named
from kilo_review.source.target import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry
    from kilo_review.judge.baseline import Known
    from kilo_review.prompts import Message
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.reviewer import Inquiry
    from kilo_review.review.session import Session
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Hunk

INQUIRY = "kilo_review.review.reviewer"
"""Loaded where there is something to ask, with all that it asks by."""
UNICODE = "kilo_review.judge.unicode"
"""Loaded for the first hunk that is not ASCII; most commits have none, and start-up is a feature."""
TOO_LONG = "its path is too long or too deep to be held against ignore lists"
UNSEEN = "characters that deceive a reader were not looked for"
MANY_HUNKS = 10_000
SECONDS_A_HUNK = 40e-6
"""To note, keep and tell what became of it."""
LATE_SECONDS = 0.3
"""For that search, where the time limit is used up."""
LARGEST_LATE = 1 << 16
"""Bytes of a hunk that is still looked through then."""
MOST_FINDINGS = 1000
"""More are of no use to a reader, and take their time in every step that follows."""
RULING_FILES = frozenset({".kilocodeignore", ".kilo-review.toml", ".gitattributes"})


def run(job: Job, watch: Watch, session: Session) -> Outcome:
    """Review a change.

    Returns:
        The outcome, also when the model failed: then hunks are `not_reviewed`, with the reason.

    Raises:
        UsageError: what was asked for does not exist.
        SourceError: git could not tell what the change is.
    """
    change = _read(_begun(job, session), session)
    job = _with_time_to_conclude(job, change)
    selection = _select(job, change, session)
    outcome = _outcome(job, change, selection)
    ledger = session.ledger if change.repo else Ledger.absent(Path())
    if selection.chosen:
        _ = job.rules.every  # what is wrong about them is told before a model is asked
        session.syntax.expect(file.path for file, _ in selection.chosen)
        decided = _decided(job, change, session)
        _inquiry()(job, watch, change, selection, session, ledger, decided).ask(outcome)
        cache.fall_back(job, outcome, ledger, _decided(job, change, session))
        _look_for_deceit(job, change, selection, suppression.Sieve(job, change, decided, session.syntax), outcome)
        cache.follow_moves(decided, ledger)
    outcome.findings = mark_blocking(_in_cells(merged(outcome.findings), change), job.fail_on)
    outcome.usage.seconds = time.monotonic() - PROCESS_START
    if outcome.entries:
        cache.record(job, change, outcome, ledger)
        scratch.remove_leftovers(job.deadline)
    return outcome


def _in_cells(findings: Sequence[Finding], change: Change) -> list[Finding]:
    """Return the findings, those in notebooks with the number of their cell."""
    files = {file.path: file for file in change.diff.files if is_named(file.path)}
    return [
        finding._replace(reason=f"in cell {number}")
        if finding.reason is None and (number := _cell(finding, files.get(finding.path), change))
        else finding
        for finding in findings
    ]


def _cell(finding: Finding, file: FileChange | None, change: Change) -> int:
    try:
        sides = change.notebook(file) if file else None
    except SourceError:  # the time is used up
        return 0
    return sides.new.cell_at(finding.line) if sides and sides.new else 0


def plan(job: Job, session: Session) -> Outcome:
    """What `run` would review and skip; contacts no server."""
    change = _read(job, session)
    selection = _select(job, change, session)
    packer = _packer(job, change, session)
    rows = [row for file, hunk in selection.chosen for row in _planned(file, hunk, packer)]
    planned = any(row.state is State.PLANNED for row in rows)
    outcome = _outcome(job, change, selection)
    outcome.entries[:0] = rows
    outcome.dry_run = True
    if planned:
        outcome.notes.append(f"about {_requests(job, selection, packer)} of the model would be needed")
    return outcome


def _planned(file: FileChange, hunk: Hunk, packer: Packer) -> list[Entry]:
    told = deletion.TOLD if deletion.is_told(file) else None
    left_out = packer.left_out(file, hunk)
    if not left_out:
        return [scope.hunk_entry(hunk, State.PLANNED, told)]
    return long_lines.rows_of(hunk, State.PLANNED, told, left_out)


def prompts(job: Job, session: Session) -> Iterator[list[Message]]:
    """The messages of each request that `run` would begin with, as if nothing were known; contacts no server."""
    change = _read(job, session)
    packer = _packer(job, change, session)
    for chunk in packer.chunks(_select(job, change, session).chosen, lambda *_: False, lambda *_: None):
        yield job.prompts.review(chunk.text, blocks(chunk.rules))


def _begun(job: Job, session: Session) -> Job:
    """Of a commit, the same for its two trees, which are on record as not reviewed from now on."""
    if not job.request.in_commit or job.patch is not None:
        return job
    target = resolve(session.repository, job.request)
    cache.begin(job, target, session.ledger)
    return job._replace(request=job.request._replace(target=target))


def _with_time_to_conclude(job: Job, change: Change) -> Job:
    """Of a change with very many hunks, the same with time kept for what is done with each of them at the end.

    Raises:
        DeadlineError: there is not that much left.
    """
    number = sum(len(file.hunks) for file in change.diff.files)
    if number <= MANY_HUNKS or job.deadline.seconds is None:
        return job
    job = job._replace(deadline=replace(job.deadline, reserved=number * SECONDS_A_HUNK))
    job.deadline.cap(1.0)
    return job


def _packer(job: Job, change: Change, session: Session) -> Packer:
    """Return a packer for the window that is set, or else for the usual one."""
    window = job.model.parameters.get("num_ctx", DEFAULT_WINDOW)
    return Packer(job, change, window if isinstance(window, int) else DEFAULT_WINDOW, TokenMeter(), session.syntax)


def _read(job: Job, session: Session) -> Change:
    if job.patch is not None:
        return changes.of_patch(job.patch)
    return changes.of_repository(session.repository, job.request)


def _inquiry() -> type[Inquiry]:
    inquiry: Any = import_module(INQUIRY)
    of: type[Inquiry] = inquiry.Inquiry
    return of


def _decided(job: Job, change: Change, session: Session) -> Known:
    return suppression.known(job, session.dismissals if change.repo else {}, change, session.syntax)


def _look_for_deceit(
    job: Job, change: Change, selection: scope.Selection, judge: suppression.Sieve, outcome: Outcome
) -> None:
    """Characters that show a reader something else than a compiler; no model is needed to see them.

    They can block, so a hunk that was not looked through to its end is not reviewed, whatever the model said of it.
    """
    suspects = [each for each in selection.chosen if _may_deceive(*each, change)]
    if not suspects:
        return
    left = job.deadline.remaining()
    # Small hunks are looked through also where the model has used up the time.
    late = job.deadline if left is None or left > LATE_SECONDS else Deadline().within(LATE_SECONDS)
    rest = deque(sorted(suspects, key=lambda each: each[1].end - each[1].begin))
    try:
        while rest:
            file, hunk = rest[0]
            deadline = late if hunk.end - hunk.begin <= LARGEST_LATE else job.deadline
            for finding in _deceptive(file, hunk, change, deadline):
                _refuse_more(outcome.findings)
                outcome.findings.append(judge.sift(finding))
            rest.popleft()
    except (DeadlineError, SourceError) as error:
        outcome.next_step = outcome.next_step or error.hint
        _not_looked_through(outcome, {hunk for _, hunk in rest}, error.message)


def _may_deceive(file: FileChange, hunk: Hunk, change: Change) -> bool:
    """Tell whether a hunk holds characters beyond ASCII; in a notebook they may be written as escape sequences."""
    data = change.diff.data[hunk.begin : hunk.end]
    return not data.isascii() or (is_named(file.path) and b"\\u" in data)


def _deceptive(file: FileChange, hunk: Hunk, change: Change, deadline: Deadline) -> Iterator[Finding]:
    deadline.cap(1.0)
    unicode: Any = import_module(UNICODE)
    found: Iterator[Finding] = unicode.search(file.path, change.lines(file, hunk), deadline=deadline)
    return found


def _refuse_more(findings: Sequence[Finding]) -> None:
    if len(findings) >= MOST_FINDINGS:
        raise DeadlineError(f"more than {MOST_FINDINGS} findings are not listed")


def _not_looked_through(outcome: Outcome, hunks: set[Hunk], why: str) -> None:
    places = {(hunk.path, hunk.start, hunk.last) for hunk in hunks}
    reason = f"{UNSEEN}: {why}"
    for number, entry in enumerate(outcome.entries):
        seen = entry.is_hunk and entry.state in {State.REVIEWED, State.CACHED}
        if seen and (entry.path, entry.start, entry.end) in places:  # its counts stay: long lines have their own rows
            outcome.entries[number] = replace(entry, state=State.NOT_REVIEWED, reason=reason)


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
    paths = policy_files.touched(change.diff.files, job.request.governing, change.repo, base, head)
    named = ", ".join(escaped_path(path) for path in paths)
    return [f"the change touches what governs its review, as which it does not count here: {named}"] if paths else []


def _requests(job: Job, selection: scope.Selection, packer: Packer) -> str:
    """Return an estimate from the size of what is sent; context and a smaller window make it more."""
    meter = TokenMeter()
    fixed = meter.estimate(job.prompts.system + job.prompts.review_template)
    tokens = sum(meter.estimate_bytes(packer.size(file, hunk)) for file, hunk in selection.chosen)
    number = -(-tokens // budget(DEFAULT_WINDOW, fixed))
    return "1 request" if number == 1 else f"{number} requests"


def _select(job: Job, change: Change, session: Session) -> scope.Selection:
    if change.target.postponed:
        return scope.none_of(change.diff.files, f"in the middle of {change.target.postponed}")
    lists = [ignore_list(name, patterns, job.deadline) for name, patterns in job.ignore_lists.items()]
    files = change.diff.files
    too_long = [each for each in files if not (is_within_limits(each.path) and is_within_limits(each.old_path or ""))]
    refused = {each.path for each in too_long}

    def ignored(path: str) -> str | None:
        change.diff.check()
        return next((name for matches in lists if (name := matches(path))), None)

    selection = scope.select(
        [each for each in files if each.path not in refused] if refused else files,
        ignored=ignored,
        attributes=change.attributes(scope.ATTRIBUTES) if change.diff.files else {},
        read=change.start_of,
        exempts_itself=not job.is_pull_request,
    )
    rows = (row for file in too_long for row in scope.entries(file, State.NOT_REVIEWED, TOO_LONG))
    selection = selection._replace(left_out=(*selection.left_out, *rows, *change.target.left_out))
    if change.others:
        selection = selection.without(merges.inherited(change.diff, change.others), merges.INHERITED)
    of_paths = {file.path: file for file in change.diff.files}
    selection = selection.without(blanks.only_blanks(change, of_paths, session.syntax), blanks.ONLY_BLANKS)
    return selection.shard(*job.shard) if job.shard else selection
