"""What every provider offers: one model that can be asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kilo_review.models.concurrency import Width
from kilo_review.models.consent import NO_CONSENT, Consent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import ModelInfo
    from kilo_review.models.choose import Offer
    from kilo_review.prompts import Message

DEFAULT_WINDOW = 8192
"""Tokens asked for where the server lets us choose, and assumed where it does not tell."""
ONE_AT_A_TIME = Width()
"""Servers that queue what they cannot work on only make later requests look slow."""
DEFAULT_OPTIONS: dict[str, Any] = {"temperature": 0, "seed": 7, "num_predict": 1024}
"""The same change gets the same answer; an answer has an end."""
MOST = 10**15
"""Of whatever a server counts; a larger number is a mistake, and would break the arithmetic that it goes into."""
AS_EVER: Mapping[str, Any] = {}
"""No parameters of its own for a request."""


class ModelRequest(NamedTuple):
    """Which model the user wants.

    Attributes:
        provider: registry name, or `auto`.
        name: the server's name for the model, a path for `embedded`, or None to choose.
        base_url: where the server is, or None for its default.
        api_key: bearer token, or None.
        ollama_host: the value of OLLAMA_HOST, or None.
        lmstudio_key: the value of LM_API_TOKEN, or None; sent to LM Studio alone.
        options: parameters for the server, over `DEFAULT_OPTIONS`.
        consent: hosts elsewhere that the user has allowed.
        needs_server: `auto` does not take the embedded engine where no server runs.
        ollama_parallel: requests that an Ollama started with this environment works on at the same time.
        starts_nothing: only who would answer is wanted: no engine is started.
    """

    provider: str = "auto"
    name: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    ollama_host: str | None = None
    lmstudio_key: str | None = None
    options: Mapping[str, Any] = AS_EVER
    consent: Consent = NO_CONSENT
    needs_server: bool = False
    ollama_parallel: int = 1
    starts_nothing: bool = False

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
        requests: how often it was asked: again where it refused a field that can be left out.
        tool: the name of a tool that the model called; "" if it called none.
        remedy: how to switch off thinking that was not asked for; "" if there was none.
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
    requests: int = 1
    tool: str = ""
    remedy: str = ""


class Remarks:
    """What a client has to say about the run besides its answers; shared by the copies for other threads.

    Attributes:
        notes: for all readers.
        details: for those who want to know everything (`-v`).
    """

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self.details: dict[str, None] = {}


def count_of(value: object) -> int:
    """A count as a server tells it; 0 for what can be none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MOST else 0


def objects_in(value: object) -> list[dict[str, Any]]:
    """The objects of a list as a server tells it; none for what is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def seconds_of(value: object, in_a_second: float) -> float:
    """A time that a server tells in fractions of a second; 0 for what can be none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return value / in_a_second if 0 < value < MOST * in_a_second else 0.0


class Survey(NamedTuple):
    """What one running server offers.

    Attributes:
        provider: registry name of the client that speaks with it.
        server: its name as its users say it.
        url: its base URL.
        version: as it tells; "" if it does not.
        offers: its models, those that are never asked included.
        is_local: whether it is on this machine.
        cloud: whether it may pass requests on to its maker; None if nothing tells.
        slots: requests that it works on at the same time; None if nothing tells.
    """

    provider: str
    server: str
    url: str
    version: str
    offers: tuple[Offer, ...]
    is_local: bool = True
    cloud: bool | None = None
    slots: int | None = None


class Model(Protocol):
    """A model that is ready to be asked. `close` ends whatever was started for it."""

    @property
    def info(self) -> ModelInfo:
        """What it is and where it runs."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Everything besides the prompt that shapes its answers."""

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,
    ) -> Reply:
        """Ask once; raises a `ModelError` for everything but a complete answer.

        Args:
            messages: the question.
            schema: the form of the answer, or None to ask without one.
            deadline: when the answer must be there.
            sampling: parameters for this request alone, over the model's own, such as another seed.
        """

    @property
    def width(self) -> Width:
        """How many requests it works on at the same time."""

    @property
    def remarks(self) -> Remarks:
        """What there is to say about the requests so far."""

    def another(self) -> Model:
        """The same model on a connection of its own, for another thread."""

    def slow_reason(self, deadline: Deadline) -> str:
        """Why answers are slow, if the server tells within the deadline; else ""."""

    def close(self) -> None:
        """Release connections and processes."""


NO_INFLUENCE = frozenset({"num_ctx", "keep_alive"})
"""Parameters that shape no answer: a prompt that does not fit the window is refused, never shortened."""


def answer_identity(model: Model, prompts_version: str, votes: int = 1) -> str:
    """32 hex digits that differ whenever the same change could get another answer."""
    import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

    info = model.info
    parameters = sorted((name, value) for name, value in model.parameters.items() if name not in NO_INFLUENCE)
    asked = (prompts_version,) if votes == 1 else (prompts_version, votes)
    version = info.digest or info.base_url  # without the one, the same name elsewhere may be another model
    known = (info.provider, info.name, version, parameters, *asked)
    return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:32]
