"""The OpenAI wire: `/v1/chat/completions` with server-sent events.

Spoken by llama-server, vLLM, LocalAI, LiteLLM and LM Studio; `lmstudio.py` and `embedded.py` build on it.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from kilo_review.core.errors import ModelError, NotLocalError, ServerFailedError, UnreachableError, WrongServerError
from kilo_review.core.outcome import ModelInfo
from kilo_review.models import listing, litellm, locality
from kilo_review.models.base import DEFAULT_WINDOW, Survey, count_of
from kilo_review.models.choose import Offer, choose
from kilo_review.models.completions import PENALTY, OpenAIModel
from kilo_review.models.concurrency import Width
from kilo_review.models.elsewhere import ANY_HINT, refuse_remote_model, refuse_remote_name, remote
from kilo_review.models.faults import ANY_SERVER, Asked, fault, leaves_open
from kilo_review.models.transport import Client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest

DEFAULT_URLS = ("http://127.0.0.1:8080/v1", "http://127.0.0.1:9931/v1", "http://127.0.0.1:8000/v1")
"""llama-server (both its ports: it is moving), then vLLM."""
OK = 200
UNKNOWN_ROUTE = frozenset({404, 405, 501})
START_HINT = "Start it, for example: llama-server -m MODEL.gguf, or give its address with --base-url"
THINKING_SWITCH = {"llamacpp", "vllm"}
"""Servers (`owned_by`) that take `chat_template_kwargs`; others may refuse an unknown field."""
THINKING_OFF: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}

BATCHING = Width(4, 64)
UNKNOWN = Width(1, 8)
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
    client, listed = _open(url, request, egress, deadline)
    with client.closed_on_failure():
        asked = Asked(ANY_SERVER, client.endpoint.url, request.name or "")
        servers = _behind(client, listed)
        offer, why = choose(_offers(listed, servers, request), request.name, asked)
        owner = listed.owner_of(offer.name)
        refuse_cloud(client, offer.name, owner)
        _refuse_elsewhere(offer, behind_a_proxy=bool(servers))
        facts = {} if offer.window or servers or owner == listing.LLAMA_SWAP else _props(client, offer.name)
        refuse_remote_model(offer.name, facts, hint=ANY_HINT, consent=request.consent)
        window = offer.window or _window(request, facts)
        extra = litellm.ALONE if servers else THINKING_OFF if owner in THINKING_SWITCH else {}
        asked = Asked(litellm.SERVER if servers else ANY_SERVER, client.endpoint.url, offer.name)
        is_local = client.endpoint.is_local and litellm.is_local(offer.name, servers)
        info = ModelInfo("openai", offer.name, client.endpoint.url, window, local=is_local, why=why)
        model = OpenAIModel(client, info, request.parameters, asked, extra, PENALTIES.get(owner, ""))
        model.width = _width(owner, facts)
        model.owner = owner
        model.given = frozenset(request.options)
        return model


def _open(url: str, request: ModelRequest, egress: list[Egress], deadline: Deadline) -> tuple[Client, listing.Listing]:
    """Connect to the first of the base URLs that can be meant which has a listing.

    Raises:
        ModelError: none has; of several, what the one that was given said.
    """
    problem: ModelError | None = None
    for base in listing.bases(url):
        endpoint = locality.endpoint(base, request.consent)
        with Client(endpoint, egress, deadline, api_key=request.api_key).closed_on_failure() as client:
            try:
                return client, listing.read(client, Asked(ANY_SERVER, endpoint.url))
            except UnreachableError as error:
                raise UnreachableError(error.message, hint=START_HINT) from None
            except (WrongServerError, ServerFailedError) as error:
                client.close()
                problem = problem or error
    assert problem
    raise problem


def _behind(client: Client, listed: listing.Listing) -> list[litellm.Deployment]:
    """The servers behind a proxy; only what lists models as LiteLLM does, or says that it is that, is asked for them.

    Raises:
        NotLocalError: it does not tell.
    """
    is_named = any(name.startswith("x-litellm-") for name in listed.headers)
    if not is_named and all(entry.get("owned_by") != litellm.OWNER for entry in listed.entries):
        return []
    return litellm.deployments(client, is_certain=is_named)


def _offers(listed: listing.Listing, servers: Sequence[litellm.Deployment], request: ModelRequest) -> list[Offer]:
    offers = listing.offers(listed, request.consent)
    return [litellm.told(offer, servers, request.consent) for offer in offers] if servers else offers


def _refuse_elsewhere(offer: Offer, *, behind_a_proxy: bool) -> None:
    """Stop before anything is sent to a server that would pass it on.

    Raises:
        NotLocalError: the model runs on another machine.
    """
    if behind_a_proxy:
        litellm.refuse_elsewhere(offer)
    elif offer.elsewhere:
        raise remote(offer.name, offer.elsewhere)


def _width(owner: str, facts: Mapping[str, Any]) -> Width:
    """As many as llama-server has slots; vLLM takes what comes; of any other nothing is known, so it is tried out."""
    slots = count_of(facts.get("total_slots"))
    if slots:
        return Width(slots, slots)
    return BATCHING if owner == listing.VLLM else UNKNOWN


def survey(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Survey:
    """What the server at the given address offers; raises as `connect_to` does."""
    client, listed = _open(request.base_url or DEFAULT_URLS[0], request, egress, deadline)
    with closing(client):
        servers = _behind(client, listed)
        offers = [_with_window(client, each, listed) for each in _offers(listed, servers, request)]
        facts = _props(client) if listed.kind == listing.LLAMA_SERVER else {}
        version = _version(client) if listed.kind == listing.VLLM else facts.get("build_info")
    maker = litellm.SERVER if servers else listing.SERVERS.get(listed.kind, "an OpenAI-compatible server")
    window = None if listed.has_states else _slot_window(facts)
    return Survey(
        *("openai", maker, client.endpoint.url, _string(version)),
        tuple(replace(each, window=each.window or window) for each in offers),
        is_local=client.endpoint.is_local,
        slots=count_of(facts.get("total_slots")) or None,
    )


def _with_window(client: Client, offer: Offer, listed: listing.Listing) -> Offer:
    """With the window of a model that llama-server's router has loaded; asking for it loads no other."""
    is_told = bool(offer.window) or not (listed.has_states and offer.is_loaded and not offer.elsewhere)
    if is_told or listed.kind != listing.LLAMA_SERVER:
        return offer
    return replace(offer, window=_slot_window(_props(client, offer.name)))


