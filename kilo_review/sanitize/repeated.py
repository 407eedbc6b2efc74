"""Secrets that were seen in one text, found wherever they stand again: whole, in part, or written in another way.

A model shortens what it quotes ("the key `AKIAIOSFOD…`"), writes it without its escapes or encodings, and uses it in
sentences. Time is in proportion to the text, whatever the number of secrets.
"""

from __future__ import annotations

import re
from base64 import b64decode
from bisect import bisect_right
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SHORTEST = 6
"""Characters of a secret that is looked for; a shorter one may be any word."""
LONGEST = 2000
"""Of a longer one, the beginning is looked for."""
LONGEST_START = 24
"""So many characters of a long secret are enough to know it by."""

_CODED = re.compile(r"(?=.*[0-9])(?=.*[^0-9])|.*[!@#$%^&*+/=~?]|.{20}", re.DOTALL)
_SHORTENED = re.compile(r"…|\.\.\.|\*\*\*|\[masked\]")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_TELLING = re.compile(r"(?![A-Z]?[a-z_-]+\Z)")
"""What is more than a word."""
_REST = re.compile(r"[\w+/=.~%!@#$^&*-]*+")


class Repeated:
    """Finds them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Prepare to look for these, and for other forms of them."""
        forms = {form[:LONGEST] for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        self._forwards = _Beginnings(forms)
        self._backwards = _Beginnings({form[::-1] for form in forms if _CODED.match(form)})

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where they begin and end."""
        yield from self._forwards.found(text)
        if _SHORTENED.search(text):
            for start, end in self._backwards.found(text[::-1]):
                yield len(text) - end, len(text) - start


class _Beginnings:
    """Texts of which one is found by as much of it as tells it apart. None begins like another one."""

    def __init__(self, forms: Iterable[str]) -> None:
        self._sorted: list[str] = []
        self._longer: set[str] = set()
        for form in sorted(forms):
            if self._sorted and form.startswith(self._sorted[-1]):
                self._longer.add(self._sorted[-1])
            else:
                self._sorted.append(form)
        self._heads = {form[:SHORTEST] for form in self._sorted}
        firsts = "".join(sorted({form[0] for form in self._sorted}))
        self._first = re.compile(f"[{re.escape(firsts)}]") if firsts else None

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        at = 0
        while self._first and (candidate := self._first.search(text, at)):
            start = candidate.start()
            end = self._end(text, start) if text[start : start + SHORTEST] in self._heads else start
            if end > start:
                yield start, end
            at = max(end, start + 1)

    def _end(self, text: str, start: int) -> int:
        """Of the secret that stands here, whole or enough of it; the start if there is none."""
        here = text[start : start + LONGEST]
        place = bisect_right(self._sorted, here)
        return max(self._end_of(text, start, here, near) for near in self._sorted[max(0, place - 1) : place + 1])

    def _end_of(self, text: str, start: int, here: str, secret: str) -> int:
        length = next((at for at, (one, other) in enumerate(zip(here, secret, strict=False)) if one != other), None)
        length = min(len(here), len(secret)) if length is None else length
        end = start + length
        is_whole, is_word_before = length == len(secret), start > 0 and _is_of_a_word(text[start - 1])
        if not _CODED.match(secret):  # a word: only as one
            return end if is_whole and not is_word_before and not _is_of_a_word(text[end : end + 1]) else start
        if is_whole and secret not in self._longer:
            return end
        is_cut = _SHORTENED.match(text, end) is not None
        if not is_whole and (
            is_word_before or length < _enough(secret) or not (is_cut or _TELLING.match(text[start:end]))
        ):
            return start
        rest = _REST.match(text, end)
        return rest.end() if rest else end


def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _enough(secret: str) -> int:
    """Characters by which a secret is known: more where it begins like a word."""
    least = SHORTEST if re.match(r"(?=.{0,5}[0-9])", secret) else SHORTEST + 2
    return min(max(least, len(secret) // 3), LONGEST_START)


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may be written: as it is, with and without the escapes of addresses and strings, or decoded."""
    yield secret
    yield unquote(secret)
    yield quote(secret, safe="")
    yield secret.replace("\\\\", "\\")
    yield secret.replace("\\", "")
    if _ENCODED.fullmatch(secret):
        decoded = _decoded(secret)
        yield decoded
        yield decoded.partition(":")[2]  # of a header for basic authentication


def _decoded(text: str) -> str:
    try:
        found = b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return ""
    return found if found.isprintable() else ""
