"""Find the hooks folder that git uses, and refuse those that are not ours to change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import UsageError
from kilo_review.hooks.script import HOOKS
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.source.git import Git
from kilo_review.source.layout import Located

if TYPE_CHECKING:
    from collections.abc import Iterator

HUSKY = ".husky"


class Place(NamedTuple):
    """Where hooks are installed.

    Attributes:
        folder: the hooks folder that git uses.
        for_all: it counts for all repositories of the user.
        hands_over: it is our own, so each hook hands over to the repository's.
        top: of the worktree that the folder is in, or None.
        link: in a worktree, through which the folder is reached, or None.
        warning: what the user should know of it, or "".
    """

    folder: Path
    for_all: bool = False
    hands_over: bool = False
    top: Path | None = None
    link: Path | None = None
    warning: str = ""


def place_here(directory: Path, hooks: tuple[str, ...]) -> Place:
    """Return the hooks folder of the repository around a directory.

    Raises:
        TargetError: there is none.
        UsageError: its hooks are another program's, or all repositories'.
    """
    git = Located(directory, pinned=False)
    words = ("rev-parse", "--path-format=absolute", "--git-path", "hooks", "--is-bare-repository")
    lines = os.fsdecode(git.run(*words)).split("\n")
    folder, is_bare = Path("\n".join(lines[:-2])), lines[-2] == "true"
    if is_bare and set(hooks) - {"pre-push"}:
        raise UsageError("nothing is committed in a bare repository", hint="Only a push can be: --hook pre-push")
    _refuse_shared(git, folder, hooks)
    if is_bare:
        return Place(folder)
    tops, named = _worktrees(git), _named(git)
    top = next((top for top in tops if _is_within(folder, top)), None)
    link = next((link for link in _links(named) for top in tops if _is_within(link, top)), None)
    return Place(folder, top=top, link=link, warning="" if top is None else _warning(git, folder))


def _worktrees(git: Git) -> list[Path]:
    """Return the tops of this worktree and of the main one."""
    found = [_path(git, "--show-toplevel")]
    common = _path(git, "--git-common-dir")
    return [*found, common.parent] if common.name == ".git" else found


def _named(git: Git) -> Path:
    """Return the hooks folder as it is named; where git is asked for it, links are resolved."""
    status, output = git.status("config", "--type=path", "--get", "core.hooksPath")
    if status == 0:
        return _path(git, "--show-toplevel") / os.fsdecode(output.removesuffix(b"\n"))
    return _path(git, "--git-common-dir") / "hooks"


def _path(git: Git, question: str) -> Path:
    return Path(os.fsdecode(git.run("rev-parse", "--path-format=absolute", question).removesuffix(b"\n")))


def _is_within(path: Path, top: Path) -> bool:
    return path.is_relative_to(top) and not path.is_relative_to(top / ".git")


def _refuse_shared(git: Git, folder: Path, hooks: tuple[str, ...]) -> None:
    status, output = git.status("config", "--show-scope", "--type=path", "--get", "core.hooksPath")
    scope, _, value = output.removesuffix(b"\n").partition(b"\t")
    if status == 0 and scope in {b"global", b"system"} and Path(os.fsdecode(value)).is_absolute():
        raise UsageError(
            f"core.hooksPath is set for all your repositories, to {escaped_path(str(folder))}",
            hint="Install for all of them: kilo-review install --global",
        )
    if HUSKY in folder.parts:
        lines = "; ".join(f"{_line(hook)}  in {HUSKY}/{hook}" for hook in hooks)
        raise UsageError("the hooks of this repository are husky's, which writes them anew", hint=f"Add: {lines}")


def _line(hook: str) -> str:
    return f'kilo-review hook {hook} "$@"'


def _links(path: Path) -> Iterator[Path]:
    """Yield each symbolic link on the way to a path, by its own path without links."""
    current, parts = Path("/"), list(reversed(path.parts[1:]))
    for _ in range(1000):  # links may lead in a circle
        if not parts:
            return
        part = parts.pop()
        below = current.parent if part == ".." else current / part
        if below.is_symlink():
            yield below
            target = below.readlink()
            current = Path("/") if target.is_absolute() else current
            parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        else:
            current = below


def _warning(git: Git, folder: Path) -> str:
    """Warn of a hook in the worktree: it may be committed, and names an interpreter of this machine."""
    if git.status("check-ignore", "-q", "--", str(folder / HOOKS[0]))[0] == 0:
        return ""
    return f"{escaped_path(str(folder))} is in the worktree: do not commit these hooks, they name this machine's Python"


def place_for_all(directory: Path, own_folder: Path) -> Place:
    """Return the hooks folder for all repositories of the user: the one that is set, or ours.

    Args:
        directory: any.
        own_folder: where ours is, or will be.

    Raises:
        UsageError: the one that is set is another one in each repository.
    """
    status, output = Git(directory, pinned=False).status("config", "--global", "--type=path", "--get", "core.hooksPath")
    folder = Path(os.fsdecode(output.removesuffix(b"\n"))) if status == 0 else own_folder
    if not folder.is_absolute():
        raise UsageError(
            f"core.hooksPath is {escaped_path(str(folder))} for all your repositories: a folder in each of them",
            hint="Install in each repository: kilo-review install",
        )
    return Place(folder, for_all=True, hands_over=folder == own_folder)


def refuse_committed(place: Place, hooks: tuple[str, ...]) -> None:
    """Refuse to change what a commit holds: the hook would be another one for all who work with the repository."""
    lines = "; ".join(f"{_line(hook)}  in {hook}" for hook in hooks)
    shown = escaped_path(str(place.folder))
    if place.link is not None:
        raise UsageError(
            f"the hooks folder {shown} is reached through {escaped_path(str(place.link))}, a link in the worktree",
            hint="A commit can change where it leads. Name the folder itself: git config core.hooksPath",
        )
    if place.folder == place.top:
        raise UsageError("core.hooksPath is the worktree itself", hint=f"Add, in your hooks: {lines}")
    if not place.folder.is_dir():
        return
    git = Git(place.folder.resolve())
    for hook in hooks:
        if git.status("ls-files", "--error-unmatch", "--", hook)[0] == 0:
            raise UsageError(
                f"the hook {escaped_path(str(place.folder / hook))} is part of the repository, git tracks it",
                hint=f"Change it by hand. Add: {lines}",
            )
