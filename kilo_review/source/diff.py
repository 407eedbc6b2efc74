"""Bytes of a diff → files, hunks, numbered lines. The only module that imports unidiff.

Planning a change needs counts alone, so the whole diff is scanned once, by the lengths that hunk headers
state (a line that looks like a header inside a hunk is content). unidiff parses a hunk only when its lines
are wanted, and never sees a file name: its header pattern fails on names that contain ` b/`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import DiffMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?([^\n]*)\n?")
_PLUS, _MINUS, _SPACE, _BACKSLASH, _NEWLINE, _RETURN = b"+- \\\n\r"
REPORT = "This is a bug in kilo-review; please report it with the output of git diff --stat"
SLICE_BYTES = 1 << 18
"""A larger hunk is read in parts, with a look at the clock between them."""
HUNKS_BETWEEN = 256
SUBMODULE, SYMLINK, NO_MODE = "160000", "120000", "000000"


class Line(NamedTuple):
    """One line of a hunk: `kind` is `+`, `-` or a space; `text` has no line end."""

    kind: str
    old: int | None
    new: int | None
    text: str


class Hunk(NamedTuple):
    """Where a hunk lies in the file and in the diff's bytes."""

    path: str
    old_start: int
    old_length: int
    new_start: int
    new_length: int
    added: int
    removed: int
    heading: str
    begin: int
    end: int

    @property
    def start(self) -> int:
        """First new-side line (0 in a deleted file)."""
        return self.new_start

    @property
    def last(self) -> int:
        """Last new-side line."""
        return self.new_start + max(self.new_length - 1, 0)


class FileChange(NamedTuple):
    """One changed file as git's raw record tells it, with its hunks.

    Attributes:
        path: the new path (the old one of a deleted file), undecodable bytes as surrogate escapes.
        old_path: where it was renamed or copied from, else None.
        status: git's letter: A, C, D, M, R or T.
        old_mode: six octal digits, `000000` where there was no file.
        new_mode: the same for the new side.
        old_oid: blob id, "" for a patch.
        new_oid: blob id, "" for a patch.
        added: lines added.
        removed: lines removed.
        is_binary: git shows no lines for it.
        hunks: in file order.
    """

    path: str
    old_path: str | None
    status: str
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str
    added: int
    removed: int
    is_binary: bool
    hunks: tuple[Hunk, ...]


def unlimited() -> None:
    """There is always time."""


class Edits(NamedTuple):
    """Where a new file differs from the old one.

    Attributes:
        added: the numbers of lines that are new, in their order.
        gaps: the numbers of lines below which others are gone, in their order.
    """

    added: tuple[int, ...] = ()
    gaps: tuple[int, ...] = ()

    def touch(self, first: int, last: int) -> bool:
        """Tell whether one of these lines was not there before, or something that stood between them is gone."""
        return has_between(self.added, first, last) or has_between(self.gaps, first, last - 1)


def has_between(numbers: Sequence[int], first: int, last: int) -> bool:
    """Tell whether sorted numbers have one in a range, its ends included."""
    return bisect_left(numbers, first) < bisect_right(numbers, last)


class Diff(NamedTuple):
    """A parsed diff and the bytes that its hunks point into."""

    data: bytes
    files: tuple[FileChange, ...]
    check: Callable[[], None] = unlimited
    """Raises `SourceError` where the time is over; asked between the parts of what takes long."""

    def lines(self, hunk: Hunk) -> list[Line]:
        """The hunk's lines with their numbers on both sides.

        Raises:
            DiffMismatchError: unidiff reads other counts than the scanner did.
            SourceError: the time is over in the middle of a large hunk.
        """
        if hunk.end - hunk.begin <= SLICE_BYTES:
            return parse_hunk(self.data[hunk.begin : hunk.end], hunk)
        lines: list[Line] = []
        for data, part in _slices(self.data, hunk):
            if lines:
                self.check()
            lines += parse_hunk(data, part)
        added, removed = (sum(line.kind == kind for line in lines) for kind in "+-")
        if (added, removed) != (hunk.added, hunk.removed):
            raise _miscounted(hunk)
        return lines

    def edits(self, hunk: Hunk) -> Edits:
        """Return where a hunk changes the new file."""
        added, gaps, above = [], [], hunk.start - 1
        for line in self.lines(hunk):
            if line.new is None:
                gaps.append(above)
                continue
            above = line.new
            if line.kind == "+":
                added.append(above)
        return Edits(tuple(added), tuple(gaps))


def decode_path(raw: bytes) -> str:
    """A path as git stores it → text; bytes that are not UTF-8 become surrogate escapes."""
    return raw.decode("utf-8", "surrogateescape")


