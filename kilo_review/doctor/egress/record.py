"""What the recorder wrote, read: connections with their bytes, look-ups, started programs. Pure."""

from __future__ import annotations

import ast
import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from kilo_review.models.locality import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable

BIND = "socket.bind"
REVERSE = frozenset({"socket.gethostbyaddr", "socket.getnameinfo"})
"""These ask a name server even about a number."""


@dataclass(slots=True)
class Row:
    """One use of the network.

    Attributes:
        what: `connect`, or the audit event.
        address: a numeric address, or whatever else was named.
        port: None where there is none.
        bytes_sent: bytes that were handed to the socket.
        has_change: whether the change was among them.
    """

    what: str
    address: str
    port: int | None
    bytes_sent: int = 0
    has_change: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it stays on loopback."""
        return is_local(self.address)

    @property
    def place(self) -> str:
        """Address and port, in words where there is none."""
        if self.port is None:
            return self.address or "a socket of unknown origin"
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Start(NamedTuple):
    """A program that was started.

    Attributes:
        program: its path, as it was named.
        shows_change: whether its words or its environment hold a part of the change, which other users can read.
    """

    program: str
    shows_change: bool


@dataclass(slots=True)
class Record:
    """All of it.

    Attributes:
        is_begun: whether the recorder ran at all.
        rows: every use of the network, in order; bytes that went into a socket of unknown origin have the address "".
        streams: how many of the connections are TCP's.
        look_ups: names and numbers that a name server may have been asked about.
        starts: every program that was started, in order.
        libraries: native libraries that Python loaded by ctypes.
    """

    is_begun: bool = False
    rows: list[Row] = field(default_factory=list)
    streams: int = 0
    look_ups: list[str] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)

    def sent(self) -> dict[tuple[str, int | None], int]:
        """Bytes by address and port, where there were any."""
        totals: dict[tuple[str, int | None], int] = {}
        for row in self.rows:
            if row.bytes_sent:
                totals[row.address, row.port] = totals.get((row.address, row.port), 0) + row.bytes_sent
        return totals


def read(lines: Iterable[str]) -> Record:
    """Read the record.

    Raises:
        ValueError: a line is none of the recorder's.
    """
    record = Record()
    connections: dict[tuple[int, int], Row] = {}
    for line in lines:
        process, kind, *rest = _literal(line)
        if kind == "begin":
            record.is_begun = True
        elif kind == "connect":
            number, is_stream, address, port = rest
            connections[process, number] = Row(kind, address, port)
            record.rows.append(connections[process, number])
            record.streams += is_stream
        elif kind == "sent":
            number, amount, has_change = rest
            if (process, number) not in connections:
                connections[process, number] = Row("send", "", None)
                record.rows.append(connections[process, number])
            connections[process, number].bytes_sent += amount
            connections[process, number].has_change |= has_change
        elif kind == "use":
            record.rows.append(Row(*rest))
        else:
            _read_other(record, kind, rest)
    return record


def _read_other(record: Record, kind: str, rest: list[Any]) -> None:
    if kind == "look-up":
        event, name = rest
        if event in REVERSE or not is_number(name):
            record.look_ups.append(name)
    elif kind == "start":
        _, program, shows_change = rest
        record.starts.append(Start(program, shows_change))
    elif kind == "load":
        record.libraries.append(rest[0])
    else:
        raise ValueError(f"the record has a line of an unknown kind: {kind!a}")


def _literal(line: str) -> tuple[Any, ...]:
    try:
        row = ast.literal_eval(line)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"the record has a line that cannot be read: {line[:80]!a}") from error
    if not isinstance(row, tuple):
        raise ValueError(f"the record has a line that is none: {line[:80]!a}")  # noqa: TRY004  the line is at fault
    return row


def is_local(address: str) -> bool:
    """Whether an address, or the host of a URL, is a numeric loopback address. A name is not: who resolves it?"""
    try:
        return is_loopback((urlsplit(address).hostname or "") if "://" in address else address)
    except ValueError:
        return False


def is_number(host: str) -> bool:
    """Whether a host is numeric in one of the forms that the resolver takes without asking anybody."""
    with suppress(ValueError):
        ipaddress.ip_address(host.split("%", 1)[0])
        return True
    with suppress(OSError):
        socket.inet_aton(host)  # it would take "1.2.3.4 name", which the resolver does not
        return not any(character.isspace() for character in host)
    return False
