"""The OpenAI wire of llama-server, vLLM and LocalAI; and which server is which."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import (
    BrokenStreamError,
    ModelError,
    ModelNotFoundError,
    PromptTooLongError,
    SchemaRejectedError,
    ServerBusyError,
    ServerFailedError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.prompts import REPLY_SCHEMA
from tests.support.fakes.base import (
    NOTHING_FOUND,
    Call,
    Decoy,
    Ending,
    Failure,
    Response,
    as_json,
    event,
    prompt_tokens,
)
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
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.ollama import Ollama
from tests.support.fakes.openai import (
    CHAT,
    GRAMMAR_REFUSED,
    VLLM,
    CompletionServer,
    LlamaServer,
    llama_error,
    raw_stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilo_review.core.outcome import Egress
    from tests.conftest import Repo, Runner

    Maker = Callable[[], LlamaServer | VLLM]

TOKEN = "sk-Zebra42:hushhush"
GGUF = "qwen2.5-coder-7b-q4_k_m.gguf"
BOTH = pytest.mark.parametrize("make", [LlamaServer, VLLM])


@pytest.fixture
def llama() -> Iterator[LlamaServer]:
    with LlamaServer() as fake:
        yield fake


@pytest.fixture
def vllm() -> Iterator[VLLM]:
    with VLLM() as fake:
        yield fake


def by(server: CompletionServer) -> tuple[str, ...]:
    """Options that make the program ask this server."""
    return ("--provider", "openai", "--base-url", server.url)


# The request


def test_the_request_is_exactly_this(llama: LlamaServer) -> None:
    ask("openai", llama.url)
    assert llama.asked(CHAT) == [
        {
            "model": GGUF,
            "messages": [{"role": message.role, "content": message.content} for message in QUESTION],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "seed": 7,
            "max_tokens": 1024,
            "chat_template_kwargs": {"enable_thinking": False},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "review", "strict": True, "schema": REPLY_SCHEMA},
            },
        }
    ]


def test_vllm_is_asked_not_to_think_either(vllm: VLLM) -> None:
    ask("openai", vllm.url)
    (body,) = vllm.asked(CHAT)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert "ttl" not in body


def test_a_server_that_is_not_known_gets_no_field_that_it_may_refuse() -> None:
    with LMStudio() as server:
        ask("openai", server.url)
        assert set(server.asked(CHAT)[0]) == {
            *("model", "messages", "stream", "stream_options", "temperature", "seed", "max_tokens", "response_format"),
        }


@BOTH
@pytest.mark.parametrize(
    ("option", "sent"),
    [
        ({"num_predict": 64}, {"max_tokens": 64}),
        ({"temperature": 0.4, "seed": 11, "top_p": 0.9}, {"temperature": 0.4, "seed": 11, "top_p": 0.9}),
        ({"frequency_penalty": 0.5, "stop": ["###"]}, {"frequency_penalty": 0.5, "stop": ["###"]}),
    ],
)
def test_options_reach_the_wire_under_its_names(make: Maker, option: dict[str, Any], sent: dict[str, Any]) -> None:
    with make() as server:
        ask("openai", server.url, options=option)
        (body,) = server.asked(CHAT)
    assert {name: body[name] for name in sent} == sent
    assert not {"num_predict", "num_ctx", "keep_alive", "think", "options"} & set(body)


@BOTH
@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_base_url_may_or_may_not_end_in_v1(make: Maker, suffix: str) -> None:
    with make() as server:
        assert ask("openai", server.url + suffix).text == NOTHING_FOUND
        assert (server.paths[0], server.paths[-1]) == ("/v1/models", CHAT)


def test_a_router_is_asked_about_the_one_model_and_loads_it_not(llama: LlamaServer) -> None:
    """llama-server with several models has no window of its own, but one for each."""
    llama.model = "org/coder:Q4"

    def props(call: Call) -> Response:
        named = call.query == "model=org%2Fcoder%3AQ4&autoload=false"
        return as_json({"default_generation_settings": {"n_ctx": 5120 if named else 0}, "total_slots": 3})

    llama.instead["/props"] = [props]
    assert info("openai", llama.url).window == 5120


def test_localhost_is_the_numeric_address(llama: LlamaServer) -> None:
    egress: list[Egress] = []
    with connected("openai", llama.url.replace("127.0.0.1", "localhost"), egress) as model:
        assert model.ask(QUESTION, REPLY_SCHEMA, Deadline()).text == NOTHING_FOUND
    assert [row.address for row in egress] == ["127.0.0.1"]


def test_every_request_is_on_the_receipt(llama: LlamaServer) -> None:
    egress: list[Egress] = []
    with connected("openai", llama.url, egress) as model:
        model.ask(QUESTION, REPLY_SCHEMA, Deadline())
    (receipt,) = egress
    assert (receipt.url, receipt.address, receipt.requests) == (llama.url, "127.0.0.1", len(llama.calls))
    assert receipt.bytes_sent > sum(len(call.raw) for call in llama.calls)


# The window and the model


def test_llama_servers_window_is_that_of_one_slot(llama: LlamaServer) -> None:
    llama.window, llama.trained_window = 6000, 131072
    assert info("openai", llama.url).window == 6000
    assert info("openai", llama.url, options={"num_ctx": 4000}).window == 4000
    assert info("openai", llama.url, options={"num_ctx": 9000}).window == 6000


@pytest.mark.parametrize("has_meta", [True, False])
def test_a_server_without_props_has_the_window_that_its_user_names(llama: LlamaServer, has_meta: bool) -> None:
    llama.window, llama.has_meta = None, has_meta
    assert info("openai", llama.url).window == 8192
    assert info("openai", llama.url, options={"num_ctx": 4000}).window == 4000


def test_vllms_window_is_its_max_model_len(vllm: VLLM) -> None:
    vllm.window = 12345
    assert info("openai", vllm.url).window == 12345


def test_a_known_coder_is_chosen_and_a_configured_one_taken(vllm: VLLM) -> None:
    vllm.models = ["meta-llama/Llama-3.3-70B-Instruct", "Qwen/Qwen2.5-Coder-7B-Instruct", "BAAI/bge-m3"]
    assert info("openai", vllm.url).name == vllm.models[1]
    assert info("openai", vllm.url, name=vllm.models[0]).why == "as configured"


@BOTH
def test_an_unknown_model_is_explained_with_what_there_is(make: Maker) -> None:
    with make() as server:
        problem = error_of("openai", server.url, name="qwen2.5-coder-7b")
    assert isinstance(problem, ModelNotFoundError)
    assert "has no model 'qwen2.5-coder-7b'" in problem.message
    assert "It has: " in problem.hint
    assert "ollama" not in problem.hint


@pytest.mark.parametrize("name", ["kimi-k2:cloud", "gpt-oss:120b-cloud"])
def test_a_cloud_name_behind_a_local_gateway_is_not_asked(vllm: VLLM, name: str) -> None:
    vllm.models = [name]
    problem = error_of("openai", vllm.url)
    assert "runs on ollama.com" in problem.message
    assert vllm.asked(CHAT) == []


# The answer


@BOTH
@pytest.mark.parametrize("piece", [None, 1, 5, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_answer_is_the_same_however_it_is_cut_up(make: Maker, piece: int | None, newline: str) -> None:
    with make() as server:
        server.answer = '{"findings": [], "note": "größer \u2028 \U0001f600"}'
        server.reasoning = "Schöne Änderung."
        server.piece, server.newline, server.comments = piece, newline, 3
        reply = ask("openai", server.url)
    assert (reply.text, reply.reasoning, reply.is_cut) == (server.answer, server.reasoning, False)


def test_data_may_follow_its_colon_at_once_and_unknown_fields_are_skipped(llama: LlamaServer) -> None:
    choice = {"index": 0, "delta": {"content": "{}"}, "finish_reason": "stop"}
    said = json.dumps({"choices": [choice]})
    llama.failure = raw_stream(f"id: 7\nretry: 10\nevent: message\ndata:{said}\n\ndata:[DONE]\n\n")
    assert ask("openai", llama.url).text == "{}"


def test_the_cache_and_the_speed_are_those_of_llama_server(llama: LlamaServer) -> None:
    llama.cached = 7
    reply = ask("openai", llama.url)
    figures = (reply.prompt_tokens, reply.completion_tokens, reply.cached_prompt_tokens, reply.answer_seconds)
    assert figures == (12, 4, 7, 0.08)


@BOTH
@pytest.mark.parametrize("figure", [10**400, -1, True, "12", None], ids=lambda figure: str(figure)[:9])
def test_figures_that_can_be_none_mean_zero(make: Maker, figure: object) -> None:
    usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "prompt_tokens_details"), figure)
    timings = dict.fromkeys(("cache_n", "predicted_ms", "prompt_ms"), figure)
    choice = {"delta": {"content": "{}"}, "finish_reason": "stop"}
    with make() as server:
        server.failure = raw_stream(event({"choices": [choice], "usage": usage, "timings": timings}) + event("[DONE]"))
        reply = ask("openai", server.url)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.cached_prompt_tokens) == (0, 0, 0)
    assert (reply.answer_seconds, reply.reading_seconds) == (0, 0)


@BOTH
@pytest.mark.parametrize("figure", [10**400, -1, True], ids=lambda figure: str(figure)[:9])
def test_a_window_that_can_be_none_is_not_known(make: Maker, figure: int) -> None:
    with make() as server:
        server.window = figure
        assert info("openai", server.url).window == 8192


@BOTH
def test_an_answer_at_its_token_limit_is_marked(make: Maker) -> None:
    with make() as server:
        reply = ask("openai", server.url, options={"num_predict": 2})
    assert (reply.text, reply.is_cut) == (NOTHING_FOUND[:8], True)


@BOTH
@pytest.mark.parametrize("ending", ["early", "cut", "reset"])
def test_a_stream_without_its_end_is_no_answer(make: Maker, ending: Ending) -> None:
    with make() as server:
        server.ending, server.comments = ending, 1
        problem = error_of("openai", server.url)
    assert isinstance(problem, BrokenStreamError)
    assert has_next_step(problem)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing at all"),
        pytest.param(":\n\n:\n\n", id="nothing but signs of life"),
        pytest.param("data: [DONE]\n\n", id="done without a finish reason"),
        pytest.param('data: {"choices": [{"delta": {"content": "{\n\n', id="half an event"),
        pytest.param(event({"choices": [], "usage": {"prompt_tokens": 3}}), id="usage alone"),
        pytest.param(event({"choices": [{"delta": {"content": '{"findings": []}'}}]}), id="all but the end"),
        pytest.param(
            event({"choices": [{"delta": {"content": "{}"}, "finish_reason": ""}]}), id="an empty finish reason"
        ),
        pytest.param(event({"choices": [{"delta": {"content": "{}"}, "finish_reason": False}]}), id="no finish reason"),
    ],
)
def test_a_stream_that_is_no_answer_is_never_taken_for_one(llama: LlamaServer, said: str) -> None:
    llama.failure = raw_stream(said)
    assert isinstance(error_of("openai", llama.url), BrokenStreamError)


# Failures

OVERFLOW = "request (9001 tokens) exceeds the available context size (4096 tokens), try increasing it"
VLLM_OVERFLOW = VLLM(window=4096).overflow(1024, 9001)
FLAT_OVERFLOW = VLLM(window=4096, flat_errors=True).overflow(1024, 9001)
GRAMMAR_IN_VLLM = VLLM().error(400, "BadRequestError", "Invalid grammar specification: response_format is not valid")


def _failures() -> Iterator[tuple[str, Failure, type[ModelError], str]]:
    """A name, what the server says, the error, and what it must tell."""
    too_long = llama_error(400, "exceed_context_size_error", OVERFLOW, n_prompt_tokens=9001, n_ctx=4096)
    missing, crashed = (
        "The model `x` does not exist.",
        "EngineCore encountered an issue. See stack trace for the root cause.",
    )
    yield "llama overflow", too_long, PromptTooLongError, "does not fit the window"
    yield "vllm overflow", VLLM_OVERFLOW, PromptTooLongError, "does not fit the window"
    yield "old vllm overflow", FLAT_OVERFLOW, PromptTooLongError, "does not fit the window"
    rpc = {"error": {"code": 500, "message": f"rpc error: code = Internal desc = {OVERFLOW}", "type": ""}}
    yield "localai overflow", Failure(500, rpc), PromptTooLongError, "does not fit the window"
    yield "grammar", GRAMMAR_REFUSED, SchemaRejectedError, "failed to parse grammar"
    yield "vllm grammar", GRAMMAR_IN_VLLM, SchemaRejectedError, "response_format"
    yield "loading", llama_error(503, "unavailable_error", "Loading model"), ServerBusyError, "Loading model"
    yield "too many", llama_error(429, "rate_limit", "Too many requests"), ServerBusyError, "Too many requests"
    yield "missing", VLLM().error(404, "NotFoundError", missing), ModelNotFoundError, "no model"
    yield "old missing", VLLM(flat_errors=True).error(404, "NotFoundError", missing), ModelNotFoundError, "no model"
    yield "no token", Failure(401, {"error": "Unauthorized"}), ServerFailedError, "KILO_REVIEW_API_KEY"
    yield "wrong token", llama_error(401, "authentication_error", "Invalid API Key"), ServerFailedError, "wants a token"
    yield "route", llama_error(404, "not_found_error", "File Not Found"), WrongServerError, "base URL"
    yield "vllm route", Failure(404, {"detail": "Not Found"}), WrongServerError, "base URL"
    yield "forbidden", llama_error(403, "permission_error", "Not for you"), ServerFailedError, "Not for you"
    yield "unsupported", llama_error(501, "not_supported_error", "No slots here"), ServerFailedError, "No slots here"
    yield "server", llama_error(500, "server_error", "Invalid state"), ServerFailedError, "Invalid state"
    yield "engine", VLLM().error(500, "InternalServerError", crashed), ServerFailedError, "EngineCore"
    yield "memory", llama_error(500, "server_error", "CUDA error: out of memory"), ServerFailedError, "smaller model"
    yield "empty", Failure(500, ""), ServerFailedError, "no explanation"


CASES = list(_failures())


@pytest.mark.parametrize(("failure", "kind", "told"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_each_failure_is_told_with_its_cause_and_the_next_step(
    llama: LlamaServer, failure: Failure, kind: type[ModelError], told: str
) -> None:
    llama.failure = failure
    problem = error_of("openai", llama.url)
    assert type(problem) is kind
    assert told in str(problem)
    assert has_next_step(problem)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (llama_error(500, "server_error", "Compute error."), ServerFailedError),
        (llama_error(500, "server_error", "CUDA error: out of memory"), ServerFailedError),
        (VLLM_OVERFLOW, PromptTooLongError),
    ],
)
@BOTH
def test_a_failure_inside_the_stream_is_no_answer(make: Maker, failure: Failure, kind: type[ModelError]) -> None:
    with make() as server:
        server.failure = Failure(200, failure.body, in_stream=True)
        problem = error_of("openai", server.url)
    assert type(problem) is kind
    assert has_next_step(problem)


def test_a_failure_inside_the_stream_is_not_called_a_success(llama: LlamaServer) -> None:
    llama.failure = Failure(200, {"error": {"code": 500, "message": "Compute error."}}, in_stream=True)
    message = error_of("openai", llama.url).message
    assert "Compute error." in message
    assert "200" not in message


@pytest.mark.parametrize("failure", [case[1] for case in CASES if case[2] is PromptTooLongError])
def test_an_overflow_tells_its_numbers(llama: LlamaServer, failure: Failure) -> None:
    llama.failure = failure
    problem = error_of("openai", llama.url)
    assert isinstance(problem, PromptTooLongError)
    assert (problem.prompt_tokens, problem.window) == (9001, 4096)


def test_an_overflow_by_a_number_of_5000_digits_is_told_without_it(llama: LlamaServer) -> None:
    text = OVERFLOW.replace("9001", "9" * 5000)
    llama.failure = llama_error(400, "exceed_context_size_error", text)
    problem = error_of("openai", llama.url)
    assert isinstance(problem, PromptTooLongError)
    assert (problem.prompt_tokens, problem.window) == (None, 4096)


@BOTH
def test_a_prompt_that_really_does_not_fit_is_told(make: Maker) -> None:
    with make() as server:
        server.window = 12
        problem = error_of("openai", server.url, options={"num_predict": 1})
    assert isinstance(problem, PromptTooLongError)
    assert (problem.prompt_tokens, problem.window) == (12, 12)


def test_a_server_that_is_still_loading_is_busy(llama: LlamaServer) -> None:
    llama.loading = True
    problem = error_of("openai", llama.url)
    assert isinstance(problem, ServerBusyError)
    assert "Loading model" in problem.message


def test_a_server_that_is_down_says_how_to_start_it() -> None:
    with LlamaServer() as gone:
        url = gone.url
    problem = error_of("openai", url)
    assert isinstance(problem, UnreachableError)
    assert "llama-server -m" in problem.hint


@BOTH
def test_a_failed_connect_leaves_no_socket_open(make: Maker) -> None:
    with make() as server:
        assert leaked_sockets("openai", server.url, name="not-there") == []


# Which server is which


@pytest.mark.parametrize(
    ("provider", "make"),
    [
        ("ollama", LMStudio),
        ("ollama", LlamaServer),
        ("ollama", VLLM),
        ("lmstudio", Ollama),
        ("lmstudio", LlamaServer),
        ("lmstudio", VLLM),
    ],
)
def test_another_server_behind_the_port_is_noticed_before_it_is_asked(provider: str, make: Any) -> None:
    with make() as server:
        problem = error_of(provider, server.url)
        assert isinstance(problem, WrongServerError)
        assert "Is the base URL right?" in problem.hint
        assert not {CHAT, "/api/chat"} & set(server.paths)


def test_what_does_not_speak_the_openai_wire_at_all_is_noticed() -> None:
    with Ollama(has_facade=False) as server:
        assert isinstance(error_of("openai", server.url), WrongServerError)
    with LMStudio(has_openai_listing=False) as server:
        assert isinstance(error_of("openai", server.url), WrongServerError)


@pytest.mark.parametrize("make", [LMStudio, Ollama])
def test_servers_that_speak_the_openai_wire_among_others_can_be_asked_on_it(make: Any) -> None:
    with make() as server:
        assert ask("openai", server.url).text == NOTHING_FOUND


@pytest.mark.parametrize(
    ("make", "provider", "window"),
    [
        pytest.param(Ollama, "ollama", 8192, id="Ollama"),
        pytest.param(LMStudio, "lmstudio", 8192, id="LM Studio 0.4"),
        pytest.param(lambda: LMStudio(has_v1_listing=False), "lmstudio", 8192, id="LM Studio 0.3"),
        pytest.param(
            lambda: LMStudio(has_v1_listing=False, has_v0_listing=False), "lmstudio", 4096, id="an old LM Studio"
        ),
        pytest.param(LlamaServer, "openai", 16384, id="llama-server"),
        pytest.param(VLLM, "openai", 40960, id="vLLM"),
    ],
)
def test_auto_finds_out_what_a_given_address_speaks(make: Any, provider: str, window: int) -> None:
    with make() as server, connected("auto", server.url) as model:
        assert (model.info.provider, model.info.window) == (provider, window)
        assert model.ask(QUESTION, REPLY_SCHEMA, Deadline()).text == NOTHING_FOUND


def test_auto_says_of_a_loading_server_no_more_than_it_knows(llama: LlamaServer) -> None:
    llama.loading = True
    problem = error_of("auto", llama.url)
    assert isinstance(problem, ServerBusyError)
    assert "Ollama" not in problem.message


@BOTH
def test_auto_tells_that_a_token_is_wanted(make: Maker) -> None:
    with make() as server:
        server.token = TOKEN
        assert "wants a token" in error_of("auto", server.url).message
        assert ask("auto", server.url, api_key=TOKEN).text == NOTHING_FOUND


# Tokens and proxies


@BOTH
def test_the_token_is_sent_as_bearer(make: Maker) -> None:
    with make() as server:
        server.token = TOKEN
        assert ask("openai", server.url, api_key=TOKEN).text == NOTHING_FOUND


def test_lmstudios_token_is_for_lmstudio_alone(llama: LlamaServer) -> None:
    assert ask("openai", llama.url, lmstudio_key=TOKEN).text == NOTHING_FOUND
    error_of("ollama", llama.url, lmstudio_key=TOKEN)
    assert not [call for call in llama.calls if "authorization" in call.headers]


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@BOTH
def test_a_token_that_comes_back_in_an_error_is_not_printed(make: Maker, status: int) -> None:
    with make() as server:
        server.failure = Failure(status, {"error": {"message": f"Received API Key = {TOKEN}", "type": "auth_error"}})
        problem = error_of("openai", server.url, api_key=TOKEN)
    assert TOKEN not in str(problem)
    assert has_next_step(problem)


def test_no_proxy_of_the_environment_is_asked(llama: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Decoy() as decoy:
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, decoy.url)
        assert ask("openai", llama.url).text == NOTHING_FOUND
        assert ask("auto", llama.url).text == NOTHING_FOUND
    assert decoy.connections == 0


# The whole program


@BOTH
def test_a_finding_of_the_server_is_reported(kilo: Runner, buggy: Repo, make: Maker, division: dict[str, Any]) -> None:
    with make() as server:
        server.answer = json.dumps({"findings": [division]})
        report = kilo(*by(server), "--format", "json").json()
    assert [finding["title"] for finding in report["findings"]] == ["Division by zero"]
    assert (report["model"]["provider"], report["model"]["base_url"]) == ("openai", f"{server.url}/v1")
    (receipt,) = report["egress"]
    assert (receipt["url"], receipt["address"], receipt["requests"]) == (server.url, "127.0.0.1", len(server.calls))


def test_cached_tokens_are_reported(kilo: Runner, buggy: Repo, llama: LlamaServer) -> None:
    llama.cached = 40
    usage = kilo(*by(llama), "--format", "json").json()["usage"]
    assert (usage["requests"], usage["cached_prompt_tokens"]) == (1, 40)


def test_a_small_window_is_kept_to_without_ever_being_exceeded(kilo: Runner, repo: Repo, vllm: VLLM) -> None:
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(100)))
    vllm.window = 3000
    report = kilo(*by(vllm), "--format", "json").json()
    assert report["outcome"] == "clean"
    assert report["coverage"]["reviewed"] == 4
    assert report["usage"]["requests"] == len(vllm.asked(CHAT)) > 1
    assert all(prompt_tokens(body) + body["max_tokens"] <= vllm.window for body in vllm.asked(CHAT))


def test_a_server_that_rejects_the_schema_is_bothered_with_it_once(
    kilo: Runner, repo: Repo, llama: LlamaServer
) -> None:
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(150)))
    llama.rejects_schema = GRAMMAR_REFUSED
    report = kilo(*by(llama), "--format", "json").json()
    asked = ["response_format" in body for body in llama.asked(CHAT)]
    assert report["outcome"] == "clean"
    assert asked[0] is True
    assert len(asked) > 2
    assert not any(asked[1:])


@BOTH
def test_null_instead_of_content_is_never_clean(kilo: Runner, buggy: Repo, make: Maker) -> None:
    choice = {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": "stop"}
    with make() as server:
        server.failure = raw_stream(event({"choices": [choice]}) + "data: [DONE]\n\n")
        report = kilo(*by(server), "--format", "json").json()
    assert (report["exit_code"], report["outcome"]) == (3, "not_reviewed")


def test_a_token_of_the_environment_is_used_and_stays_unseen(kilo: Runner, buggy: Repo, llama: LlamaServer) -> None:
    llama.token = TOKEN
    right = kilo(*by(llama), "--verbose", env={"KILO_REVIEW_API_KEY": TOKEN})
    llama.token, llama.failure = None, Failure(500, {"error": {"message": f"Received API Key = {TOKEN}"}})
    wrong = kilo(*by(llama), "--verbose", "--no-cache", env={"KILO_REVIEW_API_KEY": TOKEN})
    assert (right.code, wrong.code) == (0, 3)
    assert TOKEN not in right.text + right.talk + wrong.text + wrong.talk


@pytest.mark.parametrize("make", [Ollama, LMStudio, LlamaServer, VLLM])
def test_the_program_finds_out_what_it_talks_to_and_asks_no_proxy(kilo: Runner, buggy: Repo, make: Any) -> None:
    with Decoy() as decoy, make() as server:
        done = kilo("--base-url", server.url, env=dict.fromkeys(PROXY_VARIABLES, decoy.url))
        assert done.code == 0, done.text
        assert len(server.asked(CHAT) if make is not Ollama else server.asked("/api/chat")) == 1
    assert decoy.connections == 0
