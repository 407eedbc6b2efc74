"""Where a statement ends that begins on a line: it is told from another one with the same first line by the rest."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kilo_review.core.finding import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.plan.syntax import Syntax

LONGEST_BY_SIGNS = 20
"""Lines that belong to a statement where only signs tell so: a bracket in a comment may seem to stay open."""
LONGEST_KEPT = 20
"""Lines of a statement that are kept as they are; of more a digest is kept."""
GOES_ON = ("\\", "+", ",", "&&", "||", "|", "=", ".")
GOES_BACK = (".", "+", "&&", "||", "|", "?")
"""What a line ends with whose statement goes on, and what one begins with that goes on with another's."""
YAML = frozenset({".yml", ".yaml"})
_DOCUMENT = r"<<[-~<]?\s?(['\"`]?)([A-Za-z_]\w*)\1"
"""What announces a here-document, and the word that ends it."""
LONGEST_DOCUMENT = 500
_SCALAR = r"(?:\A|[\s:-])[|>][+-]?\d?[+-]?\s*(?:#.*)?\Z"
"""What a line of YAML ends with whose text stands in the lines below."""


def rest_in_file(path: str, text: str, line: int, syntax: Syntax) -> str:
    """Return what completes the statement that begins on a line of a file; "" where it has one line.

    Args:
        path: of the file.
        text: all of it.
        line: the number of the line, from 1.
        syntax: what parses it; where that fails, signs tell.
    """
    lines = text.split("\n")
    numbers = syntax.statement_lines(path, text, line)
    document = _here_document(lines[line - 1 :])
    if numbers is None:
        return _kept(document) if document else rest_by_signs(lines[line - 1 :], path)
    own = [lines[number - 1] for number in numbers]
    return _kept(own if len(own) >= len(document) else document)


def _here_document(lines: Sequence[str]) -> list[str]:
    """Return the lines of a here-document that the first line announces, as shells, Ruby, PHP and others write it."""
    begun = re.search(_DOCUMENT, lines[0])
    if begun is None:
        return []
    body = list(takewhile(lambda text: text.strip().rstrip(";,)") != begun[2], lines[1:LONGEST_DOCUMENT]))
    return body if len(body) < len(lines) - 1 else []


def rest_by_signs(lines: Sequence[str], path: str) -> str:
    """Return what completes the first of some lines, as far as brackets and other signs tell; "" for nothing."""
    if PurePosixPath(path).suffix.lower() in YAML and re.search(_SCALAR, lines[0]):
        return _kept(_deeper(lines))
    depth = _open_brackets(lines[0])
    rest: list[str] = []
    above = lines[0]
    for text in lines[1:LONGEST_BY_SIGNS]:
        if depth <= 0 and not above.rstrip().endswith(GOES_ON) and not text.lstrip().startswith(GOES_BACK):
            break
        above = text
        rest.append(text)
        depth += _open_brackets(text)
    return _kept(rest)


def _kept(lines: Sequence[str]) -> str:
    rows = [line.rstrip() for line in lines]
    return "\n".join(rows) if len(rows) <= LONGEST_KEPT else digest(*rows)


def _deeper(lines: Sequence[str]) -> list[str]:
    """Return the lines below the first one that are indented more, up to one that is not."""
    indent = len(lines[0]) - len(lines[0].lstrip())
    rest: list[str] = []
    for text in lines[1:]:
        if text.strip() and len(text) - len(text.lstrip()) <= indent:
            break
        rest.append(text)
    return rest


def _open_brackets(text: str) -> int:
    return sum(map(text.count, "([{")) - sum(map(text.count, ")]}"))
