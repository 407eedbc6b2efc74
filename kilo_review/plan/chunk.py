"""Which hunks share one request, within the model's window.

Token counts are estimates (no server but llama-server has a tokenizer to ask): bytes / 3, corrected upwards
by what the server reports after each request. Chunks are packed lazily, so that a correction counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import PromptTooLongError
from kilo_review.plan.context import Context, trimmed
from kilo_review.sanitize.model_input import inert
from kilo_review.sanitize.terminal import escaped_path, printable
from kilo_review.source.diff import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kilo_review.plan.rules import Rule, Shelf
    from kilo_review.source.diff import FileChange, Hunk

TOKENS_PER_BYTE = 1 / 3
"""Conservative for code: 3.2 to 4.2 bytes a token in the tokenizers of Qwen, Llama and Gemma."""
ANSWER_TOKENS = 1024
"""Reserved for the answer: about ten findings."""
LARGEST_CHUNK = 4000
"""Tokens of change in one request, whatever the window: recall falls as prompts grow (docs/prompts.md)."""
LONGEST_LINE = 1 << 16
"""Characters; a longer line takes more than `LARGEST_CHUNK` tokens by any estimate."""
SAFETY_TOKENS = 64
"""The chat template's own tokens, which no server tells."""
NO_LIMIT = Deadline()


LEFT_OUT = "[one long line is left out here]"
"""What a model is shown in the place of a line that fits no request."""


class Unshown(Line):
    """A line whose text the model is not shown; it has none here, so that no quotation is found in it."""

    __slots__ = ()


@dataclass(slots=True)
class TokenMeter:
    """Estimates tokens and learns from the server's counts."""

    tokens_per_byte: float = TOKENS_PER_BYTE

    def estimate(self, text: str) -> int:
        """Tokens that a text will probably take, rounded up."""
        return self.estimate_bytes(len(text.encode("utf-8", "replace")))

    def estimate_bytes(self, size: int) -> int:
        """The same for a length in bytes."""
        return int(size * self.tokens_per_byte) + 1

    def learn(self, size: int, tokens: int) -> None:
        """Correct the ratio upwards: `tokens` were counted by the server for `size` bytes.

        No tokenizer makes more tokens than bytes. Such a count is a server's mistake: if it were believed, no window
        would seem large enough, in this run and, by the ledger, in all that follow.
        """
        if 0 < tokens <= size + SAFETY_TOKENS:
            self.tokens_per_byte = max(self.tokens_per_byte, tokens / size)


class Piece(NamedTuple):
    """A hunk, or a part of one that is too long for a single request."""

    change: FileChange
    hunk: Hunk
    lines: tuple[Line, ...]
    context: Context
    text: str
    of_lines: int
    """Lines of all pieces of this hunk together: so it can be told when the whole hunk is done."""
    gap: int = 0
    """The new-side line at which the piece begins: where removed lines stand if it holds no other."""

    def halves(self) -> tuple[Piece, Piece] | None:
        """Two smaller pieces, or None for a single line."""
        middle = len(self.lines) // 2
        if not middle:
            return None
        first = _piece(self.change, self.hunk, self.lines[:middle], self.context, self.of_lines, self.gap)
        begin = _next_new(first.lines, self.gap)
        rest = self.context._replace(before=())
        return first, _piece(self.change, self.hunk, self.lines[middle:], rest, self.of_lines, begin)


