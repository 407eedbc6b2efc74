"""Read what a server says about a model that runs on another machine: in a listing, a detail, an answer, a header.

A server on this machine may pass on what it gets. Several say so, each in its own words: Ollama `remote_host`, Lemonade
`"recipe": "cloud"` and `cloud_provider`, llama-swap `meta.llamaswap.type: "peer"` (older ones only `peerID`), LiteLLM
`x-litellm-model-api-base`, LocalAI `X-LocalAI-Node`, Open WebUI `"connection_type": "external"`. So words are
recognised instead of exact fields.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kilo_review.core.errors import NotLocalError
from kilo_review.models.consent import NO_CONSENT, Consent, plain_name
from kilo_review.models.locality import is_loopback
from kilo_review.sanitize.terminal import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OLLAMA_CLOUD = "ollama.com"
OLLAMA_HINT = "Choose a local model (`ollama list` shows sizes; a cloud model has none)"
ANY_HINT = "Choose a model that runs on this machine (`kilo-review models` shows where each runs)"
UNNAMED = "another machine"
LONGEST_PLACE = 120
DEEPEST, MOST = 6, 200
"""Levels of an answer, and entries of a list, that are looked at."""

_AFAR = ("cloud", "remote", "peer", "federated", "p2p", "deviceidentifier")
"""Beginnings of words that mean another machine, as a field's name or, in the fields of `_KINDS`, as its value."""
_PASSED_ON = frozenset({"proxy", "proxied", "external", "upstream", "saas"})
"""Words that mean the same as the value of one of the `_KINDS`. As a field's name they tell an address, or a link."""
_AMBIGUOUS = frozenset({"external", "upstream"})
"""Of these, words that in the fields of `_OF_FILES` may tell where a file, a program or a GPU came from."""
_OF_FILES = frozenset({"source", "origin", "device", "devicetype", "engine", "backend", "runtime"})
_MARKS = frozenset({"external", "isexternal", "proxied", "isproxied"})
"""Fields that mean another machine where they are true."""
_HARMLESS = frozenset(
    {*("code", "trust", "support", "supports", "supported", "disabled", "allow", "allowed", "max", "timeout", "count")}
)
"""Words that make such a field's name mean something else, such as `trust_remote_code`."""
_KINDS = frozenset(
    {"recipe", "type", "kind", "backend", "runtime", "location", "mode", "placement", "engine", "hosting", "execution"}
    | {"runson", "deployment", "source", "origin", "device", "hosttype", "modeltype", "connectiontype", "devicetype"}
    | {"executionprovider"}
)
_PROVIDERS = frozenset({"provider", "providername", "upstreamprovider", "inferenceprovider", "vendor"})
_CLOUDS = frozenset(
    {"openai", "anthropic", "google", "gemini", "vertex", "vertexai", "azure", "azureopenai", "bedrock", "amazon"}
    | {"aws", "mistral", "mistralai", "groq", "cerebras", "fireworks", "fireworksai", "together", "togetherai"}
    | {"openrouter", "deepinfra", "deepseek", "cohere", "perplexity", "xai", "novita", "novitaai", "sambanova"}
    | {"hyperbolic", "replicate", "nebius", "siliconflow", "moonshot", "moonshotai", "zai", "alibaba", "dashscope"}
    | {"ollamacloud", "ollamacom", "nvidianim", "cloudflare", "huggingfaceinference", "lambda", "friendli", "parasail"}
    | {"amazonbedrock", "awsbedrock", "googlevertex", "googlevertexai", "githubcopilot"}
)
_SERVICES = frozenset(
    {
        "anthropic",
        "azure",
        "azureopenai",
        "bedrock",
        "amazonbedrock",
        "awsbedrock",
        "vertex",
        "vertexai",
        "googlevertex",
    }
    | {"googlevertexai", "openrouter", "deepinfra", "togetherai", "fireworks", "openaiinternal", "githubcopilot"}
)
"""Names of services alone: no engine has them, and no publisher of models that run here, as google is one."""
_BACKENDS = _SERVICES | {"openai", "gemini", "groq", "cohere", "xai", "perplexity", "cerebras", "fireworksai"}
"""Names that no engine has; those of publishers included."""
_ENGINE_FIELDS = frozenset({"backend", "engine"})
_OWNERS = frozenset({"openai", "system", "google"})
"""Owners that local servers name as well; beside a model that these makers never gave away they mean their service."""
_CLOSED = re.compile(r"(?:[\w.-]+/)?(?:gpt-(?:3\.5|4|5)|chatgpt-|o[134](?:-|$)|gemini-)", re.IGNORECASE)
_ADDRESSES = frozenset(
    {"apibase", "baseurl", "apiurl", "apihost", "proxy", "proxyurl", "upstream", "upstreamurl", "backendurl"}
    | {"serverurl", "targeturl", "endpoint", "endpointurl", "host", "hostname", "node", "servedby", "worker"}
    | {"forwardedto", "proxiedto"}
)
"""Fields that name the machine which answers."""
_ADDRESS_WORDS = frozenset({"addr", "address", "ip", "port"})
_LOCALLY = frozenset({"local", "islocal", "runslocally", "ondevice"})
_TAGS = frozenset({"tags", "labels", "flags"})
_COMMANDS = frozenset({"args", "cmd", "command", "argv"})
_IGNORED = frozenset(
    {"choices", "usage", "timings", "messages", "webuisettings", "uisettings", "license", "modelfile", "template"}
)
_NO = frozenset({"", "none", "null", "false", "no", "0", "local", "localhost", "off", "disabled", "n/a"})
_ENGINES = frozenset(
    {"llama", "cpp", "llamacpp", "vllm", "ollama", "mlx", "lm", "studio", "lmstudio", "sglang", "tgi", "onnx"}
    | {"openvino", "koboldcpp", "lemonade", "localai", "ort", "genai", "cpu", "cuda", "rocm", "metal", "vulkan"}
)
"""Words of which no machine's name is made: engines, and what they run on."""
_HARDWARE = _ENGINES | {
    *("gpu", "gpus", "igpu", "dgpu", "npu", "apu", "tpu", "xpu", "hip", "sycl", "opencl", "directml", "dml", "hybrid"),
    *(
        "amd",
        "nvidia",
        "intel",
        "apple",
        "arm",
        "ryzen",
        "ryzenai",
        "ai",
        "rtx",
        "gtx",
        "rx",
        "radeon",
        "geforce",
        "arc",
    ),
    *(
        "auto",
        "device",
        "host",
        "server",
        "here",
        "this",
        "machine",
        "memory",
        "ram",
        "vram",
        "x86",
        "x64",
        "accelerator",
    ),
}
"""What a field that tells what a model runs on may name beside machines."""

