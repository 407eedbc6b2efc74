"""What the server knows: of each question what it asked about, and whether a complete and readable answer went out."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from soak.changes import MARK
from tests.support.fakes.base import asks_again

if TYPE_CHECKING:
    from random import Random

Kind = Literal["review", "repair", "ruling"]
_ROW = re.compile(r" *(\d*) ([-+ ]) (.*)")
_CLAIM = "Somebody claims that"
SURE_SECONDS = 0.5
"""An answer that took no longer was surely not given up by the client, whose patience is shortened."""
LATE_SECONDS = 0.3
"""An answer that was complete so long before the deadline was surely read in time."""


class Row(NamedTuple):
    """A line of code as a prompt shows it."""

    path: str
    number: int
    sign: str
    text: str
    mark: str


class Question(NamedTuple):
    """What a chat request asks."""

    kind: Kind
    rows: tuple[Row, ...]
    claimed: str = ""
    """Of a ruling: the mark of the line that is put to the test."""

    @property
    def changed(self) -> list[Row]:
        return [row for row in self.rows if row.sign != " "]


@dataclass(slots=True)
class Exchange:
    """One chat request and what became of it.

    Attributes:
        asked: marks of the changed lines that it asks about.
        is_good: whether the answer, once complete, must be understood.
        found: marks of the findings in it, each with the word that its title begins with.
        confirmed: whether a ruling confirms; None if it is none, or says neither.
        is_again: whether it repeats the request before it, which failed.
        complete: when the last byte that matters was handed over, on the monotonic clock; None: never.
    """

    question: Question
    asked: frozenset[str]
    fault: str
    is_good: bool
    began: float
    found: tuple[tuple[str, str], ...] = ()
    confirmed: bool | None = None
    is_again: bool = False
    complete: float | None = None

    @property
    def is_delivered(self) -> bool:
        return self.is_good and self.complete is not None

    def had_time(self, deadline: float | None) -> bool:
        """Whether it was complete so early that the client cannot have given up before."""
        if self.complete is None or self.complete - self.began > SURE_SECONDS:
            return False
        return deadline is None or self.complete < deadline - LATE_SECONDS


@dataclass
class Record:
    """What happened at the server in one review.

    Attributes:
        temper: share of requests that go wrong.
        drawn: what went wrong, by name.
        told_remote: whether it said that the model runs elsewhere, before or in an answer.
        trespasses: questions that came although it had said so.
    """

    number: int
    chance: Random
    temper: float
    exchanges: list[Exchange] = field(default_factory=list)
    drawn: Counter[str] = field(default_factory=Counter)
    told_remote: bool = False
    trespasses: int = 0
    last_review: Question | None = None

    def covered(self) -> set[str]:
        """Marks of all lines that a complete and readable answer was about."""
        return {mark for each in self.answers() for mark in each.asked}

    def answers(self) -> list[Exchange]:
        return [each for each in self.exchanges if each.is_delivered and each.question.kind != "ruling"]

    def ruled(self, *, confirmed: bool) -> set[str]:
        """Marks of the lines of which a ruling has said so."""
        rulings = (each for each in self.exchanges if each.is_delivered and each.question.kind == "ruling")
        return {each.question.claimed for each in rulings if each.confirmed is confirmed}

    def found(self) -> set[tuple[str, str]]:
        """Findings that were delivered, as word and mark; `partial` ones came in an answer that was cut."""
        cut = (each for each in self.exchanges if each.complete is not None and each.fault == "cut answer")
        return {pair for each in (*self.answers(), *cut) for pair in each.found}


@dataclass
class Remembered:
    """What a ledger may know of an episode, by who was asked and how often."""

    covered: set[str] = field(default_factory=set)
    found: set[tuple[str, str]] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)

    def learn(self, record: Record) -> None:
        self.covered |= record.covered()
        self.found |= record.found()
        self.confirmed |= record.ruled(confirmed=True)
        self.denied |= record.ruled(confirmed=False)


def question(body: dict[str, Any], before: Question | None) -> Question:
    """What a request asks; a repair asks about what the review before it asked about."""
    content = body["messages"][-1]["content"]
    if len(body["messages"]) == 1:
        return Question("repair", before.rows if before else ())
    if not asks_again(body):
        return Question("review", tuple(_rows(content)))
    shown, _, claim = content.partition(_CLAIM)
    quoted = MARK.search(claim)
    return Question("ruling", tuple(_rows(shown)), quoted.group() if quoted else "")


def _rows(content: str) -> list[Row]:
    found, path = [], ""
    for line in content.split("\n"):
        if line.startswith("FILE "):
            path = re.sub(r" \((?:new file|deleted file|renamed|copied)\)\Z", "", line.removeprefix("FILE "))
        elif (match := _ROW.match(line)) and (mark := MARK.search(match[3])):
            found.append(Row(path, int(match[1] or 0), match[2], match[3], mark.group()))
    return found
