"""What a review is told, and whom it tells how it goes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from kilo_review.judge.policy import FailOn

if TYPE_CHECKING:
    from kilo_review.deadline import Deadline
    from kilo_review.models.base import ModelRequest
    from kilo_review.outcome import ModelInfo, Target
    from kilo_review.prompts import Prompts
    from kilo_review.source.target import Request


class Watch(Protocol):
    """Somebody who is told how the review goes."""

    def model_chosen(self, info: ModelInfo) -> None:
        """A model is asked; told before each request."""

    def progress(self, done: int, total: int) -> None:
        """So many hunks are done."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a review needs to know.

    Attributes:
        request: what is reviewed.
        model: which model is asked.
        prompts: how it is asked.
        deadline: when it must be over.
        ignore_lists: name → gitignore patterns.
        fail_on: the least severity that blocks.
        patch: the change itself, where it came on standard input.
        in_background: nobody is looking; what is found is shown later.
    """

    request: Request
    model: ModelRequest
    prompts: Prompts
    deadline: Deadline
    ignore_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fail_on: FailOn = FailOn.CRITICAL
    patch: bytes | None = None
    in_background: bool = False

    @property
    def identity(self) -> str:
        """32 hex digits of the settings that decide what is asked and how; known without asking any server."""
        import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

        model = replace(self.model, api_key=None, lmstudio_key=None)
        known = (
            *(model.provider, model.name, model.base_url, sorted(model.options.items())),
            *(self.prompts.version, sorted(self.ignore_lists.items())),
        )
        return hashlib.sha256(json.dumps(known, default=str).encode("utf-8", "replace")).hexdigest()[:32]

    def of(self, target: Target) -> Job:
        """The same for two trees that are known already."""
        return replace(self, request=replace(self.request, target=target, in_commit=False))
