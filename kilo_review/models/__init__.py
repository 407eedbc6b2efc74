"""Providers: a tiny signature, one file each, and this registry."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import Model, ModelRequest

PROVIDERS = ("auto", "ollama", "lmstudio", "openai", "embedded", "scripted")
"""Each is a module of this folder with a function `connect`, loaded when it is asked for (start-up is a feature)."""


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Model:
    """Connect to the wanted provider.

    Args:
        request: which model.
        egress: where bytes that leave the process are booked.
        deadline: when the run must be over.

    Raises:
        ModelError: no model can be asked; the message says why and what to do.
    """
    provider: Any = import_module(f"{__name__}.{request.provider}")
    model: Model = provider.connect(request, egress, deadline)
    return model
