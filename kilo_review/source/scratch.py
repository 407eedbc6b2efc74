"""Temporary folders. Each holds a locked file, by which a later run knows those that a killed run has left behind."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.core.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.deadline import Deadline

PREFIX = "kilo-review-"
NAME = rf"{PREFIX}\w{{8}}"
"""As `tempfile` makes it of the prefix."""
LOCK = "in-use.lock"
"""Locked as long as the process lives, whatever number it has, and in whichever container it runs."""
MOST_ENTRIES = 5000
"""Names in the system's temporary folder that one run looks at."""
MOST_REMOVED = 20
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Scratch:
    """A temporary folder of this process.

    Attributes:
        path: the folder; the file in it that is named `LOCK` is not the caller's.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        new = self.path / f"{LOCK}.new"
        self._lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks: then the folder is never taken for a leftover
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            new.rename(self.path / LOCK)  # locked from the moment on that it has this name

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextmanager
def folder() -> Iterator[Path]:
    """Make an empty temporary folder, and remove it at the end."""
    scratch = Scratch()
    try:
        inner = scratch.path / "work"
        inner.mkdir(0o700)
        yield inner
    finally:
        scratch.close()


def remove_leftovers(deadline: Deadline) -> int:
    """Remove folders of this user whose process is gone, as far as the time allows; how many.

    A folder that a link leads to, one of another user, and one without a lock are left alone; so is all that lies in a
    worktree, where a repository may have brought what looks like ours.
    """
    removed = 0
    try:
        if _is_in_worktree(Path(tempfile.gettempdir())):
            return removed
        with os.scandir(tempfile.gettempdir()) as entries:
            names = [entry.name for entry in islice(entries, MOST_ENTRIES) if re.fullmatch(NAME, entry.name)]
        for name in names:
            if removed >= MOST_REMOVED:
                break
            deadline.cap(1.0)
            removed += _remove_if_left(Path(tempfile.gettempdir()) / name, deadline)
    except (OSError, DeadlineError):  # it is a courtesy; the next run goes on
        pass
    return removed


def _is_in_worktree(folder: Path) -> bool:
    """Tell whether a folder is, or lies in, the worktree of a repository."""
    real = Path(os.path.realpath(folder))
    return any(os.path.lexists(each / ".git") for each in (real, *real.parents))


def _remove_if_left(path: Path, deadline: Deadline) -> bool:
    try:
        descriptor = os.open(path, _FOLDER_FLAGS)
    except OSError:
        return False
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return False
        lock = os.open(LOCK, _FILE_FLAGS, dir_fd=descriptor)
        try:
            if not stat.S_ISREG(os.fstat(lock).st_mode):
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(descriptor, deadline)
            path.rmdir()
        finally:
            os.close(lock)
    except OSError:  # another process has it, or is faster; or it cannot be removed
        return False
    finally:
        os.close(descriptor)
    return True


def _empty(descriptor: int, deadline: Deadline) -> None:
    """Remove what an open folder holds, the lock with what lies beside it at the end; follows no link.

    Raises:
        DeadlineError: there is no time for all of it; the rest is still a leftover.
    """
    for _, folders, files, opened in os.fwalk(".", topdown=False, follow_symlinks=False, dir_fd=descriptor):
        for name in sorted(files, key=LOCK.__eq__):
            deadline.cap(1.0)
            os.unlink(name, dir_fd=opened)
        for name in folders:
            try:
                os.rmdir(name, dir_fd=opened)
            except NotADirectoryError:  # a link to a folder
                os.unlink(name, dir_fd=opened)
