"""Git as a process. The only module that imports GitPython, which is used to run git and for nothing else.

GitPython's object layer is avoided on purpose: it ignores `GIT_INDEX_FILE`, reverses index diffs, and
leaves `cat-file` children behind. Only plumbing is called, with every configuration that could change its
output pinned, and only object ids ever reach a command line.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from kilo_review.core.errors import DeadlineError, SourceError
from kilo_review.source.git_errors import MISSING_GIT, explain, too_slow

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from git.cmd import Git as Runner

    from kilo_review.core.deadline import Deadline

PINNED_CONFIG = (
    "core.fsmonitor=false",  # a command that git would start, even for `write-tree`
    "core.hooksPath=/dev/null",  # `post-index-change` would run for the private index
    "core.splitIndex=false",  # else a private copy of the index would write shared parts beside the user's
    "splitIndex.sharedIndexExpire=never",  # and delete them
    "core.quotePath=true",
    "core.bigFileThreshold=512m",  # git's default: a lower value hides text files as binary
    "diff.suppressBlankEmpty=false",
)
PINNED_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not reach for the network
    "GIT_ALLOW_PROTOCOL": "none",  # for versions of git that do not know the one above: no way out by any protocol
    "GIT_NO_REPLACE_OBJECTS": "1",  # the objects that are recorded, not their stand-ins
    "GIT_GRAFT_FILE": f"{os.devnull}/none",  # and the parents; a file that is there, even an empty one, costs a warning
    # Emptied, since GitPython can set but not remove; git reads "" as unset or false for each of these.
    "GIT_DIFF_OPTS": "",
    "GIT_EXTERNAL_DIFF": "",
    "GIT_LITERAL_PATHSPECS": "",
    "GIT_GLOB_PATHSPECS": "",
    "GIT_NOGLOB_PATHSPECS": "",
    "GIT_ICASE_PATHSPECS": "",
}
REACHING = {"GIT_NO_LAZY_FETCH": "0", "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
"""For whoever may fetch; the protocols are those that git allows its own users."""
MOST_COMPLAINTS = 100


class Git:
    """Runs git in one folder, within the deadline.

    Use it as a context manager: what it has started ends with it.

    Attributes:
        deadline: when its commands are ended; None for never.
    """

    def __init__(self, directory: Path, deadline: Deadline | None = None, *, pinned: bool = True) -> None:
        """Prepare to run git.

        Args:
            directory: where it runs.
            deadline: when its commands are ended.
            pinned: False to see the user's configuration as it is, which only its installer wants.
        """
        runner, self._git_missing = _load_git()
        self._git = runner()
        self.work_in(directory)
        self.deadline = deadline
        self._config = PINNED_CONFIG if pinned else ()
        self._overlay: dict[str, str] = {}
        self._watches: list[threading.Timer] = []
        traces = {name: "" for name in os.environ if name.startswith("GIT_TRACE")}
        self._environment = PINNED_ENVIRONMENT | traces

    def work_in(self, directory: Path) -> None:
        """Run git in this folder from now on."""
        # GitPython would expand variables in a folder's name, so it is told after it was made.
        self._git._working_dir = str(directory)  # noqa: SLF001

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing of it runs on."""
        for watch in self._watches:
            watch.cancel()

    def run(self, *arguments: str, stdin: bytes | None = None, ok: tuple[int, ...] = (0,)) -> bytes:
        """Standard output of one git command, exactly as git wrote it.

        Raises:
            SourceError: git is missing, was killed by the deadline, or its status is not in `ok`.
        """
        status, output, errors = self._execute(arguments, stdin)
        if status not in ok:
            raise explain(arguments[0], status, errors)
        return output

    def status(self, *arguments: str) -> tuple[int, bytes]:
        """Exit status and output of a command whose failure is an answer, not an error."""
        status, output, errors = self._execute(arguments, None)
        if status < 0:
            raise too_slow(arguments[0])
        if "dubious ownership" in errors:
            raise explain(arguments[0], status, errors)
        return status, output

    def attempt(self, *arguments: str) -> tuple[int, bytes, str]:
        """Exit status, output and complaints of a command that may do a part of its work.

        Raises:
            SourceError: git is missing, or was killed by the deadline.
        """
        status, output, errors = self._execute(arguments, None)
        if status < 0:
            raise too_slow(arguments[0])
        return status, output, errors

    def _execute(self, arguments: tuple[str, ...], stdin: bytes | None) -> tuple[int, bytes, str]:
        command = self.command(*arguments)
        limit = self._limit()
        with _as_file(stdin) as stream:
            # GitPython's overloads do not know that a status, bytes and a text come back.
            result: Any = self.start(
                command,
                istream=stream,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=limit,
            )
        status, output, errors = result
        return status, output, errors

    def command(self, *arguments: str) -> list[str]:
        """The words of a git command, with what is pinned."""
        pinned = (word for setting in self._config for word in ("-c", setting))
        return [str(self._git.GIT_PYTHON_GIT_EXECUTABLE or "git"), "--no-pager", *pinned, *arguments]

    def start(self, command: list[str], **how: Any) -> Any:  # noqa: ANN401  GitPython's overloads
        """Start a git command as GitPython does; with `as_process` it is ended at the deadline.

        Raises:
            SourceError: git is missing, or the deadline is over.
        """
        limit = self._limit() if how.get("as_process") else None
        try:
            started = self._git.execute(command, env=self._environment | self._overlay, **how)
        except self._git_missing:
            raise MISSING_GIT from None
        if limit is not None:
            self._watch(started.proc, limit)
        return started

    def check_time(self) -> None:
        """See whether there is time left.

        Raises:
            SourceError: the deadline is over.
        """
        self._limit()

    def _limit(self) -> float | None:
        """Seconds for one command; None for as many as it takes.

        Raises:
            SourceError: the deadline is over.
        """
        if not (self.deadline and self.deadline.seconds):
            return None
        try:
            return self.deadline.cap(3600.0)
        except DeadlineError as error:  # as git's other failures, so that what was found is told all the same
            raise SourceError(error.message, hint=error.hint) from None

    def _watch(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """End a child at the deadline; GitPython does so only for those that it waits for itself."""
        watch = threading.Timer(seconds, process.kill)
        watch.daemon = True
        watch.start()
        self._watches.append(watch)


_LOADING = threading.Lock()


def _load_git() -> tuple[type[Runner], type[Exception]]:
    """See `_loaded`; several threads may ask at once."""
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> tuple[type[Runner], type[Exception]]:
    """GitPython's process runner, and what it raises where there is no git.

    The package's own `__init__` loads its object layer and runs `git version` twice: 25 of 33 ms, for things
    that are never used here; that of gitdb, on which it stands, does the like. So their modules are imported under
    bare packages of the same names, which are taken away afterwards; a GitPython that does not bear this is
    imported whole.
    """
    # Without git on PATH the whole import must not fail with a page of advice, but the first command.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        with _bare("git"), _bare("gitdb"):
            return _import_git()
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] in {"git", "gitdb"}]:
            del sys.modules[name]  # what was imported in part
    return _import_git()


