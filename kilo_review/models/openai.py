"""The OpenAI wire: `/v1/chat/completions` with server-sent events.

Spoken by llama-server, vLLM, LocalAI, LiteLLM and LM Studio; `lmstudio.py` and `embedded.py` build on it.
"""

from __future__ import annotations

import json
import re
import time
from copy import copy
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from kilo_review.errors import (
    BrokenStreamError,
    ModelError,
    NotLocalError,
    ServerFailedError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.models import litellm, locality
from kilo_review.models.base import (
    AS_EVER,
    DEFAULT_OPTIONS,
    DEFAULT_WINDOW,
    ONE_AT_A_TIME,
    Remarks,
    Reply,
    Survey,
    count_of,
    objects_in,
    seconds_of,
)
from kilo_review.models.choose import Offer, choose
from kilo_review.models.draft import Draft, text_in, thought_in
from kilo_review.models.faults import ANY_SERVER, Asked, fault, leaves_open, message_of, not_json, refused_option
from kilo_review.models.fields import NEEDS, SWITCH, refused
from kilo_review.models.transport import Client
from kilo_review.outcome import ModelInfo
from kilo_review.throttle import Width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kilo_review.deadline import Deadline
    from kilo_review.models.base import ModelRequest
    from kilo_review.outcome import Egress
    from kilo_review.prompts import Message

DEFAULT_URLS = ("http://127.0.0.1:8080/v1", "http://127.0.0.1:9931/v1", "http://127.0.0.1:8000/v1")
"""llama-server (both its ports: it is moving), then vLLM."""
OK = 200
OLLAMA = "library"
"""`owned_by` of whatever Ollama lists."""
MILLISECONDS = 1e3
CUT = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons of an answer that hit a limit."""
START_HINT = "Start it, for example: llama-server -m MODEL.gguf, or give its address with --base-url"
THINKING_SWITCH = {"llamacpp", "vllm"}
"""Servers (`owned_by`) that take `chat_template_kwargs`; others may refuse an unknown field."""
THINKING_OFF: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}

BATCHING = Width(4, 64)
UNKNOWN = Width(1, 8)
SERVERS = {"llamacpp": "llama-server", "vllm": "vLLM"}
"""By `owned_by` of their listings."""
THINKS = {
    "llamacpp": "Start llama-server with --reasoning-budget 0, or allow it with --option think=true",
    "vllm": "Start vLLM with --default-chat-template-kwargs '{\"enable_thinking\": false}', or allow it with --option "
    "think=true",
    OLLAMA: "Use --provider ollama, which switches it off",
}
ANY_THINKS = "Switch it off in the server's settings, choose another model, or allow it with --option think=true"
NEVER_LEFT_OUT = frozenset({"max_tokens", *litellm.ALONE})
"""An answer needs an end, and a question is not passed on to a model that nobody has chosen."""
PENALTY = "repeat_penalty"
PENALTIES = {"llamacpp": PENALTY, "vllm": "repetition_penalty"}


class _RefusedFieldError(ModelError):
    """The server refuses a field that can be left out."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


class OpenAIModel:
    """A model behind the OpenAI wire.

    Attributes:
        owner: `owned_by` of its listing; "" if that says nothing.
        remarks: what there is to say; shared, as is what the server has refused, by all copies.
    """

    def __init__(
        self,
        client: Client,
        info: ModelInfo,
        parameters: Mapping[str, Any],
        asked: Asked,
        extra: Mapping[str, Any],
        penalty: str = "",
    ) -> None:
        """Ready to be asked.

        Args:
            client: the connection.
            info: what it is.
            parameters: of its answers, under our names.
            asked: for messages.
            extra: fields of each request that this server alone takes.
            penalty: what it calls `repeat_penalty`; "" where that is not known.
        """
        self.info = info
        self.width = ONE_AT_A_TIME
        self.remarks = Remarks()
        self.owner = ""
        self._left_out: set[str] = set()
        self._penalty = penalty
        self.parameters = parameters
        self._client = client
        self._asked = asked
        self._extra = extra

    def ask(
        self,
        messages: Sequence[Message],
        schema: Mapping[str, Any] | None,
        deadline: Deadline,
        sampling: Mapping[str, Any] = AS_EVER,
    ) -> Reply:
        """See `Model.ask`. A field that the server refuses by name is left out, once and for all, if that helps."""
        deadline.cap(1.0)
        self._client.patience.deadline = deadline
        self._note_what_is_not_sent()
        body, ours = self._body(messages, schema, sampling)
        tried: dict[str, str] = {}

        def failed(status: int, text: str) -> ModelError:
            problem = fault(self._asked, status, text)
            name = refused(status, text, body) if type(problem) is ServerFailedError else ""
            if name in ours:
                return _RefusedFieldError(name, message_of(text))
            self._leave_out({each: why for each, why in tried.items() if not refused(status, text, [each])})
            return refused_option(self._asked, name, message_of(text)) if name in self.parameters else problem

        started = time.monotonic()
        while True:
            try:
                reply = self._answer_to(body, failed)
            except _RefusedFieldError as error:
                tried[error.field] = error.message
                for name in (error.field, *NEEDS.get(error.field, ())):
                    body.pop(name, None)
                continue
            break
        self._leave_out(tried)
        reply.seconds = time.monotonic() - started
        reply.requests = 1 + len(tried)
        self._note_thinking(reply)
        return reply

    def _body(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None, sampling: Mapping[str, Any]
    ) -> tuple[dict[str, Any], set[str]]:
        """A request, and those of its fields that the user has not asked for and that can be left out."""
        own = self._own_words(sampling)
        fields = {
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._extra,
            **wire_parameters(self._renamed(self.parameters) | own),
            **self._switch(),
        }
        fields = {name: value for name, value in fields.items() if name not in self._left_out}
        body: dict[str, Any] = {
            "model": self.info.name,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            **fields,
        }
        if schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "review", "strict": True, "schema": schema},
            }
        wanted = {name for name, value in self.parameters.items() if DEFAULT_OPTIONS.get(name) != value} - set(own)
        return body, set(fields) - wanted - NEVER_LEFT_OUT

    def _answer_to(self, body: Mapping[str, Any], failed: Callable[[int, str], ModelError]) -> Reply:
        with self._client.stream("/chat/completions", body) as (status, lines):
            if status != OK:
                raise failed(status, _text(lines))
            return read_events(lines, self._asked, failed)

    def _leave_out(self, refusals: Mapping[str, str]) -> None:
        """Remember what the server has refused, and what would make no sense without it."""
        for name, why in refusals.items():
            self._left_out |= {name, *NEEDS.get(name, ())}
            self.remarks.details[f"{self._asked.server} refused the field {name!a}, which is left out now ({why})"] = (
                None
            )
            if name == SWITCH and "think" in self.parameters:
                self.remarks.notes[f"the option think has no effect: {self._asked.server} refused it ({why})"] = None

    # Thinking

    @property
    def takes_switch(self) -> bool:
        """Whether thinking can be switched on this wire; Ollama does that on its own wire alone."""
        return self.owner != OLLAMA

    @property
    def remedy(self) -> str:
        """How to switch thinking off where it cannot be done with a request, or that did not help."""
        return THINKS.get(self.owner, ANY_THINKS)

    def _switch(self) -> dict[str, Any]:
        """The field that switches thinking, as the user wants it; else off, on servers that are known to take it."""
        think, given = self.parameters.get("think"), self.parameters.get(SWITCH)
        switched: dict[str, Any] = dict(self._extra.get(SWITCH, {}))
        if think is not None and self.takes_switch:
            switched["enable_thinking"] = think is not False
            switched |= {"reasoning_effort": think} if isinstance(think, str) else {}
        switched |= given if isinstance(given, dict) else {}
        return {SWITCH: switched} if switched or given is not None else {}

    def _note_what_is_not_sent(self) -> None:
        server = self._asked.server
        if "keep_alive" in self.parameters:
            self.remarks.notes[f"the option keep_alive is not sent to {server}: only Ollama takes it"] = None
        if "think" in self.parameters and not self.takes_switch:
            self.remarks.notes[f"the option think is not sent to {server} on this wire. {self.remedy}"] = None

    def _note_thinking(self, reply: Reply) -> None:
        """Tell how to end thinking that was not asked for: it costs time, and tokens of the answer."""
        given = self.parameters.get(SWITCH)
        is_wanted = self.parameters.get("think", False) is not False or "reasoning_effort" in self.parameters
        is_wanted = is_wanted or (isinstance(given, dict) and given.get("enable_thinking", False) is not False)
        if is_wanted or not _thought(reply):
            return
        reply.remedy = self.remedy
        self.remarks.notes[f"{self.info.name} thinks before it answers, which takes time. {self.remedy}"] = None

    def _renamed(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with the server's own name for the penalty of repetitions, where that is known."""
        return {self._penalty if self._penalty and name == PENALTY else name: each for name, each in parameters.items()}

    def _own_words(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of one request; a server that is not known may refuse a request for a field too many."""
        return self._renamed({name: value for name, value in sampling.items() if name != PENALTY or self._penalty})

    def another(self) -> Self:
        """See `Model.another`."""
        other = copy(self)
        other.part()
        return other

    def part(self) -> None:
        """Leave the connection to the one that this is a copy of."""
        self._client = self._client.another()

    def slow_reason(self, deadline: Deadline) -> str:  # noqa: ARG002
        """This wire tells nothing about where a model runs."""
        return ""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


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


def wire_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under this wire's names; what belongs to Ollama alone stays behind."""
    renamed = {"num_predict": "max_tokens"}
    foreign = {"num_ctx", "keep_alive", "think"}
    return {renamed.get(name, name): value for name, value in parameters.items() if name not in foreign}


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


def read_events(lines: Iterator[bytes], asked: Asked, failed: Callable[[int, str], ModelError] | None = None) -> Reply:
    """Read an answer to its end: a stream of events, or one JSON object from a server that does not stream.

    Args:
        lines: of the answer.
        asked: for messages.
        failed: makes the error of what the server reports; None: `fault` does.

    Raises:
        BrokenStreamError: it ended before a finish reason came.
        ModelError: the server reported a failure inside the stream.
    """
    reply, draft = Reply(), Draft()
    finished = False
    for kind, data in _events(lines):
        if data == "[DONE]":
            break
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise not_json(asked, data, "Is the base URL right?") from None
        if not isinstance(event, dict) or kind == "error" or event.get("error") or event.get("object") == "error":
            raise failed(OK, data) if failed else fault(asked, OK, data)
        reply.model = reply.model or _string(event.get("model"))
        _count(reply, event)
        finished = _take_choice(reply, draft, event) or finished
    if not finished:
        raise BrokenStreamError(f"the answer of {asked.server} ended before its end", hint="Its log tells why")
    draft.write(reply)
    return reply


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Server-sent events: (kind, data). Comment lines only prove that the server lives."""
    kind = "message"
    data: list[str] = []
    is_first = True
    for raw in lines:
        line = raw.decode("utf-8", "replace")
        line, is_first = (line.removeprefix("\ufeff") if is_first else line), False
        if not line:
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name.lstrip().startswith(("{", "<")):  # an answer or an error as one object, or a page
            yield from _objects(line, lines)
    if data:
        yield kind, "\n".join(data)


def _objects(line: str, lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """What stands in an answer without the form of events: JSON objects, each over one line or several; or a page."""
    text = ""
    for each in chain([line], (raw.decode("utf-8", "replace") for raw in lines)):
        text += each if not text else f"\n{each}"
        if text.startswith("<"):
            break
        is_end = each.rstrip().endswith("}") and (text is each or each.startswith("}"))
        if is_end and _is_whole(text):
            yield "object", text
            text = ""
    if text.strip():
        yield "error", text


def _is_whole(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _take_choice(reply: Reply, draft: Draft, event: Mapping[str, Any]) -> bool:
    """Add one piece of the answer; True when the server says that it is complete."""
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta") or choice.get("message") or {}
    if isinstance(delta, dict):
        content = delta.get("content")
        thought = _string(delta.get("reasoning_content")) or _string(delta.get("reasoning")) or thought_in(content)
        draft.add(text_in(content), thought)
        reply.tool = reply.tool or _tool_in(delta)
    reason = choice.get("finish_reason")
    if reason in CUT:
        reply.is_cut = True
    return isinstance(reason, str) and bool(reason)  # LocalAI writes "" where others write null


def _tool_in(delta: Mapping[str, Any]) -> str:
    """The name of a tool that the model calls; "" if it calls none."""
    calls = [*objects_in(delta.get("tool_calls")), *objects_in([delta.get("function_call")])]
    if not calls:
        return ""
    called = calls[0].get("function", calls[0])
    return (_string(called.get("name")) if isinstance(called, dict) else "") or "without a name"


def _thought(reply: Reply) -> bool:
    """Whether a model has thought before it answered; some servers deliver the answer itself as thinking."""
    if "<think" in reply.text:  # models that do not think write an empty one
        return bool(re.search(r"(?i)<think(?:ing)?>\s*(?!</think|\s)", reply.text))
    thought = reply.reasoning.strip()
    return bool(thought) and bool(reply.text.strip() or not thought.startswith("{"))


def _count(reply: Reply, event: Mapping[str, Any]) -> None:
    usage = event.get("usage")
    if isinstance(usage, dict):
        reply.prompt_tokens = count_of(usage.get("prompt_tokens"))
        reply.completion_tokens = count_of(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            reply.cached_prompt_tokens = count_of(details.get("cached_tokens"))
    timings = event.get("timings")
    if isinstance(timings, dict):
        reply.cached_prompt_tokens = count_of(timings.get("cache_n")) or reply.cached_prompt_tokens
        reply.answer_seconds = seconds_of(timings.get("predicted_ms"), MILLISECONDS)
        reply.reading_seconds = seconds_of(timings.get("prompt_ms"), MILLISECONDS)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _text(lines: Iterator[bytes]) -> str:
    return b"\n".join(lines).decode("utf-8", "replace")