def _version(client: Client) -> object:
    told = client.get("/version", beside=listing.beside(client.endpoint.url)).json()
    return told.get("version") if isinstance(told, dict) else ""


def refuse_cloud(client: Client, name: str, owner: str) -> None:
    """Ollama speaks this wire too, and hides on it that a model is a cloud model: its native wire is asked.

    Others answer as Ollama does on some of its routes. What they say there of a model is honoured if it says that it
    runs elsewhere; one that names itself, and does not know the question, is not Ollama.

    Args:
        client: the connection.
        name: the model's.
        owner: whom the listing calls its owner.

    Raises:
        NotLocalError: the model runs elsewhere.
        ModelError: the server does not answer what kind of server it is.
    """
    refuse_remote_name(name)
    first, *others = dict.fromkeys((listing.beside(client.endpoint.url), urlsplit(client.endpoint.url).path))
    told = _detail(client, name, owner, first) if _answers_as_ollama(client, name, owner, first) else {}
    for route in others:  # behind a prefix of a proxy its own routes may lie beside that
        with suppress(WrongServerError):
            if _answers_as_ollama(client, name, owner, route, is_certain=False):
                told = _detail(client, name, owner, route) or told
    if told is None:
        raise NotLocalError(
            f"Ollama at {client.endpoint.origin} does not tell where {name!a} runs; nothing was sent",
            hint="Use --provider ollama, which asks it in its own way",
        )
    refuse_remote_model(name, told)


def _answers_as_ollama(client: Client, name: str, owner: str, route: str, *, is_certain: bool = True) -> bool:
    answer = client.get("/api/version", beside=route)
    version = answer.json()
    is_ollama = owner == listing.OLLAMA or (isinstance(version, dict) and isinstance(version.get("version"), str))
    if not is_ollama and is_certain and leaves_open(answer.status):
        raise fault(Asked(ANY_SERVER, client.endpoint.url, name), answer.status, answer.body.decode("utf-8", "replace"))
    return is_ollama


def _detail(client: Client, name: str, owner: str, route: str) -> dict[str, Any] | None:
    """What it tells of a model; {} if it is a server of another name, without that route; None if it tells nothing."""
    answer = client.post("/api/show", {"model": name}, beside=route)
    shown = answer.json()
    if answer.status == OK and isinstance(shown, dict) and not shown.get("error"):
        return shown
    is_another = owner == listing.NO_OWNER or owner in listing.SERVERS
    return {} if is_another and answer.status in UNKNOWN_ROUTE else None


def with_v1(url: str) -> str:
    """A base URL that ends in exactly one `/v1`."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"


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
    data = client.get(f"/props{which}", beside=listing.beside(client.endpoint.url)).json()
    return data if isinstance(data, dict) else {}


def _slot_window(facts: Mapping[str, Any]) -> int | None:
    settings = facts.get("default_generation_settings")
    return (count_of(settings.get("n_ctx")) or None) if isinstance(settings, dict) else None


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
