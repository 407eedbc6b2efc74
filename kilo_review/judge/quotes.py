"""Where in a change the code stands that a model quotes.

Line numbers of models drift, so they decide between equal lines alone; but an exact one outweighs a better spelling.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.sanitize.model_input import inert
from kilo_review.sanitize.terminal import escaped_path, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kilo_review.judge.parse import Claim
    from kilo_review.plan.chunk import Piece
    from kilo_review.source.diff import Line

SHORTEST_SUBSTRING = 6
"""Characters without white space; `x` or `);` occurs everywhere."""
SHORTEST_AT_NUMBER = 3
"""The same of what is looked for in one line alone."""
NEAR = 3
"""Lines by which a model's number is off, and tells a line from the same one in another hunk all the same."""
LONGEST_QUOTE = 20
"""Lines of a quote of which parts are looked for."""
_NOTE = r" \((?:new file|deleted file|renamed|copied)\)\Z"
"""What the prompt puts behind a path, and a model may copy along."""
GUTTER = r"\A\s*+(?:\d++\s*+)?[+-](?:\s|\Z)"
"""What stands before a line of the change in the prompt."""


class Place(NamedTuple):
    """A run of lines of a piece.

    Attributes:
        piece: a hunk or a part of one.
        first: the index of its first line in the piece.
        last: that of its last one.
        kinds: the signs of the lines that belong to it; those of the other side may stand between them.
    """

    piece: Piece
    first: int
    last: int
    kinds: str = " +-"

    @property
    def kind(self) -> str:
        """The sign of the first line: +, -, or a blank."""
        return self.piece.lines[self.first].kind

    @property
    def is_changed(self) -> bool:
        """Whether a line of it was added or removed."""
        return any(line.kind != " " for line in self.lines)

    @property
    def lines(self) -> list[Line]:
        """The lines of the run."""
        return [line for line in self.piece.lines[self.first : self.last + 1] if line.kind in self.kinds]

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from other places."""
        return id(self.piece), self.first


def places(claim: Claim, named: Sequence[Piece], pieces: Sequence[Piece]) -> list[Place]:
    """Return where the quoted code stands: in the files that the model names, else in another one, else in part.

    Args:
        claim: what the model says.
        named: the pieces of the files that it names.
        pieces: those of the request.
    """
    whole = _whole(claim, named) or _only_place(claim, pieces)
    if not whole:
        return _part(claim, named) or _numbered_short_part(claim, named)
    own = {id(piece) for piece in named}
    there = [place for place in whole if id(place.piece) in own]
    if any(not _off(place, claim.line) for place in there):
        return whole
    # A changed line where the model says that holds the quote among other words: that one may be meant just as well.
    is_near = any(place.is_changed and _off(place, claim.line) <= NEAR for place in there)
    beside = _numbered_short_part(claim, named) or ([] if is_near else _numbered_part(claim, named))
    beside = [place for place in beside if not any(_is_added_again(place, each) for each in whole)]
    return list({place.key: place for place in (*beside, *whole)}.values())


def _is_added_again(removed: Place, added: Place) -> bool:
    """Tell whether a removed line is added in the same hunk: the question about that line names the removal, too."""
    if (removed.kind, added.kind) != ("-", "+") or removed.piece is not added.piece:
        return False
    lines = removed.lines[0], added.lines[0]
    return len(fold(lines[1].text)) >= SHORTEST_SUBSTRING and fold(lines[0].text) == fold(lines[1].text)


def _numbered_part(claim: Claim, named: Sequence[Piece]) -> list[Place]:
    quotes = _quote_lines(claim.code)
    if claim.line is None or not quotes:
        return []
    sign = _sign(quotes, named)
    parts = [place for piece in named for place in _containing(piece, quotes[0])]
    return _near_change([each for each in parts if not sign or each.kind == sign], claim.line, sign, frozenset())


def _numbered_short_part(claim: Claim, named: Sequence[Piece]) -> list[Place]:
    """Return the changed line at the model's very number that holds a quote which is too short to be told elsewhere.

    A word alone is none: it tells nothing of the line.
    """
    quotes = _quote_lines(claim.code)
    if claim.line is None or len(quotes) != 1 or re.fullmatch(r"[\w\s]*", quotes[0]):
        return []
    parts = [place for piece in named for place in _containing(piece, quotes[0], SHORTEST_AT_NUMBER)]
    return [place for place in parts if place.kind != " " and not _off(place, claim.line)][:1]


def spoken_of(file: str, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Return the pieces of the files that the model may name; all of them if it names none of these files.

    The name as it is counts as well as without what a model may have put around it: a file can be called so.
    """
    bare = file.strip().strip("`\"'")
    name = re.sub(_NOTE, "", bare.removeprefix("FILE ").strip())
    exact = [piece for piece in pieces if not {file, file.strip(), bare, name}.isdisjoint(_names(piece.change.path))]
    if exact or not name:
        return exact or pieces
    ending = [
        piece for piece in pieces if piece.change.path.endswith("/" + name) or name.endswith("/" + piece.change.path)
    ]
    return ending if len({piece.change.path for piece in ending}) == 1 else pieces


