"""By which fingerprints a finding may be known, given the change that it was found in.

A decision about a finding holds for one place: a category, a file, a symbol and a line of code. Git sees two moves of a
place: its file is renamed, or the line stands unchanged below a heading that changed. In a proposal a decision holds
only for places that the base already has, since the proposal chooses where its own lines stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.display import printable
from kilo_review.errors import SourceError
from kilo_review.plan.context import symbol_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.finding import Finding
    from kilo_review.plan.syntax import Syntax
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Line


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

    def __call__(self, finding: Finding) -> Sequence[str]:
        """Return the fingerprints by which the finding may be known; none if nothing may hide it."""
        file = self._files.get(finding.path)
        try:
            if self._is_proposal and (file is None or not self._base_has(finding, file)):
                return ()
            places = [finding] if file is None else [finding, *self._earlier(finding, file)]
        except SourceError:  # the time is used up: what is not known to be there already is shown
            places = [] if self._is_proposal else [finding]
        return tuple(dict.fromkeys(place.fingerprint for place in places))

    def _earlier(self, finding: Finding, file: FileChange) -> Iterator[Finding]:
        """Where the finding stood before: under the file's old name, and under the heading that its line had there."""
        own = finding._replace(path=file.old_path or file.path, known_as="")
        if file.old_path and file.status == "R":
            yield own
        line = self._line(finding, file)
        if line is not None and line.kind == " " and line.old:
            symbol = symbol_at(own.path, self._old_content(file), line.old, self._syntax)
            if symbol is not None:
                yield own._replace(symbol=printable(symbol))

    def _base_has(self, finding: Finding, file: FileChange) -> bool:
        """Tell whether the base has the place: an untouched line, or one that stands as often there, in its symbol."""
        line = self._line(finding, file)
        if finding.is_removed or line is None:
            return False
        if line.kind == " ":
            return True
        old, new = (_lines(content) for content in (self._old_content(file), self._new_content(file)))
        text = printable(line.text).rstrip()
        places = [number for number, each in enumerate(old, 1) if each == text]
        if not places or new.count(text) > len(places):
            return False
        path, content = file.old_path or file.path, self._old_content(file)
        symbols = (symbol_at(path, content, number, self._syntax) for number in places)
        return any(symbol is None or printable(symbol) == finding.symbol for symbol in symbols)

    def _line(self, finding: Finding, file: FileChange) -> Line | None:
        assert self._change
        hunks = (hunk for hunk in file.hunks if hunk.start <= finding.line <= hunk.last)
        lines = (line for hunk in hunks for line in self._change.diff.lines(hunk))
        return next((line for line in lines if line.new == finding.line), None)

    def _old_content(self, file: FileChange) -> bytes:
        assert self._change
        return self._change.old_content(file) or b""

    def _new_content(self, file: FileChange) -> bytes:
        assert self._change
        return self._change.new_content(file) or b""


def _lines(content: bytes) -> list[str]:
    return [printable(line).rstrip() for line in content.decode("utf-8", "replace").split("\n")]
