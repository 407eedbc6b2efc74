"""`git commit` asks: what is staged is reviewed. Nothing is read from argv or stdin."""

from __future__ import annotations

from kilo_review.source.target import Request

MAX_SECONDS = 20.0
"""Short, since the pre-commit framework loses edits made while its hooks run (docs/hooks.md)."""


def request() -> Request:
    """What to review."""
    return Request("staged")
