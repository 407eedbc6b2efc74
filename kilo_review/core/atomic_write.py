"""Writes a file whole or not at all, and in a checkout never where a change could lead it.

A change can bring links, and files that somebody runs. So a path is walked one component at a time, each opened
relative to the one before and without following it, and the file is made and renamed by the last of these
descriptors: what was checked is what is written to. Links outside of the checkout are the user's own, and followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIT = ".git"
GIT_NAMES = frozenset({GIT, "git~1"})
"""`.git`, and its short name on Windows."""
IGNORED = dict.fromkeys((*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF))
"""Signs that HFS+ does not look at in names (git's `utf8.c`, `next_hfs_char`)."""
MOST_LINKS = 40
"""As Linux has it."""
_STEP = getattr(os, "O_PATH", getattr(os, "O_SEARCH", os.O_RDONLY)) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened: to go through it needs no right to list it."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MORE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_INTO = os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC


AMONG_GITS = "it is among what git keeps for itself"


class UnsafePathError(OSError):
    """A path of the checkout that may not be written; `strerror` says why, for a sentence in parentheses."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EPERM, why)


class Guard(NamedTuple):
    """What must not be trusted with the way to a file.

    Attributes:
        tops: of the checkout, and of those that it is a part of.
        git_folders: where git keeps its own; nothing is written there.
        is_tracked: whether the repository with this top tracks this path.
        finds_checkouts: whether every other checkout on the way is guarded likewise.
    """

    tops: tuple[Path, ...] = ()
    git_folders: tuple[Path, ...] = ()
    is_tracked: Callable[[Path, str], bool] = lambda _top, _path: False
    finds_checkouts: bool = False


UNGUARDED = Guard()


def write(
    path: Path, data: bytes, guard: Guard = UNGUARDED, *, replaces_tracked: bool = False, makes_folders: bool = False
) -> None:
    """Write a file, whole or not at all: one that is there is replaced only when its new content is on disk.

    Args:
        path: of the file; outside of the checkout it may be a pipe or a device.
        data: its content.
        guard: the checkout.
        replaces_tracked: whether a file that git tracks may be replaced.
        makes_folders: whether to make the folders that are missing on the way.

    Raises:
        UnsafePathError: the path leads through a link of the checkout, or to what is not to be overwritten there.
        OSError: it cannot be written; then it is as it was.
    """
    with _place(path, guard, makes_folders=makes_folders) as place:
        about = place.about()
        if about is None and not place.is_inside and _is_stream(path):  # such as /dev/stdout, whose link has no target
            _write_into(os.open(path, _INTO), data)
            return
        place.check(about, replaces_tracked=replaces_tracked)
        if about is not None and not stat.S_ISREG(about.st_mode):
            _write_into(os.open(place.name, _INTO, dir_fd=place.folder), data)
            return
        _replace(place, data, about)


def append(path: Path, guard: Guard = UNGUARDED) -> int:
    """Open a file to add to its end, made if it is not there; its descriptor.

    Raises:
        UnsafePathError: as of `write`; or the file has several names, one of which may be outside of the checkout.
        OSError: it cannot be opened.
    """
    with _place(path, guard) as place:
        found = place.about()
        if found is None and not place.is_inside and _is_stream(path):
            return os.open(path, _INTO)
        place.check(found)
        descriptor = os.open(place.name, _MORE, 0o666, dir_fd=place.folder)
        if not place.is_inside:
            return descriptor
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
            os.close(descriptor)
            raise UnsafePathError("it is not a regular file with one name")
        return descriptor


def check(path: Path, guard: Guard, *, replaces_tracked: bool = False) -> None:
    """Find out whether `write` would refuse a path; nothing is written.

    Raises:
        UnsafePathError: it would.
        OSError: the path cannot be walked.
    """
    with _place(path, guard) as place:
        place.check(place.about(), replaces_tracked=replaces_tracked)


def make_folders(path: Path, guard: Guard) -> None:
    """Make a folder and those on the way to it, through no link of the checkout; it may be among what git keeps.

    Raises:
        UnsafePathError: there is a link on the way.
        OSError: one of them cannot be made.
    """
    with _place(path / "file", guard, makes_folders=True, enters_git=True):
        return


# The way to a file


class _Step(NamedTuple):
    """A folder on the way.

    Attributes:
        folder: its descriptor.
        name: its own, whichever spelling led to it.
        is_inside: whether it is a top or lies below one.
        is_git: whether it is git's own or lies below it.
        is_top: whether a repository begins here.
    """

    folder: int
    name: str
    is_inside: bool = False
    is_git: bool = False
    is_top: bool = False


class _Place(NamedTuple):
    """Where a file is, or will be.

    Attributes:
        folder: a descriptor of its folder.
        name: of the file, in that folder.
        is_inside: whether it is in the checkout.
        is_git: whether it is among what git keeps.
        top: of the repository that it is in.
        path: from there.
        is_tracked: see `Guard`.
    """

    folder: int
    name: str
    is_inside: bool
    is_git: bool
    top: Path
    path: str
    is_tracked: Callable[[Path, str], bool]

    def about(self) -> os.stat_result | None:
        """What is there; None for nothing."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def check(self, about: os.stat_result | None, *, replaces_tracked: bool = False) -> None:
        """Raise what is to be said about this place, if it may not be written."""
        if about is not None and stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if self.is_git:
            raise UnsafePathError(AMONG_GITS)
        if not self.is_inside:
            return
        if about is not None and not stat.S_ISREG(about.st_mode):
            raise UnsafePathError("in the checkout it must be a regular file")
        if not replaces_tracked and self.is_tracked(self.top, self.path):
            raise UnsafePathError("git tracks it, so that a change may have brought it")


@contextmanager
def _place(path: Path, guard: Guard, *, makes_folders: bool = False, enters_git: bool = False) -> Iterator[_Place]:
    way = _Way(guard, makes_folders=makes_folders, enters_git=enters_git)
    try:
        yield way.to(path)
    finally:
        way.close()


class _Way:
    """From the root to a file's folder, links outside of the checkout spelled out; it holds a descriptor of each."""

    def __init__(self, guard: Guard, *, makes_folders: bool, enters_git: bool) -> None:
        self._guard = guard
        self._tops = _identities(guard.tops)
        self._git_folders = _identities(guard.git_folders)
        self._makes_folders = makes_folders
        self._enters_git = enters_git
        self._links = 0
        self._steps = [_Step(os.open("/", _STEP), "")]

    def close(self) -> None:
        """Let go of all folders."""
        while self._steps:
            os.close(self._steps.pop().folder)

    def to(self, path: Path) -> _Place:
        """Go there; the last component is not entered."""
        left = deque(_parts(os.path.join(os.getcwd(), path)))  # noqa: PTH109, PTH118  no `..` may be taken together
        while left:
            name = left.popleft()
            if name == os.pardir:
                if len(self._steps) > 1:
                    os.close(self._steps.pop().folder)
            elif (target := self._link(name)) is not None:
                if target.startswith("/"):
                    self._return_to_root()
                left.extendleft(reversed(_parts(target)))
            elif left:
                self._enter(name)
            else:
                return self._arrived(name)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))

    def _link(self, name: str) -> str | None:
        """Where a link leads; None for what is none.

        Raises:
            UnsafePathError: it is one of the checkout.
        """
        try:
            target = os.readlink(name, dir_fd=self._steps[-1].folder)
        except OSError:
            return None
        here = self._steps[-1]
        is_git = here.is_git or (here.is_inside and _is_git(name))
        if is_git and not self._enters_git:
            raise UnsafePathError(AMONG_GITS)
        if here.is_inside and not is_git:
            raise UnsafePathError(f"{name!a} is a link in the checkout")
        self._links += 1
        if self._links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return target

    def _return_to_root(self) -> None:
        while len(self._steps) > 1:
            os.close(self._steps.pop().folder)

    def _enter(self, name: str) -> None:
        above = self._steps[-1]
        folder = self._opened(above, name)
        own = _own_name(above.folder, name) if above.is_inside else name
        identity = _identity(os.fstat(folder))
        is_own = identity in self._tops
        is_git = above.is_git or identity in self._git_folders or (above.is_inside and _is_git(own))
        holds_git = (above.is_inside or self._guard.finds_checkouts) and _holds(folder, GIT)
        is_inside = above.is_inside or is_own or holds_git
        is_top = is_own or holds_git
        self._steps.append(_Step(folder, own, is_inside, is_git and not is_own, is_top))

    def _opened(self, above: _Step, name: str) -> int:
        try:
            return os.open(name, _STEP, dir_fd=above.folder)
        except FileNotFoundError:
            if not self._makes_folders:
                raise
        if not self._enters_git and (above.is_git or (above.is_inside and _is_git(name))):
            raise UnsafePathError(AMONG_GITS)
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=above.folder)
        return os.open(name, _STEP, dir_fd=above.folder)

    def _arrived(self, name: str) -> _Place:
        last = self._steps[-1]
        own = _own_name(last.folder, name) if last.is_inside else name
        names = [step.name for step in self._steps]
        top = max((index for index, step in enumerate(self._steps) if step.is_top), default=0)
        return _Place(
            last.folder,
            name,
            last.is_inside,
            last.is_git or (last.is_inside and _is_git(own)),
            Path("/", *names[1 : top + 1]),
            "/".join([*names[top + 1 :], own]),
            self._guard.is_tracked,
        )


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", os.curdir}]


