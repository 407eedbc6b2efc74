"""The real clients, as the tests of the wires use them."""

from __future__ import annotations

import gc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kilo_review import models
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ModelError, SchemaRejectedError
from kilo_review.models.base import ModelRequest
from kilo_review.prompts import REPLY_SCHEMA, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.outcome import Egress, ModelInfo
    from kilo_review.models.base import Model, Reply

QUESTION = [Message("system", "You review changes."), Message("user", "+    return a / b  # größer\u2028")]
PROXY_VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
UNHELPFUL = (SchemaRejectedError,)
"""Errors that nobody sees, since the program acts on them: they need no next step."""


@contextmanager
def connected(provider: str, url: str, egress: list[Egress] | None = None, **wanted: Any) -> Iterator[Model]:
    """A model, for as long as the block lasts."""
    request = ModelRequest(provider=provider, base_url=url, **wanted)
    model = models.connect(request, [] if egress is None else egress, Deadline().within(30))
    try:
        yield model
    finally:
        model.close()


def ask(provider: str, url: str, **wanted: Any) -> Reply:
    """Connect and ask one question, with the reply schema."""
    with connected(provider, url, **wanted) as model:
        return model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))


def info(provider: str, url: str, **wanted: Any) -> ModelInfo:
    """What is learned by connecting."""
    with connected(provider, url, **wanted) as model:
        return model.info


def error_of(provider: str, url: str, **wanted: Any) -> ModelError:
    """The error of a question that must fail."""
    try:
        reply = ask(provider, url, **wanted)
    except ModelError as error:
        return error
    raise AssertionError(f"there was an answer: {reply}")


def leaked_sockets(provider: str, url: str, **wanted: Any) -> list[str]:
    """Sockets that a question which must fail leaves behind, unclosed."""
    gc.collect()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        error_of(provider, url, **wanted)
        gc.collect()
    return [str(each.message) for each in seen if issubclass(each.category, ResourceWarning)]


def has_next_step(error: ModelError) -> bool:
    """Whether a user who reads the error knows what to do."""
    return isinstance(error, UNHELPFUL) or bool(error.hint)
