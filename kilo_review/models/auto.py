"""The provider `auto`: finds out what is running on this machine, and takes the best of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from kilo_review import models
from kilo_review.core.errors import (
    DeadlineError,
    ModelError,
    ModelNotFoundError,
    NotLocalError,
    ServerFailedError,
    StalledError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.models import embedded, lmstudio, locality, ollama, openai
from kilo_review.models.choose import REASONS

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress, ModelInfo
    from kilo_review.models.base import Model, ModelRequest

OLLAMA = "ollama"
PROBE_SECONDS = 0.4
START_HINT = (
    "Start one (`ollama serve`, or `lms server start` for LM Studio), or install the embedded engine: "
    "pip install '.[embedded]' in a clone of kilo-review"
)


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Model:
    """Connect to a given address whatever it speaks, or else to the best server that is found.

    Raises:
        ModelError: there is none, or it cannot serve.
    """
    if request.base_url:
        return _by_url(request, egress, deadline)
    if request.name and request.name.lower().endswith(".gguf"):  # a file, which no server knows
        return embedded.connect(request, egress, deadline)
    return _discover(request, egress, deadline)


def _by_url(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Model:
    """A given address: whichever of the known interfaces it speaks."""
    problem: ModelError | None = None
    for provider in ("ollama", "lmstudio", "openai"):
        try:
            return models.connect(request._replace(provider=provider), egress, deadline)
        except (WrongServerError, ServerFailedError) as error:
            problem = error
    assert problem
    raise problem


def _discover(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Model:
    """Ask the usual ports together; a model that is already loaded wins, then a known coder, then their order.

    A server that is too busy to answer the probe in time is asked once more, in peace. The embedded engine is
    for those who run none: a server that is there but cannot serve is a fault to be told.
    """
    # A key is for a server that the user named, not for whatever listens on a usual port.
    anyone = request._replace(api_key=None)
    asked = [anyone._replace(provider=provider, base_url=url) for provider, url in candidates(request)]
    probe_deadline = deadline.within(PROBE_SECONDS)
    with ThreadPoolExecutor(len(asked)) as pool:
        probes = list(pool.map(lambda candidate: _probe(candidate, egress, probe_deadline), asked))
    answered = [probe for probe in probes if probe.info is not None]
    answered.sort(key=lambda probe: REASONS.index(probe.info.why) if probe.info and probe.info.why in REASONS else -1)
    silent = [probe for probe in probes if isinstance(probe.problem, (DeadlineError, StalledError))]
    problem: ModelError | None = None
    for probe in (*answered, *silent):
        try:
            return models.connect(probe.request, egress, deadline)
        except ModelError as error:
            problem = problem or error
    problem = problem or _telling(probes)
    if problem is not None:
        raise problem
    if embedded.is_installed() and request.name is None and not request.needs_server:
        return embedded.connect(request, egress, deadline)
    tried = ", ".join(str(probe.request.base_url) for probe in probes)
    raise UnreachableError(f"no model server is running on this machine (tried {tried})", hint=START_HINT)


class _Probe(NamedTuple):
    request: ModelRequest
    info: ModelInfo | None
    problem: ModelError | None


def _probe(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> _Probe:
    """What one candidate would give, without staying connected; what is not Ollama may speak the OpenAI wire there."""
    try:
        model = models.connect(request, egress, deadline)
    except WrongServerError as error:
        own = _Probe(request, None, error)
        other = _probe(request._replace(provider="openai"), egress, deadline) if request.provider == OLLAMA else own
        is_there = other.info is not None or isinstance(other.problem, (NotLocalError, ModelNotFoundError))
        return other if is_there else own
    except ModelError as error:
        return _Probe(request, None, error)
    model.close()
    return _Probe(request, model.info, None)


def _telling(probes: list[_Probe]) -> ModelError | None:
    """The first failure of a server that is there and is what it should be."""
    problems = (probe.problem for probe in probes)
    return next(
        (each for each in problems if each and not isinstance(each, (UnreachableError, WrongServerError))), None
    )


def candidates(request: ModelRequest) -> list[tuple[str, str]]:
    """Provider and base URL of each server that may be running here, the user's own Ollama first."""
    host = [("ollama", locality.ollama_url(request.ollama_host))] if request.ollama_host else []
    known = [
        ("ollama", ollama.DEFAULT_URL),
        ("lmstudio", lmstudio.DEFAULT_URL),
        *(("openai", url) for url in openai.DEFAULT_URLS),
    ]
    return host + [entry for entry in known if entry not in host]
