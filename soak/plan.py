"""What each review of a run is like: by its number and the seed alone, so that one can be had again."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from kilo_review.judge.policy import FailOn, Verify
from soak.wire import OLLAMA, OPENAI, WINDOW

EPISODE = 5
"""Reviews of changes on one base; a ledger is of use among them."""
PROCESS_EVERY = 20
LIBRARY, HAND, HOOK, COMMIT = "library", "by hand", "hook", "git commit"
SECONDS = (0.5, 0.8, 1.2, 2.0, 4.0, None, None, None)
PROCESS_SECONDS = (1.5, 2.5, 5.0)
"""A process waits for a server as it does for users, so all of them have a limit."""
TEMPERS = (0.0, 0.1, 0.1, 0.3, 0.3, 0.6)
WINDOWS = (WINDOW[OLLAMA], 4096, None)
LANES = 3
NARROW = 2700
"""Tokens: instructions, an answer, and little else."""


class Plan(NamedTuple):
    """One review.

    Attributes:
        how: `LIBRARY` in this process, else as one of its own: by hand, as a hook, below `git commit`.
        seconds: the time limit.
        remembers: whether the ledger is used.
        in_commit: whether it is asked for as a hook asks.
        is_named: whether the model is named rather than chosen.
        window: that the model is loaded with; None: it is not loaded.
        num_ctx: that the user asks for, or None.
        temper: share of requests that go wrong.
        jobs: requests that may be under way at once.
        is_again: nothing has changed since the review before.
    """

    number: int
    wire: str
    how: str
    seconds: float | None
    votes: int
    verify: Verify
    fail_on: FailOn
    remembers: bool
    in_commit: bool
    is_named: bool
    window: int | None
    num_ctx: int | None
    temper: float
    is_again: bool
    jobs: int = 1

    @property
    def is_process(self) -> bool:
        return self.how != LIBRARY


def chance_of(seed: int, number: int, what: str) -> Random:
    return Random(f"{seed} {number} {what}")


def plan_of(seed: int, number: int) -> Plan:
    """The plan of one review; what a ledger remembers answers by is the same for a whole episode."""
    episode = chance_of(seed, number // EPISODE, "episode")
    wire, votes = episode.choice((OLLAMA, OPENAI)), episode.choice((1, 1, 1, 3))
    chance = chance_of(seed, number, "plan")
    is_process = number % PROCESS_EVERY == PROCESS_EVERY // 2
    how = chance.choice((HAND, HAND, HOOK, COMMIT)) if is_process else LIBRARY
    return Plan(
        number=number,
        wire=wire,
        how=how,
        seconds=chance.choice(PROCESS_SECONDS if is_process else SECONDS),
        votes=1 if how in {HOOK, COMMIT} else votes,
        verify=chance.choice((Verify.OFF, Verify.BLOCKING, Verify.BLOCKING, Verify.ALL)),
        fail_on=chance.choice((FailOn.CRITICAL, FailOn.CRITICAL, FailOn.MAJOR, FailOn.MINOR)),
        remembers=chance.random() < 0.7,
        in_commit=how in {HOOK, COMMIT} or (not is_process and chance.random() < 0.3),
        is_named=chance.random() < 0.5,
        window=chance.choice(WINDOWS),
        num_ctx=NARROW if chance.random() < 0.25 else None,
        temper=chance.choice(TEMPERS),
        is_again=number % EPISODE > 0 and chance.random() < 0.3,
        jobs=chance.choice((1, 1, LANES)) if how == LIBRARY else 1,
    )


def episode_of(number: int) -> int:
    return number // EPISODE
