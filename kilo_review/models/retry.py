"""Which failures are worth another try, when, and how: pure, so that the one who asks keeps the clock.

A refused connection is not tried again: nobody is there, and a commit waits. A server that is loading is not
hurried: asking it anew would begin the load anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.errors import BrokenStreamError, CrashedError, RepetitionError, ServerBusyError
from kilo_review.models.base import AS_EVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.core.errors import ModelError

BUSY_SECONDS = (1.0, 2.0, 4.0)
"""Before the second, third and fourth try at a server whose queue is full."""
RESTART_SECONDS = 1.5
"""For a server to start its crashed runner again, or to load an evicted model."""
JITTER = 0.25
"""Of a wait, up or down: clients that were turned away together do not come back together."""
SHAKEN = {"temperature": 0.2, "repeat_penalty": 1.1}
"""Parameters for a model that repeated itself; with another seed."""
SEED_STEP = 101


class Try(NamedTuple):
    """Another try: after so many seconds, with these parameters over the request's own."""

    seconds: float
    sampling: Mapping[str, Any] = AS_EVER


@dataclass(slots=True)
class Patience:
    """What has failed so far in one request."""

    random: Random = field(default_factory=Random)
    _failures: Counter[type[ModelError]] = field(default_factory=Counter)

    def next_try(self, error: ModelError, seed: int) -> Try | None:
        """What to do about a failure; None: nothing more.

        Args:
            error: the failure.
            seed: of the request that failed.
        """
        self._failures[type(error)] += 1
        times = self._failures[type(error)]
        if isinstance(error, ServerBusyError):
            return Try(self._about(BUSY_SECONDS[times - 1])) if times <= len(BUSY_SECONDS) else None
        if times > 1:
            return None
        if isinstance(error, RepetitionError):
            return Try(0.0, SHAKEN | {"seed": seed + SEED_STEP})
        if isinstance(error, (CrashedError, BrokenStreamError)):
            return Try(self._about(RESTART_SECONDS))
        return None

    def _about(self, seconds: float) -> float:
        return seconds * self.random.uniform(1 - JITTER, 1 + JITTER)
