"""Hunks → chunks that fit the model's window and the time, made as they are needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kilo_review.core.errors import LARGER_WINDOW, PromptTooLongError
from kilo_review.ledger.calibration import Calibration
from kilo_review.plan import context, deletion, long_lines, notebooks, risk
from kilo_review.plan.chunk import ANSWER_TOKENS, Chunk, Piece, TokenMeter, budget, essence, pack, pieces_of, too_small
from kilo_review.plan.long_lines import Cut
from kilo_review.plan.rules import Shelf, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.outcome import Usage
    from kilo_review.plan.context import Context
    from kilo_review.plan.long_lines import LeftOut
    from kilo_review.plan.syntax import Syntax
    from kilo_review.review.request import Job
    from kilo_review.source.change import Change
    from kilo_review.source.diff import FileChange, Hunk, Line

    Chosen = Sequence[tuple[FileChange, Hunk]]


SMALLEST_ROOM = 64
"""Tokens of change that a request must have room for, beside the rules."""


@dataclass(slots=True)
class Pace:
    """How fast the model is, by what was measured before and in this run; the better of both is believed.

    A wrong hope ends at the deadline, which holds in any case; a wrong fear would leave hunks out for ever.
    """

    known: Calibration = field(default_factory=Calibration)
    measured: Calibration = field(default_factory=Calibration)

    @property
    def expected(self) -> Calibration:
        """What the next request will probably be like."""
        return Calibration(
            reading=max(self.known.reading, self.measured.reading),
            writing=max(self.known.writing, self.measured.writing),
            answer=self.measured.answer or self.known.answer,
        )

    def learn(self, usage: Usage) -> None:
        """Take the measure of a run's requests so far."""
        if not usage.prompt_tokens:
            return
        reading = usage.reading_seconds or usage.model_seconds - usage.answer_seconds
        read = usage.prompt_tokens - (usage.cached_prompt_tokens if usage.reading_seconds else 0)
        self.measured = Calibration(
            reading=read / reading if reading > 0 and read > 0 else 0.0,
            writing=usage.tokens_per_second or 0.0,
            answer=usage.completion_tokens / max(usage.requests, 1),
        )

    def disappoint(self, prompt_tokens: int, seconds: float) -> None:
        """A request got no answer in that time: the next one must be smaller."""
        self.measured = Calibration(reading=prompt_tokens / seconds / 2 if seconds > 0 else 0.0)


