"""A process that has loaded the program, and forks for each run of it: the interpreter and imports are started once.

A run is a process of its own all the same, with its own environment, directory, streams, signals and exit status.
Tests of starting itself, and of what a shell or git starts, start the program in full: see `Runner`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
COVERAGE = "COVERAGE_PROCESS_CONFIG"
LIBRARIES = ("httpx", "git", "unidiff", "sqlite3", "tomllib", "hashlib", "textwrap", "traceback", "multiprocessing")
"""What the program loads when it needs it."""
LARGEST_REQUEST = 1 << 20
STREAMS = ("stdin", "stdout", "stderr")
IS_POSSIBLE = hasattr(os, "pidfd_open")
"""Whether a process can be waited for beside a socket, as on Linux."""
STARTING = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "MALLOC_")
"""Variables that are read when an interpreter starts: with them it has to."""


_measures: list[Any] = []
"""At the far end: what measures coverage, if that is wanted."""


class Zygote:
    """The near end: asks for runs."""

    _only: Zygote | None = None

    @classmethod
    def of_this_process(cls) -> Zygote:
        """Return the one of this process, started when it is first asked for."""
        if cls._only is None:
            cls._only = cls()
            atexit.register(cls._only.close)
        return cls._only

    def __init__(self) -> None:
        """Start it, without coverage: each run measures itself."""
        self._socket, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = Lock()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_REQUEST)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote", str(far.fileno()), os.environ.get(COVERAGE, "")],
            cwd=ROOT,
            env=environment,
            pass_fds=(far.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        far.close()

    def run(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], given: bytes | None, seconds: float
    ) -> tuple[int, bytes, bytes]:
        """Run the program to its end; return its exit status, what it printed, and what it said.

        Args:
            arguments: those behind its name.
            cwd: its working directory.
            env: its whole environment.
            given: its standard input; None for /dev/null.
            seconds: after which it is killed.

        Raises:
            TimeoutError: it was.
        """
        pipes = [os.pipe() for _ in ("stdout", "stderr", "report")]
        with tempfile.TemporaryFile() as source, Path(os.devnull).open("rb") as nothing:
            source.write(given or b"")
            source.seek(0)
            stdin = nothing if given is None else source
            request = {"arguments": list(arguments), "cwd": os.fspath(cwd), "env": dict(env)}
            try:
                with self._lock:
                    files = [stdin.fileno(), *(writing for _, writing in pipes)]
                    socket.send_fds(self._socket, [json.dumps(request).encode()], files)
            finally:
                for _, writing in pipes:
                    os.close(writing)
        printed, said, report = _all_of([reading for reading, _ in pipes], seconds)
        assert report.endswith(b"."), "the process that starts the program has died"
        return int(report.split()[1].removesuffix(b".")), printed, said

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait(60)


def _all_of(pipes: Sequence[int], seconds: float) -> list[bytes]:
    """Read some pipes to their ends; kill the run, whose id the last one tells first, if that takes too long."""
    end = time.monotonic() + seconds
    told = dict.fromkeys(pipes, b"")
    left = set(pipes)
    try:
        while left:
            ready, _, _ = select.select(list(left), [], [], max(0.0, end - time.monotonic()))
            if not ready:
                with suppress(ProcessLookupError, IndexError):
                    os.kill(int(told[pipes[-1]].split()[0]), signal.SIGKILL)
                raise TimeoutError(f"the program ran longer than {seconds} s")
            for pipe in ready:
                piece = os.read(pipe, 1 << 16)
                told[pipe] += piece
                if not piece:
                    left.remove(pipe)
    finally:
        for pipe in pipes:
            os.close(pipe)
    return [told[pipe] for pipe in pipes]


# The far end


def _serve(own: socket.socket) -> None:
    poll = select.poll()
    poll.register(own, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready, _ in poll.poll():
            if ready == own.fileno():
                data, files, _, _ = socket.recv_fds(own, LARGEST_REQUEST, len(STREAMS) + 1)
                if not data:
                    return
                report = files.pop()
                pid = os.fork()
                if not pid:
                    _become(json.loads(data), files)
                for descriptor in files:
                    os.close(descriptor)
                _tell(report, f"{pid} ")
                waited = os.pidfd_open(pid)
                running[waited] = pid, report
                poll.register(waited, select.POLLIN)
            else:
                pid, report = running.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                _, status = os.waitpid(pid, 0)
                _tell(report, f"{os.waitstatus_to_exitcode(status)}.")
                os.close(report)


def _tell(report: int, text: str) -> None:
    with suppress(BrokenPipeError):  # the test is over
        os.write(report, text.encode())


def _become(request: dict[str, Any], files: Sequence[int]) -> NoReturn:
    """Run the program as if this process had been started for it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number, descriptor in enumerate(files):
        os.dup2(descriptor, number)
    os.closerange(len(STREAMS), os.sysconf("SC_OPEN_MAX"))
    for number, name in enumerate(STREAMS):
        kept = getattr(sys, name)
        opened = open(number, "w" if number else "r", encoding=kept.encoding, errors=kept.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, opened)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(os.fsencode(request["cwd"]))
    sys.argv = ["kilo-review", *request["arguments"]]
    if COVERAGE in os.environ:
        for measure in _measures:
            measure.start()
    now = time.monotonic()
    for module in list(sys.modules.values()):
        if module.__name__.startswith("kilo_review") and hasattr(module, "PROCESS_START"):
            module.PROCESS_START = now  # type: ignore[attr-defined]
    import_module("kilo_review.__main__").run()
    raise AssertionError("the program returned")


def _load(measured: str) -> None:
    """Load the program, and get ready to measure it by a configuration of coverage, if there is one."""
    package = import_module("kilo_review")
    for found in pkgutil.walk_packages(package.__path__, "kilo_review."):
        if ".sandbox." not in found.name:  # those run in a helper process
            import_module(found.name)
    for name in LIBRARIES:
        import_module(name)
    if measured:  # the first start takes 30 ms, of which a fork needs none
        _measures.append(import_module("coverage").Coverage(config_file=f":data:{measured}"))
        _measures[0].start()
        _measures[0].stop()
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load(sys.argv[2])
    _serve(socket.socket(fileno=int(sys.argv[1])))
