"""Scores as a table, as JSON, or as an HTML page with a plot of recall against false alarms."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from kilo_review.bench.score import MOST_UNANSWERED, TO_ADVISE, TO_BLOCK, verdict
from kilo_review.sanitize.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.bench.score import Gate, Score, Share

VERSION = 1
MOST_REASONS = 3
SIDE, MARGIN = 360, 48
"""Pixels of the plot's square, and around it."""
COLORS = ("#1f6feb", "#bf3989", "#1a7f37", "#9a6700", "#8250df", "#57606a")


def text(scores: Sequence[Score]) -> str:
    """A row for each figure, a column for each model; the verdicts; what they rest on."""
    if not scores:
        return "kilo-review bench: nothing was run\n"
    rows = [("", [one_line(each.model) for each in scores]), *_rows(scores)]
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(scores))]
    lines = [
        "  ".join(
            [f"{name:<{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))]
        ).rstrip()
        for name, cells in rows
    ]
    lines += [""] + [f"{one_line(each.model)}: {verdict(each)}" for each in scores]
    lines += [_gate("fit to block", TO_BLOCK), _gate("fit to advise", TO_ADVISE)]
    for each in scores:
        lines += [f"{one_line(each.model)}: not reviewed: {one_line(reason)}" for reason in each.reasons[:MOST_REASONS]]
    return "\n".join(lines) + "\n"


def as_json(scores: Sequence[Score]) -> str:
    """One object with a row for each model."""
    gates = {"block": TO_BLOCK._asdict(), "advise": TO_ADVISE._asdict()}
    return json.dumps({"version": VERSION, "gates": gates, "models": [_json(each) for each in scores]}, indent=1)


def page(scores: Sequence[Score]) -> str:
    """A page of its own: no scripts, nothing from elsewhere."""
    head = "".join(f"<th>{html.escape(one_line(each.model))}</th>" for each in scores)
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>\n"
        for name, cells in _rows(scores)
    )
    verdicts = "".join(f"<li>{html.escape(f'{one_line(each.model)}: {verdict(each)}')}</li>\n" for each in scores)
    gates = "".join(
        f"<li>{html.escape(_gate(name, gate))}</li>\n"
        for name, gate in (("fit to block", TO_BLOCK), ("fit to advise", TO_ADVISE))
    )
    return _PAGE.format(plot=_plot(scores), head=head, body=body, verdicts=verdicts, gates=gates)


def _rows(scores: Sequence[Score]) -> list[tuple[str, list[str]]]:
    return [
        ("changes", [str(each.cases) for each in scores]),
        ("bugs found (recall)", [_share(each.recall) for each in scores]),
        ("findings that are right (precision)", [_share(each.precision) for each in scores]),
        ("clean changes with a finding", [_share(each.alarms) for each in scores]),
        ("findings on code that is not there", [_share(each.wrong_anchors) for each in scores]),
        ("changes without a whole answer", [_share(each.unanswered) for each in scores]),
        ("findings refuted or not verified", [str(each.refuted) for each in scores]),
        ("requests a change", [f"{each.requests:.1f}" for each in scores]),
        ("tokens a change", [f"{each.tokens:.0f}" for each in scores]),
        ("seconds a change, median", [f"{each.median:.1f}" for each in scores]),
        ("seconds a change, 95 % within", [f"{each.p95:.1f}" for each in scores]),
    ]


def _share(share: Share) -> str:
    """`62 % (45-77), 13/21`: value, 95 % interval, count."""
    if share.value is None or share.interval is None:
        return "-"
    low, high = share.interval
    return f"{share.value:.0%} ({100 * low:.0f}-{100 * high:.0f}), {share.of}/{share.total}"


def _gate(name: str, gate: Gate) -> str:
    return (
        f"{name}: precision at least {gate.precision:.0%}, recall at least {gate.recall:.0%},"
        f" findings in at most {gate.alarms:.0%} of clean changes, whole answers to at least {1 - MOST_UNANSWERED:.0%}"
    )


