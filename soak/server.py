"""A server on one of the two wires that goes wrong at random, and knows what it has done.

Questions about the server itself are answered by the fakes of the test suite. A connection is refused as by a server
that restarts: for a moment nobody listens.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import TYPE_CHECKING, Any, Self

from soak import faults, refusals, truth, words
from soak.truth import Exchange, Record
from soak.wire import MODEL, OLLAMA, WINDOW, Mark, Scene, Step, body
from tests.support.fakes.base import Call, prompt_tokens
from tests.support.fakes.ollama import Model, Ollama
from tests.support.fakes.openai import LlamaServer

if TYPE_CHECKING:
    from collections.abc import Iterator

CHATS = {"/api/chat", "/v1/chat/completions"}
PORTS = range(20_000, 30_000)
"""Below those that systems hand out, so that nobody takes a port while it is not listened on."""
SHARES = {"bad": 5, "strange": 2, "words": 4}
"""Of what goes wrong: answers not to be believed, those that travel strangely, those that are worded strangely."""
STUB = "remote stub"
METADATA_SHARE = 0.06
"""Of the temper: questions about the server are many, and a review ends with the first that fails."""
TOO_LONG = faults.Fault("prompt too long", refusals.too_long)
OUTAGE_SECONDS = 0.3
SETTLE_SECONDS = 5.0


class FaultyServer:
    """Serves until the `with` block ends; `begin` tells it of each review."""

    def __init__(self, wire: str) -> None:
        self.wire = wire
        self.record = Record(-1, Random(), 0.0)
        self.has_deadline = False
        self._fake: Ollama | LlamaServer = (
            Ollama(models=[Model(MODEL[wire], loaded_window=WINDOW[wire])], has_facade=False)
            if wire == OLLAMA
            else LlamaServer(model=MODEL[wire], window=WINDOW[wire])
        )
        self._lock = threading.Lock()
        self._listening = threading.Lock()
        self._handlers: dict[threading.Thread, socket.socket] = {}
        self._last: tuple[Any, ...] = ()
        self._listener: socket.socket | None = None
        self._acceptor = threading.Thread()
        self._outage: threading.Timer | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_outage()
        self._stop_listening()
        self.settle(0.0)
        for handler in list(self._handlers):
            handler.join()

    # What happens in a review

    def begin(self, record: Record, *, window: int | None, has_deadline: bool) -> None:
        """A review begins. Sometimes nobody is there at first, or at all."""
        self._end_outage()
        self._listen()
        self.record, self.has_deadline, self._last = record, has_deadline, ()
        if isinstance(self._fake, Ollama):
            self._fake.models[0].loaded_window = window
        if record.chance.random() < record.temper * METADATA_SHARE:
            record.drawn["refused"] += 1
            self._be_away(record.chance.choice((OUTAGE_SECONDS / 3, 60.0)))

    def settle(self, seconds: float = SETTLE_SECONDS) -> int:
        """Wait until all connections have ended; how many have not."""
        end = time.monotonic() + seconds
        while self._handlers and time.monotonic() < end:
            time.sleep(0.001)
        with self._lock:
            left = list(self._handlers.values())
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return len(left)

    def steps(self, call: Call) -> tuple[Iterator[Step], Exchange | None]:
        """The answer to a request; of a chat, also the account of it."""
        with self._lock:
            record = self.record
            if call.path in CHATS:
                return self._chat(call.body, record)
            return self._metadata(call, record), None

    def be_away_for_a_moment(self) -> None:
        self._be_away(self.record.chance.uniform(0, OUTAGE_SECONDS))

    def _chat(self, asked: dict[str, Any], record: Record) -> tuple[Iterator[Step], Exchange]:
        question = truth.question(asked, record.last_review)
        if question.kind == "review":
            record.last_review = question
        record.trespasses += record.told_remote
        fault, saying = self._drawn(question, asked, record)
        scene = Scene(self.wire, asked, saying, record.chance, fault.is_cut)
        if prompt_tokens(asked) > scene.window:  # nothing has gone wrong with the server then
            fault = TOO_LONG
        exchange = Exchange(
            question,
            frozenset(row.mark for row in question.changed),
            fault.name or saying.name,
            fault.is_good and saying.is_readable,
            time.monotonic(),
            saying.found if fault.is_good or fault.is_cut else (),
            saying.confirmed,
            is_again=self._is_again(asked, record),
        )
        record.exchanges.append(exchange)
        record.told_remote |= fault.name == "remote answers"
        if exchange.fault and fault is not TOO_LONG:
            record.drawn[exchange.fault] += 1
        return fault.act(scene), exchange

    def _drawn(
        self, question: truth.Question, asked: dict[str, Any], record: Record
    ) -> tuple[faults.Fault, words.Saying]:
        chance = record.chance
        as_it_should = faults.Fault("", faults.whole, is_good=True)
        if chance.random() >= record.temper:
            return as_it_should, words.proper(question, chance)
        (share,) = chance.choices(list(SHARES), list(SHARES.values()))
        if share == "words":
            return as_it_should, words.misspoken(question, chance)
        fault = self._fault(faults.GOOD if share == "strange" else faults.BAD, chance)
        if fault.name == "grammar rejected" and not {"format", "response_format"} & set(asked):
            return as_it_should, words.proper(question, chance)
        if fault.is_cut:
            return fault, words.cut(question, chance)
        return fault, words.proper(question, chance, words.DEFECT if fault.is_good else words.PHANTOM)

    def _fault(self, among: tuple[faults.Fault, ...], chance: Random) -> faults.Fault:
        able = [each for each in among if self.wire in each.wires and (self.has_deadline or not each.needs_deadline)]
        return chance.choices(able, [each.weight for each in able])[0]

    def _is_again(self, asked: dict[str, Any], record: Record) -> bool:
        """Whether the same was asked just before, in vain."""
        what = (asked["messages"], asked.get("format"), asked.get("response_format"))
        is_same, self._last = what == self._last, what
        return is_same and bool(record.exchanges) and not record.exchanges[-1].is_delivered

    def _metadata(self, call: Call, record: Record) -> Iterator[Step]:
        if record.chance.random() < record.temper * METADATA_SHARE:
            name = record.chance.choice([*sorted(refusals.ANY), STUB])
            if name != STUB:
                record.drawn[f"{name} (before)"] += 1
                return refusals.ANY[name](call)
            if self.wire == OLLAMA and call.path == "/api/show":
                record.drawn[f"{STUB} (before)"] += 1
                record.told_remote = True
                return refusals.remote_stub(str(call.body.get("model")))
        answer = self._fake.respond(call)
        return body(answer.status, b"".join(answer.pieces), answer.kind)

    # Sockets

    def _listen(self) -> None:
        with self._listening:
            if self._listener is not None:
                return
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self.port))
            self._listener.listen(64)
            self._acceptor = threading.Thread(target=self._accept, args=(self._listener,))
            self._acceptor.start()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the one who accepts
            self._acceptor.join()
            listener.close()

    def _be_away(self, seconds: float) -> None:
        with self._listening:
            if self._listener is None:
                return
            self._stop_listening()
            self._outage = threading.Timer(seconds, self._listen)
            self._outage.start()

    def _end_outage(self) -> None:
        if self._outage is not None:
            self._outage.cancel()
            self._outage.join()
            self._outage = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # nobody listens any more
                return
            handler = threading.Thread(target=self._handle, args=(connection,))
            with self._lock:
                self._handlers[handler] = connection
            handler.start()

    def _handle(self, connection: socket.socket) -> None:
        try:
            _Handler(connection, self)
        except OSError:  # the client went away
            pass
        finally:
            connection.close()
            with self._lock:
                del self._handlers[threading.current_thread()]


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, connection: socket.socket, server: FaultyServer) -> None:
        self._server = server
        nobody: Any = None  # there is no `socketserver`
        super().__init__(connection, ("127.0.0.1", 0), nobody)

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        steps, exchange = self._server.steps(Call(self.command, path, query, {}, raw))
        self.close_connection = False
        is_last = False
        for step in steps:
            if step is Mark.COMPLETE:
                is_last = True
            elif isinstance(step, bytes):
                self.connection.sendall(step)
                if exchange is not None and is_last:
                    exchange.complete = time.monotonic()
            elif isinstance(step, Mark):
                self._end(step)
                return
            else:
                self._wait(step)

    do_GET = do_POST = _answer  # noqa: N815  the names that http.server looks for

    def _end(self, how: Mark) -> None:
        self.close_connection = True
        if how is Mark.RESTART:
            self._server.be_away_for_a_moment()
        if how is not Mark.CLOSE:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _wait(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise ConnectionAbortedError("the client has hung up")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """It writes to standard error."""


def _free_port() -> int:
    """A port that nobody uses now."""
    for port in Random().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port among {PORTS}")
