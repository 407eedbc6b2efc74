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
    from collections.abc import Iterable, Sequence

    from kilo_review.judge.parse import Claim
    from kilo_review.plan.chunk import Piece
    from kilo_review.source.diff import Hunk, Line

SHORTEST_SUBSTRING = 6
"""Characters without white space; `x` or `);` occurs everywhere."""
FAR = 10**9
NEAR = 3
"""Lines by which a model's number is off, and tells a line from the same one in another hunk all the same."""
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
    """Return a finding for each claim, in the hunk that it quotes.

    There are two where the code was removed in one place and added in another one, and the claim may mean either.
    """
    return [each for claim in claims for each in _findings(claim, pieces)]


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


def _findings(claim: Claim, pieces: Sequence[Piece]) -> list[Anchored]:
    candidates = _spoken_of(claim.file, pieces)
    places = _whole(claim, candidates) or _only_place(claim, pieces) or _part(claim, candidates)
    if len(places) == 1:
        places += _nearer(claim, candidates, places[0])
    return [_finding(claim, place) for place in places] or [_unanchored(claim, candidates)]


def _nearer(claim: Claim, pieces: Sequence[Piece], found: _Place) -> list[_Place]:
    """Return a changed line of the other kind that holds the quote, and is where the model says, which `found` is not.

    A claim about a removed line is not lost to an added one elsewhere that is spelled more like the quote.
    """
    quotes = _quote_lines(claim.code)
    other = {"+": "-", "-": "+"}.get(_kind(found))
    if claim.line is None or other is None or _sign(quotes) == _kind(found) or _off(found, claim.line) <= NEAR:
        return []
    holding = (place for piece in pieces if piece is not found.piece for place in _containing(piece, quotes[0]))
    near = [place for place in holding if _kind(place) == other and _off(place, claim.line) <= NEAR]
    return near[:1]


def _finding(claim: Claim, place: _Place) -> Anchored:
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


def _whole(claim: Claim, pieces: Sequence[Piece]) -> list[_Place]:
    """Return where all lines of the quote stand, exactly or else without white space."""
    return _nearest_run(claim, pieces, _quote_lines(claim.code))


def _part(claim: Claim, pieces: Sequence[Piece]) -> list[_Place]:
    """Return where the longest part of the quote stands, or the line that contains its first one or is a part of it.

    Other lines may hold the same words, such as a comment: then the model's number decides, if it has given one.
    """
    quotes = _quote_lines(claim.code)
    if not quotes:
        return []
    if run := _longest_run(claim, pieces, quotes[:LONGEST_QUOTE]):
        return run
    parts = [place for piece in pieces for place in _containing(piece, quotes[0])]
    parts = parts or _longest_contained(pieces, quotes[0])
    places = _standing(parts, parts)
    return [] if len(places) > 1 and claim.line is None else _meant(places, claim.line, _sign(quotes))


def _longest_run(claim: Claim, pieces: Sequence[Piece], quotes: Sequence[str]) -> list[_Place]:
    """Return where the most lines of a quote follow each other; of its later lines, one alone must be unmistakable."""
    longest = _run_lengths(pieces, quotes)
    for size in range(max(longest), 0, -1):
        for begin in range(len(quotes) - size + 1):
            if longest[begin] < size:
                continue
            run = quotes[begin : begin + size]
            places = _nearest_run(claim, pieces, run) if size > 1 or not begin else _only_run(pieces, run)
            if places:
                return places
    return []


def _run_lengths(pieces: Sequence[Piece], quotes: Sequence[str]) -> list[int]:
    """Return for each line of a quote how many lines from there on follow each other somewhere in the code, at most."""
    longest = [0] * len(quotes)
    wanted = [set(_quoted_anyhow(quote)) for quote in quotes]
    for piece in pieces:
        below = [0] * (len(quotes) + 1)
        for line in reversed(piece.lines):
            folds = _folded(line.text)
            own = [1 + below[at + 1] if not each.isdisjoint(folds) else 0 for at, each in enumerate(wanted)]
            longest = list(map(max, longest, own))
            below = [*own, 0]
    return longest


