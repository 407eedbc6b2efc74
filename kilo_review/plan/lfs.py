"""Pointers of Git LFS: three lines that stand for a file which is kept elsewhere."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kilo_review.core.outcome import IS_POINTER, State
from kilo_review.plan.binary import DATA, EXECUTABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.source.diff import FileChange

POINTER = rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:[0-9a-f]{64}\nsize (?:0|[1-9][0-9]{0,18})\n"
"""As Git LFS writes them (docs/spec.md there), without extensions."""
POINTER_LINES = 3
PROGRAM = "a Git LFS pointer to what may be a program, which is not here"


def verdict(
    change: FileChange, read: Callable[[str], bytes], *, exempts_itself: bool
) -> tuple[State, str] | None:  # fmt: skip
    """Return the state and the reason of a pointer; None for any other file.

    Args:
        change: the file.
        read: blob id → the beginning of its content.
        exempts_itself: False in a proposal: in one, both sides must be pointers, and none may stand for a program.
    """
    if not _has_few_lines(change):
        return None
    sides = [oid for oid in (change.new_oid, change.old_oid) if oid.strip("0")]
    if exempts_itself:
        sides = sides[:1]
    if not sides or not all(re.fullmatch(POINTER, read(oid)) for oid in sides):
        return None
    if not exempts_itself and change.new_oid.strip("0") and not _is_named_like_data(change):
        return State.NOT_REVIEWED, PROGRAM
    return State.SKIPPED, IS_POINTER


def stands_for_a_program(change: FileChange, read: Callable[[str], bytes]) -> bool:
    """Tell whether a file is a pointer that may stand for a program; one that is named like data is not read."""
    if not change.new_oid.strip("0") or _is_named_like_data(change):
        return False
    return re.fullmatch(POINTER, read(change.new_oid)) is not None


def _is_named_like_data(change: FileChange) -> bool:
    return PurePosixPath(change.path).suffix.lower() in DATA and change.new_mode != EXECUTABLE


def _has_few_lines(change: FileChange) -> bool:
    """Tell whether what the file becomes, or was, may be a pointer, without a look into it."""
    if len(change.hunks) != 1:
        return False
    (hunk,) = change.hunks
    return max(hunk.new_start, hunk.old_start if not hunk.new_length else 0) <= 1 and (
        (hunk.new_length or hunk.old_length) == POINTER_LINES
    )
