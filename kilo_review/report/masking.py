"""What of a quotation is shown: where a report is published, as CI logs are, secrets in it are masked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECRETS = "kilo_review.display.secrets"
"""Loaded where it is needed: its patterns take 5 ms to compile, which no commit need pay."""


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether a CI system says that it runs this."""
    return environment.get("CI", "").lower() not in {"", "0", "false"}


def mask_for(*, is_public: bool) -> Callable[[str], str]:
    """What is done to words of the model and lines of the code: nothing, or the masking of secrets."""
    if not is_public:
        return str
    secrets: Any = import_module(SECRETS)
    mask: Callable[[str], str] = secrets.masked
    return mask
