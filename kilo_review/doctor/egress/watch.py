"""Runs a command that is watched: by the recorder, and where the kernel permits it in a namespace without a way out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import KiloReviewError
from kilo_review.doctor.egress import record
from kilo_review.doctor.egress.child import NONE, RECORD_LOST
from kilo_review.doctor.egress.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from kilo_review.core.deadline import Deadline
    from kilo_review.doctor.egress.gate import Counted, Place
    from kilo_review.doctor.egress.record import Record

MODULE = (sys.executable, "-P", "-m")
RECORDER = "kilo_review.doctor.egress.child"
LAUNCHER = "kilo_review.doctor.egress.namespace"
GRACE_SECONDS = 5.0
"""A review ends by itself at its time limit; one that has not by then is ended."""
END_SECONDS = 3.0
TALK_BYTES = 4000


class Watched(NamedTuple):
    """What was seen.

    Attributes:
        record: what the recorder wrote.
        refusal: why there was no namespace; "" if there was.
        counted: what the kernel counted in it; None where there was none.
        passed: bytes that left it for a server of this machine, by its address.
        code: how the command ended; negative for a signal.
        talk: the end of what it said.
    """

    record: Record
    refusal: str
    counted: Counted | None
    passed: Mapping[Place, int]
    code: int
    talk: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and how a command runs.

    Attributes:
        directory: its working directory.
        environment: all of its variables.
        deadline: when it is ended, if it has not by itself.
        marker: a word that only the change contains; "" if there is none to look for.
        stdin: what it reads; None for nothing.
    """

    directory: Path
    environment: Mapping[str, str]
    deadline: Deadline
    marker: str = ""
    stdin: IO[bytes] | None = None


def watch(command: Callable[[Sequence[str]], Sequence[str]], around: Surroundings) -> Watched:
    """Run a command.

    Args:
        command: makes it from the words before the program's own arguments that have the program recorded.
        around: where and how it runs.

    Raises:
        KiloReviewError: what was recorded is lost.
    """
    refusal = "only Linux has network namespaces"
    if sys.platform == "linux":
        with Gate() as gate:
            seen = _run(command, around, gate)
        if seen.counted is not None:
            return seen._replace(passed=gate.passed())
        reason = gate.refusal or f"the attempt ended with status {seen.code}"
        refusal = f"the kernel permits no network namespace: {reason}"
    return _run(command, around, None)._replace(refusal=refusal)


def _run(command: Callable[[Sequence[str]], Sequence[str]], around: Surroundings, gate: Gate | None) -> Watched:
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as talk:
        descriptors = [log.fileno(), *([gate.inner.fileno()] if gate else [])]
        door = str(gate.inner.fileno()) if gate else NONE
        recorded = (*MODULE, RECORDER, str(log.fileno()), door, around.marker or NONE)
        launched = (*MODULE, LAUNCHER, door) if gate else ()
        process = subprocess.Popen(  # noqa: S603  our own interpreter and our own modules
            [*launched, *command(recorded)],
            cwd=around.directory,
            env=dict(around.environment),
            stdin=around.stdin or subprocess.DEVNULL,
            stdout=talk,
            stderr=talk,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C is for us to handle, and all that it starts can be ended
        )
        code = _wait(process, around.deadline)
        if code == RECORD_LOST:
            raise KiloReviewError("the record of the review could not be written", hint="Is the disk full?")
        return Watched(_read(log), "", gate.counted() if gate else None, {}, code, _end_of(talk))


def _wait(process: subprocess.Popen[bytes], deadline: Deadline) -> int:
    left = deadline.remaining()
    try:
        return process.wait(None if left is None else left + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return _end(process)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[bytes]) -> int:
    """Politely, so that it ends its own children; then not."""
    process.terminate()
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def _read(log: IO[bytes]) -> Record:
    log.seek(0)
    try:
        return record.read(log.read().decode("ascii").splitlines())
    except ValueError as error:
        raise KiloReviewError(str(error), hint="Something else has written to it") from None


def _end_of(talk: IO[bytes]) -> str:
    talk.seek(0, os.SEEK_END)
    talk.seek(max(0, talk.tell() - TALK_BYTES))
    return talk.read().decode("utf-8", "replace")
