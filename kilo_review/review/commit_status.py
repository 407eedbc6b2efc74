"""How the commits stand that the remote does not have yet: reviewed, with which findings, or not and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kilo_review.core.finding import Finding, Status
from kilo_review.judge.policy import mark_blocking
from kilo_review.ledger.records import PUSHED
from kilo_review.review.commit_series import on_record, receipts_on_record, resolve
from kilo_review.source import history

if TYPE_CHECKING:
    from kilo_review.ledger.records import Receipt
    from kilo_review.review.request import Job
    from kilo_review.review.session import Session
    from kilo_review.source.history import Commit, Series

MOST_RECENT = 5000
"""Commits of HEAD and of remotes that are looked through for those that were pushed without having been reviewed."""
NEVER_SEEN = "no review of it is on record"


@dataclass(frozen=True, slots=True)
class Standing:
    """One commit.

    Attributes:
        commit: the commit.
        word: `reviewed`, `findings`, `not_reviewed`, or `empty` for one that changes nothing.
        reason: why it was not reviewed.
        hunks: how many hunks of it are known to be left.
        findings: what was found in it and is still there.
        is_final: no review with the same settings could look at what is left of it.
        is_pushed: whether the remote has it already.
    """

    commit: Commit
    word: str
    reason: str = ""
    hunks: int = 0
    findings: tuple[Finding, ...] = ()
    is_pushed: bool = False
    is_final: bool = False


def standings(job: Job, session: Session) -> list[Standing]:
    """All commits that the remote lacks, and those that it has got without a review."""
    series = history.unpushed(session.repository)
    overdue = [(commit, True) for commit in pushed_unreviewed(series, session)]
    waiting = [(commit, False) for commit in series.commits] if series else []
    every = [*overdue, *waiting]
    changes = {commit.change for commit, _ in every}
    receipts = receipts_on_record(job, changes, session)
    together = series and series.net.change and receipts_on_record(job, {series.net.change}, session)
    left = session.ledger.unreviewed(changes)
    found = []
    for commit, is_pushed in every:
        receipt = receipts.get(commit.change)
        if receipt is not None:
            standing = _reviewed(job, commit, receipt, session, series)
        elif commit.is_empty:
            standing = Standing(commit, "empty")
        elif together and not is_pushed:
            standing = Standing(commit, "reviewed", "together with the others")
        elif commit.change in left:
            row = left[commit.change]
            standing = Standing(commit, "not_reviewed", row.reason, row.hunks, is_final=row.is_final)
        else:
            standing = Standing(commit, "not_reviewed", NEVER_SEEN)
        found.append(replace(standing, is_pushed=is_pushed))
    return found


def pushed_unreviewed(series: Series | None, session: Session) -> list[Commit]:
    """Commits of HEAD or a remote that are on record as not reviewed, beside those that are still to be pushed.

    A push that its deadline cut short is on record as one change from the first commit's parent to the last one.
    """
    head = session.repository.head()
    if head is None or not session.ledger.all_unreviewed():
        return []
    waiting = {commit.change for commit in series.commits} if series else set()
    waiting |= {series.net.change} if series and series.net.change else set()
    by_tree: dict[str, list[Commit]] = {}
    recent = history.commits(session.repository, [head], [], "--remotes", f"--max-count={MOST_RECENT}")
    _resolve_pushes(session)
    resolve(recent, session.ledger)
    for commit in recent:
        by_tree.setdefault(commit.tree, []).append(commit)
    found = []
    for base, tree in session.ledger.all_unreviewed():
        if not base or (base, tree) in waiting or tree not in by_tree:
            continue  # no commit at all; or it was staged once and committed otherwise
        own = next((commit for commit in by_tree[tree] if commit.change == (base, tree)), None)
        found.append(own or by_tree[tree][-1]._replace(bases=tuple(base.split("+"))))
    return found


def _resolve_pushes(session: Session) -> None:
    """List the commits of pushes that could not be listed when they were made."""
    for row in session.ledger.unresolved():
        known, tip, _ = row
        if known.startswith(PUSHED):
            made = history.pushed(session.repository, known.removeprefix(PUSHED), tip)
            changes = {commit.change for commit in made if not commit.is_empty}
            session.ledger.resolve(row, changes - session.ledger.reviewed(changes))


def _reviewed(job: Job, commit: Commit, receipt: Receipt, session: Session, series: Series | None) -> Standing:
    tip = series.net.head if series and series.net.head else commit.tree
    found = on_record(job, commit, receipt, session, tip)
    active = tuple(finding for finding in mark_blocking(found, job.fail_on) if finding.status is Status.ACTIVE)
    return Standing(commit, "findings" if active else "reviewed", findings=active)
