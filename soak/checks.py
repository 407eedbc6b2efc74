"""What must be true of a review, held against what git says was changed and what the server knows it said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kilo_review.core.finding import Category, Severity, Status
from kilo_review.judge.policy import FailOn, Verify
from soak.changes import MARK
from soak.plan import COMMIT, HOOK, LIBRARY
from soak.runs import NO_REPORT
from soak.words import DEFECT, PARTIAL, PHANTOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soak.changes import Hunk
    from soak.plan import Plan
    from soak.runs import Found, Seen
    from soak.truth import Exchange, Record, Remembered

PROMISED_SECONDS = 1.0
"""Beyond the deadline: to give up, to write down what is left, to end the children."""
ALLOWED_SECONDS = 1.0
"""Beyond that, for a machine that is busy with other things; and for a process, to start."""
UNTROUBLED_SECONDS = 4.0
"""A review with so much time, or with no limit, is complete if nothing goes wrong."""
STUB, REMOTE_ANSWER = "remote stub (before)", "remote answers"
UNICODE = Category.UNICODE.value
LOOKED_AT = {"reviewed", "cached"}
COUNTS = {"active", "unverified", "unanchored"}


@dataclass(frozen=True, slots=True)
class Case:
    """One review: what was planned, what git says, what the server knows, what was seen.

    Attributes:
        known: what the ledger may have known before it; None where none is used.
        left_open: connections that the program did not close.
        temporary: where it may leave nothing behind.
    """

    plan: Plan
    hunks: list[Hunk]
    record: Record
    known: Remembered | None
    seen: Seen
    left_open: int
    temporary: Path
    url: str

    @property
    def deadline(self) -> float | None:
        return None if self.plan.seconds is None else self.seen.began + self.plan.seconds

    @property
    def margin(self) -> float | None:
        """Seconds beyond the deadline; negative: before it."""
        return None if self.plan.seconds is None else self.seen.seconds - self.plan.seconds

    @property
    def is_unclear(self) -> bool:
        """Whether nobody knows what an answer was about: a repair names no code, and several were asked at once."""
        return self.plan.jobs > 1 and any(each.question.kind == "repair" for each in self.record.exchanges)

    def surely_read(self) -> list[Exchange]:
        """Answers that the program cannot but have understood."""
        return [each for each in self.record.exchanges if each.is_good and each.had_time(self.deadline)]

    def finding_on(self, mark: str) -> list[Found]:
        """Findings about a line, but for those that only a cut answer held."""
        own = (each for each in self.seen.findings if not each.title.startswith((PARTIAL, PHANTOM)))
        return [each for each in own if mark in MARK.findall(each.title)]


def violations(case: Case) -> list[str]:
    """Everything that is not as it must be."""
    return [f"{check.__name__.replace('_', ' ')}: {what}" for check in CHECKS for what in check(case)]


def nothing_breaks(case: Case) -> Iterator[str]:
    yield from case.seen.troubles
    if case.left_open:
        yield f"{case.left_open} connections are open still"
    left = [path.name for path in case.temporary.iterdir()]
    if left:
        yield f"{left} is left behind"
    if case.plan.how == LIBRARY and case.seen.word == NO_REPORT and not case.plan.seconds:
        yield f"no report: {case.seen.told}"


def every_hunk_has_one_row(case: Case) -> Iterator[str]:
    if case.seen.word == NO_REPORT:
        return
    rows = sorted((row.path, row.start) for row in case.seen.rows)
    wanted = sorted((hunk.path, hunk.start) for hunk in case.hunks)
    if rows != wanted:
        yield f"{rows} instead of {wanted}"


def what_was_looked_at_was_answered(case: Case) -> Iterator[str]:
    """No wrong "reviewed", and so no wrong "clean"."""
    if case.is_unclear:
        return
    covered = case.record.covered()
    known = case.known.covered if case.known else set()
    marks = {(hunk.path, hunk.start): hunk.marks for hunk in case.hunks}
    for row in case.seen.rows:
        if row.start == 0:  # a deleted file is told in one line, without its code
            continue
        answered = {"reviewed": covered, "cached": known}.get(row.state)
        missing = marks.get((row.path, row.start), frozenset()) - answered if answered is not None else set()
        if missing:
            yield f"{row.path}:{row.start} is {row.state}, and nobody answered for {sorted(missing)[:3]}"


def the_word_is_true(case: Case) -> Iterator[str]:
    """The outcome's word, found out anew from the rows and the findings."""
    seen = case.seen
    if seen.word == NO_REPORT:
        return
    looked_at = sum(row.state in LOOKED_AT for row in seen.rows)
    shown = sum(found.status in COUNTS for found in seen.findings)
    if seen.count("not_reviewed") or seen.is_local is False:  # a run whose answer came from elsewhere does not pass
        allowed = {"incomplete"} if looked_at or shown else {"not_reviewed"}
    else:
        allowed = {"findings"} if shown else {"clean" if looked_at or not seen.rows else "not_reviewed"}
    if seen.word not in allowed:
        yield f"{seen.word}: {looked_at} looked at, {seen.count('not_reviewed')} not, {shown} findings"