_EDGES = re.compile(
    r"cf-ray|openai-(?:organization|project)|anthropic-|x-(?:groq|amzn|amz|goog|vercel|openrouter|together|fireworks)-"
    r"|x-(?:ms-region|ms-client-request-id|azure-ref)|apim-|azureml-|fireworks-|mistral-correlation-id|fly-request-id"
)
"""Headers (their beginnings) that only the networks of cloud providers set; a proxy on this machine hands them on."""
_EDGE_SERVERS = re.compile(r"(?:cloudflare|cloudfront|vercel|fly/|google frontend|gws|awselb|akamai)", re.IGNORECASE)
_VIA_CLOUD = frozenset({"google", "vegur"})
_PLACES = re.compile(
    r"(?:^|-)(?:served-by|node|api-base|(?:upstream|backend|peer|remote|proxied|worker)"
    r"(?:-(?:host|addr|address|url|server|name|id|to|node))?|endpoint)$"
)
"""Headers (their ends) that name who answered."""


def place_in(facts: object, consent: Consent = NO_CONSENT) -> str:
    """Return where a model runs by what a server says of it; "" if nothing says that it is another machine.

    Args:
        facts: an entry of a listing, a detail, an answer or a piece of one.
        consent: hosts elsewhere that the user has allowed.
    """
    found = _evidence(facts, consent, DEEPEST)
    best = min(found, key=lambda place: (place.startswith(UNNAMED), place == OLLAMA_CLOUD), default="")
    return shortened(best, LONGEST_PLACE)


def _evidence(facts: object, consent: Consent, depth: int) -> Iterator[str]:
    if isinstance(facts, list) and depth:
        for each in facts[:MOST]:
            yield from _evidence(each, consent, depth - 1) if isinstance(each, dict) else ()
    if not isinstance(facts, dict) or not depth:
        return
    for name, value in facts.items():
        field = _plain(str(name))
        if field in _IGNORED:
            continue
        yield from _field(str(name), field, value, consent)
        if isinstance(value, (dict, list)):
            yield from _evidence(value, consent, depth - 1)
    yield from _owner(facts)


