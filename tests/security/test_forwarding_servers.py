"""One lane finds out that the server passes code on: from then on no lane sends any, and the report says so."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ModelError, NotLocalError, UnreachableError
from kilo_review.core.outcome import Egress, Usage
from kilo_review.models.base import ModelRequest
from kilo_review.models.concurrency import Width
from kilo_review.models.locality import endpoint
from kilo_review.models.transport import Client
from kilo_review.review.session import Session
from kilo_review.review.worker_pool import Lanes
from tests.support.fakes.base import Response
from tests.support.fakes.ollama import Model, Ollama
from tests.support.wide import FILES, Gauge, finding_in, review, wide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Result
    from tests.support.fakes.base import Call, Failure

__all__ = ["review", "wide"]


class Line:
    """A model whose connection can be closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Asker:
    def __init__(self) -> None:
        self.model = Line()
        self.usage = Usage()

    def another(self, told_busy: Callable[[], None]) -> Asker:
        return Asker()


def test_no_lane_begins_once_another_one_knows_that_the_code_leaves_the_machine() -> None:
    begun: list[int] = []

    def work(asker: Any, chunk: Any) -> Iterator[Any]:
        begun.append(chunk)
        if chunk == 0 and asker.model.closed.wait(20):  # the first answer, which all others wait behind
            raise UnreachableError("closed")
        if chunk == 1:
            raise NotLocalError("it came from another machine")
        asker.model.closed.wait(20)  # a server that is slow
        yield from ()

    first: Any = Asker()
    with Lanes(first, Width(3, 3), work) as lanes:
        chunks: Any = range(30)
        turn = next(lanes.turns(chunks))
        with pytest.raises(NotLocalError):
            list(turn.answers)
    assert len(begun) <= 4


@pytest.mark.long
def test_a_server_that_fails_as_well_does_not_hide_that_the_code_has_left(review: Callable[..., Result]) -> None:
    """The lane that is told first fails in another way than the one that finds out."""
    line = {"model": "m:1", "remote_host": "https://ollama.com:443", "remote_model": "m", "done": True}
    away = Response(200, "application/x-ndjson", [json.dumps(line).encode() + b"\n"])

    failed = threading.Event()

    class Ends(Gauge):
        def __call__(self, call: Call) -> Response | Failure | None:
            super().__call__(call)
            if "value_0_7 = 7" in call.raw.decode():
                failed.set()
                return Response(400, "application/json", [b'{"error": "no such thing"}'])
            failed.wait(30)
            return away if "value_2_7 = 7" in call.raw.decode() else None

    gauge = Ends(meet=3)
    with Ollama(models=[Model("m:1", loaded_window=4096)], answer=finding_in, instead={"/api/chat": [gauge]}) as server:
        done = review(server, "ollama", "--jobs", "3", "--no-cache")
    report = done.json()
    assert done.code == 3
    assert report["model"]["local"] is False
    assert [note for note in report["notes"] if note.startswith("WARNING")]
    assert gauge.begun < FILES


def test_a_connection_that_is_closed_under_a_lane_loses_no_other_answer() -> None:
    """What a closed socket raises is no error of git's or of a file, which would end the run without a report."""

    def work(asker: Any, chunk: Any) -> Iterator[Any]:
        if chunk == 0:
            asker.model.closed.wait(20)
            raise OSError(9, "Bad file descriptor")
        yield chunk

    first: Any = Asker()
    with Lanes(first, Width(3, 3), work) as lanes:
        chunks: Any = range(30)
        turns = lanes.turns(chunks)
        threading.Timer(0.5, lanes.hang_up).start()
        with pytest.raises(ModelError, match="Bad file descriptor"):
            list(next(turns).answers)
        told = [answer for turn in lanes.rest() for answer in _until_it_fails(turn.answers)]
    assert told


def test_nothing_is_sent_by_whoever_was_connecting_when_the_line_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection

    with Ollama() as server:
        booked: list[Egress] = []
        client = Client(endpoint(server.url), booked, Deadline().within(5))

        def meanwhile(*arguments: Any) -> socket.socket:
            made = connect(*arguments)
            client.close()
            return made

        monkeypatch.setattr(socket, "create_connection", meanwhile)
        with pytest.raises(ModelError, match="hung up"):
            client.get("/api/version")
    assert not server.calls
    assert [row.bytes_sent for row in booked] == [0]


def test_a_session_that_was_left_while_it_connected_asks_nothing(tmp_path: Path) -> None:
    with Ollama(models=[Model("m:1")]) as server, Session(Deadline().within(5), directory=tmp_path) as session:

        def leave(call: Call) -> None:
            session.hang_up()

        server.instead["/api/show"] = [leave]
        with pytest.raises(ModelError, match="closed"):
            session.model(ModelRequest("ollama", base_url=server.url))


def _until_it_fails(answers: Iterator[Any]) -> Iterator[Any]:
    with suppress(ModelError):
        yield from answers
