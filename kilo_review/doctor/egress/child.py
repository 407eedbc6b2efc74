"""The process that is watched: an audit hook that cannot be taken off again, and then the program itself.

Run as `python -P -m kilo_review.doctor.egress.child LOG GATE MARKER ARGUMENT...`: the file descriptors of the record
and of the gate, a word that stands in the change ("-" for none of these two), and the program's own arguments. The hook
is there before the program is imported. Each line of the record is a Python literal, so that writing it needs no import
either; `kilo_review.doctor.egress.record` reads it. A line is written before what it tells of happens, and if it cannot
be written the process ends: what is not in the record was not done. That is true of code that does not work against it,
as a mistake does not; what would is left to the kernel, which the namespace makes a witness.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, get_ident
from typing import Any

NONE = "-"
RECORD_LOST = 70
"""The exit code where a line could not be written."""
STREAM = 1
"""`socket.SOCK_STREAM`, everywhere; `socket` itself is not imported yet."""
PROGRAMS = {
    "subprocess.Popen": (0, 1, 3),
    "os.exec": (0, 1, 2),
    "os.posix_spawn": (0, 1, 2),
    "os.spawn": (1, 2, 3),
    "os.system": (0, 0, 0),
    "pty.spawn": (0, 0, 0),
}
"""Where the program, its words and its environment stand among the arguments of an event."""
CLIENTS = {
    "urllib.Request": 0,
    "webbrowser.open": 0,
    **dict.fromkeys(("ftplib.connect", "http.client.connect", "imaplib.open", "poplib.connect", "smtplib.connect"), 1),
}
"""Where a host or a URL stands among the arguments of the standard library's own clients."""


