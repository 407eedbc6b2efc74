"""One clock for the whole run, so that no step can forget the time that another has used."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kilo_review.core.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Item = TypeVar("Item")

PROCESS_START = time.monotonic()
"""Seconds on the monotonic clock when this program's first module was loaded."""
TICK = 0.25
"""Seconds of one wait for threads: Python notices a Ctrl-C that came just before a wait only when that is over."""

PACE = 256
"""Items of a long loop between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time, counted from the start of the process.

    Attributes:
        seconds: what the user allowed, or None for no limit.
        reserved: how many of them are kept for what must still be done afterwards.
    """

    seconds: float | None = None
    reserved: float = 0.0

    def remaining(self) -> float | None:
        """Seconds left (never negative), or None where there is no limit."""
        if self.seconds is None:
            return None
        return max(0.0, PROCESS_START + self.seconds - self.reserved - time.monotonic())

    def within(self, seconds: float) -> Deadline:
        """A nearer deadline: `seconds` from now, or this one if that is less."""
        end = time.monotonic() - PROCESS_START + seconds
        return Deadline(end if self.seconds is None else min(end, self.seconds - self.reserved))

    def paced(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with a look at the clock now and then.

        Raises:
            DeadlineError: nothing is left.
        """
        if self.seconds is None:
            yield from items
            return
        for number, item in enumerate(items):
            if not number % PACE:
                self.cap(1.0)
            yield item

    def cap(self, timeout: float) -> float:
        """`timeout` seconds, or what is left if that is less.

        Raises:
            DeadlineError: nothing is left.
        """
        left = self.remaining()
        if left is None:
            return timeout
        if left <= 0:
            raise DeadlineError(
                f"the time limit of {self.seconds:g} s is used up",
                hint="Raise it with --max-seconds, or use a smaller model",
            )
        return min(timeout, left)
