"""By which fingerprints a finding may be known, given the change that it was found in.

A decision about a finding holds for one place: a category, a file, a symbol and a line of code. Git sees two moves of a
place: its file is renamed, or the line stands unchanged below a heading that changed. In a proposal a decision holds
only in functions that the proposal does not touch: it chooses where its own lines stand, and what they do to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.deadline import PACE
from kilo_review.core.errors import SourceError
from kilo_review.judge.surroundings import ChangedLine, Surroundings
from kilo_review.plan.context import symbol_at, text_of
from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.plan.syntax import Syntax
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Hunk, Line


class Aliases:
    """Answers for the findings of one change; see `Known`."""

    def __init__(self, change: Change | None, syntax: Syntax, *, is_proposal: bool) -> None:
        """Look at nothing yet.

        Args:
            change: None where it is not at hand; then nothing is known of moves, and of a proposal nothing at all.
            syntax: knows the symbols of files.
            is_proposal: whether the change may not excuse itself.
        """
        self._change = change
        self._syntax = syntax
        self._is_proposal = is_proposal
        self._files = {file.path: file for file in change.diff.files} if change else {}
        self._surroundings: dict[str, tuple[Surroundings, Surroundings]] = {}
        self._last_hunk: tuple[Hunk, dict[int, Line]] | None = None

    def __call__(self, finding: Finding) -> Sequence[str]:
        """Return the fingerprints by which the finding may be known; none if nothing may hide it."""
        file = self._files.get(finding.path)
        try:
            if self._is_proposal:
                places = self._in_base(finding)
            else:
                places = [finding] if file is None else [finding, *self._earlier(finding, file)]
        except SourceError:  # the time is used up: what is not known to be there already is shown
            places = [] if self._is_proposal else [finding]
        return tuple(dict.fromkeys(place.fingerprint for place in places))

    def is_untouched(self, finding: Finding) -> bool:
        """Tell whether the change leaves the enclosing function as it was: nothing in it is new, and nothing is gone.

        What a line does depends on those around it. Where it is not known what encloses it, it counts as touched.
        """
        file = self._files.get(finding.path)
        line = None if file is None else self._line(finding, file)
        if file is None or line is None or line.kind != " " or line.old is None or finding.is_removed:
            return False
        new, old = text_of(self._new_content(file)), text_of(self._old_content(file))
        own = self._syntax.scopes(file.path, new, finding.line)
        before = self._syntax.scopes(file.old_path or file.path, old, line.old)
        if not own or not before or not own[-1].first <= finding.end_line <= own[-1].last:
            return False
        if [scope.signature for scope in own] != [scope.signature for scope in before]:
            return False
        added, removed = self._surroundings_of(file, new, old)
        return not added.reach(own) and not removed.reach(before)

    def _surroundings_of(self, file: FileChange, new: str, old: str) -> tuple[Surroundings, Surroundings]:
        """Return where the changed lines of a file are: the added ones, then the removed ones; found out once."""
        assert self._change
        if file.path not in self._surroundings:
            check = self._change.diff.check
            lines: dict[str, list[ChangedLine]] = {"+": [], "-": []}
            for index, line in enumerate(line for hunk in file.hunks for line in self._change.lines(file, hunk)):
                if not index % PACE:
                    check()
                if line.kind in lines:
                    lines[line.kind].append(ChangedLine(line.new or line.old or 0, line.text))
            old_path = file.old_path or file.path
            self._surroundings[file.path] = (
                Surroundings(file.path, new, self._syntax.outline(file.path, new) or (), lines["+"], check),
                Surroundings(old_path, old, self._syntax.outline(old_path, old) or (), lines["-"], check),
            )
        return self._surroundings[file.path]

    def _in_base(self, finding: Finding) -> list[Finding]:
        """Return the place of a finding in a proposal under the names that it has in the base; none if it is new."""
        if not self.is_untouched(finding):
            return []
        file = self._files[finding.path]
        return [finding._replace(path=file.old_path or file.path, known_as="")]

    def _earlier(self, finding: Finding, file: FileChange) -> Iterator[Finding]:
        """Where the finding stood before: under the file's old name, and under the heading that its line had there."""
        own = finding._replace(path=file.old_path or file.path, known_as="")
        if file.old_path and file.status == "R":
            yield own
        line = self._line(finding, file)
        content = self._change.old_content(file) if self._change else None
        if content is not None and line is not None and line.kind == " " and line.old:
            symbol = symbol_at(own.path, content, line.old, self._syntax)
            if symbol is not None:
                yield own._replace(symbol=printable(symbol))

    def _line(self, finding: Finding, file: FileChange) -> Line | None:
        hunks = (hunk for hunk in file.hunks if hunk.start <= finding.line <= hunk.last)
        found = (self._lines_of(hunk).get(finding.line) for hunk in hunks)
        return next((line for line in found if line is not None), None)

    def _lines_of(self, hunk: Hunk) -> dict[int, Line]:
        """Return the lines that a hunk leaves or adds, by number; those of the last one are kept."""
        assert self._change
        if self._last_hunk is None or self._last_hunk[0] != hunk:
            lines = {line.new: line for line in self._change.diff.lines(hunk) if line.new is not None}
            self._last_hunk = hunk, lines
        return self._last_hunk[1]

    def _old_content(self, file: FileChange) -> bytes:
        assert self._change
        return self._change.old_content(file) or b""

    def _new_content(self, file: FileChange) -> bytes:
        assert self._change
        return self._change.new_content(file) or b""
