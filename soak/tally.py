"""The figures of a run, as they are printed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soak.checks import ALLOWED_SECONDS, PROMISED_SECONDS
from soak.leaks import growth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soak.checks import Case
    from soak.leaks import Measure

WORDS = ("clean", "findings", "incomplete", "not_reviewed", "no report")
NOTHING = "(nothing went wrong)"


@dataclass
class Tally:
    """Sums over the reviews so far."""

    reviews: int = 0
    processes: int = 0
    requests: int = 0
    again: int = 0
    hunks: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    blocking: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    by_fault: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    with_deadline: int = 0
    late: int = 0
    worst: float = 0.0
    worst_review: int = -1

    def add(self, case: Case) -> None:
        seen = case.seen
        self.reviews += 1
        self.processes += case.plan.is_process
        self.requests += len(case.record.exchanges)
        self.again += sum(each.is_again for each in case.record.exchanges)
        self.hunks.update(row.state for row in seen.rows)
        self.statuses.update(found.status for found in seen.findings)
        self.blocking += sum(found.is_blocking for found in seen.findings)
        if case.plan.is_process:
            self.codes[seen.code] += 1
        for name in case.record.drawn or (NOTHING,):
            self.by_fault[name][seen.word] += 1
        self._time(case)

    def _time(self, case: Case) -> None:
        if case.margin is None:
            return
        self.with_deadline += 1
        self.late += case.margin > PROMISED_SECONDS
        if case.margin > self.worst:
            self.worst, self.worst_review = case.margin, case.plan.number

    def table(self) -> str:
        width = max(map(len, self.by_fault), default=0)
        head = f"  {'what went wrong':<{width}}" + "".join(f"{word:>14}" for word in WORDS)
        rows = [
            f"  {name:<{width}}" + "".join(f"{counts[word] or '':>14}" for word in WORDS)
            for name, counts in sorted(self.by_fault.items())
        ]
        return "\n".join(["\nOutcomes, by what went wrong in the review (several things may have)", head, *rows])

    def figures(self) -> str:
        late = (
            f"at most, review {self.worst_review}; {self.late} of {self.with_deadline} took more than the promised "
            f"{PROMISED_SECONDS:g} s; {ALLOWED_SECONDS:g} s more is a failure"
        )
        rows = [
            ("reviews", f"{self.reviews}", f"{self.processes} of them as processes, exit codes {_counts(self.codes)}"),
            ("chat requests", f"{self.requests}", f"{self.again} of them second tries"),
            ("hunks", f"{self.hunks.total()}", _counts(self.hunks)),
            ("findings", f"{self.statuses.total()}", f"{_counts(self.statuses)}; {self.blocking} blocked"),
            ("beyond the deadline", f"{self.worst:+.2f} s", late),
        ]
        return "\n".join(["\nTotals", *(_row(*row) for row in rows)])


def leak_figures(measures: Sequence[Measure]) -> str:
    first, last = measures[0], measures[-1]
    rows = [
        ("file descriptors", f"{first.descriptors} → {last.descriptors}", ""),
        ("threads", f"{first.threads} → {last.threads}", ""),
        ("child processes", f"{first.children} → {last.children}", ""),
        ("half-closed sockets", f"{first.half_closed} → {last.half_closed}", ""),
        ("memory", f"{first.mib:.1f} → {last.mib:.1f} MiB", f"{growth(measures, 'mib'):+.1f} MiB in the last quarter"),
        ("objects", f"{first.objects} → {last.objects}", f"{growth(measures, 'objects'):+.0f} in the last quarter"),
        ("ledger", f"{first.ledger_mib:.2f} → {last.ledger_mib:.2f} MiB", ""),
    ]
    head = f"\nHeld by the process after {first.review} reviews and at the end, {len(measures)} looks"
    return "\n".join([head, *(_row(*row) for row in rows)])


def _row(name: str, figure: str, remark: str) -> str:
    return f"  {name:<20} {figure:>18}   {remark}".rstrip()


def _counts(counter: Counter[str] | Counter[int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counter.items(), key=str)) or "none"


def story(case: Case) -> str:
    """One review, told in full."""
    seen = case.seen
    lines = [f"\n{case.plan}", f"drawn: {dict(case.record.drawn)}", f"{seen.word}, {seen.seconds:.2f} s {seen.told}"]
    for each in case.record.exchanges:
        at = "never complete" if each.complete is None else f"complete {each.complete - seen.began:.2f} s"
        said = f"found {each.found}" if each.question.kind != "ruling" else f"{each.question.claimed}: {each.confirmed}"
        good = "good" if each.is_good else "bad"
        lines.append(
            f"  {each.began - seen.began:.2f} s {each.question.kind}, {each.fault or 'as it should'} ({good}), {at}, "
            f"{len(each.asked)} lines asked about, {said}"
        )
    lines += [f"  {row.path}:{row.start} {row.state} {row.reason}" for row in seen.rows]
    lines += [f"  {found}" for found in seen.findings]
    return "\n".join(lines)