def _names(path: str) -> set[str]:
    """A path as it is, and as the model was shown it."""
    return {path, escaped_path(path), inert(escaped_path(path))}


def _whole(claim: Claim, pieces: Sequence[Piece]) -> list[Place]:
    """Return where all lines of the quote stand, exactly or else without white space."""
    return _nearest_run(claim, pieces, _quote_lines(claim.code))


def _part(claim: Claim, pieces: Sequence[Piece]) -> list[Place]:
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
    return [] if len(places) > 1 and claim.line is None else _meant(places, places, claim.line, _sign(quotes, pieces))


def _longest_run(claim: Claim, pieces: Sequence[Piece], quotes: Sequence[str]) -> list[Place]:
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


def _only_run(pieces: Sequence[Piece], wanted: Sequence[str]) -> list[Place]:
    if len(fold("".join(wanted))) < SHORTEST_SUBSTRING:
        return []
    found = [place for piece in pieces for place in _runs(piece, wanted)]
    places = _standing(found, found)
    return places if len(places) == 1 else []


def _nearest_run(claim: Claim, pieces: Sequence[Piece], wanted: Sequence[str]) -> list[Place]:
    if not wanted:
        return []
    exact, folded = (
        [place for piece in pieces for place in _runs(piece, wanted, exactly=exactly)] for exactly in (True, False)
    )
    return _meant(_standing(exact or folded, folded), _standing(folded, folded), claim.line, _sign(wanted, pieces))


def _only_place(claim: Claim, pieces: Sequence[Piece]) -> list[Place]:
    """Return the one place of the request where the quote stands; nothing if there is none, or more than one.

    Models mix up the names of files that they were shown together.
    """
    quotes = _quote_lines(claim.code)
    if len(fold(claim.code)) < SHORTEST_SUBSTRING:
        return []
    places = [place for piece in pieces for place in _runs(piece, quotes)]
    places = _standing(places, places)
    sign = _sign(quotes, pieces)
    signed = [place for place in places if place.kind == sign]
    kinds = [[place for place in signed or places if place.kind == kind] for kind in "+- "]
    if any(len(of_kind) > 1 for of_kind in kinds[:2]):
        return []
    changed = [place for of_kind in kinds[:2] for place in of_kind]
    return changed or (kinds[2] if len(kinds[2]) == 1 else [])


def _standing(places: Sequence[Place], alike: Sequence[Place]) -> list[Place]:
    """Without removed lines that are added again beside them, such as indented ones: there the code stands now."""
    removed = [place for place in places if place.kind == "-"]
    again = [place for place in alike if place.kind == "+"]
    if not removed or not again:
        return list(places)
    starts = {id(place.piece): _block_starts(place.piece) for place in (*removed, *again)}

    def block(place: Place) -> tuple[int, int]:
        return id(place.piece), starts[id(place.piece)][place.first]

    gone = {block(place) for place in removed} & {block(place) for place in again}
    kept = [place for place in places if place.kind != "-" or block(place) not in gone]
    known = {place.key for place in kept}
    return kept + [place for place in again if block(place) in gone and place.key not in known]


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
    return not re.sub(GUTTER, "", quote).strip()


