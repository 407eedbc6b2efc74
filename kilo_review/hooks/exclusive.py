"""Move files of a hooks folder so that no other program's file is lost, however the two interleave."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.core.errors import ConfigError
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWN = ".kilo-review"
"""How the names of our own files in a hooks folder begin; they are there only during an install."""
MAX_WAIT = 5.0
"""Seconds to wait for another install or uninstall."""
NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""The file system has none, or the system refuses one to another user's file."""
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other installs and uninstalls out of a hooks folder, which is made if it is missing.

    Raises:
        ConfigError: another one works there for longer than `MAX_WAIT`.
        OSError: the folder cannot be written.
    """
    path = folder / f"{OWN}.lock"
    descriptor, held = _acquire(path)
    try:
        yield
    finally:
        try:
            for each in (path, held):
                with suppress(OSError):
                    each.unlink()
        finally:
            os.close(descriptor)


def _acquire(path: Path) -> tuple[int, Path]:
    """Open and lock the file; the second path is the lock's, where the system cannot lock files."""
    held = path.with_suffix(".held")
    end = time.monotonic() + MAX_WAIT
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the folder was removed meanwhile
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            if _is_locked(descriptor, path, held):
                return descriptor, held
        if time.monotonic() >= end:
            hint = "Run this one again when the other has ended"
            if os.path.lexists(held):
                hint += f". If there is none, remove {escaped_path(str(held))}"
            raise ConfigError(
                f"another kilo-review install or uninstall is at work in {escaped_path(str(path.parent))}", hint=hint
            )
        time.sleep(0.01)


def _is_locked(descriptor: int, path: Path, held: Path) -> bool:
    """Lock an open file, or close it."""
    is_locked = is_created = False
    try:
        with suppress(BlockingIOError, FileExistsError):
            is_created = _creates_lock(descriptor, held)
            # The former owner removes the file: then the lock is worth nothing.
            is_locked = os.path.samestat(os.fstat(descriptor), os.lstat(path))
    finally:
        if not is_locked:
            os.close(descriptor)
            if is_created:
                held.unlink()
    return is_locked


def _creates_lock(descriptor: int, held: Path) -> bool:
    """Lock an open file; True if that is impossible, and another file was created for it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        # On some network file systems only the creation of a file is exclusive.
        os.close(os.open(held, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666))
        return True
    return False


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Make a folder of our own, on the same file system; a hook that is left in it is found by the next run."""
    made = Path(tempfile.mkdtemp(prefix=f"{OWN}-", dir=folder))
    try:
        yield made
    finally:
        with suppress(OSError):
            (made / "new").unlink(missing_ok=True)
        with suppress(OSError):
            made.rmdir()


def is_same(path: Path, other: Path) -> bool:
    """Tell whether both are names of one file (of one link, where it is a link)."""
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or, where that is impossible, another name; never one that exists.

    Raises:
        FileExistsError: the name is taken.
        OSError: the folder cannot be written.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)


def move(source: Path, target: Path) -> None:
    """Rename a file, never over another one.

    Raises:
        FileExistsError: the name is taken.
        OSError: the folder cannot be written.
    """
    link(source, target)
    source.unlink(missing_ok=True)


def swap(path: Path, new: Path | None, work: Path, *, is_expected: Callable[[Path], bool]) -> None:
    """Put a file, or nothing, in the place of another one.

    The other one is taken aside and looked at there: between a look and a rename over it, another program could have
    written a new hook, which would be lost.

    Args:
        path: the place.
        new: what is moved there; None to leave the place empty.
        work: our own folder.
        is_expected: whether what was taken aside is what may be removed.

    Raises:
        ConfigError: another program wrote there at the same time; what it wrote is kept.
        OSError: the folder cannot be written; the other file is back in its place.
    """
    aside = work / path.name
    is_done = False
    try:
        path.rename(aside)
        if not is_expected(aside):
            raise changed(path)
        if new is not None:
            move_new(new, path)
        is_done = True
    finally:
        if not is_done:
            put_back(aside, path)
    aside.unlink()


def move_new(new: Path, path: Path) -> None:
    """Move a file of ours to its place, where nothing was a moment ago.

    Raises:
        ConfigError: another program wrote there at the same time.
        OSError: the folder cannot be written.
    """
    try:
        move(new, path)
    except FileExistsError:
        raise changed(path) from None


def put_back(aside: Path, path: Path) -> None:
    """Move a hook that was taken aside to its place, unless there is another one now: then it stays aside."""
    with suppress(FileExistsError, FileNotFoundError):
        move(aside, path)


def changed(path: Path) -> ConfigError:
    """Make the error that another program has changed a hook meanwhile."""
    return ConfigError(
        f"{escaped_path(str(path))} was changed by another program at the same time; nothing of it was overwritten",
        hint="Run the command again",
    )


def recover(folder: Path, *, is_needless: Callable[[Path], bool]) -> None:
    """Put back what an interrupted run has taken aside.

    Args:
        folder: the hooks folder, locked.
        is_needless: whether a file there is our own, or exists at its place.

    Raises:
        ConfigError: a hook was left aside, and there is another one at its place.
        OSError: the folder cannot be written.
    """
    for work in sorted(folder.glob(f"{OWN}-*")):
        if work.is_dir() and not work.is_symlink():
            for aside in sorted(work.iterdir()):
                _recover_one(aside, folder / aside.name, is_needless=is_needless)
            work.rmdir()
        elif is_needless(work):  # a temporary file of a former version
            work.unlink()


def _recover_one(aside: Path, path: Path, *, is_needless: Callable[[Path], bool]) -> None:
    if aside.name == "new" or is_needless(aside):
        aside.unlink()
        return
    try:
        move(aside, path)
    except FileExistsError:
        raise ConfigError(
            f"an interrupted run has left the hook {escaped_path(str(aside))}, and there is another one at its place",
            hint=f"Move it to where you want it, or remove it, and run the command again ({escaped_path(path.name)})",
        ) from None
