"""What comments say. Words of the model and of the change go through `display.markdown`: they are text, and no more.

Findings come here with their secrets masked. What does not fit into a comment is counted, and the count is stated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.display import for_terminal, json_path, one_line
from kilo_review.display.markdown import code_block, code_span, for_markdown
from kilo_review.finding import Severity, Status
from kilo_review.forge.marks import Mark, SummaryMark, unmarked
from kilo_review.outcome import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.finding import Finding
    from kilo_review.forge.base import Remark, Spot
    from kilo_review.outcome import Entry, Outcome

MOST_PLACES = 20
"""Of lines that were not reviewed, for one reason."""
RESERVE = 500
"""Characters that are kept free for what says how much did not fit."""
LONGEST_WORDS = 2000
LONGEST_CODE = 10_000
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
        counts: what was looked at, by which model.
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
    gaps, notes = _gaps(outcome, mask), (_words(mask(note)) for note in _notes(outcome))
    return Digest(head, _heading(outcome), _counts(outcome), tuple(gaps), tuple(notes))


def summary(told: Digest, findings: Sequence[Finding], *, posted: int, longest: int) -> str:
    """The summary comment.

    Args:
        told: what it tells besides findings.
        findings: those that have no comment of their own, the worst first.
        posted: comments that were made for this commit.
        longest: characters that the forge takes.
    """
    page = _Page([str(SummaryMark(told.head, posted)), f"### kilo-review: {told.heading}", "", told.counts], longest)
    page.section("Not reviewed", told.gaps, "reasons and places")
    page.section("Findings without a comment on their line", [_row(each) for each in findings], "findings")
    page.section("Notes", [f"- {note}" for note in told.notes], "notes")
    return "\n".join(page.rows)


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
    place = json_path(finding.path) + (f":{finding.line}" if finding.line else "")
    doubt = f" ({finding.status})" if finding.status is not Status.ACTIVE else ""
    return (
        f"- **{finding.severity}** {code_span(place)} {_words(finding.title)}{doubt}: {_words(finding.message)}"
        f" <sub>{finding.short_id}: {_traits(finding)}</sub>"
    )


def _heading(outcome: Outcome) -> str:
    active = [each for each in outcome.findings if each.status is Status.ACTIVE]
    counts = [f"{number} {each}" for each in Severity if (number := sum(f.severity is each for f in active))]
    blocking = sum(each.blocking for each in active)
    found = f"{_plural(len(active), 'finding')} ({', '.join(counts)}{f'; {blocking} blocking' if blocking else ''})"
    if outcome.word == "not_reviewed":
        return "not reviewed"
    found = found if active else "no findings"
    return f"{found}, not everything was reviewed" if outcome.word == "incomplete" else found


def _counts(outcome: Outcome) -> str:
    hunks = [entry for entry in outcome.entries if entry.is_hunk]
    looked_at = sum(entry.state in {State.REVIEWED, State.CACHED} for entry in hunks)
    skipped = sum(entry.state is State.SKIPPED for entry in outcome.entries)
    by = f" by {code_span(outcome.model.name)}" if outcome.model and outcome.model.name else ""
    words = [f"{looked_at} of {_plural(len(hunks), 'hunk')} reviewed{by}"]
    words += [f"{skipped} skipped"] if skipped else []
    for status in (Status.REFUTED, Status.UNVERIFIED, Status.UNANCHORED, Status.SUPPRESSED, Status.DISMISSED):
        number = sum(each.status is status for each in outcome.findings)
        words += [f"{number} {status}"] if number else []
    known = sum(each.status is Status.BASELINE for each in outcome.findings)
    return "; ".join([*words, *([f"{known} in the baseline"] if known else [])]) + "."


def _gaps(outcome: Outcome, mask: Callable[[str], str]) -> Iterator[str]:
    for reason, entries in outcome.unreviewed_by_reason().items():
        amount = _plural(len(entries), "hunk" if any(entry.is_hunk for entry in entries) else "file")
        yield f"- {amount}: {_words(mask(reason))}"
        yield from (f"  - {_place(entry)}" for entry in entries[:MOST_PLACES])
        if len(entries) > MOST_PLACES:
            yield f"  - and {len(entries) - MOST_PLACES} more"
    if outcome.failure:
        yield f"- {_words(mask(outcome.failure))}"
    if outcome.interrupted:
        yield "- the review was interrupted"


def _notes(outcome: Outcome) -> Iterator[str]:
    if outcome.next_step and (outcome.count(State.NOT_REVIEWED) or outcome.failure):
        yield f"Next: {outcome.next_step}"
    yield from outcome.notes


def _place(entry: Entry) -> str:
    return code_span(one_line(json_path(entry.path)) + (f":{entry.start}-{entry.end}" if entry.start else ""))


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
