"""What stands before the names of a patch: git's own prefixes, those that it was told to write, or none.

Where git shows no rename, both names of a file are the same behind their prefixes; a rename's names stand on lines of
their own, without prefixes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

KNOWN = {
    *(b"a/b/", b"c/i/", b"i/w/", b"c/w/", b"o/w/", b"1/2/"),
    *(b"b/a/", b"i/c/", b"w/i/", b"w/c/", b"w/o/", b"2/1/"),
}
"""What git puts before the old and the new name; `diff.mnemonicPrefix` and `-R` included."""
LENGTH = 2
"""Of each of them."""
ENOUGH = 2
"""Files whose names agree on prefixes that end in a letter, which may be chance in one."""
MOST_TOLD = 16
"""Pairs of prefixes in one patch, of which each name is held against each."""
_SLASHES = rb"[^\w/]*/+"
_MARKS = rb"[-:=_~+@#!,]+"


class Sides(NamedTuple):
    """The two names of one file, as the patch has them.

    Attributes:
        old: with its prefix.
        new: with its prefix.
        was: the old name without one, if the patch tells it.
        becomes: the new name without one, likewise.
        is_one_file: both are certainly the same file, since it is made, removed, or changed but for its lines.
    """

    old: bytes
    new: bytes
    was: bytes | None = None
    becomes: bytes | None = None
    is_one_file: bool = False

    @property
    def heads(self) -> tuple[bytes, bytes]:
        """What stands before the longest ending that both names have."""
        return self.old[: len(self.old) - self.ending], self.new[: len(self.new) - self.ending]

    @property
    def ending(self) -> int:
        """Bytes of that ending."""
        low, high = 0, min(len(self.old), len(self.new))
        while low < high:  # by halves, since a patch may have names of any length
            middle = (low + high + 1) // 2
            if self.old.endswith(self.new[len(self.new) - middle :]):
                low = middle
            else:
                high = middle - 1
        return low

    @property
    def is_usual(self) -> bool:
        """Whether the two names are the same behind git's own prefixes."""
        return are_known(self.old, self.new) and self.old[LENGTH:] == self.new[LENGTH:]


class Prefixes:
    """The prefixes of one patch."""

    def __init__(self, files: Iterable[Sides]) -> None:
        """Compare the two names of each file."""
        self._told: list[tuple[bytes, bytes]] = []
        self._certain: set[tuple[bytes, bytes]] = set()
        self._alike: dict[tuple[bytes, bytes], list[bytes]] = {}
        for sides in files:
            if sides.was and sides.becomes:
                self._tell(sides.old, sides.new, sides.was, sides.becomes)
            elif sides.old != sides.new and not sides.is_usual and sides.ending:
                self._alike.setdefault(sides.heads, []).append(sides.new[-sides.ending :])
                if sides.is_one_file:
                    self._certain.add(sides.heads)

    def _tell(self, old: bytes, new: bytes, was: bytes, becomes: bytes) -> None:
        if old.endswith(was) and new.endswith(becomes):
            pair = (old.removesuffix(was), new.removesuffix(becomes))
            if pair not in self._told and len(self._told) < MOST_TOLD:
                self._told.append(pair)

    def lengths(self, sides: Sides) -> tuple[int, int]:
        """Return how many bytes of the old and of the new name are a prefix."""
        for old, new in self._told:
            is_either = sides.old.startswith(old) and sides.new.startswith(new)
            if is_either and sides.old[len(old) :] == sides.new[len(new) :]:
                return len(old), len(new)
        if sides.old == sides.new:
            return 0, 0
        if sides.is_usual:
            return LENGTH, LENGTH
        heads = sides.heads
        if are_known(sides.old, sides.new) and heads not in self._certain:
            return LENGTH, LENGTH
        shared = self._shared(heads)
        return (0, 0) if shared is None else (len(heads[0]) + shared, len(heads[1]) + shared)

    def _shared(self, heads: tuple[bytes, bytes]) -> int | None:
        """Return how far the prefixes go on behind where they differ, as in `src://` and `dst://`; None if not at all.

        All names that begin so have that in common, and a prefix ends in a slash, in a mark, or in a letter.
        """
        endings = self._alike.get(heads)
        if endings is None:
            return None
        common = _beginning(endings)[: min(map(len, endings)) - 1]
        if not all(heads):  # one of the names is in the other as a whole
            slashes = len(common) - len(common.lstrip(b"/"))
            is_open = not slashes and not re.search(rb"(?:/|%s)\Z" % _MARKS, b"".join(heads))
        else:
            match = re.match(_SLASHES, common) or re.match(_MARKS, common) or re.match(rb"[^/]*/+", common)
            slashes = match.end() if match else 0
            is_open = not slashes
        is_chance = len(endings) < ENOUGH and heads not in self._certain
        return None if is_open and is_chance else slashes


def _beginning(names: list[bytes]) -> bytes:
    """Return what all of these begin with."""
    first, last = min(names), max(names)
    return first[
        : next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    ]


def are_known(old: bytes | None, new: bytes | None) -> bool:
    """Whether both names, or the one that is there, begin as one of git's own pairs does."""
    return any((old or pair[:LENGTH])[:LENGTH] + (new or pair[LENGTH:])[:LENGTH] == pair for pair in KNOWN)


def has_schemes(old: bytes | None, new: bytes | None) -> bool:
    """Whether each name that is there begins as an address does, which no path in a repository is."""
    return all(re.match(rb"\w+://", name) for name in (old, new) if name) and bool(old or new)
