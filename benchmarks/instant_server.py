"""A server on Ollama's wire that answers at once, so that only the program's own cost shows."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

NOTHING = '{"findings": []}'
BLOCKING = json.dumps(
    {
        "findings": [
            {
                "code": "return total / len(self.items)",
                "file": "cart.py",
                "line": 7,
                "problem": "An empty cart divides by zero.",
                "severity": "critical",
                "title": "Division by zero",
                "type": "bug",
            }
        ]
    }
)
CONFIRMED = '{"confirmed": true, "evidence": "Cart([]).mean() divides by zero"}'
REPLIES: dict[str, Any] = {
    "/api/version": {"version": "0.31.2"},
    "/api/ps": {"models": [{"name": "instant:1b", "context_length": 8192, "size": 1, "size_vram": 1}]},
    "/api/tags": {"models": [{"name": "instant:1b", "size": 1}]},
    "/v1/models": {"object": "list", "data": [{"id": "instant:1b", "object": "model", "owned_by": "library"}]},
    "/api/show": {
        "model_info": {"general.architecture": "x", "x.context_length": 32768},
        "capabilities": ["completion"],
    },
    "/api/chat": {"done": True, "done_reason": "stop", "prompt_eval_count": 500, "eval_count": 5},
}


class InstantServer:
    """Serves until the `with` block ends.

    Attributes:
        prompt_bytes: of the messages of the last chat request.
        all_bytes: of those of all chat requests.
        chats: how many there were.
        prompt: the last one's text.
    """

    def __init__(self, answer: str = NOTHING) -> None:
        self.prompt_bytes = self.all_bytes = self.chats = 0
        self.prompt = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for each answer, as real servers send it

            def log_message(self, *_arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/api/chat":
                    self._answer()
                    return
                outer.prompt = body["messages"][-1]["content"]
                outer.chats += 1
                outer.prompt_bytes = sum(len(each["content"].encode()) for each in body["messages"])
                outer.all_bytes += outer.prompt_bytes
                words = CONFIRMED if '"confirmed"' in outer.prompt else answer
                self._answer({"message": {"role": "assistant", "content": words}})

            def _answer(self, more: dict[str, Any] | None = None) -> None:
                data = json.dumps(REPLIES[self.path] | (more or {})).encode() + b"\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
