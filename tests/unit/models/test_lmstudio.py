"""LM Studio's wire, as servers of several versions speak it."""

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
    PromptTooLongError,
    SchemaRejectedError,
    ServerFailedError,
    UnreachableError,
    WrongServerError,
)
from kilo_review.models.choose import ALREADY_LOADED
from kilo_review.prompts import REPLY_SCHEMA
from tests.support.fakes.base import NOTHING_FOUND, Decoy, Ending, Failure
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
from tests.support.fakes.lmstudio import JIT_WINDOW, TEXTS, LMStudio, Model, nested, plain
from tests.support.fakes.openai import CHAT, GRAMMAR_REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.outcome import Egress
    from tests.conftest import Repo, Runner

LISTINGS = ("has_v1_listing", "has_v0_listing", "has_openai_listing")
TOKEN = "sk-lm-Zebra42:hushhush"
NUMBERS = {"needed": 9001, "window": 4096}


@pytest.fixture
def server() -> Iterator[LMStudio]:
    with LMStudio() as fake:
        yield fake


def by(server: LMStudio) -> tuple[str, ...]:
    """Options that make the program ask this server."""
    return ("--provider", "lmstudio", "--base-url", server.url)


def only_listing(server: LMStudio, name: str) -> None:
    for each in LISTINGS:
        setattr(server, each, each == name)


# The request


def test_the_request_is_exactly_this(server: LMStudio) -> None:
    ask("lmstudio", server.url)
    assert server.asked(CHAT) == [
        {
            "model": "qwen2.5-coder-14b",
            "messages": [{"role": message.role, "content": message.content} for message in QUESTION],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "seed": 7,
            "max_tokens": 1024,
            "ttl": 900,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "review", "strict": True, "schema": REPLY_SCHEMA},
            },
        }
    ]


def test_without_a_schema_no_form_is_asked_for(server: LMStudio) -> None:
    with connected("lmstudio", server.url) as model:
        model.ask(QUESTION, None, Deadline())
    (body,) = server.asked(CHAT)
    assert "response_format" not in body


@pytest.mark.parametrize(
    ("option", "sent"),
    [
        ({"num_predict": 64}, {"max_tokens": 64}),
        ({"temperature": 0.4, "seed": 11}, {"temperature": 0.4, "seed": 11}),
        ({"stop": ["###"], "top_p": 0.9}, {"stop": ["###"], "top_p": 0.9}),
        ({"ttl": 60}, {"ttl": 60}),
    ],
)
def test_options_reach_the_wire_under_its_names(server: LMStudio, option: dict[str, Any], sent: dict[str, Any]) -> None:
    ask("lmstudio", server.url, options=option)
    (body,) = server.asked(CHAT)
    assert {name: body[name] for name in sent} == sent
    assert "num_predict" not in body


def test_what_only_ollama_knows_is_not_sent(server: LMStudio) -> None:
    ask("lmstudio", server.url, options={"num_ctx": 4096, "keep_alive": "5m", "think": False})
    (body,) = server.asked(CHAT)
    assert not {"num_ctx", "keep_alive", "think", "options", "format", "truncate"} & set(body)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_base_url_may_or_may_not_end_in_v1(server: LMStudio, suffix: str) -> None:
    assert ask("lmstudio", server.url + suffix).text == NOTHING_FOUND
    assert (server.paths[0], server.paths[-1]) == ("/api/v1/models", CHAT)


def test_every_request_is_on_the_receipt(server: LMStudio) -> None:
    egress: list[Egress] = []
    with connected("lmstudio", server.url, egress) as model:
        model.ask(QUESTION, REPLY_SCHEMA, Deadline())
    (receipt,) = egress
    assert (receipt.url, receipt.address, receipt.requests) == (server.url, "127.0.0.1", len(server.calls))
    assert receipt.bytes_sent > sum(len(call.raw) for call in server.calls)


# The window and the model


