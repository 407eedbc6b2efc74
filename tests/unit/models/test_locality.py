"""Is this address, is this model, on this machine?"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import (
    BrokenStreamError,
    ConfigError,
    KiloReviewError,
    NotLocalError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.core.outcome import Egress
from kilo_review.models import transport
from kilo_review.models.consent import Consent
from kilo_review.models.elsewhere import refuse_remote_model, refuse_remote_name
from kilo_review.models.locality import (
    endpoint,
    is_loopback,
    ollama_url,
)
from kilo_review.models.transport import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Runner


@pytest.mark.parametrize(
    ("url", "clean", "addresses"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434", ("127.0.0.1",)),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434", ("127.0.0.1",)),
        ("http://localhost:1234/v1/", "http://localhost:1234/v1", ("127.0.0.1", "::1")),
        ("http://LOCALHOST.:1234", "http://localhost.:1234", ("127.0.0.1", "::1")),
        ("http://[::1]:8080", "http://[::1]:8080", ("::1",)),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080", ("127.0.0.1",)),
        ("http://[::]:8080", "http://[::1]:8080", ("::1",)),
        ("http://127.1.2.3", "http://127.1.2.3:80", ("127.1.2.3",)),
        ("https://127.0.0.1", "https://127.0.0.1:443", ("127.0.0.1",)),
        ("http://[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1", ("::ffff:127.0.0.1",)),
    ],
)
def test_a_local_address(url: str, clean: str, addresses: tuple[str, ...]) -> None:
    made = endpoint(url)
    assert (made.url, made.addresses) == (clean, addresses)


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("http://192.0.2.1:11434", NotLocalError, "192.0.2.1 is not this machine; nothing was sent"),
        ("http://10.0.0.5:11434", NotLocalError, "not this machine"),
        ("http://[2001:db8::1]:1", NotLocalError, "not this machine"),
        ("http://[::ffff:192.0.2.1]:1", NotLocalError, "not this machine"),
        ("http://3221225985:1", NotLocalError, "192.0.2.1"),  # decimal form of 192.0.2.1
        ("http://169.254.169.254", NotLocalError, "not this machine"),
        ("http://no-such-host.invalid", UnreachableError, "the host name 'no-such-host.invalid' does not resolve ("),
        ("http://no-such-host.invalid", UnreachableError, "). Use 127.0.0.1 for a server on this machine"),
        ("http://user:secret@127.0.0.1", ConfigError, "user name or password"),
        ("127.0.0.1:11434", ConfigError, "is not a base URL"),
        ("ftp://127.0.0.1", ConfigError, "is not a base URL"),
        ("http://", ConfigError, "is not a base URL"),
        ("http://127.0.0.1:99999", ConfigError, "is not a base URL"),
        ("http://127.0.0.1:0", ConfigError, "is not a base URL"),
        ("http://127.0.0.1/?x=1", ConfigError, "is not a base URL"),
        ("http://[::1", ConfigError, "is not a base URL"),
        ("http://127.0.0.1\\192.0.2.1", ConfigError, "letters, digits, dots and hyphens"),
        ("http://\uff11\uff12\uff17.0.0.1", ConfigError, "letters, digits, dots and hyphens"),
        ("http://%31%32%37.0.0.1", ConfigError, "letters, digits, dots and hyphens"),
        ("http://127.0.0.1%lo", ConfigError, "letters, digits, dots and hyphens"),
        ("http://127.0.0.1;192.0.2.1", ConfigError, "letters, digits, dots and hyphens"),
        ("", ConfigError, "is not a base URL"),
    ],
)
def test_a_refused_address(url: str, error: type[KiloReviewError], message: str) -> None:
    with pytest.raises(error) as caught:
        endpoint(url)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_every_address_of_a_name_must_be_local(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(*_arguments: object, **_more: object) -> list[tuple[Any, ...]]:
        return [(0, 0, 0, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.7")]

    monkeypatch.setattr(socket, "getaddrinfo", mixed)
    with pytest.raises(NotLocalError, match=r"192\.0\.2\.7"):
        endpoint("http://half-local.example")


def test_loopback_is_the_whole_block() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]))
    assert not any(map(is_loopback, ["128.0.0.1", "0.0.0.0", "::", "::2", "fe80::1%lo", "::ffff:10.0.0.1"]))


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("example", "http://example:11434"),
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:9", "http://127.0.0.1:9"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8", "http://127.0.0.1:8"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:7", "http://[::1]:7"),
        ("[::]:7", "http://[::1]:7"),
        ("http://h", "http://h:80"),
        ("https://h", "https://h:443"),
        ("https://h:1/prefix/", "https://h:1/prefix"),
        (' "127.0.0.1:5" ', "http://127.0.0.1:5"),
        ("127.0.0.1:port", "http://127.0.0.1:11434"),
        ("127.0.0.1:66000", "http://127.0.0.1:11434"),
        pytest.param("127.0.0.1:" + "9" * 5000, "http://127.0.0.1:11434", id="a port of 5000 digits"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(value: str, url: str) -> None:
    assert ollama_url(value) == url


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "x:cloud", "qwen:20b:cloud", "X:CLOUD", " kimi-k2:1t-cloud "])
def test_cloud_names_are_refused(name: str) -> None:
    with pytest.raises(NotLocalError, match=r"ollama\.com"):
        refuse_remote_name(name)


@pytest.mark.parametrize("name", ["qwen3-coder:30b", "cloudy:7b", "cloud/model:7b", "my.cloud.model"])
def test_local_names_pass(name: str) -> None:
    refuse_remote_name(name)


def test_an_alias_of_a_remote_model_is_refused() -> None:
    refuse_remote_model("mine", {"remote_host": "", "model_info": {}})
    for facts in ({"remote_host": "https://ollama.com:443"}, {"remote_model": "gpt-oss:120b"}):
        with pytest.raises(NotLocalError, match="your code would leave this machine"):
            refuse_remote_model("mine", facts)


# The client, against a server that misbehaves on the socket


class Misbehaving:
    """Accepts connections and hands each to a function, in a thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._behave = behave
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                self._behave(connection)
            except OSError:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing it alone would not wake the thread
        self._listener.close()
        self._thread.join(timeout=10)


