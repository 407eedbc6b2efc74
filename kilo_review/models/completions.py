"""A model that is asked on the OpenAI wire: `/v1/chat/completions`. What a server refuses by name is left out."""

from __future__ import annotations

import time
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from kilo_review.core.errors import ModelError, ServerFailedError
from kilo_review.models import litellm
from kilo_review.models.base import AS_EVER, ONE_AT_A_TIME, Remarks
from kilo_review.models.events import has_thought, read_events
from kilo_review.models.faults import OK, Asked, fault, message_of, refused_option
from kilo_review.models.fields import NEEDS, SWITCH, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import ModelInfo
    from kilo_review.models.base import Reply
    from kilo_review.models.transport import Client
    from kilo_review.prompts import Message

OLLAMA = "library"
"""`owned_by` of whatever Ollama lists."""
THINKS = {
    "llamacpp": "Start llama-server with --reasoning-budget 0",
    "vllm": "Start vLLM with --default-chat-template-kwargs '{\"enable_thinking\": false}'",
    OLLAMA: "Use --provider ollama, which switches it off",
}
"""How a user ends thinking that a request does not end, by `owned_by` of the listing."""
ANY_THINKS = "Switch thinking off in the server's settings, choose another model"
NOT_ASKED = "Use --option think=false, switch thinking off in the server's settings"
"""Where a request may end it, and was not made to: other servers than the usual ones may refuse the field."""
NEVER_LEFT_OUT = frozenset({"max_tokens", *litellm.ALONE})
"""An answer needs an end, and a question is not passed on to a model that nobody has chosen."""
PENALTY = "repeat_penalty"


class _RefusedFieldError(ModelError):
    """The server refuses a field that can be left out."""

    def __init__(self, field: str, said: str) -> None:
        super().__init__(said)
        self.field = field


class OpenAIModel:
    """A model behind the OpenAI wire.

    Attributes:
        owner: `owned_by` of its listing; "" if that says nothing.
        given: names of the parameters that the user has given; the others may be left out.
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
        self.given: frozenset[str] = frozenset()
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
        named = ours | self.parameters.keys()
        tried: dict[str, str] = {}

        def failed(status: int, text: str) -> ModelError:
            problem = fault(self._asked, status, text)
            sent = [each for each in body if each in named]
            name = refused(status, text, sent) if type(problem) is ServerFailedError else ""
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
        wanted = {name: value for name, value in self.parameters.items() if name in self.given}
        return body, set(fields) - (self._renamed(wanted).keys() - own.keys()) - NEVER_LEFT_OUT

    def _answer_to(self, body: Mapping[str, Any], failed: Callable[[int, str], ModelError]) -> Reply:
        with self._client.stream("/chat/completions", body) as (status, lines):
            if status != OK:
                raise failed(status, _text(lines))
            return read_events(lines, self._asked, failed)

    def _leave_out(self, refusals: Mapping[str, str]) -> None:
        """Remember what the server has refused, and what would make no sense without it."""
        for name, why in refusals.items():
            self._left_out |= {name, *NEEDS.get(name, ())}
            server = self._asked.server
            self.remarks.details[f"{server} refused the field {name!a}, which is left out now ({why})"] = None
            if name == SWITCH and "think" in self.parameters:
                self.remarks.notes[f"the option think has no effect: {server} refused it ({why})"] = None

    # Thinking

    @property
    def takes_switch(self) -> bool:
        """Whether thinking can be switched on this wire; Ollama does that on its own wire alone."""
        return self.owner != OLLAMA

    @property
    def remedy(self) -> str:
        """How to switch thinking off: with a request, unless that cannot be done, or did not help."""
        return THINKS.get(self.owner, NOT_ASKED if self._may_be_switched else ANY_THINKS)

    @property
    def _may_be_switched(self) -> bool:
        """Whether the server has not been asked to switch thinking, and has not refused to be."""
        is_asked = "enable_thinking" in self._switch().get(SWITCH, {})
        return self.takes_switch and not is_asked and SWITCH not in self._left_out

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
            told = f"the option think is not sent to {server} on this wire"
            if self.parameters["think"] is False:
                self.remarks.notes[f"{told}. {self.remedy}"] = None
            else:  # the server does of itself what is wanted
                self.remarks.details[told] = None

    def _note_thinking(self, reply: Reply) -> None:
        """Tell how to end thinking that was not asked for: it costs time, and tokens of the answer."""
        given = self.parameters.get(SWITCH)
        is_wanted = self.parameters.get("think", False) is not False or "reasoning_effort" in self.parameters
        is_wanted = is_wanted or (isinstance(given, dict) and given.get("enable_thinking", False) is not False)
        if is_wanted or not has_thought(reply):
            return
        reply.remedy = self.remedy
        told = f"{self.info.name} thinks before it answers, which takes time"
        self.remarks.notes[f"{told}. {self.remedy}, or allow it with --option think=true"] = None

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


def wire_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under this wire's names; what belongs to Ollama alone stays behind."""
    renamed = {"num_predict": "max_tokens"}
    foreign = {"num_ctx", "keep_alive", "think"}
    return {renamed.get(name, name): value for name, value in parameters.items() if name not in foreign}


def _text(lines: Iterator[bytes]) -> str:
    return b"\n".join(lines).decode("utf-8", "replace")
