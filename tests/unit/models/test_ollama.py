"""Ollama's native wire, in the words of its generations before and after 0.30."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import (
    BrokenStreamError,
    CrashedError,
    ModelError,
    ModelNotFoundError,
    NotLocalError,
    PromptTooLongError,
    SchemaRejectedError,
    ServerBusyError,
    ServerFailedError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.models.choose import ALREADY_LOADED
from kilo_review.prompts import REPLY_SCHEMA
from tests.support.fakes.base import NOTHING_FOUND, Decoy, Ending, Failure, as_ndjson
from tests.support.fakes.clients import (
    PROXY_VARIABLES,
    QUESTION,
    ask,
    connected,
    error_of,
    has_next_step,
    info,
    leaked_sockets,
)
from tests.support.fakes.ollama import CLOUD, Model, Ollama, error, nested_overflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.outcome import Egress
    from tests.conftest import Repo, Runner

CHAT = "/api/chat"
FACADE = "/v1/chat/completions"
MODELFILE = 'num_ctx                        6144\nstop                           "<|im_end|>"\n'


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama() as fake:
        yield fake


def by(server: Ollama) -> tuple[str, ...]:
    """Options that make the program ask this server."""
    return ("--provider", "ollama", "--base-url", server.url)


def stage_many(repo: Repo, files: int = 6) -> None:
    """A change that needs several requests."""
    for number in range(files):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(120)))


# The request


def test_the_request_is_exactly_this(server: Ollama) -> None:
    ask("ollama", server.url)
    assert server.asked(CHAT) == [
        {
            "model": "qwen2.5-coder:7b",
            "messages": [{"role": message.role, "content": message.content} for message in QUESTION],
            "stream": True,
            "truncate": False,
            "think": False,
            "keep_alive": "10m",
            "format": REPLY_SCHEMA,
            "options": {"num_ctx": 8192, "num_predict": 1024, "temperature": 0, "seed": 7},
        }
    ]


def test_without_a_schema_no_format_is_asked_for(server: Ollama) -> None:
    with connected("ollama", server.url) as model:
        model.ask(QUESTION, None, Deadline())
    (body,) = server.asked(CHAT)
    assert "format" not in body


@pytest.mark.parametrize("name", ["gpt-oss:20b", "hf.co/unsloth/GPT-OSS-20b-GGUF:Q4_K_M"])
def test_gpt_oss_is_asked_to_think_little_since_it_ignores_booleans(server: Ollama, name: str) -> None:
    server.models = [Model(name, capabilities=("completion", "thinking"))]
    reply = ask("ollama", server.url)
    (body,) = server.asked(CHAT)
    assert body["think"] == "low"
    assert (reply.text, reply.reasoning) == (NOTHING_FOUND, server.thinking)


def test_a_thinking_model_is_asked_not_to_think(server: Ollama) -> None:
    server.models = [Model("qwen3.6:27b", capabilities=("completion", "thinking"))]
    assert ask("ollama", server.url).reasoning == ""


@pytest.mark.parametrize(
    ("option", "beside", "inside"),
    [
        ({"keep_alive": "1h"}, {"keep_alive": "1h"}, {}),
        ({"keep_alive": -1}, {"keep_alive": -1}, {}),
        ({"temperature": 0.4, "seed": 11}, {}, {"temperature": 0.4, "seed": 11}),
        ({"num_predict": 64, "num_ctx": 4096}, {}, {"num_predict": 64, "num_ctx": 4096}),
        ({"repeat_penalty": 1.1, "stop": ["###"]}, {}, {"repeat_penalty": 1.1, "stop": ["###"]}),
    ],
)
def test_options_reach_their_place(
    server: Ollama, option: dict[str, Any], beside: dict[str, Any], inside: dict[str, Any]
) -> None:
    ask("ollama", server.url, options=option)
    (body,) = server.asked(CHAT)
    assert {name: body[name] for name in beside} == beside
    assert {name: body["options"][name] for name in inside} == inside
    assert not {"keep_alive", "think"} & set(body["options"])


def test_thinking_can_be_asked_for(server: Ollama) -> None:
    server.models = [Model("qwen3.6:27b", capabilities=("completion", "thinking"))]
    reply = ask("ollama", server.url, options={"think": True})
    assert (reply.reasoning, reply.text) == (server.thinking, NOTHING_FOUND)
    assert server.asked(CHAT)[0]["think"] is True


def test_the_key_is_sent_as_bearer_where_one_is_set(server: Ollama) -> None:
    ask("ollama", server.url, api_key="sesame")
    assert {call.headers.get("authorization") for call in server.calls} == {"Bearer sesame"}
    server.calls.clear()
    ask("ollama", server.url)
    assert {call.headers.get("authorization") for call in server.calls} == {None}


def test_every_request_is_on_the_receipt(server: Ollama) -> None:
    egress: list[Egress] = []
    with connected("ollama", server.url, egress) as model:
        model.ask(QUESTION, REPLY_SCHEMA, Deadline())
    (receipt,) = egress
    assert (receipt.url, receipt.address, receipt.requests) == (server.url, "127.0.0.1", len(server.calls))
    assert receipt.bytes_sent > sum(len(call.raw) for call in server.calls)


def test_the_address_may_come_as_ollama_host(server: Ollama) -> None:
    with connected("ollama", "", ollama_host=server.url.removeprefix("http://")) as model:
        assert model.info.base_url == server.url


# The window


@pytest.mark.parametrize(
    ("model", "options", "window"),
    [
        pytest.param(Model("m"), {}, 8192, id="nothing is known"),
        pytest.param(Model("m", parameters=MODELFILE), {}, 6144, id="the Modelfile's"),
        pytest.param(Model("m", loaded_window=16384, parameters=MODELFILE), {}, 16384, id="the loaded one"),
        pytest.param(Model("m", loaded_window=2048), {}, 8192, id="a loaded one that is too small"),
        pytest.param(Model("m", loaded_window=16384), {"num_ctx": 12000}, 12000, id="the user's"),
        pytest.param(Model("m", trained_window=4096), {}, 4096, id="no more than was trained"),
        pytest.param(Model("m", trained_window=4096), {"num_ctx": 12000}, 4096, id="not even for the user"),
        pytest.param(Model("m", trained_window=131072), {}, 8192, id="what was trained is no reason"),
    ],
)
def test_the_window_that_is_believed_is_the_one_that_is_asked_for(
    server: Ollama, model: Model, options: dict[str, Any], window: int
) -> None:
    server.models = [model]
    assert info("ollama", server.url, options=options).window == window
    ask("ollama", server.url, options=options)
    assert server.asked(CHAT)[0]["options"]["num_ctx"] == window == model.loaded_window


def test_a_loaded_model_is_not_loaded_again(server: Ollama) -> None:
    server.models = [Model("qwen2.5-coder:7b", loaded_window=16384)]
    ask("ollama", server.url)
    assert server.loads == []


# Which model


def test_a_loaded_model_is_taken_before_better_ones(server: Ollama) -> None:
    server.models = [Model("qwen3-coder:30b"), Model("llama3.2:3b", loaded_window=8192)]
    found = info("ollama", server.url)
    assert (found.name, found.why) == ("llama3.2:3b", ALREADY_LOADED)


def test_of_unloaded_models_one_that_reads_code_is_taken(server: Ollama) -> None:
    server.models = [Model("llama3.3:70b", size=40 << 30), Model("qwen2.5-coder:7b"), Model("codellama:7b")]
    assert info("ollama", server.url).name == "qwen2.5-coder:7b"


@pytest.mark.parametrize("lists_capabilities", [True, False])
def test_an_embedding_model_is_never_chosen(server: Ollama, lists_capabilities: bool) -> None:
    server.lists_capabilities = lists_capabilities
    name = "gte-large:latest" if lists_capabilities else "nomic-embed-text:latest"
    server.models = [Model(name, capabilities=("embedding",), loaded_window=8192), Model("tiny:1b", size=1)]
    assert info("ollama", server.url).name == "tiny:1b"


@pytest.mark.parametrize("name", ["codellama", "CodeLlama", "codellama:latest"])
def test_latest_is_implied_and_case_does_not_count(server: Ollama, name: str) -> None:
    server.models = [Model("codellama:latest", loaded_window=5000)]
    found = info("ollama", server.url, name=name)
    assert (found.window, found.why) == (5000, "as configured")


def test_an_unknown_model_is_explained_with_the_nearest_name(server: Ollama) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        info("ollama", server.url, name="qwen2.5-codr:7b")
    assert "has no model 'qwen2.5-codr:7b'" in caught.value.message
    assert "Did you mean qwen2.5-coder:7b?" in caught.value.hint
    assert "ollama pull qwen2.5-codr:7b" in caught.value.hint
    assert server.asked(CHAT) == []


def test_a_server_without_models_says_how_to_get_one(server: Ollama) -> None:
    server.models = []
    problem = error_of("ollama", server.url)
    assert isinstance(problem, ModelNotFoundError)
    assert "ollama pull" in problem.hint


# Cloud models


@pytest.mark.parametrize(
    "name", ["kimi-k2:cloud", "gpt-oss:120b-cloud", "x:20b:cloud", "GPT-OSS:120B-CLOUD", " glm:cloud "]
)
def test_a_cloud_name_is_refused_before_anything_is_sent(server: Ollama, name: str) -> None:
    server.models = [Model(name)]
    assert isinstance(error_of("ollama", server.url, name=name), NotLocalError)
    assert server.calls == []


@pytest.mark.parametrize(
    "stub",
    [
        Model("mymodel:latest", remote_host=CLOUD, remote_model="gpt-oss:120b"),
        Model("mymodel:latest", remote_host=CLOUD),
        Model("mymodel:latest", remote_model="gpt-oss:120b"),
    ],
)
def test_a_cloud_model_behind_a_local_name_is_refused_before_it_is_asked(server: Ollama, stub: Model) -> None:
    server.models = [stub]
    problem = error_of("ollama", server.url, name="mymodel")
    assert isinstance(problem, NotLocalError)
    assert has_next_step(problem)
    assert server.asked(CHAT) == []


@pytest.mark.parametrize("stub", [Model("gpt-oss:120b-cloud"), Model("mine:latest", remote_host=CLOUD)])
def test_a_cloud_model_is_never_chosen(server: Ollama, stub: Model) -> None:
    server.models = [stub, Model("tiny:1b")]
    assert info("ollama", server.url).name == "tiny:1b"
    server.models = [stub]
    assert isinstance(error_of("ollama", server.url), ModelNotFoundError)
    assert server.asked(CHAT) == []


def test_a_line_from_another_machine_ends_the_answer_and_owns_up(server: Ollama) -> None:
    stub = Model("mymodel:latest")
    server.models = [stub]
    with connected("ollama", server.url, name="mymodel") as model:
        stub.remote_host = CLOUD
        with pytest.raises(NotLocalError) as caught:
            model.ask(QUESTION, REPLY_SCHEMA, Deadline())
    assert "ollama.com" in caught.value.message
    assert "nothing of it was sent" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["", "/v1"])
@pytest.mark.parametrize("provider", ["lmstudio", "openai", "auto"])
@pytest.mark.parametrize(
    "stub", [Model("gpt-oss:120b-cloud"), Model("mine:latest", remote_host=CLOUD, remote_model="gpt-oss:120b")]
)
def test_no_other_provider_reaches_a_cloud_model_either(
    server: Ollama, stub: Model, provider: str, suffix: str
) -> None:
    server.models = [stub]
    problem = error_of(provider, server.url + suffix, name=stub.name)
    assert has_next_step(problem)
    assert server.asked(CHAT) == server.asked(FACADE) == []


# The answer


@pytest.mark.parametrize("piece", [None, 1, 5, 1 << 20])
def test_the_answer_is_the_same_however_it_is_cut_up(server: Ollama, piece: int | None) -> None:
    server.answer = '{"findings": [], "note": "größer \u2028 \U0001f600"}'
    server.piece = piece
    reply = ask("ollama", server.url)
    assert (reply.text, reply.reasoning, reply.is_cut) == (server.answer, "", False)


def test_tokens_and_seconds_are_those_of_the_last_line(server: Ollama) -> None:
    reply = ask("ollama", server.url)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.answer_seconds) == (12, 4, 0.08)


def test_figures_that_are_zero_are_left_out_and_mean_zero(server: Ollama) -> None:
    server.answer = ""
    reply = ask("ollama", server.url)
    assert (reply.text, reply.completion_tokens, reply.answer_seconds) == ("", 0, 0.0)


@pytest.mark.parametrize("figure", [10**400, -1, True, "12", None], ids=lambda figure: str(figure)[:9])
def test_figures_that_can_be_none_mean_zero(server: Ollama, monkeypatch: pytest.MonkeyPatch, figure: object) -> None:
    names = ("prompt_eval_count", "eval_count", "eval_duration", "prompt_eval_duration")
    monkeypatch.setattr("tests.support.fakes.ollama._metrics", lambda *_: dict.fromkeys(names, figure))
    reply = ask("ollama", server.url)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.answer_seconds, reply.reading_seconds) == (0, 0, 0, 0)


@pytest.mark.parametrize("figure", [10**400, -1, True], ids=lambda figure: str(figure)[:9])
def test_a_window_or_a_size_that_can_be_none_is_not_known(server: Ollama, figure: int) -> None:
    server.models = [Model("m", size=figure, size_vram=figure, loaded_window=figure, trained_window=figure)]
    assert info("ollama", server.url).window == 8192


@pytest.mark.parametrize("text", ["9" * 5000, "0.9." + "9" * 5000], ids=["long", "long at its end"])
def test_a_version_or_a_parameter_of_any_length_is_read(server: Ollama, text: str) -> None:
    server.version = text
    server.models = [Model("m", parameters=f"num_ctx {text}\n")]
    assert ask("ollama", server.url).text == NOTHING_FOUND


def test_an_answer_at_its_token_limit_is_marked(server: Ollama) -> None:
    reply = ask("ollama", server.url, options={"num_predict": 2})
    assert (reply.text, reply.is_cut) == (NOTHING_FOUND[:8], True)


@pytest.mark.parametrize("ending", ["early", "cut", "reset"])
def test_a_stream_without_its_end_is_no_answer(server: Ollama, ending: Ending) -> None:
    server.ending = ending
    problem = error_of("ollama", server.url)
    assert isinstance(problem, BrokenStreamError)
    assert has_next_step(problem)


@pytest.mark.parametrize(
    ("size_vram", "told"), [(None, ""), (0, "wholly on the CPU"), (3_500_000_000, "25 % of the model")]
)
def test_a_model_outside_of_the_gpu_is_named_as_the_reason_for_slowness(
    server: Ollama, size_vram: int | None, told: str
) -> None:
    server.models = [Model("m:latest", size=4_683_087_332, size_vram=size_vram, loaded_window=8192)]
    with connected("ollama", server.url) as model:
        reason = model.slow_reason(Deadline())
    assert told in reason
    assert bool(told) == bool(reason)


# Failures

CRASHED = "crashed while running"
TOO_BIG = "does not fit into memory"
OVERFLOWN = "does not fit the window"
FAILURES: list[tuple[int, str, type[ModelError], str]] = [
    (400, "missing request body", ServerFailedError, "missing request body"),
    (400, "model is required", ServerFailedError, "model is required"),
    (400, '"llama3.2" does not support thinking', ServerFailedError, "does not support thinking"),
    (400, '"x" does not support chat', ServerFailedError, "does not support chat"),
    (400, "the prompt is longer than the context length currently available to the model", PromptTooLongError, OVERFLOWN),
    (400, nested_overflow(9001, 4096), PromptTooLongError, OVERFLOWN),
    (400, "the input length exceeds the context length", PromptTooLongError, OVERFLOWN),
    (400, '{"error":{"code":400,"message":"Failed to initialize samplers: failed to parse grammar"}}', SchemaRejectedError, "failed to parse grammar"),
    (500, 'invalid format: {}; expected "json" or a valid JSON Schema object', SchemaRejectedError, "invalid format"),
    (403, "ollama cloud is disabled: remote inference is unavailable", NotLocalError, "cloud model"),
    (404, "model 'x' not found", ModelNotFoundError, "no model"),
    (404, 'model "x" not found, try pulling it first', ModelNotFoundError, "ollama pull"),
    (499, "request canceled", ServerFailedError, "request canceled"),
    (500, "model requires more system memory (21.5 GiB) than is available (7.9 GiB)", ServerFailedError, TOO_BIG),
    (500, "llama-server reported out-of-memory during startup: failed to fit", ServerFailedError, TOO_BIG),
    (500, "llama runner process has terminated: cudaMalloc failed: out of memory", ServerFailedError, TOO_BIG),
    (500, "llama runner process has terminated: exit status 2", CrashedError, CRASHED),
    (500, "llama-server process has terminated: signal: segmentation fault", CrashedError, CRASHED),
    (500, "error starting llama-server: llama-server binary not found (checked: /usr/lib/ollama)", ServerFailedError, "binary not found"),
    (500, "timed out waiting for llama runner to start: context canceled", ServerFailedError, "timed out waiting"),
    (500, "timed out waiting for llama-server to start", ServerFailedError, "timed out waiting"),
    (500, "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error", CrashedError, CRASHED),
    (500, "an error was encountered while running the model: unexpected EOF", CrashedError, CRASHED),
    (502, "dial tcp: lookup ollama.com: no such host", ServerFailedError, "no such host"),
    (503, "server busy, please try again.  maximum pending requests exceeded", ServerBusyError, "is busy"),
]  # fmt: skip
UNSIGNED = Failure(401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x&key=y"})


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize(
    ("status", "text", "kind", "told"), [pytest.param(*case, id=f"{case[0]} {case[1][:40]}") for case in FAILURES]
)
def test_each_failure_is_told_with_its_cause_and_the_next_step(
    server: Ollama, status: int, text: str, kind: type[ModelError], told: str, in_stream: bool
) -> None:
    server.failure = error(status, text, in_stream=in_stream)
    problem = error_of("ollama", server.url)
    assert type(problem) is kind
    assert told in str(problem)
    assert has_next_step(problem)


@pytest.mark.parametrize(
    ("failure", "kind", "told"),
    [
        (UNSIGNED, NotLocalError, "cloud model"),
        (Failure(404, "404 page not found"), WrongServerError, "base URL"),
        (Failure(403, ""), WrongServerError, "127.0.0.1"),
        (Failure(500, "<html><body>nginx</body></html>"), WrongServerError, "base URL"),
        (Failure(200, "OK"), BrokenStreamError, "not JSON"),
    ],
)
def test_answers_in_other_forms_are_understood(
    server: Ollama, failure: Failure, kind: type[ModelError], told: str
) -> None:
    server.failure = failure
    problem = error_of("ollama", server.url)
    assert type(problem) is kind
    assert told in str(problem)
    assert has_next_step(problem)


def test_a_refused_host_name_leads_to_the_numeric_address(server: Ollama) -> None:
    server.refuses_host = True
    problem = error_of("ollama", server.url)
    assert isinstance(problem, WrongServerError)
    assert "refuses the host name" in problem.message
    assert "127.0.0.1" in problem.hint


@pytest.mark.parametrize(("overflow", "numbers"), [("0.30 native", (12, 8)), ("0.30 shift", None), ("0.24", None)])
def test_an_overflow_tells_its_numbers_where_the_server_does(
    server: Ollama, overflow: Any, numbers: tuple[int, int] | None
) -> None:
    server.overflow = overflow
    server.models = [Model("m", trained_window=8)]
    problem = error_of("ollama", server.url)
    assert isinstance(problem, PromptTooLongError)
    assert (problem.prompt_tokens, problem.window) == (numbers or (None, None))


def test_a_model_that_cannot_think_is_not_made_to(server: Ollama) -> None:
    problem = error_of("ollama", server.url, options={"think": True})
    assert isinstance(problem, ServerFailedError)
    assert "does not support thinking" in problem.message


def test_a_server_that_is_down_says_how_to_start_it() -> None:
    with Ollama() as gone:
        url = gone.url
    problem = error_of("ollama", url)
    assert isinstance(problem, UnreachableError)
    assert "ollama serve" in problem.hint


@pytest.mark.parametrize("suffix", ["/v1", "/api"])
def test_a_base_url_with_a_path_too_many_is_explained(server: Ollama, suffix: str) -> None:
    problem = error_of("ollama", server.url + suffix)
    assert isinstance(problem, WrongServerError)
    assert "Is the base URL right?" in problem.hint


def test_a_slash_at_the_end_of_the_base_url_does_no_harm(server: Ollama) -> None:
    assert ask("ollama", server.url + "/").text == NOTHING_FOUND


@pytest.mark.parametrize("name", ["not-there", "mine"])
def test_a_failed_connect_leaves_no_socket_open(server: Ollama, name: str) -> None:
    server.models.append(Model("mine:latest", remote_host=CLOUD))
    assert leaked_sockets("ollama", server.url, name=name) == []


def test_no_proxy_of_the_environment_is_asked(server: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    with Decoy() as decoy:
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, decoy.url)
        assert ask("ollama", server.url).text == NOTHING_FOUND
    assert decoy.connections == 0


# The whole program


def test_a_finding_of_the_server_is_reported(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    server.answer = json.dumps({"findings": [division]})
    report = kilo(*by(server), "--format", "json").json()
    assert [finding["title"] for finding in report["findings"]] == ["Division by zero"]
    assert report["model"] == {
        "provider": "ollama",
        "name": "qwen2.5-coder:7b",
        "base_url": server.url,
        "window": 8192,
        "local": True,
    }
    (receipt,) = report["egress"]
    assert (receipt["url"], receipt["address"], receipt["requests"]) == (server.url, "127.0.0.1", len(server.calls))


def test_every_request_of_a_run_has_the_same_window_and_the_same_beginning(
    kilo: Runner, repo: Repo, server: Ollama
) -> None:
    stage_many(repo)
    report = kilo(*by(server), "--format", "json", "--option", "num_ctx=4096").json()
    bodies = server.asked(CHAT)
    assert report["usage"]["requests"] == len(bodies) > 1
    assert {body["options"]["num_ctx"] for body in bodies} == {4096}
    assert len({body["messages"][0]["content"] for body in bodies}) == 1
    assert server.loads == [("qwen2.5-coder:7b", 4096)]


@pytest.mark.parametrize("overflow", ["0.30 native", "0.30 shift", "0.24"])
def test_a_prompt_that_does_not_fit_is_halved_and_wholly_reviewed(
    kilo: Runner, repo: Repo, server: Ollama, overflow: Any
) -> None:
    stage_many(repo, 4)
    server.overflow = overflow
    server.room = 1600
    report = kilo(*by(server), "--format", "json").json()
    assert report["outcome"] == "clean"
    assert report["coverage"]["reviewed"] == 4
    assert {body["truncate"] for body in server.asked(CHAT)} == {False}


@pytest.mark.long
def test_a_repetition_loop_that_ends_in_silence_is_never_clean(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.ending = "early"
    server.answer = '{"findings": [' + "\n" * 30
    report = kilo(*by(server), "--format", "json").json()
    assert (report["exit_code"], report["outcome"]) == (3, "not_reviewed")


def test_a_cut_answer_keeps_what_is_complete_and_is_never_clean(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    server.answer = json.dumps({"findings": [division, division | {"title": "Another", "problem": "x" * 400}]})
    report = kilo(*by(server), "--format", "json", "--option", "num_predict=80").json()
    assert report["outcome"] == "incomplete"
    assert [finding["title"] for finding in report["findings"]] == ["Division by zero"]
    assert "cut off" in report["coverage"]["entries"][0]["reason"]


def test_a_cloud_model_gets_nothing_of_the_change(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.models = [Model("mymodel:latest", remote_host=CLOUD, remote_model="gpt-oss:120b")]
    done = kilo(*by(server), "--model", "mymodel")
    assert done.code == 3
    assert "ollama.com" in done.text
    assert [b"items" in call.raw for call in server.calls] == [False] * max(1, len(server.calls))


def test_a_server_that_rejects_the_format_is_asked_without_it(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.rejects_format = error(400, "Failed to initialize samplers: failed to parse grammar")
    report = kilo(*by(server), "--format", "json").json()
    assert report["outcome"] == "clean"
    assert ["format" in body for body in server.asked(CHAT)] == [True, False]


def test_options_of_the_command_line_reach_the_server(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    options = ("num_predict=512", "temperature=0.25", "keep_alive=1h", "num_ctx=6000", "top_k=20")
    assert kilo(*by(server), *(word for option in options for word in ("--option", option))).code == 0
    (body,) = server.asked(CHAT)
    assert body["keep_alive"] == "1h"
    assert body["options"] == {"num_predict": 512, "temperature": 0.25, "num_ctx": 6000, "top_k": 20, "seed": 7}


def test_ollama_host_says_where_the_program_asks(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    done = kilo("--provider", "ollama", env={"OLLAMA_HOST": server.url.removeprefix("http://")})
    assert done.code == 0
    assert len(server.asked(CHAT)) == 1


def test_the_program_asks_no_proxy(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    with Decoy() as decoy:
        assert kilo(*by(server), env=dict.fromkeys(PROXY_VARIABLES, decoy.url)).code == 0
    assert decoy.connections == 0
    assert len(server.asked(CHAT)) == 1


def test_a_call_of_a_tool_is_known_and_parts_are_read_as_a_text() -> None:
    call = {"function": {"name": "read_file", "arguments": {}}}
    with Ollama() as server:
        for message, told in (
            ({"content": "", "tool_calls": [call]}, ("", "read_file")),
            ({"content": [{"type": "text", "text": NOTHING_FOUND}]}, (NOTHING_FOUND, "")),
        ):
            server.instead["/api/chat"] = [as_ndjson([{"message": message, "done": True, "done_reason": "stop"}])]
            reply = ask("ollama", server.url)
            assert (reply.text, reply.tool) == told
