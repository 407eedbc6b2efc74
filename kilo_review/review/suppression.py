"""What takes a finding out of the count unasked: the settings, a comment in the code, an earlier decision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.errors import SourceError
from kilo_review.core.finding import Finding, Status
from kilo_review.judge.baseline import COUNTED, Known
from kilo_review.judge.categories import Switchboard
from kilo_review.judge.suppress import Ignore, ignores_for, ignores_in, numbered, targets_of
from kilo_review.plan.context import text_of
from kilo_review.review.aliases import Aliases
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from kilo_review.plan.syntax import Syntax
    from kilo_review.review.request import Job
    from kilo_review.source.change import Change
    from kilo_review.source.diff import Edits, FileChange, Hunk

MOST_SHOWN = 1 << 18
"""Bytes of a file's hunks that are looked through for comments where the file itself cannot be read."""


def known(job: Job, dismissals: Mapping[str, str], change: Change | None, syntax: Syntax) -> Known:
    """Return what is accepted or dismissed, for the findings of one change.

    Args:
        job: with the project's baseline.
        dismissals: of this clone.
        change: that the findings are about; None where it is not at hand.
        syntax: knows the symbols of files.
    """
    return Known(job.baseline, dismissals, Aliases(change, syntax, is_proposal=job.is_pull_request))


def _first(hunks: Iterable[Hunk]) -> Iterator[Hunk]:
    """As many as are read in no time."""
    size = 0
    for hunk in hunks:
        size += hunk.end - hunk.begin
        if size > MOST_SHOWN:
            return
        yield hunk


class Sieve:
    """Holds the findings of one change against everything that may take them out of the count.

    Attributes:
        notes: comments that were meant to suppress a finding and are not honoured, with the reason.
    """

    def __init__(self, job: Job, change: Change, decided: Known, syntax: Syntax) -> None:
        self.notes: list[str] = []
        self._job = job
        self._change = change
        self._known = decided
        self._syntax = syntax
        self._aliases = Aliases(change, syntax, is_proposal=job.is_pull_request)
        self._switches = Switchboard(job.categories)
        self._files = {file.path: file for file in change.diff.files}
        self._ignores: dict[str, dict[int, Ignore]] = {}
        self._edits_of: dict[Hunk, Edits] = {}
        self._used: set[tuple[str, int]] = set()

    def sift(self, finding: Finding) -> Finding:
        """The finding, out of the count if it is not wanted, is ignored, dismissed or accepted."""
        if finding.status not in COUNTED:
            return finding
        reason = self._switches.objection(finding) or self._ignored(finding)
        if reason:
            return finding._replace(status=Status.SUPPRESSED, reason=reason)
        return self._known.mark(finding)

    def unused(self, hunks: Iterable[tuple[FileChange, Hunk]]) -> list[str]:
        """Comments on new lines that were looked at and had no such finding; of other lines nobody is told anything."""
        told = []
        looked_at: dict[str, list[Hunk]] = {}
        for file, hunk in hunks:
            looked_at.setdefault(file.path, []).append(hunk)
        for file in map(self._files.__getitem__, looked_at):
            ignores = self._ignores_of(file)
            targets = targets_of(ignores)
            new = {number for hunk in looked_at[file.path] for number in self._edits(hunk).added} if ignores else set()
            for each in ignores.values():
                if targets[each.line] in new and (file.path, each.line) not in self._used:
                    words = ", ".join(sorted(each.categories))
                    why = each.problem or "suppresses nothing"
                    told.append(f"{escaped_path(file.path)}:{each.line}: kilo-review: ignore[{words}] {why}")
        return list(dict.fromkeys(told))

    def _edits(self, hunk: Hunk) -> Edits:
        """Return where a hunk changes the new file; found out once."""
        if hunk not in self._edits_of:
            self._edits_of[hunk] = self._change.diff.edits(hunk)
        return self._edits_of[hunk]

    def _ignored(self, finding: Finding) -> str:
        file = self._files.get(finding.path)
        problems: list[str] = []
        for found in ignores_for(finding, self._ignores_of(file)) if file else ():
            problem = found.problem or self._distrust(found, finding)
            if not problem:
                self._used.add((finding.path, found.line))
                return f"ignored in line {found.line}: {found.reason}"
            problems.append(f"{escaped_path(finding.path)}:{found.line}: the comment kilo-review: ignore {problem}")
        self.notes += problems[:1]
        return ""

    def _distrust(self, ignore: Ignore, finding: Finding) -> str:
        """A pull request does not excuse itself, nor code that stood elsewhere, or was another, when it was excused."""
        if not self._job.is_pull_request:
            return ""
        edits = [self._edits(hunk) for hunk in self._files[finding.path].hunks]
        if any(each.touch(ignore.line, ignore.line) for each in edits):
            return "is not honoured, since this pull request brings it in"
        first, last = min(ignore.line, finding.line), max(ignore.line, finding.line, finding.end_line)
        if any(each.touch(first, last) for each in edits) or not self._aliases.is_untouched(finding):
            return "is not honoured, since this pull request changes the code that it speaks of, or what is around it"
        return ""

    def _ignores_of(self, file: FileChange) -> dict[int, Ignore]:
        if file.path not in self._ignores:
            self._ignores[file.path] = self._comments(file)
        return self._ignores[file.path]

    def _comments(self, file: FileChange) -> dict[int, Ignore]:
        """Those in the new file; of a patch, in the lines that it shows."""
        try:
            content = self._change.new_content(file)
        except SourceError:  # the time is used up: what was found is judged by what the hunks show
            content = None
        if content is None:
            shown = (line for hunk in _first(file.hunks) for line in self._change.diff.lines(hunk))
            return ignores_in({line.new: line.text for line in shown if line.new is not None}, file.path)
        text = text_of(content)
        found = ignores_in(numbered(text), file.path)
        quoted = self._syntax.in_strings(file.path, text, [(line, each.column) for line, each in found.items()])
        return {line: each for (line, each), is_quoted in zip(found.items(), quoted, strict=True) if not is_quoted}
