"""The part of the page that shows files: their hunks, findings in place, and what was not looked at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kilo_review.core.errors import DiffMismatchError
from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import State
from kilo_review.report.html.limits import allowances, is_skipped, length
from kilo_review.report.html.rows import html_rows, is_quoted, table
from kilo_review.report.html.words import path_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.report.html.arrange import Block, File
    from kilo_review.report.html.code import Painter
    from kilo_review.report.html.findings import Articles
    from kilo_review.report.html.words import Words
    from kilo_review.source.diff import Diff, FileChange, Hunk

STATES = {
    State.PLANNED: "would be reviewed",
    State.REVIEWED: "reviewed",
    State.CACHED: "reviewed before",
    State.SKIPPED: "skipped",
    State.NOT_REVIEWED: "not reviewed",
}
STATUSES = {"A": "new", "C": "copied", "D": "deleted", "R": "renamed", "T": "type changed"}
MODES = {"100755": "executable", "120000": "symbolic link", "160000": "submodule"}
COLUMNS = '<col class="n"><col>'


class Sections:
    """Makes the sections of the files, in the order of the page."""

    def __init__(
        self, words: Words, articles: Articles, painter: Painter, diff: Diff | None, files: Sequence[File]
    ) -> None:
        self._words = words
        self._articles = articles
        self._painter = painter
        self._diff = diff
        self._files = files
        self._allowed = allowances(files)

    def section(self, number: int) -> str:
        """A file. One that was skipped as a whole begins closed, if nothing was found in it."""
        file, allowed = self._files[number], self._allowed[number]
        is_open = bool(file.findings) or not is_skipped(file)
        blocks = (self._block(file, block, most) for block, most in zip(file.blocks, allowed, strict=True))
        size = (sum(allowed) + 5 * len(file.findings) + 2 * len(file.blocks)).bit_length()
        return (
            f'<details class="file z{min(size, 12)}" id="file-{number + 1}"{" open" if is_open else ""}>'
            f"<summary>{self._heading(file)}</summary>{self._listed(file.loose)}{''.join(blocks)}</details>"
        )

    def entry(self, number: int) -> str:
        """The file's entry in the list of files, with its findings."""
        file = self._files[number]
        folder, slash, name = path_words(file.path).rpartition("/")
        links = "".join(map(self._articles.link, file.findings))
        listed = f"<ul>{links}</ul>" if links else ""
        state = ' class="skipped"' if is_skipped(file) else ""
        return f'<li><a href="#file-{number + 1}"{state}><bdi>{folder}{slash}<b>{name}</b></bdi></a>{listed}</li>'

    # What stands above

    def _heading(self, file: File) -> str:
        tallies = list(_tallies(file.findings))
        added, removed = _size(file)
        missing = sum(block.entry is not None and block.entry.state is State.NOT_REVIEWED for block in file.blocks)
        if missing:
            tallies.append(f'<span class="tally not_reviewed">{missing} not reviewed</span>')
        elif is_skipped(file):
            tallies.append('<span class="tally skipped">skipped</span>')
        return (
            f"<h2><bdi>{path_words(file.path)}</bdi></h2>{_told(file.change)}"
            f'<span class="size"><ins>+{added:,}</ins> <del>&minus;{removed:,}</del></span>{"".join(tallies)}'
        )

    def _block(self, file: File, block: Block, most: int) -> str:
        state = block.entry.state if block.entry else ""
        return (
            f'<section class="hunk" data-state="{state}"><header>{self._caption(block)}</header>'
            f"{self._body(file, block, most)}</section>"
        )

    def _caption(self, block: Block) -> str:
        parts = [f"<span>{_lines(block)}</span>"]
        if block.hunk and block.hunk.heading:
            parts.append(f"<code>{self._words.line(block.hunk.heading)}</code>")
        if block.entry:
            reason = f": {self._words.line(block.entry.reason)}" if block.entry.reason else ""
            parts.append(f'<span class="state {block.entry.state}">{STATES[block.entry.state]}{reason}</span>')
        return "".join(parts)

    # The lines

    def _body(self, file: File, block: Block, most: int) -> str:
        hunk = block.hunk
        if hunk is None or self._diff is None:
            return self._listed(block.findings)
        if most == 0:
            return self._rest(length(hunk)) + self._listed(block.findings)
        try:
            lines = self._diff.lines(hunk)
        except DiffMismatchError as error:
            return f'<p class="rest">{self._words.line(str(error))}</p>{self._listed(block.findings)}'
        rows = table(file.path, lines[:most], block.findings, self._painter)
        body = "".join(html_rows(rows, lambda row, each: self._article(each, is_quoted=is_quoted(rows, row, each))))
        rest = self._rest(len(lines) - most) if len(lines) > most else self._missing_end(hunk)
        return (
            f"<table><colgroup>{COLUMNS * (1 if rows.is_single else 2)}</colgroup><tbody>{body}</tbody></table>"
            f"{rest}{self._listed(rows.unplaced)}"
        )

    def _article(self, finding: Finding, *, is_quoted: bool) -> str:
        return self._articles.article(finding, is_quoted=is_quoted)

    def _listed(self, findings: Sequence[Finding]) -> str:
        """Findings that have no line here to stand below, with their code."""
        return "".join(self._article(finding, is_quoted=False) for finding in findings)

    def _rest(self, number: int) -> str:
        return f'<p class="rest">{plural(number, "further line")} not shown in this report</p>'

    def _missing_end(self, hunk: Hunk) -> str:
        data = self._diff.data[hunk.begin : hunk.end] if self._diff else b""
        return '<p class="rest">No newline at the end of the file</p>' if b"\n\\ " in data else ""


