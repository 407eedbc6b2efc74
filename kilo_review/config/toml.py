"""Reads TOML that may come from the repository, within limits that keep the parser's work proportional to its size.

The parser's work for a dotted key grows with the square of its parts, and so does its memory: 40 kB of `a.a.a` take
nine seconds and 1.6 GB. Settings are read before the time limit is known, so nothing else would stop it.
"""

from __future__ import annotations

import re
from typing import Any

from kilo_review.core.errors import ConfigError
from kilo_review.core.safe_file import has_large_number

LARGEST = 512 << 10
"""Bytes; half a second of parsing at worst. The largest pyproject.toml of real projects has a fifth of this."""
MOST_PARTS = 16
"""Of a dotted key or the name of a table."""
# Each alternative takes in all up to the end of the line or file where a string is not closed, and so never backtracks.
_STRINGS = (
    r'"""(?:[^"\\]+|\\.|"(?!""))*(?:"{3,5}|\\?\Z)?'
    r"|'''(?:[^']+|'(?!''))*(?:'{3,5}|\Z)?"
    r'|"(?:[^"\\\n]+|\\[^\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*"
)
_LONG_KEY = rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}"


def parse(data: bytes, origin: str) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        ConfigError: it is not valid, or goes beyond the limits.
    """
    import tomllib  # noqa: PLC0415  only where there is a file to read

    if len(data) > LARGEST:
        raise ConfigError(f"{origin} is larger than {LARGEST >> 10} KiB", hint="Keep settings alone in it")
    try:
        text = data.decode("utf-8-sig")
        if _has_long_key(text):
            raise ConfigError(f"{origin} has a key of more than {MOST_PARTS} parts", hint="Shorten the dotted key")
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{origin} is not valid TOML: {error}") from None
    if has_large_number(tables):
        raise ConfigError(f"{origin} is not valid TOML: it has a number of more than 64 bits in it")
    return tables


def _has_long_key(text: str) -> bool:
    """Whether a key outside of strings and comments has too many parts; most files have no line with so many dots."""
    if all(line.count(".") < MOST_PARTS for line in text.split("\n")):
        return False
    return re.search(_LONG_KEY, re.sub(f"(?s){_STRINGS}", "_", text)) is not None