def _only_run(pieces: Sequence[Piece], wanted: Sequence[str]) -> list[_Place]:
    if len(_fold("".join(wanted))) < SHORTEST_SUBSTRING:
        return []
    found = [place for piece in pieces for place in _runs(piece, wanted)]
    places = _standing(found, found)
    return places if len(places) == 1 else []


def _nearest_run(claim: Claim, pieces: Sequence[Piece], wanted: Sequence[str]) -> list[_Place]:
    if not wanted:
        return []
    exact, folded = (
        [place for piece in pieces for place in _runs(piece, wanted, exactly=exactly)] for exactly in (True, False)
    )
    places = _standing(exact or folded, folded)
    kinds = {_kind(place) for place in places}
    if kinds & {"+", "-"}:  # the same code of the other kind counts however it is indented
        places += [place for place in _standing(folded, folded) if _kind(place) in {"+", "-"} - kinds]
    return _meant(places, claim.line, _sign(wanted))


def _only_place(claim: Claim, pieces: Sequence[Piece]) -> list[_Place]:
    """Return the one place of the request where the quote stands; nothing if there is none, or more than one.

    Models mix up the names of files that they were shown together.
    """
    quotes = _quote_lines(claim.code)
    if len(_fold(claim.code)) < SHORTEST_SUBSTRING:
        return []
    places = [place for piece in pieces for place in _runs(piece, quotes)]
    places = _standing(places, places)
    signed = [place for place in places if _kind(place) == _sign(quotes)]
    kinds = [[place for place in signed or places if _kind(place) == kind] for kind in "+- "]
    if any(len(of_kind) > 1 for of_kind in kinds[:2]):
        return []
    changed = [place for of_kind in kinds[:2] for place in of_kind]
    return changed or (kinds[2] if len(kinds[2]) == 1 else [])


def _standing(places: Sequence[_Place], alike: Sequence[_Place]) -> list[_Place]:
    """Without removed lines that are added again beside them, such as indented ones: there the code stands now."""
    removed = [place for place in places if _kind(place) == "-"]
    again = [place for place in alike if _kind(place) == "+"]
    if not removed or not again:
        return list(places)
    starts = {id(place.piece): _block_starts(place.piece) for place in (*removed, *again)}

    def block(place: _Place) -> tuple[int, int]:
        return id(place.piece), starts[id(place.piece)][place.first]

    gone = {block(place) for place in removed} & {block(place) for place in again}
    kept = [place for place in places if _kind(place) != "-" or block(place) not in gone]
    known = {(id(place.piece), place.first) for place in kept}
    return kept + [place for place in again if block(place) in gone and (id(place.piece), place.first) not in known]


def _kind(place: _Place) -> str:
    return place.piece.lines[place.first].kind


def _block_starts(piece: Piece) -> list[int]:
    """Return for each line where the run of changed lines begins that it is in."""
    starts: list[int] = []
    for index, line in enumerate(piece.lines):
        goes_on = index and line.kind != " " and piece.lines[index - 1].kind != " "
        starts.append(starts[-1] if goes_on else index)
    return starts


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


@lru_cache(maxsize=2048)  # more lines than a request has
def _exact(text: str) -> frozenset[str]:
    """Return a line as it is compared exactly."""
    return frozenset({printable(text).rstrip()})


def _quoted_exactly(quote: str) -> Iterable[str]:
    return (quote.rstrip(),)


@lru_cache(maxsize=2048)
def _folded(text: str) -> frozenset[str]:
    """Return a line without white space, as it is and as the model was shown it."""
    line = printable(text)
    return _folds(line) if line.strip() else frozenset({""})


def _quoted_anyhow(quote: str) -> Iterable[str]:
    return {_fold(quote), _fold(re.sub(_GUTTER, "", quote))}


