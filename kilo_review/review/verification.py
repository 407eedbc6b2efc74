"""Puts findings to the test, each alone: only what the model affirms when it is asked again may block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.errors import (
    BadReplyError,
    BrokenStreamError,
    DeadlineError,
    ModelError,
    NotLocalError,
    PromptTooLongError,
    SourceError,
)
from kilo_review.core.finding import Finding, Status
from kilo_review.core.outcome import Usage
from kilo_review.judge.verify import claim_of, is_due, ruled, unverified
from kilo_review.models.base import answer_identity
from kilo_review.review.model_client import Asker, Form

if TYPE_CHECKING:
    from kilo_review.ledger.records import Ledger
    from kilo_review.plan.chunk import Piece
    from kilo_review.review.chunker import Pace
    from kilo_review.review.request import Job
    from kilo_review.review.session import Session

NO_TIME = "there was no time left to verify it"
WOULD_BE_THE_SAME = (BadReplyError, PromptTooLongError)
"""Failures that say nothing of the next question, and that asking again would not mend."""


class Verifier:
    """Asks about one finding after the other, and remembers what was ruled.

    Attributes:
        usage: what it cost.
        left: why a finding was not put to the test that may be another time; "" if all were.
        identity: of another model that was asked, see `answer_identity`; "" if none was.
        has_given_up: whether nothing more is asked.
    """

    def __init__(self, job: Job, session: Session, ledger: Ledger, pace: Pace, asker: Asker) -> None:
        """Ask nothing yet.

        Args:
            job: which findings are due.
            session: where a second model is connected, if one is wanted.
            ledger: where rulings are remembered.
            pace: how long an answer takes.
            asker: the model that found.
        """
        self.usage = Usage()
        self.left = ""
        self.identity = ""
        self.has_given_up = False
        self._job = job
        self._session = session
        self._ledger = ledger
        self._pace = pace
        self._finder = asker
        self._asker: Asker | None = None
        self._rulings: dict[str, Finding] = {}

    @property
    def asker(self) -> Asker | None:
        """The one that was asked; None if none was."""
        return self._asker

    def is_due(self, finding: Finding) -> bool:
        """Whether a finding must be confirmed before it counts."""
        return is_due(finding, self._job.verify, self._job.fail_on)

    def settle(self, finding: Finding, piece: Piece, key: str, rules: str) -> Finding:
        """The finding as it stands after the test; `unverified` if it could not be made.

        Args:
            finding: one that is due.
            piece: the code that it speaks of.
            key: of the hunk, under which it is remembered.
            rules: the rules that the finder was shown.

        Raises:
            NotLocalError: the answer came from another machine.
        """
        try:
            asker = self._ready()
            return self._remembered(finding, piece, key, asker) or self._asked(finding, piece, key, rules, asker)
        except NotLocalError as error:
            was_sent = self._asker is not None
            self.give_up(error)
            if was_sent:
                raise
        except WOULD_BE_THE_SAME as error:
            return unverified(finding, error.message)
        except BrokenStreamError as error:
            self.left = error.message
        except ModelError as error:
            self.give_up(error)
        return unverified(finding, self.left)

    def give_up(self, error: ModelError | SourceError) -> None:
        """Ask no more; what is due from now on is unverified for this reason."""
        self.has_given_up = True
        self.left = NO_TIME if isinstance(error, DeadlineError) else error.message

    def _ready(self) -> Asker:
        if self._asker is None:
            job, model = self._job, self._finder.model
            if job.verify_model is not None:
                model = self._session.model(job.verify_model)
                self.identity = answer_identity(model, job.prompts.verify_version)
            form = self._finder.form if model is self._finder.model else Form()
            self._asker = Asker(model, job.prompts, job.deadline, self.usage, self._finder.meter, form)
        return self._asker

    def _asked(self, finding: Finding, piece: Piece, key: str, rules: str, asker: Asker) -> Finding:
        question = self._job.prompts.verify(piece.text, claim_of(finding, piece), finding.category.value, rules)
        left = self._job.deadline.remaining()
        tokens = sum(asker.meter.estimate(message.content) for message in question)
        if left is not None and self._pace.expected.seconds(tokens) > left:
            raise DeadlineError(NO_TIME)
        settled = ruled(finding, asker.ruling(question))
        name = self._name(finding, piece, key, asker)
        self._rulings[name] = settled
        if settled.status is not Status.UNVERIFIED:
            self._ledger.remember({name: (piece.hunk.start, [settled])})
        return settled

    def _remembered(self, finding: Finding, piece: Piece, key: str, asker: Asker) -> Finding | None:
        """What was ruled on the same claim about the same code; the rest of the finding is as it is now."""
        name = self._name(finding, piece, key, asker)
        kept = self._rulings.get(name)
        if kept is None:
            kept = next(iter(self._ledger.verdict(name, piece.hunk.start) or ()), None)
        return None if kept is None else finding._replace(status=kept.status, reason=kept.reason)

    def _name(self, finding: Finding, piece: Piece, key: str, asker: Asker) -> str:
        import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

        who = answer_identity(asker.model, self._job.prompts.verify_version)
        parts = (who, key, finding.category.value, str(finding.line - piece.hunk.start), finding.evidence, finding.rule)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()
