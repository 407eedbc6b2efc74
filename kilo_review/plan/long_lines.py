"""Lines too long for one request: the rest of their hunk is reviewed, and each of them has its row of the coverage."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.outcome import LONG_DATA, LONG_MINIFIED, NOTEBOOK_REST, Entry, State
from kilo_review.plan.chunk import Unshown, does_not_fit, head, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.plan.chunk import TokenMeter
    from kilo_review.plan.context import Context
    from kilo_review.source.diff import FileChange, Hunk, Line

RESERVED_TOKENS = 256
RESERVED_SHARE = 8
"""Kept free for the lines above the code (the path, the function), which a dry run does not know."""
BEFORE_SHARE = 16
"""Lines that are only shown as context above a hunk take at most this part of a request each."""
LARGEST_GROWTH = 6
"""A byte becomes so many at most when it is shown: as an escape sequence."""
MINIFIED_EXTENSIONS = frozenset({".js", ".mjs", ".cjs", ".css"})
FEWEST_SYMBOLS = 16
"""Different characters of base64 or of hexadecimal digits; a long row of one letter is neither."""
BYTES_A_CHARACTER = 4
BLOB_SHARE = 0.9
LONGEST_PREFIX = 300
_BLOB = r"(?:[A-Za-z0-9+/=_-]|\\n)+"
_PREFIX = (
    r"""\s*(?:(?:(?:const|let|var|static|final)\s+)?["']?[\w$@./-]+["']?\s*[:=]\s*)?"""
    r"""(?:url\(|\[|\()?[bru]?["'`]?(?:data:[\w.+/-]+(?:;[\w.=-]+)*,|0x|\\x)?"""
)
_SUFFIX = r"""["'`]?[\])}]*[,;]*\s*"""
_NUMBERS = r"[\d\s.,eE+\-\[\]]+"


class LeftOut(NamedTuple):
    """A line that is not shown.

    Attributes:
        line: the line, without its text.
        at: its new-side number; of a removed one, that of the line before the gap.
        reason: why it is left out.
        is_data: it holds no code, and so is skipped.
    """

    line: Line
    at: int
    reason: str
    is_data: bool = False

    @property
    def kind(self) -> str:
        """What such lines have in common: the reason of data; of others it tells their numbers."""
        return self.reason if self.is_data else ""

    def moved(self, lines: int) -> LeftOut:
        """Return the same for code that stands so many lines below."""
        old, new = (number + lines if number is not None else None for number in (self.line.old, self.line.new))
        return self._replace(line=self.line._replace(old=old, new=new), at=self.at + lines)


class Cut(NamedTuple):
    """The lines of a hunk, the long ones without their text, and those of them that the change adds or removes."""

    lines: list[Line]
    left_out: tuple[LeftOut, ...]


def shortest(meter: TokenMeter, room: int) -> int:
    """Return the bytes that a line has at least which may be too long; known before any of them is parsed."""
    return int(_limit(room) / meter.tokens_per_byte / LARGEST_GROWTH)


def has_longer(data: bytes, begin: int, end: int, length: int) -> bool:
    """Tell whether a line in a part of a text has more bytes than `length`; looks at few of the lines."""
    while end - begin > length:
        line_break = data.rfind(b"\n", begin, begin + length + 1)
        if line_break < 0:
            return True
        begin = line_break + 1
    return False


def cut(
    change: FileChange,
    hunk: Hunk,
    lines: Sequence[Line],
    around: Context,
    meter: TokenMeter,
    room: int,
    *,
    trusts: bool,
) -> Cut:
    """Take out the text of lines that do not fit one request.

    Args:
        change: the file.
        hunk: the hunk.
        lines: its lines.
        around: what is shown around it.
        meter: how many tokens a text takes.
        room: tokens that fit one request.
        trusts: whether a line is data because the change says so; if not, the old file must have had it in that form.
    """
    limit = min(_limit(room), room - meter.estimate("\n".join(head(change, hunk, around))))
    sizes = [_tokens(line, meter, limit) for line in lines]
    if not any(sizes):
        return Cut(list(lines), ())
    old = (line for line, size in zip(lines, sizes, strict=True) if size and line.kind == "-")
    old_frames = None if trusts else [frame for line in old if (frame := frame_of(line.text)) is not None]
    shown: list[Line] = []
    left_out: list[LeftOut] = []
    at = hunk.new_start - int(hunk.new_length > 0)
    for line, size in zip(lines, sizes, strict=True):
        at = line.new or at
        shown.append(Unshown(line.kind, line.old, line.new, "") if size else line)
        if size and line.kind != " ":
            reason = does_not_fit(line, size, room)
            left_out.append(_judged(change.path, line, max(at, int(hunk.new_start > 0)), reason, old_frames))
    return Cut(shown, tuple(left_out))


def cut_before(context: Context, meter: TokenMeter, room: int) -> Context:
    """Take out the text of long lines among those that are only shown to help."""
    limit = room // BEFORE_SHARE
    if not any(_tokens(line, meter, limit) for line in context.before):
        return context
    before = (
        Unshown(line.kind, line.old, line.new, "") if _tokens(line, meter, limit) else line for line in context.before
    )
    return context._replace(before=tuple(before))


def rows_of(
    hunk: Hunk, state: State, reason: str | None = None, left_out: Sequence[LeftOut] = (), *, is_final: bool = False
) -> list[Entry]:  # fmt: skip
    """Return the coverage of one hunk: its own row, and one for each run of lines that were left out of it.

    Args:
        hunk: the hunk.
        state: of the lines that were not left out.
        reason: likewise.
        left_out: the others, in their order.
        is_final: whether another review with these settings could not do better for `state`.
    """
    parts = [_part(hunk, run) for run in _runs(left_out)]
    added = hunk.added - sum(part.added for part in parts)
    removed = hunk.removed - sum(part.removed for part in parts)
    if added or removed:
        own = Entry(hunk.path, hunk.start, hunk.last, added, removed, state, reason, is_final=is_final)
        return [own, *parts]
    return [replace(parts[0], start=hunk.start, end=hunk.last)] if len(parts) == 1 else parts


def _runs(left_out: Sequence[LeftOut]) -> list[list[LeftOut]]:
    """Group lines that follow each other and are left out for the same kind of reason.

    Of a notebook, what is no source is one group: it stands around every cell.
    """
    rest = [each for each in left_out if each.reason == NOTEBOOK_REST]
    runs: list[list[LeftOut]] = []
    for each in sorted((each for each in left_out if each.reason != NOTEBOOK_REST), key=lambda one: one.at):
        last = runs[-1][-1] if runs else None
        if last is not None and last.kind == each.kind and each.at - last.at <= 1:
            runs[-1].append(each)
        else:
            runs.append([each])
    return [*runs, rest] if rest else runs


def _part(hunk: Hunk, run: Sequence[LeftOut]) -> Entry:
    first, last = run[0], run[-1]
    reason = first.reason if first.is_data or len(run) == 1 else f"{len(run)} lines do not fit: {first.reason}"
    added = sum(each.line.kind == "+" for each in run)
    state = State.SKIPPED if first.is_data else State.NOT_REVIEWED
    removed = len(run) - added
    return Entry(hunk.path, first.at, last.at, added, removed, state, reason, is_final=not first.is_data)


def _judged(path: str, line: Line, at: int, reason: str, old_frames: list[str] | None) -> LeftOut:
    """Tell whether a line that does not fit is data.

    Args:
        path: of its file.
        line: the line.
        at: its place.
        reason: what is said of it if it is not.
        old_frames: None if the change is believed; else what stands around the data in lines that the change removes.
            Each of them excuses one added line.
    """
    bare = line._replace(text="")
    frame = frame_of(line.text)
    if old_frames is None:
        if frame is not None:
            return LeftOut(bare, at, LONG_DATA, is_data=True)
        is_minified = PurePosixPath(path).suffix.lower() in MINIFIED_EXTENSIONS
        return LeftOut(bare, at, LONG_MINIFIED if is_minified else reason, is_data=is_minified)
    if frame is None or (line.kind == "+" and frame not in old_frames):
        return LeftOut(bare, at, reason)
    if line.kind == "+":
        old_frames.remove(frame)
    return LeftOut(bare, at, LONG_DATA, is_data=True)


def is_data(text: str) -> bool:
    """Tell whether a line holds nothing but data, however long it is."""
    return len(text) > LONGEST_PREFIX and frame_of(text) is not None


def frame_of(text: str) -> str | None:
    """Return what stands around the data of a line, such as a name and quotation marks; None if it is not data."""
    if re.fullmatch(_NUMBERS, text):
        return ""
    blob = max(re.finditer(_BLOB, text), key=lambda match: match.end() - match.start(), default=None)
    if blob is None or len(blob[0]) < BLOB_SHARE * len(text) or len(set(blob[0])) < FEWEST_SYMBOLS:
        return None
    before, after = text[: blob.start()], text[blob.end() :]
    is_plain = len(before) <= LONGEST_PREFIX and re.fullmatch(_PREFIX, before) and re.fullmatch(_SUFFIX, after)
    return f"{before.strip()}\0{after.strip()}" if is_plain else None


def _tokens(line: Line, meter: TokenMeter, limit: int) -> int:
    """Return the tokens that a line takes if they are more than the limit; else 0."""
    if meter.estimate_bytes(len(line.text) * LARGEST_GROWTH * BYTES_A_CHARACTER) < limit:
        return 0
    tokens = meter.estimate(row(line)) + 1
    return tokens if tokens > limit else 0


def _limit(room: int) -> int:
    return room - min(RESERVED_TOKENS, room // RESERVED_SHARE)
