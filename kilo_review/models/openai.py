"""The OpenAI wire: `/v1/chat/completions` with server-sent events.

Spoken by llama-server, vLLM, LocalAI, LiteLLM and LM Studio; `lmstudio.py` and `embedded.py` build on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kilo_review.errors import ModelError, NotLocalError, UnreachableError, WrongServerError
from kilo_review.models import litellm, locality
from kilo_review.models.base import DEFAULT_WINDOW, Survey, count_of
from kilo_review.models.choose import Offer, choose
from kilo_review.models.completions import OLLAMA, PENALTY, OpenAIModel
from kilo_review.models.faults import ANY_SERVER, Asked, fault, leaves_open, message_of
from kilo_review.models.transport import Client
from kilo_review.outcome import ModelInfo
from kilo_review.throttle import Width

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.deadline import Deadline
    from kilo_review.models.base import ModelRequest
    from kilo_review.outcome import Egress

DEFAULT_URLS = ("http://127.0.0.1:8080/v1", "http://127.0.0.1:9931/v1", "http://127.0.0.1:8000/v1")
"""llama-server (both its ports: it is moving), then vLLM."""
OK = 200
START_HINT = "Start it, for example: llama-server -m MODEL.gguf, or give its address with --base-url"
THINKING_SWITCH = {"llamacpp", "vllm"}
"""Servers (`owned_by`) that take `chat_template_kwargs`; others may refuse an unknown field."""
THINKING_OFF: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}

BATCHING = Width(4, 64)
UNKNOWN = Width(1, 8)
SERVERS = {"llamacpp": "llama-server", "vllm": "vLLM"}
"""By `owned_by` of their listings."""
PENALTIES = {"llamacpp": PENALTY, "vllm": "repetition_penalty"}


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> OpenAIModel:
    """Connect to the configured server, or to the first of the usual ports that answers.

    Raises:
        UnreachableError: none answers.
    """
    if request.base_url:
        return connect_to(request.base_url, request, egress, deadline)
    problem: ModelError | None = None
    for url in DEFAULT_URLS:
        try:
            return connect_to(url, request, egress, deadline)
        except (UnreachableError, WrongServerError):
            continue
        except ModelError as error:
            problem = problem or error
    raise problem or UnreachableError(
        f"no OpenAI-compatible server answers at {', '.join(DEFAULT_URLS)}", hint=START_HINT
    )


def connect_to(url: str, request: ModelRequest, egress: list[Egress], deadline: Deadline) -> OpenAIModel:
    """Connect to one server: find its model and the model's window."""
    endpoint = locality.endpoint(with_v1(url), request.consent)
    asked = Asked(ANY_SERVER, endpoint.url, request.name or "")
    with Client(endpoint, egress, deadline, api_key=request.api_key).closed_on_failure() as client:
        try:
            listed = _models(client, asked)
        except UnreachableError as error:
            raise UnreachableError(error.message, hint=START_HINT) from None
        servers = _behind(client, listed)
        offer, why = choose(_offers(listed, servers, request), request.name, asked)
        owner = next((str(entry.get("owned_by")) for entry in listed if entry.get("id") == offer.name), "")
        refuse_cloud(client, offer.name, owner)
        litellm.refuse_elsewhere(offer)
        facts = {} if offer.window or servers else _props(client, offer.name)
        window = offer.window or _window(request, facts)
        extra = litellm.ALONE if servers else THINKING_OFF if owner in THINKING_SWITCH else {}
        asked = Asked(litellm.SERVER if servers else ANY_SERVER, endpoint.url, offer.name)
        is_local = endpoint.is_local and litellm.is_local(offer.name, servers)
        info = ModelInfo("openai", offer.name, endpoint.url, window, local=is_local, why=why)
        model = OpenAIModel(client, info, request.parameters, asked, extra, PENALTIES.get(owner, ""))
        model.width = _width(owner, facts)
        model.owner = owner
        return model


def _behind(client: Client, listed: Sequence[Mapping[str, Any]]) -> list[litellm.Deployment]:
    """The servers behind a proxy; only what lists models as LiteLLM does is asked for them."""
    return litellm.deployments(client) if any(entry.get("owned_by") == litellm.OWNER for entry in listed) else []


def _offers(
    listed: Sequence[Mapping[str, Any]], servers: Sequence[litellm.Deployment], request: ModelRequest
) -> list[Offer]:
    offers = [_offer(entry) for entry in listed]
    return [litellm.told(offer, servers, request.consent) for offer in offers] if servers else offers


def _width(owner: str, facts: Mapping[str, Any]) -> Width:
    """As many as llama-server has slots; vLLM takes what comes; of any other nothing is known, so it is tried out."""
    slots = count_of(facts.get("total_slots"))
    if slots:
        return Width(slots, slots)
    return BATCHING if owner == "vllm" else UNKNOWN