def others(files: Sequence[File], diff: Diff | None) -> str:
    """A remark on changed files that were not asked about, as where the review was limited to some paths."""
    left_out = len(diff.files) - sum(file.change is not None for file in files) if diff else 0
    return f'<p class="rest">{plural(left_out, "further file")} changed; not asked about</p>' if left_out else ""


def _tallies(findings: Sequence[Finding]) -> Iterator[str]:
    counts = Counter(finding.severity for finding in findings if finding.status is Status.ACTIVE)
    yield from (f'<span class="tally {word}">{counts[word]} {word}</span>' for word in Severity if counts[word])
    rest = len(findings) - counts.total()
    if rest:
        yield f'<span class="tally others">{rest} not counted</span>'


def _size(file: File) -> tuple[int, int]:
    if file.change:
        return file.change.added, file.change.removed
    rows = [block.entry for block in file.blocks if block.entry]
    return sum(row.added for row in rows), sum(row.removed for row in rows)


def _told(change: FileChange | None) -> str:
    """What happened to the file, apart from its lines."""
    if change is None:
        return ""
    told = [STATUSES.get(change.status, ""), f"from {path_words(change.old_path)}" if change.old_path else ""]
    if change.is_binary:
        told.append("binary")
    if change.new_mode != change.old_mode and (change.new_mode in MODES or change.old_mode in MODES):
        told.append(MODES.get(change.new_mode) or f"no longer {MODES[change.old_mode]}")
    words = " ".join(filter(None, told))
    return f'<span class="told">{words}</span>' if words else ""


def _lines(block: Block) -> str:
    added = block.hunk.added if block.hunk else block.entry.added if block.entry else 0
    removed = block.hunk.removed if block.hunk else block.entry.removed if block.entry else 0
    if block.hunk is None and block.entry is not None and not block.entry.is_hunk:
        return "the file as a whole"
    if block.last == 0:
        return f"{plural(removed, 'line')} removed"
    lines = f"line {block.start}" if block.start == block.last else f"lines {block.start}&ndash;{block.last}"
    return f"{lines} <ins>+{added}</ins> <del>&minus;{removed}</del>"
