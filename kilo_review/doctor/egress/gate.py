"""The one door of the network namespace: connections to this machine's own servers, and what the kernel counted inside.

The process inside asks for an address before it connects there, and hands out a listener. If something answers at
that address out here, and the address is loopback, whatever comes in through the listener is passed on and counted.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from kilo_review.doctor.egress.namespace import ENTERED, REFUSED
from kilo_review.models.locality import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_WORDS = 4096
MOST_FILES = 4
PIECE = 65536
CONNECT_SECONDS = 3.0
SETTLE_SECONDS = 1.0
"""For bytes that are on their way when the process inside has ended."""
YES, NO = b"1", b"0"
Place = tuple[str, int]


class Counted(NamedTuple):
    """What the kernel counted in the namespace, for whatever ran there.

    Attributes:
        connections: TCP connections that were begun.
        datagrams: UDP datagrams that were sent.
        without_route: attempts to reach what no route leads to.
    """

    connections: int
    datagrams: int
    without_route: int


class Gate:
    """Our end of the door; a context manager.

    Attributes:
        inner: the other end, for the process inside.
        refusal: why the kernel permitted no namespace; "" if it did.
    """

    def __init__(self) -> None:
        self._outer, self.inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.refusal = ""
        self._passed: Counter[Place] = Counter()
        self._counters: list[int] = []
        self._threads: list[threading.Thread] = []
        self._listeners: set[socket.socket] = set()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_closing = False

    def __enter__(self) -> Self:
        self._start(self._serve)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Pass on what is on its way, close every connection and wait for the threads; what was counted stays."""
        self.inner.close()
        with self._lock:
            self._is_closing = True
            _wake(self._outer, *self._listeners)
        for thread in self._threads:  # those that listen come before those that they have started
            thread.join(SETTLE_SECONDS)
        with self._lock:
            _wake(*self._connections)
        for thread in self._threads:
            thread.join()
        self._outer.close()
        for descriptor in self._counters:
            os.close(descriptor)
        self._counters = []

    def passed(self) -> dict[Place, int]:
        """Bytes that were passed on, by the server's address."""
        with self._lock:
            return dict(self._passed)

    def counted(self) -> Counted | None:
        """What the kernel has counted so far; None if there was no namespace."""
        if not self._counters:
            return None
        figures: Counter[str] = Counter()
        for descriptor in self._counters:
            figures += _figures(os.pread(descriptor, PIECE, 0).decode("ascii", "replace"))
        return Counted(
            connections=figures["TcpActiveOpens"],
            datagrams=figures["UdpOutDatagrams"] + figures["Udp6OutDatagrams"],
            without_route=figures["IpOutNoRoutes"] + figures["Ip6OutNoRoutes"],
        )

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        """Hear what is said inside, until nobody is left there."""
        while True:
            try:
                words, files, _, _ = socket.recv_fds(self._outer, MOST_WORDS, MOST_FILES)
            except OSError:
                return
            if not words:
                return
            kind, _, rest = words.decode("utf-8", "replace").partition(" ")
            if kind == ENTERED:
                self._counters = files
            elif kind == REFUSED:
                self.refusal = rest
            else:
                self._answer(words.decode("utf-8", "replace").split()[1:], files)

    def _answer(self, words: list[str], files: list[int]) -> None:
        """Whether the door is open; it stays closed where nobody would answer out here."""
        is_open = False
        for listener in [socket.socket(fileno=descriptor) for descriptor in files]:
            is_open = self._open_for(listener, words)
            if not is_open:
                listener.close()
        with suppress(OSError):  # nobody waits for the answer any more
            self._outer.send(YES if is_open else NO)

    def _open_for(self, listener: socket.socket, words: list[str]) -> bool:
        try:
            host, port = words
            place = host, int(port)
        except ValueError:  # these are not our words
            return False
        server = self._connected(place)
        if server is None:
            return False
        server.close()
        is_kept = self._keep(self._listeners, listener)
        if is_kept:
            self._start(self._accept, listener, place)
        return is_kept

    def _connected(self, place: Place) -> socket.socket | None:
        try:
            return socket.create_connection(place, CONNECT_SECONDS) if is_loopback(place[0]) else None
        except (OSError, ValueError):  # nobody answers, or it is no numeric address
            return None

    def _keep(self, among: set[socket.socket], *sockets: socket.socket) -> bool:
        """Have sockets woken when the gate is closed; False if that is now."""
        with self._lock:
            if not self._is_closing:
                among.update(sockets)
            return not self._is_closing

    def _drop(self, among: set[socket.socket], *sockets: socket.socket) -> None:
        with self._lock:
            among.difference_update(sockets)
        for sock in sockets:
            sock.close()

    def _accept(self, listener: socket.socket, place: Place) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                break
            server = self._connected(place)
            if server is None:
                client.close()
            elif self._keep(self._connections, client, server):
                self._start(self._pass_on, client, server, place)
            else:
                self._drop(self._connections, client, server)
        self._drop(self._listeners, listener)

    def _pass_on(self, client: socket.socket, server: socket.socket, place: Place) -> None:
        """Both ways, until one side has ended."""
        server.settimeout(None)
        with suppress(OSError):  # one side has broken off; closing both tells the other one
            while self._pass_once(client, server, place):
                pass
        self._drop(self._connections, client, server)

    def _pass_once(self, client: socket.socket, server: socket.socket, place: Place) -> bool:
        """What there is from either side; False at an end."""
        for sock in select.select([client, server], [], [])[0]:
            piece = sock.recv(PIECE)
            if not piece:
                return False
            if sock is client:
                with self._lock:
                    self._passed[place] += len(piece)
                server.sendall(piece)
            else:
                client.sendall(piece)
        return True


def _wake(*sockets: socket.socket) -> None:
    """End the waiting of a thread for a socket; closing it alone would not."""
    for sock in sockets:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _figures(text: str) -> Counter[str]:
    """The kernel's two notations: a line of names above a line of numbers, and a name and a number on each line."""
    found: Counter[str] = Counter()
    rows = [line.split() for line in text.splitlines()]
    for above, row in zip([[], *rows], rows, strict=False):
        if len(row) == 2 and row[1].isdecimal():  # noqa: PLR2004
            found[row[0]] += int(row[1])
        elif above[:1] == row[:1]:
            prefix = row[0].removesuffix(":")
            for name, figure in zip(above[1:], row[1:], strict=True):
                found[prefix + name] += int(figure) if figure.isdecimal() else 0
    return found
