"""Reports: one signature, one file each, and this registry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.report.view import View

FORMATS = ("text", "json", "sarif", "rdjson", "github", "gitlab", "markdown", "html")
"""Each is a module of this folder with a function `render`, loaded when it is wanted (start-up is a feature)."""


def renderer(form: str) -> Callable[[View], str]:
    """What makes the report in this format."""
    render: Callable[[View], str] = import_module(f"{__name__}.{form}").render
    return render
