"""The near end of a helper process: starts it, asks it within limits, and goes on without it where it fails."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from kilo_review.core.sandbox.environment import for_loader
from kilo_review.core.sandbox.limits import LARGEST_FRAME, PREFIX_BYTES, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.deadline import Deadline

MOST_STARTS = 32
"""Of one helper in a run: each of the others takes the place of one that a hostile file has ended."""
MOST_SECONDS = 10.0
"""Of a run that may be spent with slow requests, also where there is no time limit."""
SLOW_SECONDS = 0.25
"""From here on a request is slow; no ordinary file is."""
READ_BYTES = 1 << 16
OWN_FOLDER = Path(__file__).parents[3]
"""Where this program's package is."""
BOOT = "import sys; sys.path += sys.argv[1:]; from kilo_review.core.sandbox import child, {0}; child.serve({0})"


class Helper:
    """Runs one library on hostile text in another process, which is started when it is first needed and kept.

    A request that fails has no answer: the process crashed, was killed, took too long or too much memory, or said
    something that is no answer. It is ended then, and another one takes its place at the next request. How often, and
    how much time is spent with slow requests, is bounded.
    """

    def __init__(self, tool: str, library: str) -> None:
        """Start nothing yet.

        Args:
            tool: the module of this folder that answers.
            library: the one that it needs.
        """
        self._tool = tool
        self._library = library
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._starts_left = MOST_STARTS
        self._seconds_left = MOST_SECONDS
        self._lock = Lock()

    def start(self) -> None:
        """Have it started, so that it gets ready while the caller does something else."""
        with self._lock:
            self._start()

    def ask(self, request: Sequence[str], deadline: Deadline) -> list[str] | None:
        """Return the answer to a request; None where there is none.

        Args:
            request: what `answer` of the tool takes.
            deadline: when the answer must be there.
        """
        data = packed(request)
        seconds = deadline.remaining()
        assert seconds is not None
        if len(data) > LARGEST_FRAME or not seconds:
            return None
        with self._lock:
            return self._ask(data, time.monotonic() + seconds) if self._start() else None

    def close(self) -> None:
        """End it for good."""
        with self._lock:
            self._starts_left = 0
            self._end()

    def _start(self) -> bool:
        """Whether there is a process to ask."""
        if self._process is not None:
            return self._seconds_left > 0
        if self._starts_left <= 0 or self._seconds_left <= 0:
            return False
        self._starts_left -= 1
        found = find_spec(self._library)
        if found is None or found.origin is None:
            return False
        folders = (str(OWN_FOLDER), str(Path(found.origin).parent.parent))
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and our own module
                # -I: neither the repository under review nor a variable decides what is imported; -S: nor a .pth file.
                (sys.executable, "-I", "-S", "-c", BOOT.format(self._tool), *folders),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=for_loader(),
                start_new_session=True,  # Ctrl-C is for the parent to handle, and there is no terminal to write to
            )
        except OSError:  # no memory or no process is left
            self._starts_left = 0
            return False
        self._is_ready = False
        return True

    def _ask(self, data: bytes, end: float) -> list[str] | None:
        assert self._process
        is_answered = False
        begun = time.monotonic()
        try:
            if not self._is_ready:
                self._receive(end)
                self._is_ready = True
                begun = time.monotonic()
            self._send(len(data).to_bytes(PREFIX_BYTES, "big") + data, end)
            answer = self._receive(end)
            is_answered = True
        except TimeoutError:
            return None
        except (OSError, EOFError, ValueError):
            if not self._is_ready:  # it cannot run at all
                self._starts_left = 0
            return None
        else:
            return answer
        finally:
            seconds = time.monotonic() - begun
            self._seconds_left -= seconds if seconds > SLOW_SECONDS else 0
            if not is_answered:  # also at Ctrl-C: its answer would be taken for that to the next request
                self._end()

    def _send(self, data: bytes, end: float) -> None:
        assert self._process
        assert self._process.stdin
        pipe, rest = self._process.stdin.fileno(), memoryview(data)
        while rest:
            _wait(pipe, select.POLLOUT, end)
            rest = rest[os.write(pipe, rest[: select.PIPE_BUF]) :]

    def _receive(self, end: float) -> list[str]:
        size = int.from_bytes(self._receive_bytes(PREFIX_BYTES, end), "big")
        if size > LARGEST_FRAME:
            raise ValueError(size)
        return unpacked(self._receive_bytes(size, end))

    def _receive_bytes(self, size: int, end: float) -> bytes:
        assert self._process
        assert self._process.stdout
        data = bytearray()
        while len(data) < size:
            _wait(self._process.stdout.fileno(), select.POLLIN, end)
            piece = os.read(self._process.stdout.fileno(), min(size - len(data), READ_BYTES))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()


def _wait(pipe: int, event: int, end: float) -> None:
    """Wait until something can be read, or as much as a pipe takes at once can be written.

    Raises:
        TimeoutError: the time is over.
    """
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        raise TimeoutError
