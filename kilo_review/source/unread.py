"""What of a worktree git could not take into a snapshot: nested repositories, and what cannot be read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Protocol

from kilo_review.core.outcome import Entry, State
from kilo_review.source.diff import decode_path
from kilo_review.source.git_errors import explain

NESTED = "nested repository without a commit"
MOVED = "it was changed while git read it"
EVERYTHING = ":/"
PARTLY = 1
"""The exit status of `git add --ignore-errors` where some files could not be added."""
_CLOSED_FOLDER = r"(?m)^warning: could not open directory '(.+?)/?': (.+)$"


class Worktree(Protocol):
    """What is asked of a repository."""

    def attempt(self, *arguments: str) -> tuple[int, bytes, str]:
        """Return exit status, output and complaints of a git command that may do a part of its work."""

    def inside(self, path: Path) -> str:
        """Return a path from the top of the working tree; "" for one that is not below it."""

    def top(self) -> Path:
        """Return the top of the working tree."""


def add_all(repo: Worktree, paths: tuple[str, ...], excluded: tuple[str, ...]) -> tuple[Entry, ...]:
    """Add the whole worktree to the index, and return a row for each part that could not be added.

    Args:
        repo: has an index of our own.
        paths: git pathspecs of what is reviewed; none: everything.
        excluded: git pathspecs of what is no part of the worktree.

    Raises:
        SourceError: git failed for another reason than single files.
    """
    complaints, left = _added(repo, excluded)
    if any(entry.reason != NESTED for entry in left):  # a file may have gone in the meantime
        complaints, left = _added(repo, excluded)
    if not left and any(line.startswith("error:") for line in complaints.splitlines()):
        raise explain("add", PARTLY, complaints)
    if not left or not paths:
        return left
    named = [f"{repo.inside(Path(path))}/" for path in paths]  # git does not look into a nested repository for them
    around = {entry for entry in left if any(name.startswith(f"{entry.path}/") for name in named)}
    chosen = {*_left_out(repo, (*paths, *excluded)), *around}
    return tuple(entry for entry in left if entry in chosen)


def _added(repo: Worktree, excluded: tuple[str, ...]) -> tuple[str, tuple[Entry, ...]]:
    """Add what can be added; return what git complained of, and rows for the rest."""
    everything = (EVERYTHING, *excluded)
    command = ("add", "--all", "--ignore-errors", "--", *everything)
    status, _, complaints = repo.attempt(*command)
    if status > PARTLY:  # likewise, where git had listed the file as changed
        status, _, complaints = repo.attempt(*command)
    if status > PARTLY:
        raise explain("add", status, complaints)
    return complaints, _left_out(repo, everything) if complaints else ()


def _left_out(repo: Worktree, paths: tuple[str, ...]) -> tuple[Entry, ...]:
    """Return a row for each path that still differs from the index, and for each folder that cannot be listed."""
    listing = ("ls-files", "-z", "--full-name", "--others", "--modified", "--deleted", "--exclude-standard")
    status, output, errors = repo.attempt(*listing, "--", *paths)
    if status:
        raise explain("ls-files", status, errors)
    names = [name for name in output.split(b"\0") if name]
    top = repo.top()
    rows = {path: _row(top, path) for path in map(decode_path, names)}
    closed = {path: f"it cannot be read ({why})" for path, why in re.findall(_CLOSED_FOLDER, errors)}
    rows |= {path: _entry(path, State.NOT_REVIEWED, why) for path, why in closed.items()}
    return tuple(rows[path] for path in sorted(rows))


def _row(top: Path, path: str) -> Entry:
    if path.endswith("/"):
        return _entry(path.rstrip("/"), State.SKIPPED, NESTED)
    return _entry(path, State.NOT_REVIEWED, _trouble(os.path.join(top, path)))  # noqa: PTH118  as git spells it


def _trouble(path: str) -> str:
    """Return why git could not read a file."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return "it is neither a file nor a link"
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except FileNotFoundError:
        return MOVED
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "git could not read it"


def _entry(path: str, state: State, reason: str) -> Entry:
    return Entry(path, 0, 0, 0, 0, state, reason, is_hunk=False)
