"""The table of failures, second part: the question is too long, or the answer does not come through as it should."""

from __future__ import annotations

import json
from itertools import count, cycle, repeat
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.models import retry
from kilo_review.models.base import DEFAULT_WINDOW
from tests.reliability.rows import ALL, DIVISION, FOUND, Row, cases, check, many_files, run
from tests.support.fakes.base import NOTHING_FOUND, TEXT, Response, as_json, asks_again
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.lmstudio import Model as Loaded
from tests.support.fakes.ollama import Model as Small
from tests.support.fakes.openai import VLLM
from tests.support.fakes.wires import LMSTUDIO, OLLAMA, OPENAI, Wire, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo
    from tests.reliability.rows import Plan
    from tests.support.fakes.base import Call
    from tests.support.here import Program

ROOM = 1600
"""Tokens of a prompt that fit a server which said that it has more."""
ITS_LOG = "Its log tells why"
SILENT_END = "Its log tells why; a repetition loop ends like this too"
THE_LOG = "The server's log tells why"
LARGER = "Give the model a larger window (num_ctx, context length)"
STUCK = "Is it still loading, or stuck? Its log tells; then try again"
WHOSE_URL = "Is it a model server that the base URL names? Its log tells what it sent"
LOOPING = ("the model repeats itself without end", "Another model or quantisation may do better")
SHORT_WAIT = 0.4
AGAIN = (retry.RESTART_SECONDS,)
PASSAGE = "The list may be empty. Then the sum is divided by zero, and that raises an error. The list may be none. "
LONGER = "So much for line one; line two has its own. "
NOT_ASCII = "Die Länge ist 0: é, 漢字, 🎉, \u2028 und \u2029."


def ends(ending: Any, *texts: str) -> Callable[[Wire], Plan]:
    """Each answer breaks off in this way after these pieces."""
    return lambda wire: [wire.sends(*map(wire.says, texts), ending=ending)]


def endless(pieces: Callable[[Wire], Iterator[bytes]]) -> Callable[[Wire], Plan]:
    """Each answer is such a stream."""
    return lambda wire: [lambda _call: wire.streams(pieces(wire))]


def dripping(wire: Wire) -> Iterator[bytes]:
    """One letter of a line that never ends."""
    yield wire.says("{")
    yield from repeat(b"x")


def blather(wire: Wire) -> Iterator[bytes]:
    """No end, and no repetition."""
    letters = Random(4711)
    while True:
        yield wire.says(letters.randbytes(2000).hex())


def cut(text: str) -> Callable[[Wire], Plan]:
    """Each answer stops at its limit of tokens."""
    return lambda wire: [wire.sends(wire.says(text), wire.ends("length", answer=1024))]


def cut_if_long(wire: Wire) -> Callable[[Call], Response | None]:
    """Questions about two files get an answer that stops at its limit."""
    answer = wire.sends(wire.says(NOTHING_FOUND), wire.ends("length", answer=1024))
    return lambda call: answer if call.body["messages"][-1]["content"].count("FILE ") > 1 else None


def two_files(repo: Repo) -> None:
    for name in ("one.py", "two.py"):
        repo.stage(name, "value = 1\n")


def a_long_line(repo: Repo) -> None:
    """A hunk that no cut makes shorter."""
    words = " ".join(f"word{number}" for number in range(700))
    repo.stage("page.txt", f"{words}\n")


def two_long_lines(repo: Repo) -> None:
    a_long_line(repo)
    repo.stage("other.txt", "".join(f"more{number} " for number in range(700)))


def a_long_hunk(repo: Repo) -> None:
    """The mistake, and much below it."""
    below = "".join(f"value_{line} = {line}\n" for line in range(500))
    repo.stage("app.py", f"def mean(items):\n    return sum(items) / len(items)\n{below}")


def finds_the_division(body: dict[str, Any]) -> str:
    return FOUND if "def mean(items)" in body["messages"][-1]["content"] else NOTHING_FOUND


def much(repo: Repo) -> None:
    """As much as the window holds, and more."""
    words = ", ".join(f"'{word}'" for word in ("fig", "plum", "lime", "pear", "mango", "quince", "olive", "date"))
    repo.stage("fruits.py", "".join(f"fruits.update({{{number}: [{words}]}})\n" for number in range(200)))


