"""Fakes of servers that speak the OpenAI wire: llama.cpp's `llama-server`, and vLLM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.fakes.base import (
    AFFIRMED,
    BYTES_PER_TOKEN,
    NOTHING_FOUND,
    SSE,
    Call,
    Ending,
    Failure,
    Fake,
    Response,
    as_json,
    as_sse,
    count_tokens,
    event,
    parts,
    prompt_tokens,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fakes.base import Says

CHAT = "/v1/chat/completions"
DONE = event("[DONE]")


@dataclass(eq=False)
class CompletionServer(Fake):
    """The part that all have in common: one streamed chat completion.

    Attributes:
        answer: what the model says, or a function of the request's body that tells it.
        ruling: what it says when one claim is put to the test, or a function likewise.
        reasoning: what it thinks, delivered apart in `reasoning_field`.
        failure: what happens instead of an answer.
        rejects_schema: what happens instead of an answer as long as a `response_format` is asked for.
        token: the bearer token that is wanted.
        finish: the finish reason; None leaves it out.
        ending: how the stream ends.
        newline: of the events.
        comments: SSE comments before the first event.
    """

    answer: Says = NOTHING_FOUND
    ruling: Says = AFFIRMED
    reasoning: str = ""
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    failure: Failure | None = None
    rejects_schema: Failure | None = None
    token: str | None = None
    finish: str | None = "stop"
    ending: Ending = "whole"
    newline: str = "\n"
    comments: int = 0

    def is_authorized(self, call: Call) -> bool:
        return self.token is None or call.headers.get("authorization") == f"Bearer {self.token}"

    def complete(self, body: dict[str, Any], model: str) -> Response:
        """Answer a chat request with a model, or fail as the knobs say."""
        failure = self.failure or (self.rejects_schema if "response_format" in body else None)
        if failure and not failure.in_stream:
            return failure.response()
        text = said(self.answer, self.ruling, body)
        finish, limit = self.finish, body.get("max_tokens")
        if limit and count_tokens(text) > limit:
            text, finish = text[: limit * BYTES_PER_TOKEN], "length"
        usage = {
            "prompt_tokens": prompt_tokens(body),
            "completion_tokens": count_tokens(self.reasoning + text),
            "total_tokens": prompt_tokens(body) + count_tokens(self.reasoning + text),
        }
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            if self.reasoning:
                message[self.reasoning_field] = self.reasoning
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return as_json(self._chunk(model, [choice], kind="chat.completion") | {"usage": usage} | self.extra(usage))
        return as_sse(self._events(body, model, text, finish, usage), self.newline, self.ending)

    def extra(self, usage: dict[str, Any]) -> dict[str, Any]:
        """What the server adds to the last event."""
        return {}

    def error_event(self, failure: Failure) -> str:
        return event(failure.body)

    def _events(
        self, body: dict[str, Any], model: str, text: str, finish: str | None, usage: dict[str, Any]
    ) -> Iterator[str]:
        def delta(reason: str | None = None, **what: str) -> str:
            extra = self.extra(usage) if reason else {}
            return event(self._chunk(model, [{"index": 0, "delta": what, "finish_reason": reason}]) | extra)

        yield from [":\n\n"] * self.comments
        yield delta(role="assistant")
        deltas = [delta(**{self.reasoning_field: part}) for part in parts(self.reasoning)]
        deltas += [delta(content=part) for part in parts(text)]
        if self.failure:
            yield from deltas[:1]
            yield self.error_event(self.failure)
            return
        yield from deltas
        if self.ending != "whole":
            return
        if finish:
            yield delta(finish)
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event(self._chunk(model, []) | {"usage": usage})
        yield DONE

    @staticmethod
    def _chunk(model: str, choices: list[Any], kind: str = "chat.completion.chunk") -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": model, "choices": choices}


def llama_error(status: int, kind: str, message: str, **more: Any) -> Failure:
    """llama-server's form of an error."""
    return Failure(status, {"error": {"code": status, "message": message, "type": kind, **more}})


GRAMMAR_REFUSED = llama_error(400, "invalid_request_error", "Failed to initialize samplers: failed to parse grammar")


