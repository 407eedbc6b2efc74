"""Looks at everything that a review needs, and says of each thing whether it is well, and if not, what to do."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Level(StrEnum):
    """How much a line matters: a review works with warnings, and does not with a problem."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(NamedTuple):
    """One line.

    Attributes:
        name: what was looked at.
        level: how it is.
        text: what was seen.
        remedy: what to do about it; "" if nothing need be done.
    """

    name: str
    level: Level
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Check:
    """All is well."""
    return Check(name, Level.OK, text)


def warning(name: str, text: str, remedy: str = "") -> Check:
    """A review works, but not as well as it could."""
    return Check(name, Level.WARNING, text, remedy)


def problem(name: str, text: str, remedy: str) -> Check:
    """A review would not work."""
    return Check(name, Level.PROBLEM, text, remedy)


def has_problem(checks: Iterable[Check]) -> bool:
    """Whether a review would not work."""
    return any(check.level is Level.PROBLEM for check in checks)
