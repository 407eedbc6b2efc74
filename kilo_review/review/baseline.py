"""What a project accepts: the baseline made from a review, brought up to date, and held against the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.finding import Status, fold
from kilo_review.judge.baseline import NO_REASON, Accepted, Baseline, accepted, combined, revived
from kilo_review.review import cache, pipeline, suppression
from kilo_review.source import change as changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from kilo_review.core.outcome import Outcome
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.session import Session
    from kilo_review.source.repo import Repository


def made(job: Job, file: Path, reason: str, watch: Watch, session: Session) -> tuple[Baseline, Outcome]:
    """A baseline of what a review finds, on top of the one that the job has.

    Entries keep their reasons; those whose code is gone are left out; those whose code has moved stand where it
    is now.

    Args:
        job: what is reviewed, and the present baseline.
        file: where the baseline lies; what it quotes is no code.
        reason: why the new ones are accepted.
        watch: who is told how it goes.
        session: what is open.
    """
    outcome = pipeline.run(job, watch, session)
    tree = outcome.target.head
    decided = suppression.known(job, {}, changes.of_repository(session.repository, job.request), session.syntax)
    for finding in outcome.findings:
        decided.mark(revived(finding))
    assert tree
    stands = standing(tree, session.repository, file)
    kept = [entry for entry in decided.unused if stands(entry)]
    dismissed = [entry for entry in job.baseline if entry.status == Status.DISMISSED]
    met = [
        accepted(finding, finding.reason or NO_REASON)
        for finding in outcome.findings
        if finding.status is Status.BASELINE
    ]
    # A quote that is not in the code would be gone as soon as it was accepted.
    new = [accepted(each, reason or NO_REASON) for each in outcome.shown if each.status is not Status.UNANCHORED]
    outcome.findings = [finding._replace(blocking=False) for finding in outcome.findings]
    return combined([*met, *new, *kept, *dismissed]), outcome


def stale(baseline: Iterable[Accepted], repository: Repository, file: Path) -> list[Accepted]:
    """Entries whose code is nowhere in what would be committed now."""
    stands = standing(repository.snapshot_index(), repository, file)
    return [entry for entry in baseline if not stands(entry)]


def standing(tree: str, repository: Repository, file: Path) -> Callable[[Accepted], bool]:
    """What tells whether the code of an entry is in a tree, in its file or elsewhere, but for the baseline itself."""
    own = repository.inside(file)
    lines: dict[str, set[str] | None] = {}

    def lines_of(path: str) -> set[str] | None:
        if path not in lines:
            content = repository.file_in(tree, path)
            lines[path] = None if content is None else cache.lines_of(path, content)
        return lines[path]

    def stands(entry: Accepted) -> bool:
        code = fold(entry.code)
        return not code or code in (lines_of(entry.path) or ()) or repository.holds(tree, entry.code, but_for=own)

    return stands


def without(baseline: Baseline, prefix: str) -> tuple[Baseline, list[Accepted]]:
    """The baseline less the shared dismissals whose fingerprint begins so; and those."""
    taken = [each for each in baseline if each.status == Status.DISMISSED and each.fingerprint.startswith(prefix)]
    return tuple(each for each in baseline if each not in taken), taken


def unaccepted(job: Job) -> Job:
    """The same job, as if nothing were accepted yet."""
    return job._replace(baseline=())