def parse_hunk(data: bytes, hunk: Hunk) -> list[Line]:
    """Lines of one hunk by unidiff.

    Raises:
        DiffMismatchError: unidiff cannot read it, or reads other counts.
    """
    from unidiff.errors import UnidiffParseError  # noqa: PLC0415
    from unidiff.patch import PatchSet  # noqa: PLC0415

    text = data.decode("utf-8", "surrogateescape")
    if not text.endswith("\n"):
        text += "\n"
    try:
        # A str, never a list from splitlines(): form feeds and U+2028 are not line ends (unidiff#120).
        (patched,) = PatchSet("--- a/f\n+++ b/f\n" + text)
        (parsed,) = patched
    except (UnidiffParseError, ValueError) as error:
        raise DiffMismatchError(f"{hunk.path!a}: the hunk at line {hunk.start} cannot be parsed ({error})") from None
    if (parsed.added, parsed.removed) != (hunk.added, hunk.removed):
        raise _miscounted(hunk)
    return [
        Line(line.line_type, line.source_line_no, line.target_line_no, line.value.removesuffix("\n"))
        for line in parsed
        if line.line_type in "+- "
    ]


def _miscounted(hunk: Hunk) -> DiffMismatchError:
    return DiffMismatchError(f"{hunk.path!a}: the hunk at line {hunk.start} was parsed with other counts than git's")


def _slices(data: bytes, hunk: Hunk) -> Iterator[tuple[bytes, Hunk]]:
    """A large hunk as several that follow each other without a gap, each with a header of its own."""
    position, old, new = data.index(b"\n", hunk.begin) + 1, hunk.old_start, hunk.new_start
    while position < hunk.end:
        end = data.find(b"\n", position + SLICE_BYTES, hunk.end) + 1 or hunk.end
        if data[end : end + 1] == b"\\" and end < hunk.end:  # the note that a line has no end belongs to that line
            end = data.find(b"\n", end, hunk.end) + 1 or hunk.end
        body = data[position:end]
        added, removed, notes = ((b"\n" + body).count(b"\n" + mark) for mark in (b"+", b"-", b"\\"))
        shared = body.count(b"\n") + (not body.endswith(b"\n")) - added - removed - notes
        lengths = shared + removed, shared + added
        header = b"@@ -%d,%d +%d,%d @@\n" % (old, lengths[0], new, lengths[1])
        yield (
            header + body,
            hunk._replace(
                old_start=old,
                old_length=lengths[0],
                new_start=new,
                new_length=lengths[1],
                added=added,
                removed=removed,
            ),
        )
        position, old, new = end, old + lengths[0], new + lengths[1]


def scan_hunks(
    data: bytes, position: int, path: str, check: Callable[[], None] = unlimited
) -> tuple[list[Hunk], int]:  # fmt: skip
    """All hunks that follow each other from `position` on; also where they end."""
    hunks: list[Hunk] = []
    while header := _HUNK.match(data, position):
        old_start, old_length, new_start, new_length = (
            int(number) if number is not None else 1 for number in header.groups()[:4]
        )
        if not len(hunks) % HUNKS_BETWEEN:
            check()
        begin, position = position, header.end()
        added, removed, position = _scan_body(data, position, (old_length, new_length), path, check)
        heading = header.group(5).decode("utf-8", "replace").strip()
        hunks.append(Hunk(path, old_start, old_length, new_start, new_length, added, removed, heading, begin, position))
    return hunks, position


def _scan_body(
    data: bytes, position: int, left: tuple[int, int], path: str, check: Callable[[], None]
) -> tuple[int, int, int]:
    """Count lines until both sides are used up."""
    added = removed = 0
    size, (old, new) = len(data), left
    while old > 0 or new > 0:
        if position >= size:
            raise DiffMismatchError(f"{path!a}: the diff ends inside a hunk", hint="Is the patch complete?")
        if added or removed:
            check()
        more, fewer, shared, end = _count(data, position, (old, new), min(size, position + SLICE_BYTES))
        added, removed, old, new = added + more, removed + fewer, old - fewer - shared, new - more - shared
        if end == position:
            break
        position = end
    if old or new:
        raise DiffMismatchError(
            f"{path!a}: a hunk does not have the length that its header states", hint="Is the patch damaged?"
        )
    if position < size and data[position] == _BACKSLASH:
        position = data.find(b"\n", position) + 1 or size
    return added, removed, position


def _count(data: bytes, position: int, left: tuple[int, int], stop: int) -> tuple[int, int, int, int]:
    """Added, removed and shared lines up to about `stop`, and where they end.

    This loop runs once for each line of the change.
    """
    added = removed = shared = 0
    find, size, (old, new) = data.find, len(data), left
    while (old > 0 or new > 0) and position < stop:
        kind = data[position]
        if kind == _PLUS:
            new -= 1
            added += 1
        elif kind == _MINUS:
            old -= 1
            removed += 1
        elif kind in (_SPACE, _NEWLINE, _RETURN):
            old -= 1
            new -= 1
            shared += 1
        elif kind != _BACKSLASH:
            break
        position = find(b"\n", position) + 1 or size
    return added, removed, shared, position


