"""Markdown with settings at its head, between two lines of three dashes."""

from __future__ import annotations

from typing import Any

from kilo_review.core.errors import ConfigError
from kilo_review.core.safe_file import has_large_number

LONGEST = 8192
"""Characters of a head; no honest one is longer. Aliases, by which little becomes gigabytes, are refused."""
MOST_BRACKETS = 400
"""Opening ones of a head: 3,000 of them keep the YAML library busy for ten seconds."""
FENCE = "---"
UNEXPECTED = (ValueError, RecursionError, AssertionError, TypeError)
"""What the YAML library raises beside its own errors: at `%YAML 1.9`, and at a mapping as a key within a key."""


def split(text: str, origin: str) -> tuple[dict[str, Any], str]:
    """The head's settings and the text below it; no settings where there is no head.

    Raises:
        ConfigError: the head is not a YAML mapping, or has no end.
    """
    lines = text.lstrip("\ufeff").splitlines()
    end = _end(lines)
    if end is None:
        return {}, text
    if end < 0:
        raise ConfigError(f"{origin}: the head that begins with --- has no end", hint="Close it with a line of ---")
    head = "\n".join(lines[1:end])
    if len(head) > LONGEST:
        raise ConfigError(f"{origin}: the head is longer than {LONGEST} characters")
    if head.count("[") + head.count("{") > MOST_BRACKETS:
        raise ConfigError(f"{origin}: the head has more than {MOST_BRACKETS} brackets in it")
    return _mapping(head, origin), "\n".join(lines[end + 1 :])


def length(text: str) -> int:
    """Characters of the head; 0 where there is none."""
    lines = text.lstrip("\ufeff").splitlines()
    end = _end(lines)
    return sum(map(len, lines[:end])) if end is not None else 0


def _end(lines: list[str]) -> int | None:
    """Which line ends the head; None where none begins, -1 where it has no end."""
    if not lines or lines[0].rstrip() != FENCE:
        return None
    return next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), -1)


def _mapping(head: str, origin: str) -> dict[str, Any]:
    from ruamel.yaml import YAML  # noqa: PLC0415  30 ms, for those who have such a file
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415
    from ruamel.yaml.events import AliasEvent  # noqa: PLC0415

    try:
        for event in YAML(typ="safe", pure=True).parse(head):
            if isinstance(event, AliasEvent) or getattr(event, "tag", None):
                raise ConfigError(f"{origin}: the head has a YAML alias or tag in it", hint="Write it out")
        value = YAML(typ="safe", pure=True).load(head)
    except (YAMLError, *UNEXPECTED) as error:
        problem = str(getattr(error, "problem", None) or error).split("\n", 1)[0]
        raise ConfigError(f"{origin}: the head is not valid YAML: {problem}") from None
    if value is None:
        return {}
    if has_large_number(value):
        raise ConfigError(f"{origin}: the head has a number of more than 64 bits in it")
    if not isinstance(value, dict):
        raise ConfigError(f"{origin}: the head must be `name: value` lines")
    return {str(name): each for name, each in value.items()}
