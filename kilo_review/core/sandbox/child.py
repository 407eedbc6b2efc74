"""The helper process: reads requests from standard input and answers on standard output, until the input ends.

It is started by `process.py` with `-I -S`, in the root folder and without the environment. Of this program it imports
this folder alone, and of the standard library as little as it can: most of what it costs is its start. A failure is not
handled here: the process ends, and the caller goes on without an answer.
"""

from __future__ import annotations

import os
import resource
import sys

from kilo_review.core.sandbox.limits import ALL_CPU_SECONDS, LARGEST_FRAME, MEMORY_BYTES, PREFIX_BYTES, packed, unpacked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Tool(Protocol):
        """A module of this folder."""

        OPENS_FILES: bool

        def ready(self) -> None:
            """Load the library."""

        def answer(self, request: list[str]) -> Iterable[str]:
            """Answer one request."""


READ_BYTES = 1 << 16


def serve(tool: Tool) -> None:
    """Answer requests until the input ends."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    sys.dont_write_bytecode = True
    tool.ready()
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NPROC, 0)
    if not tool.OPENS_FILES:
        _limit(resource.RLIMIT_NOFILE, 3)  # the three that are open; none can be added, sockets included
    _write([])
    while (request := _read()) is not None:
        _limit_time()
        _write(tool.answer(request))


def _limit(kind: int, amount: int) -> None:
    """Lower a limit for good, as far as the system knows it; the parent's clock is there in any case."""
    _, most = resource.getrlimit(kind)
    amount = amount if most == resource.RLIM_INFINITY else min(amount, most)
    try:
        resource.setrlimit(kind, (amount, amount))
    except (OSError, ValueError):  # macOS takes no limit of the address space below what is in use
        return


def _limit_time() -> None:
    """Let the system end the process after 0.5 to 1.5 s more of processor time, also when the parent is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    most = ALL_CPU_SECONDS if most == resource.RLIM_INFINITY else min(most, ALL_CPU_SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (min(most, int(used.ru_utime + used.ru_stime + 0.5) + 1), most))


def _read() -> list[str] | None:
    size = int.from_bytes(_read_bytes(PREFIX_BYTES), "big")
    return unpacked(_read_bytes(size)) if 0 < size <= LARGEST_FRAME else None


def _read_bytes(size: int) -> bytes:
    """As many bytes; fewer where the input ends."""
    data = bytearray()
    while len(data) < size and (piece := os.read(0, min(size - len(data), READ_BYTES))):
        data += piece
    return bytes(data)


def _write(answer: Iterable[str]) -> None:
    content = packed(answer)
    data = len(content).to_bytes(PREFIX_BYTES, "big") + content
    while data:
        data = data[os.write(1, data) :]
