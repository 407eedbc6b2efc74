"""Asks about several chunks at once, each on a connection of its own; answers come in the order of the questions."""

from __future__ import annotations

import time
from collections import deque
from queue import Empty, SimpleQueue
from threading import Condition, Event
from typing import TYPE_CHECKING, NamedTuple, Self

from kilo_review.core.deadline import TICK
from kilo_review.core.errors import ModelError, NotLocalError
from kilo_review.core.outcome import Usage
from kilo_review.models.concurrency import Throttle, Width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

    from kilo_review.plan.chunk import Chunk
    from kilo_review.review.chunk_review import Answer
    from kilo_review.review.model_client import Asker

    Work = Callable[[Asker, Chunk], Iterator[Answer]]

NOT_BEGUN = "it was not begun"
CLOSED = (RuntimeError, OSError, ValueError)
"""From httpx, a socket or `select`, where they meet a connection that was closed meanwhile."""
AHEAD = 2
"""Questions that are prepared for each one under way, so that no lane waits for the next."""


class Turn(NamedTuple):
    """One chunk's time with the model.

    Attributes:
        chunk: what is asked about.
        answers: each as it comes; what ends the work is raised at the end.
        usage: what it cost; whole when the answers are through.
    """

    chunk: Chunk
    answers: Iterator[Answer]
    usage: Usage


class _Done(NamedTuple):
    chunk: Chunk
    answers: list[Answer]
    usage: Usage
    error: ModelError | None

    def told(self) -> Iterator[Answer]:
        yield from self.answers
        if self.error is not None:
            raise self.error


class Lanes:
    """Use it as a context manager: at its end nothing is under way any more.

    One lane is no thread at all: a commit asks once, and Ctrl-C must reach it.
    """

    def __init__(self, first: Asker, width: Width, work: Work) -> None:
        """Ask nothing yet.

        Args:
            first: asks in the only lane; where there are several, further ones are made of it.
            width: how many lanes there may be.
            work: asks about one chunk.
        """
        self._first = first
        self._work = work
        self._throttle = Throttle(width)
        self._most = width.most
        self._pool = _threads(width.most) if width.most > 1 else None
        self._idle: SimpleQueue[Asker] = SimpleQueue()
        self._askers: list[Asker] = []
        self._under_way = 0
        self._room = Condition()
        self._waiting: deque[Future[_Done]] = deque()
        self._over = Event()
        self._elsewhere: NotLocalError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            self.hang_up()
            self._pool.shutdown(cancel_futures=True)

    def hang_up(self) -> None:
        """Close the connections of all lanes; whoever waits for an answer gets an error, and nobody asks any more."""
        with self._room:  # no more than that: a lane may call this, and what waits is not its own
            self._over.set()
            self._room.notify_all()
        for asker in list(self._askers):
            asker.model.close()

    def turns(self, chunks: Iterable[Chunk]) -> Iterator[Turn]:
        """Ask about each chunk; they are taken as they are needed, so that there may be any number."""
        for chunk in chunks:
            if self._pool is None:
                self._first.usage = Usage()
                yield Turn(chunk, self._work(self._first, chunk), self._first.usage)
                continue
            self._waiting.append(self._pool.submit(self._ask, chunk))
            while len(self._waiting) >= AHEAD * self._throttle.limit:
                yield self._next()
        while self._waiting:
            yield self._next()

    def rest(self) -> Iterator[Turn]:
        """After a failure: what has been begun comes to its end, what has not is not begun."""
        self._stop()
        while self._waiting:
            yield self._next()

    def _stop(self) -> None:
        with self._room:
            self._over.set()
            self._room.notify_all()
        self._waiting = deque(future for future in self._waiting if not future.cancel())

    def _next(self) -> Turn:
        done = _result_of(self._waiting[0])
        self._waiting.popleft()
        if self._elsewhere is not None:  # that counts more than what became of this chunk
            done = done._replace(error=self._elsewhere)
        return Turn(done.chunk, done.told(), done.usage)

    def _ask(self, chunk: Chunk) -> _Done:
        """In a thread of the pool."""
        with self._room:
            self._room.wait_for(lambda: self._over.is_set() or self._under_way < self._throttle.limit)
            if self._over.is_set():
                return _Done(chunk, [], Usage(), ModelError(NOT_BEGUN))
            self._under_way += 1
            asker = self._an_asker()  # so that whoever hangs up knows of it
        answers: list[Answer] = []
        error: ModelError | None = None
        started = time.monotonic()
        try:
            for answer in self._work(asker, chunk):
                answers.append(answer)  # noqa: PERF402  what came before an error must be there
        except NotLocalError as problem:  # no lane may send a line more, however long another one takes
            error = self._elsewhere = problem
            self.hang_up()
        except ModelError as problem:
            error = problem
        except CLOSED as problem:
            if not self._over.is_set():
                raise
            error = ModelError(str(problem))
        finally:
            with self._room:
                self._under_way -= 1
                usage = asker.usage
                self._throttle.answered(usage.prompt_tokens + usage.completion_tokens, time.monotonic() - started)
                self._room.notify_all()
        self._idle.put(asker)
        return _Done(chunk, answers, usage, error)

    def _an_asker(self) -> Asker:
        """One with a connection of its own, and a new account."""
        try:
            asker = self._idle.get_nowait()
        except Empty:
            asker = self._first.another(self._told_busy)
            self._askers.append(asker)
        asker.usage = Usage()
        return asker

    def _told_busy(self) -> None:
        """In a thread of the pool: whoever was sent away queues up again.

        Where requests fail for being too many, they would do so once more if all of them came back together.
        """
        with self._room:
            self._throttle.busy()
            self._under_way -= 1
            self._room.notify_all()
            self._room.wait_for(lambda: self._over.is_set() or self._under_way < self._throttle.limit)
            self._under_way += 1


def _result_of(future: Future[_Done]) -> _Done:
    from concurrent.futures import wait  # noqa: PLC0415  as below

    while not wait([future], timeout=TICK).done:
        pass
    return future.result()


def _threads(number: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  with logging, 6 ms that one lane need not pay

    return ThreadPoolExecutor(number, "lane")
