"""The two wires: how words travel, and what a piece of traffic is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.fakes.base import NDJSON, SSE, count_tokens, event, parts, prompt_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from soak.words import Saying

OLLAMA, OPENAI = "ollama", "openai"
MODEL = {OLLAMA: "soak-coder:7b", OPENAI: "soak-coder-7b.gguf"}
WINDOW = {OLLAMA: 8192, OPENAI: 16384}
CREATED = "2026-08-21T10:00:00.000000Z"
PIECE = 24


class Mark(Enum):
    """Moments of an answer, and ways to end one."""

    COMPLETE = auto()
    """What follows makes the answer complete."""
    CLOSE = auto()
    RESET = auto()
    RESTART = auto()
    """The connection is reset, and for a moment nobody listens."""


Step = bytes | float | Mark
"""Bytes to send, seconds to wait, or a moment."""


class Stream(NamedTuple):
    """A streamed answer: its content type, its pieces, and the one with which it is complete."""

    kind: str
    pieces: list[bytes]
    decisive: int


@dataclass
class Scene:
    """One chat request that is to be answered."""

    wire: str
    body: dict[str, Any]
    saying: Saying
    chance: Random
    is_cut: bool = False
    """The answer ends at its token limit."""
    read: int = 0
    """Tokens of the prompt that the server says it has read; 0: all of them."""

    @property
    def window(self) -> int:
        return int(self.body.get("options", {}).get("num_ctx", WINDOW[self.wire]))

    def stream(self) -> Stream:
        return self._ollama() if self.wire == OLLAMA else self._openai()

    def metrics(self) -> tuple[int, int]:
        return self.read or prompt_tokens(self.body), max(1, count_tokens(self.saying.text))

    def error(self, text: str) -> dict[str, Any]:
        """An error in the words of this wire."""
        return {"error": text} if self.wire == OLLAMA else {"error": {"message": text, "type": "server_error"}}

    def line(self, value: Any) -> bytes:
        """One line, or one event."""
        return json.dumps(value).encode() + b"\n" if self.wire == OLLAMA else event(value).encode()

    def delta(self, text: str) -> Any:
        """A piece of the answer."""
        return _said(content=text) if self.wire == OLLAMA else _chunk([{"index": 0, "delta": {"content": text}}])

    def _ollama(self) -> Stream:
        read, written = self.metrics()
        lines = [_said(thinking=part) for part in parts(self.saying.reasoning, PIECE)]
        lines += [_said(content=part) for part in parts(self.saying.text, PIECE)]
        reason = "length" if self.is_cut else "stop"
        durations = {"total_duration": 2_000_000_000, "prompt_eval_duration": 342_546_000}
        counts = {"prompt_eval_count": read, "eval_count": written, "eval_duration": written * 2_000_000}
        lines.append(_said(content="") | {"done": True, "done_reason": reason} | durations | counts)
        return Stream(NDJSON, [_encoded(line) + b"\n" for line in lines], len(lines) - 1)

    def _openai(self) -> Stream:
        read, written = self.metrics()
        deltas: list[dict[str, str]] = [{"role": "assistant"}]
        deltas += [{"reasoning_content": part} for part in parts(self.saying.reasoning, PIECE)]
        deltas += [{"content": part} for part in parts(self.saying.text, PIECE)]
        events = [_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
        finish = "length" if self.is_cut else "stop"
        events.append(_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
        events.append(_chunk([]) | {"usage": {"prompt_tokens": read, "completion_tokens": written}})
        pieces = [b"data: " + _encoded(each) + b"\n\n" for each in events]
        return Stream(SSE, [*pieces, event("[DONE]").encode()], len(events) - 2)


def _said(**message: str) -> dict[str, Any]:
    words = {"role": "assistant", "content": "", **message}
    return {"model": MODEL[OLLAMA], "created_at": CREATED, "message": words, "done": False}


def _chunk(choices: list[Any]) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": MODEL[OPENAI]}
    return head | {"choices": choices}


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


# Steps


def head(status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    rows = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}"]
    rows += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*rows, "", ""]).encode()


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def body(status: int, data: bytes, kind: str = "application/json", **headers: str) -> Iterator[Step]:
    """A whole answer of known length."""
    yield head(status, kind, Content_Length=str(len(data)), **headers) + data


def chunked(kind: str, pieces: Iterable[Step], ending: bytes = b"0\r\n\r\n", **headers: str) -> Iterator[Step]:
    """A stream; what is no bytes among its pieces is passed on."""
    yield head(200, kind, Transfer_Encoding="chunked", **headers)
    for piece in pieces:
        if not isinstance(piece, bytes):
            yield piece
        elif piece:
            yield chunk(piece)
    yield ending


def marked(stream: Stream) -> Iterator[Step]:
    """The pieces, with the moment before the one that makes the answer complete."""
    yield from stream.pieces[: stream.decisive]
    yield Mark.COMPLETE
    yield from stream.pieces[stream.decisive :]


def recut(stream: Stream, sizes: Iterator[int]) -> Iterator[Step]:
    """The same bytes in pieces of other sizes."""
    yield from _cut(b"".join(stream.pieces[: stream.decisive]), sizes)
    yield Mark.COMPLETE
    yield from _cut(b"".join(stream.pieces[stream.decisive :]), sizes)


def _cut(data: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = next(sizes)
        yield data[at : at + size]
        at += size
