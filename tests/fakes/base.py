"""What the fakes share: a threaded HTTP server on a random loopback port that writes down what it is asked."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    Says = str | Callable[[dict[str, Any]], str]
    """What a model says, or a function of the request's body that tells it."""

JSON = "application/json"
TEXT = "text/plain"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
BYTES_PER_TOKEN = 4
NOTHING_FOUND = '{"findings": []}'
AFFIRMED = '{"confirmed": true, "evidence": "an empty list"}'

Ending = Literal["whole", "early", "cut", "reset"]
"""How a streamed answer ends: as it should; without its terminal marker; inside the HTTP body; with a TCP reset."""


@dataclass(frozen=True)
class Call:
    """One recorded request. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed = json.loads(self.raw)
        assert isinstance(parsed, dict)
        return parsed


@dataclass(frozen=True)
class Response:
    """What goes back. `pieces` of a stream are sent one by one, chunked; a plain body is one piece."""

    status: int = 200
    kind: str = JSON
    pieces: Sequence[bytes] = ()
    is_stream: bool = False
    ending: Ending = "whole"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Failure:
    """An answer that is an error: `body` is JSON (or a text, sent as it is).

    With `in_stream` the status is 200 and the body comes as a part of the stream, after the first piece of the answer.
    """

    status: int
    body: Any
    in_stream: bool = False

    def response(self) -> Response:
        if isinstance(self.body, str):
            return Response(self.status, TEXT, [self.body.encode()])
        return as_json(self.body, self.status)


def as_json(value: Any, status: int = 200) -> Response:
    return Response(status, JSON, [json.dumps(value, ensure_ascii=False).encode()])


def as_ndjson(lines: Iterable[Any], ending: Ending = "whole") -> Response:
    pieces = [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
    return Response(200, NDJSON, pieces, is_stream=True, ending=ending)


def as_sse(events: Iterable[str], newline: str = "\n", ending: Ending = "whole") -> Response:
    """Events as `event()` writes them, or comments."""
    pieces = [text.replace("\n", newline).encode() for text in events]
    return Response(200, SSE, pieces, is_stream=True, ending=ending)


def event(value: Any, kind: str = "") -> str:
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (f"event: {kind}\n" if kind else "") + f"data: {data}\n\n"


def parts(text: str, size: int = 7) -> list[str]:
    """A text as a model delivers it: bit by bit."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def asks_again(body: dict[str, Any]) -> bool:
    """Whether a request puts one claim to the test."""
    return '\n- "confirmed": true only if' in body["messages"][-1]["content"]  # no line of a change begins so


def said(answer: Says, ruling: Says, body: dict[str, Any]) -> str:
    """What the model says to a request."""
    words = ruling if asks_again(body) else answer
    return words if isinstance(words, str) else words(body)


def count_tokens(text: str) -> int:
    return len(text.encode()) // BYTES_PER_TOKEN


def prompt_tokens(body: dict[str, Any]) -> int:
    return sum(count_tokens(message["content"]) for message in body["messages"])


@dataclass(eq=False)
class Fake:
    """A server to be used as a context manager. Its knobs may be turned at any time.

    Attributes:
        piece: bytes in one chunk of a streamed body; None sends each event or line as one.
        host: the address that it listens at.
        port: the port; 0 takes one that is free.
        calls: every request so far.
        connections: accepted TCP connections.
    """

    piece: int | None = None
    host: str = "127.0.0.1"
    port: int = 0
    calls: list[Call] = field(default_factory=list, init=False)
    connections: int = field(default=0, init=False)
    _trouble: list[BaseException] = field(default_factory=list, init=False, repr=False)

    def respond(self, call: Call) -> Response:
        """The answer to a request."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.host}:{self._server.server_address[1]}"

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies that were sent to a path."""
        return [call.body for call in self.calls if call.path == path]

    @property
    def paths(self) -> list[str]:
        """The paths of all requests, in order."""
        return [call.path for call in self.calls]

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        if self._trouble and error is None:
            raise AssertionError(f"{type(self).__name__} itself failed") from self._trouble[0]


class Decoy(Fake):
    """Stands where nobody may come by, such as behind HTTP_PROXY."""

    def respond(self, call: Call) -> Response:
        return Response(502, TEXT, [b"you should not be here"])


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = False  # so that `server_close` waits for them
    request_queue_size = 64

    def __init__(self, fake: Fake) -> None:
        self.fake = fake
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((fake.host, fake.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        with self._lock:
            self._open.add(sock)
            self.fake.connections += 1
        return sock, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End idle connections, whose threads would wait for ever."""
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.fake._trouble.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, path, query, headers, raw)
        self.server.fake.calls.append(call)
        response = self.server.fake.respond(call)
        self.send_response(response.status)
        self.send_header("Content-Type", response.kind)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.is_stream:
            self._send_stream(response)
        else:
            body = b"".join(response.pieces)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = _answer  # noqa: N815  the names that http.server looks for

    def _send_stream(self, response: Response) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in self._cut_to_size(response.pieces):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if response.ending in {"cut", "reset"}:
            self.close_connection = True
            if response.ending == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            return
        self.wfile.write(b"0\r\n\r\n")

    def _cut_to_size(self, pieces: Sequence[bytes]) -> Iterable[bytes]:
        size = self.server.fake.piece
        if size is None:
            return pieces
        whole = b"".join(pieces)
        return (whole[at : at + size] for at in range(0, len(whole), size))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """It writes to standard error; `Fake.calls` tells more."""
