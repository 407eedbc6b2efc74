"""The repository that git finds around a folder: where it keeps its things, and whether it may be used at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import SourceError
from kilo_review.source.git import Git

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline

DOT_GIT = ".git"
"""The one name that git lets no commit bring, in any spelling."""
HEX_DIGITS = {"sha1": 40, "sha256": 64}
_QUESTIONS = (
    *("--path-format=absolute", "--is-bare-repository", "--is-shallow-repository", "--show-object-format"),
    *("--git-path", "index", "--git-path", "objects", "--git-dir", "--git-common-dir", "--show-cdup"),
)
WITHOUT_WORKTREE = 7
"""Lines of the answer; --show-cdup adds one where there is a worktree."""
LONGEST_GITFILE = 65536


class Layout(NamedTuple):
    """Where this repository keeps its things; all paths are absolute.

    Attributes:
        is_bare: git says that it has no worktree.
        is_shallow: it lacks history.
        hex_digits: of its object ids.
        index_file: the index.
        objects: the folder of its objects.
        git_dir: its own folder, of a linked worktree the one of that worktree.
        common_dir: the folder that all its worktrees share.
        top: the top of the worktree; None where there is none, or inside of the git folder.
    """

    is_bare: bool
    is_shallow: bool
    hex_digits: int
    index_file: Path
    objects: Path
    git_dir: Path
    common_dir: Path
    top: Path | None


class Located(Git):
    """Runs git in the repository around a folder, and in no other one.

    Every command that needs a repository goes through here: a repository that is a part of another one's worktree is
    refused, since its configuration names programs and may have come with a commit. Git is told afterwards where the
    repository is, so that it does not look again: with a private object folder (`GIT_OBJECT_DIRECTORY`) it would take
    more folders for repositories than without.

    Attributes:
        layout: where the repository keeps its things.
    """

    def __init__(self, directory: Path, deadline: Deadline | None = None, *, pinned: bool = True) -> None:
        """Find the repository.

        Raises:
            TargetError: there is none.
            SourceError: git refuses to read it, or it is a part of another one's worktree.
        """
        super().__init__(directory, deadline, pinned=pinned)
        self.layout = self._read_layout(directory)
        _refuse_planted(directory, self.layout.git_dir)
        top = self.layout.top
        tree = {"GIT_WORK_TREE": str(top)} if top else {"GIT_IMPLICIT_WORK_TREE": "0"}
        self._environment = self._environment | {"GIT_DIR": str(self.layout.git_dir)} | tree

    def _read_layout(self, directory: Path) -> Layout:
        lines = os.fsdecode(self.run("rev-parse", *_QUESTIONS)).split("\n")[:-1]
        if len(lines) not in {WITHOUT_WORKTREE, WITHOUT_WORKTREE + 1} or lines[2] not in HEX_DIGITS:
            raise SourceError(
                "git describes this repository in a way that cannot be read",
                hint="Is there a line break in its path?",
            )
        bare, shallow, hashes, *paths = lines
        index, objects, git_dir, common_dir, *up = map(Path, paths)
        top = Path(os.path.normpath(os.path.realpath(directory) / up[0])) if up else None
        return Layout(bare == "true", shallow == "true", HEX_DIGITS[hashes], index, objects, git_dir, common_dir, top)


def _refuse_planted(directory: Path, git_dir: Path) -> None:
    """Refuse a repository that git took for one by its files alone and that lies in another one's worktree.

    Git looks upwards from where it runs, and takes for a repository what has the files of a bare one; a commit can
    bring such files. It cannot bring anything that is called `.git`.

    Args:
        directory: where git runs.
        git_dir: what it found.

    Raises:
        SourceError: it is one.
    """
    if os.environ.get("GIT_DIR"):  # not found but named: by the user, or by git that runs a hook
        return
    here = Path(os.path.realpath(directory))
    if not any(git_dir.samefile(folder) for folder in (here, *here.parents)):
        return  # named by a file or a link `.git`
    worktree = _worktree_around(git_dir)
    if worktree is not None:
        raise SourceError(
            f"the folder {str(git_dir)!a} looks like a repository of its own, but is a part of the checkout"
            f" {str(worktree)!a}, which may have brought programs in its configuration",
            hint=f"Run kilo-review at the top of the checkout; if that repository is yours, set GIT_DIR={git_dir}",
        )


def _worktree_around(git_dir: Path) -> Path | None:
    """The worktree that a repository lies in; None where there is none, or the repository is that worktree's own."""
    for folder in (git_dir, *git_dir.parents):
        if folder.name == DOT_GIT:
            return None
        if os.path.lexists(folder / DOT_GIT):
            own = _named_by(folder / DOT_GIT)
            return None if git_dir == own or own in git_dir.parents else folder
    return None


def _named_by(dot_git: Path) -> Path:
    """The repository that a `.git` is or names."""
    try:
        with dot_git.open("rb") as stream:
            said = os.fsdecode(stream.read(LONGEST_GITFILE)).removeprefix("gitdir: ").rstrip("\r\n")
    except OSError:  # a folder
        said = ""
    return Path(os.path.realpath(dot_git.parent / said if said else dot_git))
