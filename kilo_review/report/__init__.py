"""Reports: one signature, one file each, and this registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.report import json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.report.view import View

FORMATS: dict[str, Callable[[View], str]] = {"text": text.render, "json": json.render}
