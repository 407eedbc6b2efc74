"""The report for a page of a forge: a job's summary, a wiki, a comment.

It is a list of sections, each of items that stand or fall alone, so that a page with a size limit loses whole items and
says how many.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status
from kilo_review.core.outcome import State
from kilo_review.judge.policy import ExitCode
from kilo_review.report.words import (
    amount,
    cost,
    headline,
    left_out_words,
    marked_words,
    place_of,
    plural,
    sent,
    skipped_words,
)
from kilo_review.sanitize.markdown import code_block, code_span, for_markdown
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, ModelInfo, Outcome
    from kilo_review.report.view import View

MOST_OPEN = 20
"""A longer list is folded."""

VERDICTS = {
    ExitCode.PASS: "Passes",
    ExitCode.BLOCKED: "**Blocks**",
    ExitCode.NOT_REVIEWED: "**Fails, since not everything was reviewed**",
    ExitCode.INTERRUPTED: "**Interrupted**",
}


class Section(NamedTuple):
    """A part of the report.

    Attributes:
        title: its heading, or its summary line if it is folded; "" for none.
        items: what it consists of.
        head: what stands before the first item, such as a table's head.
        noun: for one item, where the remainder is counted.
        is_folded: whether it is shown only on demand.
    """

    title: str
    items: Sequence[str]
    head: str = ""
    noun: str = "line"
    is_folded: bool = False

    def shown(self, items: Sequence[str]) -> str:
        """The section with these of its items, and the number of the others."""
        left = len(self.items) - len(items)
        rest = f"\nand {plural(left, f'further {self.noun}')}, left out here for want of room\n" if left else ""
        body = self.head + "".join(items) + rest
        if self.is_folded:
            return f"<details><summary>{self.title}</summary>\n\n{body}\n</details>\n\n"
        return (f"### {self.title}\n\n" if self.title else "") + body + "\n"


def render(view: View) -> str:
    """The whole report."""
    return _heading(view) + "".join(section.shown(section.items) for section in _sections(view))


def summary(view: View, limit: int) -> str:
    """The report, cut where it would be too large; each section counts what it had to leave out.

    Args:
        view: what it is made from.
        limit: bytes of UTF-8.

    Returns:
        "" if there is room for nothing.
    """
    whole = render(view)
    if _size(whole) <= limit:
        return whole
    heading, sections = _heading(view), list(_sections(view))
    room = limit - _size(heading) - sum(_size(section.shown(())) for section in sections)
    if room < 0:
        return heading if _size(heading) <= limit else ""
    cut = {}
    by_size = sorted(sections, key=lambda section: sum(map(_size, section.items)))
    for number, section in enumerate(by_size):  # what a small section does not need is left for the larger ones
        fitting = _that_fit(section.items, room // (len(by_size) - number))
        cut[section.title] = fitting
        room -= sum(map(_size, fitting))
    return heading + "".join(section.shown(cut[section.title]) for section in sections)


def _that_fit(items: Sequence[str], room: int) -> list[str]:
    fitting = []
    for item in items:
        size = _size(item)
        if size <= room:
            fitting.append(item)
            room -= size
    return fitting


def _size(words: str) -> int:
    return len(words.encode("utf-8", "backslashreplace"))


def _heading(view: View) -> str:
    outcome = view.outcome
    verdict = f"{VERDICTS.get(view.exit_code, 'Fails')} (exit code {int(view.exit_code)})"
    counts = [for_markdown(words) for words in (*marked_words(outcome), *skipped_words(outcome))]
    left_out = left_out_words(outcome)
    note = f"Note: {for_markdown(left_out)}.\n\n" if left_out else ""
    return f"## kilo-review: {for_markdown(headline(outcome))}\n\n{note}{'; '.join([verdict, *counts])}.\n\n"


def _sections(view: View) -> Iterator[Section]:
    outcome, mask = view.outcome, view.mask
    counted = {finding.status for finding in outcome.shown}
    settled = [finding for finding in outcome.findings if finding.status not in counted]
    sections = (
        Section("Not reviewed", list(_reasons(outcome))),
        Section(
            "Findings", [_row(each, mask) for each in outcome.shown], _table("severity", "place", "finding"), "row"
        ),
        Section("In detail", [_detail(each, mask) for each in outcome.shown], noun="finding"),
        _places("What was not reviewed", outcome, State.NOT_REVIEWED),
        _places("What would be reviewed", outcome, State.PLANNED),
        Section(
            f"{plural(len(settled), 'finding')} out of the count",
            [_settled_row(each, mask) for each in settled],
            _table("severity", "place", "finding", "why it does not count"),
            "row",
            is_folded=True,
        ),
        _places("What was skipped", outcome, State.SKIPPED, is_folded=True),
        Section("The run", [f"- {line}\n" for line in _run(outcome)]),
    )
    yield from (section for section in sections if section.items)


def _table(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"


# What was not reviewed


def _reasons(outcome: Outcome) -> Iterator[str]:
    if outcome.failure:
        yield f"- {for_markdown(outcome.failure)}\n"
    for reason, entries in outcome.unreviewed_by_reason().items():
        yield f"- **{amount(entries)}**: {for_markdown(reason)}\n"
    if outcome.count(State.NOT_REVIEWED) and outcome.next_step:
        yield f"- Next: {for_markdown(outcome.next_step)}\n"


def _places(title: str, outcome: Outcome, state: State, *, is_folded: bool = False) -> Section:
    """A row for each hunk, or changed file without hunks, in that state."""
    entries = [entry for entry in outcome.entries if entry.state is state]
    rows = [_entry_row(entry) for entry in entries]
    heading = f"{title}: {amount(entries)}"
    return Section(heading, rows, _table("place", "lines", "reason"), "row", is_folded or len(rows) > MOST_OPEN)


def _entry_row(entry: Entry) -> str:
    lines = f"+{entry.added} -{entry.removed}"
    return f"| {code_span(place_of(entry))} | {lines} | {for_markdown(entry.reason or '')} |\n"


# Findings


def _row(finding: Finding, mask: Callable[[str], str]) -> str:
    notes = ", blocks" if finding.blocking else ""
    notes += "" if finding.status is Status.ACTIVE else f" ({finding.status})"
    return f"| {finding.severity}{notes} | {code_span(_place(finding))} | {for_markdown(mask(finding.title))} |\n"


def _settled_row(finding: Finding, mask: Callable[[str], str]) -> str:
    reason = mask(finding.reason or "")
    why = f"{finding.status}: {for_markdown(reason)}" if reason else finding.status
    place, title = code_span(_place(finding)), for_markdown(mask(finding.title))
    return f"| {finding.severity} | {place} | {title} ({_id(finding)}) | {why} |\n"


def _detail(finding: Finding, mask: Callable[[str], str]) -> str:
    facts = [finding.severity.value, finding.category.value]
    facts += [f"rule {for_markdown(finding.rule)}"] if finding.rule else []
    facts += ["**blocks**"] if finding.blocking else []
    facts += [] if finding.status is Status.ACTIVE else [f"*{finding.status}*"]
    facts += [for_markdown(mask(finding.reason))] if finding.reason else []
    blocks = [
        f"#### {for_markdown(mask(finding.title))}",
        f"{code_span(_place(finding))}: {', '.join(facts)}, {_id(finding)}",
        code_block(mask(finding.evidence), _language(finding.path)),
        for_markdown(mask(finding.message)),
    ]
    if finding.suggestion is not None:
        blocks += ["Instead:", code_block(mask(finding.suggestion), _language(finding.path))]
    return "\n\n".join(filter(None, blocks)) + "\n\n"


def _place(finding: Finding) -> str:
    lines = f":{finding.line}" if finding.line else ""
    lines += f"-{finding.end_line}" if finding.line and finding.end_line > finding.line else ""
    return escaped_path(finding.path) + lines


def _id(finding: Finding) -> str:
    return code_span(finding.short_id)


def _language(path: str) -> str:
    """What forges take for a language's name, too."""
    return PurePath(path).suffix.removeprefix(".")


# The run


def _run(outcome: Outcome) -> Iterator[str]:
    """Where the change went, and what that cost."""
    if outcome.model:
        yield f"Model: {_model(outcome.model)}"
    if outcome.usage.requests:
        yield f"Asked: {cost(outcome.usage)}"
    for row in outcome.egress:
        yield f"Sent: {code_span(sent(row))}"
    if not outcome.egress:
        yield "Sent: nothing"
    for note in outcome.notes:
        yield f"Note: {for_markdown(note)}"
    if outcome.unremembered:
        yield f"Note: nothing of this review could be kept for later: {for_markdown(outcome.unremembered)}"


def _model(info: ModelInfo) -> str:
    at = f" at {info.base_url}" if info.base_url else ""
    window = f", a window of {info.window} tokens" if info.window else ""
    where = "on this machine" if info.local else "**not on this machine**"
    return f"{code_span(info.name or 'unknown')} ({code_span(info.provider + at)}{window}, {where})"
