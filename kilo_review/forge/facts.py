"""Reading what a forge sent: whatever is missing or of another kind is as if it were empty."""

from __future__ import annotations

from typing import Any


def inside(value: Any, *names: str) -> Any:  # noqa: ANN401  whatever is there
    """What lies at the end of a way through objects, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: Any, *names: str) -> str:  # noqa: ANN401
    """A text or a number as a text."""
    found = inside(value, *names)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def number(value: Any, *names: str) -> int:  # noqa: ANN401
    """A whole number, or 0."""
    found = inside(value, *names)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def rows(value: Any, *names: str) -> list[dict[str, Any]]:  # noqa: ANN401
    """The objects of a list."""
    found = inside(value, *names)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