def _field(name: str, field: str, value: object, consent: Consent) -> Iterator[str]:
    """Say what one field tells."""
    words = [*_words(name), field] if field.startswith(_AFAR[-1]) else _words(name)
    if _means_afar(words):
        if _says_so(value, words):
            is_name = isinstance(value, str) and "model" not in field  # what it is called there is no place
            yield str(value) if is_name else f"{UNNAMED} ({name})"
    elif (field in _LOCALLY and value is False) or (field in _MARKS and value is True):
        yield f"{UNNAMED} ({name}: {str(value).lower()})"
    elif field in _TAGS and isinstance(value, list):
        yield from (f"{UNNAMED} ({name}: {tag})" for tag in value[:MOST] if isinstance(tag, str) and _tags_afar(tag))
    elif field in _COMMANDS:
        yield from (place for place in _rpc(value) if not _is_here(place))
    elif isinstance(value, str):
        yield from _text(name, field, value, consent)


def _text(name: str, field: str, value: str, consent: Consent) -> Iterator[str]:
    if field in _KINDS and _is_kind_afar(field, value):
        yield f"{UNNAMED} ({name}: {value})"
    elif field == "runson" and _is_host_afar(value, consent):
        yield value
    if field == "model" and is_cloud_name(value):
        yield OLLAMA_CLOUD
    if (field in _PROVIDERS and _is_cloud(value)) or (field in _ADDRESSES and _is_place_afar(value, consent)):
        yield value


def _owner(facts: Mapping[str, Any]) -> Iterator[str]:
    """Say what the owner of a model tells: the name of a service, or of the maker of a model that runs only there."""
    owner, model = facts.get("owned_by"), facts.get("id")
    if not isinstance(owner, str):
        return
    is_closed = isinstance(model, str) and bool(_CLOSED.match(model)) and owner.strip().lower() in _OWNERS
    if is_closed or _plain(owner) in _SERVICES:
        yield f"{UNNAMED} (owned_by: {owner})"


def _words(name: str) -> list[str]:
    """Split `peerID`, `cloud_provider` and `remote-host` into words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]


def _means_afar(words: Sequence[str]) -> bool:
    return any(word.startswith(_AFAR) for word in words) and not _HARMLESS.intersection(words)


def _is_afar(value: str) -> bool:
    return any(word.startswith(_AFAR) for word in _words(value[:LONGEST_PLACE]))


def _is_kind_afar(field: str, value: str) -> bool:
    telling = _PASSED_ON - _AMBIGUOUS if field in _OF_FILES else _PASSED_ON
    is_passed_on = not telling.isdisjoint(_words(value[:LONGEST_PLACE]))
    return _is_afar(value) or is_passed_on or (field in _ENGINE_FIELDS and _plain(value) in _BACKENDS)


def _tags_afar(tag: str) -> bool:
    return _is_afar(tag) or tag.strip().lower() in _PASSED_ON - {"upstream"}  # that one may mean a release


def _is_host_afar(value: str, consent: Consent) -> bool:
    """Tell whether what a model runs on is another machine, and no hardware: `gpu-box`, not `GPU.0` or `CUDA 12`."""
    words = {word.rstrip("0123456789") for word in _words(value)}
    is_hardware = " " in value.strip() or _HARDWARE.issuperset(words - {""})
    is_address = bool(re.search(r"\d\.\d+\.\d|://", value))
    return (is_address or not is_hardware) and _is_place_afar(value, consent)


def _is_cloud(provider: str) -> bool:
    return _plain(provider) in _CLOUDS


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _says_so(value: object, words: Sequence[str]) -> bool:
    if isinstance(value, str):
        is_own = not _ADDRESS_WORDS.isdisjoint(words) and _is_here(value)  # `remote_addr` of a request is ours
        return value.strip().lower() not in _NO and not is_own
    if isinstance(value, dict):
        is_off = value.get("disabled") is True or any(value.get(name) is False for name in ("enabled", "active"))
        return bool(value) and not is_off
    return bool(value)


def _rpc(command: object) -> Iterator[str]:
    """Find the machines that llama.cpp shares its work with (`--rpc HOST:PORT,…`)."""
    words = command.split() if isinstance(command, str) else command
    texts = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    for word, following in zip(texts, [*texts[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option == "--rpc":
            yield from filter(None, (value or following).strip("\"'").split(","))


def place_in_headers(
    headers: Mapping[str, str], *, is_local: bool = True, consent: Consent = NO_CONSENT
) -> tuple[str, str]:
    """Return the place that the headers of an answer name as another machine, and the header; ("", "") if none does.

    Args:
        headers: with names in lower case.
        is_local: whether the server that was asked is on this machine. Of another one, which the user has allowed, a
            name is expected, and an address alone is looked at.
        consent: hosts elsewhere that the user has allowed.
    """
    for name, value in headers.items():
        bare = name.removeprefix("llm_provider-")  # LiteLLM hands on the headers of the server behind it
        place = _header_place(bare, value.strip(), consent) if is_local or "://" in value else ""
        if place:
            return shortened(place, LONGEST_PLACE), name
    return "", ""


def _header_place(name: str, value: str, consent: Consent) -> str:
    if _EDGES.match(name) or (name == "server" and _EDGE_SERVERS.match(value)):
        return "a server of a cloud provider"
    parts = [part.strip() for part in value.split(",")]
    if name == "via":
        passed = [part.split()[1] for part in parts if len(part.split()) > 1]
        return next((each for each in passed if _is_gateway_afar(each)), "")
    if name.endswith("provider") and _is_cloud(value) and not name.startswith("x-litellm-"):
        return value  # LiteLLM names the wire so; the address stands in another header
    return next((part for part in parts if _PLACES.search(name) and _is_place_afar(part, consent)), "")


def _is_place_afar(value: str, consent: Consent) -> bool:
    is_path = value.startswith(("/", "unix:"))
    return not (is_path or _names_an_engine(value) or _may_be_asked(value, consent))


def _is_gateway_afar(received_by: str) -> bool:
    """Whether `Via` names a host; a program on this machine gives its own name, such as Caddy's."""
    return received_by.lower() in _VIA_CLOUD or ("." in received_by and not _is_here(received_by))


