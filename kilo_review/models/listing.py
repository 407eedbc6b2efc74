"""Read the listing of the OpenAI wire: whose it is, which models it has, which are loaded, and where they run.

`owned_by` names the server before any emulation is believed: several of them answer on Ollama's routes as well.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from kilo_review.core.errors import WrongServerError
from kilo_review.models.base import count_of, objects_in
from kilo_review.models.choose import FAILED, LOADED, LOADING, SLEEPING, UNLOADED, Offer
from kilo_review.models.elsewhere import OLLAMA_CLOUD, is_cloud_name, place_in
from kilo_review.models.faults import base_before_route, fault, message_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kilo_review.models.consent import Consent
    from kilo_review.models.faults import Asked
    from kilo_review.models.transport import Answer, Client

OK = 200
LLAMA_SERVER, VLLM, LLAMA_SWAP, KOBOLDCPP = "llamacpp", "vllm", "llama-swap", "koboldcpp"
OLLAMA = "library"
"""`owned_by` of what Ollama lists from its library; of other models it is their namespace, whatever that is."""
NO_OWNER = ""
"""LocalAI and mlx_lm.server name none; Ollama always does."""
SERVERS = {
    LLAMA_SERVER: "llama-server",
    VLLM: "vLLM",
    LLAMA_SWAP: "llama-swap",
    KOBOLDCPP: "KoboldCpp",
    "lemonade": "Lemonade",
    "docker": "Docker Model Runner",
    "sglang": "SGLang",
    "ovms": "OpenVINO Model Server",
    "humanity": "GPT4All",
}
"""By `owned_by` of their listings, in lower case."""
ALWAYS_LOADED = frozenset({LLAMA_SERVER, VLLM, KOBOLDCPP, "sglang"})
"""Servers that have loaded what they list, unless the listing says otherwise."""
STATES = {
    **dict.fromkeys(("loaded", "ready", "running", "active"), LOADED),
    **dict.fromkeys(("loading", "starting"), LOADING),
    **dict.fromkeys(("sleeping", "asleep", "idle"), SLEEPING),
    **dict.fromkeys(("failed", "error", "crashed"), FAILED),
}
"""As llama-server's router and llama-swap name them; every other one is not loaded."""
COLLECTION = "collection"
"""Beginning of the `recipe` of what Lemonade puts together of other models (`components`)."""


class Listing(NamedTuple):
    """What a server lists.

    Attributes:
        entries: its models, as it describes them.
        kind: the server, as `SERVERS` has it; "" if it is not known.
        headers: of the answer.
        running: the models that llama-swap has started, as it describes them, by name; None for other servers.
    """

    entries: list[dict[str, Any]]
    kind: str
    headers: Mapping[str, str]
    running: Mapping[str, Mapping[str, Any]] | None = None

    @property
    def has_states(self) -> bool:
        """Whether it tells of its models which are loaded."""
        return self.running is not None or any(_state(entry) for entry in self.entries)

    def owner_of(self, name: str) -> str:
        """The server as it names itself beside one model."""
        entry = next((entry for entry in self.entries if entry["id"] == name), {})
        return self.kind if self.kind == KOBOLDCPP else _owner(entry)


def bases(url: str) -> list[str]:
    """Return the base URLs that a given one can mean: one with a path as it is, and then with `/v1`."""
    url = url.rstrip("/")
    try:
        path = urlsplit(url).path
    except ValueError:
        path = ""  # refused with its reason where it is used
    if not path:
        return [f"{url}/v1"]
    return [url] if path.endswith("/v1") else [url, f"{url}/v1"]


def beside(url: str) -> str:
    """Return the end of a base URL that a server's own routes do not lie below: `/v1`, `/v3`, or none."""
    found = re.search(r"/v\d{1,3}$", url)
    return found[0] if found else ""


def read(client: Client, asked: Asked) -> Listing:
    """Read a server's listing.

    Raises:
        WrongServerError: what answers has none.
        ModelError: the server failed.
    """
    answer = client.get("/models")
    entries = _entries(answer)
    if entries is None:
        text = answer.body.decode("utf-8", "replace")
        if answer.status == OK:
            raise WrongServerError(
                f"something answers at {asked.url}, but not with a list of models ({message_of(text)})",
                hint=f"Is the base URL right? {base_before_route(asked.url) or 'It usually ends in /v1'}",
            )
        raise fault(asked, answer.status, text)
    kind = _kind(entries, answer.headers)
    running = _running(client) if kind == LLAMA_SWAP else None
    return Listing(entries, kind, answer.headers, running)