def _json(score: Score) -> dict[str, Any]:
    shares = {
        name: {"of": share.of, "total": share.total, "value": share.value, "interval95": share.interval}
        for name, share in (
            ("recall", score.recall),
            ("precision", score.precision),
            ("clean_with_findings", score.alarms),
            ("wrong_anchors", score.wrong_anchors),
            ("unanswered", score.unanswered),
        )
    }
    return {
        "model": one_line(score.model),
        "verdict": verdict(score),
        "changes": score.cases,
        **shares,
        "refuted": score.refuted,
        "requests_per_change": score.requests,
        "tokens_per_change": score.tokens,
        "seconds_median": score.median,
        "seconds_p95": score.p95,
        "reasons": [one_line(reason) for reason in score.reasons],
    }


def _plot(scores: Sequence[Score]) -> str:
    """Recall upwards, clean changes with findings to the right, each with its interval; the gates as fields."""
    parts = [_field(TO_ADVISE, "#ddf4ff", "advise"), _field(TO_BLOCK, "#b6e3ff", "block"), _axes()]
    for number, each in enumerate(scores):
        if each.recall.interval is None or each.alarms.interval is None:
            continue
        color = COLORS[number % len(COLORS)]
        x, y = _x(each.alarms.value or 0.0), _y(each.recall.value or 0.0)
        left, right = (_x(value) for value in each.alarms.interval)
        low, high = (_y(value) for value in each.recall.interval)
        parts.append(
            f'<g stroke="{color}" fill="{color}"><line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            f'<text stroke="none" x="{x + 8:.1f}" y="{y - 8:.1f}">{html.escape(one_line(each.model))}</text></g>'
        )
    size = SIDE + 2 * MARGIN
    label = "Recall against clean changes with findings"
    return f'<svg viewBox="0 0 {size} {size}" width="{size}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _field(gate: Gate, color: str, name: str) -> str:
    top, bottom, right = _y(1), _y(gate.recall), _x(gate.alarms)
    return (
        f'<rect x="{_x(0):.1f}" y="{top:.1f}" width="{right - _x(0):.1f}" height="{bottom - top:.1f}" fill="{color}"/>'
        f'<text x="{_x(0) + 4:.1f}" y="{bottom - 4:.1f}" fill="#57606a" font-size="10">{name}</text>'
    )


def _axes() -> str:
    parts = [f'<rect x="{MARGIN}" y="{MARGIN}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#57606a"/>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<text x="{_x(share):.0f}" y="{MARGIN + SIDE + 16}" text-anchor="middle">{share:.0%}</text>')
        parts.append(f'<text x="{MARGIN - 6}" y="{_y(share) + 4:.0f}" text-anchor="end">{share:.0%}</text>')
    middle = MARGIN + SIDE / 2
    parts.append(
        f'<text x="{middle}" y="{MARGIN + SIDE + 34}" text-anchor="middle">clean changes with a finding</text>'
    )
    turn = f'transform="rotate(-90 12 {middle})"'
    parts.append(f'<text x="12" y="{middle}" text-anchor="middle" {turn}>bugs found</text>')
    return "".join(parts)


def _x(share: float) -> float:
    return MARGIN + share * SIDE


def _y(share: float) -> float:
    return MARGIN + (1 - share) * SIDE


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>kilo-review bench</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1f2328; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: right; }}
th:first-child {{ text-align: left; }}
svg {{ max-width: 100%; height: auto; font: 11px system-ui, sans-serif; }}
</style>
</head>
<body>
<h1>Which model is good enough?</h1>
<ul>
{verdicts}</ul>
{plot}
<table>
<tr><th></th>{head}</tr>
{body}</table>
<p>In brackets: 95 % intervals (Wilson). The fields in the plot show recall and false alarms of the gates; precision is
in the table.</p>
<ul>
{gates}</ul>
</body>
</html>
"""