def what_was_found_is_told(case: Case) -> Iterator[str]:
    """A finding of an answer that was complete and readable is in the report, whatever else failed."""
    if case.is_unclear:
        return
    for each in case.surely_read():
        for word, mark in each.found:
            if not case.finding_on(mark):
                yield f"{word} {mark} of an answer ({each.fault or 'good'}) is not there; {case.seen.told}"
    last = case.record.exchanges[-1] if case.record.exchanges else None
    if last is not None and _is_kept_though_cut(case, last):
        titles = {found.title for found in case.seen.findings}
        for word, mark in last.found:
            if f"{word} {mark}" not in titles and not case.finding_on(mark):
                yield f"{word} {mark} stood whole in an answer that was cut, and is not there"


def _is_kept_though_cut(case: Case, last: Exchange) -> bool:
    """Whether the complete part of the last answer counts: it was cut, and its hunk cannot be asked about in halves."""
    if last.fault != "cut answer" or last.complete is None or last.question.kind != "review" or case.plan.votes > 1:
        return False
    return last.had_time(case.deadline) and sum(bool(hunk.marks & last.asked) for hunk in case.hunks) == 1


def what_needs_no_model_is_told(case: Case) -> Iterator[str]:
    """Deceptive characters are found by the program itself, whatever the server does."""
    skipped = {(row.path, row.start) for row in case.seen.rows if row.state == "skipped"}
    told = {mark for found in case.seen.findings if found.category == UNICODE for mark in MARK.findall(found.evidence)}
    for hunk in case.hunks:
        if case.seen.word != NO_REPORT and (hunk.path, hunk.start) not in skipped and hunk.deceptive - told:
            yield f"{hunk.path}:{hunk.start}: {sorted(hunk.deceptive - told)}"


def nothing_is_made_up(case: Case) -> Iterator[str]:
    """Each finding was said by the server, in an answer that may be believed."""
    said = case.record.found() | (case.known.found if case.known else set())
    for found in case.seen.findings:
        if found.category == UNICODE:  # the program has seen it itself
            continue
        word, mark = (*found.title.split(), "", "")[:2]
        if (word, mark) not in said:
            yield f"{found.title!a} ({found.status}) was never said"


def only_what_was_confirmed_blocks(case: Case) -> Iterator[str]:
    known = case.known
    confirmed = case.record.ruled(confirmed=True) | (known.confirmed if known else set())
    for found in case.seen.findings:
        mark = (MARK.findall(found.title) or [""])[0]
        if not found.is_blocking:
            continue
        if found.status != Status.ACTIVE:
            yield f"{found.title!a} blocks, though it is {found.status}"
        if case.plan.verify is not Verify.OFF and found.category != UNICODE and mark not in confirmed:
            yield f"{found.title!a} blocks, and nobody has confirmed it"
        if not _may_block(found, case.plan.fail_on):
            yield f"{found.title!a} blocks, though it is only {found.severity}"


