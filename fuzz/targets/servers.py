"""Servers: what they say when something fails, and where they are. Nothing is resolved or connected to here."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import httpx
from hypothesis import strategies as st

from fuzz.strategies import hostile_text, json_values, one_of_these
from fuzz.target import property_of
from kilo_review.core.errors import KiloReviewError
from kilo_review.models import locality
from kilo_review.models.faults import Asked, fault, message_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy

ASKED = Asked("the server", "http://127.0.0.1:1", "m\x1b\n", "Get it")
LONGEST_MESSAGE = 1000
FAULTS = (
    '{"error":"model \'x\' not found"}',
    *('{"error":{"message":"exceeds the available context size"}}', "404 page not found"),
    *("maximum context length is 8 tokens, at least 9", "n_keep: 9 >= n_ctx: 8"),
    *("(9 tokens) (8 tokens)", "context length of only"),
    '{"error":{"code":400,"message":"x","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}}',
    *("server busy", "invalid format:", "out of memory", "signin_url", "no models loaded", "<html>", "think value"),
    *("api token", "has crashed"),
    "exceeds the context size (%s tokens) (8 tokens)" % ("9" * 5000),
    '{"error":{"type":"exceed_context_size_error","n_prompt_tokens":%s,"n_ctx":8}}' % ("9" * 5000),
)  # fmt: skip


class Failure(NamedTuple):
    """A status and a body."""

    status: int
    text: str


def failures() -> SearchStrategy[Failure]:
    """Bodies as servers send them, in each other, and in other words."""
    bodies = one_of_these(FAULTS) | hostile_text
    nested = (bodies | json_values).map(_as_error) | st.tuples(bodies, hostile_text, bodies).map("".join)
    status = st.sampled_from([200, 400, 401, 403, 404, 429, 500, 503]) | st.integers(-1, 999)
    return st.builds(Failure, status, bodies | nested)


def _as_error(value: Any) -> str:
    return json.dumps({"error": value})


def check_fault(failure: Failure) -> None:
    """Whatever a server says becomes one line that no terminal obeys."""
    problem = fault(ASKED, failure.status, failure.text)
    for name in ("prompt_tokens", "window"):
        count = getattr(problem, name, None)
        assert count is None or 0 <= count < 1 << 63, "a count that no arithmetic can take"
    for told in (message_of(failure.text), f"{problem.message} {problem.hint}"):
        assert told.strip()
        assert len(told) <= LONGEST_MESSAGE
        assert not [char for char in told if unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}], told


def _failure(raw: bytes) -> Failure:
    return Failure(200 + 100 * (raw[0] % 4) if raw else 0, raw[1:].decode("utf-8", "replace"))


# Addresses


@contextmanager
def _resolver() -> Iterator[None]:
    """Instead of the system's: numbers are what they are; names are at various places, depending on their length."""
    with mock.patch.object(socket, "getaddrinfo", _resolved):
        yield


PLACES = (
    (),
    ("127.0.0.1",),
    ("10.0.0.1",),
    ("127.0.0.1", "10.0.0.1"),
    ("::1", "fe80::1%lo"),
    ("127.5.5.5", "::ffff:127.0.0.1"),
)


def _resolved(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    name = host.encode("idna").decode().lower()  # as the real one does, with its UnicodeError
    numeric = "127.0.0.1" if name == "localhost" else _numeric(name)
    found = (numeric,) if numeric else PLACES[len(host) % len(PLACES)]
    if not found or not re.fullmatch(r"[\w.:%-]+", name, re.ASCII):
        raise socket.gaierror(-2, "Name or service not known")
    return [(0, 0, 0, "", (address, port)) for address in found]


def _numeric(host: str) -> str:
    """What the C library makes of digits and dots: also of `127.1`, `0x7f000001`."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host)) if host and " " not in host else ""
    except (OSError, ValueError):
        return ""


URLS = (
    *("http://127.0.0.1:11434", "https://localhost/v1", "http://[::1]:8080/", "http://0.0.0.0:1"),
    *("http://127.1", "http://0x7f.1"),
    *("http://user:pass@127.0.0.1", "http://127.0.0.1@evil.example"),
    *("http://127.0.0.1\\@evil.example", "http://127.0.0.1#@evil"),
    *("//127.0.0.1", "http://[::ffff:10.0.0.1]", "http://[::1%25lo]", "http://[v1.x]", "1%lo"),
    *("http://\uff11\uff12\uff17.0.0.1", "http://ⓛocalhost"),
    *("http://localhost.:70000", "http://127.0.0.1:٣", "http://localhost:" + "9" * 5000, "http://a..b"),
    *("http://xn--a", "http://[::"),
    *("http://127.0.0.1/../x?y", "http://127.0.0.1;x", "http://127.0.0.1:80:80", "http://127.0.0.1 "),
    *("http://a b/", "ftp://localhost"),
    *(":11434", "[::1]:", "h:", "https://h", "http://h", "::1", "h:" + "9" * 5000, "'0.0.0.0'", "unix:///x"),
    *("http:///x", "http://%41"),
)  # fmt: skip
PARTS = (
    "http://",
    "https://",
    "127.0.0.1",
    "localhost",
    "[::1]",
    "10.0.0.1",
    "@",
    ":",
    ":80",
    "/v1",
    "?",
    "#",
    "%",
    ".",
    "\\",
    "[",
    "]",
)


def addresses() -> SearchStrategy[str]:
    """URLs and what resembles them."""
    mixed = st.lists(one_of_these(PARTS) | st.text(max_size=4), max_size=8).map("".join)
    return one_of_these(URLS) | mixed | hostile_text | st.tuples(one_of_these(URLS), hostile_text).map("".join)


def check_address(text: str) -> None:
    """An address is one of this machine, or refused; and what was checked is what is connected to."""
    with _resolver():
        for url in (text, _told(lambda: locality.ollama_url(text))):
            endpoint = _told(lambda url=url: locality.endpoint(url)) if url is not None else None
            if endpoint is not None:
                _check_endpoint(endpoint)


def _told(ask: Any) -> Any:
    try:
        return ask()
    except KiloReviewError as error:
        assert str(error).isprintable()
        return None


def _check_endpoint(endpoint: locality.Endpoint) -> None:
    assert endpoint.addresses
    for address in endpoint.addresses:
        number = ipaddress.ip_address(address.partition("%")[0])
        assert (getattr(number, "ipv4_mapped", None) or number).is_loopback, endpoint
    assert 1 <= endpoint.port <= locality.HIGHEST_PORT
    assert endpoint.url.isprintable()
    assert not re.search(r"[?#]|^[a-z]+://[^/]*@", endpoint.url)
    assert not endpoint.url.endswith("/")
    assert locality.endpoint(endpoint.url) == endpoint, "a checked address reads differently when it is read again"
    try:
        sent = httpx.URL(endpoint.url + "/api/chat")
    except httpx.InvalidURL:
        return  # the transport says so
    assert sent.port in {endpoint.port, None}
    assert sent.raw_host.decode().lower() == endpoint.host.lower(), "the request names another host than was checked"
    assert endpoint.origin.isprintable()


TARGETS = {
    "fault": property_of(
        check_fault,
        failures(),
        read=_failure,
        seeds=tuple(b"\0" + text.encode() for text in FAULTS),
        words=tuple(text.encode() for text in FAULTS if len(text) < 60),
    ),
    "address": property_of(
        check_address,
        addresses(),
        read=lambda raw: raw.decode("utf-8", "surrogateescape"),
        seeds=tuple(url.encode() for url in URLS),
        words=tuple(part.encode() for part in PARTS),
    ),
}
