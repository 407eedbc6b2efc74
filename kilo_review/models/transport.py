"""HTTP to a model server on this machine. With `forge/client.py` the only module that imports httpx.

httpx speaks HTTP; the sockets are ours. So each connection goes to an address that was checked, every byte
that leaves is counted, and no wait outlives its limit or the run's deadline, not even for a server that sends
one byte a second. Proxies of the environment are not read and redirects are not followed.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import (
    BrokenStreamError,
    ConfigError,
    DeadlineError,
    StalledError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.core.outcome import Egress
from kilo_review.models.elsewhere import refuse_headers
from kilo_review.models.faults import flood
from kilo_review.sanitize.terminal import without_credentials

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    import httpx

    from kilo_review.core.deadline import Deadline
    from kilo_review.models.locality import Endpoint

CONNECT_SECONDS = 3.0
METADATA_SECONDS = 15.0
"""For questions that need no model: a listing, a version."""
FIRST_BYTE_SECONDS = 600.0
"""Loading a large model and reading a long prompt happen before the first byte."""
SILENCE_SECONDS = 120.0
"""Between two pieces of an answer that has begun."""
LARGEST_BODY = 16 * 1024 * 1024
"""Bytes of one whole answer; a model's reply is a few kilobytes."""
LARGEST_LINE = 1024 * 1024
SHORTEST_MASKED = 8
OK = 200
REDIRECTS = range(300, 400)


@dataclass(slots=True)
class Patience:
    """How long the next piece of the answer may take: seconds before the first one, and between two.

    A piece is a line with something in it. Single bytes, and the comments by which a server shows that it lives, are
    none: a server that sends those for ever would hold us for ever.
    """

    deadline: Deadline
    first: float = METADATA_SECONDS
    flowing: bool = False
    since: float = 0.0
    """Of the last piece, or of the question, on the monotonic clock."""

    def begin(self, first: float) -> None:
        """A question is about to be sent."""
        self.first, self.flowing, self.since = first, False, time.monotonic()

    def progress(self) -> None:
        """A piece has come."""
        self.flowing, self.since = True, time.monotonic()

    def seconds(self) -> float:
        """The limit for one read, never beyond the deadline.

        Raises:
            DeadlineError: the deadline is over.
            StalledError: no piece has come for too long.
        """
        limit = SILENCE_SECONDS if self.flowing else self.first
        left = limit - (time.monotonic() - self.since)
        if left <= 0:
            raise self.expired(limit)
        return self.deadline.cap(left)

    def expired(self, waited: float) -> DeadlineError | StalledError:
        """The right error for a wait of so many seconds that brought nothing."""
        if self.deadline.remaining() == 0:
            return DeadlineError(
                f"the time limit of {self.deadline.seconds:g} s passed while the model was at work",
                hint="Raise it with --max-seconds, or use a smaller model",
            )
        return StalledError(
            f"the server sent no part of an answer for {max(waited, time.monotonic() - self.since):.0f} s",
            hint="Is it still loading, or stuck? Its log tells; then try again",
        )