def what_was_denied_does_not_count(case: Case) -> Iterator[str]:
    if case.plan.votes > 1:
        return
    for each in case.surely_read():
        if each.question.kind != "ruling" or each.confirmed is None:
            continue
        for found in case.finding_on(each.question.claimed):
            if found.status == Status.UNANCHORED:  # another one, whose quote is nowhere
                continue
            if not each.confirmed and found.status != Status.REFUTED:
                yield f"{found.title!a} was denied, and is {found.status}"
            is_due = found.status == Status.ACTIVE and _may_block(found, case.plan.fail_on)
            if each.confirmed and is_due and not found.is_blocking:
                yield f"{found.title!a} was confirmed, and does not block"


def what_was_found_counts(case: Case) -> Iterator[str]:
    """A finding on a line that was added counts, unless a ruling has denied it."""
    denied = case.record.ruled(confirmed=False) | (case.known.denied if case.known else set())
    if case.plan.votes > 1:
        return
    for each in case.surely_read():
        added = {row.mark for row in each.question.rows if row.sign == "+"}
        for word, mark in each.found:
            statuses = {found.status for found in case.finding_on(mark)}
            if word == DEFECT and mark in added - denied and statuses and not statuses & COUNTS:
                yield f"{word} {mark} is {statuses}"


def no_code_goes_elsewhere(case: Case) -> Iterator[str]:
    if case.record.trespasses:
        yield f"{case.record.trespasses} questions after it was told that the model runs elsewhere"
    others = [each for each in case.seen.addresses if each != f"{case.url} 127.0.0.1"]
    if others:
        yield f"bytes went to {others}"
    if case.record.drawn[STUB] and case.seen.count("reviewed"):
        yield "a model that only looks as if it were here was asked"
    if case.record.drawn[REMOTE_ANSWER] and case.seen.is_local and not case.plan.seconds:
        yield "another machine has answered, and the report calls the model local"


def the_deadline_holds(case: Case) -> Iterator[str]:
    if case.margin is not None and case.margin > PROMISED_SECONDS + ALLOWED_SECONDS:
        yield f"{case.plan.seconds:g} s were allowed, it took {case.seen.seconds:.2f} s"


def who_fails_says_what_to_do(case: Case) -> Iterator[str]:
    seen = case.seen
    if seen.count("not_reviewed") and seen.next_step == "":
        reasons = {row.reason for row in seen.rows if row.state == "not_reviewed"}
        yield f"no next step for {reasons}"
    if seen.word == NO_REPORT and seen.next_step == "":
        yield f"no next step for {seen.told!a}"


def the_exit_code_is_right(case: Case) -> Iterator[str]:
    seen = case.seen
    blocks = any(found.is_blocking for found in seen.findings)
    not_reviewed = seen.word == NO_REPORT or bool(seen.count("not_reviewed")) or seen.is_local is False
    is_lenient = case.plan.how in {HOOK, COMMIT}
    wanted = 1 if blocks else 3 if not_reviewed and not is_lenient else 0
    if seen.code != wanted:
        yield f"{seen.code} instead of {wanted} ({case.plan.how}, {seen.word}): {seen.told[-300:]}"


def a_good_day_is_a_good_day(case: Case) -> Iterator[str]:
    """Where nothing goes wrong all is reviewed, whatever went wrong in the reviews before."""
    seen, has_time = case.seen, case.plan.seconds is None or case.plan.seconds > UNTROUBLED_SECONDS
    if any(hunk.is_long for hunk in case.hunks):
        return
    if has_time and not case.record.drawn and (seen.count("not_reviewed") or seen.word == NO_REPORT):
        reasons = {row.reason for row in seen.rows if row.state == "not_reviewed"}
        yield f"{seen.word}: {reasons or seen.told}"


def _may_block(found: Found, fail_on: FailOn) -> bool:
    return Severity(found.severity).rank <= Severity(fail_on.value).rank


CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    nothing_breaks,
    every_hunk_has_one_row,
    what_was_looked_at_was_answered,
    the_word_is_true,
    what_was_found_is_told,
    what_needs_no_model_is_told,
    nothing_is_made_up,
    only_what_was_confirmed_blocks,
    what_was_denied_does_not_count,
    what_was_found_counts,
    no_code_goes_elsewhere,
    the_deadline_holds,
    who_fails_says_what_to_do,
    the_exit_code_is_right,
    a_good_day_is_a_good_day,
)
