"""What a review is told, and whom it tells how it goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kilo_review.judge.policy import FailOn, Verify
from kilo_review.plan.rules import Book

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import ModelInfo, Target
    from kilo_review.judge.baseline import Baseline
    from kilo_review.judge.categories import Switch
    from kilo_review.models.base import ModelRequest
    from kilo_review.prompts import Prompts
    from kilo_review.source.target import Request


class Watch(Protocol):
    """Somebody who is told how the review goes."""

    def model_chosen(self, info: ModelInfo) -> None:
        """A model is asked; told before each request."""

    def progress(self, done: int, total: int) -> None:
        """So many hunks are done."""


class Job(NamedTuple):
    """Everything that a review needs to know.

    Attributes:
        request: what is reviewed.
        model: which model is asked.
        prompts: how it is asked.
        deadline: when it must be over.
        ignore_lists: name → gitignore patterns.
        fail_on: the least severity that blocks.
        verify: which findings must be confirmed before they count.
        verify_model: another model that is asked to confirm them; None for the one that found them.
        categories: what is switched on or off, by path.
        baseline: findings that the project has accepted.
        rules: the project's own.
        is_pull_request: the change may not excuse itself.
        jobs: requests under way at once; None for as many as the server works on.
        shard: which part of the change, from 1, and of how many; None for all of it.
        votes: answers that are asked for about each chunk; what most of them say counts.
        report_unused: whether comments that suppress nothing are told.
        patch: the change itself, where it came on standard input.
        in_background: nobody is looking; what is found is shown later.
    """

    request: Request
    model: ModelRequest
    prompts: Prompts
    deadline: Deadline
    ignore_lists: Mapping[str, tuple[str, ...]] = {}
    fail_on: FailOn = FailOn.CRITICAL
    verify: Verify = Verify.BLOCKING
    verify_model: ModelRequest | None = None
    categories: tuple[Switch, ...] = ()
    baseline: Baseline = ()
    rules: Book = Book()
    is_pull_request: bool = False
    jobs: int | None = 1
    shard: tuple[int, int] | None = None
    votes: int = 1
    report_unused: bool = False
    patch: bytes | None = None
    in_background: bool = False

    @property
    def identity(self) -> str:
        """32 hex digits of the settings that decide what is asked and how; known without asking any server."""
        import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

        model = self.model
        known: tuple[object, ...] = (
            *(model.provider, model.name, model.base_url, sorted(model.options.items())),
            *(self.prompts.version, sorted(self.ignore_lists.items())),
            *self._verification,
            *(self.categories, self.is_pull_request, self.rules.every, self.rules.every and self.rules.tokens),
            *((self.votes,) if self.votes > 1 else ()),
        )
        return hashlib.sha256(json.dumps(known, default=str).encode("utf-8", "replace")).hexdigest()[:32]

    @property
    def _verification(self) -> tuple[object, ...]:
        """What decides which findings were put to the test, and by whom."""
        if self.verify is Verify.OFF:
            return (self.verify,)
        limit = self.fail_on if self.verify is Verify.BLOCKING else ""
        return (self.verify, limit, self.prompts.verify_version, self.verify_model and self.verify_model.name)

    def of(self, target: Target) -> Job:
        """The same for two trees that are known already."""
        return self._replace(request=self.request._replace(target=target, in_commit=False))