def is_plain_path(path: str) -> bool:
    """Tell whether a path can be that of a file in a working tree: no part of it leads up, or to what is git's."""
    return all(part not in {"", os.curdir, os.pardir} and not _is_git(part) for part in path.split("/"))


def _is_git(name: str) -> bool:
    """Whether a file system may take a name for `.git`: by its case, by signs that it ignores, by what Windows cuts."""
    return name.translate(IGNORED).partition(":")[0].rstrip(" .").casefold() in GIT_NAMES


def _own_name(folder: int, name: str) -> str:
    """The name of an entry as the folder has it: a file system may find it under others, of another case perhaps."""
    try:
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:  # nothing is there yet, or the folder may not be listed
        return name
    try:
        with os.scandir(listed) as entries:
            found = {entry.name: entry.inode() for entry in entries}
    finally:
        os.close(listed)
    return name if name in found else next((own for own, inode in found.items() if inode == about.st_ino), name)


def _holds(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _identities(folders: tuple[Path, ...]) -> frozenset[tuple[int, int]]:
    found = set()
    for folder in folders:
        with suppress(OSError):
            found.add(_identity(folder.stat()))
    return frozenset(found)


# The file


def _replace(place: _Place, data: bytes, about: os.stat_result | None) -> None:
    mode = 0o666 & ~_umask() if about is None else about.st_mode & (0o666 if place.is_inside else 0o777)
    temporary = f".kilo-review-{os.urandom(8).hex()}"
    descriptor = os.open(temporary, _NEW, 0o600, dir_fd=place.folder)
    is_placed = False
    try:
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        is_placed = True
    finally:
        if not is_placed:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=place.folder)


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _write_into(descriptor: int, data: bytes) -> None:
    """Write to a pipe or a device, and close it."""
    try:
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
