"""What of a quotation is shown: where a report is published, as CI logs are, secrets in it are masked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECRETS = "kilo_review.display.secrets"
"""Loaded where it is needed: its patterns take 5 ms to compile, which no commit need pay."""


def mask_for(environment: Mapping[str, str]) -> Callable[[str], str]:
    """What is done to words of the model and lines of the code: nothing, or in CI the masking of secrets."""
    if environment.get("CI", "").lower() in {"", "0", "false"}:
        return str
    secrets: Any = import_module(SECRETS)
    mask: Callable[[str], str] = secrets.masked
    return mask
