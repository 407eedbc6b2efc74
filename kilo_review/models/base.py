"""What every provider offers: one model that can be asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.deadline import Deadline
    from kilo_review.outcome import ModelInfo
    from kilo_review.prompts import Message

DEFAULT_WINDOW = 8192
"""Tokens asked for where the server lets us choose, and assumed where it does not tell."""
ALREADY_LOADED = "already loaded"
"""Why a model was chosen (`ModelInfo.why`) that need not be waited for."""
DEFAULT_OPTIONS: dict[str, Any] = {"temperature": 0, "seed": 7, "num_predict": 1024}
"""The same change gets the same answer; an answer has an end."""
MOST = 10**15
"""Of whatever a server counts; a larger number is a mistake, and would break the arithmetic that it goes into."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Which model the user wants.

    Attributes:
        provider: registry name, or `auto`.
        name: the server's name for the model, a path for `embedded`, or None to choose.
        base_url: where the server is, or None for its default.
        api_key: bearer token, or None.
        ollama_host: the value of OLLAMA_HOST, or None.
        lmstudio_key: the value of LM_API_TOKEN, or None; sent to LM Studio alone.
        options: parameters for the server, over `DEFAULT_OPTIONS`.
    """

    provider: str = "auto"
    name: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    ollama_host: str | None = None
    lmstudio_key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters of the answer."""
        return DEFAULT_OPTIONS | dict(self.options)


@dataclass(slots=True)
class Reply:
    """One answer of a model.

    Attributes:
        text: the answer.
        reasoning: what the server delivered apart as thinking.
        is_cut: the answer hit its token limit.
        prompt_tokens: the server's count, cached ones included; 0 if it does not tell.
        completion_tokens: the server's count.
        cached_prompt_tokens: of the prompt tokens, those the server had in its prefix cache.
        seconds: wall time from request to last byte.
        model: the name of the model that answered, if the server tells.
        answer_seconds: of it, what the server says it spent on writing the answer; 0 if it does not tell.
        reading_seconds: of it, what the server says it spent on reading the prompt; 0 if it does not tell.
    """

    text: str = ""
    reasoning: str = ""
    is_cut: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    seconds: float = 0.0
    answer_seconds: float = 0.0
    reading_seconds: float = 0.0
    model: str = ""


def count_of(value: object) -> int:
    """A count as a server tells it; 0 for what can be none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MOST else 0


def seconds_of(value: object, in_a_second: float) -> float:
    """A time that a server tells in fractions of a second; 0 for what can be none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return value / in_a_second if 0 < value < MOST * in_a_second else 0.0


class Model(Protocol):
    """A model that is ready to be asked. `close` ends whatever was started for it."""

    @property
    def info(self) -> ModelInfo:
        """What it is and where it runs."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Everything besides the prompt that shapes its answers."""

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any] | None, deadline: Deadline) -> Reply:
        """Ask once; raises a `ModelError` for everything but a complete answer."""

    def slow_reason(self, deadline: Deadline) -> str:
        """Why answers are slow, if the server tells within the deadline; else ""."""

    def close(self) -> None:
        """Release connections and processes."""


NO_INFLUENCE = frozenset({"num_ctx", "keep_alive"})
"""Parameters that shape no answer: a prompt that does not fit the window is refused, never shortened."""


def answer_identity(model: Model, prompts_version: str) -> str:
    """32 hex digits that differ whenever the same change could get another answer."""
    import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

    info = model.info
    parameters = sorted((name, value) for name, value in model.parameters.items() if name not in NO_INFLUENCE)
    known = (info.provider, info.name, info.digest, parameters, prompts_version)
    return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:32]
