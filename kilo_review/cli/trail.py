"""What a hook leaves on record where it has not reviewed: every way out of it that is no review comes by here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError
from kilo_review.ledger.records import NEXT_COMMIT, SWITCHED_OFF, Ledger
from kilo_review.sanitize.terminal import one_line
from kilo_review.source import git_state, history
from kilo_review.source.repo import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kilo_review.review.session import Session

LAST_SECONDS = 0.5
"""For the record, when the time limit is used up."""
ON_RECORD = "left for kilo-review catch-up"


@dataclass(slots=True)
class Trail:
    """Where the record goes.

    Attributes:
        find: what is put on record where no change has been begun: (base, head) as the ledger has them.
        remembers: False where nothing is kept.
        session: the run's own, once there is one; it knows which changes it has begun.
    """

    find: Callable[[Repository], Collection[tuple[str, str]]]
    remembers: bool = True
    session: Session | None = None

    def leave(self, reason: str) -> str:
        """Put on record that there was no review; in a few words what became of that, "" if nothing need be said."""
        try:
            return self._leave(reason)
        except KeyboardInterrupt:
            return not_on_record("interrupted")
        except (KiloReviewError, OSError, MemoryError, RecursionError) as error:
            return not_on_record(
                getattr(error, "message", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
            )

    def _leave(self, reason: str) -> str:
        if not self.remembers:
            return not_on_record(SWITCHED_OFF)
        own = self.session.ledger_so_far if self.session else None
        if own is not None and own.is_concluded and not own.begun:
            return (not_on_record(own.off) if own.off else ON_RECORD) if own.has_left else ""
        # Opened anew: the run's own may be what failed, and its time may be over.
        with Repository(Path.cwd(), Deadline().within(LAST_SECONDS)) as repo:
            ledger = Ledger.of(repo.layout.common_dir, Deadline().within(LAST_SECONDS))
            try:
                changes = set(own.begun) if own is not None else set()
                if not changes:
                    found = set(self.find(repo))
                    changes = found - ledger.reviewed(found)
                is_kept = ledger.leave_all(changes, reason)
            finally:
                ledger.close()
        if not changes:
            return ""
        return ON_RECORD if is_kept else not_on_record(ledger.off)


def not_on_record(why: str) -> str:
    """Say that what was left out will not be caught up with."""
    return f"left out, and not on record: {one_line(why)}"


def next_commit(repo: Repository) -> list[tuple[str, str]]:
    """What is known of a commit whose tree is not: upon which tree it is made."""
    head = repo.head()
    if head is not None and git_state.is_amend():
        return [(history.commits(repo, [head], [], "--max-count=1")[0].change[0], NEXT_COMMIT)]
    return [(repo.head_tree(), NEXT_COMMIT)]


def last_commit(repo: Repository) -> list[tuple[str, str]]:
    """The change of the commit that has just been made; none if it changes nothing."""
    head = repo.head()
    made = history.commits(repo, [head], [], "--max-count=1") if head else []
    return [commit.change for commit in made if not commit.is_empty]
