"""Claims → findings on real lines: the model quotes the code, the program finds it.

Line numbers of models drift, so they only decide between equal lines. What cannot be found in the hunks that
were asked about is marked `unanchored`, shown, and never blocks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.display import escaped_path, printable, shortened
from kilo_review.finding import Finding, Status, say_the_same
from kilo_review.inert import inert
from kilo_review.judge.contradict import contradiction, doubt
from kilo_review.judge.statement import LONGEST_BY_SIGNS, rest_by_signs
from kilo_review.plan.chunk import LEFT_OUT, Unshown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.judge.parse import Claim
    from kilo_review.plan.chunk import Piece
    from kilo_review.source.diff import Hunk, Line

SHORTEST_SUBSTRING = 6
"""Characters without white space; `x` or `);` occurs everywhere."""
FAR = 10**9
LONGEST_EVIDENCE = 2000
"""Characters of a quotation that is not found."""
LONGEST_QUOTE = 20
"""Lines of a quote of which parts are looked for."""
UNANCHORED = "the quoted code is not in the reviewed hunks"
NOT_CODE = "it quotes the mark of a line that was not shown"
_NOTE = r" \((?:new file|deleted file|renamed|copied)\)\Z"
"""What the prompt puts behind a path, and a model may copy along."""
_GUTTER = r"\A\s*+(?:\d++\s*+)?[+-](?:\s|\Z)"


class _Place(NamedTuple):
    piece: Piece
    first: int
    last: int


class Anchored(NamedTuple):
    """A finding and the hunk that it stands in, or speaks of."""

    finding: Finding
    hunk: Hunk


def anchor(claims: Iterable[Claim], pieces: Sequence[Piece]) -> list[Anchored]:
    """One finding for each claim, in the hunk that it quotes."""
    return [_finding(claim, pieces) for claim in claims]


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without duplicates: of several that say the same of one place, the worst stays.

    Two defects of one category can be on one line, so the words decide. Removed lines beside one gap, and all lines of
    a deleted file, have the same number: the code tells them apart.
    """
    kept: dict[tuple[object, ...], list[Finding]] = {}
    every = list(findings)
    for finding in sorted(every, key=lambda each: each.severity.rank):
        key = (finding.path, finding.line, finding.code, finding.category, finding.status, finding.is_removed)
        known = kept.setdefault(key, [])
        if not any(say_the_same(each, finding) for each in known):
            known.append(finding)
    chosen = {id(each) for known in kept.values() for each in known}
    return [finding for finding in every if id(finding) in chosen]


def _finding(claim: Claim, pieces: Sequence[Piece]) -> Anchored:
    candidates = _spoken_of(claim.file, pieces)
    place = _whole(claim, candidates) or _only_place(claim, pieces) or _part(claim, candidates)
    if place is None:
        return _unanchored(claim, candidates)
    piece = place.piece
    quoted = piece.lines[place.first : place.last + 1]
    objection = claim.objection or contradiction(claim, quoted)
    finding = Finding(
        path=piece.change.path,
        line=_new_side(piece, place.first),
        end_line=_new_side(piece, place.last),
        severity=claim.severity,
        category=claim.category,
        title=printable(claim.title),
        message=printable(claim.problem),
        evidence="\n".join(printable(line.text) for line in quoted),
        symbol=printable(piece.context.symbol),
        rule=claim.rule,
        status=Status.REFUTED if objection else Status.ACTIVE,
        reason=objection or None,
        is_removed=_kind(place) == "-",
        rest=_rest(place),
        doubt=claim.doubt or doubt(claim, piece.lines, place.first, place.last),
    )
    return Anchored(finding, piece.hunk)


def _rest(place: _Place) -> str:
    """Return the lines below a place's first line that complete its statement, as far as signs tell; "" for none."""
    side = "-" if _kind(place) == "-" else "+"
    below = islice((line for line in place.piece.lines[place.first :] if line.kind in {" ", side}), LONGEST_BY_SIGNS)
    return rest_by_signs([printable(line.text) for line in below], place.piece.change.path)


def _unanchored(claim: Claim, candidates: Sequence[Piece]) -> Anchored:
    near = min(candidates, key=lambda piece: _distance(piece, claim.line))
    hunk = near.hunk
    inside = claim.line is not None and hunk.start <= claim.line <= hunk.last
    line = claim.line if inside and claim.line is not None else hunk.start
    has_left_out = any(isinstance(each, Unshown) for piece in candidates for each in piece.lines)
    is_mark = has_left_out and re.sub(_GUTTER, "", claim.code).strip() == LEFT_OUT
    finding = Finding(
        path=near.change.path,
        line=line,
        end_line=line,
        severity=claim.severity,
        category=claim.category,
        title=printable(claim.title),
        message=printable(claim.problem),
        evidence=shortened(printable(claim.code), LONGEST_EVIDENCE),
        rule=claim.rule,
        status=Status.REFUTED if is_mark else Status.UNANCHORED,
        reason=NOT_CODE if is_mark else UNANCHORED,
    )
    return Anchored(finding, hunk)


