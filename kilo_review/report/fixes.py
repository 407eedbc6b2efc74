"""Suggestions that can be applied as they stand: whole lines of the change, written anew, with nothing hidden."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kilo_review.core.finding import Status
from kilo_review.sanitize.terminal import for_terminal

if TYPE_CHECKING:
    from kilo_review.core.finding import Finding
    from kilo_review.report.view import View
    from kilo_review.source.diff import Diff


class Fixes:
    """The clean replacements among the suggestions of one review."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lines: dict[str, dict[int, str]] = {}

    def of(self, finding: Finding) -> str:
        """What takes the place of the finding's lines, without the last line's end; "" if that cannot be told for sure.

        Not clean is what holds characters that nobody would see, what was masked, what would change line ends, and what
        is said of lines that do not stand there: of removed ones, of a deleted file.
        """
        text = (finding.suggestion or "").removesuffix("\n")
        if not text.strip() or finding.status is not Status.ACTIVE or text == finding.evidence:
            return ""
        if for_terminal(text) != text or self._view.mask(text) != text:
            return ""
        return text if self._stands(finding) else ""

    def _stands(self, finding: Finding) -> bool:
        lines = self._lines_of(finding.path)
        there = [lines.get(number) for number in range(finding.line, finding.end_line + 1)]
        return there == finding.evidence.split("\n") and "\r" not in finding.evidence

    def _lines_of(self, path: str) -> dict[int, str]:
        """The new side of a file as far as the change shows it."""
        if path not in self._lines:
            diff = self._diff
            hunks = [hunk for file in diff.files if file.path == path for hunk in file.hunks] if diff else []
            shown = [line for hunk in hunks for line in diff.lines(hunk)] if diff else []
            self._lines[path] = {line.new: line.text for line in shown if line.new is not None}
        return self._lines[path]

    @cached_property
    def _diff(self) -> Diff | None:
        return self._view.diff()
