"""Hunks of notebooks: a model is shown the source of cells, and the rest has its row of the coverage."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from kilo_review.core.outcome import NOTEBOOK_REST
from kilo_review.plan.long_lines import Cut, LeftOut
from kilo_review.source.diff import Line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.source.diff import Hunk


def source_of(hunk: Hunk, lines: Sequence[Line]) -> Cut:
    """Return the lines of a notebook's hunk that hold source, and those changed ones that do not.

    A line of source that differs only in how JSON writes it, such as by a comma, is shown as unchanged.

    Args:
        hunk: the hunk.
        lines: its lines as they are shown, blank where they have no source.
    """
    shown: list[Line] = []
    left_out: list[LeftOut] = []
    at = hunk.new_start - int(hunk.new_length > 0)
    for run in _runs(lines):
        if run[0].kind == " ":
            shown += (line for line in run if line.text.strip())
            at = run[-1].new or at
            continue
        source = _compared([line for line in run if line.text.strip()])
        shown += source
        kept = {(line.kind, line.old, line.new) for line in source}
        for line in run:
            at = line.new or at
            if (line.kind, line.old, line.new) not in kept:
                place = max(at, int(hunk.new_start > 0))
                left_out.append(LeftOut(line._replace(text=""), place, NOTEBOOK_REST, is_data=True))
    return Cut(shown, tuple(left_out))


def _runs(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield runs of unchanged lines, and of changed ones."""
    run: list[Line] = []
    for line in lines:
        if run and (run[-1].kind == " ") != (line.kind == " "):
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _compared(run: Sequence[Line]) -> list[Line]:
    """Return changed lines, those that are alike at both ends of the two sides as unchanged ones."""
    old = [line for line in run if line.kind == "-"]
    new = [line for line in run if line.kind == "+"]
    above = _alike(zip(old, new, strict=False))
    old, new = old[len(above) :], new[len(above) :]
    below = _alike(zip(reversed(old), reversed(new), strict=False))[::-1]
    middle = [*old[: len(old) - len(below)], *new[: len(new) - len(below)]]
    return [*above, *middle, *below]


def _alike(pairs: Iterator[tuple[Line, Line]]) -> list[Line]:
    equal = takewhile(lambda pair: pair[0].text == pair[1].text, pairs)
    return [Line(" ", one.old, other.new, one.text) for one, other in equal]