# The output of `diff-tree --raw -z -p`, and of `diff-tree --numstat -z`


class _Raw(NamedTuple):
    status: str
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str
    path: str
    old_path: str | None


def parse_diff_tree(data: bytes, counted: bytes, check: Callable[[], None] = unlimited) -> Diff:
    """Parse one `diff-tree --raw -z -p` and hold it against git's own counts.

    Args:
        data: its output.
        counted: the output of `diff-tree --numstat -z` for the same trees.
        check: raises `SourceError` where the time is over.

    Raises:
        DiffMismatchError: files, added or removed lines differ from the raw records or from the counts, or what
            should be a record is none.
    """
    try:
        (records, position), counts = _read_raw(data), _read_numstat(counted)
    except (ValueError, IndexError):
        raise DiffMismatchError("git's list of changed files is not of the form that it has", hint=REPORT) from None
    if set(counts) != {record.path for record in records}:
        raise DiffMismatchError("git's file list and its counts name different files")
    files = []
    for record in records:
        check()
        sections = 2 if record.status == "T" else 1
        hunks: list[Hunk] = []
        for _ in range(sections):
            found, position = _read_section(data, position, record.path, check)
            hunks += found
        files.append(_checked(record, hunks, counts[record.path]))
    if position != len(data):
        raise DiffMismatchError("git's patch holds more than its file list")
    return Diff(data, tuple(files), check)


def _read_raw(data: bytes) -> tuple[list[_Raw], int]:
    records, position = [], 0
    while data[position : position + 1] == b":":
        end = data.index(b"\0", position)
        old_mode, new_mode, old_oid, new_oid, status = data[position + 1 : end].decode("ascii").split(" ")
        first, position = _until_nul(data, end + 1)
        second: str | None = None
        if status[0] in "RC":
            second, position = _until_nul(data, position)
        path, old_path = (first, None) if second is None else (second, first)
        records.append(_Raw(status[0], old_mode, new_mode, old_oid, new_oid, path, old_path))
    return records, min(position + 1, len(data))  # a NUL parts the records from the patch


def _read_numstat(data: bytes) -> dict[str, tuple[int, int] | None]:
    """Path → (added, removed), or None where git counts no lines."""
    counts: dict[str, tuple[int, int] | None] = {}
    position = 0
    while position < len(data):
        tab = data.index(b"\t", position)
        second_tab = data.index(b"\t", tab + 1)
        added, removed = data[position:tab], data[tab + 1 : second_tab]
        path, position = _until_nul(data, second_tab + 1)
        if not path:  # a rename: empty here, then the old path, then the new one
            _, position = _until_nul(data, position)
            path, position = _until_nul(data, position)
        if path in counts:
            raise ValueError("a path is counted twice")
        counts[path] = None if added == b"-" else (int(added), int(removed))
    return counts


def _until_nul(data: bytes, position: int) -> tuple[str, int]:
    end = data.index(b"\0", position)
    return decode_path(data[position:end]), end + 1


def _read_section(
    data: bytes, position: int, path: str, check: Callable[[], None]
) -> tuple[list[Hunk], int]:  # fmt: skip
    """One `diff --git` section; its header lines are passed over, since the raw record tells more."""
    if not data.startswith(b"diff --git ", position):
        raise DiffMismatchError(f"{path!a}: git lists this file but shows no patch for it")
    while True:
        position = data.find(b"\n", position) + 1
        if position == 0 or position >= len(data):
            return [], len(data)
        if data.startswith(b"@@ ", position):
            return scan_hunks(data, position, path, check)
        if data.startswith(b"diff --git ", position):
            return [], position


def _checked(record: _Raw, hunks: list[Hunk], counts: tuple[int, int] | None) -> FileChange:
    if counts is None and record.status == "T":
        hunks = []  # one side is a link and has a line; git counts none for the pair
    added, removed = sum(hunk.added for hunk in hunks), sum(hunk.removed for hunk in hunks)
    if (added, removed) != (counts or (0, 0)):
        raise DiffMismatchError(
            f"{record.path!a}: parsed +{added} -{removed}, but git counts {counts}; nothing was reviewed",
            hint=REPORT,
        )
    return FileChange(
        path=record.path,
        old_path=record.old_path,
        status=record.status,
        old_mode=record.old_mode,
        new_mode=record.new_mode,
        old_oid=record.old_oid,
        new_oid=record.new_oid,
        added=added,
        removed=removed,
        is_binary=counts is None,
        hunks=tuple(hunks),
    )
