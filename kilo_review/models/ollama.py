"""Ollama by its native `/api/chat`: the only route that takes a window, a format and `truncate`.

The window (`num_ctx`) is the same in every request of a run, since another value makes Ollama load the model
anew; `truncate: false` makes it refuse a prompt that does not fit instead of dropping half of it in silence.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import (
    BrokenStreamError,
    ModelNotFoundError,
    ServerBusyError,
    ServerFailedError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.core.outcome import ModelInfo
from kilo_review.models import listing, locality
from kilo_review.models.base import (
    AS_EVER,
    DEFAULT_WINDOW,
    ONE_AT_A_TIME,
    Remarks,
    Reply,
    Survey,
    count_of,
    objects_in,
    seconds_of,
)
from kilo_review.models.choose import Offer, choose, same_name
from kilo_review.models.concurrency import Width
from kilo_review.models.draft import Draft, text_in, tool_in
from kilo_review.models.elsewhere import OLLAMA_CLOUD, is_cloud_name, place_in, refuse_remote_model, refuse_remote_name
from kilo_review.models.faults import Asked, fault, message_of, not_json
from kilo_review.models.transport import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest
    from kilo_review.prompts import Message

DEFAULT_URL = "http://127.0.0.1:11434"
SERVER = "Ollama"
START_HINT = "Start it with `ollama serve` (or its app), or give its address with --base-url"
PULL = "ollama pull NAME"
LOCAL = ":local"
"""Behind a name it forbids Ollama to use a model that runs elsewhere, whatever the name leads to."""
SINCE_LOCAL = (0, 18)
OK, UNAUTHORIZED = 200, 401
NANOSECONDS = 1e9
TOP_LEVEL = {"keep_alive": "10m", "think": False}
"""Parameters that stand beside `options`, with what we ask for."""
KNOWN_OPTIONS = frozenset({
    *("num_ctx", "num_predict", "num_keep", "num_batch", "num_gpu", "num_gqa", "num_thread", "main_gpu", "numa"),
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "tfs_z", "mirostat", "mirostat_tau", "mirostat_eta"),
    *("seed", "stop", "repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty", "penalize_newline"),
    *("use_mmap", "use_mlock", "low_vram", "f16_kv", "logits_all", "vocab_only", "embedding_only", "draft_num_predict"),
})  # fmt: skip
"""Of all its versions. Of another one it tells only its log."""
LEVELS_ONLY = "gpt-oss"
"""Thinks always and ignores booleans; the least that can be asked for is `low`."""


class OllamaModel:
    """A model behind Ollama's native wire."""

    def __init__(
        self, client: Client, info: ModelInfo, parameters: Mapping[str, Any], asked: Asked, called: str
    ) -> None:
        """Ready to be asked.

        Args:
            client: the connection.
            info: what it is.
            parameters: of its answers.
            asked: for messages.
            called: what the model is called in requests; see `LOCAL`.
        """
        self.info = info
        self.width = ONE_AT_A_TIME
        self.remarks = Remarks()
        self._called = called
        self.parameters = parameters
        self._client = client
        self._asked = asked

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,
    ) -> Reply:
        """See `Model.ask`."""
        deadline.cap(1.0)
        self._client.patience.deadline = deadline
        parameters = {**self.parameters, **sampling}
        for name in sorted(parameters.keys() - KNOWN_OPTIONS - TOP_LEVEL.keys()):
            self.remarks.notes[f"{SERVER} has no option {name!a} and ignores it"] = None
        body: dict[str, Any] = {
            "model": self._called,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "truncate": False,
            **{name: parameters[name] for name in TOP_LEVEL},
            "options": {name: value for name, value in parameters.items() if name not in TOP_LEVEL},
        }
        if schema is not None:
            body["format"] = schema
        started = time.monotonic()
        with self._client.stream("/api/chat", body) as (status, lines):
            if status != OK:
                raise fault(self._asked, status, b"\n".join(lines).decode("utf-8", "replace"))
            reply = read_lines(lines, self._asked)
        reply.seconds = time.monotonic() - started
        return reply

    def another(self) -> OllamaModel:
        """See `Model.another`."""
        other = copy(self)
        other.part()
        return other

    def part(self) -> None:
        """Leave the connection to the one that this is a copy of."""
        self._client = self._client.another()

    def slow_reason(self, deadline: Deadline) -> str:
        """Whether the model lies partly or wholly outside of the GPU's memory, by `/api/ps`."""
        self._client.patience.deadline = deadline
        loaded = _running(self._client, self.info.name)
        share = _share_on_gpu(loaded)
        if share is None or share == 1:
            return ""
        if share == 0:
            return "the model runs wholly on the CPU"
        return f"{100 * (1 - share):.0f} % of the model does not fit the GPU and runs on the CPU"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def connect(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> OllamaModel:
    """Connect, choose a model, make sure that it is local, learn its window.

    Raises:
        ModelError: the server is not there, is something else, lacks the model, or would send it elsewhere.
    """
    url = request.base_url or (locality.ollama_url(request.ollama_host) if request.ollama_host else DEFAULT_URL)
    endpoint = locality.endpoint(url, request.consent)
    if request.name:
        refuse_remote_name(request.name)
    asked = Asked(SERVER, endpoint.url, request.name or "", PULL)
    with Client(endpoint, egress, deadline, api_key=request.api_key).closed_on_failure() as client:
        try:
            version = version_of(client, asked)
        except UnreachableError as error:
            raise UnreachableError(f"{SERVER}: {error.message}", hint=START_HINT) from None
        refuse_imitation(client, asked)
        name, why = (request.name, "as configured") if request.name else _chosen(client, asked)
        refuse_remote_name(name)
        called, shown = _shown(client, name, asked, version)
        refuse_remote_model(name, shown)
        window = _window(client, name, shown, request)
        think = "low" if LEVELS_ONLY in name.lower() else False
        parameters = TOP_LEVEL | {"think": think} | request.parameters | {"num_ctx": window}
        info = ModelInfo("ollama", name, endpoint.url, window, local=endpoint.is_local, why=why, digest=_digest(shown))
        asked = Asked(SERVER, endpoint.url, name, f"Get it: {PULL.replace('NAME', name)}")
        model = OllamaModel(client, info, parameters, asked, called)
        # It tells nobody how many; one by default, and some families always.
        model.width = Width(request.ollama_parallel, request.ollama_parallel)
        return model


def read_lines(lines: Iterator[bytes], asked: Asked) -> Reply:
    """Read a chat stream of JSON lines to its end.

    Raises:
        BrokenStreamError: it ended before `"done": true`.
        NotLocalError: a line says that another machine answers.
        ModelError: the server reported a failure inside the stream.
    """
    draft, tool = Draft(), ""
    for raw in lines:
        if not raw.strip():
            continue
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            said = raw.decode("utf-8", "replace")
            raise not_json(asked, said, "Is the base URL right? It has no /v1") from None
        if not isinstance(line, dict) or line.get("error"):
            raise fault(asked, OK, raw.decode("utf-8", "replace"))
        refuse_remote_model(asked.model, line, sent=True)
        message = line.get("message")
        if isinstance(message, dict):
            draft.add(text_in(message.get("content")), text_in(message.get("thinking")))
            tool = tool or tool_in(message)
        if line.get("done") is True:
            reply = Reply(
                is_cut=line.get("done_reason") == "length",
                prompt_tokens=count_of(line.get("prompt_eval_count")),
                completion_tokens=count_of(line.get("eval_count")),
                answer_seconds=seconds_of(line.get("eval_duration"), NANOSECONDS),
                reading_seconds=seconds_of(line.get("prompt_eval_duration"), NANOSECONDS),
                tool=tool,
            )
            draft.write(reply)
            return reply
    raise BrokenStreamError(
        f"the answer of {SERVER} ended before its end",
        hint="Its log tells why; a repetition loop ends like this too",
    )


def version_of(client: Client, asked: Asked) -> str:
    """Its version. Others answer on some of its routes too (llama-server lists its models under /api/tags).

    Raises:
        WrongServerError: it is not Ollama.
        ModelError: it failed.
    """
    answer = client.get("/api/version")
    data = answer.json()
    if answer.status != OK or not isinstance(data, dict) or not isinstance(data.get("version"), str):
        said = answer.body.decode("utf-8", "replace")
        problem = fault(asked, answer.status, said)
        is_another = isinstance(problem, (ServerFailedError, ServerBusyError)) and answer.status != UNAUTHORIZED
        if answer.status == OK or is_another:
            raise WrongServerError(
                f"something answers at {asked.url}, but not as {SERVER} does ({message_of(said)})",
                hint=f"Is the base URL right? {SERVER}: {DEFAULT_URL}, without /v1",
            )
        raise problem
    return str(data["version"])


def refuse_imitation(client: Client, asked: Asked) -> None:
    """Refuse a server that answers on Ollama's routes and is another one: it may not tell there where a model runs.

    Raises:
        WrongServerError: its listing on the OpenAI wire names another server.
    """
    server = ""
    with suppress(WrongServerError):  # such as a proxy before it that has no page there
        server = listing.imitation(client.get("/v1/models"))
    if server:
        raise WrongServerError(
            f"{server} answers at {asked.url}, and only imitates {SERVER}",
            hint="Ask it with --provider openai, or leave the provider out",
        )


def _chosen(client: Client, asked: Asked) -> tuple[str, str]:
    offer, why = choose(_offers(client, asked), None, asked, pull=PULL)
    return offer.name, why


def survey(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> Survey:
    """What this server offers, cloud stubs included; raises as `connect` does."""
    url = request.base_url or (locality.ollama_url(request.ollama_host) if request.ollama_host else DEFAULT_URL)
    endpoint = locality.endpoint(url, request.consent)
    asked = Asked(SERVER, endpoint.url)
    client = Client(endpoint, egress, deadline, api_key=request.api_key)
    try:
        version = version_of(client, asked)
        refuse_imitation(client, asked)
        offers = tuple(_offers(client, asked))
        status = client.get("/api/status").json()  # since 0.16.2
    finally:
        client.close()
    cloud = status.get("cloud") if isinstance(status, dict) else None
    is_disabled = cloud.get("disabled") if isinstance(cloud, dict) else None
    return Survey(
        *("ollama", SERVER, endpoint.url, version, offers),
        is_local=endpoint.is_local,
        cloud=None if is_disabled is None else not is_disabled,
    )


def _offers(client: Client, asked: Asked) -> list[Offer]:
    """Its models; cloud stubs are marked as running elsewhere."""
    tags = _models(client, "/api/tags", asked)
    running = {str(entry.get("name")): entry for entry in _models(client, "/api/ps", asked)}
    return [_offer(entry, running.get(str(entry["name"]))) for entry in tags if entry.get("name")]


def _offer(entry: Mapping[str, Any], loaded: Mapping[str, Any] | None) -> Offer:
    details = entry.get("details")
    return Offer(
        name=str(entry["name"]),
        is_loaded=loaded is not None,
        window=count_of(loaded.get("context_length")) or None if loaded else None,
        size=count_of(entry.get("size")),
        is_chat=_can_chat(entry.get("capabilities")),
        elsewhere=_elsewhere(str(entry["name"]), entry),
        largest=count_of(details.get("context_length")) or None if isinstance(details, dict) else None,
        on_gpu=_share_on_gpu(loaded or {}),
    )


def _can_chat(capabilities: object) -> bool:
    """Servers before 0.6.4 tell nothing."""
    return "completion" in capabilities if isinstance(capabilities, list) and capabilities else True


def _elsewhere(name: str, entry: Mapping[str, Any]) -> str:
    """Where a model runs that is not on the server's machine, or ""."""
    return place_in(entry) or (OLLAMA_CLOUD if is_cloud_name(name) else "")


def _share_on_gpu(loaded: Mapping[str, Any]) -> float | None:
    size = count_of(loaded.get("size"))
    return min(1.0, count_of(loaded.get("size_vram")) / size) if size else None


def _models(client: Client, path: str, asked: Asked) -> list[dict[str, Any]]:
    answer = client.get(path)
    data = answer.json()
    models = data.get("models") if isinstance(data, dict) else None
    if answer.status != OK or not isinstance(data, dict) or "models" not in data:
        raise fault(asked, answer.status, answer.body.decode("utf-8", "replace"))
    return objects_in(models)


def _shown(client: Client, name: str, asked: Asked, version: str) -> tuple[str, dict[str, Any]]:
    """What to call a model so that it cannot be one elsewhere, and what `/api/show` says of it."""
    if numbers(version) >= SINCE_LOCAL and not name.lower().endswith(LOCAL):
        answer = client.post("/api/show", {"model": name + LOCAL})
        data = answer.json()
        if answer.status == OK and isinstance(data, dict) and not data.get("error"):
            return name + LOCAL, data
    return name, _show(client, name, asked)


def numbers(version: str) -> tuple[int, ...]:
    """`0.17.4-rc1` → (0, 17, 4)."""
    found = re.match(r"v?(\d{1,9}(?:\.\d{1,9})*)", version)
    return tuple(map(int, found[1].split("."))) if found else (0,)


def _show(client: Client, name: str, asked: Asked) -> dict[str, Any]:
    """What `/api/show` says of a model; a missing one is explained with what there is."""
    answer = client.post("/api/show", {"model": name})
    data = answer.json()
    if answer.status == OK and isinstance(data, dict) and not data.get("error"):
        return data
    problem = fault(Asked(SERVER, asked.url, name, asked.get), answer.status, answer.body.decode("utf-8", "replace"))
    if isinstance(problem, ModelNotFoundError):
        choose(_offers(client, asked), name, asked, pull=PULL)
    raise problem


def _digest(shown: Mapping[str, Any]) -> str:
    """32 hex digits of all that Ollama says of a model: its weights' digest is in the Modelfile."""
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:32]


def _window(client: Client, name: str, shown: Mapping[str, Any], request: ModelRequest) -> int:
    """The window to ask for: the user's, the loaded one (no reload), the Modelfile's, or a modest default."""
    wanted = request.parameters.get("num_ctx")
    trained = _trained_window(shown)
    if isinstance(wanted, int):
        return min(wanted, trained) if trained else wanted
    loaded = count_of(_running(client, name).get("context_length"))
    if loaded >= DEFAULT_WINDOW // 2:
        return loaded
    written = re.search(r"^num_ctx\s+(\d{1,9})\s*$", str(shown.get("parameters") or ""), re.MULTILINE)
    window = int(written.group(1)) if written else DEFAULT_WINDOW
    return min(window, trained) if trained else window


def _trained_window(shown: Mapping[str, Any]) -> int:
    facts = shown.get("model_info")
    facts = facts if isinstance(facts, dict) else {}
    return count_of(facts.get(f"{facts.get('general.architecture')}.context_length"))


def _running(client: Client, name: str) -> dict[str, Any]:
    data = client.get("/api/ps").json()
    models = data.get("models") if isinstance(data, dict) else None
    return next((entry for entry in objects_in(models) if same_name(str(entry.get("name")), name)), {})
