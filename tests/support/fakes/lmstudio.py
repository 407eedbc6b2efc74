"""A fake of LM Studio's server: its three listings and its chat completions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.fakes.base import Call, Failure, Response, as_json, as_sse, event, prompt_tokens
from tests.support.fakes.openai import DONE, CompletionServer

JIT_WINDOW = 4096
"""What a model is loaded with if its owner did not save anything else."""
TEXTS = {
    "no token": "An LM Studio API token is required to make requests to this server, but none was provided using the "
    "Authorization header using the 'Bearer' scheme. Create one in the Developer settings.",
    "none loaded": "No models loaded. Please load a model in the developer page or use the 'lms load' command.",
    "several loaded": "Multiple models are loaded. Please specify a model by providing a 'model' field in the request.",
    "json_object": "'response_format.type' must be 'json_schema' or 'text'",
    "unloaded": "Model unloaded by user or API request.",
    "is unloaded": "Model is unloaded.",
    "crashed": "The model has crashed without additional information. (Exit code: 18446744072635812000)",
    "load failed": 'Failed to load model "qwen3-coder-30b". Error: Unable to allocate 18.2 GiB',
    "old overflow": "Trying to keep the first {needed} tokens when context the overflows. However, the model is loaded "
    "with context length of only {window} tokens, which is not enough. Try to load the model with a larger context "
    "length, or provide a shorter input",
    "new overflow": "The number of tokens to keep from the initial prompt is greater than the context length "
    "(n_keep: {needed}>= n_ctx: {window}). Try to load the model with a larger context length, or provide a shorter "
    "input.",
    "newest overflow": "Cannot truncate prompt with n_keep ({needed}) >= n_ctx ({window})",
}


def plain(status: int, text: str, *, in_stream: bool = False) -> Failure:
    """An error as a string."""
    return Failure(status, {"error": text}, in_stream)


def nested(
    status: int, text: str, *, in_stream: bool = False, param: str | None = None, code: str | None = None
) -> Failure:
    """An error as an object."""
    facts = {"message": text, "type": "invalid_request_error", "param": param, "code": code}
    return Failure(status, {"error": facts}, in_stream)


@dataclass
class Model:
    """A downloaded model.

    Attributes:
        key: its name.
        loaded_window: the window that it is loaded with; None: it is not loaded.
        saved_window: the one that it is loaded with on demand.
        largest_window: what it was trained for.
        identifier: the name that the loaded instance was given, if not the key.
        is_embedding: it cannot chat.
    """

    key: str
    loaded_window: int | None = None
    saved_window: int = JIT_WINDOW
    largest_window: int = 131072
    size: int = 4_683_073_184
    parallel: int = 4
    identifier: str = ""
    is_embedding: bool = False

    @property
    def is_loaded(self) -> bool:
        return self.loaded_window is not None


@dataclass(eq=False)
class LMStudio(CompletionServer):
    """LM Studio. Unknown routes are answered with status 200 and an `error`, as the real one does.

    Attributes:
        models: what is downloaded.
        has_v1_listing: `/api/v1/models`, since 0.4.
        has_v0_listing: `/api/v0/models`, since 0.3.6.
        has_openai_listing: `/v1/models`.
        has_chat: `/v1/chat/completions`.
        jit: models are loaded on demand.
        loaded_answers: if just one model is loaded, it answers whatever name was asked for (older versions).
        overflow: how a prompt that does not fit is answered.
        overflow_text: in the words of which version.
    """

    models: list[Model] = field(default_factory=lambda: [Model("qwen2.5-coder-14b", loaded_window=8192)])
    has_v1_listing: bool = True
    has_v0_listing: bool = True
    has_openai_listing: bool = True
    has_chat: bool = True
    jit: bool = True
    loaded_answers: bool = False
    overflow: Literal["refused", "refused in stream", "empty"] = "refused"
    overflow_text: Literal["old overflow", "new overflow", "newest overflow"] = "new overflow"

    def respond(self, call: Call) -> Response:
        if not self.is_authorized(call):
            return self._unauthorized(call)
        match call.method, call.path:
            case "GET", "/api/v1/models" if self.has_v1_listing:
                return as_json({"models": [_entry_v1(model) for model in self.models]})
            case "GET", "/api/v0/models" if self.has_v0_listing:
                return as_json({"object": "list", "data": [_entry_v0(model) for model in self.models]})
            case "GET", "/v1/models" if self.has_openai_listing:
                shown = [model for model in self.models if self.jit or model.is_loaded]
                data = [{"id": model.key, "object": "model", "owned_by": "organization_owner"} for model in shown]
                return as_json({"object": "list", "data": data})
            case "POST", "/v1/chat/completions" if self.has_chat:
                return self._chat(call.body)
        return as_json({"error": f"Unexpected endpoint or method. ({call.method} {call.path})"})

    def error_event(self, failure: Failure) -> str:
        return event(failure.body, "error")

    def _unauthorized(self, call: Call) -> Response:
        given = call.headers.get("authorization", "").removeprefix("Bearer ")
        text = f"Malformed LM Studio API token provided: {given}" if given else TEXTS["no token"]
        facts = {"type": "invalid_request", "code": "invalid_api_key", "message": text}
        return as_json({"error": facts}, 401)

    def _chat(self, body: dict[str, Any]) -> Response:
        if (body.get("response_format") or {}).get("type") not in {None, "json_schema", "text"}:
            return plain(400, TEXTS["json_object"]).response()
        model = self._model_for(body.get("model"))
        if isinstance(model, Failure):
            return model.response()
        if model.loaded_window is None:
            model.loaded_window = model.saved_window
        needed = prompt_tokens(body)
        if needed >= model.loaded_window:
            return self._overflow(needed, model)
        name = body.get("model")
        return self.complete(body, str(name) if name in {model.key, model.identifier} else model.key)

    def _model_for(self, name: str | None) -> Model | Failure:
        loaded = [model for model in self.models if model.is_loaded]
        wanted = next((model for model in self.models if name in {model.key, model.identifier}), None)
        if wanted and (wanted.is_loaded or (self.jit and not self.loaded_answers)):
            return wanted
        if len(loaded) == 1 and (self.loaded_answers or not name):
            return loaded[0]
        if not loaded and not self.jit:
            return nested(404, TEXTS["none loaded"], param="model", code="model_not_found")
        if not name:
            return nested(400, TEXTS["several loaded"], param="model")
        text = (
            f'Invalid model identifier "{name}". Please specify a valid downloaded model (e.g. {self.models[0].key}).'
        )
        return nested(404, text, param="model", code="model_not_found")

    def _overflow(self, needed: int, model: Model) -> Response:
        if self.overflow == "empty":
            done = self._chunk(model.key, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
            return as_sse([event(done), DONE], self.newline)
        failure = plain(400, TEXTS[self.overflow_text].format(needed=needed, window=model.loaded_window))
        if self.overflow == "refused":
            return failure.response()
        return as_sse([self.error_event(failure)], self.newline)


def _entry_v1(model: Model) -> dict[str, Any]:
    config = {"context_length": model.loaded_window, "eval_batch_size": 512, "parallel": model.parallel}
    return {
        "type": "embedding" if model.is_embedding else "llm",
        "publisher": "lmstudio-community",
        "key": model.key,
        "display_name": model.key.title(),
        "architecture": "qwen2",
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
        "size_bytes": model.size,
        "params_string": "14B",
        "loaded_instances": [{"id": model.identifier or model.key, "config": config}] if model.is_loaded else [],
        "max_context_length": model.largest_window,
        "format": "gguf",
        "capabilities": {"vision": False, "trained_for_tool_use": True},
    }


def _entry_v0(model: Model) -> dict[str, Any]:
    entry = {
        "id": model.key,
        "object": "model",
        "type": "embeddings" if model.is_embedding else "llm",
        "publisher": "lmstudio-community",
        "arch": "qwen2",
        "compatibility_type": "gguf",
        "quantization": "Q4_K_M",
        "state": "loaded" if model.is_loaded else "not-loaded",
        "max_context_length": model.largest_window,
    }
    return entry | ({"loaded_context_length": model.loaded_window} if model.is_loaded else {})