def survey(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Survey:
    """What the server at the given address offers; raises as `connect_to` does."""
    endpoint = locality.endpoint(with_v1(request.base_url or DEFAULT_URLS[0]), request.consent)
    client = Client(endpoint, egress, deadline, api_key=request.api_key)
    try:
        listed = _models(client, Asked(ANY_SERVER, endpoint.url))
        servers = _behind(client, listed)
        owner = next((str(entry.get("owned_by")) for entry in listed), "")
        facts = _props(client) if owner == "llamacpp" else {}
        version = client.get("/version", beside="/v1").json() if owner == "vllm" else None
    finally:
        client.close()
    window, told = _slot_window(facts), facts.get("build_info")
    told = version.get("version") if isinstance(version, dict) else told
    offers = _offers(listed, servers, request)
    maker = litellm.SERVER if servers else SERVERS.get(owner, "an OpenAI-compatible server")
    return Survey(
        *("openai", maker, endpoint.url, _string(told)),
        tuple(_shown(replace(each, is_loaded=owner in SERVERS, window=each.window or window)) for each in offers),
        is_local=endpoint.is_local,
        slots=count_of(facts.get("total_slots")) or None,
    )


def _shown(offer: Offer) -> Offer:
    """With where it runs; a review that would choose it is refused with that reason (`refuse_cloud`)."""
    return replace(offer, elsewhere="ollama.com" if locality.is_cloud_name(offer.name) else offer.elsewhere)


def refuse_cloud(client: Client, name: str, owner: str = "") -> None:
    """Ollama speaks this wire too, and hides on it that a model is a cloud model: its native wire is asked.

    Args:
        client: the connection.
        name: the model's.
        owner: whom the listing calls its owner.

    Raises:
        NotLocalError: the model runs elsewhere.
        ModelError: the server does not answer what kind of server it is.
    """
    locality.refuse_remote_name(name)
    answer = client.get("/api/version", beside="/v1")
    version = answer.json()
    is_ollama = owner == OLLAMA or (isinstance(version, dict) and isinstance(version.get("version"), str))
    if not is_ollama and leaves_open(answer.status):
        raise fault(Asked(ANY_SERVER, client.endpoint.url, name), answer.status, answer.body.decode("utf-8", "replace"))
    if is_ollama:
        answer = client.post("/api/show", {"model": name}, beside="/v1")
        shown = answer.json()
        if answer.status != OK or not isinstance(shown, dict) or shown.get("error"):
            raise NotLocalError(
                f"Ollama at {client.endpoint.origin} does not tell where {name!a} runs; nothing was sent",
                hint="Use --provider ollama, which asks it in its own way",
            )
        locality.refuse_remote_model(name, shown)


def with_v1(url: str) -> str:
    """A base URL that ends in exactly one `/v1`."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"


def _models(client: Client, asked: Asked) -> list[dict[str, Any]]:
    answer = client.get("/models")
    data = answer.json()
    listed = data.get("data") if isinstance(data, dict) else None
    if answer.status != OK or not isinstance(listed, list):
        text = answer.body.decode("utf-8", "replace")
        if answer.status == OK:
            raise WrongServerError(
                f"something answers at {asked.url}, but not with a list of models ({message_of(text)})",
                hint="Is the base URL right? It usually ends in /v1",
            )
        raise fault(asked, answer.status, text)
    return [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _offer(entry: Mapping[str, Any]) -> Offer:
    meta = entry.get("meta")
    facts = meta if isinstance(meta, dict) else {}
    return Offer(
        entry["id"],
        window=count_of(entry.get("max_model_len")) or None,
        size=count_of(facts.get("size")),
        largest=count_of(facts.get("n_ctx_train")) or None,
    )


def _window(request: ModelRequest, facts: Mapping[str, Any]) -> int:
    """The window where the listing has none: llama-server's /props, else what the user says, else a guess."""
    wanted = request.parameters.get("num_ctx")
    told = _slot_window(facts)
    if told:
        return min(told, wanted) if isinstance(wanted, int) else told
    return wanted if isinstance(wanted, int) else DEFAULT_WINDOW


def _props(client: Client, model: str = "") -> dict[str, Any]:
    """What llama-server tells of itself; `/props` lies beside `/v1`, not in it. Other servers do not have it.

    One that has several models (its router mode) tells it of the one that is named, and must not load it for this.
    """
    which = f"?model={quote(model, safe='', errors='replace')}&autoload=false" if model else ""
    data = client.get(f"/props{which}", beside="/v1").json()
    return data if isinstance(data, dict) else {}


def _slot_window(facts: Mapping[str, Any]) -> int | None:
    settings = facts.get("default_generation_settings")
    return (count_of(settings.get("n_ctx")) or None) if isinstance(settings, dict) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
