"""Answers that are none, before a word of the model: to a chat request, or to a question about the server itself."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from soak.wire import OLLAMA, Mark, Step, body, chunked, head
from tests.support.fakes.base import prompt_tokens
from tests.support.fakes.ollama import CLOUD, nested_overflow
from tests.support.fakes.openai import GRAMMAR_REFUSED, llama_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soak.wire import Scene

HTML = "text/html; charset=utf-8"
PORTAL = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Sign in to the guest network</body></html>"
LM_STUDIO_ERROR = {"error": "Unexpected endpoint or method. (GET /api/version). Returning 200 anyway"}
BOMB_BYTES = 64 << 20
LONG_SECONDS = 60.0
"""Longer than anybody waits here."""


def said(scene: Scene, status: int, text: str) -> Iterator[Step]:
    """An error in the words of the wire."""
    return body(status, json.dumps(scene.error(text)).encode())


def _error(status: int, text: str, other: str = "") -> Callable[[Scene], Iterator[Step]]:
    """An error of Ollama, and what the other wire says instead."""
    return lambda scene: said(scene, status, text if scene.wire == OLLAMA or not other else other)


def _plain(status: int, data: bytes, kind: str = "application/json", **headers: str) -> Callable[[Any], Iterator[Step]]:
    return lambda _scene: body(status, data, kind, **headers)


def overflow(scene: Scene) -> Iterator[Step]:
    """The prompt as it is, and a window that is smaller."""
    needed = prompt_tokens(scene.body)
    return _overflow(scene, needed, max(16, needed * 2 // 3))


def too_long(scene: Scene) -> Iterator[Step]:
    """What a server says when the prompt really does not fit."""
    return _overflow(scene, prompt_tokens(scene.body), scene.window)


def absurd_overflow(scene: Scene) -> Iterator[Step]:
    """Numbers that cannot be."""
    return _overflow(scene, 10**9, 10**8)


def _overflow(scene: Scene, needed: int, window: int) -> Iterator[Step]:
    if scene.wire == OLLAMA:
        return said(scene, 400, nested_overflow(needed, window))
    message = f"request ({needed} tokens) exceeds the available context size ({window} tokens), try increasing it"
    refused = llama_error(400, "exceed_context_size_error", message, n_prompt_tokens=needed, n_ctx=window)
    return body(400, json.dumps(refused.body).encode())


def grammar_rejected(scene: Scene) -> Iterator[Step]:
    if scene.wire == OLLAMA:
        return said(scene, 400, "Failed to initialize samplers: failed to parse grammar")
    return body(400, json.dumps(GRAMMAR_REFUSED.body).encode())


def redirect(_scene: Any) -> Iterator[Step]:
    return body(307, b"", Location="http://203.0.113.9:11434/elsewhere")


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(BOMB_BYTES))


def gzip_bomb(_scene: Any) -> Iterator[Step]:
    return body(200, _bomb(), Content_Encoding="gzip")


def reset(_scene: Any) -> Iterator[Step]:
    yield Mark.RESET


def closed(_scene: Any) -> Iterator[Step]:
    yield Mark.CLOSE


def restart(_scene: Any) -> Iterator[Step]:
    yield Mark.RESTART


def stall(_scene: Any) -> Iterator[Step]:
    yield LONG_SECONDS


def drip(_scene: Any) -> Iterator[Step]:
    """One byte at a time, without an end."""

    def drops() -> Iterator[Step]:
        while True:
            yield b" "
            yield 0.02

    return chunked("application/json", drops())


def flood(_scene: Any) -> Iterator[Step]:
    """Bytes without an end, and without a line's end."""

    def wave() -> Iterator[Step]:
        while True:
            yield b'"x' * 32768

    return chunked("application/json", wave())


def header_flood(_scene: Any) -> Iterator[Step]:
    yield head(200, **{f"X_Filler_{number}": "x" * 1000 for number in range(200)})
    yield Mark.CLOSE


def not_http(_scene: Any) -> Iterator[Step]:
    yield b"SSH-2.0-OpenSSH_9.9\r\n"
    yield Mark.CLOSE


CHAT: dict[str, Callable[[Scene], Iterator[Step]]] = {
    "busy": _error(503, "server busy, please try again.  maximum pending requests exceeded", "Too many requests"),
    "loading": _error(503, "llm server loading model", "Loading model"),
    "not found": _error(404, "model 'soak-coder:7b' not found", "The model `soak-coder-7b.gguf` does not exist."),
    "auth": _error(401, "unauthorized", "Invalid API Key"),
    "host refused": _plain(403, b""),
    "out of memory": _error(500, "model requires more system memory (8.4 GiB) than is available (5.1 GiB)"),
    "crash on load": _error(500, "llama-server process has terminated: signal: killed"),
    "evicted": _error(400, "Model unloaded by user or API request.", "Model is unloaded."),
    "overflow": overflow,
    "overflow without numbers": _error(400, "the input length exceeds the context length"),
    "absurd overflow": absurd_overflow,
    "grammar rejected": grammar_rejected,
    "cloud: not signed in": _plain(
        401, json.dumps({"error": "unauthorized", "signin_url": "https://ollama.com/connect?x"}).encode()
    ),
    "unknown error": _error(418, "I'm a teapot \x1b[31m\u202e"),
    "deep error": _plain(500, b'{"error":' * 20_000),
    "huge error": _error(500, "x" * 2_000_000),
}
"""What happens to a chat request alone."""

ANY: dict[str, Callable[[Any], Iterator[Step]]] = {
    "redirect": redirect,
    "captive portal": _plain(200, PORTAL, HTML),
    "captive portal, 511": _plain(511, PORTAL, HTML),
    "gzip bomb": gzip_bomb,
    "200 with an error": _plain(200, json.dumps(LM_STUDIO_ERROR).encode()),
    "wrong server": _plain(404, b"404 page not found", "text/plain"),
    "wrong shape": _plain(200, b'["ok", {"models": 3}]'),
    "empty body": _plain(200, b""),
    "no content": lambda _scene: iter([head(204)]),
    "bad gateway": _plain(502, b"upstream\xff\xfe gone", "text/plain"),
    "not JSON": _plain(200, b'{"version": "0.33.0", \xc3\x28', "application/json"),
    "deep JSON": _plain(200, b"[" * 100_000),
    "reset": reset,
    "closed": closed,
    "restart": restart,
    "stall": stall,
    "drip for ever": drip,
    "flood": flood,
    "header flood": header_flood,
    "not HTTP": not_http,
}
"""What happens to any request."""


def remote_stub(name: str) -> Iterator[Step]:
    """`/api/show` of a model that only looks as if it were here."""
    shown = {
        "details": {"format": ""},
        "model_info": {},
        "capabilities": ["completion"],
        "remote_model": name,
        "remote_host": CLOUD,
    }
    return body(200, json.dumps(shown).encode())
