"""What the fakes share: a threaded HTTP server on a random loopback port that writes down what it is asked."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
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

Ending = Literal["whole", "early", "cut", "reset", "hang"]
"""How a streamed answer ends: as it should; without its terminal marker; inside the HTTP body; with a TCP reset; not at
all, over a connection that stays open."""
PATIENCE_SECONDS = 30
"""For a client to leave; and how long a server that hangs does so at most."""


class NoAnswer(Exception):  # noqa: N818  it is no error
    """Raised by what a model says: it does not answer for as long as the client waits."""


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
    """What goes back.

    Attributes:
        pieces: of a stream, sent one by one, chunked, possibly without end; of a plain body, sent as one.
        headers: further ones.
        bare: the pieces are all that goes over the socket, head included, whatever HTTP says; then it is closed.
        pause: seconds before each piece.
    """

    status: int = 200
    kind: str = JSON
    pieces: Iterable[bytes] = ()
    is_stream: bool = False
    ending: Ending = "whole"
    headers: tuple[tuple[str, str], ...] = ()
    bare: bool = False
    pause: float = 0.0

    def response(self) -> Response:
        """Itself, in the place of a `Failure`."""
        return self


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


Step = Response | Failure | None | Callable[[Call], Response | Failure | None]
"""What one request is answered with instead; None is the ordinary answer."""


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
        host: the address of this machine that it listens on.
        tls: with which it speaks TLS; None: it does not.
        piece: bytes in one chunk of a streamed body; None sends each event or line as one.
        port: the port; 0 takes one that is free.
        instead: what a path is answered with instead, one request after the other, the last one for ever, or a function
            of the request that tells it; None is the ordinary answer.
        calls: every request so far.
        connections: accepted TCP connections.
        left: for each answer that the client did not wait for the end of, the bytes that were sent of it.
    """

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    piece: int | None = None
    port: int = 0
    instead: dict[str, list[Step]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list, init=False)
    connections: int = field(default=0, init=False)
    left: list[int] = field(default_factory=list, init=False)
    _trouble: list[BaseException] = field(default_factory=list, init=False, repr=False)

    def respond(self, call: Call) -> Response:
        """The answer to a request."""
        raise NotImplementedError

    def planned(self, call: Call) -> Response:
        """The answer to a request, or what comes instead."""
        plan = self.instead.get(call.path) or [None]
        step = plan.pop(0) if len(plan) > 1 else plan[0]
        now = step(call) if callable(step) else step
        return self.respond(call) if now is None else now.response()

    def saw_the_client_leave(self) -> bool:
        """Whether the client closed the connection in the middle of an answer; waits a moment for it."""
        end = time.monotonic() + PATIENCE_SECONDS / 10
        while not self.left and time.monotonic() < end:
            time.sleep(0.01)
        return bool(self.left)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._server.server_address[1]}"

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
        self.is_closing = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in fake.host else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((fake.host, fake.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        if self.fake.tls is not None:
            sock = self.fake.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
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
        self.is_closing.set()
        with self._lock:
            for sock in self._open:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        # A client that does not believe the certificate ends the handshake.
        if error is not None and not isinstance(error, (ConnectionError, ssl.SSLError)):
            self.fake._trouble.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if len(raw) < length:  # the client has left in the middle of its question
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = Call(self.command, path, query, headers, raw)
        self.server.fake.calls.append(call)
        self._sent = 0
        try:
            try:
                self._send(self.server.fake.planned(call))
            except NoAnswer:
                self._end("hang")
        except ConnectionError:
            self._note_that_the_client_left()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = _answer  # noqa: N815  the names that http.server looks for

    def _send(self, response: Response) -> None:
        if response.bare:
            self._send_all(response)
            self._end(response.ending)
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in (("Content-Type", response.kind), *response.headers):
            self.send_header(name, value)
        if response.is_stream:
            self._send_stream(response)
        else:
            body = b"".join(response.pieces)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self._write(body)

    def _send_stream(self, response: Response) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._send_all(response, b"%x\r\n%s\r\n")
        if response.ending in {"whole", "early"}:
            self._write(b"0\r\n\r\n")
        else:
            self._end(response.ending)

    def _send_all(self, response: Response, frame: bytes = b"") -> None:
        for piece in self._cut_to_size(response.pieces):
            if response.pause and self.server.is_closing.wait(response.pause):
                return
            self._write(frame % (len(piece), piece) if frame else piece)

    def _end(self, ending: Ending) -> None:
        self.close_connection = True
        if ending == "hang":
            self._wait_until_the_client_leaves()
        elif ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self._sent += len(data)

    def _wait_until_the_client_leaves(self) -> None:
        self.connection.settimeout(PATIENCE_SECONDS)
        if self.connection.recv(1) == b"":
            self._note_that_the_client_left()

    def _note_that_the_client_left(self) -> None:
        self.close_connection = True
        if not self.server.is_closing.is_set():
            self.server.fake.left.append(self._sent)

    def _cut_to_size(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        size = self.server.fake.piece
        if size is None:
            return pieces
        whole = b"".join(pieces)
        return (whole[at : at + size] for at in range(0, len(whole), size))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """It writes to standard error; `Fake.calls` tells more."""
