"""JSON as models write it → values, where it can be read in one way only.

Read as well: control characters inside of strings, escapes that JSON does not have, and a comma behind the last
element. What has several readings or an open end is an error: a key that stands twice, a string or a list that is cut,
a missing comma, single quotes.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 10
"""Brackets within brackets, where not all of it is JSON; findings have three."""
# Texts, since `re` compiles and keeps them when they are first used, which most reviews never do.
_BRACKET = r'(?s)"(?:[^"\\]|\\.)*+"|[\[\]{}]'
_STRING_OR_COMMA = r'(?s)"(?:[^"\\]|\\.)*+"|(?<=["}\]\w])\s*+,(?=\s*+[}\]])'
_ESCAPE = r'(?s)\\(["\\/bfnrt]|u[0-9a-fA-F]{4}|.)'
_QUOTE = "'"


def whole(text: str, *, is_code: bool = False) -> object:
    r"""Return the text as one value.

    Args:
        text: JSON, or almost.
        is_code: its texts are taken as they are, so that `\'` has two readings: with the backslash, or without.

    Raises:
        ValueError: it is not one value, or has several readings.
    """
    content = text.strip()
    value, end = at(content, 0, is_code=is_code)
    if end != len(content):
        raise ValueError("something follows the value")
    return value


def at(text: str, start: int, *, is_code: bool = False) -> tuple[object, int]:
    """Return the value that begins at a place of a text, and where it ends; arguments and errors as of `whole`."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("it is too deep") from None
    except ValueError:
        end = _end_of(text, start)
    piece = _mended(text[start:end], is_code=is_code)
    value, length = _DECODER.raw_decode(piece)
    if length != len(piece):
        raise ValueError("its brackets do not match")
    return value, end


def _end_of(text: str, start: int) -> int:
    """Return where the bracket that opens at a place is closed."""
    depth = 0
    if text[start : start + 1] in {"{", "["}:
        for token in re.compile(_BRACKET).finditer(text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group(), 0)
            if not depth:
                return token.end()
            if depth > DEEPEST:
                break
    raise ValueError("it is not closed")


def _mended(text: str, *, is_code: bool) -> str:
    """Return the text with escapes that JSON has, and without commas behind last elements."""

    def escape(match: re.Match[str]) -> str:
        code = match.group(1)
        if code == _QUOTE:  # it only escapes a quote that needs none; what is compared with code allows for both
            if is_code:
                raise ValueError("an escaped quote has two readings")
            return code
        known = code in '"\\/bfnrt' or len(code) > 1
        return match.group() if known else f"\\\\{code}"

    def token(match: re.Match[str]) -> str:
        found = match.group()
        return re.sub(_ESCAPE, escape, found) if found.startswith('"') else ""

    return re.sub(_STRING_OR_COMMA, token, text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:  # noqa: ANN401  as the decoder has it
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, strict=False)
