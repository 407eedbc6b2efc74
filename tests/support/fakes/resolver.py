"""A name server that changes its mind: the classic way past a check of a name's address."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

ADDRESS = "127.0.0.53"
A_RECORD = 1
HEADER = 12


class Resolver(socketserver.UDPServer):
    """Answers each question for an IPv4 address with the next of some lists of addresses, the last one for ever.

    Attributes:
        asked: the names, one for each question for an IPv4 address.
    """

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)
        super().__init__((ADDRESS, 53), _Handler)

    def next(self, name: str) -> Sequence[str]:
        self.asked.append(name)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(socketserver.DatagramRequestHandler):
    server: Resolver

    def handle(self) -> None:
        query = self.rfile.read()
        labels, at = [], HEADER
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        found = self.server.next(".".join(labels)) if kind == A_RECORD else ()
        self.wfile.write(query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0) + query[HEADER : at + 5])
        for address in found:  # the name of the question, a time to live of nothing
            self.wfile.write(struct.pack("!HHHIH", 0xC00C, A_RECORD, 1, 0, 4) + socket.inet_aton(address))
