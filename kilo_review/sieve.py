"""What takes a finding out of the count unasked: the settings, a comment in the code, an earlier decision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kilo_review.display import escaped_path
from kilo_review.errors import SourceError
from kilo_review.finding import Finding, Status, fold
from kilo_review.judge.baseline import COUNTED, Known
from kilo_review.judge.categories import Switchboard
from kilo_review.judge.suppress import Ignore, ignore_for, ignores_in, numbered, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kilo_review.job import Job
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Hunk
    from kilo_review.source.repo import Repository


def known(job: Job, dismissals: Mapping[str, str], repository: Repository | None, tree: str | None) -> Known:
    """What is accepted or dismissed, for the findings of one tree."""
    lines: dict[str, set[str]] = {}

    def has_line(path: str, code: str) -> bool:
        if repository is None or tree is None:
            return True  # a patch tells nothing of other files: nothing is taken for moved
        if path not in lines:
            try:
                content = repository.file_in(tree, path) or b""
            except SourceError:  # the time is used up: what was found is judged all the same
                return True
            lines[path] = {fold(line) for line in content.decode("utf-8", "replace").split("\n")}
        return fold(code) in lines[path]

    return Known(job.baseline, dismissals, has_line)


class Sieve:
    """Holds the findings of one change against everything that may take them out of the count.

    Attributes:
        notes: comments that were meant to suppress a finding and are not honoured, with the reason.
    """

    def __init__(self, job: Job, change: Change, decided: Known) -> None:
        self.notes: list[str] = []
        self._job = job
        self._change = change
        self._known = decided
        self._switches = Switchboard(job.categories)
        self._files = {file.path: file for file in change.diff.files}
        self._ignores: dict[str, dict[int, Ignore]] = {}
        self._used: set[tuple[str, int]] = set()

    def sift(self, finding: Finding) -> Finding:
        """The finding, out of the count if it is not wanted, is ignored, dismissed or accepted."""
        if finding.status not in COUNTED:
            return finding
        reason = self._switches.objection(finding) or self._ignored(finding)
        if reason:
            return replace(finding, status=Status.SUPPRESSED, reason=reason)
        return self._known.mark(finding)

    def unused(self, hunks: Iterable[tuple[FileChange, Hunk]]) -> list[str]:
        """Comments on lines that were looked at and had no such finding."""
        told = []
        for file, hunk in hunks:
            ignores = self._ignores_of(file)
            for each in ignores.values():
                if hunk.start <= target_of(each, ignores) <= hunk.last and (file.path, each.line) not in self._used:
                    words = ", ".join(sorted(each.categories))
                    why = each.problem or "suppresses nothing"
                    told.append(f"{escaped_path(file.path)}:{each.line}: kilo-review: ignore[{words}] {why}")
        return list(dict.fromkeys(told))

    def _ignored(self, finding: Finding) -> str:
        file = self._files.get(finding.path)
        found = ignore_for(finding, self._ignores_of(file)) if file else None
        if found is None:
            return ""
        problem = found.problem or self._distrust(found, finding.path)
        if problem:
            self.notes.append(f"{escaped_path(finding.path)}:{found.line}: the comment kilo-review: ignore {problem}")
            return ""
        self._used.add((finding.path, found.line))
        return f"ignored in line {found.line}: {found.reason}"

    def _distrust(self, ignore: Ignore, path: str) -> str:
        """A pull request does not excuse itself."""
        if not self._job.is_pull_request:
            return ""
        added = {
            line.new for hunk in self._files[path].hunks for line in self._change.diff.lines(hunk) if line.kind == "+"
        }
        return "is not honoured, since this pull request brings it in" if ignore.line in added else ""

    def _ignores_of(self, file: FileChange) -> dict[int, Ignore]:
        if file.path not in self._ignores:
            self._ignores[file.path] = ignores_in(self._lines(file))
        return self._ignores[file.path]

    def _lines(self, file: FileChange) -> dict[int, str]:
        """The new file's lines; of a patch, those that it shows."""
        try:
            content = self._change.new_content(file)
        except SourceError:  # the time is used up: what was found is judged by what the hunks show
            content = None
        if content is not None:
            return numbered(content)
        shown = (line for hunk in file.hunks for line in self._change.diff.lines(hunk))
        return {line.new: line.text for line in shown if line.new is not None}
