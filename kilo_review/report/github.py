"""Annotations for GitHub's pages, and for Gitea's and Forgejo's logs: workflow commands, then the whole text report.

A step has room for few annotations, so the worst come first, and one line says how many more there are. The text that
follows holds all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Severity, Status
from kilo_review.report import text
from kilo_review.report.words import amount, place_of, plural
from kilo_review.sanitize.terminal import json_path, one_line
from kilo_review.sanitize.workflow_commands import command_data, command_property, for_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.report.view import View

MOST_OF_A_KIND = 10
"""Errors, warnings and notices that GitHub takes from a step, each (actions/toolkit `docs/problem-matchers.md`). All of
them together are fewer than the 50 that it takes from a job."""
LONGEST_MESSAGE = 4096
"""The runner cuts longer ones (actions/runner `ExecutionContext.cs`)."""
LONGEST_TITLE = 255
MOST_REASONS = 4
"""Annotations about what was not reviewed, so that findings have room beside them."""
MOST_PLACES = 10

KINDS = {Severity.CRITICAL: "error", Severity.MAJOR: "warning", Severity.MINOR: "notice"}


class Annotation(NamedTuple):
    """One workflow command.

    Attributes:
        kind: `error`, `warning` or `notice`.
        title: the words in bold type.
        message: what is the matter.
        path: the file; "" for none.
        start: its first line; 0 for the file as a whole.
        end: its last line.
    """

    kind: str
    title: str
    message: str
    path: str = ""
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        properties = {
            "file": json_path(self.path),
            "line": str(self.start or ""),
            "endLine": str(self.end if self.end > self.start else ""),
            "title": _cut(one_line(self.title), LONGEST_TITLE),
        }
        named = ",".join(f"{name}={command_property(value)}" for name, value in properties.items() if value)
        # Commands of other systems' runners, which look for them within a line, are stopped as in any log.
        return f"::{self.kind} " + for_log(f"{named}::{command_data(self.message)}")


def render(view: View) -> str:
    """The annotations that a step has room for, and the text report with everything in it."""
    # What was not looked at stands first: a finding may be counted instead of shown, but not that.
    # Nor is what stands nowhere in the change put on a line of it; the text below has it.
    placed = [finding for finding in view.outcome.shown if finding.status is not Status.UNANCHORED]
    wanted = [*_unreviewed(view.outcome), *(_of_finding(finding, view.mask) for finding in placed)]
    lines = [str(annotation) for annotation in _that_fit(wanted)]
    whole = text.render(view._replace(color=False, verbosity=1))
    return "".join(f"{line}\n" for line in lines) + for_log(whole)


def _that_fit(wanted: Sequence[Annotation]) -> Iterator[Annotation]:
    """Those for which there is room, and if there are others, how many."""
    kept = _first_of_each_kind(wanted, {})
    if len(kept) < len(wanted):
        kept = _first_of_each_kind(wanted, {"notice": 1})
        left = len(wanted) - len(kept)
        message = f"{plural(left, 'further annotation')} found no room here; the log and the reports have all of them"
        kept.append(Annotation("notice", f"kilo-review: {left} more", message))
    yield from kept


def _first_of_each_kind(wanted: Sequence[Annotation], taken: dict[str, int]) -> list[Annotation]:
    kept = []
    for annotation in wanted:
        taken[annotation.kind] = taken.get(annotation.kind, 0) + 1
        if taken[annotation.kind] <= MOST_OF_A_KIND:
            kept.append(annotation)
    return kept


def _of_finding(finding: Finding, mask: Callable[[str], str]) -> Annotation:
    """What does not count for certain is told more softly."""
    counts = finding.status is Status.ACTIVE
    reason = one_line(mask(finding.reason or ""))
    words = [finding.category.value]
    words += [f"rule {one_line(finding.rule)}"] if finding.rule else []
    words += ["blocks"] if finding.blocking else []
    words += [] if counts else [f"{finding.status}: {reason or 'does not count'}"]
    tail = f" [{', '.join(words)}]" + (f" ({reason})" if counts and reason else "") + f" {finding.short_id}"
    tail = _cut(tail, LONGEST_MESSAGE // 2)
    return Annotation(
        KINDS[finding.severity] if counts else "notice",
        f"{finding.severity if counts else finding.status}: {mask(finding.title)}",
        _cut(one_line(mask(finding.message)), LONGEST_MESSAGE - len(tail)) + tail,
        finding.path,
        finding.line,
        finding.end_line,
    )


def _unreviewed(outcome: Outcome) -> Iterator[Annotation]:
    if outcome.failure:
        yield Annotation("warning", "not reviewed", _cut(one_line(outcome.failure), LONGEST_MESSAGE))
    groups = list(outcome.unreviewed_by_reason().items())
    many = len(groups) > MOST_REASONS
    told, rest = (groups[: MOST_REASONS - 1], groups[MOST_REASONS - 1 :]) if many else (groups, [])
    for reason, entries in told:
        yield _of_entries(entries, reason)
    if rest:
        entries = [entry for _, rows in rest for entry in rows]
        yield _of_entries(entries, f"{len(rest)} further reasons, each in the log")


def _of_entries(entries: Sequence[Entry], reason: str) -> Annotation:
    places = ", ".join(map(place_of, entries[:MOST_PLACES])) + (", …" if len(entries) > MOST_PLACES else "")
    message = _cut(f"{amount(entries)}: {one_line(reason)} ({places})", LONGEST_MESSAGE)
    if len(entries) > 1:
        return Annotation("warning", "not reviewed", message)
    return Annotation("warning", "not reviewed", message, entries[0].path, entries[0].start, entries[0].end)


def _cut(words: str, length: int) -> str:
    return words if len(words) <= length else words[: length - 1] + "…"
