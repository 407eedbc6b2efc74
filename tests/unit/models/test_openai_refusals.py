"""What a server on the OpenAI wire refuses or does not do as asked, and what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import (
    BadReplyError,
    BrokenStreamError,
    ModelError,
    SchemaRejectedError,
    ServerFailedError,
    WrongServerError,
)
from kilo_review.prompts import REPLY_SCHEMA
from tests.support.fakes.base import NOTHING_FOUND, Call, Failure, Response, as_json, event
from tests.support.fakes.clients import QUESTION, ask, connected, error_of
from tests.support.fakes.gateways import Gateway
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.ollama import Ollama
from tests.support.fakes.openai import CHAT, VLLM, LlamaServer, raw_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilo_review.models.base import Reply
    from tests.conftest import Repo, Runner

MISTRAL = "chat_template is not supported for Mistral tokenizers."
DONE = event("[DONE]")


@pytest.fixture
def vllm() -> Iterator[VLLM]:
    with VLLM() as fake:
        yield fake


def refusing(field: str, body: Any, status: int = 400) -> Callable[[Call], Response | Failure | None]:
    """A server that refuses a field."""
    return lambda call: Failure(status, body) if field in call.body else None


def answers(server: VLLM | LlamaServer | LMStudio | Ollama, times: int = 2, **wanted: Any) -> tuple[list[Reply], Any]:
    """Questions to one model, and its remarks."""
    with connected("openai", server.url, **wanted) as model:
        replies = [model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30)) for _ in range(times)]
        return replies, model.remarks


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400, **more}}


# Fields

PYDANTIC = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted", "input": {"seed": 1}}
REFUSALS = {
    "vLLM, Mistral": ("chat_template_kwargs", 400, error(MISTRAL)),
    "vLLM, flat": ("chat_template_kwargs", 400, {"object": "error", "message": MISTRAL, "code": 400}),
    "OpenAI": ("stream_options", 400, error("Unknown parameter: 'stream_options'.", param="stream_options")),
    "FastAPI": ("stream_options", 422, {"detail": [{**PYDANTIC, "loc": ["body", "stream_options"]}]}),
    "FastAPI, as text": ("stream_options", 400, f"[{ {**PYDANTIC, 'loc': ('body', 'stream_options')} }]"),
    "Azure": ("stream_options", 400, {"detail": "Extra parameters ['stream_options'] are not allowed"}),
    "JSON schema": (
        "stream_options",
        400,
        error("Validation error at #/stream_options: Extra inputs are not permitted"),
    ),
    "serde": ("stream_options", 422, "unknown field `stream_options`, expected one of `model`, `seed`, `temperature`"),
    "Go": ("seed", 400, error('json: unknown field "seed"')),
    "NIM": ("seed", 422, {"detail": "body -> seed\n  Extra inputs are not permitted (type=extra_forbidden)"}),
    "this model": ("stream_options", 400, error("This model does not support stream_options")),
    "TGI": ("temperature", 422, {"error": "Input validation error: `temperature` must be strictly positive"}),
    "a failure": ("seed", 500, error("unsupported parameter seed")),
    "not implemented": ("stream_options", 501, error("stream_options is not implemented")),
}


@pytest.mark.parametrize(("field", "status", "body"), REFUSALS.values(), ids=REFUSALS)
def test_a_field_that_is_refused_by_name_is_left_out_once_and_for_all(
    vllm: VLLM, field: str, status: int, body: Any
) -> None:
    vllm.instead[CHAT] = [refusing(field, body, status)]
    replies, remarks = answers(vllm)
    assert [reply.text for reply in replies] == [NOTHING_FOUND] * 2
    assert [reply.requests for reply in replies] == [2, 1]
    first, second, third = vllm.asked(CHAT)
    assert first.keys() - second.keys() == {field}
    assert second == third
    assert field in "".join(remarks.details)
    assert not remarks.notes


def test_fields_are_left_out_one_after_the_other(vllm: VLLM) -> None:
    both = [
        refusing("stream_options", error("unknown field stream_options")),
        refusing("seed", error("seed is unknown")),
    ]
    vllm.instead[CHAT] = [lambda call: both[0](call) or both[1](call)]
    replies, _ = answers(vllm)
    assert [reply.requests for reply in replies] == [3, 1]
    assert not {"stream_options", "seed"} & set(vllm.asked(CHAT)[-1])


def test_copies_for_other_threads_know_what_was_refused(vllm: VLLM) -> None:
    vllm.instead[CHAT] = [refusing("chat_template_kwargs", error(MISTRAL))]
    with connected("openai", vllm.url) as model:
        other = model.another()
        model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))
        assert other.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30)).requests == 1
        assert other.remarks is model.remarks
        other.close()


def test_a_field_is_not_left_out_where_that_does_not_help(vllm: VLLM) -> None:
    vllm.failure = Failure(400, error("Cannot use chat template functions: tokenizer.chat_template is not set"))
    with connected("openai", vllm.url) as model:
        for _ in range(2):
            with pytest.raises(ServerFailedError, match="is not set"):
                model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))
        assert not model.remarks.details
    assert ["chat_template_kwargs" in body for body in vllm.asked(CHAT)] == [True, False, True, False]


def test_another_failure_after_it_is_told_as_what_it_is(vllm: VLLM) -> None:
    vllm.failure = Failure(500, error("CUDA error: out of memory"))
    vllm.instead[CHAT] = [refusing("stream_options", error("unknown field stream_options"))]
    with connected("openai", vllm.url) as model:
        for _ in range(2):
            with pytest.raises(ModelError, match="does not fit into memory"):
                model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))
    assert ["stream_options" in body for body in vllm.asked(CHAT)] == [True, False, False]


@pytest.mark.parametrize(
    "failure",
    [
        Failure(500, error("EngineCore encountered an issue in the stream")),
        Failure(401, error("stream_options is not allowed without a token")),
        Failure(404, error("The model `seed` does not exist.")),
        Failure(429, error("too many requests: only one seed")),
        Failure(400, error("The request is invalid")),
        Failure(400, error("max_tokens is not supported")),
        Failure(400, error("the model ByteDance/seed-oss is not supported")),
        Failure(
            422, {"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "required", "input": {"seed": "seed"}}]}
        ),
    ],
)
def test_other_failures_leave_no_field_out(vllm: VLLM, failure: Failure) -> None:
    vllm.failure = failure
    assert not isinstance(error_of("openai", vllm.url), BrokenStreamError)
    assert len(vllm.asked(CHAT)) == 1


def test_what_keeps_a_proxy_from_asking_another_model_is_not_left_out() -> None:
    from tests.support.fakes.litellm import LiteLLM  # noqa: PLC0415  its own server

    with LiteLLM() as server:
        server.failure = Failure(400, error("disable_fallbacks is not supported"))
        error_of("openai", server.url)
        assert all(body["disable_fallbacks"] for body in server.asked(CHAT))


def test_a_parameter_of_the_user_is_not_left_out_in_silence(vllm: VLLM) -> None:
    vllm.instead[CHAT] = [refusing("top_k", error("Unsupported parameter: 'top_k'"))]
    problem = error_of("openai", vllm.url, options={"top_k": 40})
    assert "refused the option top_k" in problem.message
    assert len(vllm.asked(CHAT)) == 1


@pytest.mark.parametrize(("name", "value"), [("temperature", 0), ("temperature", 0.0), ("seed", 7)])
@pytest.mark.parametrize("make", [VLLM, LMStudio])
def test_nor_is_one_with_the_value_that_is_sent_anyway(make: Any, name: str, value: float) -> None:
    provider = "lmstudio" if make is LMStudio else "openai"
    with make() as server:
        server.instead[CHAT] = [refusing(name, error(f"Unsupported value: '{name}' does not support this"))]
        assert f"refused the option {name}" in error_of(provider, server.url, options={name: value}).message
        assert len(server.asked(CHAT)) == 1
        assert ask(provider, server.url, options={"top_k": 40}).requests == 2


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        "The provided JSON schema contains features not supported by xgrammar.",
        "Guided decoding is not supported.",
        "guided decoding is not supported by this build",
        "Failed to transform json schema into a regex: unsupported",
        "Grammar error: unsatisfiable schema",
        "Invalid grammar specification: bad key",
        "Structured outputs are not supported with speculative decoding",
        "response_format of type json_schema is not available",
        "Response format is not supported by this model",
        "Grammars are disabled on this server",
    ],
)
def test_a_schema_that_cannot_be_enforced_is_known(vllm: VLLM, said: str, in_stream: bool) -> None:
    vllm.failure = Failure(200 if in_stream else 400, error(said), in_stream=in_stream)
    assert isinstance(error_of("openai", vllm.url), SchemaRejectedError)


def test_a_model_with_such_a_name_is_still_missing(vllm: VLLM) -> None:
    vllm.failure = Failure(404, error("The model `json-schema/grammar` does not exist."))
    assert "has no model" in error_of("openai", vllm.url).message


# The form of answers


def whole(text: Any = NOTHING_FOUND, **more: Any) -> dict[str, Any]:
    """An answer as one object."""
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": 12, "completion_tokens": 4}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("reason", [{"finish_reason": None}, {"finish_reason": ""}, {}])
def test_an_answer_in_one_object_is_its_own_end(vllm: VLLM, indent: int | None, reason: dict[str, Any]) -> None:
    choice = {"message": {"content": NOTHING_FOUND}, **reason}
    said = json.dumps({"object": "chat.completion", "choices": [choice]}, indent=indent)
    vllm.instead[CHAT] = [Response(200, "application/json", [said.encode()])]
    reply = ask("openai", vllm.url)
    assert (reply.text, reply.is_cut) == (NOTHING_FOUND, False)


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({"object": "chat.completion.chunk", "choices": [{"delta": {"content": NOTHING_FOUND}}]}),
        json.dumps({"object": "chat.completion.chunk", "choices": [{"message": {"content": NOTHING_FOUND}}]}),
        event({"object": "chat.completion", "choices": [{"message": {"content": NOTHING_FOUND}}]}),
        json.dumps({"choices": [{"message": None}]}),
        json.dumps({"choices": []}),
    ],
)
def test_a_piece_of_an_answer_is_not_its_end(vllm: VLLM, said: str) -> None:
    vllm.instead[CHAT] = [Response(200, "application/json", [said.encode()])]
    assert isinstance(error_of("openai", vllm.url), BrokenStreamError)


def stream(*choices: dict[str, Any]) -> Failure:
    return raw_stream("".join(event({"choices": [choice]}) for choice in choices) + DONE)


def withheld(message: dict[str, Any], reason: str | None = "stop") -> Iterator[Failure]:
    """An answer in one object, and as a stream."""
    yield Failure(200, {"choices": [{"message": message, "finish_reason": reason}]})
    yield stream({"delta": message}, {"delta": {}, "finish_reason": reason})


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("content", [None, "", " "])
def test_a_refusal_of_the_model_is_told(kilo: Runner, buggy: Repo, vllm: VLLM, form: int, content: str | None) -> None:
    vllm.instead[CHAT] = [list(withheld({"content": content, "refusal": "I cannot\nhelp. " * 2000}))[form]]
    done = kilo("--provider", "openai", "--base-url", vllm.url)
    assert done.code == 3
    assert "the model refused to answer (I cannot help. I cannot help. " in done.text
    assert "). Another model may do better (docs/models.md)" in done.text
    assert "window" not in done.text
    assert len(done.text) < 1000
    assert len(vllm.asked(CHAT)) == 1


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("content", ["", NOTHING_FOUND[:5], NOTHING_FOUND])
def test_an_answer_that_is_withheld_by_a_filter_is_told(
    kilo: Runner, buggy: Repo, vllm: VLLM, form: int, content: str
) -> None:
    vllm.instead[CHAT] = [list(withheld({"content": content}, "content_filter"))[form]]
    done = kilo("--provider", "openai", "--base-url", vllm.url)
    assert done.code == 3
    assert "a content filter of the server withheld the model's answer, or a part of it" in done.text
    assert "Switch the filter off in the server's settings, or choose another model" in done.text
    assert "window" not in done.text
    assert len(vllm.asked(CHAT)) == 1


@pytest.mark.parametrize("form", [0, 1])
def test_a_refusal_beside_an_answer_is_none(vllm: VLLM, form: int) -> None:
    vllm.instead[CHAT] = [list(withheld({"content": NOTHING_FOUND, "refusal": None}))[form]]
    assert ask("openai", vllm.url).text == NOTHING_FOUND


@pytest.mark.parametrize(
    "failure",
    [
        Failure(200, {"object": "text_completion", "choices": [{"text": NOTHING_FOUND, "finish_reason": "stop"}]}),
        Failure(200, {"choices": [{"text": NOTHING_FOUND, "finish_reason": None}]}),
        stream({"text": NOTHING_FOUND[:4]}, {"text": NOTHING_FOUND[4:], "finish_reason": "stop"}),
    ],
)
def test_an_answer_in_the_form_of_completions_is_told(vllm: VLLM, failure: Failure) -> None:
    vllm.instead[CHAT] = [failure]
    problem = error_of("openai", vllm.url)
    assert isinstance(problem, WrongServerError)
    assert problem.message.startswith("the server at http://127.0.0.1:")
    assert problem.message.endswith("/v1 answers as /completions does, with a text instead of a message")
    assert problem.hint == (
        "A server for /chat/completions is needed: a newer version of this one may be, or another one"
    )


def test_a_text_beside_a_message_does_no_harm(vllm: VLLM) -> None:
    vllm.instead[CHAT] = [stream({"delta": {"content": NOTHING_FOUND}, "text": "x", "finish_reason": "stop"})]
    assert ask("openai", vllm.url).text == NOTHING_FOUND


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", ": ping\n\n", "\ufeff\r\n"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_an_answer_in_one_object_is_read(vllm: VLLM, indent: int | None, before: str, kind: str) -> None:
    said = before + json.dumps(whole(), indent=indent)
    vllm.instead[CHAT] = [Response(200, kind, [said.encode()])]
    reply = ask("openai", vllm.url)
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == (NOTHING_FOUND, 12, 4)


def test_objects_line_by_line_are_read_as_a_stream(vllm: VLLM) -> None:
    pieces = [{"delta": {"content": '{"findings"'}}, {"delta": {"content": ": []}"}, "finish_reason": "stop"}]
    said = "\n".join(json.dumps({"choices": [piece]}) for piece in pieces)
    vllm.instead[CHAT] = [Response(200, "application/x-ndjson", [said.encode()])]
    assert ask("openai", vllm.url).text == NOTHING_FOUND


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(whole())[:-20],
        json.dumps(whole(), indent=2)[:-5],
        json.dumps({"choices": []}),
        "{}",
        "{" * 50_000,
    ],
    ids=range(5),
)
def test_half_an_object_is_no_answer(vllm: VLLM, said: str) -> None:
    vllm.instead[CHAT] = [Response(200, "application/json", [said.encode()])]
    assert isinstance(error_of("openai", vllm.url), BrokenStreamError)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("body", [error("Compute error."), {"object": "error", "message": "Compute error."}])
def test_an_error_in_one_object_is_told(vllm: VLLM, body: dict[str, Any], indent: int | None) -> None:
    vllm.instead[CHAT] = [
        Response(200, "application/json", ["\ufeff".encode(), json.dumps(body, indent=indent).encode()])
    ]
    assert "Compute error." in error_of("openai", vllm.url).message


def test_a_stream_that_begins_with_a_byte_order_mark_is_read(vllm: VLLM) -> None:
    choice = {"delta": {"content": NOTHING_FOUND}, "finish_reason": "stop"}
    vllm.failure = raw_stream("\ufeff" + event({"choices": [choice]}) + DONE)
    assert ask("openai", vllm.url).text == NOTHING_FOUND


def test_a_refusal_that_begins_with_a_byte_order_mark_is_read(vllm: VLLM) -> None:
    vllm.failure = Failure(400, "\ufeff" + json.dumps(error("Compute error.")))
    assert error_of("openai", vllm.url).message.endswith("(400: Compute error.)")


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ([{"type": "text", "text": NOTHING_FOUND}], NOTHING_FOUND, ""),
        ([{"type": "text", "text": '{"findings"'}, {"type": "text", "text": ": []}"}], NOTHING_FOUND, ""),
        (['{"findings"', ": []}"], NOTHING_FOUND, ""),
        ({"type": "text", "text": NOTHING_FOUND}, NOTHING_FOUND, ""),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": NOTHING_FOUND},
            ],
            NOTHING_FOUND,
            "Hm.",
        ),
        ([{"type": "image_url", "image_url": {}}, 7, None, {"type": "text", "text": 7}], "", ""),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_parts_are_read_as_a_text(vllm: VLLM, content: Any, text: str, thought: str, streamed: bool) -> None:
    choice = {"delta": {"content": content}, "finish_reason": "stop"}
    vllm.instead[CHAT] = [raw_stream(event({"choices": [choice]}) + DONE) if streamed else as_json(whole(content))]
    reply = ask("openai", vllm.url)
    assert (reply.text, reply.reasoning) == (text, thought)


CALL = {"id": "1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}


@pytest.mark.parametrize(
    ("message", "tool"),
    [
        ({"tool_calls": [CALL]}, "read_file"),
        ({"function_call": {"name": "read_file", "arguments": ""}}, "read_file"),
        ({"tool_calls": [{"index": 0}]}, "without a name"),
        ({"tool_calls": []}, ""),
        ({"tool_calls": None}, ""),
        ({"tool_calls": "x", "function_call": 7}, ""),
    ],
)
def test_a_call_of_a_tool_is_known(vllm: VLLM, message: dict[str, Any], tool: str) -> None:
    vllm.instead[CHAT] = [as_json(whole(None, **message))]
    assert ask("openai", vllm.url).tool == tool


def test_an_answer_beside_a_call_counts(kilo: Runner, buggy: Repo, vllm: VLLM) -> None:
    vllm.instead[CHAT] = [as_json(whole(NOTHING_FOUND, tool_calls=[CALL]) | {"usage": None})]
    assert kilo("--provider", "openai", "--base-url", vllm.url).code == 0


@pytest.mark.parametrize("reason", ["length", "max_tokens", "model_length"])
def test_a_limit_is_known_by_each_of_its_names(vllm: VLLM, reason: str) -> None:
    choice = {"delta": {"content": "{"}, "finish_reason": reason}
    vllm.failure = raw_stream(event({"choices": [choice]}) + DONE)
    assert ask("openai", vllm.url).is_cut


# Thinking


@pytest.mark.parametrize("make", [LlamaServer, VLLM])
@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"enable_thinking": False}),
        ({"think": False}, {"enable_thinking": False}),
        ({"think": True}, {"enable_thinking": True}),
        ({"think": "low"}, {"enable_thinking": True, "reasoning_effort": "low"}),
        ({"chat_template_kwargs": {"enable_thinking": True}}, {"enable_thinking": True}),
        ({"chat_template_kwargs": {"thinking": False}}, {"enable_thinking": False, "thinking": False}),
        ({"think": True, "chat_template_kwargs": {"enable_thinking": False}}, {"enable_thinking": False}),
    ],
)
def test_thinking_is_switched_as_the_user_wants(make: Any, options: dict[str, Any], sent: dict[str, Any]) -> None:
    with make() as server:
        (_,), remarks = answers(server, 1, options=options)
        assert server.asked(CHAT)[0]["chat_template_kwargs"] == sent
        assert "think" not in server.asked(CHAT)[0]
    assert not remarks.notes


@pytest.mark.parametrize("think", [True, False])
def test_a_server_that_is_not_known_is_told_only_what_the_user_wants(think: bool) -> None:
    with LMStudio() as server:
        answers(server, 1, options={"think": think})
        assert server.asked(CHAT)[0]["chat_template_kwargs"] == {"enable_thinking": think}


def test_a_refused_switch_is_told_where_the_user_has_asked_for_it(vllm: VLLM) -> None:
    vllm.instead[CHAT] = [refusing("chat_template_kwargs", error(MISTRAL))]
    _, remarks = answers(vllm, options={"think": False})
    assert "the option think has no effect" in "".join(remarks.notes)
    problem = error_of("openai", vllm.url, options={"chat_template_kwargs": {"enable_thinking": False}})
    assert "refused the option chat_template_kwargs" in problem.message


def test_an_option_that_is_not_sent_is_told(kilo: Runner, buggy: Repo) -> None:
    with LMStudio() as server:
        done = kilo("--provider", "lmstudio", "--base-url", server.url, "--option", "think=false")
        assert "note: the option think is not sent to LM Studio on this wire. Switch thinking off" in done.text
        done = kilo("--provider", "lmstudio", "--base-url", server.url, "--option", "keep_alive=5m", "--no-cache")
        assert "note: the option keep_alive is not sent to LM Studio: only Ollama takes it" in done.text
    with Ollama() as server:
        arguments = ("--provider", "ollama", "--base-url", server.url, "--no-cache")
        done = kilo(*arguments, "--option", 'chat_template_kwargs={"enable_thinking":false}')
        assert "note: Ollama has no option 'chat_template_kwargs' and ignores it" in done.text
        assert "note:" not in kilo(*arguments, "--option", "num_gpu=1").text


@pytest.mark.parametrize(
    ("make", "provider", "remedy"),
    [
        (LlamaServer, "openai", "--reasoning-budget 0"),
        (VLLM, "openai", "--default-chat-template-kwargs"),
        (Ollama, "openai", "Use --provider ollama"),
        (LMStudio, "openai", "witch thinking off in the server's settings"),
        (LMStudio, "lmstudio", "Switch thinking off for the model in LM Studio"),
    ],
)
def test_thinking_that_was_to_be_off_is_told_with_the_remedy(make: Any, provider: str, remedy: str) -> None:
    choice = {"index": 0, "delta": {"reasoning": "Hm.", "content": NOTHING_FOUND}, "finish_reason": "stop"}
    with make() as server:
        server.instead[CHAT] = [raw_stream(event({"choices": [choice]}) + DONE)]
        for options, is_told in (({}, True), ({"think": False}, True), ({"think": True}, False)):
            with connected(provider, server.url, options=options) as model:
                reply = model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))
                assert (remedy in reply.remedy) is is_told
                assert (remedy in " ".join(model.remarks.notes)) is is_told


THINKING = raw_stream(event({"choices": [{"delta": {"reasoning": "Hm."}, "finish_reason": "length"}]}) + DONE)


@pytest.mark.parametrize("owner", ["sglang", "lemonade", "docker", "OVMS", "llama-swap", "koboldcpp", "acme", ""])
def test_a_server_that_was_not_asked_to_switch_thinking_off_may_be(owner: str) -> None:
    def remedy(**options: Any) -> str:
        with Gateway(entries=[{"id": "m", "owned_by": owner}]) as server:
            server.instead[CHAT] = [THINKING]
            return ask("openai", server.url, options=options).remedy

    assert remedy().startswith("Use --option think=false, switch")
    assert remedy(chat_template_kwargs={"x": 1}).startswith("Use --option think=false, switch")
    assert remedy(think=False).startswith("Switch thinking off in the server's settings")
    assert remedy(chat_template_kwargs={"enable_thinking": False}).startswith("Switch thinking off")
    assert not remedy(think=True)


def test_a_server_that_refused_the_switch_is_not_asked_for_it_again() -> None:
    with Gateway(entries=[{"id": "m"}]) as server:
        server.instead[CHAT] = [refusing("chat_template_kwargs", error(MISTRAL)), THINKING]
        with connected("openai", server.url, options={"think": False}) as model:
            reply = model.ask(QUESTION, REPLY_SCHEMA, Deadline().within(30))
    assert reply.remedy.startswith("Switch thinking off in the server's settings")


def test_an_answer_that_is_cut_in_its_thinking_names_the_option_first(kilo: Runner, buggy: Repo) -> None:
    with Gateway(entries=[{"id": "m", "owned_by": "sglang"}]) as server:
        server.instead[CHAT] = [THINKING]
        done = kilo("--provider", "openai", "--base-url", server.url)
    assert done.code == 3
    assert "tokens. Use --option think=false, switch thinking off in the server's settings, or allow more" in done.text


@pytest.mark.parametrize(
    ("delta", "is_thought"),
    [
        ({"content": "<think>\n\n</think>\n" + NOTHING_FOUND}, False),
        ({"content": "<think>\nHm.</think>\n" + NOTHING_FOUND}, True),
        ({"content": "", "reasoning_content": NOTHING_FOUND}, False),
        ({"content": NOTHING_FOUND, "reasoning_content": " \n"}, False),
        ({"content": "", "reasoning_content": "Hm."}, True),
    ],
)
def test_an_empty_thought_is_none(vllm: VLLM, delta: dict[str, Any], is_thought: bool) -> None:
    vllm.failure = raw_stream(event({"choices": [{"delta": delta, "finish_reason": "stop"}]}) + DONE)
    assert bool(ask("openai", vllm.url).remedy) is is_thought


def test_the_penalty_of_the_user_has_the_servers_name(vllm: VLLM) -> None:
    ask("openai", vllm.url, options={"repeat_penalty": 1.2})
    (body,) = vllm.asked(CHAT)
    assert body["repetition_penalty"] == 1.2
    assert "repeat_penalty" not in body


# Through the program


def test_what_was_left_out_is_told_to_those_who_want_everything(kilo: Runner, repo: Repo, vllm: VLLM) -> None:
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(150)))
    vllm.window = 6000
    vllm.instead[CHAT] = [refusing("chat_template_kwargs", error(MISTRAL))]
    arguments = ("--provider", "openai", "--base-url", vllm.url, "--no-cache", "--jobs", "1")
    usage = kilo(*arguments, "--format", "json").json()["usage"]
    assert usage["requests"] == len(vllm.asked(CHAT)) > 2
    assert ["chat_template_kwargs" in body for body in vllm.asked(CHAT)][1:] == [False] * (usage["requests"] - 1)
    told = "note: the server refused the field 'chat_template_kwargs', which is left out now"
    assert told in kilo(*arguments, "-v").text
    assert told not in kilo(*arguments).text


def test_a_schema_is_refused_once_whatever_the_number_of_lanes(kilo: Runner, repo: Repo, vllm: VLLM) -> None:
    for number in range(4):
        repo.stage(f"part{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(150)))
    vllm.window = 6000
    vllm.rejects_schema = Failure(400, error("Guided decoding is not supported."))
    done = kilo("--provider", "openai", "--base-url", vllm.url, "--jobs", "1", "-v")
    assert done.code == 0
    assert ["response_format" in body for body in vllm.asked(CHAT)].count(True) == 1
    assert "no reply schema is sent any more" in done.text


def test_a_tool_is_told_and_not_advised_a_larger_window(kilo: Runner, buggy: Repo, vllm: VLLM) -> None:
    vllm.instead[CHAT] = [as_json(whole(None, tool_calls=[CALL]) | {"usage": None})]
    done = kilo("--provider", "openai", "--base-url", vllm.url)
    assert done.code == 3
    assert "called the tool 'read_file' instead of answering" in done.text
    assert "window" not in done.text
    assert BadReplyError("").hint not in done.text
