"""The program run in this process: no interpreter to start, its clocks can be turned, and what it does to files,
sockets and processes can be recorded.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import kilo_review
from kilo_review.cli.app import main
from kilo_review.core import deadline
from kilo_review.review import model_client, pipeline
from tests.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from kilo_review.core.outcome import Outcome
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.session import Session

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
OURS = (sys.prefix, sys.base_prefix, str(Path(kilo_review.__file__).parent), *filter(None, sys.path))
"""Where modules are: which of them are loaded already is chance."""
EVENTS = (
    "open",
    "os.",
    "shutil.",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.bind",
    "subprocess.Popen",
    "sqlite3.",
)
_recordings: list[set[str]] = []


def run_here(capture: pytest.CaptureFixture[bytes], *arguments: str) -> Result:
    """Run the program; its exit code and what it printed."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    capture.readouterr()
    try:
        code = main(arguments)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    printed = capture.readouterr()
    return Result(code, printed.out, printed.err)


@dataclass
class Told(Result):
    """How one run ended.

    Attributes:
        outcome: what the report was made of.
        waits: seconds that were waited for before further tries; nobody has really waited.
        seconds: that it took.
    """

    outcome: Outcome
    waits: list[float]
    seconds: float


class Program:
    """Runs the command line over a change in the working directory; one review a run."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, *arguments: str) -> Told:
        started = time.monotonic()
        outcomes: list[Outcome] = []
        waits: list[float] = []

        def noted(job: Job, watch: Watch, session: Session) -> Outcome:
            outcomes.append(original(job, watch, session))
            return outcomes[-1]

        original = pipeline.run
        with self._patch.context() as patch:
            patch.setattr(pipeline, "run", noted)
            patch.setattr(model_client, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
            patch.setattr(deadline, "PROCESS_START", started)
            patch.setattr(pipeline, "PROCESS_START", started)
            done = run_here(self._capture, *arguments)
        (outcome,) = outcomes
        return Told(done.code, done.stdout, done.stderr, outcome, waits, time.monotonic() - started)


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Files that are opened, made or removed, addresses that are connected to, programs that are started.

    The temporary folder is an empty one: in that of the system lie leftovers of killed runs, which the next run removes.
    """
    seen: set[str] = set()
    with tempfile.TemporaryDirectory() as own:
        before, tempfile.tempdir = tempfile.gettempdir(), own
        _recordings.append(seen)
        try:
            yield seen
        finally:
            _recordings.remove(seen)
            tempfile.tempdir = before


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recordings or not event.startswith(EVENTS) or event == "sqlite3.connect/handle":
        return
    told = " ".join(os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in arguments[:2])
    if event in {"open", "os.listdir"} and told.startswith(OURS):
        return
    for seen in _recordings:
        seen.add(_without_chance(f"{event} {told}"))


def _without_chance(told: str) -> str:
    """Without what is different in each run: names of temporary files, ports of our side, numbers of descriptors."""
    told = re.sub(rf"{re.escape(tempfile.gettempdir())}(/kilo-review-\w+)?", "TEMPORARY", told)
    return re.sub(r"<socket\.socket [^>]*>|\b(open|os\.\w+) \d+", r"\1", told)


sys.addaudithook(_hook)
