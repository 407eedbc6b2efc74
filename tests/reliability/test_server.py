"""The table of failures, first part: nobody is there, somebody else is, or the server cannot."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from kilo_review.models import retry, transport
from tests.reliability.rows import ALL, TOKEN, Row, cases, check, mended, run
from tests.support.fakes.base import Response
from tests.support.fakes.lmstudio import TEXTS, LMStudio, plain
from tests.support.fakes.lmstudio import Model as Loaded
from tests.support.fakes.ollama import CLOUD, Model, Ollama
from tests.support.fakes.openai import VLLM, LlamaServer
from tests.support.fakes.wires import LMSTUDIO, OLLAMA, OPENAI, Wire, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo
    from tests.reliability.rows import Plan
    from tests.support.here import Program

HANGS = Response(bare=True, ending="hang")
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
CRASHED = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error"
NOBODY = "http://127.0.0.1:9"
FIRST = {
    "ollama": ("/api/version",),
    "openai": ("/v1/models",),
    "lmstudio": ("/api/v1/models", "/api/v0/models", "/v1/models"),
}
"""What is asked before anything of the change is sent."""
STARTS = {
    "openai": (
        "cannot connect to {origin} (connection refused)",
        "Start it, for example: llama-server -m MODEL.gguf, or give its address with --base-url",
    ),
    "lmstudio": (
        "LM Studio: cannot connect to {origin} (connection refused)",
        "Start its server (Developer tab, or `lms server start`), or give its address with --base-url",
    ),
}
WRONG = "something answers at {url}, but not as Ollama does (…)"
ITS_URL = "Is the base URL right? Ollama: http://127.0.0.1:11434, without /v1"
ANY_URL = "Is the base URL right? {url} was asked; most servers have this interface below /v1"
NOT_LISTED = (
    "something answers at {url}, but not with a list of models (…)",
    "Is the base URL right? It usually ends in /v1",
)
NOT_AS = ("something answers at {url}, but not as a model server does (…)", ANY_URL)
NOT_LMS = (
    "something answers at {url}, but not as LM Studio does (…)",
    "Is the base URL right? LM Studio: http://127.0.0.1:1234/v1",
)
CLOUDY = "Choose a local model (`ollama list` shows sizes; a cloud model has none)"


def first(answer: Response) -> Callable[[Wire], dict[str, Plan]]:
    """The first questions to each server are answered so."""
    return lambda wire: {path: [answer] for path in FIRST[wire.provider]}


def nothing_loaded(server: LMStudio) -> None:
    server.models, server.jit = [Loaded(LMSTUDIO.model)], False


def two_models() -> LMStudio:
    return LMStudio(models=[Loaded(LMSTUDIO.model, loaded_window=8192), Loaded("qwen3-coder-30b")])


def moved(code: int) -> Response:
    return Response(code, headers=(("Location", "http://192.0.2.1/"),))


ROWS = (
    Row(
        ids=("E1",),
        key="E1",
        what="No server is running, or it has another port",
        is_gone=True,
        wires=ALL,
        says="Ollama: cannot connect to {origin} (connection refused)",
        then="Start it with `ollama serve` (or its app), or give its address with --base-url",
        unlike=STARTS,
        requests=0,
    ),
    Row(
        ids=("E1",),
        key="E1-none",
        what="No server is named, and none listens where servers usually do",
        is_gone=True,
        arguments=("--provider", "auto", "--base-url", ""),
        patches={
            "kilo_review.models.auto.candidates": lambda _request: [("ollama", NOBODY), ("lmstudio", NOBODY)],
            "kilo_review.models.embedded.is_installed": lambda: False,
        },
        wires=(OLLAMA,),
        says=f"no model server is running on this machine (tried {NOBODY}, {NOBODY})",
        then="Start one (`ollama serve`, or `lms server start` for LM Studio), or install the embedded engine",
        requests=0,
    ),
    Row(
        ids=("E1",),
        key="E1-openai",
        what="The same, and a server of the OpenAI kind is wanted",
        is_gone=True,
        arguments=("--base-url", ""),
        patches={"kilo_review.models.openai.DEFAULT_URLS": (NOBODY,)},
        wires=(OPENAI,),
        says=f"no OpenAI-compatible server answers at {NOBODY}",
        then="Start it, for example: llama-server -m MODEL.gguf, or give its address with --base-url",
        requests=0,
    ),
    Row(
        ids=("E2",),
        key="E2-other",
        what="Another program, or another kind of model server, listens at the address",
        makes={"ollama": LlamaServer, "openai": lambda: Ollama(has_facade=False), "lmstudio": VLLM},
        wires=ALL,
        says=WRONG,
        then=ITS_URL,
        unlike={"openai": NOT_AS, "lmstudio": NOT_LMS},
        requests=0,
    ),
    Row(
        ids=("E2",),
        key="E2-lmstudio",
        what="LM Studio answers unknown addresses with 200 and an error",
        makes={"ollama": LMStudio, "openai": lambda: LMStudio(has_openai_listing=False)},
        says=WRONG,
        then=ITS_URL,
        unlike={"openai": NOT_LISTED},
        requests=0,
    ),
    Row(
        ids=("E2",),
        key="E2-host",
        what="Ollama refuses the name by which it is called (403)",
        knobs=lambda server: setattr(server, "refuses_host", True),
        wires=(OLLAMA,),
        says="Ollama refuses the host name in {url}",
        then="Use 127.0.0.1 in the base URL",
        requests=0,
    ),
    Row(
        ids=("E2",),
        key="E2-tls",
        what="The base URL says https, and the server does not speak it",
        arguments=("--base-url", "https://127.0.0.1:{port}"),
        says="no TLS connection to https://127.0.0.1:… (…)",
        then="Does the server speak https?",
        requests=0,
    ),
    Row(
        ids=("E3", "captive portal"),
        key="E3-page",
        what="The base URL is that of a proxy or of a login page: a web page comes back",
        instead=first(Response(200, "text/html", [PAGE])),
        wires=ALL,
        says=WRONG,
        then=ITS_URL,
        unlike={"openai": NOT_LISTED, "lmstudio": NOT_LMS},
        requests=0,
    ),
    Row(
        ids=("E3",),
        key="E3-502",
        what="A proxy in between cannot reach the server (502)",
        instead=first(Response(502, "text/html", [PAGE])),
        says=WRONG,
        then=ITS_URL,
        unlike={"openai": NOT_AS},
        requests=0,
    ),
    Row(
        ids=("E3",),
        key="E3-variables",
        what="The environment names a proxy: it is not asked",
        outcome="clean",
        environment=dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9"),
        wires=ALL,
    ),
    Row(
        ids=("E4",),
        key="E4",
        what="`localhost` may be ::1, where nobody listens: 127.0.0.1 is tried first",
        outcome="clean",
        arguments=("--base-url", "http://localhost:{port}"),
        wires=ALL,
    ),
    Row(
        ids=("E5",),
        key="E5",
        what="The server redirects to another address",
        instead=first(moved(307)),
        wires=ALL,
        says="{url} redirects to 'http://192.0.2.1/', which was not followed",
        then="Configure the server's own local address",
        requests=0,
    ),
    Row(
        ids=("E5",),
        key="E5-question",
        what="It redirects the question itself",
        chat=lambda _wire: [moved(302)],
        says="{url} redirects to 'http://192.0.2.1/', which was not followed",
        then="Configure the server's own local address",
    ),
    Row(
        ids=("E6",),
        key="E6-address",
        what="The address is that of another machine",
        arguments=("--base-url", "http://192.0.2.1:11434"),
        says="192.0.2.1 is not this machine; nothing was sent",
        then="Only a server on a loopback address (127.0.0.1, ::1) is asked, or a host that you allow by name in your "
        "own settings (allow_hosts)",
        requests=0,
    ),
    Row(
        ids=("E6",),
        key="E6-name",
        what="The model's name is that of a cloud model",
        arguments=("--model", "gpt-oss:120b-cloud"),
        makes={"openai": lambda: LlamaServer(model="gpt-oss:120b-cloud")},
        says="the model 'gpt-oss:120b-cloud' runs on ollama.com: your code would leave this machine; nothing of it was sent",
        then=CLOUDY,
        requests=0,
    ),
    Row(
        ids=("E6",),
        key="E6-stub",
        what="A cloud model hides behind a local name",
        knobs=lambda server: server.models.append(Model("mine:latest", remote_host=CLOUD)),
        makes={"openai": Ollama},
        arguments=("--model", "mine:latest"),
        says=f"the model 'mine:latest' runs on {CLOUD}: your code would leave this machine; nothing of it was sent",
        then=CLOUDY,
        requests=0,
    ),
    Row(
        ids=("E6",),
        key="E6-unknown",
        what="Ollama, asked as any server of the OpenAI kind, does not tell where the model runs",
        instead=lambda _wire: {"/api/show": [Response(500)]},
        makes={"openai": Ollama},
        wires=(OPENAI,),
        says="Ollama at {origin} does not tell where 'qwen2.5-coder:7b' runs; nothing was sent",
        then="Use --provider ollama, which asks it in its own way",
        requests=0,
    ),
    Row(
        ids=("E6",),
        key="E6-answer",
        what="Only the answer tells that another machine has given it",
        chat=lambda wire: [wire.sends(wire.says("{", remote_host=CLOUD), wire.ends())],
        wires=(OLLAMA,),
        says=f"the model '{{model}}' runs on {CLOUD}: the request has left this machine",
        then=CLOUDY,
    ),
    Row(
        ids=("ollama#12436",),
        key="E6-switch",
        what="Ollama's switch against cloud models refuses one",
        chat=lambda wire: [text_of(wire, 403, "ollama cloud is disabled: remote inference is unavailable")],
        wires=(OLLAMA,),
        says="'{model}' is a cloud model (ollama cloud is disabled: remote inference is unavailable)",
        then="Choose a model that runs on this machine",
    ),
    Row(
        ids=("E7",),
        key="E7",
        what="The model is not installed, or its name is misspelt",
        arguments=("--model", "qwen2.5-codr:7b"),
        wires=ALL,
        says="Ollama at {url} has no model 'qwen2.5-codr:7b'",
        then="Did you mean {model}? It has: {model}. Get it: ollama pull qwen2.5-codr:7b",
        unlike={
            "openai": ("the server at {url} has no model 'qwen2.5-codr:7b'", "Did you mean {model}? It has: {model}."),
            "lmstudio": (
                "LM Studio at {url} has no model 'qwen2.5-codr:7b'",
                "Did you mean {model}? It has: {model}. Get it: lms get qwen2.5-codr:7b",
            ),
        },
        requests=0,
    ),
    Row(
        ids=("E7",),
        key="E7-none",
        what="No model is installed, or none that answers questions",
        knobs=lambda server: server.models.clear(),
        wires=(OLLAMA, LMSTUDIO),
        says="Ollama at {url} has no model that can answer",
        then="Get one with: ollama pull NAME (docs/models.md says which)",
        unlike={
            "lmstudio": (
                "LM Studio at {url} has no model that can answer",
                "Get one with: lms get NAME (docs/models.md says which)",
            )
        },
        requests=0,
    ),
    Row(
        ids=("E7",),
        key="E7-gone",
        what="The model was removed in the meantime",
        chat=lambda wire: [text_of(wire, 404, f"model '{wire.model}' not found")],
        says="Ollama at {url} has no model '{model}'",
        then="Get it: ollama pull {model}",
        unlike={"openai": ("the server at {url} has no model '{model}'", "Its list of models tells what it has")},
    ),
    Row(
        ids=("E7",),
        key="E7-other",
        what="LM Studio answers with another model than the one that was asked for",
        knobs=lambda server: setattr(server, "loaded_answers", True),
        makes={"lmstudio": two_models},
        arguments=("--model", "qwen3-coder-30b"),
        wires=(LMSTUDIO,),
        says="LM Studio answered with '{model}' instead of 'qwen3-coder-30b'",
        then="Load it: lms load qwen3-coder-30b",
    ),
    Row(
        ids=("E8",),
        key="E8",
        what="LM Studio has no model loaded and may not load one by itself",
        knobs=nothing_loaded,
        wires=(LMSTUDIO,),
        says="LM Studio has no model loaded",
        then="Load one: lms load NAME (lms ls shows names), or switch on just-in-time loading",
    ),
    Row(
        ids=("E9",),
        key="E9",
        what="The server wants a token, or another one; it may repeat the one that it got, which is never printed",
        instead=first(Response(401, pieces=[b'{"error": "Malformed API token provided: %s"}' % TOKEN.encode()])),
        wires=ALL,
        says="{server} at {url} wants a token",
        then="Set KILO_REVIEW_API_KEY and name the server with --base-url (LM Studio: LM_API_TOKEN is enough)",
        requests=0,
    ),
    Row(
        ids=("E10", "ollama#8006", "ollama#9016"),
        key="E10",
        what="The model takes longer to load than anybody waits: the first piece of an answer is waited for ten minutes, "
        "and nobody asks again, which would begin the load anew",
        chat=lambda _wire: [HANGS],
        patches={"kilo_review.models.transport.FIRST_BYTE_SECONDS": 0.6},
        says="the server sent no part of an answer for … s",
        then="Is it still loading, or stuck? Its log tells; then try again",
        leaves=True,
    ),
    Row(
        ids=("E10",),
        key="E10-says-so",
        what="llama-server says that it is still loading",
        knobs=lambda server: setattr(server, "loading", True),
        wires=(OPENAI,),
        says="the server is busy (Loading model)",
        then="Try again in a moment",
        requests=0,
    ),
    Row(
        ids=("E10",),
        key="E10-gives-up",
        what="Ollama itself gives up: loading takes too long, or a part of it is missing",
        chat=lambda wire: [text_of(wire, 500, "timed out waiting for llama-server to start - progress 0.70")],
        wires=(OLLAMA,),
        says="Ollama at {url} failed (500: timed out waiting for llama-server to start - progress 0.70)",
        then="Its log may tell more",
    ),
    Row(
        ids=("E11",),
        key="E11",
        what="The model is slow",
        outcome="clean",
        chat=lambda wire: [wire.sends(wire.says('{"findings": []}'), wire.ends(answer=20, seconds=10))],
        says="{model} is slow here: 2.0 tokens a second",
        then="A smaller model would answer sooner (docs/models.md)",
    ),
    Row(
        ids=("E11",),
        key="E11-cpu",
        what="The model is slow, since a part of it does not fit the GPU",
        outcome="clean",
        knobs=lambda server: setattr(server.models[0], "size_vram", server.models[0].size // 2),
        chat=lambda wire: [wire.sends(wire.says('{"findings": []}'), wire.ends(answer=20, seconds=10))],
        instead=lambda _wire: {
            "/api/ps": [Response(pieces=[b'{"models": [{"name": "qwen2.5-coder:7b", "size": 8, "size_vram": 2}]}'])]
        },
        wires=(OLLAMA,),
        says="{model} is slow here: 2.0 tokens a second, 75 % of the model does not fit the GPU and runs on the CPU",
        then="A smaller model would answer sooner (docs/models.md)",
    ),
    Row(
        ids=("E12",),
        key="E12",
        what="The server's queue is full, and stays so: it is asked four times",
        chat=lambda wire: [text_of(wire, 503, BUSY)],
        says="{server} is busy (server busy, please try again. maximum pending requests exceeded)",
        then="Try again in a moment",
        requests=4,
        waits=retry.BUSY_SECONDS,
    ),
    Row(
        ids=("E12",),
        key="E12-limit",
        what="It is full, and another try would come after the time limit",
        chat=lambda wire: [text_of(wire, 503, BUSY)],
        patches={"kilo_review.models.retry.BUSY_SECONDS": (90.0,)},
        arguments=("--max-seconds", "30"),
        says="{server} is busy (server busy, please try again. maximum pending requests exceeded)",
        then="Try again in a moment",
    ),
    Row(
        ids=("E12",),
        key="E12-passes",
        what="The queue is full for a moment",
        outcome="clean",
        chat=lambda wire: [text_of(wire, 503, BUSY), text_of(wire, 429, "Too many requests"), None],
        requests=3,
        waits=retry.BUSY_SECONDS[:2],
    ),
    Row(
        ids=("E13",),
        key="E13",
        what="The model does not fit into memory",
        chat=lambda wire: [text_of(wire, 500, "llama-server reported out-of-memory during startup: failed to fit")],
        wires=ALL,
        says="'{model}' does not fit into memory (llama-server reported out-of-memory during startup: failed to fit)",
        then="Use a smaller model or quantisation, or a smaller window (--option num_ctx=4096)",
    ),
    Row(
        ids=("E14",),
        key="E14",
        what="The model's process crashes, and again when it is asked once more",
        chat=lambda wire: [text_of(wire, 500, CRASHED)],
        says="{server} crashed while running '{model}' (model runner has unexpectedly stopped…)",
        then="Its log tells why; often it is memory",
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
    Row(
        ids=("E14",),
        key="E14-stream",
        what="It crashes in the middle of its answers",
        chat=lambda wire: [wire.sends(wire.says('{"findings": []}'), wire.fails(CRASHED))],
        says="{server} crashed while running '{model}' (model runner has unexpectedly stopped…)",
        then="Its log tells why; often it is memory",
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
    Row(
        ids=("E14",),
        key="E14-passes",
        what="It crashes once",
        outcome="clean",
        chat=lambda wire: [text_of(wire, 500, CRASHED), None],
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
    Row(
        ids=("E14",),
        key="E14-reset",
        what="The connection is reset, and again",
        chat=lambda wire: [wire.sends(wire.says("{"), ending="reset")],
        says="the answer of {origin} broke off (…)",
        then="The server's log tells why",
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
    Row(
        ids=("E15",),
        key="E15",
        what="LM Studio puts the model out of memory in the middle of the answer, twice",
        chat=lambda wire: [wire.sends(wire.says("{"), wire.fails(TEXTS["unloaded"]))],
        wires=(LMSTUDIO,),
        says="LM Studio took '{model}' out of memory in the middle of the request (Model unloaded by user or API request.)",
        then="Keep it loaded, or let no other program load another model meanwhile",
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
    Row(
        ids=("E15",),
        key="E15-passes",
        what="It does so once, and loads it again",
        outcome="clean",
        chat=lambda _wire: [plain(400, TEXTS["is unloaded"]), None],
        wires=(LMSTUDIO,),
        requests=2,
        waits=(retry.RESTART_SECONDS,),
    ),
)


@pytest.mark.parametrize(("row", "wire"), cases(ROWS))
def test_it_is_as_the_table_says(
    row: Row, wire: Wire, repo: Repo, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    row.change(repo)
    told, server = run(row, wire, program, monkeypatch)
    check(row, wire, told, server)


@pytest.mark.parametrize(("row", "wire"), cases(row for row in ROWS if row.outcome == "not_reviewed"))
def test_a_commit_is_not_stopped(
    row: Row, wire: Wire, repo: Repo, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    row.change(repo)
    told, _ = run(row, wire, program, monkeypatch, "hook", "pre-commit")
    assert told.code == 0
    assert "not reviewed: " in told.text
    assert "(the commit goes on" in told.text


def test_a_server_that_is_silent_about_tls_costs_no_more_than_the_time_limit(
    repo: Repo, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 60.0)
    mended(repo)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        told = program("--provider", "ollama", "--base-url", url, "--max-seconds", "0.5")
    assert (told.code, told.outcome.word) == (3, "not_reviewed")
    assert f"no TLS connection to {url}" in told.text
