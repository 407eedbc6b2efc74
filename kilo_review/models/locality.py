"""Is this address, is this model, on this machine, or one that the user allowed? Nothing is sent from here."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kilo_review.core.errors import ConfigError, NotLocalError, UnreachableError
from kilo_review.models.consent import NO_CONSENT, Consent, plain_name
from kilo_review.sanitize.terminal import without_credentials

HIGHEST_PORT = 65535
RESOLVE_SECONDS = 3.0
_HOST = r"[A-Za-z0-9._-]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?"
MOST_DIGITS = 9
"""Of a port, leading zeros included; Python refuses to read a number of thousands of digits."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A checked server address.

    Attributes:
        url: scheme, host, port and path prefix, without a trailing slash.
        host: the name as configured.
        port: 1 to 65535.
        addresses: numeric addresses, in the order in which they are tried: of this machine's loopback, unless the
            host was allowed by name.
        is_local: whether they are.
        ca_file: see `Consent`.
        consent: hosts elsewhere that the user has allowed, also for those that the server passes requests on to.
    """

    url: str
    host: str
    port: int
    addresses: tuple[str, ...]
    is_local: bool = True
    ca_file: str = ""
    consent: Consent = NO_CONSENT

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def endpoint(url: str, consent: Consent = NO_CONSENT) -> Endpoint:
    """Check a base URL: well-formed, and every address of its host is loopback, or the host is allowed by name.

    The name is resolved here, once; the connection later goes to these addresses and asks nobody again.

    Args:
        url: the base URL.
        consent: hosts elsewhere that the user has allowed.

    Raises:
        ConfigError: it is not an http(s) URL with a host and a possible port.
        NotLocalError: an address is not loopback and its host not allowed, or not over http.
        UnreachableError: the name does not resolve.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{without_credentials(url)!a} is not a base URL ({error})") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable():
        raise ConfigError(
            f"{without_credentials(url)!a} is not a base URL", hint="It looks like http://127.0.0.1:11434"
        )
    if not re.fullmatch(_HOST, parts.hostname):  # resolvers and HTTP clients read others by different rules
        raise ConfigError(
            f"{without_credentials(url)!a} is not a base URL",
            hint="A host's name has letters, digits, dots and hyphens",
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError("the base URL holds a user name or password", hint="Put a token into KILO_REVIEW_API_KEY")
    if parts.query or parts.fragment or port == 0:
        raise ConfigError(
            f"{without_credentials(url)!a} is not a base URL",
            hint="Leave out everything after the path, and give a port from 1 to 65535",
        )
    port = port or (443 if parts.scheme == "https" else 80)
    host = _connectable(parts.hostname)
    netloc = f"[{host}]" if ":" in host else host
    clean = f"{parts.scheme}://{netloc}:{port}{parts.path.rstrip('/')}"
    addresses = addresses_of(host, port)
    elsewhere = next((address for address in addresses if not is_loopback(address)), None)
    if elsewhere is not None:
        _make_sure_of_consent(host, elsewhere, parts.scheme, consent)
    return Endpoint(clean, host, port, addresses, is_local=elsewhere is None, ca_file=consent.ca_file, consent=consent)


def _resolved(host: str, port: int) -> list[Any]:
    """What the resolver says, if it does so soon: with name servers that are down it takes half a minute."""
    told: list[Any] = []

    def ask() -> None:
        try:
            told.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            told.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(RESOLVE_SECONDS)
    if not told:
        raise OSError(f"no answer for {RESOLVE_SECONDS:g} s")
    if isinstance(told[0], Exception):
        raise told[0]
    return list(told[0])


def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """Numeric addresses of a host, IPv4 first.

    Raises:
        UnreachableError: there are none.
    """
    if plain_name(host) == "localhost":
        return ("127.0.0.1", "::1")  # by RFC 6761, whatever a resolver may say
    try:
        found = _resolved(host, port)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"the host name {host!a} does not resolve ({error})",
            hint="Use 127.0.0.1 for a server on this machine",
        ) from None
    return tuple(sorted({str(entry[4][0]) for entry in found}, key=lambda address: (":" in address, address)))


def _make_sure_of_consent(host: str, address: str, scheme: str, consent: Consent) -> None:
    name = host if host == address else f"{host} is at {address}, which"
    if not consent.covers(host):
        raise NotLocalError(
            f"{name} is not this machine; nothing was sent",
            hint="Only a server on a loopback address (127.0.0.1, ::1) is asked, or a host that you allow by name "
            "in your own settings (allow_hosts)",
        )
    if scheme != "https" and plain_name(host) not in consent.plain:
        raise NotLocalError(
            f"{name} is not this machine, and over http the code could be read on its way; nothing was sent",
            hint="Use https, or allow it in your own settings, as well (allow_http_hosts)",
        )


def is_loopback(address: str) -> bool:
    """Whether a numeric address is loopback; an IPv4 address in IPv6 clothes counts as what it is."""
    parsed = ipaddress.ip_address(address.split("%", 1)[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _connectable(host: str) -> str:
    """The address to connect to where a server's listening address was given."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  mapped away from, not bound to


def ollama_url(value: str) -> str:
    """OLLAMA_HOST in all its forms → a base URL, as Ollama's own client reads it (envconfig.Host).

    No scheme means http and port 11434, but `http://h` means port 80 and `https://h` port 443; an unusable
    port falls back to the default one.
    """
    text = value.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    default = {"http": 80, "https": 443}.get(scheme, 11434) if separator else 11434
    netloc, _, path = rest.partition("/")
    host, port = _host_and_port(netloc)
    is_number = port.isascii() and port.isdecimal() and len(port) <= MOST_DIGITS
    number = int(port) if is_number and int(port) <= HIGHEST_PORT else default
    host = _connectable(host or "127.0.0.1")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{number or default}" + (f"/{path}".rstrip("/") if path else "")


def _host_and_port(netloc: str) -> tuple[str, str]:
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        return host, rest.removeprefix(":")
    if netloc.count(":") > 1:  # a bare IPv6 address
        return netloc, ""
    host, _, port = netloc.partition(":")
    return host, port