@pytest.fixture
def misbehaving() -> Iterator[Callable[[Callable[[socket.socket], None]], Misbehaving]]:
    servers: list[Misbehaving] = []

    def start(behave: Callable[[socket.socket], None]) -> Misbehaving:
        servers.append(Misbehaving(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(port: int, seconds: float = 5.0, egress: list[Egress] | None = None) -> list[bytes]:
    booked: list[Egress] = [] if egress is None else egress
    client = Client(endpoint(f"http://127.0.0.1:{port}"), booked, Deadline().within(seconds), api_key="key")
    try:
        with client.stream("/api/chat", {"a": "é\u2028"}) as (_, lines):
            return list(lines)
    finally:
        client.close()


BROKEN = r"closed the connection|broke off"
"""A server that closes with unread bytes resets the connection, sooner or later."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 500\r\n\r\n")
    drip(connection, b"x" * 500)


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (lambda _connection: None, BROKEN),
        (lambda connection: connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{}"), BROKEN),
        (lambda connection: connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), BROKEN),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), BROKEN),
        (lambda _connection: threading.Event().wait(30), "time limit"),
        (lambda connection: drip(connection, HEAD * 50), "time limit"),
        (drip_body, "time limit"),
    ],
    ids=["closes", "short body", "short chunk", "not http", "hangs", "drips its head", "drips its body"],
)
def test_a_broken_answer_is_an_error_and_in_time(
    misbehaving: Callable[..., Misbehaving], behave: Callable[[socket.socket], None], message: str
) -> None:
    with pytest.raises(KiloReviewError, match=message):
        ask(misbehaving(behave).port, seconds=1.0)


def test_a_reset_is_told(misbehaving: Callable[..., Misbehaving]) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with pytest.raises(KiloReviewError, match=BROKEN):
        ask(misbehaving(reset).port)


def test_a_refused_connection_names_the_address() -> None:
    with pytest.raises(UnreachableError, match=r"cannot connect to http://127\.0\.0\.1:9 \(connection refused\)"):
        ask(9)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(misbehaving: Callable[..., Misbehaving], status: int) -> None:
    elsewhere = misbehaving(lambda _connection: None)
    location = f"http://127.0.0.1:{elsewhere.port}/"
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    with pytest.raises(WrongServerError, match=f"redirects to '{location}'"):
        ask(misbehaving(lambda connection: connection.sendall(answer)).port)
    assert elsewhere.connections == 0


def test_lines_end_at_line_feeds_alone_and_bytes_are_booked(misbehaving: Callable[..., Misbehaving]) -> None:
    received: list[bytes] = []
    body = '{"a":"x\u2028y\x0cz"}\r\n\n{"b":1}'.encode()

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:8])
        connection.sendall(body[8:])

    class Recording(Misbehaving):
        def _talk(self, connection: socket.socket) -> None:
            with connection:
                asked = b""
                while not asked.endswith(b'"}'):  # head and body may come apart
                    asked += connection.recv(65536)
                received.append(asked)
                answer(connection)

    server = Recording(answer)
    egress: list[Egress] = []
    assert ask(server.port, egress=egress) == ['{"a":"x\u2028y\x0cz"}'.encode(), b"", b'{"b":1}']
    server.close()
    (row,) = egress
    assert (row.address, row.requests, row.bytes_sent) == ("127.0.0.1", 1, len(b"".join(received)))
    assert b"authorization: bearer key" in received[0].lower()
    assert b"accept-encoding: identity" in received[0].lower()


def test_proxies_of_the_environment_are_ignored(
    misbehaving: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = misbehaving(lambda _connection: None)
    server = misbehaving(lambda connection: connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert ask(server.port) == [b"{}"]
    assert proxy.connections == 0


def test_an_address_that_the_http_client_cannot_use_is_told() -> None:
    client = Client(endpoint("http://127.0.0.1:1/" + "x" * 70_000), [], Deadline().within(5))
    with pytest.raises(ConfigError, match=r"^http://127\.0\.0\.1:1 cannot be asked: URL too long$"):
        client.get("/api/tags")
    client.close()


def test_a_connection_that_another_thread_closed_is_a_broken_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}"), [], Deadline())
        ours = socket.create_connection(listener.getsockname())
        stream = transport._Stream(ours, Egress("", ""), client)
        client.patience.begin(5)
        ours.close()
        with pytest.raises(BrokenStreamError):
            stream.read(1)
        stream.write(b"x")
        assert stream.get_extra_info("is_readable")
        client.close()


def test_an_endless_answer_is_stopped(misbehaving: Callable[..., Misbehaving]) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"\r\n")
        for _ in range(100):
            connection.sendall(b"x" * 1_000_000)

    with pytest.raises(KiloReviewError, match="KiB for one answer"):
        ask(misbehaving(flood).port, seconds=20)


# Hosts that the user allows


def test_a_host_is_allowed_by_its_very_name_and_over_tls_alone() -> None:
    consent = Consent.of(["192.0.2.1", "GPU.example."])
    made = endpoint("https://192.0.2.1:8443/v1", consent)
    assert (made.is_local, made.addresses, made.url) == (False, ("192.0.2.1",), "https://192.0.2.1:8443/v1")
    assert endpoint("https://127.0.0.1", consent).is_local is True
    with pytest.raises(NotLocalError, match="over http the code could be read on its way; nothing was sent") as caught:
        endpoint("http://192.0.2.1:11434", consent)
    assert "Use https, or allow it in your own settings, as well (allow_http_hosts)" in str(caught.value)
    assert endpoint("http://192.0.2.1:1", Consent.of(["192.0.2.1"], ["192.0.2.1"])).is_local is False


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.0.2.2", ["192.0.2.1"]),
        ("192.0.2.1", ["192.0.2"]),
        ("3221225985", ["192.0.2.1"]),  # the same address: but another name
        ("192.0.2.1", []),
        ("[2001:db8::1]", ["2001:db8::2"]),
    ],
)
def test_what_was_not_named_is_not_allowed(host: str, allowed: list[str]) -> None:
    with pytest.raises(NotLocalError, match="is not this machine"):
        endpoint(f"https://{host}:1", Consent.of(allowed, allowed))


def test_consent_to_http_alone_is_none() -> None:
    with pytest.raises(NotLocalError, match="allow_hosts"):
        endpoint("http://192.0.2.1:1", Consent.of([], ["192.0.2.1"]))


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(
    monkeypatch: pytest.MonkeyPatch, misbehaving: Callable[..., Misbehaving]
) -> None:
    server = misbehaving(lambda connection: connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}"))
    asked: list[str] = []

    def rebinding(host: str, port: int, *_more: object, **_named: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1" if len(asked) == 1 else "192.0.2.7", port))]

    checked = endpoint
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    made = checked(f"http://rebinding.example:{server.port}")
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: real(host, *more, **named) if host[0] == "1" else rebinding(host, *more),
    )
    client = Client(made, [], Deadline().within(5))
    with client.stream("/", {}) as (status, lines):
        assert (status, list(lines)) == (200, [b"{}"])
    client.close()
    assert asked == ["rebinding.example"]


@pytest.mark.parametrize("variable", ["KILO_REVIEW_ALLOW_HOSTS", "KILO_REVIEW_ALLOW_HTTP_HOSTS"])
def test_the_environment_may_allow_and_the_command_line_may_not(kilo: Runner, buggy: Repo, variable: str) -> None:
    done = kilo("--dry-run", env={variable: "gpu.example 10.0.0.5"})
    assert (done.code, done.talk) == (0, "")
    assert kilo("--dry-run", env={variable: "http://gpu"}).code == 2
    option = "--" + variable.removeprefix("KILO_REVIEW_").lower().replace("_", "-")
    assert "No such option" in kilo(option, "gpu.example").talk