def imitation(answer: Answer) -> str:
    """Return the name of the server that an answer to `/v1/models` is of, if that is one that only imitates Ollama."""
    entries = _entries(answer) or []
    owners = set(map(_owner, entries))
    kind = _kind(entries, answer.headers)
    if kind and (len(owners) == 1 or kind == KOBOLDCPP):
        return SERVERS[kind]
    return "another server" if owners == {NO_OWNER} else ""


def _entries(answer: Answer) -> list[dict[str, Any]] | None:
    data = answer.json()
    listed = data.get("data") if isinstance(data, dict) else None
    if answer.status != OK or not isinstance(listed, list):
        return None
    return [entry for entry in objects_in(listed) if _is_name(entry.get("id"))]


def _is_name(value: object) -> bool:
    """Tell whether a value is a text that can be sent: halves of surrogate pairs cannot."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _kind(entries: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> str:
    if "koboldcpp" in headers.get("server", "").lower():
        return KOBOLDCPP
    return next((owner for entry in entries if (owner := _owner(entry)) in SERVERS), "")


def _owner(entry: Mapping[str, Any]) -> str:
    return str(entry.get("owned_by") or NO_OWNER).lower()


def _running(client: Client) -> dict[str, Mapping[str, Any]] | None:
    told = client.get("/running", beside=beside(client.endpoint.url)).json()
    started = told.get("running") if isinstance(told, dict) else None
    return {str(each.get("model")): each for each in objects_in(started)} if isinstance(started, list) else None


def offers(listing: Listing, consent: Consent) -> list[Offer]:
    """Return its models, each with its state and where it runs."""
    found = [_offer(entry, listing, consent) for entry in listing.entries]
    afar = {offer.name: offer.elsewhere for offer in found}
    parts = {str(entry["id"]): _components(entry) for entry in listing.entries}
    return [replace(each, elsewhere=each.elsewhere or _part_afar(parts[each.name], afar)) for each in found]


def _offer(entry: Mapping[str, Any], listing: Listing, consent: Consent) -> Offer:
    meta = entry.get("meta")
    facts = meta if isinstance(meta, dict) else {}
    name = str(entry["id"])
    started = (listing.running or {}).get(name)
    state = _word(started.get("state")) or LOADED if started else _state(entry)
    if not state and listing.has_states:
        state = UNLOADED
    is_loaded = state == LOADED or (not state and _owner(entry) in ALWAYS_LOADED)
    place = OLLAMA_CLOUD if is_cloud_name(name) else place_in(entry, consent) or place_in(started, consent)
    return Offer(
        name,
        is_loaded=is_loaded,
        window=count_of(entry.get("max_model_len")) or None,
        size=count_of(facts.get("size")),
        elsewhere=place,
        largest=count_of(facts.get("n_ctx_train")) or None,
        state=state,
    )


def _state(entry: Mapping[str, Any]) -> str:
    """Return the state that an entry tells; "" if it tells none."""
    status = entry.get("status", entry.get("state"))
    if not isinstance(status, dict):
        return _word(status)
    return FAILED if status.get("failed") is True else _word(status.get("value"))


def _word(value: object) -> str:
    return STATES.get(value.lower(), UNLOADED) if isinstance(value, str) and value else ""


def _components(entry: Mapping[str, Any]) -> list[str]:
    """Return the models that another one is put together of: a request may go to any of them."""
    if not str(entry.get("recipe")).startswith(COLLECTION):
        return []
    parts = entry.get("components") or entry.get("composite_models")
    return [str(part) for part in parts] if isinstance(parts, list) and parts else [""]


def _part_afar(parts: Sequence[str], afar: Mapping[str, str]) -> str:
    """Return where one of the parts runs, if that is another machine, or is not told."""
    return next((place for part in parts if (place := afar.get(part, "a place that its listing does not tell"))), "")