@dataclass(eq=False)
class LlamaServer(CompletionServer):
    """`llama-server` with one model. It ignores which model a request names.

    Attributes:
        model: its alias.
        window: tokens of one slot; None: no `/props` (as with other servers on this wire).
        room: tokens of a prompt that really fit, where that is less than what it says, or where it says nothing.
        trained_window: what the model was trained with.
        has_meta: whether the listing has facts of the model.
        loading: it is not ready yet.
        cached: prompt tokens that are in the cache.
        slots: requests that it works on at the same time.
    """

    model: str = "qwen2.5-coder-7b-q4_k_m.gguf"
    window: int | None = 16384
    room: int | None = None
    trained_window: int = 131072
    has_meta: bool = True
    loading: bool = False
    cached: int = 0
    slots: int = 1

    def respond(self, call: Call) -> Response:
        is_open = call.path in {"/health", "/v1/health", "/models", "/v1/models", "/api/tags"}
        if self.loading:
            return llama_error(503, "unavailable_error", "Loading model").response()
        if not is_open and not self.is_authorized(call):
            return llama_error(401, "authentication_error", "Invalid API Key").response()
        return self._route(call)

    def _route(self, call: Call) -> Response:
        match call.method, call.path:
            case "GET", "/health" | "/v1/health":
                return as_json({"status": "ok"})
            case "GET", "/v1/models" | "/models" | "/api/tags":
                return as_json(self._listing())
            case "GET", "/props" if self.window:
                settings = {"id": 0, "n_ctx": self.window, "params": {}}
                return as_json(
                    {"default_generation_settings": settings, "total_slots": self.slots, "build_info": "b10488"}
                )
            case "POST", "/v1/chat/completions" | "/chat/completions" | "/api/chat":
                return self._chat(call.body)
        return llama_error(404, "not_found_error", "File Not Found").response()

    def _listing(self) -> dict[str, Any]:
        meta = {"vocab_type": 2, "n_vocab": 152064, "n_ctx_train": self.trained_window, "n_embd": 3584}
        entry = {"id": self.model, "object": "model", "created": 1_790_000_000, "owned_by": "llamacpp"}
        listed = {"object": "list", "data": [entry | {"meta": meta if self.has_meta else None}]}
        named = {"name": self.model, "model": self.model, "capabilities": ["completion"]}
        return {"models": [named], **listed}

    def _chat(self, body: dict[str, Any]) -> Response:
        needed, window = prompt_tokens(body), self.room or self.window
        if window and needed >= window:
            message = (
                f"request ({needed} tokens) exceeds the available context size ({window} tokens), try increasing it"
            )
            numbers = {"n_prompt_tokens": needed, "n_ctx": window}
            return llama_error(400, "exceed_context_size_error", message, **numbers).response()
        return self.complete(body, self.model)

    def extra(self, usage: dict[str, Any]) -> dict[str, Any]:
        spent = 20.0 * usage["completion_tokens"]
        return {
            "timings": {
                "cache_n": self.cached,
                "prompt_n": usage["prompt_tokens"] - self.cached,
                "prompt_ms": 120.5,
                "predicted_n": usage["completion_tokens"],
                "predicted_ms": spent,
            }
        }


@dataclass(eq=False)
class VLLM(CompletionServer):
    """`vllm serve`.

    Attributes:
        models: their names.
        window: `max_model_len`, prompt and answer together.
        flat_errors: errors as older versions write them.
    """

    models: list[str] = field(default_factory=lambda: ["Qwen/Qwen2.5-Coder-7B-Instruct"])
    window: int = 40960
    flat_errors: bool = False
    reasoning_field: Literal["reasoning_content", "reasoning"] = "reasoning"

    def respond(self, call: Call) -> Response:
        if call.path.startswith("/v1") and not self.is_authorized(call):
            return as_json({"error": "Unauthorized"}, 401)
        match call.method, call.path:
            case "GET", "/health":
                return Response(200)
            case "GET", "/version":
                return as_json({"version": "0.26.0"})
            case "GET", "/v1/models":
                return as_json({"object": "list", "data": [self._entry(name) for name in self.models]})
            case "POST", "/v1/chat/completions":
                return self._chat(call.body)
        return as_json({"detail": "Not Found"}, 404)

    def _entry(self, name: str) -> dict[str, Any]:
        facts = {"owned_by": "vllm", "root": name, "parent": None, "max_model_len": self.window}
        return {"id": name, "object": "model", "created": 1_790_000_000, **facts}

    def error(self, status: int, kind: str, message: str, param: str | None = None) -> Failure:
        facts = {"message": message, "type": kind, "param": param, "code": status}
        return Failure(status, {"object": "error", **facts} if self.flat_errors else {"error": facts})

    def _chat(self, body: dict[str, Any]) -> Response:
        if body.get("model") not in self.models:
            return self.error(404, "NotFoundError", f"The model `{body.get('model')}` does not exist.").response()
        needed, wanted = prompt_tokens(body), body.get("max_tokens") or 0
        if needed + wanted > self.window:
            return self.overflow(wanted, needed).response()
        return self.complete(body, str(body["model"]))

    def overflow(self, wanted: int, needed: int) -> Failure:
        return self.error(
            400,
            "BadRequestError",
            f"This model's maximum context length is {self.window} tokens. However, you requested {wanted} output "
            f"tokens and your prompt contains at least {needed} input tokens, for a total of at least "
            f"{wanted + needed} tokens. (parameter=input_tokens, value={needed})",
            "input_tokens",
        )

    def error_event(self, failure: Failure) -> str:
        return event(failure.body) + DONE


def raw_stream(text: str) -> Failure:
    """A 200 whose event stream is this text."""
    return _RawStream(200, text)


class _RawStream(Failure):
    def response(self) -> Response:
        return Response(200, SSE, [str(self.body).encode()], is_stream=True)
