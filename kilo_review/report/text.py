"""The text report, in the manner of a good compiler: place, severity, what; the line; why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import State
from kilo_review.report.words import amount, cost, headline, left_out_words, marked_words, place_of, sent, skipped_words
from kilo_review.sanitize.terminal import escaped_path, for_terminal, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.report.view import View

STYLES = {
    Severity.CRITICAL: "bold red",
    Severity.MAJOR: "bold yellow",
    Severity.MINOR: "bold cyan",
}
SETTLED = frozenset({Status.SUPPRESSED, Status.DISMISSED, Status.BASELINE})
"""Somebody has decided that nobody need see these again; the summary counts them."""
MOST_ROWS = 20
WIDTH = 100
LONGEST_QUOTE = 160


class Span(NamedTuple):
    """A piece of a line and its style."""

    text: str
    style: str = ""


Row = list[Span]


def render(view: View) -> str:
    """The report as text, with colours where the view asks for them."""
    rows = list(_rows(view))
    return _colored(rows) if view.color else "".join("".join(span.text for span in row) + "\n" for row in rows)


def _rows(view: View) -> Iterator[Row]:
    outcome = view.outcome
    if view.verbosity >= 0 and (left_out := left_out_words(outcome)):
        yield [Span("note: ", "bold"), Span(left_out)]
    for finding in outcome.findings:
        if finding.status not in SETTLED or view.verbosity > 0:
            yield from _finding_rows(finding, view.mask)
    if outcome.dry_run:
        yield from _plan_rows(outcome)
    yield from _unreviewed_rows(view)
    if outcome.failure:
        yield [Span("not reviewed: ", "bold magenta"), Span(one_line(outcome.failure))]
    if view.verbosity > 0 or outcome.dry_run:
        yield from _skipped_rows(outcome)
    for note in _notes(view):
        yield [Span("note: ", "bold"), Span(one_line(note))]
    if view.verbosity > 0:
        yield from _egress_rows(outcome)
    if view.verbosity >= 0 or outcome.shown or outcome.word == "not_reviewed":
        yield from _summary_rows(view)


def _notes(view: View) -> list[str]:
    outcome = view.outcome
    notes = [*outcome.notes, *(outcome.details if view.verbosity > 0 else ())]
    if not outcome.unremembered or not (view.verbosity > 0 or outcome.count(State.NOT_REVIEWED)):
        return notes
    return [*notes, f"nothing of this review could be kept for later: {outcome.unremembered}"]


# Findings


def _finding_rows(finding: Finding, mask: Callable[[str], str]) -> Iterator[Row]:
    place = escaped_path(finding.path) + (f":{finding.line}" if finding.line else "")
    if finding.status is not Status.ACTIVE:
        why = f"{finding.status}: {_cut(one_line(mask(finding.reason or 'does not count')))}"
        yield [Span(f"({place}: {one_line(mask(finding.title))}) [{why}] {finding.short_id}", "dim")]
        return
    rule = f", rule {one_line(finding.rule)}" if finding.rule else ""
    blocking = ", blocks" if finding.blocking else ""
    where = f" ({one_line(finding.reason)})" if finding.reason else ""
    yield [
        Span(f"{place}: ", "bold"),
        Span(f"{finding.severity}: ", STYLES[finding.severity]),
        Span(one_line(mask(finding.title))),
        Span(f" [{finding.category}{rule}{blocking}]{where} {finding.short_id}", "dim"),
    ]
    for offset, line in enumerate(mask(finding.evidence).split("\n")):
        at = finding.line + offset
        number = str(at) if finding.line and at <= finding.end_line else ""
        yield [Span(f"{number:>6} | ", "dim"), Span(_cut(for_terminal(line).rstrip()))]
    for line in _wrapped(one_line(mask(finding.message))):
        yield [Span("       = ", "dim"), Span(line)]
    yield []


def _wrapped(text: str) -> list[str]:
    import textwrap  # noqa: PLC0415  only a report with findings needs it

    return textwrap.wrap(text, WIDTH - 9)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"


# Coverage


def _unreviewed_rows(view: View) -> Iterator[Row]:
    outcome = view.outcome
    groups = outcome.unreviewed_by_reason()
    for reason, entries in groups.items():
        head = [Span("not reviewed: ", "bold magenta"), Span(f"{amount(entries)}: {one_line(reason)}")]
        if outcome.word == "not_reviewed" and len(groups) == 1 and view.verbosity <= 0:
            # Nothing at all was looked at: one line says it, with the next step.
            step = f". {one_line(outcome.next_step)}" if outcome.next_step else ""
            words = [f"{view.held} goes on"] if view.held and view.exit_code == 0 else []
            words += [outcome.afterwards] if outcome.afterwards else []
            going_on = f" ({'; '.join(words)})" if words else ""
            yield [Span("kilo-review: ", "bold"), *head, Span(step + going_on)]
            return
        yield head
        yield from _place_rows(entries, view.verbosity)
    if groups and outcome.next_step:
        yield [Span("next: ", "bold"), Span(one_line(outcome.next_step))]


def _plan_rows(outcome: Outcome) -> Iterator[Row]:
    for entry in outcome.entries:
        if entry.state is State.PLANNED:
            yield [Span("would review: "), Span(f"{place_of(entry)} (+{entry.added} -{entry.removed})")]


def _skipped_rows(outcome: Outcome) -> Iterator[Row]:
    for reason, entries in outcome.skipped_by_reason().items():
        yield [Span("skipped: ", "bold"), Span(f"{amount(entries)}: {one_line(reason)}")]
        yield from _place_rows(entries, 1)


def _place_rows(entries: Sequence[Entry], verbosity: int) -> Iterator[Row]:
    shown = entries if verbosity > 0 else entries[:MOST_ROWS]
    for entry in shown:
        yield [Span(f"  {place_of(entry)}")]
    if len(shown) < len(entries):
        yield [Span(f"  and {len(entries) - len(shown)} more (-v shows all)")]


# The run


def _egress_rows(outcome: Outcome) -> Iterator[Row]:
    for row in outcome.egress:
        yield [Span("sent: ", "bold"), Span(sent(row))]
    if not outcome.egress:
        yield [Span("sent: ", "bold"), Span("nothing")]


def _summary_rows(view: View) -> Iterator[Row]:
    outcome = view.outcome
    told = outcome.word == "not_reviewed" and (outcome.count(State.NOT_REVIEWED) > 0 or bool(outcome.failure))
    if told and not outcome.dry_run and view.verbosity <= 0 and not outcome.interrupted:
        return  # already said in one line
    words = [headline(outcome), *marked_words(outcome), *skipped_words(outcome)]
    if outcome.usage.requests:
        words.append(cost(outcome.usage))
    yield [Span("kilo-review: ", "bold"), Span("; ".join(words))]


def _colored(rows: Sequence[Row]) -> str:
    from io import StringIO  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415  44 ms that a pipe need not pay
    from rich.text import Text  # noqa: PLC0415

    stream = StringIO()
    console = Console(
        file=stream,
        force_terminal=True,
        color_system="standard",
        highlight=False,
        soft_wrap=True,
        no_color=False,
    )
    for row in rows:
        console.print(Text.assemble(*((span.text, span.style) for span in row)))
    return stream.getvalue()