class Recorder:
    """Writes down what the process does with the network and with other programs."""

    def __init__(self, log: int, gate: int | None, marker: bytes) -> None:
        self._log = log
        self._gate = gate
        self._marker = marker
        self._connections = 0
        self._number_of: dict[int, int] = {}
        self._ends: dict[int, bytes] = {}
        self._lock = allocate_lock()
        self._at_the_gate: set[int] = set()
        self._handlers = {
            "socket.connect": self._connect,
            **dict.fromkeys(("socket.sendto", "socket.sendmsg", "socket.bind"), self._use),
            **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname"), self._look_up),
            **dict.fromkeys(("socket.gethostbyaddr", "socket.getnameinfo"), self._look_up_by_address),
            **dict.fromkeys(CLIENTS, self._ask),
            **dict.fromkeys(PROGRAMS, self._start),
            **dict.fromkeys(("os.fork", "os.forkpty"), self._fork),
            "ctypes.dlopen": self._load,
        }

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What `sys.addaudithook` takes; it is called for every event there is."""
        handler = self._handlers.get(event)
        if handler is not None and get_ident() not in self._at_the_gate:
            handler(event, arguments)

    def write(self, *row: object) -> None:
        """One line, in one write."""
        line = ascii((os.getpid(), *row)).encode() + b"\n"
        try:
            written = os.write(self._log, line)
        except OSError:
            written = 0
        if written != len(line):
            os._exit(RECORD_LOST)

    def sending(self, descriptor: int, data: bytes) -> None:
        """Book bytes that are handed to a socket; the change may come in pieces."""
        if get_ident() in self._at_the_gate:
            return
        number = self._number_of.get(descriptor, 0)
        seen = self._ends.get(number, b"") + data
        self._ends[number] = seen[-len(self._marker) :] if self._marker else b""
        self.write("sent", number, len(data), self._shows_change(seen))

    def _shows_change(self, data: bytes) -> bool:
        return bool(self._marker) and self._marker in data

    # Events

    def _connect(self, event: str, arguments: tuple[Any, ...]) -> None:  # noqa: ARG002  all handlers are called alike
        sock, address = arguments
        with self._lock:
            self._connections += 1
            number = self._number_of[sock.fileno()] = self._connections
        is_stream = int(sock.type) == STREAM
        self.write("connect", number, is_stream, *_place(address))
        if self._gate is not None and is_stream and isinstance(address, tuple):
            self._open_gate(self._gate, sock, address)

    def _use(self, event: str, arguments: tuple[Any, ...]) -> None:
        _, address = arguments
        if address is not None:  # None: where the socket is connected to
            self.write("use", event, *_place(address))

    def _ask(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.write("use", event, _text(arguments[CLIENTS[event]]), None)

    def _look_up(self, event: str, arguments: tuple[Any, ...]) -> None:
        if arguments[0] is not None:  # None: this machine
            self.write("look-up", event, _text(arguments[0]))

    def _look_up_by_address(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.write("look-up", event, _place(arguments[0])[0])

    def _start(self, event: str, arguments: tuple[Any, ...]) -> None:
        program, words, environment = (arguments[place] for place in PROGRAMS[event])
        program = program[0] if isinstance(program, (list, tuple)) else program
        self.write("start", event, _text(program), self._shows_change(ascii((words, environment)).encode()))

    def _fork(self, event: str, arguments: tuple[Any, ...]) -> None:  # noqa: ARG002
        self.write("start", event, "itself", False)

    def _load(self, event: str, arguments: tuple[Any, ...]) -> None:  # noqa: ARG002
        self.write("load", _text(arguments[0]))

    # The gate

    def _open_gate(self, gate: int, sock: Any, address: tuple[Any, ...]) -> None:  # noqa: ANN401  a socket
        """Have a listener ready where the program is about to connect, if a server stands there outside.

        It is made in here and handed out: whoever watches accepts from it and connects outside. An address at which
        somebody listens already (the embedded engine), or which does not exist in here (anything but loopback), is
        left as it is.
        """
        import socket  # noqa: PLC0415  not before the hook

        with self._lock:
            self._at_the_gate.add(get_ident())
            try:
                with socket.socket(sock.family, socket.SOCK_STREAM) as listener:
                    listener.bind(address)
                    listener.listen()
                    with socket.socket(fileno=os.dup(gate)) as channel:
                        host, port = listener.getsockname()[:2]
                        socket.send_fds(channel, [f"open {host} {port}".encode()], [listener.fileno()])
                        channel.recv(1)
            except OSError:
                return
            finally:
                self._at_the_gate.discard(get_ident())


def _place(address: object) -> tuple[str, int | None]:
    """Host and port of a socket's address; of another family's, all of it as a text."""
    if isinstance(address, tuple) and len(address) > 1 and isinstance(address[1], int):
        return _text(address[0]), address[1]
    return _text(address), None


def _text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def count_bytes(recorder: Recorder) -> None:
    """Have every send of a Python socket booked; what goes out by TLS, before it is encrypted."""
    import socket  # noqa: PLC0415  not before the hook
    import ssl  # noqa: PLC0415

    def count(owner: Any, name: str, counts: Any = lambda _sock: True) -> None:  # noqa: ANN401  a class, a question
        original = getattr(owner, name)

        def method(self: Any, data: Any, *rest: Any) -> Any:  # noqa: ANN401  the standard library's own signatures
            pieces = list(data) if name == "sendmsg" else [data]
            if counts(self):
                recorder.sending(self.fileno(), b"".join(pieces))
            return original(self, pieces if name == "sendmsg" else data, *rest)

        setattr(owner, name, method)

    for name in ("send", "sendall", "sendto", "sendmsg"):
        count(socket.socket, name)
    count(ssl.SSLSocket, "send", lambda sock: sock._sslobj is not None)  # noqa: SLF001  else it is a plain send


def main() -> None:
    """Record, and be the program."""
    log, gate, marker, *arguments = sys.argv[1:]
    recorder = Recorder(int(log), None if gate == NONE else int(gate), b"" if marker == NONE else marker.encode())
    sys.addaudithook(recorder.hook)
    count_bytes(recorder)
    recorder.write("begin")
    import runpy  # noqa: PLC0415  not before the hook

    sys.argv = ["kilo-review", *arguments]
    # By its name, as its users start it; it ends the process itself.
    runpy.run_module("kilo_review", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
