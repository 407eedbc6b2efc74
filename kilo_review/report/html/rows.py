"""One hunk as rows of a table: old lines and new ones side by side, and findings below their lines."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status
from kilo_review.report.html.code import changed_parts, html_of
from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.report.html.code import Painter, Token
    from kilo_review.source.diff import Line


class Side(NamedTuple):
    """One side of a row.

    Attributes:
        line: as the diff has it.
        tokens: its text, coloured.
    """

    line: Line
    tokens: list[Token]

    @property
    def text(self) -> str:
        """As it is shown."""
        return "".join(text for _, text in self.tokens)


Pair = tuple[Side | None, Side | None]


class Table(NamedTuple):
    """A hunk's rows, and which of its findings stand below which.

    Attributes:
        pairs: what stands side by side.
        placed: row → findings below it.
        unplaced: findings whose line is not among the rows.
        is_single: whether one of the sides is empty, so that one column is enough.
    """

    pairs: list[Pair]
    placed: dict[int, list[Finding]]
    unplaced: list[Finding]
    is_single: bool


def table(path: str, lines: Sequence[Line], findings: Sequence[Finding], painter: Painter) -> Table:
    """Arrange the lines of a hunk of the file at `path`, and its findings among them."""
    shown = _without_returns(lines)
    pairs = list(_pairs(_sides(path, shown, "-", painter), _sides(path, shown, "+", painter), shown))
    placed: dict[int, list[Finding]] = {}
    unplaced = []
    find = _finder(pairs)
    for finding in findings:
        row = find(finding)
        if row is None:
            unplaced.append(finding)
        else:
            placed.setdefault(row, []).append(finding)
    return Table(pairs, placed, unplaced, len({line.kind for line in shown}) == 1)


def html_rows(table: Table, article: Callable[[int, Finding], str]) -> Iterator[str]:
    """The rows as HTML; `article` makes that of a finding below a row."""
    touched = _touched(table)
    for number, (old, new) in enumerate(table.pairs):
        changed = changed_parts(old.text, new.text) if old and new and old.line.kind == "-" else None
        marks = changed or ((0, 0), (0, 0))
        if table.is_single:
            cells = _cells(new, marks[1], "g") if new else _cells(old, marks[0], "r")
        else:
            cells = _cells(old, marks[0], "r") + _cells(new, marks[1], "g")
        kind = f' class="{touched[number]}"' if number in touched else ""
        yield f"<tr{kind}>{cells}</tr>"
        for finding in table.placed.get(number, ()):
            yield f'<tr class="note"><td colspan="{2 if table.is_single else 4}">{article(number, finding)}</td></tr>'


def is_quoted(table: Table, row: int, finding: Finding) -> bool:
    """Whether the code that the finding quotes is what stands in this row."""
    return any(_is_last_of(finding, side) for side in table.pairs[row])


def _without_returns(lines: Sequence[Line]) -> Sequence[Line]:
    """Line ends of Windows are not shown where all lines have them; where only some do, they are the news."""
    if all(line.text.endswith("\r") for line in lines):
        return [line._replace(text=line.text[:-1]) for line in lines]
    return lines


def _sides(path: str, lines: Sequence[Line], kind: str, painter: Painter) -> Iterator[Side]:
    own = [line for line in lines if line.kind in {kind, " "}]
    return (Side(line, tokens) for line, tokens in zip(own, painter.paint(path, [o.text for o in own]), strict=True))


def _pairs(old: Iterator[Side], new: Iterator[Side], lines: Sequence[Line]) -> Iterator[Pair]:
    removed: list[Side] = []
    added: list[Side] = []
    for line in lines:
        if line.kind == " " or (line.kind == "-" and added):
            yield from zip_longest(removed, added)
            removed, added = [], []
        if line.kind == " ":
            yield next(old), next(new)
        elif line.kind == "-":
            removed.append(next(old))
        else:
            added.append(next(new))
    yield from zip_longest(removed, added)


def _finder(pairs: Sequence[Pair]) -> Callable[[Finding], int | None]:
    """What tells the row of a finding: that of its last line, or that of the removed line that it quotes."""
    by_number = {new.line.new: row for row, (_, new) in enumerate(pairs) if new}
    removed: dict[str, list[int]] = {}
    for row, (old, _) in enumerate(pairs):
        if old and old.line.kind == "-":
            removed.setdefault(printable(old.line.text), []).append(row)

    def find(finding: Finding) -> int | None:
        row = by_number.get(finding.end_line)
        last = _last_of(finding)
        if row is not None and _is_last_of(finding, pairs[row][1]):
            return row
        near = row or 0
        return min(removed.get(last, ()), key=lambda other: abs(other - near), default=row)

    return find


def _touched(table: Table) -> dict[int, str]:
    """Rows of lines that a finding is about: `at` it now, or what `was` there."""
    rows: dict[int, str] = {}
    for row, findings in table.placed.items():
        for finding in findings:
            old, new = table.pairs[row]
            word = "at" if _is_last_of(finding, new) else "was" if _is_last_of(finding, old) else ""
            if finding.status is Status.UNANCHORED or not word:
                continue
            rows |= dict.fromkeys(range(max(0, row - finding.evidence.count("\n")), row + 1), word)
    return rows


def _is_last_of(finding: Finding, side: Side | None) -> bool:
    """Whether this line is the last one that the finding quotes."""
    return side is not None and printable(side.line.text) == _last_of(finding)


def _last_of(finding: Finding) -> str:
    return finding.evidence.rsplit("\n", 1)[-1].rstrip("\r")


def _cells(side: Side | None, mark: tuple[int, int], color: str) -> str:
    if side is None:
        return '<td class="e" colspan="2"></td>'
    is_old = color == "r"
    number = side.line.old if is_old else side.line.new
    code = html_of(side.tokens, mark)
    kind = f' class="{color}"' if side.line.kind != " " else ""
    return f'<td class="n">{number}</td><td{kind}>{code}</td>'
