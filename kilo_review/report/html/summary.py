"""The top of the page: what came of the review, by whom, at what cost, and what went where."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import State
from kilo_review.report.html.files import STATES
from kilo_review.report.html.findings import STATUSES
from kilo_review.report.html.words import plural
from kilo_review.report.text import SETTLED
from kilo_review.report.words import NOTHING, amount, left_out_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kilo_review.core.outcome import Egress, Outcome
    from kilo_review.report.html.words import Words
    from kilo_review.report.view import View

WORDS = {"clean": "Clean", "incomplete": "Not fully reviewed", "not_reviewed": "Not reviewed"}
SHORT_ID = 12


def headline(outcome: Outcome) -> str:
    """The outcome in a few words."""
    found = _found(outcome)
    if outcome.interrupted:
        return f"Interrupted: {found}"
    if not outcome.entries and not outcome.failure and not outcome.findings:
        return f"Nothing to review: {outcome.nothing or NOTHING[outcome.target.kind]}"
    if outcome.dry_run:
        return f"Dry run: {plural(outcome.count(State.PLANNED), 'hunk')} would be reviewed"
    if outcome.word == "findings":
        return found.capitalize()
    if outcome.word == "incomplete":
        return f"{WORDS[outcome.word]}; {found}"
    return WORDS[outcome.word]


def summary(view: View, words: Words) -> str:
    """Everything but the change and its findings."""
    outcome = view.outcome
    tone = f"{outcome.word} blocking" if any(finding.blocking for finding in outcome.findings) else outcome.word
    return (
        f'<div class="outcome {tone}"><h1>{words.line(headline(outcome))}</h1>{_tallies(outcome)}{_bar(outcome)}</div>'
        f"{''.join(_alerts(outcome, words))}"
        f'<div class="run"><dl class="facts">{"".join(_facts(view, words))}</dl>{_egress(outcome.egress, words)}</div>'
    )


def _found(outcome: Outcome) -> str:
    active = [finding for finding in outcome.findings if finding.status is Status.ACTIVE]
    blocking = sum(finding.blocking for finding in active)
    if not active:
        doubtful = len(outcome.shown)
        return (
            f"no findings, {doubtful} that {'does' if doubtful == 1 else 'do'} not count" if doubtful else "no findings"
        )
    return plural(len(active), "finding") + (f" ({blocking:,} blocking)" if blocking else "")


def _tallies(outcome: Outcome) -> str:
    counts = Counter(finding.severity for finding in outcome.findings if finding.status is Status.ACTIVE)
    rows = (f'<span class="tally {word}">{counts[word]:,} {word}</span>' for word in Severity if counts[word])
    return f'<p class="tallies">{"".join(rows)}<span class="word">outcome: {outcome.word}</span></p>'


def _bar(outcome: Outcome) -> str:
    """Coverage as a picture, for those who see it; the words are among the facts."""
    total, at, pieces = len(outcome.entries), 0.0, []
    for state in STATES:
        width = 100 * outcome.count(state) / total if total else 0
        if width:
            pieces.append(f'<rect class="{state}" x="{at:.2f}" width="{width:.2f}" height="1"/>')
        at += width
    picture = f'<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{"".join(pieces)}</svg>'
    return picture if pieces else ""


def _alerts(outcome: Outcome, words: Words) -> Iterator[str]:
    """What the reader must know first."""
    if outcome.failure:
        yield f'<p class="alert"><strong>Not reviewed:</strong> {words.line(outcome.failure)}</p>'
    for reason, entries in outcome.unreviewed_by_reason().items():
        yield f'<p class="alert"><strong>Not reviewed:</strong> {amount(entries)}: {words.line(reason)}</p>'
    if outcome.next_step:
        yield f'<p class="alert next"><strong>Next:</strong> {words.line(outcome.next_step)}</p>'
    if outcome.afterwards and outcome.is_left_for_later:
        yield f'<p class="alert next">What was not reviewed {words.line(outcome.afterwards)}.</p>'
    for label, text in (
        ("Not put to the test", outcome.unsettled),
        ("Nothing could be kept for later", outcome.unremembered),
        *(("Note", note) for note in (left_out_words(outcome), *outcome.notes)),
    ):
        if text:
            yield f'<p class="alert note"><strong>{label}:</strong> {words.line(text)}</p>'


def _facts(view: View, words: Words) -> Iterator[str]:
    outcome = view.outcome
    yield _fact("Change", _target(outcome, words))
    if outcome.shard:
        yield _fact("Part", f"{outcome.shard[0]} of {outcome.shard[1]}")
    yield _fact("Coverage", _coverage(outcome))
    for reason, entries in outcome.skipped_by_reason().items():
        yield _fact("Skipped", f"{amount(entries)}: {words.line(reason)}")
    if outcome.model:
        yield from _model(outcome, words)
    usage = outcome.usage
    if usage.requests:
        cached = (
            f" ({usage.cached_prompt_tokens:,} from the server&rsquo;s cache)" if usage.cached_prompt_tokens else ""
        )
        tokens = f"{usage.prompt_tokens:,}{cached} + {usage.completion_tokens:,} tokens"
        yield _fact("Usage", f"{plural(usage.requests, 'request')}, {tokens}, {usage.seconds:.1f} s")
    yield _fact("Exit code", str(int(view.exit_code)))


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _target(outcome: Outcome, words: Words) -> str:
    target = outcome.target
    if not (target.base and target.head):
        return target.kind.value
    base, head = (f"<code>{words.line(tree[:SHORT_ID])}</code>" for tree in (target.base, target.head))
    return f"{target.kind}, trees {base} → {head}"


def _coverage(outcome: Outcome) -> str:
    parts = [f"{outcome.count(state):,} {word}" for state, word in STATES.items() if outcome.count(state)]
    return f"{amount(outcome.entries)}{': ' if parts else ''}{', '.join(parts)}" if outcome.entries else "nothing"


def _model(outcome: Outcome, words: Words) -> Iterator[str]:
    model = outcome.model
    if model is None:
        return
    place = "on this machine" if model.local else '<strong class="blocks">not on this machine</strong>'
    url = f" at <code>{words.line(model.base_url)}</code>" if model.base_url else ""
    yield _fact("Model", f"<b>{words.line(model.name or 'not known')}</b> ({words.line(model.provider)}{url}), {place}")
    if model.window:
        yield _fact("Window", plural(model.window, "token"))


def _egress(rows: Iterable[Egress], words: Words) -> str:
    """What left the process, and for where."""
    body = "".join(
        f"<tr><td>{words.line(row.address)}</td><td>{words.line(row.url)}</td>"
        f'<td class="number">{row.bytes_sent:,}</td><td class="number">{row.requests:,}</td></tr>'
        for row in rows
    )
    if not body:
        return '<p class="egress">Sent: nothing. No address was asked.</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Address", "Asked as", "Bytes", "Requests"))
    return f'<table class="egress"><caption>Sent</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


# The switches


def filters(outcome: Outcome) -> str:
    """The switches for what the page shows. What somebody has settled already begins switched off."""
    severities = Counter(finding.severity.value for finding in outcome.findings)
    statuses = Counter(finding.status.value for finding in outcome.findings)
    states = Counter(entry.state.value for entry in outcome.entries)
    settled = {status.value for status in SETTLED}
    names = {"active": "active", **{status.value: word for status, word in STATUSES.items()}}
    return (
        _group("severity", "Severity", {word.value: word.value for word in Severity}, severities, set())
        + _group("status", "Findings", names, statuses, settled)
        + _group("state", "Hunks", {state.value: word for state, word in STATES.items()}, states, set())
    )


def _group(name: str, legend: str, words: dict[str, str], counts: Counter[str], off: set[str]) -> str:
    switches = "".join(
        f'<label class="{value}"><input type="checkbox" name="{name}" value="{value}"'
        f"{'' if value in off else ' checked'}>{word} <b>{counts[value]:,}</b></label>"
        for value, word in words.items()
        if counts[value]
    )
    return f"<fieldset><legend>{legend}</legend>{switches}</fieldset>" if switches else ""
