"""The helper process: reads requests from standard input and answers on standard output, until the input ends.

It is started by `process.py` with `-I -S`, in the root folder and without the environment. Of this program it imports
this folder alone. A failure is not handled here: the process ends, and the caller goes on without an answer.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from importlib import import_module
from typing import Any

from kilo_review.sandbox.limits import (
    ALL_CPU_SECONDS,
    CPU_SECONDS,
    LARGEST_FRAME,
    MEMORY_BYTES,
    PREFIX_BYTES,
    WALL_SECONDS,
)

READ_BYTES = 1 << 16


def main(tool: str) -> None:
    """Serve until the input ends.

    Args:
        tool: the module of this folder that answers.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, ALL_CPU_SECONDS)
    for number in (signal.SIGALRM, signal.SIGPROF):  # the parent's way with signals is inherited
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    sys.dont_write_bytecode = True
    module: Any = import_module(f"kilo_review.sandbox.{tool}")
    answer = module.ready()
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    if not module.OPENS_FILES:
        _limit(resource.RLIMIT_NOFILE, 3)  # the three that are open; none can be added, sockets included
    _write("ready")
    while (request := _read()) is not None:
        _set_timers(CPU_SECONDS, WALL_SECONDS)
        told = answer(request)
        _set_timers(0, 0)
        _write(told)


def _limit(kind: int, amount: int) -> None:
    """Lower a limit for good, as far as the system knows it; the parent's clock is there in any case."""
    _, most = resource.getrlimit(kind)
    amount = amount if most == resource.RLIM_INFINITY else min(amount, most)
    try:
        resource.setrlimit(kind, (amount, amount))
    except (OSError, ValueError):  # macOS takes no limit of the address space below what is in use
        return


def _set_timers(cpu: float, wall: float) -> None:
    """End the process by a signal, also in native code and when the parent is gone; 0 calls it off."""
    signal.setitimer(signal.ITIMER_PROF, cpu)
    signal.setitimer(signal.ITIMER_REAL, wall)


def _read() -> Any:  # noqa: ANN401  any JSON
    size = int.from_bytes(_read_bytes(PREFIX_BYTES), "big")
    return json.loads(_read_bytes(size)) if 0 < size <= LARGEST_FRAME else None


def _read_bytes(size: int) -> bytes:
    """As many bytes; fewer where the input ends."""
    data = bytearray()
    while len(data) < size and (piece := os.read(0, min(size - len(data), READ_BYTES))):
        data += piece
    return bytes(data)


def _write(answer: object) -> None:
    data = json.dumps(answer).encode()
    if len(data) > LARGEST_FRAME:
        data = b"null"
    data = len(data).to_bytes(PREFIX_BYTES, "big") + data
    while data:
        data = data[os.write(1, data) :]
