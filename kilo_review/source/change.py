"""One change, wherever it comes from: its target, its diff, and the files that it touches."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.outcome import Target, TargetKind
from kilo_review.source.diff import Diff, FileChange, parse_diff_tree
from kilo_review.source.patch import parse_patch
from kilo_review.source.repo import Repository
from kilo_review.source.target import Request, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Change:
    """A parsed change. `repo` is None for a patch, which has no files beside it."""

    target: Target
    diff: Diff
    repo: Repository | None = None

    def new_content(self, change: FileChange) -> bytes | None:
        """The whole new file, or None where there is none to read."""
        if self.repo is None or not change.new_oid.strip("0"):
            return None
        return self.repo.blob(change.new_oid)

    def start_of(self, oid: str) -> bytes:
        """The beginning of a blob."""
        return self.repo.blob_start(oid) if self.repo else b""

    def attributes(self, names: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Git attributes of the changed files, as the new tree defines them."""
        if self.repo is None or self.target.head is None:
            return {}
        return self.repo.attributes(self.target.head, (change.path for change in self.diff.files), names)


@contextmanager
def opened(request: Request, deadline: Deadline, patch: bytes | None = None) -> Iterator[Change]:
    """Read the change that was asked for; what was opened for it is closed at the end.

    Raises:
        TargetError: it does not exist.
        SourceError: git cannot tell, or tells something else than was parsed.
    """
    if patch is not None:
        yield Change(Target(TargetKind.PATCH, None, None), parse_patch(patch))
        return
    with Repository(Path.cwd(), deadline) as repo:
        target = resolve(repo, request)
        assert target.base
        assert target.head
        # Equal trees need no diff: the commonest case of a hook (a message-only amend) ends here.
        same = target.base == target.head
        patch_and_counts = (b"", b"") if same else repo.diff(target.base, target.head, request.paths)
        yield Change(target, parse_diff_tree(*patch_and_counts), repo)
