"""The asking part of one review: which hunks are known, which are done, which are not and why."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import (
    BrokenStreamError,
    DeadlineError,
    ModelError,
    NotLocalError,
    PromptTooLongError,
    SourceError,
)
from kilo_review.core.finding import Status
from kilo_review.core.outcome import Entry, State, Usage
from kilo_review.judge.anchor import merged
from kilo_review.judge.statement import rest_in_file
from kilo_review.judge.verify import holding, unverified
from kilo_review.models.base import DEFAULT_WINDOW, answer_identity
from kilo_review.models.choose import ALREADY_LOADED
from kilo_review.models.concurrency import Width
from kilo_review.plan import deletion, long_lines
from kilo_review.plan.chunk import Chunk, TokenMeter, leave_it_out
from kilo_review.plan.context import symbol_at, text_of
from kilo_review.plan.long_lines import LeftOut
from kilo_review.plan.rules import blocks
from kilo_review.review.chunk_review import Answer, answers_to
from kilo_review.review.chunker import Pace, Packer
from kilo_review.review.model_client import Asker
from kilo_review.review.suppression import Sieve
from kilo_review.review.verification import Verifier
from kilo_review.review.worker_pool import Lanes
from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Outcome
    from kilo_review.judge.anchor import Anchored
    from kilo_review.judge.baseline import Known
    from kilo_review.ledger.records import Ledger
    from kilo_review.models.base import Model
    from kilo_review.plan.chunk import Piece
    from kilo_review.plan.scope import Selection
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.session import Session
    from kilo_review.review.worker_pool import Turn
    from kilo_review.source.change import Change
    from kilo_review.source.diff import Hunk

SLOW_TOKENS_PER_SECOND = 10.0
"""Below this, one answer takes longer than anyone waits at a commit."""
TELLING_TOKENS = 16
"""Fewer answer tokens than this say nothing about speed."""
MOST_BROKEN = 3
"""Answers in a row that broke off, each after a second try."""
NOT_REACHED = "it was not reached"


class Inquiry:
    """Asks about every chosen hunk that is not known, and fills in the outcome."""

    def __init__(
        self,
        job: Job,
        watch: Watch,
        change: Change,
        selection: Selection,
        session: Session,
        ledger: Ledger,
        decided: Known,
    ) -> None:
        self._job = job
        self._watch = watch
        self._change = change
        self._chosen = selection.chosen
        self._session = session
        self._ledger = ledger
        self._pace = Pace()
        self._identity = ""
        self._keys: dict[Hunk, str] = {}
        self._hunks_of: dict[str, list[Hunk]] = {}
        self._lines_done: Counter[Hunk] = Counter()
        self._asked_whole: set[Hunk] = set()
        self._found: dict[Hunk, list[Finding]] = {}
        self._states: dict[Hunk, State] = {}
        self._failed: dict[Hunk, str] = {}
        self._final: set[Hunk] = set()
        self._left_out: dict[Hunk, tuple[LeftOut, ...]] = {}
        self._refused: dict[Hunk, tuple[LeftOut, ...]] = {}
        self._next_step = ""
        self._leak = ""
        self._broken = 0
        self._sieve = Sieve(job, change, decided, session.syntax)
        self._packer: Packer | None = None
        self._verifier: Verifier | None = None
        self._settled: dict[Hunk, list[Finding]] = {}
        self._waiting: dict[Hunk, list[Finding]] = {}
        self._file_of = {hunk: file for file, hunk in selection.chosen}

    def ask(self, outcome: Outcome) -> None:
        """Ask about every chosen hunk; fill in findings, coverage and usage."""
        reason = NOT_REACHED
        try:
            self._ask_all(outcome)
        except (ModelError, SourceError) as error:
            reason = error.message
            self._next_step = error.hint or self._next_step
        except KeyboardInterrupt:
            reason = "interrupted"
            outcome.interrupted = True
        outcome.next_step = self._next_step
        self._give_up(outcome, reason)
        outcome.findings += [finding for _, hunk in self._chosen for finding in self._settled.get(hunk, ())]
        outcome.entries[:0] = [row for _, hunk in self._chosen for row in self._entries(hunk, reason)]
        if self._leak and not outcome.count(State.NOT_REVIEWED):  # such a run does not pass, even if all was answered
            outcome.failure = self._leak
        self._note_ignores(outcome)
        if self._packer is not None:
            outcome.notes += self._packer.shelf.notes

    def _ask_all(self, outcome: Outcome) -> None:
        model = self._session.model(self._job.model)
        outcome.model = model.info
        self._identity = answer_identity(model, self._job.prompts.version, self._job.votes)
        outcome.answered_by = self._identity
        speed_of = f"{model.info.provider} {model.info.name} {model.info.digest}"
        self._pace.known = self._ledger.calibration(speed_of)
        meter = TokenMeter(max(TokenMeter().tokens_per_byte, self._pace.known.tokens_per_byte))
        asker = Asker(model, self._job.prompts, self._job.deadline, Usage(), meter)
        syntax = self._session.syntax
        packer = Packer(self._job, self._change, model.info.window or DEFAULT_WINDOW, meter, syntax, self._pace)
        self._packer = packer
        self._verifier = Verifier(self._job, self._session, self._ledger, self._pace, asker)
        packer.room()
        try:
            self._ask_about(self._chunks(packer), asker, packer, outcome)
            self._settle(hunk for _, hunk in self._chosen)
        except DeadlineError:
            self._note_slowness(model, outcome, always=True)
            raise
        except NotLocalError as error:
            self._note_leak(outcome, error)
            raise
        finally:
            self._note_remarks(asker, outcome)
            self._ledger.calibrate(speed_of, self._pace.measured._replace(tokens_per_byte=meter.tokens_per_byte))
        self._note_slowness(model, outcome, always=False)

    def _chunks(self, packer: Packer) -> Iterator[Chunk]:
        return packer.chunks(self._chosen, self._is_known, self._too_long, self._leave_out)

    def _ask_about(self, chunks: Iterator[Chunk], asker: Asker, packer: Packer, outcome: Outcome) -> None:
        def work(asker: Asker, chunk: Chunk) -> Iterator[Answer]:
            return answers_to(asker, packer, chunk, self._job.votes)

        with Lanes(asker, self._width(asker.model), work) as lanes:
            try:
                for turn in lanes.turns(self._due(chunks, packer, outcome)):
                    self._take(turn, packer, outcome)
            except (ModelError, SourceError) as error:
                if isinstance(error, NotLocalError):
                    lanes.hang_up()
                self._take_rest(lanes, packer, outcome)
                raise
            except KeyboardInterrupt:
                lanes.hang_up()
                self._take_rest(lanes, packer, outcome)
                raise

    def _width(self, model: Model) -> Width:
        """The user's word, or else the server's; never more lanes than there are hunks."""
        most = max(1, len(self._chosen))
        if self._job.jobs is not None:
            return Width(min(self._job.jobs, most), min(self._job.jobs, most))
        return Width(min(model.width.start, most), min(model.width.most, most))

    # Memory

    def _is_known(self, hunk: Hunk, essence: str) -> bool:
        """Whether this code was reviewed before, or stands in this change twice and is being asked about."""
        import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

        key = hashlib.sha256(f"{self._identity}\0{essence}".encode("utf-8", "replace")).hexdigest()
        self._keys[hunk] = key
        twins = self._hunks_of.setdefault(key, [])
        twins.append(hunk)
        if len(twins) > 1:
            self._copy(twins[0], hunk)
            return True
        remembered = self._ledger.verdict(key, hunk.start)
        if remembered is None:
            return False
        self._found[hunk] = [self._in_its_symbol(finding, hunk) for finding in remembered]
        self._states[hunk] = State.CACHED
        return True

    def _copy_to_twins(self, first: Hunk) -> None:
        """What is true of a hunk is true of the same code elsewhere in the file, also if it fails."""
        for twin in self._hunks_of[self._keys[first]]:
            self._copy(first, twin)

    def _copy(self, first: Hunk, twin: Hunk) -> None:
        if twin == first or twin in self._states or twin in self._failed:
            return
        if first in self._states:
            move = twin.start - first.start
            if (refused := self._refused.get(first)) is not None:
                self._refused[twin] = tuple(each.moved(move) for each in refused)
            self._states[twin] = State.CACHED
            self._found[twin] = [
                self._in_its_symbol(finding._replace(line=finding.line + move, end_line=finding.end_line + move), twin)
                for finding in self._found.get(first, ())
            ]
        elif first in self._failed:
            self._failed[twin] = self._failed[first]

    def _remember(self, hunks: list[Hunk]) -> None:
        reviewed = [hunk for hunk in hunks if self._states.get(hunk) is State.REVIEWED]
        done = [hunk for hunk in reviewed if hunk not in self._refused]  # their keys are those of all their lines
        self._ledger.remember({self._keys[hunk]: (hunk.start, self._found.get(hunk, [])) for hunk in done})
        for hunk in hunks:
            self._copy_to_twins(hunk)

    # Asking

    def _due(self, chunks: Iterable[Chunk], packer: Packer, outcome: Outcome) -> Iterator[Chunk]:
        """Those that can be answered in time; the first of a run is always tried."""
        for chunk in chunks:
            left = self._job.deadline.remaining()
            expected = self._pace.expected.seconds(packer.request_tokens(chunk)) * self._job.votes
            if left is not None and expected > left and outcome.usage.requests:
                limit = f"{left:.0f} s of the time limit of {self._job.deadline.seconds:g} s were left"
                hint = "Raise it with --max-seconds, or use a smaller model"
                self._fail(chunk, DeadlineError(f"it takes about {expected:.0f} s, and {limit}", hint=hint))
                self._settle_asked(chunk)
                continue
            assert outcome.model
            self._watch.model_chosen(outcome.model)
            yield chunk

    def _take(self, turn: Turn, packer: Packer, outcome: Outcome) -> None:
        """Note what came of one chunk, also if that was the end of it."""
        try:
            for answer in turn.answers:
                self._note(answer)
        except DeadlineError:
            self._pace.disappoint(packer.request_tokens(turn.chunk), turn.usage.model_seconds)
            raise
        finally:
            outcome.usage.add(turn.usage)
        self._pace.learn(outcome.usage)
        self._settle_asked(turn.chunk)

    def _settle_asked(self, chunk: Chunk) -> None:
        self._settle(hunk for hunk in chunk.hunks if hunk in self._asked_whole)
        self._watch.progress(len(self._states) + len(self._failed), len(self._chosen))

    def _take_rest(self, lanes: Lanes, packer: Packer, outcome: Outcome) -> None:
        """What others had begun to ask when one of them failed is not lost."""
        for turn in lanes.rest():
            try:
                self._take(turn, packer, outcome)
            except NotLocalError as error:
                self._note_leak(outcome, error)
            except ModelError:
                pass  # the first one is told

    def _note(self, answer: Answer) -> None:
        if isinstance(answer.error, PromptTooLongError) and answer.chunk.is_one_line:
            self._refuse(answer.chunk.pieces[0], answer.error)
        elif answer.error is not None:
            self._fail(answer.chunk, answer.error)
        self._broken = self._broken + 1 if isinstance(answer.error, BrokenStreamError) else 0
        self._keep(answer.found)
        self._finish(answer.chunk)
        if self._broken >= MOST_BROKEN:
            assert answer.error
            raise answer.error  # it is the server that fails, not the hunk

    def _finish(self, chunk: Chunk) -> None:
        """Hunks of which every line has been asked about are done, and are remembered at once."""
        finished = []
        for piece in chunk.pieces:
            self._lines_done[piece.hunk] += len(piece.lines)
            if self._lines_done[piece.hunk] == piece.of_lines:
                finished.append(piece.hunk)
                if piece.hunk not in self._failed:
                    self._states[piece.hunk] = State.REVIEWED
        self._asked_whole.update(finished)
        self._remember(finished)

    def _keep(self, found: list[Anchored]) -> None:
        for finding, hunk in found:
            self._found.setdefault(hunk, []).append(self._in_its_symbol(finding, hunk))

    def _in_its_symbol(self, finding: Finding, hunk: Hunk) -> Finding:
        """A finding is known by the function that its line is in and by its whole statement."""
        try:
            content = self._change.new_content(self._file_of[hunk])
        except SourceError:  # the time is used up: what was found is told all the same
            return finding
        if content is None or finding.status is Status.UNANCHORED:
            return finding
        syntax = self._session.syntax
        if not finding.is_removed:
            text = text_of(content)
            finding = finding._replace(rest=printable(rest_in_file(finding.path, text, finding.line, syntax)))
        symbol = symbol_at(finding.path, content, finding.line, syntax)
        return finding if symbol is None else finding._replace(symbol=printable(symbol))

    def _fail(self, chunk: Chunk, error: ModelError) -> None:
        for piece in chunk.pieces:
            self._failed.setdefault(piece.hunk, error.message)
            self._copy_to_twins(piece.hunk)
        self._next_step = self._next_step or error.hint

    def _too_long(self, hunk: Hunk, error: PromptTooLongError) -> None:
        self._failed[hunk] = error.message
        self._final.add(hunk)
        self._next_step = self._next_step or error.hint
        self._copy_to_twins(hunk)

    def _leave_out(self, hunk: Hunk, left_out: tuple[LeftOut, ...]) -> None:
        """Note lines that are too long to be asked about."""
        if not left_out:
            return
        self._left_out[hunk] = left_out
        if not all(each.is_data for each in left_out):
            assert self._packer
            self._next_step = self._next_step or leave_it_out(self._packer.room())

    def _refuse(self, piece: Piece, error: PromptTooLongError) -> None:
        """Note a single line that the server does not take: the rest of its hunk is asked about all the same."""
        hunk, (line,) = piece.hunk, piece.lines
        self._next_step = self._next_step or error.hint
        place = line.new or max(piece.gap - 1, 0)
        rows = () if line.kind == " " else (LeftOut(line._replace(text=""), place, error.message),)
        self._refused[hunk] = (*self._refused.get(hunk, ()), *rows)

    # Judging

    def _settle(self, hunks: Iterable[Hunk]) -> None:
        """Sift what was found in hunks that are done, and put what is left of it to the test."""
        for hunk in hunks:
            if hunk not in self._settled and (hunk in self._states or hunk in self._failed):
                waiting, settled = self._sift(hunk)
                while waiting:
                    settled.append(self._tested(waiting[0], hunk))
                    waiting.pop(0)

    def _sift(self, hunk: Hunk) -> tuple[list[Finding], list[Finding]]:
        """What was found in a hunk, waiting for the test, and the place for what comes out of it."""
        self._waiting[hunk] = [self._sieve.sift(finding) for finding in merged(self._found.get(hunk, ()))]
        self._settled[hunk] = []
        return self._waiting[hunk], self._settled[hunk]

    def _tested(self, finding: Finding, hunk: Hunk) -> Finding:
        assert self._verifier
        assert self._packer
        if not self._verifier.is_due(finding):
            return finding
        if self._verifier.has_given_up:
            return unverified(finding, self._verifier.left)
        rules = blocks(self._packer.shelf.chosen(hunk.path))
        try:
            pieces = self._packer.pieces(self._file_of[hunk], hunk)
        except PromptTooLongError as error:
            return unverified(finding, error.message)
        except (DeadlineError, SourceError) as error:  # the hunk is too large for what is left of the time
            self._verifier.give_up(error)
            return unverified(finding, self._verifier.left)
        return self._verifier.settle(finding, holding(finding, pieces), self._keys[hunk], rules)

    def _give_up(self, outcome: Outcome, reason: str) -> None:
        """What could not be put to the test does not count; what it cost so far does."""
        verifier = self._verifier
        if verifier is None:
            return
        outcome.unsettled = verifier.left
        outcome.answered_by += f"+{verifier.identity}" if verifier.identity else ""
        for _, hunk in self._chosen:
            if hunk not in self._settled:
                self._sift(hunk)
            for finding in self._waiting[hunk]:
                is_due = verifier.is_due(finding)
                self._settled[hunk].append(unverified(finding, f"not verified: {reason}") if is_due else finding)
                outcome.unsettled = outcome.unsettled or (reason if is_due else "")
        outcome.usage.add(verifier.usage)

    # Telling

    def _entries(self, hunk: Hunk, reason: str) -> list[Entry]:
        """Return the rows of one hunk: its own, and those of lines that were left out of it."""
        left_out = (*self._left_out.get(hunk, ()), *self._refused.get(hunk, ()))
        if hunk in self._failed:
            failed = self._failed[hunk]
            return long_lines.rows_of(hunk, State.NOT_REVIEWED, failed, left_out, is_final=hunk in self._final)
        if hunk in self._states:
            told = deletion.TOLD if deletion.is_told(self._file_of[hunk]) else None
            return long_lines.rows_of(hunk, self._states[hunk], told, left_out)
        return long_lines.rows_of(hunk, State.NOT_REVIEWED, reason, left_out)

    def _note_ignores(self, outcome: Outcome) -> None:
        """Comments that were meant to suppress something, and do not."""
        told = self._sieve.notes
        if self._job.report_unused:
            looked_at = [each for each in self._chosen if each[1] in self._states and each[1] not in self._failed]
            told = [*told, *self._sieve.unused(looked_at)]
        outcome.notes += dict.fromkeys(told)

    def _note_remarks(self, asker: Asker, outcome: Outcome) -> None:
        """What the clients have to say, that of another model which verifies included."""
        verified_by = self._verifier.asker if self._verifier else None
        for each in filter(None, (asker, verified_by)):
            outcome.notes += [note for note in each.model.remarks.notes if note not in outcome.notes]
            details = (*each.model.remarks.details, *each.form.details)
            outcome.details += [detail for detail in details if detail not in outcome.details]

    def _note_leak(self, outcome: Outcome, error: NotLocalError) -> None:
        """Found out by the answer: the server has passed the request on, and is not asked for anything more."""
        self._leak = error.message
        self._session.distrust(error)
        if self._verifier is not None:
            self._verifier.give_up(error)
        assert outcome.model
        warning = f"WARNING: {outcome.model.base_url} sent your code to another machine"
        outcome.model = outcome.model._replace(local=False)
        outcome.notes += [warning] if warning not in outcome.notes else []

    def _note_slowness(self, model: Model, outcome: Outcome, *, always: bool) -> None:
        usage = outcome.usage
        speed = usage.tokens_per_second if usage.completion_tokens >= TELLING_TOKENS else None
        is_slow = speed is not None and speed < SLOW_TOKENS_PER_SECOND
        if not (always or is_slow):
            return
        facts = [f"{speed:.1f} tokens a second"] if speed is not None and is_slow else []
        with suppress(ModelError):  # it is a courtesy; the server was slow already
            facts += filter(None, [model.slow_reason(Deadline().within(0.5))])
        if facts:
            advice = "A smaller model would answer sooner (docs/models.md)"
            outcome.notes.append(f"{model.info.name} is slow here: {', '.join(facts)}. {advice}")
        if not usage.completion_tokens and model.info.why != ALREADY_LOADED and model.info.provider != "embedded":
            advice = "review something once by hand, which loads it: kilo-review HEAD"
            outcome.notes.append(f"if {model.info.name} was still being loaded, {advice}")
