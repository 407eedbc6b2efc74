"""Findings → lines of the diff that a forge shows, so that a comment can stand there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.errors import DiffMismatchError
from kilo_review.core.finding import fold
from kilo_review.forge.base import Spot

if TYPE_CHECKING:
    from kilo_review.core.finding import Finding
    from kilo_review.source.diff import Diff, FileChange, Hunk, Line

CONTEXT = 3
"""Lines around a change that every forge shows."""


class Places:
    """Where comments can stand in one diff."""

    def __init__(self, diff: Diff | None) -> None:
        self._diff = diff
        self._files = {change.path: change for change in diff.files} if diff else {}

    def spot(self, finding: Finding) -> Spot | None:
        """The lines of a finding, or None where no forge can show it."""
        change = self._files.get(finding.path)
        if change is None or not _is_text(change.path) or not _is_text(change.old_path or ""):
            return None
        try:
            return self._removed(finding, change) if finding.line == 0 else self._new(finding, change)
        except DiffMismatchError:
            return None

    def old_paths(self, path: str) -> set[str]:
        """The names of a file in the change."""
        change = self._files.get(path)
        return {path, change.old_path} if change and change.old_path else {path}

    def _new(self, finding: Finding, change: FileChange) -> Spot | None:
        hunk = next((each for each in change.hunks if each.start <= finding.line <= each.last), None)
        if hunk is None:
            return None
        wanted = range(finding.line, min(max(finding.end_line, finding.line), hunk.last) + 1)
        shown = [line for line in self._shown(hunk) if line.new in wanted]
        if not shown or shown[0].new != finding.line:
            return None
        last = shown[-1]
        assert last.new is not None
        text = "\n".join(line.text for line in shown)
        return Spot(change.path, change.old_path or change.path, finding.line, last.new, False, last.old, text)

    def _removed(self, finding: Finding, change: FileChange) -> Spot | None:
        """In a deleted file nothing has a new line: the quoted one is looked for among the old ones."""
        lines = (line for hunk in change.hunks for line in self._shown(hunk))
        for line in lines:
            if line.kind == "-" and line.old is not None and fold(line.text) == fold(finding.code):
                old_path = change.old_path or change.path
                return Spot(change.path, old_path, line.old, line.old, True, line.old, line.text)
        return None

    def _shown(self, hunk: Hunk) -> list[Line]:
        """The lines of a hunk that stand near to a change, however much context our own diff has."""
        assert self._diff
        lines = self._diff.lines(hunk)
        changed = [at for at, line in enumerate(lines) if line.kind != " "]
        near = {at + step for at in changed for step in range(-CONTEXT, CONTEXT + 1)}
        return [line for at, line in enumerate(lines) if at in near]


def _is_text(path: str) -> bool:
    """Whether a path is UTF-8, as what is sent has to be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
