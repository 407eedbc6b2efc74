"""The wires, each with a server that speaks it, so that one story of a server can be told on all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import NDJSON, SSE, Response, event
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.ollama import Ollama
from tests.support.fakes.openai import LlamaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.fakes.base import Ending


@dataclass(frozen=True)
class Wire:
    """How answers are written, and who is asked for them.

    Attributes:
        provider: the name of the client, for `--provider`.
        server: what messages call the server.
        model: the one that it has.
        make: starts it.
        chat: the path of questions.
        kind: the content type of an answer.
        suffix: what messages add to its address.
    """

    provider: str
    server: str
    model: str
    make: Callable[[], Any]
    chat: str
    kind: str
    suffix: str = ""

    def says(self, text: str, **more: Any) -> bytes:
        """A piece of an answer."""
        raise NotImplementedError

    def thinks(self, text: str) -> bytes:
        """A piece of what comes apart as thinking."""
        raise NotImplementedError

    def ends(self, reason: str = "stop", prompt: Any = 400, answer: Any = 5, seconds: Any = 0.1) -> bytes:
        """The end of an answer, with its counts."""
        raise NotImplementedError

    def fails(self, text: str) -> bytes:
        """An error in the middle of an answer."""
        raise NotImplementedError

    def sends(self, *pieces: bytes, ending: Ending = "whole", pause: float = 0.0) -> Response:
        """A stream of these pieces."""
        return self.streams(pieces, ending=ending, pause=pause)

    def streams(self, pieces: Iterable[bytes], *, ending: Ending = "whole", pause: float = 0.0) -> Response:
        """A stream of pieces, possibly without end."""
        return Response(200, self.kind, pieces, is_stream=True, ending=ending, pause=pause)

    def answers(self, *texts: str) -> Response:
        """A whole answer, in so many pieces."""
        return self.sends(*map(self.says, texts), self.ends())


class _Ndjson(Wire):
    def says(self, text: str, **more: Any) -> bytes:
        return self._line(message={"role": "assistant", "content": text}, done=False, **more)

    def thinks(self, text: str) -> bytes:
        return self._line(message={"role": "assistant", "content": "", "thinking": text}, done=False)

    def ends(self, reason: str = "stop", prompt: Any = 400, answer: Any = 5, seconds: Any = 0.1) -> bytes:
        counts = {"prompt_eval_count": prompt, "eval_count": answer, "eval_duration": round(seconds * 10**9)}
        return self._line(message={"role": "assistant", "content": ""}, done=True, done_reason=reason, **counts)

    def fails(self, text: str) -> bytes:
        return self._line(error=text)

    def _line(self, **facts: Any) -> bytes:
        return json.dumps({"model": self.model, **facts}, ensure_ascii=False).encode() + b"\n"


class _Sse(Wire):
    def says(self, text: str, **more: Any) -> bytes:
        return self._delta(content=text, **more)

    def thinks(self, text: str) -> bytes:
        return self._delta(reasoning_content=text)

    def ends(self, reason: str = "stop", prompt: Any = 400, answer: Any = 5, seconds: Any = 0.1) -> bytes:
        usage = {"prompt_tokens": prompt, "completion_tokens": answer}
        last = event({"choices": [], "usage": usage, "timings": {"predicted_ms": 1000 * seconds}}) + event("[DONE]")
        return self._chunk({"index": 0, "delta": {}, "finish_reason": reason}) + last.encode()

    def fails(self, text: str) -> bytes:
        return event({"error": {"message": text, "type": "server_error"}}, "error").encode()

    def _delta(self, **delta: Any) -> bytes:
        return self._chunk({"index": 0, "delta": delta, "finish_reason": None})

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        return event({"object": "chat.completion.chunk", "model": self.model, "choices": [choice]}).encode()


def text_of(wire: Wire, status: int, text: str) -> Response:
    """A refusal in the form that is usual on a wire."""
    body: dict[str, Any] = {"error": text if wire is OLLAMA else {"message": text, "type": "error", "code": status}}
    return Response(status, pieces=[json.dumps(body).encode()])


OLLAMA: Wire = _Ndjson("ollama", "Ollama", "qwen2.5-coder:7b", Ollama, "/api/chat", NDJSON)
OPENAI: Wire = _Sse(
    *("openai", "the server", "qwen2.5-coder-7b-q4_k_m.gguf", LlamaServer, "/v1/chat/completions", SSE, "/v1")
)
LMSTUDIO: Wire = _Sse("lmstudio", "LM Studio", "qwen2.5-coder-14b", LMStudio, "/v1/chat/completions", SSE, "/v1")