def _exact(text: str) -> Iterable[str]:
    """Return a line as it is compared exactly."""
    return (printable(text).rstrip(),)


def _quoted_exactly(quote: str) -> Iterable[str]:
    return (quote.rstrip(),)


@lru_cache(maxsize=1 << 14)  # with fewer than a request has lines, each claim would find none of them kept
def _folded(text: str) -> frozenset[str]:
    """Return a line without white space, as it is and as the model was shown it."""
    line = printable(text)
    return _folds(line) if line.strip() else frozenset({""})


def _quoted_anyhow(quote: str) -> Iterable[str]:
    return {fold(quote), fold(re.sub(GUTTER, "", quote))}


def _folds(line: str) -> frozenset[str]:
    return frozenset({fold(line), fold(inert(line.rstrip()))} - {""})


@lru_cache(maxsize=2048)  # quotes, above all: of lines the result is kept
def fold(text: str) -> str:
    """Return a text without white space, and with every quote as if it were not escaped: models escape too many."""
    return "".join(printable(text).split()).replace("\\'", "'")


def _runs(piece: Piece, quotes: Sequence[str], *, exactly: bool = False) -> list[Place]:
    """Return where the quoted lines follow each other, in the change as it is shown or on one of its sides."""
    forms_of_line, forms_of_quote = (_exact, _quoted_exactly) if exactly else (_folded, _quoted_anyhow)
    masks: dict[str, int] = {}
    for at, quote in enumerate(quotes):
        for form in forms_of_quote(quote):
            masks[form] = masks.get(form, 0) | 1 << at
    fitting = [reduce(or_, (masks.get(form, 0) for form in forms_of_line(each.text)), 0) for each in piece.lines]
    found: dict[int, Place] = {}
    for kinds in (" +-", " +", " -") if len(quotes) > 1 else (" +-",):
        rows = [index for index, line in enumerate(piece.lines) if line.kind in kinds]
        for first, last in _runs_of(rows, fitting, len(quotes)):
            found.setdefault(first, Place(piece, first, last, kinds))
    return list(found.values())


