"""The program in the test's own process: no interpreter to start, and its clocks can be turned."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from kilo_review import ask, deadline, review
from kilo_review.cli.app import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from kilo_review.job import Job, Watch
    from kilo_review.outcome import Outcome
    from kilo_review.session import Session

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass
class Told:
    """How one run ended.

    Attributes:
        code: the exit code.
        text: standard output.
        talk: standard error.
        outcome: what the report was made of.
        waits: seconds that were waited for before further tries; nobody has really waited.
        seconds: that it took.
    """

    code: int
    text: str
    talk: str
    outcome: Outcome
    waits: list[float]
    seconds: float


class Program:
    """Runs the command line from its arguments to its exit code, over a change in the working directory."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, *arguments: str) -> Told:
        started = time.monotonic()
        outcomes: list[Outcome] = []
        waits: list[float] = []

        def recorded(job: Job, watch: Watch, session: Session) -> Outcome:
            outcomes.append(original(job, watch, session))
            return outcomes[-1]

        original = review.run
        with self._patch.context() as patch, _signals_as_they_are():
            patch.setattr(review, "run", recorded)
            patch.setattr(ask, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
            patch.setattr(deadline, "PROCESS_START", started)
            patch.setattr(review, "PROCESS_START", started)
            code = main(arguments)
        shown = self._capture.readouterr()
        (outcome,) = outcomes
        return Told(code, shown.out, shown.err, outcome, waits, time.monotonic() - started)


@contextmanager
def _signals_as_they_are() -> Iterator[None]:
    """`main` is at home in a process of its own, and sets what it needs."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
