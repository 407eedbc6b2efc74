"""What a project accepts: the baseline made from a review, brought up to date, and held against the code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilo_review import review, sieve
from kilo_review.finding import Status
from kilo_review.judge.baseline import NO_REASON, Accepted, Baseline, accepted, combined, revived

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilo_review.job import Job, Watch
    from kilo_review.outcome import Outcome
    from kilo_review.session import Session
    from kilo_review.source.repo import Repository


def made(job: Job, reason: str, watch: Watch, session: Session) -> tuple[Baseline, Outcome]:
    """A baseline of what a review finds, on top of the one that the job has.

    Entries keep their reasons; those whose code is gone are left out; those whose code has moved stand where it
    is now.

    Args:
        job: what is reviewed, and the present baseline.
        reason: why the new ones are accepted.
        watch: who is told how it goes.
        session: what is open.
    """
    outcome = review.run(job, watch, session)
    tree = outcome.target.head
    decided = sieve.known(job, {}, session.repository, tree)
    for finding in outcome.findings:
        decided.mark(revived(finding))
    kept = [entry for entry in decided.unused if tree is None or stands(entry, tree, session.repository)]
    dismissed = [entry for entry in job.baseline if entry.status == Status.DISMISSED]
    met = [
        accepted(finding, finding.reason or NO_REASON)
        for finding in outcome.findings
        if finding.status is Status.BASELINE
    ]
    new = [accepted(finding, reason or NO_REASON) for finding in outcome.shown]
    return combined([*met, *new, *kept, *dismissed]), outcome


def stale(baseline: Iterable[Accepted], repository: Repository) -> list[Accepted]:
    """Entries whose code is nowhere in what would be committed now."""
    tree = repository.snapshot_index()
    return [entry for entry in baseline if not stands(entry, tree, repository)]


def stands(entry: Accepted, tree: str, repository: Repository) -> bool:
    """Whether the code of an entry is still there, in its file or elsewhere."""
    return not entry.code or repository.holds(tree, entry.code)


def without(baseline: Baseline, prefix: str) -> tuple[Baseline, list[Accepted]]:
    """The baseline less the shared dismissals whose fingerprint begins so; and those."""
    taken = [each for each in baseline if each.status == Status.DISMISSED and each.fingerprint.startswith(prefix)]
    return tuple(each for each in baseline if each not in taken), taken


def unaccepted(job: Job) -> Job:
    """The same job, as if nothing were accepted yet."""
    return replace(job, baseline=())
