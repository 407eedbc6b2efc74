"""What comments say. Words of the model and of the change go through `display.markdown`: they are text, and no more.

Findings come here with their secrets masked. What does not fit into a comment is counted, and the count is stated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status
from kilo_review.core.outcome import State
from kilo_review.forge.marks import Mark, SummaryMark, unmarked
from kilo_review.report.wording import general_gaps
from kilo_review.report.words import amount, headline, left_out_words, marked_words, place_of, skipped_words
from kilo_review.sanitize.markdown import code_block, code_span, for_markdown
from kilo_review.sanitize.terminal import escaped_path, for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Outcome
    from kilo_review.forge.base import Remark, Spot

MOST_PLACES = 20
"""Of lines that were not reviewed, for one reason."""
RESERVE = 500
"""Characters that are kept free for what says how much did not fit."""
LONGEST_WORDS = 2000
LONGEST_CODE = 10_000
_ROW = re.compile(r"- \*\*\w+\*\* (`+.*?`+|<code>.*?</code>) .* <sub>([0-9a-f]{8}): .*</sub>\Z")
"""A finding in a summary: its place and its id."""
_COMMAND = re.compile(r"^[ \t]*(?:/[A-Za-z]|@[\w-]+[ \t]+\w)", re.MULTILINE)
"""What GitLab, or a bot that reads comments, takes for an order, even in code: `/close`, `@bot merge`."""


def comment(finding: Finding, fence: str, spot: Spot | None) -> str:
    """A comment on the lines of one finding.

    Args:
        finding: the finding.
        fence: what opens a block that can be applied in place of these lines; "" where there is none.
        spot: those lines.
    """
    parts = [
        str(Mark(finding.fingerprint)),
        f"**{finding.severity}: {_words(finding.title)}**",
        _words(finding.message),
    ]
    parts += [_remedy(finding, fence, spot)] if finding.suggestion is not None else []
    parts.append(f"<sub>kilo-review {finding.short_id}: {_traits(finding)}</sub>")
    return "\n\n".join(part for part in parts if part).replace("\n\n", "\n", 1)


def settled(remark: Remark, head: str) -> str:
    """What a comment says when its finding is not found any more, in the commit `head`."""
    where = f" in {code_span(head[:12])}" if head else ""
    return f"{Mark(remark.fingerprint, is_settled=True)}\n**No longer found{where}.**\n\n{unmarked(remark.body)}"


def is_clean(suggestion: str, finding: Finding, spot: Spot) -> bool:
    """Whether applying a suggestion puts exactly it in place of exactly the lines that the finding quotes."""
    return (
        not spot.is_left
        and (spot.start, spot.line) == (finding.line, max(finding.end_line, finding.line))
        and spot.text == finding.evidence
        and suggestion != finding.evidence
        and "\r" not in spot.text  # the forge would put other line ends into the file
        and for_terminal(suggestion) == suggestion
        and not _COMMAND.search(suggestion)
    )


def _remedy(finding: Finding, fence: str, spot: Spot | None) -> str:
    suggestion = (finding.suggestion or "").removesuffix("\n")
    if len(suggestion) > LONGEST_CODE:
        return ""  # half of a fix is none
    if fence and spot is not None and is_clean(suggestion, finding, spot):
        ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", suggestion)), default=0))
        return f"{ticks}{fence}\n{suggestion}\n{ticks}"
    return f"Perhaps so:\n\n{code_block(suggestion)}" if suggestion.strip() else ""


def _traits(finding: Finding) -> str:
    rule = [f"rule {_words(finding.rule)}"] if finding.rule else []
    return ", ".join([finding.category.value, *rule, *(["blocks"] if finding.blocking else [])])


def _words(text: str) -> str:
    return for_markdown(text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…")


# The summary


class Digest(NamedTuple):
    """What a summary tells besides findings, ready to be written.

    Attributes:
        head: the commit that was reviewed.
        heading: what came of it, in a line.
        counts: findings that do not count, and files that were skipped; "" for none.
        gaps: what was not reviewed, and why.
        notes: remarks on the run.
    """

    head: str
    heading: str
    counts: str
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def digest(outcome: Outcome, head: str, mask: Callable[[str], str]) -> Digest:
    """What an outcome tells as a whole; reasons and remarks go through `mask`."""
    words = (*marked_words(outcome), *_unplaced(outcome), *skipped_words(outcome))
    counts = "; ".join(map(for_markdown, words))
    notes = (_words(mask(note)) for note in filter(None, (left_out_words(outcome), *_notes(outcome))))
    return Digest(head, for_markdown(headline(outcome)), counts, tuple(_gaps(outcome, mask)), tuple(notes))


def summary(
    told: Digest, findings: Sequence[Finding], carried: Sequence[str] = (), *, posted: int, longest: int
) -> str:
    """The summary comment.

    Args:
        told: what it tells besides findings.
        findings: those that have no comment of their own, the worst first.
        carried: rows of an earlier summary that still hold, as far as anybody knows.
        posted: comments that were made for this commit.
        longest: characters that the forge takes.
    """
    page = _Page([str(SummaryMark(told.head, posted)), f"### kilo-review: {told.heading}"], longest)
    page.rows += ["", f"Besides: {told.counts}."] if told.counts else []
    page.section("Not reviewed", told.gaps, "reasons and places")
    page.section("Findings without a comment on their line", [_row(each) for each in findings], "findings")
    page.section("Found in an earlier run, and not looked at in this one", carried, "findings")
    page.section("Notes", [f"- {note}" for note in told.notes], "notes")
    return "\n".join(page.rows)


def carried(summary: str, known: Iterable[Finding], seen: Iterable[str]) -> list[str]:
    """Rows of an earlier summary that a run which did not look at everything must not lose.

    Args:
        summary: its text.
        known: findings of this run in any state, which have a word of their own.
        seen: paths that were looked at as a whole: what is not found there any more is gone.
    """
    ids = {finding.short_id for finding in known}
    places = {code_span(escaped_path(path)).rstrip("`") for path in seen}
    rows = filter(None, map(_ROW.match, summary.replace("\r\n", "\n").split("\n")))
    return [row[0] for row in rows if row[2] not in ids and not _is_in(row[1], places)]


def _is_in(place: str, places: set[str]) -> bool:
    """Whether a row's file and line, as code, is in one of these files, as code without its end."""
    file = re.sub(r"(?::\d+)?`*\Z", "", place)
    return file in places


