"""Fakes of servers with several models on the OpenAI wire: llama-server's router, llama-swap, Lemonade, KoboldCpp, OVMS.

Their forms are those of tools/server/README.md of llama.cpp, of internal/server/api.go of llama-swap, and of Lemonade's
docs/guide/configuration/cloud.md; KoboldCpp's emulation of Ollama is that of koboldcpp#1971.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import TEXT, Response, as_json
from tests.support.fakes.openai import CompletionServer, llama_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.fakes.base import Call

NO_PAGE = Response(404, TEXT, [b"404 page not found\n"])


@dataclass(eq=False)
class Gateway(CompletionServer):
    """What they have in common.

    Attributes:
        entries: of its listing, beside `id` and `object`.
        base: the path below which the OpenAI wire lies.
        headers: of each answer.
        says: further fields of each piece of an answer.
        version: what `/api/version` answers; None: it has no such route.
        show: what `/api/show` answers; None likewise.
        unknown: the answer on other routes.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    base: str = "/v1"
    headers: tuple[tuple[str, str], ...] = ()
    says: Mapping[str, Any] = field(default_factory=dict)
    version: Mapping[str, Any] | None = None
    show: Mapping[str, Any] | None = None
    unknown: Response = NO_PAGE

    def respond(self, call: Call) -> Response:
        answer = self._route(call)
        return replace(answer, headers=(*answer.headers, *self.headers))

    def _route(self, call: Call) -> Response:
        if (call.method, call.path) == ("GET", f"{self.base}/models"):
            return as_json({"object": "list", "data": [{"object": "model", **entry} for entry in self.entries]})
        if (call.method, call.path) == ("POST", f"{self.base}/chat/completions"):
            return self.chat(call.body)
        if (call.method, call.path) == ("GET", "/api/version") and self.version is not None:
            return as_json(self.version)
        if (call.method, call.path) == ("POST", "/api/show") and self.show is not None:
            return as_json(self.show)
        return self.own(call)

    def own(self, call: Call) -> Response:
        """Answer on a route that this server alone has."""
        return self.unknown

    def chat(self, body: dict[str, Any]) -> Response:
        return self.complete(body, str(body["model"]))

    def extra(self, usage: dict[str, Any]) -> dict[str, Any]:
        return dict(self.says)


@dataclass(eq=False)
class Router(Gateway):
    """`llama-server` without a model.

    Attributes:
        states: `status` of each model, by name.
        windows: of the loaded ones.
        autoloads: false with `--no-models-autoload`.
        loads: the models that a request has made it load.
    """

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    autoloads: bool = True
    loads: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.unknown = llama_error(404, "not_found_error", "File Not Found").response()

    def _route(self, call: Call) -> Response:
        self.entries = [
            {"id": name, "owned_by": "llamacpp", "created": 1, "status": status} for name, status in self.states.items()
        ]
        return super()._route(call)

    def own(self, call: Call) -> Response:
        if (call.method, call.path) != ("GET", "/props"):
            return self.unknown
        name = next((name for name in self.states if f"model={name}" in call.query.split("&")), "")
        if not name:
            return as_json({"default_generation_settings": {"n_ctx": 0}, "role": "router", "build_info": "b10488"})
        if not self._is_ready(name):
            if "autoload=false" not in call.query:
                self.loads.append(name)
            return NOT_LOADED
        settings = {"n_ctx": self.windows.get(name, 4096)}
        return as_json({"default_generation_settings": settings, "total_slots": 1, "build_info": "b10488"})

    def chat(self, body: dict[str, Any]) -> Response:
        name = str(body["model"])
        if not self._is_ready(name):
            if not self.autoloads:
                return NOT_LOADED
            self.loads.append(name)
        return self.complete(body, name)

    def _is_ready(self, name: str) -> bool:
        return self.states[name]["value"] in {"loaded", "sleeping"}


NOT_LOADED = llama_error(400, "invalid_request_error", "model is not loaded").response()


@dataclass(eq=False)
class LlamaSwap(Gateway):
    """llama-swap.

    Attributes:
        models: `meta.llamaswap` of each, by name.
        running: what `/running` tells of each that is started, by name.
        swaps: the models that a request has made it start, in the place of another one.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: dict[str, dict[str, Any]] = field(default_factory=dict)
    swaps: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.version = {"version": "240", "commit": "1c6a1be", "build_date": "2026-11-01T00:00:00Z"}

    def _route(self, call: Call) -> Response:
        self.entries = [
            {"id": name, "created": 1, "owned_by": "llama-swap", "meta": {"llamaswap": facts}}
            for name, facts in self.models.items()
        ]
        return super()._route(call)

    def own(self, call: Call) -> Response:
        if (call.method, call.path) == ("GET", "/running"):
            usual = {"state": "ready", "cmd": "llama-server -m x.gguf", "proxy": "http://localhost:5800", "ttl": 0}
            return as_json({"running": [{"model": name, **usual, **facts} for name, facts in self.running.items()]})
        if "model=" in call.query:  # it starts the model for whatever it is asked about it
            self.swaps.append(call.query)
        return self.unknown

    def chat(self, body: dict[str, Any]) -> Response:
        if body["model"] not in self.running:
            self.swaps.append(str(body["model"]))
        return super().chat(body)


def lemonade(*entries: dict[str, Any], **more: Any) -> Gateway:
    """Lemonade, which answers on Ollama's routes as well, and does not say there where a model runs."""
    listed = [{"created": 1, "owned_by": "lemonade", **entry} for entry in entries]
    return Gateway(entries=listed, version={"version": "0.16.1"}, show={"details": {}, "model_info": {}}, **more)


def koboldcpp(**more: Any) -> Gateway:
    """KoboldCpp: it has `/api/version` and not `/api/show`."""
    entries = [{"id": "koboldcpp/qwen2.5-coder", "created": 1, "owned_by": "koboldcpp"}]
    return Gateway(
        entries=entries,
        version={"version": "0.7.0"},
        headers=(("X-Kobold", "1"), ("Server", "KoboldCppServer")),
        **more,
    )


def openvino(**more: Any) -> Gateway:
    """OpenVINO Model Server, whose interface lies below `/v3`."""
    entries = [{"id": "Qwen/Qwen2.5-Coder-7B-int4", "created": 1, "owned_by": "OVMS"}]
    return Gateway(entries=entries, base="/v3", **more)
