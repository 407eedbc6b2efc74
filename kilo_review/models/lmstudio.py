"""LM Studio: the OpenAI wire for answers, its native listing for what is loaded and how large its window is.

LM Studio answers unknown routes with status 200 and an `error`, so bodies are judged, not statuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import ModelNotFoundError, UnreachableError, WrongServerError
from kilo_review.core.outcome import ModelInfo
from kilo_review.models import locality
from kilo_review.models.base import AS_EVER, Survey, count_of, objects_in
from kilo_review.models.choose import Offer, choose
from kilo_review.models.completions import PENALTY, OpenAIModel
from kilo_review.models.concurrency import Width
from kilo_review.models.elsewhere import place_in, remote
from kilo_review.models.faults import Asked, fault, message_of
from kilo_review.models.openai import OK, refuse_cloud, with_v1
from kilo_review.models.transport import Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest, Reply
    from kilo_review.prompts import Message

DEFAULT_URL = "http://127.0.0.1:1234/v1"
SERVER = "LM Studio"
OWNER = "organization_owner"
"""`owned_by` of whatever it lists."""
START_HINT = "Start its server (Developer tab, or `lms server start`), or give its address with --base-url"
JIT_WINDOW = 4096
"""What LM Studio loads a model with if nobody says otherwise."""
GET = "lms ls shows what is there, lms get NAME gets more"
KEEP_SECONDS = 900
UNAUTHORIZED = 401


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> OpenAIModel:
    """Connect, choose a model, learn its window.

    Raises:
        ModelError: the server is not there, is something else, or lacks the model.
    """
    endpoint = locality.endpoint(with_v1(request.base_url or DEFAULT_URL), request.consent)
    asked = Asked(SERVER, endpoint.url, request.name or "", GET)
    key = request.api_key or request.lmstudio_key
    with Client(endpoint, egress, deadline, api_key=key).closed_on_failure() as client:
        try:
            offers = _offers(client, asked)
        except UnreachableError as error:
            raise UnreachableError(f"{SERVER}: {error.message}", hint=START_HINT) from None
        offer, why = choose(offers, request.name, asked, pull="lms get NAME")
        refuse_cloud(client, offer.name, OWNER)
        if offer.elsewhere:
            raise remote(offer.name, offer.elsewhere)
        wanted = request.parameters.get("num_ctx")
        window = offer.window or (wanted if isinstance(wanted, int) else JIT_WINDOW)
        info = ModelInfo("lmstudio", offer.name, endpoint.url, window, local=endpoint.is_local, why=why)
        asked = Asked(SERVER, endpoint.url, offer.name, GET)
        model = LMStudioModel(client, info, request.parameters, asked, {"ttl": KEEP_SECONDS}, PENALTY)
        model.width = Width(offer.parallel, offer.parallel) if offer.parallel else USUAL_WIDTH
        model.given = frozenset(request.options)
        return model


def survey(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Survey:
    """What this server offers; raises as `connect` does."""
    endpoint = locality.endpoint(with_v1(request.base_url or DEFAULT_URL), request.consent)
    client = Client(endpoint, egress, deadline, api_key=request.api_key or request.lmstudio_key)
    try:
        offers = tuple(_offers(client, Asked(SERVER, endpoint.url, get=GET)))
    finally:
        client.close()
    return Survey("lmstudio", SERVER, endpoint.url, "", offers, is_local=endpoint.is_local)


USUAL_WIDTH = Width(1, 4)
"""Its own default is four at once, since 0.4; the older listing does not tell."""


class LMStudioModel(OpenAIModel):
    """A model in LM Studio, where thinking is switched in its settings alone."""

    @property
    def takes_switch(self) -> bool:
        """It does not."""
        return False

    @property
    def remedy(self) -> str:
        """See `OpenAIModel.remedy`."""
        return "Switch thinking off for the model in LM Studio"

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,
    ) -> Reply:
        """See `Model.ask`. Versions before 0.4 answer with the loaded model whatever name was asked for."""
        reply = super().ask(messages, schema, deadline, sampling)
        if reply.model and not _same_model(reply.model, self.info.name):
            raise ModelNotFoundError(
                f"{SERVER} answered with {reply.model!a} instead of {self.info.name!a}",
                hint=f"Load it: lms load {self.info.name}",
            )
        return reply


def _same_model(one: str, other: str) -> bool:
    """Whether two names can mean one model: a publisher before it and a variant after it may be left out."""

    def bare(name: str) -> str:
        return name.lower().rpartition("/")[2].partition("@")[0]

    return bare(one) == bare(other)


def _offers(client: Client, asked: Asked) -> list[Offer]:
    """Its models: by the native listing of 0.4, of 0.3, or the OpenAI one, which knows no windows."""
    said, is_lmstudio = "", False
    for path, read in (
        ("/api/v1/models", _native_v1),
        ("/api/v0/models", _native_v0),
        ("/v1/models", _plain),
    ):
        answer = client.get(path, beside="/v1")
        said = answer.body.decode("utf-8", "replace")
        is_lmstudio = is_lmstudio or "unexpected endpoint or method" in said.lower()
        if answer.status == UNAUTHORIZED:
            raise fault(asked, answer.status, said)
        data = answer.json()
        offers = read(data) if answer.status == OK and isinstance(data, dict) else None
        if offers is not None and (read is not _plain or is_lmstudio):
            return offers
    raise WrongServerError(
        f"something answers at {asked.url}, but not as {SERVER} does ({message_of(said)})",
        hint=f"Is the base URL right? {SERVER}: {DEFAULT_URL}",
    )


def _native_v1(data: dict[str, Any]) -> list[Offer] | None:
    models = data.get("models")
    if not isinstance(models, list):
        return None
    entries = [entry for entry in models if isinstance(entry, dict) and isinstance(entry.get("key"), str)]
    return [offer for entry in entries for offer in _offers_v1(entry)]


def _offers_v1(entry: dict[str, Any]) -> list[Offer]:
    """The model under its key, and each loaded instance under the identifier that its user gave it."""
    told = {str(each.get("id")): each.get("config") for each in objects_in(entry.get("loaded_instances"))}
    settings: dict[str, Mapping[str, Any]] = {
        name: each if isinstance(each, dict) else {} for name, each in told.items()
    }
    windows = {name: _positive(config.get("context_length")) for name, config in settings.items()}
    parallel = {name: _positive(config.get("parallel")) for name, config in settings.items()}
    key = entry["key"]
    size, is_chat = _positive(entry.get("size_bytes")) or 0, entry.get("type") != "embedding"
    first = windows.get(key) or next(iter(windows.values()), None)
    largest, place = _positive(entry.get("max_context_length")), place_in(entry)
    named = [
        Offer(name, True, window, size, is_chat, place, largest=largest, parallel=parallel[name])
        for name, window in windows.items()
        if name != key
    ]
    own = parallel.get(key) or next(iter(parallel.values()), None)
    return [Offer(key, bool(told), first, size, is_chat, place, largest=largest, parallel=own), *named]


def _native_v0(data: dict[str, Any]) -> list[Offer] | None:
    models = data.get("data")
    if not isinstance(models, list) or not any(isinstance(entry, dict) and "state" in entry for entry in models):
        return None
    return [
        Offer(
            name=entry["id"],
            is_loaded=entry.get("state") == "loaded",
            window=_positive(entry.get("loaded_context_length")),
            is_chat=entry.get("type") != "embeddings",
            elsewhere=place_in(entry),
            largest=_positive(entry.get("max_context_length")),
        )
        for entry in models
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]


def _plain(data: dict[str, Any]) -> list[Offer] | None:
    models = data.get("data")
    if not isinstance(models, list):
        return None
    entries = [entry for entry in objects_in(models) if isinstance(entry.get("id"), str)]
    return [Offer(entry["id"], elsewhere=place_in(entry)) for entry in entries]


def _positive(value: object) -> int | None:
    return count_of(value) or None