def _folds(line: str) -> frozenset[str]:
    return frozenset({_fold(line), _fold(inert(line.rstrip()))} - {""})


@lru_cache(maxsize=2048)  # more lines than a request has
def _fold(text: str) -> str:
    """Return a text without white space, and with every quote as if it were not escaped: models escape too many."""
    return "".join(printable(text).split()).replace("\\'", "'")


def _runs(piece: Piece, quotes: Sequence[str], *, exactly: bool = False) -> list[_Place]:
    """Return where the quoted lines follow each other.

    Each line is looked at once, whatever the number of quotes: bit n of the state tells that the last n + 1 lines are
    the first n + 1 quotes (the algorithm of Baeza-Yates and Gonnet).
    """
    forms_of_line, forms_of_quote = (_exact, _quoted_exactly) if exactly else (_folded, _quoted_anyhow)
    masks: dict[str, int] = {}
    for at, quote in enumerate(quotes):
        for form in forms_of_quote(quote):
            masks[form] = masks.get(form, 0) | 1 << at
    size, state, found = len(quotes), 0, []
    for index, line in enumerate(piece.lines):
        fitting = 0
        for form in forms_of_line(line.text):
            fitting |= masks.get(form, 0)
        state = (state << 1 | 1) & fitting
        if state >> size - 1:
            found.append(_Place(piece, index - size + 1, index))
    return found


def _containing(piece: Piece, quote: str) -> list[_Place]:
    """Return the lines that a quote is a part of."""
    wanted = _fold(re.sub(_GUTTER, "", quote))
    if len(wanted) < SHORTEST_SUBSTRING:
        return []
    folded = ((index, _folded(line.text)) for index, line in enumerate(piece.lines))
    return [_Place(piece, index, index) for index, texts in folded if any(wanted in text for text in texts)]


def _longest_contained(pieces: Sequence[Piece], quote: str) -> list[_Place]:
    """Return the longest lines that are a part of a quote: a short one may be in it by chance."""
    wanted = _fold(re.sub(_GUTTER, "", quote))
    found: list[tuple[int, _Place]] = []
    for piece in pieces:
        for index, line in enumerate(piece.lines):
            sizes = [len(text) for text in _folded(line.text) if text in wanted]
            if sizes and max(sizes) >= SHORTEST_SUBSTRING:
                found.append((max(sizes), _Place(piece, index, index)))
    longest = max((size for size, _ in found), default=0)
    return [place for size, place in found if size == longest]


def _sign(quotes: Sequence[str]) -> str:
    """Return the sign of the gutter that a model copied along with its first line; "" if there is none."""
    gutter = re.match(_GUTTER, quotes[0])
    return gutter[0].strip()[-1] if gutter else ""


def _meant(places: Sequence[_Place], line: int | None, sign: str) -> list[_Place]:
    """Return the place that a claim means: a changed line before an unchanged one, and the nearest to its number.

    What was removed in one hunk and is added in another may be meant in both, unless the model quoted the sign or its
    number is that of one of them. Of lines in one hunk the added one is returned: the question about it names both.

    Args:
        places: where the quote stands.
        line: the model's number, which may be off.
        sign: that of the gutter that the model copied; "" for none.
    """
    nearest = {
        kind: min(of_kind, key=lambda place: _off(place, line))
        for kind in "+- "
        if (of_kind := [place for place in places if _kind(place) == kind])
    }
    if sign in nearest:
        return [nearest[sign]]
    added, removed = nearest.get("+"), nearest.get("-")
    if added is None or removed is None:
        return list(nearest.values())[:1]
    if added.piece is removed.piece:
        return [added]
    near = [place for place in (added, removed) if line is not None and _off(place, line) <= NEAR]
    return near if len(near) == 1 else [added, removed]


def _off(place: _Place, line: int | None) -> int:
    """Return by how many lines a model's number is off, if this place is meant."""
    return abs(_new_side(place.piece, place.first) - line) if line is not None else 0


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
