"""Several commits: what is on record is shown again, what is not is reviewed, one by one or all together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review import memory, review, sieve
from kilo_review.errors import DeadlineError, SourceError
from kilo_review.finding import Finding, Status
from kilo_review.judge.policy import mark_blocking
from kilo_review.ledger.records import NEXT_COMMIT
from kilo_review.outcome import Outcome, State
from kilo_review.source import history

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.job import Job, Watch
    from kilo_review.judge.baseline import Known
    from kilo_review.ledger.records import Ledger, Receipt
    from kilo_review.session import Session
    from kilo_review.source.history import Commit, Series
    from kilo_review.source.repo import Repository

MOST_ONE_BY_ONE = 100
"""More commits than this are not even measured: what they change together is looked at."""
MENDED = "mended by a later commit"
OID_DIGITS = 12


def begin(job: Job, found: Sequence[Series], session: Session) -> None:
    """Put on record as not reviewed what has no receipt yet, before any of it is looked at."""
    for each in found:
        receipts = valid_receipts(job, {commit.change for commit in each.commits}, session)
        missing = [commit for commit in each.commits if commit.change not in receipts and not commit.is_empty]
        resolve(missing, session.ledger)
        if missing and not _net_receipt(job, each, session):
            session.ledger.begin(commit.change for commit in missing)


def resolve(commits: Sequence[Commit], ledger: Ledger) -> None:
    """Find the commits of which a hook could only note upon which tree they would be made."""
    for row in ledger.unresolved():
        made = {commit.change for commit in commits if row[1] == NEXT_COMMIT and _is_made_on(commit, row[0])}
        if missing := made - ledger.reviewed(made):
            ledger.resolve(row, missing)


def _is_made_on(commit: Commit, base: str) -> bool:
    return not commit.is_empty and base in {commit.change[0], *commit.bases[:1]}


def run(job: Job, series: Series, watch: Watch, session: Session) -> Iterator[Outcome]:
    """Review what has no receipt, and recall the rest: one outcome for each part.

    Raises:
        SourceError: git could not tell what a change is.
        DeadlineError: the time is used up; what was not reached is on record.
    """
    receipts = valid_receipts(job, {commit.change for commit in series.commits}, session)
    tip = series.net.head
    assert tip
    missing = [commit for commit in series.commits if commit.change not in receipts and not commit.is_empty]
    if missing and (together := _net_receipt(job, series, session)):
        outcome = Outcome(series.net)
        memory.recalled(together, outcome, _decided(job, session, series.net.head))
        outcome.findings = mark_blocking(outcome.findings, job.fail_on)
        yield outcome
        return
    if missing and _is_net_cheaper(series, missing, session):
        outcome = review.run(job.of(series.net), watch, session)
        changes = {commit.change for commit in series.commits}
        # What was left of one of them is a part of this, or gone; what was begun is on record as a part of this.
        begun = session.ledger.begun if outcome.count(State.NOT_REVIEWED) else changes
        session.ledger.settle(changes & begun)
        yield outcome
        return
    for commit in series.commits:
        if commit.change in receipts:
            yield _recalled(job, commit, receipts[commit.change], session, tip)
    yield from _one_by_one(job, missing, watch, session, tip)


def run_overdue(job: Job, commits: Sequence[Commit], watch: Watch, session: Session) -> Iterator[Outcome]:
    """Review commits that were pushed without a review; what they say of now is what HEAD holds."""
    if commits:
        yield from _one_by_one(job, commits, watch, session, session.repository.head_tree())


def _net_receipt(job: Job, series: Series, session: Session) -> Receipt | None:
    change = series.net.change
    return valid_receipts(job, {change}, session).get(change) if change else None


def valid_receipts(job: Job, changes: set[tuple[str, str]], session: Session) -> dict[tuple[str, str], Receipt]:
    """Receipts that still say what a review would say now."""
    found = session.ledger.receipts(changes, job.identity)
    return {
        change: receipt
        for change, receipt in found.items()
        if memory.is_valid(receipt, _decided(job, session, change[1]))
    }


def _decided(job: Job, session: Session, tree: str | None) -> Known:
    return sieve.known(job, session.dismissals, session.repository, tree)


def _one_by_one(
    job: Job, missing: Sequence[Commit], watch: Watch, session: Session, tip: str
) -> Iterator[Outcome]:  # fmt: skip
    for number, commit in enumerate(missing):
        try:
            _refuse_if_cut(commit)
            job.deadline.cap(1.0)
            outcome = review.run(job.of(commit.target), watch, session)
        except (DeadlineError, SourceError) as error:
            session.ledger.leave_all([rest.change for rest in missing[number:]], error.message)
            raise
        try:
            outcome.findings = as_of_now(job, commit, outcome.findings, session.repository, tip)
        except (DeadlineError, SourceError):  # the time is used up: what was found is told as it is
            outcome.findings = mark_blocking([_named(finding, commit) for finding in outcome.findings], job.fail_on)
        yield outcome
        if outcome.interrupted:
            return


def _refuse_if_cut(commit: Commit) -> None:
    if commit.is_cut:
        raise SourceError(
            f"the parent of commit {commit.oid[:OID_DIGITS]} is not in this clone, so its change is unknown",
            hint="Deepen it: git fetch --deepen=1 (in CI: fetch-depth: 2, GIT_DEPTH: 2)",
        )


def _recalled(job: Job, commit: Commit, receipt: Receipt, session: Session, tip: str) -> Outcome:
    outcome = Outcome(commit.target)
    memory.recalled(receipt, outcome, _decided(job, session, commit.tree))
    outcome.findings = on_record(job, commit, receipt, session, tip)
    return outcome


def on_record(job: Job, commit: Commit, receipt: Receipt, session: Session, tip: str) -> list[Finding]:
    """What was found in a commit, as it stands at the tip, less what has been accepted since."""
    found = memory.findings_of(receipt, _decided(job, session, commit.tree))
    return as_of_now(job, commit, found, session.repository, tip)


def _is_net_cheaper(series: Series, missing: Sequence[Commit], session: Session) -> bool:
    """Whether all commits together change less than those that have no receipt, one by one."""
    if len(missing) == 1 or any(commit.is_cut for commit in missing):
        return False
    if len(missing) > MOST_ONE_BY_ONE:
        return True
    repository = session.repository
    left = session.ledger.unreviewed([commit.change for commit in missing])
    partly = [left[commit.change] for commit in missing if commit.change in left and left[commit.change].entries]
    wholly = [
        (commit.bases[0], commit.tree)
        for commit in missing
        if len(commit.bases) == 1 and not (commit.change in left and left[commit.change].entries)
    ]
    lines = sum(entry.added + entry.removed for each in partly for entry in each.entries)
    lines += history.lines_changed(repository, wholly)
    assert series.net.base
    assert series.net.head
    return history.lines_changed(repository, [(series.net.base, series.net.head)]) < lines


# What became of a finding since


def as_of_now(
    job: Job, commit: Commit, findings: Sequence[Finding], repository: Repository, tip: str
) -> list[Finding]:  # fmt: skip
    """Findings with their commit; those that a later commit has mended are marked and count no more."""
    present = set(map(id, still_there(findings, commit.tree, tip, repository)))
    marked = [
        _named(finding, commit) if id(finding) in present else finding._replace(status=Status.SUPPRESSED, reason=MENDED)
        for finding in findings
    ]
    return mark_blocking(marked, job.fail_on)


def still_there(findings: Sequence[Finding], tree: str, tip: str, repository: Repository) -> list[Finding]:
    """Those of the findings in `tree` that nothing up to `tip` has mended."""
    if tree == tip or not findings:
        return list(findings)
    renamed = history.renamed(repository, tree, tip)
    return [
        finding
        for finding in findings
        if finding.status is not Status.ACTIVE or not _is_mended(finding, tree, tip, renamed, repository)
    ]


def _named(finding: Finding, commit: Commit) -> Finding:
    return finding._replace(reason=finding.reason or f"in commit {commit.oid[:OID_DIGITS]}")


def _is_mended(finding: Finding, tree: str, tip: str, renamed: dict[str, str], repository: Repository) -> bool:
    """Whether the quoted line is there no more; or, if a removed line was quoted, is there again."""
    then = repository.file_in(tree, finding.path)
    now = repository.file_in(tip, renamed.get(finding.path, finding.path))
    was_there = then is not None and memory.is_in(finding.evidence, memory.lines_of(then))
    is_there = now is not None and memory.is_in(finding.evidence, memory.lines_of(now))
    return was_there != is_there
