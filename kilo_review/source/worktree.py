"""What must not lead a written file astray: the checkout around the working directory, and what git tracks in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.core.atomic_write import GIT, Guard
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import SourceError, TargetError
from kilo_review.source.git import Git
from kilo_review.source.layout import Located

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 5.0
"""For one question to git: a report is due when the time of the review is over, too."""
POINTER = "gitdir:"
"""How a file `.git` begins, which a submodule or a further worktree has in place of the folder."""
LARGEST_POINTER = 8192


def guard(trees: Iterable[str | None] = ()) -> Guard:
    """Return what is around the working directory; every other checkout counts, too, once a path leads into it.

    Args:
        trees: commits or trees whose paths count as tracked, whether or not they are checked out.
    """
    try:
        directory = Path.cwd()
    except OSError:  # it was removed
        return Guard(finds_checkouts=True)
    own, *git_folders = _told(directory) or (None,)
    tops = [top for top in (own, _around(directory)) if top is not None]
    tops += [whole for top in tops if (whole := _superproject(top)) is not None]
    asked = tuple(dict.fromkeys(("HEAD", *filter(None, trees))))
    return Guard(
        tuple(dict.fromkeys(tops)),
        tuple(git_folders),
        lambda top, path: _is_tracked(top, path, directory, own, asked),
        finds_checkouts=True,
    )


def hooks_folder(directory: Path) -> Path | None:
    """The folder of the hooks as `core.hooksPath` spells it, which git itself answers with links resolved.

    Args:
        directory: one of the repository.

    Returns:
        None where the setting is not made.
    """
    git = Git(directory, Deadline().within(SECONDS), pinned=False)
    status, output = git.status("config", "--type=path", "--get", "core.hooksPath")
    own = _told(directory)
    return (own[0] if own else directory) / os.fsdecode(output.removesuffix(b"\n")) if status == 0 else None


def _told(directory: Path) -> tuple[Path, ...]:
    """The top of the worktree and where git keeps its own, as git says; nothing where it says neither."""
    git = Git(directory, Deadline().within(SECONDS))
    try:
        status, output = git.status(
            "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir"
        )
    except SourceError:
        return ()
    return tuple(Path(line) for line in os.fsdecode(output).split("\n")[:-1]) if status == 0 else ()


def _around(directory: Path) -> Path | None:
    """The nearest folder with a repository, whether or not git can read that."""
    return next((folder for folder in (directory, *directory.parents) if os.path.lexists(folder / GIT)), None)


def _superproject(top: Path) -> Path | None:
    """The checkout that a submodule, or a worktree in a folder of another one, is a part of; None for most."""
    kept = _kept_in(top)
    if kept is None or (top / GIT).is_dir():
        return None
    real = Path(os.path.realpath(kept))
    found = [folder for folder in top.parents if real.is_relative_to(os.path.realpath(folder / GIT))]
    return found[-1] if found else None


def _kept_in(top: Path) -> Path | None:
    """Where the repository of a worktree is kept; None if that cannot be read."""
    entry = top / GIT
    if entry.is_dir():
        return entry
    try:
        with entry.open("rb") as stream:
            text = os.fsdecode(stream.read(LARGEST_POINTER))
    except OSError:
        return None
    return top / text.removeprefix(POINTER).strip() if text.startswith(POINTER) else None


def _is_tracked(top: Path, path: str, directory: Path, own: Path | None, asked: tuple[str, ...]) -> bool:
    """Whether a path is in the index or in one of these trees; if git cannot tell, whether there is such a file."""
    if own is None and not os.path.lexists(top / GIT):
        return os.path.lexists(top / path)
    try:
        git = _Questions(top if own is None else directory, Deadline().within(SECONDS))
        if own is None or os.path.realpath(own) != os.path.realpath(top):  # beside it, or one stands in the other
            git.turn_to(top)
        if git.run("ls-files", "-z", "--full-name", "--", os.path.join(top, path)):  # noqa: PTH118  it may have a `..`
            return True
        return any(git.status("ls-tree", "-z", "--full-tree", tree, "--", path)[1] for tree in asked)
    except (SourceError, TargetError):
        return os.path.lexists(top / path)


class _Questions(Located):
    """Takes paths as they are, not as patterns."""

    def __init__(self, directory: Path, deadline: Deadline) -> None:
        super().__init__(directory, deadline)
        self._environment = self._environment | {"GIT_LITERAL_PATHSPECS": "1"}

    def turn_to(self, top: Path) -> None:
        """Ask about the repository of this worktree from now on.

        Raises:
            SourceError: it is not known where that is kept, or it is another user's, whom git would not trust.
        """
        kept = _kept_in(top)
        if kept is None or not kept.exists() or kept.stat().st_uid != os.geteuid():
            raise SourceError(f"{str(top / GIT)!a} is not to be read")
        self._overlay = {"GIT_DIR": str(kept), "GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(kept / "index")}
        self.work_in(top)
