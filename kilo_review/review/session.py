"""What all reviews of one invocation share: the repository, the ledger, one connection to one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from kilo_review import models
from kilo_review.core.errors import ModelError
from kilo_review.ledger.records import Ledger
from kilo_review.plan.syntax import Syntax
from kilo_review.source.repo import Repository

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline
    from kilo_review.core.errors import NotLocalError
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import Model, ModelRequest


IDENTIFY_SECONDS = 2.0
"""A server that does not tell within this time which model it has is as good as none: a push waits for it."""


class Session:
    """Opens each of them when it is first needed, and closes them all at the end.

    Attributes:
        deadline: when the run must be over.
        egress: where bytes that leave the process are booked.
        syntax: what parses files, in a process of its own.
    """

    def __init__(
        self,
        deadline: Deadline,
        *,
        remembers: bool = True,
        directory: Path | None = None,
        repository: Repository | None = None,
        ledger_folder: Path | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            deadline: when the run must be over.
            remembers: False to neither look up nor keep anything in the ledger.
            directory: where the repository is; None for the working directory.
            repository: one that is open already; it is closed with the rest.
            ledger_folder: where the ledger is kept; None for the repository's own.
        """
        self.deadline = deadline
        self.egress: list[Egress] = []
        self.syntax = Syntax(deadline)
        self._remembers = remembers
        self._directory = directory
        self._repository = repository
        self._ledger_folder = ledger_folder
        self._ledger: Ledger | None = None
        self._dismissals: dict[str, str] | None = None
        self._models: list[tuple[ModelRequest, Model | ModelError]] = []
        self._ended: ModelError | None = None
        self._unidentified: ModelError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.hang_up()
        for opened in (self._ledger, self._repository, self.syntax):
            if opened is not None:
                opened.close()

    def hang_up(self) -> None:
        """Close the connections to models for good; whoever waits for an answer, or is connecting, gets an error."""
        self._end(ModelError("the connections to models were closed"))

    def forget(self, request: ModelRequest) -> None:
        """Have a model connected anew, or tried again after a failure."""
        for known in [each for each in self._models if each[0] == request]:
            self._models.remove(known)
            if not isinstance(known[1], ModelError):
                known[1].close()

    def distrust(self, error: NotLocalError) -> None:
        """An answer came from another machine: nothing more is sent to any model."""
        self._end(error)

    def _end(self, error: ModelError) -> None:
        self._ended = error
        for _, found in self._models:
            if not isinstance(found, ModelError):
                found.close()

    @property
    def repository(self) -> Repository:
        """The repository around the working directory.

        Raises:
            TargetError: there is none.
            SourceError: git refuses to read it.
        """
        if self._repository is None:
            self._repository = Repository(self._directory or Path.cwd(), self.deadline)
        return self._repository

    @property
    def ledger(self) -> Ledger:
        """The repository's ledger, shared by its worktrees."""
        if self._ledger is None:
            folder = self._ledger_folder or self.repository.layout.common_dir
            self._ledger = Ledger.of(folder, self.deadline, is_used=self._remembers)
        return self._ledger

    @property
    def ledger_so_far(self) -> Ledger | None:
        """The ledger, if it has been needed."""
        return self._ledger

    @property
    def dismissals(self) -> dict[str, str]:
        """What was dismissed in this clone, by `Finding.fingerprint`; read once."""
        if self._dismissals is None:
            self._dismissals = self.ledger.dismissals()
        return self._dismissals

    def would_answer(self, request: ModelRequest) -> Model:
        """Return the model that would be asked now; starts no engine, and waits no longer than it takes a server.

        Raises:
            ModelError: none can be asked, or it does not say so in time. A later review tries again.
        """
        known = next((found for wanted, found in self._models if wanted == request), None)
        known = known or self._unidentified
        if isinstance(known, ModelError):
            raise known
        if known is not None:
            return known
        wanted = request._replace(starts_nothing=True)
        try:
            found = models.connect(wanted, self.egress, self.deadline.within(IDENTIFY_SECONDS))
        except ModelError as error:
            self._unidentified = error  # each further question would wait as long
            raise
        self._models.append((request if found.info.provider != "embedded" else wanted, found))
        return found

    def model(self, request: ModelRequest) -> Model:
        """A model that is asked, connected once; a failure is not tried again.

        Raises:
            ModelError: no model can be asked; the message says why and what to do.
        """
        known = next((found for wanted, found in self._models if wanted == request), None)
        if known is None:
            try:
                known = models.connect(request, self.egress, self.deadline)
            except ModelError as error:
                known = error
            self._models.append((request, known))
        if isinstance(known, ModelError):
            raise known
        if self._ended is not None:  # perhaps by another thread, while this one was connecting
            known.close()
            raise self._ended
        return known