def narrow(room: int = ROOM, **knobs: Any) -> Callable[[Any], object]:
    """Less fits than the server says."""

    def turn(server: Any) -> None:
        server.room = room
        for name, value in knobs.items():
            setattr(server, name, value)

    return turn


def narrow_lmstudio(**knobs: Any) -> Callable[[], LMStudio]:
    """LM Studio, whose listing told another window than the one that the model gets."""

    def make() -> LMStudio:
        return _Narrow(**knobs)

    return make


class _Narrow(LMStudio):
    def _chat(self, body: dict[str, Any]) -> Response:
        self.models = [Loaded(LMSTUDIO.model, loaded_window=ROOM)]
        return super()._chat(body)


class _NarrowVLLM(VLLM):
    def _chat(self, body: dict[str, Any]) -> Response:
        self.window = ROOM + int(body.get("max_tokens") or 0)
        return super()._chat(body)


def local_ai(call: Call) -> Response | None:
    """LocalAI hands llama.cpp's refusal on as its own failure."""
    needed = sum(len(message["content"]) for message in call.body["messages"]) // 4
    text = f"rpc error: code = Internal desc = request ({needed} tokens) exceeds the available context size ({ROOM} tokens), try increasing it"
    return text_of(OPENAI, 500, text) if needed >= ROOM else None


def refusing(status: int, text: str) -> Callable[[Call], Response | None]:
    """A server which tells nothing of its window, and refuses what does not fit; 200 is inside the stream."""

    def answer(call: Call) -> Response | None:
        needed = sum(len(message["content"]) for message in call.body["messages"]) // 4
        if needed < ROOM:
            return None
        said = text.format(needed=needed, room=ROOM)
        in_stream = OPENAI.sends(OPENAI.says('{"fin'), OPENAI.fails(said))
        return in_stream if status == 200 else text_of(OPENAI, status, said)

    return answer


def read_tokens(tokens: int) -> Callable[[Wire], Plan]:
    """The server has read so many tokens of each question, and says that there is nothing to find."""
    return lambda wire: [wire.sends(wire.says(NOTHING_FOUND), wire.ends(prompt=tokens))]


def as_text(wire: Wire) -> Plan:
    """A right answer under the wrong name."""
    return [Response(200, TEXT, [wire.says(NOTHING_FOUND), wire.ends()], is_stream=True)]


def bare(*pieces: bytes, **more: Any) -> Callable[[Wire], Plan]:
    return lambda _wire: [Response(bare=True, pieces=pieces, **more)]


def with_comments(wire: Wire) -> Plan:
    """Signs of life between all pieces, and fields that nobody knows."""
    noise = b": ping\r\n\r\nevent: progress\r\nid: 7\r\nretry: 10\r\n\r\n"
    pieces = [wire.says(FOUND[:40]), wire.says(FOUND[40:]), wire.ends()]
    found = wire.sends(*(noise + piece.replace(b"\n", b"\r\n") for piece in pieces))
    return [found, None]


def stranger(call: Call) -> Response | None:
    """The finding, with letters of which a character is more than one byte; the claim is affirmed as usual."""
    text = json.dumps({"findings": [DIVISION | {"problem": NOT_ASCII}]}, ensure_ascii=False)
    wire = OLLAMA if call.path == OLLAMA.chat else OPENAI
    return None if asks_again(call.body) else wire.answers(text[:70], text[70:])


def latin(wire: Wire) -> Plan:
    """The finding, with a letter in the encoding of another century."""
    text = json.dumps({"findings": [DIVISION | {"problem": "A café divides by zero."}]}, ensure_ascii=False)
    return [wire.sends(wire.says(text).replace("é".encode(), b"\xe9"), wire.ends()), None]