@dataclass(slots=True)
class Chunk:
    """Pieces that are asked about together.

    Attributes:
        pieces: hunks, or parts of them.
        rules_of: the project's rules that are about each of the files.
    """

    pieces: list[Piece] = field(default_factory=list)
    rules_of: dict[str, tuple[Rule, ...]] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that are sent with them."""
        return tuple(dict.fromkeys(rule for rules in self.rules_of.values() for rule in rules))

    @property
    def text(self) -> str:
        """What the model is shown of them."""
        return "\n".join(piece.text for piece in self.pieces)

    @property
    def is_one_line(self) -> bool:
        """Whether it cannot be cut any more."""
        return len(self.pieces) == 1 and len(self.pieces[0].lines) == 1

    @property
    def hunks(self) -> list[Hunk]:
        """Those that it holds, wholly or in part."""
        return list(dict.fromkeys(piece.hunk for piece in self.pieces))

    def halves(self, *, cut_hunks: bool) -> tuple[Chunk, Chunk] | None:
        """Two smaller chunks; a single piece is cut between its lines if that is allowed. None if impossible."""
        middle = len(self.pieces) // 2
        if middle:
            return Chunk(self.pieces[:middle], self.rules_of), Chunk(self.pieces[middle:], self.rules_of)
        halves = self.pieces[0].halves() if cut_hunks else None
        return (Chunk([halves[0]], self.rules_of), Chunk([halves[1]], self.rules_of)) if halves else None


def budget(window: int, fixed_tokens: int, answer_tokens: int = ANSWER_TOKENS) -> int:
    """Tokens of change that fit one request beside the instructions and the answer.

    Raises:
        PromptTooLongError: the window is too small for any review.
    """
    room = window - fixed_tokens - answer_tokens - SAFETY_TOKENS
    if room < SAFETY_TOKENS:
        raise too_small(window, fixed_tokens, answer_tokens)
    return min(room, LARGEST_CHUNK)


def too_small(window: int, fixed_tokens: int, answer_tokens: int) -> PromptTooLongError:
    """The error for a window that holds no review."""
    return PromptTooLongError(
        f"the model's window of {window} tokens is too small for a review",
        window=window,
        hint=f"Load it with {fixed_tokens + answer_tokens + 1024} tokens or more (num_ctx, context length)",
    )


def pack(pieces: Iterable[Piece], meter: TokenMeter, room: Callable[[], int], shelf: Shelf) -> Iterator[Chunk]:
    """Fill chunks in order; a piece that does not fit any more, or whose rules do not, begins the next one."""
    chunk, used = Chunk(), 0
    for piece in pieces:
        size, own = meter.estimate(piece.text), shelf.chosen(piece.change.path)
        rules = tuple(dict.fromkeys((*chunk.rules, *own)))
        if chunk.pieces and (used + size + shelf.cost(rules) > room() or not shelf.fit(rules)):
            yield chunk
            chunk, used = Chunk(), 0
        chunk.pieces.append(piece)
        chunk.rules_of[piece.change.path] = own
        used += size
    if chunk.pieces:
        yield chunk


def pieces_of(
    change: FileChange,
    hunk: Hunk,
    lines: list[Line],
    context: Context,
    meter: TokenMeter,
    room: int,
    deadline: Deadline = NO_LIMIT,
) -> list[Piece]:
    """One piece, or several if the hunk alone exceeds the budget.

    Raises:
        PromptTooLongError: a single line does not fit.
        DeadlineError: the time is used up.
    """
    shown = tuple(trimmed(lines, context))
    if meter.estimate_bytes(sum(_least(line) for line in deadline.paced(shown))) <= room:
        whole = _piece(change, hunk, shown, context, len(shown), hunk.new_start)
        if meter.estimate(whole.text) <= room:
            return [whole]
    above = meter.estimate("\n".join(head(change, hunk, context)))
    first = meter.estimate_bytes(_least(shown[0]))
    first = first if first > room else meter.estimate(row(shown[0]))
    if _size_before(context, meter) + first + above > room:
        context = context._replace(before=())
    pieces, begin = [], hunk.new_start
    for part in _parts(change, hunk, shown, context, meter, room, deadline):
        pieces.append(_piece(change, hunk, part, context, len(shown), begin))
        begin = _next_new(part, begin)
        context = context._replace(before=())
    return pieces


def _least(line: Line) -> int:
    """Bytes that a line takes at least, told without a look at each character."""
    return max(0, len(line.text.rstrip()) - 1)  # a byte order mark is left out


def essence(
    change: FileChange, hunk: Hunk, lines: Sequence[Line], context: Context, deadline: Deadline = NO_LIMIT
) -> str:
    """All that a model is shown of a hunk, but for the numbers of its lines: code that moves is the same code.

    Raises:
        DeadlineError: the time is used up.
    """
    shown = deadline.paced((*context.before, *trimmed(list(lines), context)))
    return "\n".join([*head(change, hunk, context), *(f"{line.kind}{_known_by(line)}" for line in shown)])


def _known_by(line: Line) -> str:
    """Return a line as it is known again: one that is not shown is told from one that reads like its mark."""
    if isinstance(line, Unshown):
        return "\0"  # no line that is shown has one
    # A line that fits no request need not be made fit for one, to be known again.
    return inert(line.text) if len(line.text) <= LONGEST_LINE else line.text


def _next_new(lines: Iterable[Line], begin: int) -> int:
    """The new-side line that follows these lines."""
    return max((line.new + 1 for line in lines if line.new is not None), default=begin)


def _parts(
    change: FileChange,
    hunk: Hunk,
    lines: Sequence[Line],
    context: Context,
    meter: TokenMeter,
    room: int,
    deadline: Deadline,
) -> Iterator[tuple[Line, ...]]:
    below_the_first = context._replace(before=())
    above = meter.estimate("\n".join(head(change, hunk, below_the_first)))
    part: list[Line] = []
    used = above + _size_before(context, meter)
    for line in deadline.paced(lines):
        size = meter.estimate_bytes(_least(line))  # a line of megabytes need not be made fit for a model to be refused
        if above + size <= room:
            size = meter.estimate(row(line)) + 1
        if above + size > room:
            raise _too_long(line, above + size, room)
        if part and used + size > room:
            yield tuple(part)
            part, used = [], above
        part.append(line)
        used += size
    if part:
        yield tuple(part)


def _too_long(line: Line, size: int, room: int) -> PromptTooLongError:
    return PromptTooLongError(does_not_fit(line, size, room), prompt_tokens=size, window=room, hint=leave_it_out(room))


def does_not_fit(line: Line, size: int, room: int) -> str:
    """Return the reason why a line is not shown."""
    return f"line {line.new or line.old} alone takes about {size} tokens and {room} fit into one request"


def leave_it_out(room: int) -> str:
    """Return the next step where a line does not fit."""
    larger = "" if room >= LARGEST_CHUNK else "; or load the model with a larger window (num_ctx, context length)"
    return f"Leave the file out if nobody wrote that line (--exclude PATTERN){larger}"


def _size_before(context: Context, meter: TokenMeter) -> int:
    """Return the tokens of what is shown above the hunk's first line."""
    return sum(meter.estimate(row(line)) for line in context.before)


