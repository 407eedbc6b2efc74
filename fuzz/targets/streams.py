"""Answers of servers, in any pieces: the same bytes mean the same, and what has no end is no answer."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
from hypothesis import strategies as st

from fuzz.strategies import damaged, hostile_text, json_values, numbers, shuffled_lines
from fuzz.target import property_of
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ModelError, RepetitionError
from kilo_review.models import events, loops, ollama
from kilo_review.models.faults import Asked
from kilo_review.models.locality import Endpoint
from kilo_review.models.transport import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

    from kilo_review.models.base import Reply

    Reader = Callable[[Iterator[bytes], Asked], Reply]

ASKED = Asked("the server", "http://127.0.0.1:1", "m")
WORDS = (
    *(b'{"message":{"content":"x"},"done":false}\n', b'{"done":true}', b'"done_reason":"length"', b'"eval_duration":'),
    *(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', b"data: [DONE]\n\n"),
    *(b'"finish_reason":"stop"', b"event: error\n"),
    *(b": ping\n", b"\r\n", b"\n\n", b'{"error":"x"}', b'{"error":{"message":"x"}}', b'"remote_host":"x"', b'"usage":'),
    *(b'"timings":{"predicted_ms":', b"1e999", b"-Infinity", b"9" * 400, b"9" * 5000, b"\xff\xfe"),
    *(b"\xe2\x80\xa8", b"[" * 2000),
)  # fmt: skip


class Stream(NamedTuple):
    """What a server sends.

    Attributes:
        data: all of it.
        cuts: where it is parted on its way.
        text: the answer in it, if it is undamaged and complete.
    """

    data: bytes
    cuts: tuple[int, ...] = ()
    text: str | None = None


CLIENT = Client(Endpoint("http://127.0.0.1:1", "127.0.0.1", 1, ("127.0.0.1",)), [], Deadline())
"""It is asked to split lines; it never connects."""
PATIENCE_SECONDS = 60.0


@st.composite
def _streams(
    draw: DrawFn, events: SearchStrategy[dict[str, Any]], form: Callable[[str, dict[str, Any]], bytes]
) -> Stream:
    """An answer in several events, whole, without its end, or damaged."""
    texts = draw(st.lists(hostile_text, max_size=4))
    sent = [draw(events) for _ in texts]
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    pieces = [form(text, event).replace(b"\n", end.encode()) for text, event in zip(texts, sent, strict=True)]
    last = form("", draw(events) | {"is_last": True}).replace(b"\n", end.encode())
    data = b"".join(pieces)
    cuts = tuple(sorted(draw(st.lists(st.integers(0, len(data) + len(last)), max_size=4))))
    way = draw(st.sampled_from(["whole", "endless", "damaged", "shuffled"]))
    if way == "whole":
        return Stream(data + last, cuts, "".join(texts))
    if way == "shuffled":
        return Stream(draw(shuffled_lines(data + last)), cuts)
    return Stream(data if way == "endless" else draw(damaged(data + last, WORDS)), cuts)


def _ollama_line(text: str, facts: dict[str, Any]) -> bytes:
    is_last = facts.pop("is_last", False)
    end = {"done_reason": "stop"} if is_last else {}
    return json.dumps({**facts, "message": {"content": text}, "done": is_last} | end).encode() + b"\n"


def _openai_event(text: str, facts: dict[str, Any]) -> bytes:
    is_last = facts.pop("is_last", False)
    choice = {"delta": {"content": text}, "finish_reason": "stop" if is_last else facts.pop("reason", None)}
    event = json.dumps({**facts, "choices": [choice]}).encode()
    return b": ping\n\ndata: " + event + b"\n\n" + (b"data: [DONE]\n\n" if is_last else b"")


figures = numbers | st.floats() | json_values
FIGURES = ("eval_count", "prompt_eval_count", "eval_duration", "prompt_eval_duration")
ollama_facts = st.dictionaries(st.sampled_from(["model", "created_at", *FIGURES]), figures)
openai_facts = st.fixed_dictionaries(
    {},
    optional={
        "id": hostile_text,
        "reason": st.sampled_from([None, "", False, 0]),
        "model": hostile_text | json_values,
        "usage": st.dictionaries(
            st.sampled_from(["prompt_tokens", "completion_tokens", "prompt_tokens_details"]), figures
        ),
        "timings": st.dictionaries(st.sampled_from(["cache_n", "predicted_ms", "prompt_ms"]), figures),
    },
)


# What must be true


def _checked(read: Reader, has_end: Callable[[bytes], bool]) -> Callable[[Stream], None]:
    def check(stream: Stream) -> None:
        """The same bytes mean the same in whatever pieces they come; without an end they are no answer."""
        whole = _outcome(read, [stream.data])
        assert whole == _outcome(read, _parted(stream.data, stream.cuts))
        assert whole == _outcome(read, [stream.data[at : at + 1] for at in range(len(stream.data))])
        if whole.get("error") is RepetitionError:
            assert stream.text is None or repeats_itself(stream.text)
        elif stream.text is not None:
            assert whole.get("text") == stream.text, "an answer that is complete is not taken as it is"
        if "error" not in whole:
            assert has_end(stream.data), "a stream without an end is taken for an answer"
            _check_figures(whole)

    return check


def repeats_itself(text: str) -> bool:
    """Whether there is much white space in a row somewhere, or a passage four times over, read in a slow way."""
    if re.search(rf"\s{{{loops.MOST_BLANKS}}}", text):
        return True
    for period in range(1, loops.TAIL // loops.TIMES):
        equal = "".join("=" if one == other else " " for one, other in zip(text, text[period:], strict=False))
        if "=" * (max(loops.TIMES * period, loops.SHORTEST_LOOP) - period) in equal:
            return True
    return False


def _parted(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def _outcome(read: Reader, pieces: Iterable[bytes]) -> dict[str, Any]:
    try:
        CLIENT.patience.begin(PATIENCE_SECONDS)
        reply = read(CLIENT._lines(httpx.Response(200, content=iter(pieces))), ASKED)  # noqa: SLF001  no socket
    except ModelError as error:
        return {"error": type(error), "says": str(error)}
    return {name: getattr(reply, name) for name in type(reply).__slots__}


def _check_figures(reply: dict[str, Any]) -> None:
    """Counts are counts and times are times: they go into a database and a report."""
    for name in ("prompt_tokens", "completion_tokens", "cached_prompt_tokens"):
        assert type(reply[name]) is int
        assert 0 <= reply[name] < 1 << 63
    for name in ("answer_seconds", "reading_seconds"):
        assert 0 <= reply[name] < float("inf")
    assert all(isinstance(reply[name], str) for name in ("text", "reasoning", "model"))
    assert type(reply["is_cut"]) is bool


def _is_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def ollama_ends(data: bytes) -> bool:
    """Whether a line says that it is the last."""
    lines = [_is_json(line) for line in data.split(b"\n")]
    return any(isinstance(line, dict) and line.get("done") is True for line in lines)


def openai_ends(data: bytes) -> bool:
    """Whether an event names the reason why it is the last."""
    lines = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in data.split(b"\n")]
    for event in "\n".join(lines).split("\n\n"):
        rows = [row.removeprefix("data:").removeprefix(" ") for row in event.split("\n") if row.startswith("data:")]
        found = _is_json("\n".join(rows))
        choices = found.get("choices") if isinstance(found, dict) else None
        first = choices[0] if isinstance(choices, list) and choices else None
        reason = first.get("finish_reason") if isinstance(first, dict) else None
        if isinstance(reason, str) and reason:
            return True
    return False


SAID = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"choices":[{"finish_reason":"stop"}]}\n\n'
TARGETS = {
    "ollama-stream": property_of(
        _checked(ollama.read_lines, ollama_ends),
        _streams(ollama_facts, _ollama_line),
        read=Stream,
        seeds=(
            b'{"message":{"content":"x"}}\r\n{"done":true,"eval_count":1,"eval_duration":5,"prompt_eval_duration":5}\n',
            b'{"error":"model not found"}',
        ),
        words=WORDS,
    ),
    "openai-stream": property_of(
        _checked(events.read_events, openai_ends),
        _streams(openai_facts, _openai_event),
        read=Stream,
        seeds=(SAID, b'event: error\ndata: {"error":"x"}\n\n', b'{"error":{"message":"x"}}'),
        words=WORDS,
    ),
}