def _names_an_engine(value: str) -> bool:
    return value.isdigit() or _ENGINES.issuperset(_words(value))


def _may_be_asked(place: str, consent: Consent) -> bool:
    """Whether a place is on this machine, or one that the user has allowed in the way that it is asked."""
    host = _host(place)
    secure = not place.lower().startswith("http:") or plain_name(host) in consent.plain
    return place.strip().lower() in _NO or _is_here(place) or (consent.covers(host) and secure)


def _host(place: str) -> str:
    """The host of a URL or of `host:port`; a name as it is."""
    text = place.strip()
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or text
    except ValueError:
        return text


def _is_here(place: str) -> bool:
    host = plain_name(_host(place))
    try:
        return is_loopback(host) or host in {"0.0.0.0", "::"}  # noqa: S104  where a server listens, nothing is bound
    except ValueError:
        own = socket.gethostname().lower()
        is_named_local = "." not in host and {"local", "localhost", "self"}.intersection(_words(place))
        return bool(is_named_local) or host in {"localhost", own, own.partition(".")[0]}


# Refusing


def refuse_remote_name(name: str) -> None:
    """Refuse a name of a model that Ollama runs on its maker's servers: `x:cloud` and `x:tag-cloud`.

    Raises:
        NotLocalError: the name says so.
    """
    if is_cloud_name(name):
        raise remote(name, OLLAMA_CLOUD, hint=OLLAMA_HINT)


def is_cloud_name(name: str) -> bool:
    """Whether a name says that the model runs on Ollama's servers."""
    tag = name.lower().strip().rpartition(":")[2]
    return tag == "cloud" or name.lower().strip().endswith("-cloud")


def refuse_remote_model(
    name: str, facts: Mapping[str, Any], *, sent: bool = False, hint: str = OLLAMA_HINT, consent: Consent = NO_CONSENT
) -> None:
    """Refuse a model of which an answer says that it runs on another machine.

    Args:
        name: the model, for the message.
        facts: the answer: a detail, or a piece of what the model says.
        sent: whether the change had been sent before this could be known.
        hint: the next step.
        consent: hosts elsewhere that the user has allowed.

    Raises:
        NotLocalError: it names another machine.
    """
    place = place_in(facts, consent)
    if place:
        raise remote(name, place, sent=sent, hint=hint)


def remote(name: str, where: str, *, sent: bool = False, hint: str = ANY_HINT) -> NotLocalError:
    """Return the error for a model on another machine."""
    return NotLocalError(f"the model {name!a} runs on {where}: {_fate(sent=sent)}", hint=hint)


def refuse_headers(
    headers: Mapping[str, str], origin: str, *, is_local: bool, sent: bool, consent: Consent = NO_CONSENT
) -> None:
    """Refuse an answer whose headers name another machine.

    Raises:
        NotLocalError: one does.
    """
    place, header = place_in_headers(headers, is_local=is_local, consent=consent)
    if place:
        raise NotLocalError(
            f"{origin} passes requests on to {place!a}, by its header {header}: {_fate(sent=sent)}",
            hint="Name the address of a model server on this machine with --base-url, or allow that host by name in "
            "your own settings (allow_hosts)",
        )


def _fate(*, sent: bool) -> str:
    return "the request has left this machine" if sent else "your code would leave this machine; nothing of it was sent"