@contextmanager
def _bare(package: str) -> Iterator[None]:
    """For the time of an import, a package without what its `__init__` loads."""
    spec = None if package in sys.modules else importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        yield
        return
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = bare
    try:
        yield
    finally:
        del sys.modules[package]


def _import_git() -> tuple[type[Runner], type[Exception]]:
    from git.cmd import Git as Runner  # noqa: PLC0415  --help and a bad setting need not pay for it
    from git.exc import GitCommandNotFound  # noqa: PLC0415

    return Runner, GitCommandNotFound


def drained(stream: Any) -> list[bytes]:  # noqa: ANN401
    """What a child says on its standard error, read beside the rest: a full pipe would stop the child."""
    said: list[bytes] = []

    def read() -> None:
        with suppress(ValueError, OSError), stream:  # a child that is given up has its pipes closed meanwhile
            for line in stream:
                if len(said) < MOST_COMPLAINTS:
                    said.append(line)

    threading.Thread(target=read, daemon=True).start()
    return said


def end(process: Any) -> None:  # noqa: ANN401  GitPython's AutoInterrupt
    """Close the pipes of a child and wait for it; one that still writes is ended by that."""
    process.stdout.close()
    process.proc.wait()


@contextmanager
def _as_file(data: bytes | None) -> Iterator[Any]:
    """A real file, since GitPython hands its descriptor to the child; it cannot deadlock as a pipe can."""
    if data is None:
        yield None
        return
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.seek(0)
        yield stream
