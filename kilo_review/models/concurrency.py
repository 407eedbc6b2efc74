"""How many requests are under way at once: as many as the server works on at the same time, and no more.

A server that tells is believed. One that does not is tried out: more at once as long as that gets more done, fewer as
soon as it asks for patience. Pure, so that whoever measures keeps the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

WORTH = 1.15
"""A step up must get so much more done to be kept; less is noise."""


class Width(NamedTuple):
    """What a server is known or believed to work on at the same time.

    Attributes:
        start: requests to begin with.
        most: requests that are never exceeded.
    """

    start: int = 1
    most: int = 1


@dataclass(slots=True)
class Throttle:
    """Learns from each answer.

    Attributes:
        width: where it begins, and where it ends.
        limit: requests that may be under way now.
    """

    width: Width
    limit: int = field(init=False)
    _settled: bool = field(default=False, init=False)
    _tokens: float = field(default=0.0, init=False)
    _seconds: float = field(default=0.0, init=False)
    _answers: int = field(default=0, init=False)
    _best: float = field(default=0.0, init=False)
    _before: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.limit = self.width.start
        self._settled = self.width.start == self.width.most

    def answered(self, tokens: int, seconds: float) -> None:
        """A request is done.

        Args:
            tokens: of its prompt and its answer.
            seconds: that it took, waiting in the server's queue included.
        """
        if self._settled:
            return
        self._tokens += max(tokens, 1)
        self._seconds += seconds
        self._answers += 1
        if self._answers >= 2 * self.limit:
            self._judge()

    def busy(self) -> None:
        """The server asks for patience: half as many from now on, and no more trying."""
        self.limit = max(1, self.limit // 2)
        self._settled = True

    def _judge(self) -> None:
        """Whether the last step has got more done; then the next one is tried, else it is taken back."""
        rate = self.limit * self._tokens / self._seconds if self._seconds else 0.0
        self._tokens, self._seconds, self._answers = 0.0, 0.0, 0
        if rate < self._best * WORTH:
            self.limit, self._settled = self._before, True
            return
        self._best, self._before = rate, self.limit
        self.limit = min(self.width.most, 2 * self.limit)
        self._settled = self.limit == self._before