class _Stream:
    """One socket, in the shape that httpcore expects (`httpcore.NetworkStream`)."""

    def __init__(self, sock: socket.socket, egress: Egress, client: Client) -> None:
        self._sock = sock
        self._egress = egress
        self._client = client

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  our own limits hold
        allowed = self._client.patience.seconds()
        try:
            self._sock.settimeout(allowed)  # fails as reading does, where another thread has hung up
            return self._sock.recv(max_bytes)
        except TimeoutError:
            raise self._client.patience.expired(allowed) from None
        except OSError as error:
            raise _broken(self._client.endpoint.origin, error.strerror or str(error)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        allowed = self._client.patience.seconds()
        if self._client.is_closed:  # by another thread while this one was connecting, when there was nothing to close
            raise _broken(self._client.endpoint.origin, "it was hung up")
        self._egress.bytes_sent += len(buffer)
        try:
            self._sock.settimeout(allowed)
            self._sock.sendall(buffer)
        except TimeoutError:
            raise self._client.patience.expired(allowed) from None
        except OSError:
            # A server may refuse a large request early and close; its answer is waiting to be read.
            return

    def close(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # closing it alone would not wake a thread that reads from it
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002  our own limits hold
    ) -> _Stream:
        self._sock.settimeout(self._client.patience.deadline.cap(CONNECT_SECONDS))
        try:
            wrapped = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
        except OSError as error:
            distrust = getattr(error, "verify_message", "")  # ssl.SSLCertVerificationError
            if distrust:
                raise WrongServerError(
                    f"{self._egress.url} has a certificate that is not to be trusted ({distrust})",
                    hint="If an authority of your own has signed it, name that in your settings: ca_file",
                ) from None
            raise WrongServerError(
                f"no TLS connection to {self._egress.url} ({error})", hint="Does the server speak https?"
            ) from None
        return _Stream(wrapped, self._egress, self._client)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  httpcore's signature
        if info == "is_readable":  # an idle connection that is readable was closed by the server
            return self._sock.fileno() < 0 or bool(select.select([self._sock], [], [], 0)[0])
        return {"socket": self._sock}.get(info)


class _Backend:
    """Opens sockets, in the shape of `httpcore.NetworkBackend`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def connect_tcp(self, host: str, port: int, **_ignored: object) -> _Stream:  # noqa: ARG002  ours is checked
        endpoint = self._client.endpoint
        refusal: OSError | None = None
        for address in endpoint.addresses:
            try:
                sock = socket.create_connection(
                    (address, endpoint.port), self._client.patience.deadline.cap(CONNECT_SECONDS)
                )
            except OSError as error:
                refusal = refusal or error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Stream(sock, self._client.receipt(address), self._client)
        reason = "no answer" if isinstance(refusal, TimeoutError) else (refusal and refusal.strerror) or "no address"
        raise UnreachableError(
            f"cannot connect to {endpoint.origin} ({reason.lower()})", hint="Start the server, then try again"
        )

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response: HTTP status, body, and headers with names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:  # noqa: ANN401  it is whatever the server sent
        """The body as JSON, or None if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Client:
    """Requests to one endpoint. Not for several threads at once, but for `close`.

    Attributes:
        endpoint: whom it asks.
        patience: how long the answer may take.
        is_closed: for good; nothing is sent any more.
    """

    def __init__(
        self, endpoint: Endpoint, egress: list[Egress], deadline: Deadline, *, api_key: str | None = None
    ) -> None:
        self.endpoint = endpoint
        self.patience = Patience(deadline)
        self._egress = egress
        self._receipt: Egress | None = None
        self._key = (api_key or "").encode()
        self.is_closed = False
        self._client = _httpx_client(self, api_key)

    @contextmanager
    def closed_on_failure(self) -> Iterator[Client]:
        """For the time of getting to know a server: if that fails, nothing stays open."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def another(self) -> Client:
        """One to the same endpoint, on connections of its own, for another thread."""
        return Client(self.endpoint, self._egress, self.patience.deadline, api_key=self._key.decode() or None)

    def close(self) -> None:
        """Close all connections; a server stops working for us when it sees that. Nothing is sent any more."""
        self.is_closed = True
        self._client.close()

    def receipt(self, address: str) -> Egress:
        """The account on which bytes to this address are booked."""
        if self._receipt is None or self._receipt.address != address:
            self._receipt = Egress(self.endpoint.origin, address)
            self._egress.append(self._receipt)
        return self._receipt

    def get(self, path: str, *, beside: str = "") -> Answer:
        """GET, the whole answer; `beside` is an end of the base URL that this path does not lie below."""
        with self._send("GET", self.endpoint.url.removesuffix(beside) + path, None, METADATA_SECONDS) as response:
            return self._answer(response)

    def post(self, path: str, body: Mapping[str, Any], *, beside: str = "") -> Answer:
        """POST a JSON object, the whole answer; `beside` as for `get`."""
        with self._send("POST", self.endpoint.url.removesuffix(beside) + path, body, METADATA_SECONDS) as response:
            return self._answer(response)

    def _answer(self, response: httpx.Response) -> Answer:
        self._refuse_elsewhere(response, sent=False)
        return Answer(response.status_code, self._masked(_limited(response)), dict(response.headers))

    def _refuse_elsewhere(self, response: httpx.Response, *, sent: bool) -> None:
        """Refuse what comes from another machine by its headers; `sent`: the question held the change."""
        place = self.endpoint
        refuse_headers(response.headers, place.origin, is_local=place.is_local, sent=sent, consent=place.consent)

    def _masked(self, data: bytes) -> bytes:
        """Servers repeat a refused token in their errors; it must not reach a terminal or a report.

        A very short one is left alone: masking every "1" would damage the answers.
        """
        return data.replace(self._key, b"***") if len(self._key) >= SHORTEST_MASKED else data

    @contextmanager
    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """POST a JSON object; the status and the answer's lines as they come, without their line ends."""
        with self._send("POST", self.endpoint.url + path, body, FIRST_BYTE_SECONDS) as response:
            self._refuse_elsewhere(response, sent=True)
            if response.status_code == OK:
                _refuse_web_page(response, self.endpoint.url)
            yield response.status_code, map(self._masked, self._lines(response))

    @contextmanager
    def _send(self, method: str, url: str, body: Mapping[str, Any] | None, first: float) -> Iterator[httpx.Response]:
        import httpcore  # noqa: PLC0415
        import httpx  # noqa: PLC0415

        self.patience.begin(first)
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._client.stream(method, url, content=content, headers=headers) as response:
                if self._receipt is None:
                    raise UnreachableError("a connection was made that was not accounted for")
                self._receipt.requests += 1
                _refuse_redirect(response, self.endpoint.url)
                _refuse_compression(response, self.endpoint.url)
                yield response
        except httpx.InvalidURL as error:
            raise ConfigError(f"{self.endpoint.origin} cannot be asked: {error}") from None
        except (httpx.HTTPError, httpcore.ProtocolError, httpcore.NetworkError) as error:
            raise _broken(self.endpoint.origin, str(error) or type(error).__name__) from None

    def _lines(self, response: httpx.Response) -> Iterator[bytes]:
        """Lines split at LF alone: U+2028 inside a JSON text is no line end."""
        pending, total = bytearray(), 0
        for piece in response.iter_raw():
            self.patience.seconds()  # raises when the time is over, also while bytes drip in
            total += len(piece)
            if total > LARGEST_BODY or len(pending) > LARGEST_LINE:
                raise flood(LARGEST_LINE if len(pending) > LARGEST_LINE else LARGEST_BODY)
            pending += piece
            if b"\n" in piece:
                *lines, rest = bytes(pending).split(b"\n")
                pending = bytearray(rest)
                if any(_says_something(line) for line in lines):
                    self.patience.progress()
                yield from (line.removesuffix(b"\r") for line in lines)
        if pending:
            yield bytes(pending)


def _says_something(line: bytes) -> bool:
    """Whether a line is more than a server's sign of life: not blank, and no comment of an event stream."""
    return bool(line.strip()) and not line.startswith(b":")


def _limited(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > LARGEST_BODY:
            raise flood(LARGEST_BODY)
    return bytes(body)


def _refuse_redirect(response: httpx.Response, url: str) -> None:
    if response.status_code in REDIRECTS:
        where = response.headers.get("location", "elsewhere")
        raise WrongServerError(
            f"{url} redirects to {without_credentials(where)!a}, which was not followed",
            hint="Configure the server's own local address",
        )


def _refuse_compression(response: httpx.Response, url: str) -> None:
    """None was asked for; and a small answer that unpacks to gigabytes is an attack."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise WrongServerError(
            f"{url} answers in the encoding {encoding!a}, which was not asked for",
            hint="Is a proxy or a login page in between? Name the server's own address with --base-url",
        )


def _refuse_web_page(response: httpx.Response, url: str) -> None:
    """A captive portal, or another program's page, where an answer was expected."""
    if response.headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
        raise WrongServerError(
            f"something answers at {url} with a web page", hint="Is the base URL right, and nothing in between?"
        )


def _broken(origin: str, reason: str) -> BrokenStreamError:
    said = reason[:1].lower() + reason[1:].rstrip(".")
    return BrokenStreamError(f"the answer of {origin} broke off ({said})", hint="The server's log tells why")


def _trust(ca_file: str) -> ssl.SSLContext:
    """Whose certificates are believed: the usual authorities, and the user's own if there is one.

    Raises:
        ConfigError: the user's file cannot be read, or holds no certificate.
    """
    import httpx  # noqa: PLC0415

    context = httpx.create_ssl_context(trust_env=False)
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(
            f"ca_file: {ca_file!a} cannot be used ({error.strerror or error})", hint="It holds certificates in PEM form"
        ) from None
    return context


def _httpx_client(client: Client, api_key: str | None) -> httpx.Client:
    """An httpx client on our sockets, made of public parts only.

    httpx loads its command line (rich, pygments: half of its import time) unless that module is absent, which
    its `__init__` allows for; it is made absent in this process.
    """
    absent = "httpx._main"
    if absent not in sys.modules:
        sys.modules[absent] = None  # type: ignore[assignment]
    import httpcore  # noqa: PLC0415
    import httpx  # noqa: PLC0415

    class Body(httpx.SyncByteStream):
        def __init__(self, inner: httpcore.Response) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            yield from self._inner.iter_stream()

        def close(self) -> None:
            self._inner.close()

    class Transport(httpx.BaseTransport):
        def __init__(self) -> None:
            secure = client.endpoint.url.startswith("https:")
            # Building the certificate store takes 20 ms that a plain http connection does not need.
            context = _trust(client.endpoint.ca_file) if secure else None
            backend: Any = _Backend(client)
            self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=backend)

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            url = httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            )
            inner = self._pool.handle_request(
                httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream)
            )
            return httpx.Response(inner.status, headers=inner.headers, stream=Body(inner))

        def close(self) -> None:
            self._pool.close()

    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    # Compression buys nothing on loopback.
    headers |= {"Accept-Encoding": "identity", "User-Agent": "kilo-review"}
    settings: dict[str, Any] = {"trust_env": False, "follow_redirects": False, "headers": headers}
    return httpx.Client(transport=Transport(), timeout=None, **settings)  # noqa: S113  `Patience` limits each read
