"""A fake of Ollama's server: its native wire, and the models of its OpenAI facade."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.fakes.base import (
    AFFIRMED,
    BYTES_PER_TOKEN,
    NOTHING_FOUND,
    TEXT,
    Call,
    Ending,
    Failure,
    Fake,
    Response,
    as_json,
    as_ndjson,
    count_tokens,
    event,
    parts,
    prompt_tokens,
    said,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fakes.base import Says

DEFAULT_WINDOW = 4096
KEEP_TOKENS = 2
CREATED = "2026-08-21T10:00:00.000000Z"
CLOUD = "https://ollama.com:443"


def error(status: int, text: str, *, in_stream: bool = False) -> Failure:
    """Ollama's form of an error."""
    return Failure(status, {"error": text}, in_stream)


def nested_overflow(needed: int, window: int) -> str:
    """llama-server's refusal, which Ollama (0.30 and later) hands on as a string."""
    message = f"request ({needed} tokens) exceeds the available context size ({window} tokens), try increasing it"
    facts = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return json.dumps({"error": facts | {"n_prompt_tokens": needed, "n_ctx": window}})


OVERFLOW_TEXTS: dict[str, Callable[[int, int], str]] = {
    "0.30 native": nested_overflow,
    "0.30 shift": lambda _needed, _window: (
        "the prompt is longer than the context length currently available to the model"
    ),
    "0.24": lambda _needed, _window: "the input length exceeds the context length",
}


@dataclass
class Model:
    """A pulled model.

    Attributes:
        name: with its tag.
        parameters: the Modelfile's, as `/api/show` writes them.
        trained_window: the model's largest.
        loaded_window: the one that it is loaded with; None: it is not loaded.
        size_vram: of `size`, bytes in the GPU's memory; None: all.
        remote_host: where a cloud stub runs.
        remote_model: what it is called there.
    """

    name: str
    size: int = 4_683_087_332
    capabilities: tuple[str, ...] = ("completion", "tools")
    parameters: str = ""
    trained_window: int = 32768
    loaded_window: int | None = None
    size_vram: int | None = None
    remote_host: str = ""
    remote_model: str = ""

    @property
    def remote(self) -> dict[str, str]:
        facts = {"remote_model": self.remote_model, "remote_host": self.remote_host}
        return {name: value for name, value in facts.items() if value}