@dataclass(slots=True)
class Packer:
    """Makes the chunks of one change.

    Attributes:
        job: the job.
        change: the change.
        window: of the model, in tokens.
        meter: how many tokens a text takes.
        syntax: what parses the files.
        pace: how long they take.
    """

    job: Job
    change: Change
    window: int
    meter: TokenMeter
    syntax: Syntax
    pace: Pace = field(default_factory=Pace)
    shelf: Shelf = field(init=False)
    """The project's rules, as far as they are sent."""
    told: int | None = field(default=None, init=False)
    """Tokens that a prompt may have, where the server has refused one: its number, or the size of what it refused."""

    _shortest: dict[str, int] = field(default_factory=dict, init=False)
    _plain: dict[str, bool] = field(default_factory=dict, init=False)
    _last_pieces: tuple[Hunk, int, list[Piece]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.job.rules, self.meter.estimate, self.job.deadline)

    def room(self) -> int:
        """Tokens of change that fit one request, by what is known of the tokenizer now.

        Raises:
            PromptTooLongError: the window is too small for any review.
        """
        answer, fixed = self.job.model.parameters.get("num_predict"), self._fixed()
        reserved = answer if isinstance(answer, int) and answer > 0 else ANSWER_TOKENS
        if self.told is None:
            return budget(self.window, fixed, reserved)
        if self.told - fixed < SMALLEST_ROOM:
            raise too_small(self.told, fixed, reserved)
        return min(self.told - fixed, budget(self.window, fixed, reserved))

    def learn(self, error: PromptTooLongError, chunk: Chunk) -> None:
        """The window is smaller than was believed.

        Raises:
            PromptTooLongError: it is too small for any review.
        """
        told = error.window or self.request_tokens(chunk)
        self.told = min(told, self.told or told)
        self.room()

    def check(self, chunk: Chunk) -> None:
        """Spare the server a prompt that it will refuse, by what it has refused so far.

        Raises:
            PromptTooLongError: it does not fit.
        """
        tokens = self.request_tokens(chunk)
        if self.told is not None and tokens >= self.told:
            raise PromptTooLongError(
                f"the prompt takes about {tokens} tokens and does not fit the model's window of {self.told}",
                prompt_tokens=tokens,
                window=self.told,
                hint=LARGER_WINDOW,
            )

    def request_tokens(self, chunk: Chunk) -> int:
        """Tokens of the whole request for a chunk."""
        return self._fixed() + self.shelf.cost(chunk.rules) + self.meter.estimate(chunk.text)

    def chunks(
        self,
        chosen: Chosen,
        is_known: Callable[[Hunk, str], bool],
        too_long: Callable[[Hunk, PromptTooLongError], None],
        left_out: Callable[[Hunk, tuple[LeftOut, ...]], None] = lambda *_: None,
    ) -> Iterator[Chunk]:
        """Chunks in the order in which they are asked for.

        Args:
            chosen: the hunks to review.
            is_known: told a hunk and its essence; True if it need not be asked about.
            too_long: told a hunk that cannot be cut small enough.
            left_out: told which changed lines of a hunk are too long to be asked about, before anything else.
        """
        pieces = self._pieces(self._ordered(chosen), is_known, too_long, left_out)
        return pack(pieces, self.meter, self._room_in_time, self.shelf)

    def left_out(self, file: FileChange, hunk: Hunk) -> tuple[LeftOut, ...]:
        """Return the changed lines of a hunk that are too long to be asked about; parses nothing if there are none."""
        if self._is_plain(file):
            return ()
        if deletion.is_told(file) or not (self.change.notebook(file) or self._may_have_long_lines(file, hunk)):
            return ()
        told = self._told(file, hunk)
        try:
            room = self._room_beside_rules(file)
        except PromptTooLongError:
            return told.left_out
        return (*told.left_out, *self._cut(file, hunk, told.lines, context.Context(), room).left_out)

    def size(self, file: FileChange, hunk: Hunk) -> int:
        """Return about how many bytes of a hunk are sent; where no line is too long, nothing is parsed."""
        if self._is_plain(file):
            return hunk.end - hunk.begin
        if deletion.is_told(file):
            return deletion.TYPICAL_BYTES
        if self.change.notebook(file):
            return sum(len(line.text) + 1 for line in self._told(file, hunk).lines)
        if not self._may_have_long_lines(file, hunk):
            return hunk.end - hunk.begin
        shortest = self._shortest_too_long(file)
        lines = self.change.diff.data[hunk.begin : hunk.end].split(b"\n")
        return sum(len(line) + 1 for line in lines if len(line) <= shortest)

    def _may_have_long_lines(self, file: FileChange, hunk: Hunk) -> bool:
        """Tell whether a line may be too long for a request; nothing is parsed."""
        return long_lines.has_longer(self.change.diff.data, hunk.begin, hunk.end, self._shortest_too_long(file))

    def _is_plain(self, file: FileChange) -> bool:
        """Tell whether all hunks of a file are sent as git shows them; found out once."""
        if file.path not in self._plain:
            is_special = deletion.is_told(file) or not file.hunks or self.change.notebook(file)
            self._plain[file.path] = not is_special and self._has_short_lines(file)
        return self._plain[file.path]

    def _has_short_lines(self, file: FileChange) -> bool:
        """Tell whether no line between the first and the last hunk of a file is too long; nothing is parsed."""
        begin, end = file.hunks[0].begin, file.hunks[-1].end
        return not long_lines.has_longer(self.change.diff.data, begin, end, self._shortest_too_long(file))

    def _shortest_too_long(self, file: FileChange) -> int:
        """Return the bytes of the shortest line of a file that may be too long for a request."""
        if file.path not in self._shortest:
            try:
                room = self._room_beside_rules(file)
            except PromptTooLongError:
                room = 0
            self._shortest[file.path] = long_lines.shortest(self.meter, room)
        return self._shortest[file.path]

    def _told(self, file: FileChange, hunk: Hunk) -> Cut:
        """Return the lines of a hunk as a model is told of them, and those that are no code, whatever their size."""
        if deletion.is_told(file):
            return Cut(deletion.lines_of(self.change, file, self.syntax), ())
        lines = self.change.lines(file, hunk)
        return notebooks.source_of(hunk, lines) if self.change.notebook(file) else Cut(lines, ())

    def _cut(self, file: FileChange, hunk: Hunk, lines: Sequence[Line], around: Context, room: int) -> Cut:
        trusts = not self.job.is_pull_request
        return long_lines.cut(file, hunk, lines, around, self.meter, room, trusts=trusts)

    def _ordered(self, chosen: Chosen) -> Chosen:
        """Under a deadline the riskiest first; else as they stand, which shows the model what belongs together."""
        if self.job.deadline.seconds is None:
            return chosen
        paced = self.job.deadline.paced(chosen)
        ranked = [(risk.rank(file, hunk, self.change.diff.data), (file, hunk)) for file, hunk in paced]
        return [each for _, each in sorted(ranked, key=lambda each: each[0])]

    def pieces(self, file: FileChange, hunk: Hunk) -> list[Piece]:
        """Return the pieces of one hunk; those of the last one are kept, since several findings may stand in it.

        Raises:
            PromptTooLongError: it cannot be cut small enough.
            SourceError: the time is used up.
            DeadlineError: the time is used up.
        """
        room = self._room_beside_rules(file)
        if self._last_pieces is None or self._last_pieces[:2] != (hunk, room):
            lines = self._told(file, hunk).lines
            around = context.of_hunk(hunk, lines, self.change.new_content(file), self.syntax)
            shown = self._cut(file, hunk, lines, around, room).lines
            around = long_lines.cut_before(around, self.meter, room)
            made = pieces_of(file, hunk, shown, around, self.meter, room, self.job.deadline)
            self._last_pieces = hunk, room, made
        return self._last_pieces[2]

    def _pieces(
        self,
        chosen: Chosen,
        is_known: Callable[[Hunk, str], bool],
        too_long: Callable[[Hunk, PromptTooLongError], None],
        left_out: Callable[[Hunk, tuple[LeftOut, ...]], None],
    ) -> Iterator[Piece]:
        for file, hunk in chosen:
            self.job.deadline.cap(1.0)  # reading and parsing count, too
            lines, no_source = self._told(file, hunk)
            if no_source and len(no_source) == hunk.added + hunk.removed:
                left_out(hunk, no_source)
                continue
            around = context.of_hunk(hunk, lines, self.change.new_content(file), self.syntax)
            rules = blocks(self.shelf.chosen(file.path))
            below = f"\n{rules}" if rules else ""
            try:
                room = self._room_beside_rules(file)
            except PromptTooLongError as error:
                if not is_known(hunk, essence(file, hunk, lines, around, self.job.deadline) + below):
                    too_long(hunk, error)
                continue
            cut = self._cut(file, hunk, lines, around, room)
            left_out(hunk, (*no_source, *cut.left_out))
            if len(no_source) + len(cut.left_out) == hunk.added + hunk.removed:
                continue
            around = long_lines.cut_before(around, self.meter, room)
            if not is_known(hunk, essence(file, hunk, cut.lines, around, self.job.deadline) + below):
                yield from pieces_of(file, hunk, cut.lines, around, self.meter, room, self.job.deadline)

    def _room_beside_rules(self, file: FileChange) -> int:
        """What fits one request beside the rules about a file.

        Raises:
            PromptTooLongError: nothing does.
        """
        room, rules = self.room(), self.shelf.cost(self.shelf.chosen(file.path))
        if rules and rules >= room - SMALLEST_ROOM:
            raise PromptTooLongError(
                f"the rules about it take about {rules} of the {room} tokens that a request has",
                prompt_tokens=rules,
                window=room,
                hint="Lower rules_tokens, or load the model with a larger window",
            )
        return room - rules

    def _room_in_time(self) -> int:
        """What fits the window, and can be answered before the deadline as far as that can be foreseen."""
        left = self.job.deadline.remaining()
        tokens = self.pace.expected.tokens_within(left) if left is not None else None
        room = self.room()
        return room if tokens is None else max(1, min(room, tokens - self._fixed()))

    def _fixed(self) -> int:
        prompts = self.job.prompts
        rules = prompts.rules_template if self.job.rules.every else ""
        language = prompts.language and prompts.language_template
        return self.meter.estimate(prompts.system + prompts.review_template + rules + language)
