"""The pipeline: from what was asked for to an outcome. Read `run` aloud."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kilo_review import models
from kilo_review.ask import Asker
from kilo_review.deadline import PROCESS_START, Deadline
from kilo_review.errors import (
    BadReplyError,
    BrokenStreamError,
    CutReplyError,
    DeadlineError,
    ModelError,
    NotLocalError,
    PromptTooLongError,
    SourceError,
)
from kilo_review.judge.anchor import anchor, merged
from kilo_review.judge.parse import Claim, salvage
from kilo_review.judge.policy import FailOn, mark_blocking
from kilo_review.models.base import ALREADY_LOADED, DEFAULT_WINDOW, Model, ModelRequest
from kilo_review.outcome import Entry, ModelInfo, Outcome, State
from kilo_review.plan import context, scope
from kilo_review.plan.chunk import ANSWER_TOKENS, Chunk, Piece, TokenMeter, budget, pack, pieces_of
from kilo_review.source.change import Change, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilo_review.finding import Finding
    from kilo_review.prompts import Message, Prompts
    from kilo_review.source.diff import Hunk
    from kilo_review.source.target import Request

RULING_FILES = frozenset({".kilocodeignore", ".kilo-review.toml", ".gitattributes"})
SLOW_TOKENS_PER_SECOND = 10.0
"""Below this, one answer takes longer than anyone waits at a commit."""
TELLING_TOKENS = 16
"""Fewer answer tokens than this say nothing about speed."""


class Watch(Protocol):
    """Somebody who is told how the review goes."""

    def model_chosen(self, info: ModelInfo) -> None:
        """A model is ready."""

    def progress(self, done: int, total: int) -> None:
        """So many hunks are done."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a review needs to know.

    Attributes:
        request: what is reviewed.
        model: which model is asked.
        prompts: how it is asked.
        deadline: when it must be over.
        ignore_lists: name → gitignore patterns.
        fail_on: the least severity that blocks.
        patch: the change itself, where it came on standard input.
    """

    request: Request
    model: ModelRequest
    prompts: Prompts
    deadline: Deadline
    ignore_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fail_on: FailOn = FailOn.CRITICAL
    patch: bytes | None = None


def run(job: Job, watch: Watch) -> Outcome:
    """Review a change.

    Returns:
        The outcome, also when the model failed: then hunks are `not_reviewed`, with the reason.

    Raises:
        UsageError: what was asked for does not exist.
        SourceError: git could not tell what the change is.
    """
    with opened(job.request, job.deadline, job.patch) as change:
        selection = _select(job, change)
        outcome = _outcome(job, change, selection)
        if selection.chosen:
            _Review(job, watch, change, selection, outcome).ask()
    outcome.findings = mark_blocking(merged(outcome.findings), job.fail_on)
    outcome.usage.seconds = time.monotonic() - PROCESS_START
    return outcome


def plan(job: Job) -> Outcome:
    """What `run` would review and skip; contacts no server."""
    with opened(job.request, job.deadline, job.patch) as change:
        selection = _select(job, change)
        planned = [scope.hunk_entry(hunk, State.PLANNED) for _, hunk in selection.chosen]
        outcome = _outcome(job, change, selection)
        outcome.entries[:0] = planned
        outcome.dry_run = True
        if planned:
            outcome.notes.append(f"about {_requests(job, selection)} of the model would be needed")
        return outcome


def prompts(job: Job) -> Iterator[list[Message]]:
    """The messages of each request that `run` would begin with; contacts no server."""
    window = job.model.parameters.get("num_ctx", DEFAULT_WINDOW)
    with opened(job.request, job.deadline, job.patch) as change:
        packer = _Packer(job, change, window if isinstance(window, int) else DEFAULT_WINDOW, TokenMeter())
        for chunk in packer.chunks(_select(job, change), lambda _hunk, _error: None):
            yield job.prompts.review(chunk.text)


def _outcome(job: Job, change: Change, selection: scope.Selection) -> Outcome:
    """The outcome so far: what is left out, and what a reader should know of the change itself."""
    outcome = Outcome(change.target, entries=list(selection.left_out))
    if job.request.paths:  # a mistyped path must not look like a clean change
        outcome.nothing = f"nothing changed below {', '.join(job.request.paths)}"
    ruling = sorted({file.path for file in change.diff.files if PurePosixPath(file.path).name in RULING_FILES})
    if ruling and selection.left_out:
        outcome.notes.append(f"the change itself touches what decides what is reviewed: {', '.join(ruling)}")
    return outcome


def _requests(job: Job, selection: scope.Selection) -> str:
    """An estimate from the diff's size alone; context and a smaller window make it more."""
    meter = TokenMeter()
    fixed = meter.estimate(job.prompts.system + job.prompts.review_template)
    tokens = sum(meter.estimate_bytes(hunk.end - hunk.begin) for _, hunk in selection.chosen)
    number = -(-tokens // budget(DEFAULT_WINDOW, fixed))
    return "1 request" if number == 1 else f"{number} requests"


def _select(job: Job, change: Change) -> scope.Selection:
    lists = [scope.ignore_list(name, patterns) for name, patterns in job.ignore_lists.items()]
    return scope.select(
        change.diff.files,
        ignored=lambda path: next((name for matches in lists if (name := matches(path))), None),
        attributes=change.attributes(scope.ATTRIBUTES) if change.diff.files else {},
        read=change.start_of,
    )


@dataclass(slots=True)
class _Packer:
    """Hunks → chunks that fit the window, made as they are needed."""

    job: Job
    change: Change
    window: int
    meter: TokenMeter

    def room(self) -> int:
        """Tokens of change that fit one request, by what is known of the tokenizer now."""
        prompts = self.job.prompts
        fixed = self.meter.estimate(prompts.system + prompts.review_template)
        answer = self.job.model.parameters.get("num_predict")
        return budget(self.window, fixed, answer if isinstance(answer, int) and answer > 0 else ANSWER_TOKENS)

    def chunks(
        self, selection: scope.Selection, too_long: Callable[[Hunk, PromptTooLongError], None]
    ) -> Iterator[Chunk]:
        """Chunks in order; hunks that cannot be cut small enough go to `too_long`."""
        return pack(self._pieces(selection, too_long), self.meter, self.room)

    def _pieces(
        self, selection: scope.Selection, too_long: Callable[[Hunk, PromptTooLongError], None]
    ) -> Iterator[Piece]:
        for file, hunk in selection.chosen:
            self.job.deadline.cap(1.0)  # reading and parsing count, too
            lines = self.change.diff.lines(hunk)
            around = context.of_hunk(hunk, lines, self.change.new_content(file))
            try:
                yield from pieces_of(file, hunk, lines, around, self.meter, self.room())
            except PromptTooLongError as error:
                too_long(hunk, error)


class _Review:
    """The asking part of one run: which hunks are done, which are not and why."""

    def __init__(self, job: Job, watch: Watch, change: Change, selection: scope.Selection, outcome: Outcome) -> None:
        self._job = job
        self._watch = watch
        self._change = change
        self._selection = selection
        self._outcome = outcome
        self._lines_done: Counter[Hunk] = Counter()
        self._asked: set[Hunk] = set()
        self._failed: dict[Hunk, str] = {}

    def ask(self) -> None:
        """Ask about every chosen hunk; fill in findings, coverage, usage, egress."""
        reason = "the review ended before it"
        try:
            reason = self._ask_all()
        except (ModelError, SourceError) as error:
            reason = error.message
            self._outcome.next_step = error.hint
        except KeyboardInterrupt:
            reason = "interrupted"
            self._outcome.interrupted = True
        self._outcome.entries[:0] = [self._entry(hunk, reason) for _, hunk in self._selection.chosen]

    def _ask_all(self) -> str:
        model = models.connect(self._job.model, self._outcome.egress, self._job.deadline)
        try:
            self._outcome.model = model.info
            self._watch.model_chosen(model.info)
            asker = Asker(model, self._job.prompts, self._job.deadline, self._outcome.usage)
            packer = _Packer(self._job, self._change, model.info.window or DEFAULT_WINDOW, asker.meter)
            packer.room()
            try:
                for chunk in packer.chunks(self._selection, self._too_long):
                    self._review(chunk, asker)
                    self._watch.progress(len(self._asked), len(self._selection.chosen))
            except DeadlineError:
                self._note_slowness(model, always=True)
                raise
            except NotLocalError:
                # Found out by the answer: the server has passed the request on.
                self._outcome.model = replace(model.info, local=False)
                self._outcome.notes.append(f"WARNING: {model.info.base_url} sent your code to another machine")
                raise
            self._note_slowness(model, always=False)
        finally:
            model.close()
        return ""

    def _review(self, chunk: Chunk, asker: Asker) -> None:
        """Ask about one chunk; halve it where it or its answer was too long."""
        try:
            claims = asker.claims(chunk)
        except (PromptTooLongError, CutReplyError) as error:
            # A prompt that is too long is cut even inside a hunk; an answer that is too long is no reason for that.
            if halves := chunk.halves(cut_hunks=isinstance(error, PromptTooLongError)):
                for half in halves:
                    self._review(half, asker)
                return
            self._fail(chunk, error)
            if isinstance(error, CutReplyError):
                self._keep(salvage(error.text), chunk)
        except (BadReplyError, BrokenStreamError) as error:
            self._fail(chunk, error)
        else:
            self._keep(claims, chunk)
        for piece in chunk.pieces:
            self._lines_done[piece.hunk] += len(piece.lines)
            if self._lines_done[piece.hunk] == piece.of_lines:
                self._asked.add(piece.hunk)

    def _keep(self, claims: list[Claim], chunk: Chunk) -> None:
        findings: list[Finding] = anchor(claims, chunk.pieces)
        self._outcome.findings += findings

    def _fail(self, chunk: Chunk, error: ModelError) -> None:
        for piece in chunk.pieces:
            self._failed.setdefault(piece.hunk, error.message)
        self._outcome.next_step = self._outcome.next_step or error.hint

    def _too_long(self, hunk: Hunk, error: PromptTooLongError) -> None:
        self._failed[hunk] = error.message

    def _entry(self, hunk: Hunk, reason: str) -> Entry:
        if hunk in self._failed:
            return scope.hunk_entry(hunk, State.NOT_REVIEWED, self._failed[hunk])
        if hunk in self._asked:
            return scope.hunk_entry(hunk, State.REVIEWED)
        return scope.hunk_entry(hunk, State.NOT_REVIEWED, reason or "it was not reached")

    def _note_slowness(self, model: Model, *, always: bool) -> None:
        usage = self._outcome.usage
        speed = usage.tokens_per_second if usage.completion_tokens >= TELLING_TOKENS else None
        is_slow = speed is not None and speed < SLOW_TOKENS_PER_SECOND
        if not (always or is_slow):
            return
        facts = [f"{speed:.1f} tokens a second"] if speed is not None and is_slow else []
        with suppress(ModelError):  # it is a courtesy; the server was slow already
            facts += filter(None, [model.slow_reason(Deadline().within(0.5))])
        if facts:
            advice = "A smaller model would answer sooner (docs/models.md)"
            self._outcome.notes.append(f"{model.info.name} is slow here: {', '.join(facts)}. {advice}")
        if not usage.completion_tokens and model.info.why != ALREADY_LOADED and model.info.provider != "embedded":
            advice = "review something once by hand, which loads it: kilo-review HEAD"
            self._outcome.notes.append(f"if {model.info.name} was still being loaded, {advice}")