class _Page:
    """Rows that fit into one comment."""

    def __init__(self, rows: list[str], longest: int) -> None:
        self.rows = rows
        self._left = longest - RESERVE * 3 - sum(len(row) + 1 for row in rows)

    def section(self, title: str, rows: Sequence[str], word: str) -> None:
        """A heading and as many rows as fit; how many do not is said."""
        if not rows:
            return
        self.rows += ["", f"**{title}**", ""]
        for at, row in enumerate(rows):
            self._left -= len(row) + 1
            if self._left < 0:
                self.rows.append(f"- and {len(rows) - at} more {word} that do not fit here: the job's log has them")
                self._left = 0
                return
            self.rows.append(row)


def _row(finding: Finding) -> str:
    place = escaped_path(finding.path) + (f":{finding.line}" if finding.line else "")
    doubt = f" ({finding.status})" if finding.status is not Status.ACTIVE else ""
    return (
        f"- **{finding.severity}** {code_span(place)} {_words(finding.title)}{doubt}: {_words(finding.message)}"
        f" <sub>{finding.short_id}: {_traits(finding)}</sub>"
    )


def _unplaced(outcome: Outcome) -> list[str]:
    """Where nothing counts, the heading has them."""
    number = sum(finding.status is Status.UNANCHORED for finding in outcome.findings)
    has_others = any(finding.status is Status.ACTIVE for finding in outcome.shown)
    return [f"{number} that stand on no line of the change"] if number and has_others else []


def _gaps(outcome: Outcome, mask: Callable[[str], str]) -> Iterator[str]:
    for reason, entries in outcome.unreviewed_by_reason().items():
        yield f"- {amount(entries)}: {_words(mask(reason))}"
        yield from (f"  - {code_span(place_of(entry))}" for entry in entries[:MOST_PLACES])
        if len(entries) > MOST_PLACES:
            yield f"  - and {len(entries) - MOST_PLACES} more"
    yield from (f"- {_words(mask(words))}" for words in general_gaps(outcome))


def _notes(outcome: Outcome) -> Iterator[str]:
    if outcome.next_step and (outcome.count(State.NOT_REVIEWED) or outcome.failure):
        yield f"Next: {outcome.next_step}"
    yield from outcome.notes
