"""What the fakes of forges share: users, a change that comments can stand on, and faults on order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import Call, Fake, Response, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.source.diff import Diff, Line

HEAD, BASE = "a" * 40, "b" * 40
OURS, THEIRS = "token-of-ours-1", "token-of-somebody-2"
READS = "token-that-only-reads-3"


@dataclass
class Fault:
    """What happens to a request instead of, or after, its being done.

    Attributes:
        method: of the requests that it happens to.
        within: a part of their paths or bodies.
        response: what is answered.
        times: how often it happens.
        is_done: whether the request is carried out all the same: an answer that got lost.
    """

    method: str
    within: str
    response: Response
    times: int = 1
    is_done: bool = False

    def hits(self, call: Call) -> bool:
        """Whether this request is one of them; then it counts."""
        if self.times and call.method == self.method and (self.within in call.path or self.within in call.raw.decode()):
            self.times -= 1
            return True
        return False


@dataclass(eq=False)
class FakeForge(Fake):
    """A forge with one open request. Subclasses speak the languages.

    Attributes:
        diff: what the request changes.
        head: its newest commit.
        is_open: whether it is open.
        page: rows of a page, however many are asked for.
        faults: what goes wrong.
        locked: whether nobody may comment.
    """

    diff: Diff | None = None
    head: str = HEAD
    is_open: bool = True
    page: int = 2
    faults: list[Fault] = field(default_factory=list)
    locked: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: count(1001))

    def respond(self, call: Call) -> Response:
        fault = next((each for each in self.faults if each.hits(call)), None)
        if fault and not fault.is_done:
            return fault.response
        done = self.serve(call)
        return fault.response if fault else done

    def serve(self, call: Call) -> Response:
        """The answer of a forge in good health."""
        raise NotImplementedError

    def lines(self, path: str) -> list[Line]:
        """The lines of a file that the forge shows."""
        assert self.diff
        return [
            line
            for change in self.diff.files
            if change.path == path
            for hunk in change.hunks
            for line in self.diff.lines(hunk)
        ]

    def writes(self) -> list[Call]:
        """Requests that change something."""
        return [call for call in self.calls if call.method != "GET" and b'"query": "\\nquery' not in call.raw]


def paged(call: Call, rows: list[dict[str, Any]], size: int) -> tuple[list[dict[str, Any]], int, bool]:
    """The rows of the page that is asked for, its number, and whether there is another."""
    query = dict(pair.split("=") for pair in call.query.split("&") if pair)
    page = int(query.get("page", 1))
    start = (page - 1) * size
    return rows[start : start + size], page, start + size < len(rows)


def refused(status: int, message: str, **more: Any) -> Response:
    return as_json({"message": message, **more}, status)


def with_headers(response: Response, **headers: str) -> Response:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Response(response.status, response.kind, response.pieces, headers=pairs)


def body_of(call: Call) -> dict[str, Any]:
    return dict(json.loads(call.raw))