def _piece(change: FileChange, hunk: Hunk, lines: tuple[Line, ...], context: Context, of_lines: int, gap: int) -> Piece:
    rows = [*head(change, hunk, context), *(row(line) for line in (*context.before, *lines)), ""]
    return Piece(change, hunk, lines, context, "\n".join(rows), of_lines, gap)


def head(change: FileChange, hunk: Hunk, context: Context) -> list[str]:
    """Return the lines that stand above a hunk's code: its file, and what it is in."""
    words = {"A": "new file", "D": "deleted file", "R": "renamed", "C": "copied"}
    note = f" ({words[change.status]})" if change.status in words else ""
    rows = [f"FILE {inert(escaped_path(change.path))}{note}"]
    shown_from = context.before[0].new if context.before else hunk.new_start
    inside = [heading.text for heading in context.headings if heading.line < (shown_from or 0)]
    if inside:
        rows.append(f"IN {inert(' > '.join(inside))}")
    return rows


def row(line: Line) -> str:
    """`  12 + text`: every line of the change stands behind a gutter, so none can pose as a heading."""
    number = "" if line.new is None else str(line.new)
    return f"{number:>4} {line.kind} {_shown(line, printable(line.text).rstrip())}".rstrip()


def _shown(line: Line, text: str) -> str:
    return LEFT_OUT if isinstance(line, Unshown) else inert(text)
