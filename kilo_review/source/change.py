"""One change, wherever it comes from: its target, its diff, and the files that it touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.outcome import Target, TargetKind
from kilo_review.source.diff import Diff, FileChange, Hunk, Line, parse_diff_tree
from kilo_review.source.notebook import Notebooks
from kilo_review.source.patch import parse_patch
from kilo_review.source.target import resolve
from kilo_review.source.text_view import in_text

if TYPE_CHECKING:
    from kilo_review.source.notebook import Sides
    from kilo_review.source.repo import Repository
    from kilo_review.source.target import Request


class Change(NamedTuple):
    """A parsed change. `repo` is None for a patch, which has no files beside it."""

    target: Target
    diff: Diff
    repo: Repository | None = None
    others: tuple[Diff, ...] = ()
    """Of a merge, what differs from each further parent."""
    ruled_by: str | None = None
    """The tree whose attributes count; None for the new one."""
    notebooks: Notebooks | None = None
    """The notebooks of a change that has a repository."""

    def lines(self, change: FileChange, hunk: Hunk) -> list[Line]:
        """Return the lines of a hunk as they are shown: those of a notebook as the source that they hold."""
        lines, sides = self.diff.lines(hunk), self.notebook(change)
        if sides is None:
            return lines
        return [
            line._replace(text=side.text(number))
            for line in lines
            for side, number in [(sides.new, line.new) if line.new is not None else (sides.old, line.old)]
            if side is not None and number is not None
        ]

    def new_content(self, change: FileChange) -> bytes | None:
        """Return the whole new file as it is shown, or None where there is none to read."""
        if self.repo is None or not change.new_oid.strip("0"):
            return None
        sides = self.notebook(change)
        return sides.new.content if sides and sides.new else self.repo.blob(change.new_oid)

    def old_content(self, change: FileChange) -> bytes | None:
        """Return the whole old file as it is shown, or None where there is none to read."""
        if self.repo is None or not change.old_oid.strip("0"):
            return None
        sides = self.notebook(change)
        return sides.old.content if sides and sides.old else self.repo.blob(change.old_oid)

    def notebook(self, change: FileChange) -> Sides | None:
        """Return both sides of a notebook; None for any other file."""
        return self.notebooks.of(change) if self.notebooks else None

    def start_of(self, oid: str) -> bytes:
        """The beginning of a blob."""
        return self.repo.blob_start(oid) if self.repo else b""

    def attributes(self, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Git attributes of the changed files, as the tree that counts defines them."""
        tree = self.ruled_by or self.target.head
        if self.repo is None or tree is None:
            return {}
        paths = dict.fromkeys(path for file in self.diff.files for path in (file.path, file.old_path) if path)
        return self.repo.attributes(tree, paths, names)


def of_patch(patch: bytes) -> Change:
    """The change that a patch describes.

    Raises:
        SourceError: it is damaged.
    """
    return Change(Target(TargetKind.PATCH, None, None), parse_patch(patch))


def of_repository(repo: Repository, request: Request) -> Change:
    """Read the change that was asked for.

    Raises:
        TargetError: it does not exist.
        SourceError: git cannot tell, or tells something else than was parsed.
    """
    target = resolve(repo, request)
    assert target.base
    assert target.head
    others = tuple(_diff(repo, other, target.head, request.paths) for other in target.others)
    diff = _diff(repo, target.base, target.head, request.paths)
    return Change(target, diff, repo, others, request.ruled_by, Notebooks(repo.blob, diff.lines))


def _diff(repo: Repository, base: str, head: str, paths: tuple[str, ...]) -> Diff:
    """Equal trees need no git: the commonest case of a hook (a message-only amend) ends here."""
    output = (b"", b"") if base == head else repo.diff(base, head, paths)
    diff = parse_diff_tree(*output, check=repo.check_time)
    return in_text(repo, diff) if any(file.is_binary for file in diff.files) else diff