def _spoken_of(file: str, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """The pieces of the file that the model names; all of them if it names none of these files."""
    name = re.sub(_NOTE, "", file.strip().strip("`\"'").removeprefix("FILE ").strip())
    exact = [piece for piece in pieces if name in _names(piece.change.path)]
    if exact or not name:
        return exact or pieces
    ending = [
        piece for piece in pieces if piece.change.path.endswith("/" + name) or name.endswith("/" + piece.change.path)
    ]
    return ending if len({piece.change.path for piece in ending}) == 1 else pieces


def _names(path: str) -> set[str]:
    """A path as it is, and as the model was shown it."""
    return {path, escaped_path(path), inert(escaped_path(path))}


def _whole(claim: Claim, pieces: Sequence[Piece]) -> _Place | None:
    """Return where all lines of the quote stand, exactly or else without white space."""
    return _nearest_run(claim, pieces, _quote_lines(claim.code))


def _part(claim: Claim, pieces: Sequence[Piece]) -> _Place | None:
    """Return where the longest part of the quote stands, or the line that contains its first one or is a part of it.

    Other lines may hold the same words, such as a comment: then the model's number decides, if it has given one.
    """
    quotes = _quote_lines(claim.code)
    if not quotes:
        return None
    if place := _longest_run(claim, pieces, quotes[:LONGEST_QUOTE]):
        return place
    parts = [place for piece in pieces for place in _containing(piece, quotes[0])]
    parts = parts or _longest_contained(pieces, quotes[0])
    places = _standing(parts, parts)
    if len(places) > 1 and claim.line is None:
        return None
    return _nearest(places, claim.line, _sign(quotes)) if places else None


def _longest_run(claim: Claim, pieces: Sequence[Piece], quotes: Sequence[str]) -> _Place | None:
    """Return where the most lines of a quote follow each other; of its later lines, one alone must be unmistakable."""
    longest = _run_lengths(pieces, quotes)
    for size in range(max(longest), 0, -1):
        for begin in range(len(quotes) - size + 1):
            if longest[begin] < size:
                continue
            run = quotes[begin : begin + size]
            place = _nearest_run(claim, pieces, run) if size > 1 or not begin else _only_run(pieces, run)
            if place is not None:
                return place
    return None


def _run_lengths(pieces: Sequence[Piece], quotes: Sequence[str]) -> list[int]:
    """Return for each line of a quote how many lines from there on follow each other somewhere in the code, at most."""
    longest = [0] * len(quotes)
    wanted = [{_fold(quote), _fold(re.sub(_GUTTER, "", quote))} for quote in quotes]
    for piece in pieces:
        below = [0] * (len(quotes) + 1)
        for line in reversed(piece.lines):
            folds = _folds(printable(line.text)) or {""}
            own = [1 + below[at + 1] if not each.isdisjoint(folds) else 0 for at, each in enumerate(wanted)]
            longest = list(map(max, longest, own))
            below = [*own, 0]
    return longest


def _only_run(pieces: Sequence[Piece], wanted: Sequence[str]) -> _Place | None:
    if len(_fold("".join(wanted))) < SHORTEST_SUBSTRING:
        return None
    found = [place for piece in pieces for place in _runs(piece, wanted, _folded)]
    places = _standing(found, found)
    return places[0] if len(places) == 1 else None


def _nearest_run(claim: Claim, pieces: Sequence[Piece], wanted: Sequence[str]) -> _Place | None:
    if not wanted:
        return None
    exact, folded = (
        [place for piece in pieces for place in _runs(piece, wanted, match)] for match in (_exact, _folded)
    )
    places = _standing(exact or folded, folded)
    return _nearest(places, claim.line, _sign(wanted)) if places else None


def _only_place(claim: Claim, pieces: Sequence[Piece]) -> _Place | None:
    """Return the one place of the request where the quote stands; None if there is none, or more than one.

    Models mix up the names of files that they were shown together.
    """
    quotes = _quote_lines(claim.code)
    if len(_fold(claim.code)) < SHORTEST_SUBSTRING:
        return None
    places = [place for piece in pieces for place in _runs(piece, quotes, _folded)]
    places = _standing(places, places)
    signed = [place for place in places if _kind(place) == _sign(quotes)]
    added = [place for place in places if _kind(place) == "+"]
    found = signed or added or places
    return found[0] if len(found) == 1 else None


def _standing(places: Sequence[_Place], alike: Sequence[_Place]) -> list[_Place]:
    """Without removed lines that are added again beside them, such as indented ones: there the code stands now."""
    again = [place for place in alike if _kind(place) == "+"]
    gone = {_block(place) for place in places if _kind(place) == "-"} & {_block(place) for place in again}
    kept = [place for place in places if _kind(place) != "-" or _block(place) not in gone]
    return kept + [place for place in again if _block(place) in gone and place not in kept]


def _kind(place: _Place) -> str:
    return place.piece.lines[place.first].kind


def _block(place: _Place) -> tuple[int, int]:
    """The run of changed lines that a place is in."""
    begin = place.first
    while begin and place.piece.lines[begin - 1].kind != " ":
        begin -= 1
    return id(place.piece), begin


def _quote_lines(code: str) -> list[str]:
    """The quote's lines, without blank ones at the ends and without a gutter that was copied along."""
    lines = printable(code).replace("\r\n", "\n").split("\n")
    while lines and _is_blank(lines[0]):
        lines.pop(0)
    while lines and _is_blank(lines[-1]):
        lines.pop()
    return lines


def _is_blank(quote: str) -> bool:
    return not re.sub(_GUTTER, "", quote).strip()


def _exact(line: str, quote: str) -> bool:
    return line.rstrip() == quote.rstrip()


def _folded(line: str, quote: str) -> bool:
    quotes = {_fold(quote), _fold(re.sub(_GUTTER, "", quote))}
    return not _folds(line).isdisjoint(quotes) if line.strip() else "" in quotes


@lru_cache(maxsize=2048)  # more lines than a request has
def _folds(line: str) -> frozenset[str]:
    """A line without white space, as it is and as the model was shown it; none of a blank line."""
    return frozenset({_fold(line), _fold(inert(line.rstrip()))} - {""})


@lru_cache(maxsize=2048)  # more lines than a request has
def _fold(text: str) -> str:
    """Return a text without white space, and with every quote as if it were not escaped: models escape too many."""
    return "".join(printable(text).split()).replace("\\'", "'")


def _runs(piece: Piece, quotes: Sequence[str], match: Callable[[str, str], bool]) -> list[_Place]:
    """Where the quoted lines follow each other."""
    lines = piece.lines
    return [
        _Place(piece, first, first + len(quotes) - 1)
        for first in range(len(lines) - len(quotes) + 1)
        if all(match(printable(lines[first + offset].text), quote) for offset, quote in enumerate(quotes))
    ]


def _containing(piece: Piece, quote: str) -> list[_Place]:
    """Return the lines that a quote is a part of."""
    wanted = _fold(re.sub(_GUTTER, "", quote))
    if len(wanted) < SHORTEST_SUBSTRING:
        return []
    folded = ((index, _folds(printable(line.text))) for index, line in enumerate(piece.lines))
    return [_Place(piece, index, index) for index, texts in folded if any(wanted in text for text in texts)]


def _longest_contained(pieces: Sequence[Piece], quote: str) -> list[_Place]:
    """Return the longest lines that are a part of a quote: a short one may be in it by chance."""
    wanted = _fold(re.sub(_GUTTER, "", quote))
    found: list[tuple[int, _Place]] = []
    for piece in pieces:
        for index, line in enumerate(piece.lines):
            sizes = [len(text) for text in _folds(printable(line.text)) if text in wanted]
            if sizes and max(sizes) >= SHORTEST_SUBSTRING:
                found.append((max(sizes), _Place(piece, index, index)))
    longest = max((size for size, _ in found), default=0)
    return [place for size, place in found if size == longest]


def _sign(quotes: Sequence[str]) -> str:
    """Return the sign of the gutter that a model copied along with its first line; "" if there is none."""
    gutter = re.match(_GUTTER, quotes[0])
    return gutter[0].strip()[-1] if gutter else ""


def _nearest(places: Sequence[_Place], line: int | None, sign: str = "") -> _Place:
    """Return the nearest place to the model's number.

    A line with the sign that the model quoted comes first, then an added one, a removed one, and an unchanged one.
    """

    def preference(place: _Place) -> tuple[bool, int, int]:
        at, kind = _new_side(place.piece, place.first), _kind(place)
        return kind != sign, "+- ".index(kind), abs(at - line) if line is not None else 0

    return min(places, key=preference)


def _new_side(piece: Piece, index: int) -> int:
    """The new-side number of a line; of a removed one, that of the line beside the gap."""
    lines: Sequence[Line] = piece.lines
    if (own := lines[index].new) is not None:
        return own
    after = next((line.new for line in lines[index:] if line.new is not None), None)
    before = next((line.new for line in reversed(lines[:index]) if line.new is not None), None)
    return after or before or piece.gap or piece.hunk.new_start


def _distance(piece: Piece, line: int | None) -> int:
    if line is None:
        return FAR
    return max(piece.hunk.start - line, line - piece.hunk.last, 0)