ROWS = (
    Row(
        ids=("E16", "ollama#3839"),
        key="E16",
        what="The change does not fit the window, which is smaller than the server said: it is asked about in smaller "
        "pieces, by the numbers of the refusal",
        outcome="clean",
        knobs=narrow(),
        change=many_files,
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-test",
        what="A hunk is longer than that; what is found in it is put to the test beside what fits",
        outcome="findings",
        knobs=narrow(answer=finds_the_division),
        change=a_long_hunk,
        requests=6,
    ),
    Row(
        ids=("E16",),
        key="E16-no-numbers",
        what="The server says that a question is too long, and no numbers",
        outcome="clean",
        knobs=narrow(overflow="0.30 shift"),
        change=many_files,
        wires=(OLLAMA,),
        requests=6,
    ),
    Row(
        ids=("E16", "lmstudio#2322", "lmstudio#2256", "lmstudio#546"),
        key="E16-stream",
        what="LM Studio says so in the middle of a success",
        outcome="clean",
        makes={"lmstudio": narrow_lmstudio(overflow="refused in stream")},
        change=many_files,
        wires=(LMSTUDIO,),
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-old",
        what="An older LM Studio refuses in its own words",
        outcome="clean",
        makes={"lmstudio": narrow_lmstudio(overflow_text="old overflow")},
        change=many_files,
        wires=(LMSTUDIO,),
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-vllm",
        what="vLLM counts the answer, too",
        outcome="clean",
        makes={"openai": _NarrowVLLM},
        change=many_files,
        wires=(OPENAI,),
        requests=7,
    ),
    Row(
        ids=("E16",),
        key="E16-localai",
        what="LocalAI says it as a failure of its own",
        outcome="clean",
        chat=lambda _wire: [local_ai],
        change=many_files,
        wires=(OPENAI,),
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-sglang",
        what="SGLang refuses it in its own words",
        outcome="clean",
        chat=lambda _wire: [
            refusing(400, "The input ({needed} tokens) is longer than the model's context length ({room} tokens).")
        ],
        change=many_files,
        wires=(OPENAI,),
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-vllm-new",
        what="A newer vLLM refuses it in other words",
        outcome="clean",
        chat=lambda _wire: [
            refusing(
                400,
                "You passed {needed} input tokens and requested 1024 output tokens. However, "
                "the model's context length is only {room} tokens, resulting in a maximum input length of 576 tokens.",
            )
        ],
        change=many_files,
        wires=(OPENAI,),
        requests=5,
    ),
    Row(
        ids=("E16",),
        key="E16-tgi",
        what="TGI refuses it as a request that is not valid (422)",
        outcome="clean",
        chat=lambda _wire: [
            refusing(422, "Input validation error: `inputs` must have less than {room} tokens. Given: {needed}")
        ],
        change=many_files,
        wires=(OPENAI,),
        requests=5,
    ),
    Row(
        ids=("E16", "lmstudio#2322"),
        key="E16-reached",
        what="LM Studio reaches the end of the window in the middle of an answer",
        outcome="clean",
        chat=lambda _wire: [
            refusing(
                200,
                "Reached context length of {room} tokens with model (arch: qwen3) that does "
                "not currently support mid-generation context overflow.",
            )
        ],
        change=many_files,
        wires=(LMSTUDIO, OPENAI),
        requests=5,
    ),
    Row(
        ids=("E18",),
        key="E18-refused",
        what="The server gives no answer of the length that is asked for",
        chat=lambda wire: [text_of(wire, 422, "Input validation error: `max_new_tokens` must be <= 192. Given: 1024")],
        wires=(OPENAI,),
        says="the server does not give so long an answer (Input validation error: `max_new_tokens` must be <= 192. Given: "
        "1024)",
        then="Ask for less with --option num_predict=512",
    ),
    Row(
        ids=("E16",),
        key="E16-hunk",
        what="One line is longer than the window",
        knobs=narrow(),
        change=a_long_line,
        says="the prompt does not fit the window of '{model}' (request (… tokens) exceeds the available context size "
        f"({ROOM} tokens), try increasing it)",
        then=LARGER,
    ),
    Row(
        ids=("E16",),
        key="E16-hunk-old",
        what="One line is longer than the window, and the server tells no numbers: ours are printed",
        knobs=narrow(overflow="0.24"),
        change=a_long_line,
        wires=(OLLAMA,),
        says="the prompt does not fit the window of '{model}' (the input length exceeds the context length); it takes "
        "about … of the 8192 tokens that were asked for",
        then=LARGER,
    ),
    Row(
        ids=("E16",),
        key="E16-small",
        what="The window is too small for any review",
        knobs=narrow(300),
        says="the model's window of 300 tokens is too small for a review",
        then="Load it with … tokens or more (num_ctx, context length)",
    ),
    Row(
        ids=("E16",),
        key="E16-next",
        what="Another line is as long: it is not even asked about",
        knobs=narrow(),
        change=two_long_lines,
        says="the prompt takes about … tokens and does not fit the model's window of 1600",
        then=LARGER,
    ),
    Row(
        ids=("E16",),
        key="E16-line",
        what="One line is longer than any question may be",
        change=lambda repo: repo.stage("bundle.txt", "abc " * 10_000),
        says="line 1 alone takes about … tokens and … fit into one request",
        then="Leave the file out if nobody wrote that line (--exclude PATTERN)",
        requests=0,
    ),
    Row(
        ids=("E16",),
        key="E16-line-window",
        what="It is, and the window is small",
        change=lambda repo: repo.stage("bundle.txt", "abc " * 10_000),
        arguments=("--option", "num_ctx=4096"),
        wires=(OLLAMA,),
        says="line 1 alone takes about … tokens and … fit into one request",
        then="Leave the file out if nobody wrote that line (--exclude PATTERN); or load the model with a larger window "
        "(num_ctx, context length)",
        requests=0,
    ),
    Row(
        ids=("E17", "ollama#17427", "ollama#17889"),
        key="E17",
        what="Ollama cuts the question in silence, to half of its window, although it is told not to",
        chat=read_tokens(2050),
        change=much,
        arguments=("--option", "num_ctx=4096", "--option", "num_predict=64"),
        wires=(OLLAMA,),
        says="the server read only 2050 tokens of a prompt of … characters",
        then="Give the model a larger window (context length); for Ollama use --provider ollama",
    ),
    Row(
        ids=("E17",),
        key="E17-old",
        what="An older one cuts it to exactly its window",
        chat=read_tokens(8192),
        wires=(OLLAMA,),
        says="the server read only 8192 tokens of a prompt of … characters",
        then="Give the model a larger window (context length); for Ollama use --provider ollama",
    ),
    Row(
        ids=("E17",),
        key="E17-count",
        what="The server counts fewer tokens than any tokenizer needs",
        chat=read_tokens(20),
        wires=(OPENAI, LMSTUDIO),
        says="the server read only 20 tokens of a prompt of … characters",
        then="Give the model a larger window (context length); for Ollama use --provider ollama",
    ),
    Row(
        ids=("E18", "ollama#18567"),
        key="E18",
        what="The answer stops at its limit of tokens; findings that are complete are kept",
        outcome="incomplete",
        finds=True,
        chat=lambda wire: [*cut(FOUND[:-2] + ', {"title": "Nex')(wire), None],
        says="the model's answer was cut off after 1024 tokens",
        then="Allow more with --option num_predict=2048",
        requests=2,
    ),
    Row(
        ids=("E18",),
        key="E18-halves",
        what="It stops there, and was about several hunks: they are asked about one by one",
        outcome="clean",
        chat=lambda wire: [cut_if_long(wire)],
        change=two_files,
        requests=3,
    ),
    Row(
        ids=("E18",),
        key="E18-silent",
        what="It stops in the middle, and the server says that this is its end",
        chat=lambda wire: [wire.answers(FOUND[:-20])],
        says="the model's answer is not JSON",
        then="Another model may do better (docs/models.md)",
        requests=3,
    ),
    Row(
        ids=("E19", "cut", "OllamaSharp#245"),
        key="E19",
        what="The answer ends without the server's word that it is complete, twice",
        chat=ends("early", NOTHING_FOUND),
        wires=ALL,
        says="the answer of {server} ended before its end",
        then=ITS_LOG,
        unlike={"ollama": ("the answer of Ollama ended before its end", SILENT_END)},
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E19", "cut"),
        key="E19-connection",
        what="The connection is closed in the middle of the answer, twice",
        chat=ends("cut", NOTHING_FOUND),
        says="the answer of {origin} broke off (…)",
        then=THE_LOG,
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E19", "cut"),
        key="E19-passes",
        what="It is closed once",
        outcome="clean",
        chat=lambda wire: [wire.sends(wire.says("{"), ending="cut"), None],
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E19", "cut"),
        key="E19-length",
        what="The answer is shorter than the server announced",
        chat=bare(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}"),
        says="the answer of {origin} broke off (…)",
        then=THE_LOG,
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E19",),
        key="E19-nothing",
        what="The connection is closed without a word",
        chat=bare(),
        says="the answer of {origin} broke off (…)",
        then=THE_LOG,
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E19",),
        key="E19-other",
        what="What comes is no HTTP",
        chat=bare(b"SSH-2.0-OpenSSH_9.2\r\n"),
        says="the answer of {origin} broke off (…)",
        then=THE_LOG,
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E20", "lmstudio#1143"),
        key="E20",
        what="The answer stops coming: a pause of two minutes ends it",
        chat=ends("hang", "{"),
        wires=ALL,
        patches={"kilo_review.models.transport.SILENCE_SECONDS": SHORT_WAIT},
        says="the server sent no part of an answer for … s",
        then=STUCK,
        leaves=True,
    ),
    Row(
        ids=("E20", "SSE comments"),
        key="E20-pings",
        what="Nothing comes but signs of life",
        chat=lambda wire: [lambda _call: wire.streams(repeat(b": ping\n\n" if wire is OPENAI else b"\n"), pause=0.02)],
        patches={"kilo_review.models.transport.FIRST_BYTE_SECONDS": SHORT_WAIT},
        says="the server sent no part of an answer for … s",
        then=STUCK,
        leaves=True,
    ),
    Row(
        ids=("E20", "dripped"),
        key="E20-drip",
        what="It drips, letter by letter, and no line comes to its end",
        chat=lambda wire: [lambda _call: wire.streams(dripping(wire), pause=0.02)],
        patches={"kilo_review.models.transport.SILENCE_SECONDS": SHORT_WAIT},
        says="the server sent no part of an answer for … s",
        then=STUCK,
        leaves=True,
    ),
    Row(
        ids=("E20",),
        key="E20-limit",
        what="The time limit passes while the model is at work",
        chat=ends("hang", "{"),
        arguments=("--max-seconds", "0.6"),
        says="the time limit of 0.6 s passed while the model was at work",
        then="Raise it with --max-seconds, or use a smaller model",
        leaves=True,
    ),
    Row(
        ids=("E20",),
        key="E20-next",
        what="The next answer would not come before the time limit: it is not asked for",
        outcome="incomplete",
        chat=lambda wire: [lambda _call: wire.streams([wire.says(NOTHING_FOUND), wire.ends()], pause=1.0)],
        change=many_files,
        knobs=lambda server: server.models.insert(0, Small(OLLAMA.model, parameters="num_ctx 4096")),
        wires=(OLLAMA,),
        arguments=("--max-seconds", "3.6"),
        says="it takes about … s, and … s of the time limit of 3.6 s were left",
        then="Raise it with --max-seconds, or use a smaller model",
    ),
    Row(
        ids=("E25", "repetition loop", "ollama#15502"),
        key="E25",
        what="The model repeats itself without end, and again with another seed: the connection is closed early",
        chat=endless(lambda wire: repeat(wire.says(PASSAGE))),
        says=LOOPING[0],
        then=LOOPING[1],
        requests=2,
        waits=(0.0,),
        leaves=True,
    ),
    Row(
        ids=("E25", "repetition loop"),
        key="E25-within",
        what="What it repeats holds repetitions",
        chat=endless(lambda wire: cycle(map(wire.says, [PASSAGE + LONGER] * 2 + [LONGER + PASSAGE] * 2))),
        says=LOOPING[0],
        then=LOOPING[1],
        requests=2,
        waits=(0.0,),
        leaves=True,
    ),
    Row(
        ids=("E25",),
        key="E25-thinks",
        what="It repeats itself while it thinks",
        chat=endless(lambda wire: repeat(wire.thinks(PASSAGE))),
        says=LOOPING[0],
        then=LOOPING[1],
        requests=2,
        waits=(0.0,),
        leaves=True,
    ),
    Row(
        ids=("E25", "endless whitespace", "ollama#18567", "ollama#15502"),
        key="E25-blank",
        what="It writes white space for ever, which a grammar permits between any two tokens",
        chat=endless(lambda wire: repeat(wire.says("\n   "))),
        says=LOOPING[0],
        then=LOOPING[1],
        requests=2,
        waits=(0.0,),
        leaves=True,
    ),
    Row(
        ids=("E25",),
        key="E25-silent",
        what="Ollama ends such an answer without a word",
        chat=ends("early", '{"findings": [', *["\n"] * 30),
        wires=(OLLAMA,),
        says="the answer of Ollama ended before its end",
        then=SILENT_END,
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E25",),
        key="E25-passes",
        what="It repeats itself once, and not with another seed",
        outcome="clean",
        chat=lambda wire: [lambda _call: wire.streams(repeat(wire.says(PASSAGE))), None],
        requests=2,
        waits=(0.0,),
        leaves=True,
    ),
    Row(
        ids=("E30", "half a multibyte character", "U+2028"),
        key="E30",
        what="The answer comes byte by byte, characters in halves; some look like line ends and are none",
        outcome="findings",
        knobs=lambda server: setattr(server, "piece", 1),
        chat=lambda _wire: [stranger],
        says="Die Länge ist 0: é, 漢字, 🎉,",
        requests=2,
    ),
    Row(
        ids=("E30",),
        key="E30-latin",
        what="Letters are not UTF-8: a line of Ollama is then no JSON",
        chat=lambda wire: latin(wire)[:1],
        wires=(OLLAMA,),
        says="Ollama sent something that is not JSON",
        then="Is the base URL right? It has no /v1",
        requests=2,
        waits=AGAIN,
    ),
    Row(
        ids=("E30",),
        key="E30-replaced",
        what="Letters are not UTF-8: on the other wire they are replaced, and the rest is read",
        outcome="findings",
        chat=latin,
        wires=(OPENAI, LMSTUDIO),
        says="A caf\ufffd divides by zero.",
        requests=2,
    ),
    Row(
        ids=("E31", "flooded"),
        key="E31",
        what="A line has no end; of a reply of a gigabyte hardly more than one megabyte is read",
        chat=endless(lambda _wire: repeat(b"x" * 65536, 16384)),
        wires=ALL,
        says="the server sent more than 1024 KiB for one answer, and was not listened to any longer",
        then=WHOSE_URL,
        leaves=True,
    ),
    Row(
        ids=("E31", "flooded"),
        key="E31-lines",
        what="The answer has no end, and does not repeat itself",
        chat=endless(blather),
        says="the server sent more than 1024 KiB for one answer, and was not listened to any longer",
        then=WHOSE_URL,
        leaves=True,
    ),
    Row(
        ids=("E31", "flooded"),
        key="E31-comments",
        what="Signs of life come as fast as they can",
        chat=endless(lambda wire: repeat((b":" if wire is OPENAI else b" ") * 65536 + b"\n")),
        says="the server sent more than 16384 KiB for one answer, and was not listened to any longer",
        then=WHOSE_URL,
        leaves=True,
    ),
    Row(
        ids=("E31", "flooded"),
        key="E31-error",
        what="An error has no end",
        chat=lambda _wire: [lambda _call: Response(500, TEXT, repeat(b"no " * 9000), is_stream=True)],
        says="the server sent more than 1024 KiB for one answer, and was not listened to any longer",
        then=WHOSE_URL,
        leaves=True,
    ),
    Row(
        ids=("E31",),
        key="E31-long",
        what="An error is as long as a book, and all of it would have to be made harmless",
        chat=lambda _wire: [Response(500, TEXT, [b"the model has a problem", "\x1b\u202e\n".encode() * 1_500_000])],
        says="{server} at {url} failed (500: the model has a problem…",
        then="Its log may tell more",
    ),
    Row(
        ids=("E31", "flooded"),
        key="E31-list",
        what="The list of models has no end",
        instead=lambda wire: {
            path: [lambda _call: Response(200, pieces=(b'{"x%d": 1, ' % n * 999 for n in count()), is_stream=True)]
            for path in {"ollama": ("/api/version", "/api/tags"), "openai": ("/v1/models",)}[wire.provider]
        },
        says="the server sent more than 16384 KiB for one answer, and was not listened to any longer",
        then=WHOSE_URL,
        requests=0,
        leaves=True,
    ),
    Row(
        ids=("gzip bomb",),
        key="gzip",
        what="The answer is compressed, which was not asked for: it is not unpacked",
        chat=lambda wire: [Response(200, wire.kind, [b"\x1f\x8b" * 99], headers=(("Content-Encoding", "gzip"),))],
        wires=ALL,
        says="{url} answers in the encoding 'gzip', which was not asked for",
        then="Is a proxy or a login page in between? Name the server's own address with --base-url",
    ),
    Row(
        ids=("wrong content type",),
        key="type",
        what="The answer is right, and called plain text",
        outcome="clean",
        chat=as_text,
    ),
    Row(
        ids=("wrong content type", "captive portal", "E2"),
        key="type-page",
        what="A web page comes where an answer should",
        chat=lambda _wire: [Response(200, "text/html; charset=utf-8", [b"<html>Sign in</html>"])],
        says="something answers at {url} with a web page",
        then="Is the base URL right, and nothing in between?",
    ),
    Row(
        ids=("wrong content type", "captive portal"),
        key="type-hidden",
        what="A web page comes, and is called an answer",
        chat=lambda wire: [Response(200, wire.kind, [b"<!DOCTYPE html>\n<html>Sign in</html>"])],
        says="something answers at {url}, but not as Ollama does (…)",
        then="Is the base URL right? Ollama: http://127.0.0.1:11434, without /v1",
        unlike={
            "openai": (
                "something answers at {url}, but not as a model server does (…)",
                "Is the base URL right? {url} was asked; most servers have this interface below /v1",
            )
        },
    ),
    Row(
        ids=("200 with an error body",),
        key="200",
        what="An error comes as a success",
        chat=lambda _wire: [as_json({"error": "something went wrong"})],
        wires=ALL,
        says="{server} at {url} failed (something went wrong)",
        then="Its log may tell more",
    ),
    Row(
        ids=("CRLF", "SSE comments"),
        key="CRLF",
        what="Lines end as on Windows; signs of life and unknown events stand between them",
        outcome="findings",
        chat=with_comments,
        wires=(OPENAI, LMSTUDIO),
        requests=2,
    ),
    Row(
        ids=("NaN", "a number as a string"),
        key="counts",
        what="Counts and times are no numbers, or cannot be true",
        outcome="clean",
        chat=lambda wire: [
            wire.sends(wire.says(NOTHING_FOUND), wire.ends(prompt="400", answer=float("nan"), seconds=10**400))
        ],
    ),
)


@pytest.mark.parametrize(("row", "wire"), cases(ROWS))
def test_it_is_as_the_table_says(
    row: Row, wire: Wire, repo: Repo, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    row.change(repo)
    told, server = run(row, wire, program, monkeypatch)
    check(row, wire, told, server)


@pytest.mark.parametrize(
    ("wire", "facts"),
    [
        (OLLAMA, {"/api/ps": {"models": [{"name": OLLAMA.model, "context_length": 10**300}]}}),
        (OPENAI, {"/v1/models": {"data": [{"id": OPENAI.model, "max_model_len": 10**300}]}, "/props": {}}),
    ],
    ids=["ollama", "openai"],
)
def test_a_window_that_cannot_be_true_is_not_believed(
    wire: Wire, facts: dict[str, Any], repo: Repo, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row(
        ids=(),
        key="",
        what="",
        outcome="clean",
        instead=lambda _wire: {path: [as_json(told)] for path, told in facts.items()},
    )
    row.change(repo)
    told, server = run(row, wire, program, monkeypatch)
    check(row, wire, told, server)
    assert told.outcome.model
    assert told.outcome.model.window == DEFAULT_WINDOW