@dataclass(eq=False)
class Ollama(Fake):
    """Ollama.

    Attributes:
        models: what is pulled.
        answer: what the model says, or a function of the request's body that tells it.
        ruling: what it says when one claim is put to the test, or a function likewise.
        thinking: what a model with that capability thinks, unless it is told not to.
        failure: what `/api/chat` does instead of answering.
        rejects_format: what it does as long as a `format` is asked for.
        ending: how the stream ends; "early" is a clean end without the last line.
        room: tokens that really fit, where that is less than the window that was asked for.
        overflow: the words of which generation refuse a prompt that does not fit.
        lists_capabilities: whether `/api/tags` has them (since May 2026).
        marks_remote: whether chat lines of a cloud stub tell where they come from.
        refuses_host: the Host header is not one of those that it allows.
        has_facade: whether `/v1` is there, too.
        loads: model and window of each load, in order.
    """

    models: list[Model] = field(default_factory=lambda: [Model("qwen2.5-coder:7b")])
    answer: Says = NOTHING_FOUND
    ruling: Says = AFFIRMED
    thinking: str = "Let me look at the change."
    failure: Failure | None = None
    rejects_format: Failure | None = None
    ending: Ending = "whole"
    room: int | None = None
    overflow: Literal["0.30 native", "0.30 shift", "0.24"] = "0.30 native"
    version: str = "0.33.0"
    lists_capabilities: bool = True
    marks_remote: bool = True
    refuses_host: bool = False
    has_facade: bool = True
    loads: list[tuple[str, int]] = field(default_factory=list, init=False)

    def respond(self, call: Call) -> Response:
        if self.refuses_host:
            return Response(403)
        routes: dict[str, tuple[str, Callable[[Call], Response]]] = {
            "/": ("GET", lambda _call: Response(200, TEXT, [b"Ollama is running"])),
            "/api/version": ("GET", lambda _call: as_json({"version": self.version})),
            "/api/status": ("GET", lambda _call: as_json({"cloud": {"disabled": False, "source": "none"}})),
            "/api/tags": ("GET", lambda _call: as_json({"models": [self._tag(model) for model in self.models]})),
            "/api/ps": ("GET", lambda _call: as_json({"models": self._running()})),
            "/api/show": ("POST", lambda call: self._show(call.body)),
            "/api/chat": ("POST", lambda call: self._chat(call.body)),
        }
        if self.has_facade:
            routes["/v1/models"] = ("GET", lambda _call: as_json({"object": "list", "data": self._facade()}))
            routes["/v1/chat/completions"] = ("POST", lambda call: self._facade_chat(call.body))
        method, answer = routes.get(call.path, ("", None))
        if answer is None:
            return Response(404, TEXT, [b"404 page not found"])
        return answer(call) if method == call.method else Response(405, TEXT, [b"405 method not allowed"])

    def model(self, name: str) -> Model | None:
        def full(text: str) -> str:
            return text.lower() if ":" in text.rpartition("/")[2] else f"{text.lower()}:latest"

        return next((model for model in self.models if full(model.name) == full(name)), None)

    def _tag(self, model: Model) -> dict[str, Any]:
        details: dict[str, Any] = {"format": "gguf", "family": "qwen2", "parameter_size": "7.6B"}
        entry: dict[str, Any] = {
            "name": model.name,
            "model": model.name,
            "modified_at": CREATED,
            "size": 384 if model.remote else model.size,
            "digest": "06c1097efce0",
            "details": details,
        }
        if self.lists_capabilities:
            entry["capabilities"] = list(model.capabilities)
            details["context_length"] = model.trained_window
        return entry | model.remote

    def _running(self) -> list[dict[str, Any]]:
        return [
            {
                "name": model.name,
                "model": model.name,
                "size": model.size,
                "digest": "06c1097efce0",
                "details": {},
                "expires_at": CREATED,
                "size_vram": model.size if model.size_vram is None else model.size_vram,
                "context_length": model.loaded_window,
            }
            for model in self.models
            if model.loaded_window
        ]

    def _show(self, body: dict[str, Any]) -> Response:
        name = body.get("model") or body.get("name")
        if not name:
            return error(400, "model is required").response()
        model = self.model(name)
        if model is None:
            return error(404, f"model '{name}' not found").response()
        shown: dict[str, Any] = {
            "license": "Apache-2.0",
            "modelfile": f"FROM {model.name}",
            "template": "{{ .Prompt }}",
            "details": {"format": "gguf", "family": "qwen2"},
            "model_info": {"general.architecture": "qwen2", "qwen2.context_length": model.trained_window},
            "capabilities": list(model.capabilities),
            "modified_at": CREATED,
        }
        if model.parameters:
            shown["parameters"] = model.parameters
        return as_json(shown | model.remote)

    def _chat(self, body: dict[str, Any]) -> Response:
        model = self.model(body.get("model") or "")
        refusal = self._refusal(body, model)
        if refusal or model is None:
            return (refusal or error(400, "model is required")).response()
        window = self._load(model, body.get("options") or {})
        if not body.get("messages"):
            return as_json({"model": model.name, "created_at": CREATED, "done": True, "done_reason": "load"})
        needed, window = prompt_tokens(body), self.room or window
        if needed > window:
            if body.get("truncate") is False:
                return error(400, OVERFLOW_TEXTS[self.overflow](needed, window)).response()
            needed = window if self.overflow == "0.24" else window // 2 + KEEP_TOKENS
        lines = list(self._lines(body, model, needed))
        return as_ndjson(lines, self.ending) if body.get("stream", True) else as_json(_joined(lines))

    def _refusal(self, body: dict[str, Any], model: Model | None) -> Failure | None:
        """Why a chat request is not answered."""
        name, wanted = body.get("model"), body.get("format")
        able = model.capabilities if model else ()
        bad_format = wanted not in (None, "json") and not isinstance(wanted, dict)
        refusals = (
            (not name, error(400, "model is required")),
            (model is None, error(404, f"model '{name}' not found")),
            ("completion" not in able, error(400, f'"{name}" does not support chat')),
            (body.get("think") and "thinking" not in able, error(400, f'"{name}" does not support thinking')),
            (bad_format, error(500, f'invalid format: {wanted!r}; expected "json" or a valid JSON Schema object')),
            (self.failure and not self.failure.in_stream, self.failure),
            (wanted is not None, self.rejects_format),
        )
        return next((refusal for applies, refusal in refusals if applies and refusal), None)

    def _load(self, model: Model, options: dict[str, Any]) -> int:
        written = [line.split()[1] for line in model.parameters.splitlines() if line.startswith("num_ctx ")]
        wanted = options.get("num_ctx") or int(written[0] if written else DEFAULT_WINDOW)
        window = min(int(wanted), model.trained_window)
        if model.loaded_window != window and not model.remote:
            self.loads.append((model.name, window))
            model.loaded_window = window
        return window

    def _lines(self, body: dict[str, Any], model: Model, needed: int) -> Iterator[dict[str, Any]]:
        head = {"model": model.name, "created_at": CREATED} | (model.remote if self.marks_remote else {})

        def line(**message: str) -> dict[str, Any]:
            return head | {"message": {"role": "assistant", "content": "", **message}, "done": False}

        text = said(self.answer, self.ruling, body)
        limit, reason = (body.get("options") or {}).get("num_predict", -1), "stop"
        if 0 < limit < count_tokens(text):
            text, reason = text[: limit * BYTES_PER_TOKEN], "length"
        thinks = "thinking" in model.capabilities and body.get("think") is not False
        lines = [line(thinking=part) for part in parts(self.thinking)] if thinks else []
        lines += [line(content=part) for part in parts(text)]
        if self.failure:
            yield from [*lines[:1], self.failure.body]
            return
        yield from lines
        if self.ending == "whole":
            yield line() | {"done": True, "done_reason": reason} | _metrics(needed, count_tokens(text))

    def _facade(self) -> list[dict[str, Any]]:
        return [{"id": model.name, "object": "model", "created": 1, "owned_by": "library"} for model in self.models]

    def _facade_chat(self, body: dict[str, Any]) -> Response:
        text = said(self.answer, self.ruling, body)
        choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": body["model"], "choices": [choice]}
        return Response(200, "text/event-stream", [event(chunk).encode(), event("[DONE]").encode()], is_stream=True)


def _metrics(prompt: int, answer: int) -> dict[str, int]:
    """Durations are nanoseconds; what is zero is left out."""
    figures = {
        "total_duration": 2_000_000_000,
        "load_duration": 1_334_875,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": 342_546_000,
        "eval_count": answer,
        "eval_duration": answer * 20_000_000,
    }
    return {name: figure for name, figure in figures.items() if figure}


def _joined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(line["message"]["content"] for line in lines)}
    return lines[-1] | {"message": message}
