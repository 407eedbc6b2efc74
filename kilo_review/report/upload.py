"""What GitHub takes of a SARIF file. What lies beyond is counted and told: a file that is refused shows nothing at all.

The limits are those of its documentation, "SARIF support for code scanning".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_RESULTS = 25_000
"""In one run; with more the file is refused."""
MOST_SHOWN = 5_000
"""Of these, the worst."""
LARGEST = 10_000_000
"""Bytes, compressed with gzip; a larger file is refused."""
MARGIN = 500_000
"""For what the compressor still holds back, and what is told about what was left out."""


def fitting(rows: Sequence[str], rest: str) -> int:
    """How many of these rows, from the first on, a file may have beside the rest of its text."""
    rows = rows[:MOST_RESULTS]
    if len(rest) + sum(map(len, rows)) < LARGEST - MARGIN:
        return len(rows)
    packer = zlib.compressobj()
    size = len(packer.compress(rest.encode()))
    for number, row in enumerate(rows):
        size += len(packer.compress(row.encode()))
        if size > LARGEST - MARGIN:
            return number
    return len(rows)


def shortfall(total: int, kept: int) -> list[str]:
    """What a reader will not see."""
    told = []
    if kept < total:
        limits = f"with more than {MOST_RESULTS} results or {LARGEST // 1_000_000} MB"
        told.append(
            f"{total - kept} of {total} findings are left out, the least severe: GitHub refuses a file {limits}"
        )
    if kept > MOST_SHOWN:
        told.append(f"GitHub shows {MOST_SHOWN} of these {kept} findings")
    return told
