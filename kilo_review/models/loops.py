"""Notices that a model has begun to repeat itself, so that the connection is closed long before its limit of tokens.

Servers end such answers late or never: Ollama after 30 equal tokens and without a word, others at the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.errors import RepetitionError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BLANKS = 400
"""White space in a row; a grammar lets a model write it for ever between two tokens of JSON."""
TAIL = 3000
"""Characters that are looked at: the longest loop that is noticed has a quarter of them."""
SHORTEST_LOOP = 600
"""Characters; a long line of dashes, quoted once, is no loop."""
TIMES = 4
PROBE = 50
STEP = 128
"""Characters between two looks."""


class LoopWatch:
    """Is fed an answer bit by bit."""

    def __init__(self) -> None:
        self._tail = ""
        self._unseen = 0

    def feed(self, piece: str) -> None:
        """Take the next bit.

        Raises:
            RepetitionError: the answer has begun to repeat itself.
        """
        self._tail = (self._tail + piece)[-TAIL:]
        self._unseen += len(piece)
        if self._unseen < STEP:
            return
        self._unseen = 0
        if is_looping(self._tail):
            raise RepetitionError(
                "the model repeats itself without end", hint="Another model or quantisation may do better"
            )


def is_looping(tail: str) -> bool:
    """Whether a text ends in white space for too long, or in the same passage four times over."""
    if len(tail) - len(tail.rstrip()) > MOST_BLANKS:
        return True
    return any(_is_periodic(tail, period) for period in _periods(tail))


def _periods(tail: str) -> Iterator[int]:
    """Distances at which the text's end has stood before: a passage may repeat something within itself."""
    end = tail[-PROBE:]
    last = before = len(tail) - len(end)
    while (before := tail.rfind(end, 0, before - 1 + len(end))) >= 0:
        yield last - before


def _is_periodic(tail: str, period: int) -> bool:
    span = max(TIMES * period, SHORTEST_LOOP)
    return span <= len(tail) and tail[-span:-period] == tail[-span + period :]