def _runs_of(rows: Sequence[int], fitting: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Return the first and the last row of each run that fits all quotes.

    Each row is looked at once, whatever the number of quotes: bit n of the state tells that the last n + 1 rows fit
    the first n + 1 quotes (the algorithm of Baeza-Yates and Gonnet).

    Args:
        rows: indices of the lines that follow each other.
        fitting: for each line a number whose bit n tells that it fits quote n.
        size: how many quotes there are.
    """
    state = 0
    for at, row in enumerate(rows):
        state = (state << 1 | 1) & fitting[row]
        if state >> size - 1:
            yield rows[at - size + 1], row


def _containing(piece: Piece, quote: str, shortest: int = SHORTEST_SUBSTRING) -> list[Place]:
    """Return the lines that a quote is a part of, if it is not too short."""
    wanted = fold(re.sub(GUTTER, "", quote))
    if len(wanted) < shortest:
        return []
    folded = ((index, _folded(line.text)) for index, line in enumerate(piece.lines))
    return [Place(piece, index, index) for index, texts in folded if any(wanted in text for text in texts)]


def _longest_contained(pieces: Sequence[Piece], quote: str) -> list[Place]:
    """Return the longest lines that are a part of a quote: a short one may be in it by chance."""
    wanted = fold(re.sub(GUTTER, "", quote))
    found: list[tuple[int, Place]] = []
    for piece in pieces:
        for index, line in enumerate(piece.lines):
            sizes = [len(text) for text in _folded(line.text) if text in wanted]
            if sizes and max(sizes) >= SHORTEST_SUBSTRING:
                found.append((max(sizes), Place(piece, index, index)))
    longest = max((size for size, _ in found), default=0)
    return [place for size, place in found if size == longest]


def _sign(quotes: Sequence[str], pieces: Sequence[Piece]) -> str:
    """Return the sign of the gutter that a model copied along with its first line; "" if there is none.

    A line of code can begin like a gutter, such as an item of a list in YAML: then it is none.
    """
    gutter = re.match(GUTTER, quotes[0])
    if not gutter:
        return ""
    own = fold(quotes[0])
    is_code = any(own in _folded(line.text) for piece in pieces for line in piece.lines)
    return "" if is_code else gutter[0].strip()[-1]


def _meant(places: Sequence[Place], alike: Sequence[Place], line: int | None, sign: str) -> list[Place]:
    """Return the place that a claim means, or several where any of them may be meant.

    A changed line at the model's number decides, however it is indented: what is spelled more like the quote and stands
    elsewhere may have been put there. Else changed lines come before unchanged ones, and near ones before others. What
    was removed in one hunk and is added in another may be meant in both, as may an unchanged line at that number.

    Args:
        places: where the quote stands, exactly if it does so anywhere.
        alike: where it stands without regard to white space.
        line: the model's number, which may be off.
        sign: that of the gutter that the model copied; "" for none.
    """
    exact = frozenset(place.key for place in places)
    every = [*places, *(place for place in alike if place.key not in exact)]
    if signed := [place for place in every if place.kind == sign]:
        return _near_change(signed, line, sign, exact) or [
            _nearest([p for p in signed if p.key in exact] or signed, line)
        ]
    if near := _near_change(every, line, sign, exact):
        return near
    changed = _changed(places, alike, line)
    numbered = [place for place in every if place.kind == " " and line is not None and not _off(place, line)]
    if changed or numbered:
        return [*changed, *numbered[:1]]
    return [_nearest(places, line)] if places else []


def _near_change(
    places: Sequence[Place], line: int | None, sign: str, exact: frozenset[tuple[int, int]]
) -> list[Place]:
    """Return the changed line at a number, or the nearest to it of those that are near; nothing if none is.

    Of a line that was moved within a hunk the added one is returned: the question about it names both.
    """
    near = [place for place in places if line is not None and _off(place, line) <= NEAR and place.is_changed]
    if not near:
        return []
    best = min(near, key=lambda place: (_off(place, line), place.key not in exact, place.kind == "-"))
    beside = [place for place in places if place.piece is best.piece and place.kind == "+"]
    return [_nearest(beside, line)] if best.kind == "-" != sign and beside else [best]


def _changed(places: Sequence[Place], alike: Sequence[Place], line: int | None) -> list[Place]:
    """Return the nearest changed line; also that of the other kind in another hunk, however it is indented."""
    if all(place.kind == " " for place in places):
        return []
    nearest = {}
    for kind in "+-":
        of_kind = [place for place in places if place.kind == kind] or [place for place in alike if place.kind == kind]
        if of_kind:
            nearest[kind] = _nearest(of_kind, line)
    added, removed = nearest.get("+"), nearest.get("-")
    if added and removed and added.piece is removed.piece:
        return [added]
    return list(nearest.values())


def _nearest(places: Sequence[Place], line: int | None) -> Place:
    return min(places, key=lambda place: _off(place, line))


def _off(place: Place, line: int | None) -> int:
    """Return by how many lines a model's number is off, if this place is meant; 0 if it gave none."""
    if line is None:
        return 0
    first = new_side(place.piece, place.first)
    last = first if place.first == place.last else new_side(place.piece, place.last)
    return max(first - line, line - last, 0)


def new_side(piece: Piece, index: int) -> int:
    """Return the new-side number of a line; of a removed one, that of the line beside the gap."""
    lines: Sequence[Line] = piece.lines
    if (own := lines[index].new) is not None:
        return own
    after = next((line.new for line in lines[index:] if line.new is not None), None)
    before = next((line.new for line in reversed(lines[:index]) if line.new is not None), None)
    return after or before or piece.gap or piece.hunk.new_start
