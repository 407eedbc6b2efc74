"""`make soak`: many reviews against servers that go wrong at random in every way that we know; nothing may lie or leak.

Everything is drawn from the seed and the number of the review. What is found is printed with how to have it again.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from kilo_review.ledger.store import FILE, FOLDER
from soak.changes import Workshop
from soak.checks import Case, violations
from soak.leaks import leaks, measured, share_memory_among_threads
from soak.plan import EPISODE, chance_of, episode_of, plan_of
from soak.runs import LARGEST_LEDGER, hurried, install_hook, run
from soak.server import FaultyServer
from soak.tally import Tally, leak_figures, story
from soak.truth import Record, Remembered
from soak.wire import OLLAMA, OPENAI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soak.leaks import Measure
    from soak.plan import Plan

REVIEWS = 2000
MEASURE_EVERY = 100
WARM_UP = 20
"""Reviews after which everything is loaded that is loaded once."""
MOST_SHOWN = 40
LEDGER_MIB = 4 * LARGEST_LEDGER / (1 << 20)
"""The write-ahead log, and what is added until room is made."""


@dataclass
class Soak:
    """One run."""

    seed: int
    folder: Path
    servers: dict[str, FaultyServer]
    workshop: Workshop
    temper: float | None = None
    is_untimed: bool = False
    tally: Tally = field(default_factory=Tally)
    measures: list[Measure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _known: dict[tuple[str, int], Remembered] = field(default_factory=dict)
    _episode: int = -1

    def review(self, number: int) -> Case:
        """Do one review, and hold it against the truth."""
        plan = plan_of(self.seed, number)
        plan = plan if self.temper is None else plan._replace(temper=self.temper)
        plan = plan._replace(seconds=None) if self.is_untimed else plan
        self._prepare(plan)
        record = Record(number, chance_of(self.seed, number, "server"), plan.temper)
        server = self.servers[plan.wire]
        server.begin(record, window=plan.window, has_deadline=plan.seconds is not None)
        seen = run(plan, self.workshop.folder, server.url)
        left_open = server.settle()
        # A ledger knows answers by who was asked and how often; this is what it may know of this episode.
        known = self._known.setdefault((plan.wire, plan.votes), Remembered()) if plan.remembers else None
        temporary = self.folder / "tmp"
        case = Case(plan, self.workshop.hunks(), record, known, seen, left_open, temporary, server.url)
        self.tally.add(case)
        self.problems += [f"review {number}: {what}" for what in violations(case)]
        if known is not None:
            known.learn(record)
            if case.is_unclear:  # what it answered for, or else what it was asked about
                known.covered |= {mark for each in record.exchanges for mark in each.asked}
        return case

    def _prepare(self, plan: Plan) -> None:
        episode = episode_of(plan.number)
        if episode != self._episode:
            self._episode, self._known = episode, {}
            self._forget_speeds()
            self.workshop.begin(episode, chance_of(self.seed, episode, "base"))
        if not plan.is_again:
            self.workshop.alter(chance_of(self.seed, plan.number, "change"))

    def _forget_speeds(self) -> None:
        """What is packed into a request depends on them; a review is to depend on its episode alone."""
        ledger = self._ledger / FILE
        if ledger.exists():
            with closing(sqlite3.connect(ledger)) as database, database:
                database.execute("DELETE FROM calibration")

    @property
    def _ledger(self) -> Path:
        return self.workshop.folder / ".git" / FOLDER

    def measure(self, number: int) -> None:
        self.measures.append(measured(number, self._ledger))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reviews", type=int, default=REVIEWS)
    parser.add_argument("--seed", type=int, help="drawn, and printed, unless given")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further review after so long")
    parser.add_argument("--only", type=int, metavar="N", help="this review alone, and those that it builds upon")
    parser.add_argument("--temper", type=float, help="share of requests that go wrong; drawn for each unless given")
    parser.add_argument("--untimed", action="store_true", help="no review has a time limit: what it shows is the same")
    arguments = parser.parse_args()
    seed = Random().randrange(1, 10**6) if arguments.seed is None else arguments.seed
    numbers = range(arguments.reviews)
    if arguments.only is not None:
        numbers = range(arguments.only // EPISODE * EPISODE, arguments.only + 1)
    print(f"seed {seed}", flush=True)
    share_memory_among_threads()
    with tempfile.TemporaryDirectory(prefix="kilo-soak-") as folder, ExitStack() as stack:
        _hermetic(Path(folder))
        stack.enter_context(hurried())
        servers = {wire: stack.enter_context(FaultyServer(wire)) for wire in (OLLAMA, OPENAI)}
        workshop = Workshop(Path(folder) / "repository")
        workshop.create()
        install_hook(workshop.folder)
        soak = Soak(seed, Path(folder), servers, workshop, arguments.temper, arguments.untimed)
        started = time.monotonic()
        _go(soak, numbers, started + arguments.seconds, is_told=arguments.only is not None)
        sys.exit(_report(soak, time.monotonic() - started, arguments.only))


def _go(soak: Soak, numbers: Iterable[int], end: float, *, is_told: bool) -> None:
    for count, number in enumerate(numbers, 1):
        if time.monotonic() > end:
            break
        case = soak.review(number)
        if count % MEASURE_EVERY == 0 or count == WARM_UP:
            soak.measure(count)
        if is_told:
            print(story(case))
    soak.measure(soak.tally.reviews)


def _report(soak: Soak, seconds: float, only: int | None) -> int:
    problems = [*soak.problems, *(leaks(soak.measures, LEDGER_MIB) if only is None else ())]
    print(soak.tally.table())
    print(soak.tally.figures())
    print(leak_figures(soak.measures))
    print(f"\n{soak.tally.reviews} reviews in {seconds:.0f} s, seed {soak.seed}: {len(problems) or 'no'} violations")
    for problem in problems[:MOST_SHOWN]:
        print(f"  {problem}")
    if problems:
        temper = "" if soak.temper is None else f" --temper {soak.temper:g}"
        untimed = " --untimed" if soak.is_untimed else ""
        print(f"  one alone: python -m soak --seed {soak.seed}{temper}{untimed} --only NUMBER")
    return 1 if problems else 0


def _hermetic(folder: Path) -> None:
    """No configuration of the user's; what is temporary lies where it can be counted."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "KILO_REVIEW_", "OLLAMA_", "LM_API_TOKEN", "PYTHONDONTWRITE", "PRE_COMMIT")):
            del os.environ[name]
    temporary = folder / "tmp"
    temporary.mkdir()
    os.environ |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    tempfile.tempdir = None  # it was found out before


if __name__ == "__main__":
    main()