@pytest.mark.parametrize(
    ("listing", "window"), [("has_v1_listing", 8192), ("has_v0_listing", 8192), ("has_openai_listing", 4096)]
)
def test_the_window_is_the_loaded_one_where_a_listing_tells_it(server: LMStudio, listing: str, window: int) -> None:
    only_listing(server, listing)
    assert info("lmstudio", server.url).window == window


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("figure", [10**400, -1, True], ids=lambda figure: str(figure)[:9])
def test_a_window_that_can_be_none_is_not_known(server: LMStudio, listing: str, figure: int) -> None:
    only_listing(server, listing)
    server.models = [Model("m", loaded_window=figure, saved_window=figure, largest_window=figure)]
    assert info("lmstudio", server.url).window == JIT_WINDOW


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_model_that_is_not_loaded_has_the_window_of_a_load_on_demand(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    server.models = [Model("qwen2.5-coder-14b", largest_window=131072)]
    assert info("lmstudio", server.url).window == 4096
    assert info("lmstudio", server.url, options={"num_ctx": 16384}).window == 16384


@pytest.mark.parametrize("listing", LISTINGS[:2])
def test_a_loaded_model_is_taken_before_better_ones(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    server.models = [Model("qwen3-coder-30b"), Model("llama-3.2-3b-instruct", loaded_window=8192)]
    found = info("lmstudio", server.url)
    assert (found.name, found.why) == ("llama-3.2-3b-instruct", ALREADY_LOADED)


@pytest.mark.parametrize("listing", LISTINGS)
def test_of_unloaded_models_one_that_reads_code_is_taken(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    server.models = [Model("llama-3.3-70b-instruct", size=40 << 30), Model("qwen2.5-coder-14b")]
    assert info("lmstudio", server.url).name == "qwen2.5-coder-14b"


@pytest.mark.parametrize("listing", LISTINGS[:2])
def test_an_embedding_model_is_never_chosen(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    server.models = [Model("gte-large", loaded_window=512, is_embedding=True), Model("some-chat-model")]
    assert info("lmstudio", server.url).name == "some-chat-model"


@pytest.mark.parametrize("listing", LISTINGS)
def test_an_unknown_model_is_explained_with_the_nearest_name(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    with pytest.raises(ModelNotFoundError) as caught:
        info("lmstudio", server.url, name="qwen2.5-coder-41b")
    assert "has no model 'qwen2.5-coder-41b'" in caught.value.message
    assert "Did you mean qwen2.5-coder-14b?" in caught.value.hint
    assert "lms get qwen2.5-coder-41b" in caught.value.hint
    assert server.asked(CHAT) == []


@pytest.mark.parametrize("name", ["reviewer", "qwen2.5-coder-14b"])
def test_a_loaded_instance_is_known_by_its_identifier_and_by_its_key(server: LMStudio, name: str) -> None:
    server.models = [Model("qwen2.5-coder-14b", loaded_window=6000, identifier="reviewer")]
    assert info("lmstudio", server.url, name=name).window == 6000
    assert ask("lmstudio", server.url, name=name).text == NOTHING_FOUND
    assert server.asked(CHAT)[0]["model"] == name


def test_where_nothing_is_loaded_and_nothing_is_on_demand_the_command_is_told(server: LMStudio) -> None:
    server.models, server.jit = [Model("qwen2.5-coder-14b")], False
    error = error_of("lmstudio", server.url)
    assert isinstance(error, ModelNotFoundError)
    assert "lms load" in error.hint


def test_a_server_without_models_says_how_to_get_one(server: LMStudio) -> None:
    server.models = []
    error = error_of("lmstudio", server.url)
    assert isinstance(error, ModelNotFoundError)
    assert "lms get" in error.hint


def test_an_answer_by_another_model_than_the_one_asked_for_is_not_taken(server: LMStudio) -> None:
    server.loaded_answers = True
    server.models = [Model("llama-3.2-3b-instruct", loaded_window=8192), Model("qwen2.5-coder-14b")]
    error = error_of("lmstudio", server.url, name="qwen2.5-coder-14b")
    assert isinstance(error, ModelNotFoundError)
    assert "llama-3.2-3b-instruct" in str(error)


# The answer


@pytest.mark.parametrize("piece", [None, 1, 5, 1 << 20])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_answer_is_the_same_however_it_is_cut_up(server: LMStudio, piece: int | None, newline: str) -> None:
    server.answer = '{"findings": [], "note": "größer \u2028 \U0001f600"}'
    server.reasoning = "Schöne Änderung."
    server.piece, server.newline = piece, newline
    reply = ask("lmstudio", server.url)
    assert (reply.text, reply.reasoning, reply.is_cut) == (server.answer, server.reasoning, False)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_is_kept_apart_under_either_name(server: LMStudio, field: Any) -> None:
    server.reasoning, server.reasoning_field = "hm", field
    reply = ask("lmstudio", server.url)
    assert (reply.text, reply.reasoning) == (NOTHING_FOUND, "hm")


def test_tokens_are_those_of_the_usage_event(server: LMStudio) -> None:
    reply = ask("lmstudio", server.url)
    assert (reply.prompt_tokens, reply.completion_tokens) == (12, 4)


def test_an_answer_at_its_token_limit_is_marked(server: LMStudio) -> None:
    reply = ask("lmstudio", server.url, options={"num_predict": 2})
    assert (reply.text, reply.is_cut) == (NOTHING_FOUND[:8], True)


@pytest.mark.parametrize("ending", ["early", "cut", "reset"])
def test_a_stream_without_its_end_is_no_answer(server: LMStudio, ending: Ending) -> None:
    server.ending = ending
    error = error_of("lmstudio", server.url)
    assert isinstance(error, BrokenStreamError)
    assert has_next_step(error)


def test_a_stream_that_is_done_without_a_finish_reason_is_no_answer(server: LMStudio) -> None:
    server.finish = None
    assert isinstance(error_of("lmstudio", server.url), BrokenStreamError)


# Failures


def _failures() -> Iterator[tuple[str, Failure, type[ModelError], str]]:
    """A name, what the server says, the error, and what it must tell."""
    for shape in (plain, nested):
        name = shape.__name__
        for status in (400, 404):
            yield f"{name} none loaded {status}", shape(status, TEXTS["none loaded"]), ModelNotFoundError, "lms load"
            yield f"{name} several loaded {status}", shape(status, TEXTS["several loaded"]), ModelNotFoundError, "lms"
        missing = 'Invalid model identifier "qwen". Please specify a valid downloaded model (e.g. gemma).'
        yield f"{name} missing", shape(404, missing), ModelNotFoundError, "qwen2.5-coder-14b"
        for text in ("unloaded", "is unloaded", "crashed"):
            yield f"{name} {text}", shape(400, TEXTS[text]), CrashedError, TEXTS[text].rstrip(".")[:40]
            yield (
                f"{name} {text} in stream",
                shape(400, TEXTS[text], in_stream=True),
                CrashedError,
                "log" if text == "crashed" else "Keep it loaded",
            )
        yield f"{name} load failed", shape(400, TEXTS["load failed"]), ServerFailedError, "smaller model"
        yield f"{name} form", shape(400, TEXTS["json_object"]), SchemaRejectedError, "json_schema"
        for wording in ("old overflow", "new overflow", "newest overflow"):
            text = TEXTS[wording].format(**NUMBERS)
            yield f"{name} {wording}", shape(400, text), PromptTooLongError, "does not fit the window"
            yield f"{name} {wording} in stream", shape(400, text, in_stream=True), PromptTooLongError, "does not fit"
        yield f"{name} unknown", shape(500, "The moon is full"), ServerFailedError, "The moon is full"
    yield "code alone", nested(404, "Nope.", param="model", code="model_not_found"), ModelNotFoundError, "no model"
    yield "grammar", GRAMMAR_REFUSED, SchemaRejectedError, "failed to parse grammar"
    yield "page", Failure(500, "<html><body>Bad gateway</body></html>"), WrongServerError, "base URL"


@pytest.mark.parametrize(("failure", "kind", "told"), [pytest.param(*case[1:], id=case[0]) for case in _failures()])
def test_each_failure_is_told_with_its_cause_and_the_next_step(
    server: LMStudio, failure: Failure, kind: type[ModelError], told: str
) -> None:
    server.failure = failure
    error = error_of("lmstudio", server.url)
    assert type(error) is kind
    assert told in str(error)
    assert has_next_step(error)


@pytest.mark.parametrize("wording", ["old overflow", "new overflow", "newest overflow"])
@pytest.mark.parametrize("overflow", ["refused", "refused in stream"])
def test_an_overflow_tells_its_numbers(server: LMStudio, wording: Any, overflow: Any) -> None:
    server.models[0].loaded_window = 12
    server.overflow, server.overflow_text = overflow, wording
    error = error_of("lmstudio", server.url)
    assert isinstance(error, PromptTooLongError)
    assert (error.prompt_tokens, error.window) == (12, 12)


def test_a_chat_route_that_is_not_there_is_another_server(server: LMStudio) -> None:
    server.has_chat = False
    error = error_of("lmstudio", server.url)
    assert isinstance(error, WrongServerError)
    assert "Is the base URL right?" in error.hint


def test_a_server_without_any_listing_is_another_server(server: LMStudio) -> None:
    for each in LISTINGS:
        setattr(server, each, False)
    error = error_of("lmstudio", server.url)
    assert isinstance(error, WrongServerError)
    assert "Unexpected endpoint or method" in error.message


def test_a_server_that_is_down_says_how_to_start_it() -> None:
    with LMStudio() as gone:
        url = gone.url
    error = error_of("lmstudio", url)
    assert isinstance(error, UnreachableError)
    assert "lms server start" in error.hint


def test_a_failed_connect_leaves_no_socket_open(server: LMStudio) -> None:
    assert leaked_sockets("lmstudio", server.url, name="not-there") == []


# Tokens and proxies


@pytest.mark.parametrize("listing", LISTINGS)
def test_the_token_is_sent_as_bearer(server: LMStudio, listing: str) -> None:
    only_listing(server, listing)
    server.token = TOKEN
    assert ask("lmstudio", server.url, api_key=TOKEN).text == NOTHING_FOUND


@pytest.mark.parametrize("key", [None, TOKEN])
@pytest.mark.parametrize("provider", ["lmstudio", "openai", "auto", "ollama"])
def test_a_refused_token_is_never_printed(server: LMStudio, provider: str, key: str | None) -> None:
    server.token = "another"
    error = error_of(provider, server.url, api_key=key)
    assert TOKEN not in repr(error.args) + str(error)
    if provider == "lmstudio":
        assert isinstance(error, ServerFailedError)
        assert "wants a token" in error.message
        assert "LM_API_TOKEN" in error.hint


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_token_that_comes_back_in_any_error_is_not_printed(server: LMStudio, status: int) -> None:
    server.failure = plain(status, f"Unknown key {TOKEN} for this workspace")
    assert TOKEN not in str(error_of("lmstudio", server.url, api_key=TOKEN))


def test_no_proxy_of_the_environment_is_asked(server: LMStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    with Decoy() as decoy:
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, decoy.url)
        assert ask("lmstudio", server.url).text == NOTHING_FOUND
    assert decoy.connections == 0


# The whole program


def test_a_finding_of_the_server_is_reported(
    kilo: Runner, buggy: Repo, server: LMStudio, division: dict[str, Any]
) -> None:
    server.answer = json.dumps({"findings": [division]})
    report = kilo(*by(server), "--format", "json").json()
    assert [finding["title"] for finding in report["findings"]] == ["Division by zero"]
    assert report["model"] == {
        "provider": "lmstudio",
        "name": "qwen2.5-coder-14b",
        "base_url": f"{server.url}/v1",
        "window": 8192,
        "local": True,
    }
    (receipt,) = report["egress"]
    assert (receipt["url"], receipt["address"], receipt["requests"]) == (server.url, "127.0.0.1", len(server.calls))
    assert "return sum(items) / len(items)" in server.asked(CHAT)[0]["messages"][-1]["content"]


@pytest.mark.parametrize("where", ["in the reasoning", "after inline thinking", "after thinking that was not opened"])
def test_a_finding_is_found_where_thinking_models_leave_it(
    kilo: Runner, buggy: Repo, server: LMStudio, division: dict[str, Any], where: str
) -> None:
    said = json.dumps({"findings": [division]})
    server.reasoning, server.answer = {
        "in the reasoning": (said, ""),
        "after inline thinking": ("", f"<think>Is {{}} empty?</think>\n{said}"),
        "after thinking that was not opened": ("", f"Is it empty?</think>{said}"),
    }[where]
    report = kilo(*by(server), "--format", "json").json()
    assert [finding["title"] for finding in report["findings"]] == ["Division by zero"]


def test_an_empty_success_is_never_clean(kilo: Runner, buggy: Repo, server: LMStudio) -> None:
    server.answer = ""
    report = kilo(*by(server), "--format", "json").json()
    assert (report["exit_code"], report["outcome"]) == (3, "not_reviewed")
    assert "empty" in report["coverage"]["entries"][0]["reason"]


def test_an_overflow_that_is_answered_with_nothing_is_never_clean(kilo: Runner, buggy: Repo, server: LMStudio) -> None:
    server.models = [Model("qwen2.5-coder-14b", saved_window=64)]
    server.overflow = "empty"
    report = kilo(*by(server), "--format", "json").json()
    assert (report["exit_code"], report["outcome"]) == (3, "not_reviewed")


def test_a_window_that_is_smaller_than_believed_leads_to_smaller_questions(
    kilo: Runner, repo: Repo, server: LMStudio
) -> None:
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(60)))
    server.models = [Model("qwen2.5-coder-14b", saved_window=1600)]
    report = kilo(*by(server), "--format", "json", "--option", "num_ctx=16384").json()
    assert report["outcome"] == "clean"
    assert len(server.asked(CHAT)) > 2
    assert report["coverage"]["reviewed"] == 4


def test_a_server_that_rejects_the_schema_is_asked_without_it(kilo: Runner, buggy: Repo, server: LMStudio) -> None:
    server.rejects_schema = GRAMMAR_REFUSED
    report = kilo(*by(server), "--format", "json").json()
    assert report["outcome"] == "clean"
    assert ["response_format" in body for body in server.asked(CHAT)] == [True, False]


@pytest.mark.parametrize("variable", ["LM_API_TOKEN", "KILO_REVIEW_API_KEY"])
def test_the_token_comes_from_the_environment_and_stays_unseen(
    kilo: Runner, buggy: Repo, server: LMStudio, variable: str
) -> None:
    server.token = TOKEN
    right = kilo(*by(server), "--verbose", env={variable: TOKEN})
    server.token = "another"
    wrong = kilo(*by(server), "--verbose", env={variable: TOKEN})
    assert (right.code, wrong.code) == (0, 3)
    assert "wants a token" in wrong.text
    assert TOKEN not in right.text + right.talk + wrong.text + wrong.talk


def test_options_of_the_command_line_reach_the_server(kilo: Runner, buggy: Repo, server: LMStudio) -> None:
    options = ("num_predict=512", "temperature=0.25", "seed=3", "top_k=20")
    assert kilo(*by(server), *(word for option in options for word in ("--option", option))).code == 0
    (body,) = server.asked(CHAT)
    sent = (body["max_tokens"], body["temperature"], body["seed"], body["top_k"])
    assert sent == (512, 0.25, 3, 20)


def test_the_program_asks_no_proxy(kilo: Runner, buggy: Repo, server: LMStudio) -> None:
    with Decoy() as decoy:
        assert kilo(*by(server), env=dict.fromkeys(PROXY_VARIABLES, decoy.url)).code == 0
    assert decoy.connections == 0
    assert len(server.asked(CHAT)) == 1
