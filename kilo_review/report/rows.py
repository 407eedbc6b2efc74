"""JSON with a row a line: readable, and ten times quicker to write than with `indent` on a huge change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def json_object(**members: str) -> str:
    """An object from encoded members."""
    return "{" + ",\n ".join(f"{json.dumps(name)}: {value}" for name, value in members.items()) + "}"


def json_rows(rows: Iterable[dict[str, Any]]) -> str:
    """An array with an element a line."""
    return json_array([json.dumps(row) for row in rows])


def json_array(encoded: list[str]) -> str:
    """The same of elements that are encoded already."""
    return "[\n  " + ",\n  ".join(encoded) + "\n ]" if encoded else "[]"
