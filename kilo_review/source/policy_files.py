"""The files by which a repository governs its own review, as they are at one commit and not as a proposal has them.

Where somebody proposes a change, what he changes of them is shown and does not count.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kilo_review.core.atomic_write import is_plain_path
from kilo_review.core.errors import SourceError
from kilo_review.source.diff import SYMLINK, decode_path
from kilo_review.source.layout import Located

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilo_review.core.deadline import Deadline
    from kilo_review.source.diff import FileChange
    from kilo_review.source.repo import Repository

SETTINGS = ".kilo-review.toml"
SHARED_SETTINGS = "pyproject.toml"
ATTRIBUTES = ".gitattributes"
AGENTS = "AGENTS.md"
FILES = (SETTINGS, SHARED_SETTINGS, ".kilocodeignore", "REVIEW.md", AGENTS)
FOLDERS = (".kilo-review", ".kilocode/rules")
FOLDER = "040000"
MOST_FILES = 2000
MOST_HOPS = 5
"""Of links that lead to links."""
TOP = "."


def lay_out(repo: Repository, tree: str, folder: Path, paths: Iterable[str] = (*FILES, *FOLDERS)) -> None:
    """Write files of a tree below a folder, where those who read settings will find them.

    Args:
        repo: has the tree.
        tree: its id.
        folder: an empty one of our own.
        paths: files and folders, from the top of the repository; what is not there is left out.

    Raises:
        SourceError: there are too many, or one of them cannot be read.
    """
    listed = _listed(repo, tree, tuple(paths))
    if len(listed) > MOST_FILES:
        raise SourceError(f"{len(listed)} files govern the review; {MOST_FILES} are the limit")
    for path, mode, oid in listed:
        content = _followed(repo, tree, path, oid) if mode == SYMLINK else repo.blob(oid)
        if content is not None and is_plain_path(path):
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def agents_below(root: Path, deadline: Deadline | None = None) -> list[str]:
    """Return the paths of `AGENTS.md` in subfolders: of the checkout those that git does not ignore, else all."""
    if os.path.lexists(root / ".git") or os.environ.get("GIT_DIR"):
        here = Path.cwd()  # relative paths in the environment are from there
        is_inside = os.environ.get("GIT_DIR") or here.is_relative_to(os.path.realpath(root))
        git = Located(here if is_inside else root, deadline)
        if git.layout.top is None:
            return []
        listing = ("ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard")
        names = git.run(*listing, "--", f":(top,glob)**/{AGENTS}").split(b"\0")
        return sorted({path for name in names if name and (path := decode_path(name)) != AGENTS})
    found = (Path(folder).relative_to(root) / AGENTS for folder, _, files in os.walk(root) if AGENTS in files)
    return sorted(path.as_posix() for path in found if path.as_posix() != AGENTS)


def agents_in(repo: Repository, tree: str) -> list[str]:
    """Return the paths of `AGENTS.md` in the subfolders of a tree."""
    names = repo.run("ls-tree", "-r", "-z", "--full-tree", "--name-only", tree).split(b"\0")
    return [decode_path(name) for name in names if name.endswith(f"/{AGENTS}".encode())]


def _listed(repo: Repository, tree: str, paths: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Path, mode and id of the files that are named or lie below; a link to a folder has those of that folder."""
    linked = {path: real for path in paths if (real := _real(repo, tree, path)) != path}
    found = repo.listing(tree, tuple(path for path in paths if path not in linked))
    for path, real in linked.items():
        found += [(path + name[len(real) :], mode, oid) for name, mode, oid in repo.listing(tree, (real,))]
    return found


def _real(repo: Repository, tree: str, path: str) -> str:
    """A path of a tree with the links on its way resolved, unless they lead out of it."""
    for _ in range(MOST_HOPS):
        ways = [parent.as_posix() for parent in reversed(PurePosixPath(path).parents)][1:]
        link = next((way for way in (*ways, path) if repo.mode_of(tree, way) == SYMLINK), None)
        target = repo.file_in(tree, link) if link else None
        if link is None or target is None:
            return path
        beside = posixpath.join(posixpath.dirname(link), target.decode("utf-8", "surrogateescape"))
        resolved = posixpath.normpath(beside + path[len(link) :])
        if resolved.startswith(("/", "../")) or resolved in {"..", "."}:
            return path
        path = resolved
    return path


def touched(files: Iterable[FileChange], extra: Iterable[str], repo: Repository, *trees: str) -> list[str]:
    """Paths of a change that would govern its review, in order.

    Args:
        files: what is changed.
        extra: further files that do, such as a baseline in a place of its own.
        repo: has the trees.
        trees: the old one and the new one.
    """
    governing = {*FILES, *FOLDERS, *extra}
    if not any(b"kilo-review" in (repo.file_in(tree, SHARED_SETTINGS) or b"") for tree in trees):
        governing.discard(SHARED_SETTINGS)  # other tools' settings
    paths = {path for file in files for path in (file.path, file.old_path) if path is not None}
    return sorted(path for path in paths if path in governing or _is_usual(path))


def places(repo: Repository, path: Path) -> list[str]:
    """Where in the checkout a path is, from its top ("."): by its words, and by where links lead; none outside."""
    tops = {str(repo.top()), os.path.realpath(repo.top())}
    found = (
        PurePosixPath(each).relative_to(top).as_posix()
        for each in (os.path.abspath(path), os.path.realpath(path))  # noqa: PTH100  pathlib's would follow links
        for top in tops
        if PurePosixPath(each).is_relative_to(top)
    )
    return list(dict.fromkeys(found))


def is_recorded(repo: Repository, tree: str, path: str) -> bool:
    """Whether a tree has this path, or has a link or a submodule in the way to it."""
    if path == TOP or repo.mode_of(tree, path):
        return True
    above = [parent.as_posix() for parent in PurePosixPath(path).parents][:-1]
    return any(repo.mode_of(tree, each) not in {"", FOLDER} for each in above)


def _is_usual(path: str) -> bool:
    in_folder = path.startswith(tuple(f"{folder}/" for folder in FOLDERS))
    return in_folder or PurePosixPath(path).name in {ATTRIBUTES, AGENTS}


def _followed(repo: Repository, tree: str, path: str, oid: str) -> bytes | None:
    """What a link leads to in its own tree; None for one that leads out of it or nowhere."""
    for _ in range(MOST_HOPS):
        target = repo.blob(oid).decode("utf-8", "surrogateescape")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if path.startswith(("/", "../")) or path == "..":
            return None
        found = [(mode, its) for name, mode, its in repo.listing(tree, (path,)) if name == path]
        if not found:
            return None
        mode, oid = found[0]
        if mode != SYMLINK:
            return repo.blob(oid)
    return None
