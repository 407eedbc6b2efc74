"""Ways in which a streamed answer travels: strange but whole, or not to be believed."""

from __future__ import annotations

import json
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from soak import refusals
from soak.wire import (
    OLLAMA,
    OPENAI,
    Mark,
    Scene,
    Step,
    body,
    chunk,
    chunked,
    head,
    marked,
    recut,
)
from tests.support.fakes.base import prompt_tokens
from tests.support.fakes.ollama import CLOUD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOTH = (OLLAMA, OPENAI)
SLOW = frozenset({"stall", "drip for ever", "flood"})


class Fault(NamedTuple):
    """One way to travel.

    Attributes:
        is_good: whether what was said must be understood.
        weight: how often it is drawn beside the others; those that take long are drawn less.
        is_cut: the answer ends at its token limit.
        needs_deadline: nothing else would end it soon.
    """

    name: str
    act: Callable[[Scene], Iterator[Step]]
    is_good: bool = False
    wires: tuple[str, ...] = BOTH
    weight: float = 1.0
    is_cut: bool = False
    needs_deadline: bool = False


def whole(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    return chunked(stream.kind, marked(stream))


# Strange, but whole


def slow_start(scene: Scene) -> Iterator[Step]:
    yield scene.chance.uniform(0.02, 0.2)
    yield from whole(scene)


def dripped(scene: Scene) -> Iterator[Step]:
    def drops() -> Iterator[Step]:
        for piece in recut(stream, repeat(97)):
            yield piece
            yield 0.001

    stream = scene.stream()
    return chunked(stream.kind, drops())


def split_letters(scene: Scene) -> Iterator[Step]:
    """Pieces of one to three bytes: letters of several bytes, and line ends, are torn apart."""
    stream = scene.stream()
    sizes = (scene.chance.randint(1, 3) for _ in count())
    yield head(200, stream.kind, Transfer_Encoding="chunked")
    pending = b""
    for piece in recut(stream, sizes):
        if isinstance(piece, bytes):
            pending += chunk(piece)
        else:
            yield pending
            yield piece
            pending = b""
    yield pending + b"0\r\n\r\n"


def crlf(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    pieces = [piece.replace(b"\n", b"\r\n") for piece in stream.pieces]
    return chunked(stream.kind, marked(stream._replace(pieces=pieces)))


def comments(scene: Scene) -> Iterator[Step]:
    """Signs of life between the pieces."""
    comment = b": still reading\n\n" if scene.wire == OPENAI else b"\n \n"
    stream = scene.stream()
    pieces = [comment + piece + comment for piece in stream.pieces]
    return chunked(stream.kind, marked(stream._replace(pieces=pieces)))


def no_last_chunk(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    yield from chunked(stream.kind, marked(stream), ending=b"")
    yield Mark.CLOSE


def until_closed(scene: Scene) -> Iterator[Step]:
    """No length and no chunks, as HTTP/1.0 had it."""
    stream = scene.stream()
    yield head(200, stream.kind, Connection="close").replace(b"HTTP/1.1", b"HTTP/1.0")
    yield from marked(stream)
    yield Mark.CLOSE


def known_length(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    yield Mark.COMPLETE
    yield from body(200, b"".join(stream.pieces), stream.kind)


def other_type(scene: Scene) -> Iterator[Step]:
    """A content type that is no hint."""
    kind = scene.chance.choice(("application/octet-stream", "text/plain", "application/json; charset=latin-1", ""))
    return chunked(kind, marked(scene.stream()))


def junk_behind(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    junk = [b"\x00\xff junk\n", scene.line(scene.delta("{")), b"{" * 5000 + b"\n"]
    return chunked(stream.kind, marked(stream._replace(pieces=[*stream.pieces, *junk])))


def then_closed(scene: Scene) -> Iterator[Step]:
    """A connection that was to be kept is closed all the same."""
    yield from whole(scene)
    yield Mark.CLOSE


def large_line(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    line = scene.line(scene.delta("") | {"context": list(range(60_000))})
    return chunked(stream.kind, marked(stream._replace(pieces=[line, *stream.pieces], decisive=stream.decisive + 1)))


def odd_numbers(scene: Scene) -> Iterator[Step]:
    """Counts as strings, as NaN, as more than there can be."""
    stream = scene.stream()
    odd = scene.chance.choice((b'"26"', b"NaN", b"-5", b"1e308", b"null", b"true", b"[]", b"Infinity"))
    edited = stream.pieces[stream.decisive :]
    for name in (b'"eval_count": ', b'"eval_duration": ', b'"completion_tokens": ', b'"prompt_eval_duration": '):
        edited = [_replaced(piece, name, odd) for piece in edited]
    pieces = [*stream.pieces[: stream.decisive], *edited]
    return chunked(stream.kind, marked(stream._replace(pieces=pieces)))


def absurd_count(scene: Scene) -> Iterator[Step]:
    """More prompt tokens than there are bytes."""
    scene.read = 10**7
    return whole(scene)


def no_done_event(scene: Scene) -> Iterator[Step]:
    stream = scene.stream()
    return chunked(stream.kind, marked(stream._replace(pieces=stream.pieces[:-1])))


def _replaced(piece: bytes, name: bytes, value: bytes) -> bytes:
    """The piece with another number behind a name."""
    before, found, rest = piece.partition(name)
    return before + found + value + rest.lstrip(b"0123456789") if found else piece


# Not to be believed


def _some(scene: Scene) -> list[bytes]:
    """The beginning of an answer, never its end."""
    stream = scene.stream()
    return stream.pieces[: scene.chance.randint(1, max(1, stream.decisive))][: stream.decisive]


def early_end(scene: Scene) -> Iterator[Step]:
    return chunked(scene.stream().kind, _some(scene))


def done_without_finish(scene: Scene) -> Iterator[Step]:
    return chunked(scene.stream().kind, [*_some(scene), b"data: [DONE]\n\n"])


def _ended(how: Mark) -> Callable[[Scene], Iterator[Step]]:
    def act(scene: Scene) -> Iterator[Step]:
        yield from chunked(scene.stream().kind, _some(scene), ending=b"")
        yield how

    return act


def torn_line(scene: Scene) -> Iterator[Step]:
    pieces = _some(scene)
    return chunked(scene.stream().kind, [*pieces[:-1], pieces[-1][: len(pieces[-1]) // 2]])


def short_length(scene: Scene) -> Iterator[Step]:
    """A length that ends inside the answer."""
    data = b"".join(scene.stream().pieces)
    yield head(200, scene.stream().kind, Content_Length=str(len(data) // 2)) + data
    yield Mark.CLOSE


def bad_chunks(scene: Scene) -> Iterator[Step]:
    yield from chunked(scene.stream().kind, _some(scene), ending=b"")
    yield b"zz\r\nnot a chunk\r\n"
    yield Mark.CLOSE


def stall_inside(scene: Scene) -> Iterator[Step]:
    return chunked(scene.stream().kind, [*_some(scene), refusals.LONG_SECONDS])


def signs_of_life(scene: Scene) -> Iterator[Step]:
    """Nothing but comments, for ever."""

    def pings() -> Iterator[Step]:
        while True:
            yield b": ping\n\n" if scene.wire == OPENAI else b"\n"
            yield 0.02

    return chunked(scene.stream().kind, pings())


def _endless(text: Callable[[int], str], seconds: float = 0.0) -> Callable[[Scene], Iterator[Step]]:
    """An answer that never ends."""

    def act(scene: Scene) -> Iterator[Step]:
        def words() -> Iterator[Step]:
            for number in count():
                yield scene.line(scene.delta(text(number)))
                if seconds:
                    yield seconds

        return chunked(scene.stream().kind, words())

    return act


def huge_line(scene: Scene) -> Iterator[Step]:
    return chunked(scene.stream().kind, repeat(b'{"x": "' + b"x" * 65536))


def _line(data: bytes) -> Callable[[Scene], Iterator[Step]]:
    """An answer in the middle of which stands a line that is none."""

    def act(scene: Scene) -> Iterator[Step]:
        stream = scene.stream()
        line = data if scene.wire == OLLAMA else b"data: " + data + b"\n"
        return chunked(stream.kind, [stream.pieces[0], line + b"\n", *stream.pieces[1:]])

    return act


def _error_inside(text: str) -> Callable[[Scene], Iterator[Step]]:
    def act(scene: Scene) -> Iterator[Step]:
        return chunked(scene.stream().kind, [*_some(scene), scene.line(scene.error(text))])

    return act


def wrong_fields(scene: Scene) -> Iterator[Step]:
    """Lines of the right names and the wrong types."""
    odd: list[Any] = [
        {"message": "text", "done": "true"},
        {"message": [1], "done": 1},
        {"choices": {}},
        {"choices": [3]},
    ]
    odd += [{"choices": [{"delta": "x"}]}, {"choices": [{"delta": {"content": ["x"]}}]}]
    return chunked(scene.stream().kind, [scene.line(each) for each in odd])


def remote_answers(scene: Scene) -> Iterator[Step]:
    """Each line tells that another machine has answered."""
    lines = [json.loads(piece) for piece in scene.stream().pieces]
    marks = {"remote_model": "gpt-oss:120b", "remote_host": CLOUD}
    return chunked(scene.stream().kind, [scene.line(line | marks) for line in lines])


def silent_truncation(scene: Scene) -> Iterator[Step]:
    """Only a part of the prompt was read, and nothing tells but the count."""
    size = 4 * prompt_tokens(scene.body)
    half = scene.window // 2 + 2
    scene.read = size // 20 if scene.wire == OPENAI else half if half < size // 8 else scene.window
    return whole(scene)


GOOD = (
    Fault("slow start", slow_start, is_good=True),
    Fault("dripped", dripped, is_good=True),
    Fault("letters split", split_letters, is_good=True, weight=2),
    Fault("CRLF", crlf, is_good=True),
    Fault("comments between", comments, is_good=True),
    Fault("no last chunk", no_last_chunk, is_good=True),
    Fault("until closed", until_closed, is_good=True),
    Fault("length known", known_length, is_good=True),
    Fault("odd content type", other_type, is_good=True),
    Fault("junk behind the end", junk_behind, is_good=True),
    Fault("closed behind the end", then_closed, is_good=True),
    Fault("large line", large_line, is_good=True, weight=0.5),
    Fault("odd numbers", odd_numbers, is_good=True),
    Fault("absurd count", absurd_count, is_good=True, wires=(OPENAI,), weight=0.5),
    Fault("no [DONE]", no_done_event, is_good=True, wires=(OPENAI,)),
)
BAD = (
    Fault("early end", early_end),
    Fault("[DONE] too early", done_without_finish, wires=(OPENAI,)),
    Fault("closed inside", _ended(Mark.CLOSE)),
    Fault("reset inside", _ended(Mark.RESET)),
    Fault("torn line", torn_line),
    Fault("length too short", short_length),
    Fault("bad chunks", bad_chunks),
    Fault("stall inside", stall_inside, weight=0.3),
    Fault("signs of life for ever", signs_of_life, weight=0.3),
    Fault("answer without end", _endless(lambda at: f"{at} {at * 7919} more; " * 300), weight=0.3),
    Fault("slow answer without end", _endless(lambda at: f"word {at} ", 0.01), weight=0.3, needs_deadline=True),
    Fault("loop without end", _endless(lambda _at: "and so on and on; ")),
    Fault("blanks without end", _endless(lambda _at: "\n  \t")),
    Fault("huge line", huge_line, weight=0.5),
    Fault("line that is not JSON", _line(b"{oops")),
    Fault("deep line", _line(b"[" * 50_000)),
    Fault("binary line", _line(b"\x00\xff\xfe\x01")),
    Fault("crash inside", _error_inside("model runner has unexpectedly stopped, this may be due to resource limits")),
    Fault("evicted inside", _error_inside("Model unloaded by user or API request.")),
    Fault("out of memory inside", _error_inside("llama-server: cudaMalloc failed: out of memory")),
    Fault("overflow inside", _error_inside("the prompt is longer than the context length currently available")),
    Fault("wrong fields", wrong_fields),
    Fault("remote answers", remote_answers, wires=(OLLAMA,), weight=0.5),
    Fault("silent truncation", silent_truncation, weight=2),
    Fault("cut answer", whole, weight=3, is_cut=True),
    *(Fault(name, act) for name, act in refusals.CHAT.items()),
    *(Fault(name, act, weight=0.3 if name in SLOW else 1) for name, act in refusals.ANY.items()),
)
