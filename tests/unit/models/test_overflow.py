"""Which refusals say that a prompt is too long, in the words of many servers, and which only sound like it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kilo_review.core.errors import PromptTooLongError
from kilo_review.models.faults import Asked, fault
from kilo_review.models.overflow import overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Wrap = Callable[[str], str]

ASKED = Asked("the server", "http://127.0.0.1:8080/v1", "m")
TOO_LONG = (
    ("Cannot truncate prompt with n_keep (4270) >= n_ctx (4096)", 4270, 4096),
    (
        "Your message was too long and could not be processed (5000 > 4096). Please try again with something shorter.",
        5000,
        4096,
    ),
    ("max_tokens must be at least 1, got -1184.", None, None),
    ("max_completion_tokens must be at least 1, got -3. (parameter=max_completion_tokens, value=-3)", None, None),
    ("the prompt is longer than the context", None, None),
    ("Context window is full", None, None),
    ("input_ids size (5000) + current sequence length (0) exceeds max length (4096)", 5000, 4096),
    ("input_ids size (5000) + current sequence length (17) exceeds max length (4096)", 5000, 4096),
    (
        "Context length 5000 is greater than max_seq_len 4096. Please restart generation with a smaller context",
        5000,
        4096,
    ),
    (
        (
            "default_max_tokens (-904) must be greater than 0, default_max_tokens (-904) = max_seq_len (4096) - "
            "prompt_len (5000)"
        ),
        5000,
        4096,
    ),
    ("The prompt of 0 tokens exceeds the context length of 0 tokens", None, None),
    (
        "prompt too long; exceeded max context length by 4 tokens",
        None,
        None,
    ),
    (
        "Prompt length (5000) + max output length (1024) exceeds max sequence length (4096)",
        5000,
        4096,
    ),
    (
        "Context length exceeded",
        None,
        None,
    ),
    (
        "Your prompt exceeds the token limit of this model",
        None,
        None,
    ),
    (
        (
            "This model's maximum context length is 40960 tokens. However, you requested 1024 output "
            "tokens and your prompt contains at least 40000 input tokens, for a total of at least 41024 "
            "tokens. (parameter=input_tokens, value=40000)"
        ),
        40000,
        40960,
    ),
    (
        (
            "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens "
            "(9591 in the messages, 10000 in the completion). Please reduce the length of the messages "
            "or completion."
        ),
        9591,
        16384,
    ),
    (
        (
            "This model's maximum context length is 4097 tokens, however you requested 4226 tokens (3202 "
            "in your prompt; 1024 for the completion). Please reduce your prompt; or completion length."
        ),
        3202,
        4097,
    ),
    (
        (
            "This model's maximum context length is 4097 tokens. However, your messages resulted in 7575 "
            "tokens. Please reduce the length of the messages."
        ),
        7575,
        4097,
    ),
    (
        (
            "This model maximum context length is 2048 tokens. However, your messages resulted in over "
            "2500 tokens and max_tokens is 512."
        ),
        2500,
        2048,
    ),
    (
        (
            "This model's maximum context length is 200 tokens. However, your request has 203 input "
            "tokens. Please reduce the length of the input messages."
        ),
        203,
        200,
    ),
    (
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 1000. This model's maximum context "
            "length is 1000 tokens and your request has 203 input tokens (1000 > 1000 - 203)."
        ),
        203,
        1000,
    ),
    (
        (
            "You passed 9001 input tokens and requested 1024 output tokens. However, the model's context "
            "length is only 4096 tokens, resulting in a maximum input length of 3072 tokens. Please "
            "reduce the length of the input prompt. (parameter=input_tokens, value=9001)"
        ),
        9001,
        4096,
    ),
    (
        (
            "You passed 90001 input characters and requested 1024 output tokens. However, the model's "
            "context length is only 4096 tokens, resulting in a maximum input length of 3072 tokens (at "
            "most 12288 characters). Please reduce the length of the input prompt."
        ),
        None,
        4096,
    ),
    (
        (
            "The decoder prompt (length 5951) is longer than the maximum model length of 4096. Make sure "
            "that `max_model_len` is no smaller than the number of text tokens."
        ),
        5951,
        4096,
    ),
    (
        "Input prompt (35247 tokens) is too long and exceeds limit of 1000",
        35247,
        1000,
    ),
    (
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        61709,
        40960,
    ),
    (
        (
            "Requested token count exceeds the model's maximum context length of 32768 tokens. You "
            "requested a total of 33000 tokens: 32000 tokens from the input messages and 1000 tokens for "
            "the completion. Please reduce the number of tokens in the input messages or the completion "
            "to fit within the limit."
        ),
        32000,
        32768,
    ),
    (
        (
            "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens). Use a "
            "shorter input or enable --allow-auto-truncate."
        ),
        160062,
        59862,
    ),
    (
        "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168",
        1168,
        1024,
    ),
    (
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1244 "
            "`inputs` tokens and 1000 `max_new_tokens`"
        ),
        1244,
        2048,
    ),
    (
        (
            "Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that does not currently "
            "support mid-generation context overflow. Try reloading with a larger context length or "
            "shortening the prompt/chat."
        ),
        None,
        4096,
    ),
    (
        (
            "Trying to keep the first 10136 tokens when context the overflows. However, the model is "
            "loaded with context length of only 7866 tokens, which is not enough. Try to load the model "
            "with a larger context length, or provide a shorter input."
        ),
        10136,
        7866,
    ),
    (
        (
            "The number of tokens to keep from the initial prompt is greater than the context length "
            "(n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length, or "
            "provide a shorter input."
        ),
        13055,
        4096,
    ),
    (
        "request (9001 tokens) exceeds the available context size (4096 tokens), try increasing it",
        9001,
        4096,
    ),
    (
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        None,
        None,
    ),
    (
        "the request exceeds the available context size, try increasing it",
        None,
        None,
    ),
    (
        "input (9001 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
        9001,
        512,
    ),
    (
        (
            "rpc error: code = Internal desc = request (9001 tokens) exceeds the available context size "
            "(4096 tokens), try increasing it"
        ),
        9001,
        4096,
    ),
    (
        "Requested tokens (5000) exceed context window of 2048",
        5000,
        2048,
    ),
    (
        "Number of tokens (513) exceeded maximum context length (512).",
        513,
        512,
    ),
    (
        (
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: "
            "OpenAIException - This model's maximum context length is 4096 tokens. However, your "
            "messages resulted in 9001 tokens."
        ),
        9001,
        4096,
    ),
    (
        "Number of prompt tokens: 5000 exceeds model max length: 4096",
        5000,
        4096,
    ),
    (
        (
            "Mediapipe execution failed. MP status - INVALID_ARGUMENT: CalculatorGraph::Run() failed: "
            '\nCalculator::Process() for node "LLMExecutor" failed: Number of prompt tokens: 5000 exceeds '
            "model max length: 4096"
        ),
        5000,
        4096,
    ),
    (
        "Input length 617 longer than allowed 512",
        617,
        512,
    ),
    (
        "the input length exceeds the context length",
        None,
        None,
    ),
    (
        "input length exceeds maximum context length",
        None,
        None,
    ),
    (
        "the prompt is longer than the context length currently available to the model",
        None,
        None,
    ),
    (
        (
            "Token indices sequence length is longer than the specified maximum sequence length for this "
            "model (18294 > 16384)"
        ),
        18294,
        16384,
    ),
    (
        "prompt is too long: 213462 tokens > 200000 maximum",
        213462,
        200000,
    ),
    (
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)",
        1196265,
        1048575,
    ),
    (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens",
        537812,
        131072,
    ),
    (
        "Please reduce the length of the messages or completion.",
        None,
        None,
    ),
    (
        "Your input exceeds the context window of this model",
        None,
        None,
    ),
    (
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        40000,
        32768,
    ),
    (
        "Prompt length 5000 is greater than max_seq_len 4096",
        5000,
        4096,
    ),
    (
        "Prompt length (5000) exceeds maximum input length (4096).",
        5000,
        4096,
    ),
    (
        "The prompt size exceeds the context window size and cannot be processed.",
        None,
        None,
    ),
    (
        (
            "This endpoint's maximum context length is 131072 tokens. However, you requested about "
            "265300 tokens (264000 of text input, 1300 in the output)."
        ),
        265300,
        131072,
    ),
    (
        "context window exceeds limit",
        None,
        None,
    ),
    (
        "too many tokens in the prompt",
        None,
        None,
    ),
    (
        "The prompt has 5,000 tokens, which is more than the context window of 4,096 tokens",
        5000,
        4096,
    ),
)
OTHERS = (
    (400, "Your request exceeds the token limit of your plan"),
    (400, "The request exceeds the monthly limit of 1000000 tokens"),
    (400, "The token in the request exceeds the maximum length"),
    (400, "max_tokens (1024) exceeds what is left of the context window"),
    (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded after 12 tokens of the prompt"),
    (500, "context canceled: the limit of 30 tokens was reached"),
    (400, "Request body too large: the limit is 10485760 bytes"),
    (400, "You have exceeded the limit of concurrent requests, each of 4096 tokens"),
    (
        429,
        "Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000.",
    ),
    (
        400,
        (
            "Request too large for model on tokens per minute (TPM): Limit 30000, Requested 40000. The "
            "input or output tokens must be reduced"
        ),
    ),
    (
        413,
        (
            "Request too large for model `x` in organization on tokens per minute (TPM): Limit 6000, "
            "Requested 9000, please reduce your message size and try again."
        ),
    ),
    (
        400,
        "You exceeded your current quota of tokens, please check your plan and billing details.",
    ),
    (
        400,
        "max_tokens=140000 cannot be greater than max_model_len=max_total_tokens=131072.",
    ),
    (400, "max_tokens must be at least 1, got 0."),
    (400, "max_tokens must be at least 1, got -1. (parameter=max_tokens, value=-1)"),
    (400, "max_tokens must be at least 1, got -2."),
    (400, "Your message was too long: at most 2000 characters are allowed"),
    (500, "The queue of requests is full; try again with another context"),
    (400, "Your message was too long and could not be processed: rate limit of 9000 tokens per minute"),
    (
        400,
        (
            "max_tokens is too large: 100000. This model supports at most 4096 completion tokens, "
            "whereas you provided 100000."
        ),
    ),
    (
        400,
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 8192 instead.",
    ),
    (
        422,
        "Input validation error: `max_new_tokens` must be <= 192. Given: 1024",
    ),
    (
        422,
        "Input validation error: `max_new_tokens` must be strictly positive",
    ),
    (
        400,
        "max_tokens (8192) exceeds the model's context length (4096 tokens)",
    ),
    (
        400,
        "The maximum output tokens requested exceeds the limit of 4096 for this model",
    ),
    (
        401,
        "Invalid API token: the token exceeds the maximum length",
    ),
    (
        400,
        "Invalid access token in the request: it has expired, or is longer than 4096 characters",
    ),
    (
        403,
        "Your token exceeds its limit of requests",
    ),
    (
        400,
        "chat_template is not supported for Mistral tokenizers.",
    ),
    (
        400,
        "Unexpected token < in JSON at position 0: invalid input",
    ),
    (
        400,
        "Conversation roles must alternate user/assistant/user/assistant/... in the prompt; special tokens are missing",
    ),
    (
        400,
        "The stop sequence in the request is longer than 16 tokens",
    ),
    (
        400,
        "top_logprobs must be less than 20 tokens",
    ),
    (
        500,
        "CUDA error: out of memory",
    ),
    (
        500,
        "model requires more system memory (12 GiB) than is available (8 GiB)",
    ),
    (
        400,
        "The provided JSON schema contains features not supported by xgrammar.",
    ),
    (
        503,
        "server busy, please try again.  maximum pending requests exceeded",
    ),
    (
        400,
        "Extra inputs are not permitted, field: 'stream_options'",
    ),
    (
        400,
        "temperature must be less than 2",
    ),
    (
        400,
        "Input should be less than or equal to 2",
    ),
    (
        400,
        "Too many tools in the request: the limit is 128",
    ),
    (
        400,
        "model is not loaded",
    ),
    (
        400,
        "This model's vocabulary has 32000 tokens; the token id 40000 in logit_bias exceeds it",
    ),
    (
        404,
        "The model `x` does not exist.",
    ),
    (
        400,
        "Prompt tokens budget has been exceeded! Current cost: 5, Max budget: 1",
    ),
    (
        500,
        "Failed to tokenize the prompt: unknown token",
    ),
    (
        400,
        "Image is too large: at most 4096 pixels",
    ),
)
BODIES: dict[str, Wrap] = {
    "text": lambda text: text,
    "string": lambda text: json.dumps({"error": text}),
    "object": lambda text: json.dumps(
        {"error": {"message": text, "type": "BadRequestError", "param": None, "code": 400}}
    ),
    "flat": lambda text: json.dumps({"object": "error", "message": text, "type": "BadRequestError", "code": 400}),
    "detail": lambda text: json.dumps({"detail": text}, indent=2),
    "nested": lambda text: json.dumps({"error": json.dumps({"error": {"message": text}})}),
}
"""How servers wrap a text."""


@pytest.mark.parametrize("wrap", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("text", "prompt", "window"), TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_in_all_words(
    text: str, prompt: int | None, window: int | None, wrap: Wrap
) -> None:
    for status in (200, 400, 413, 422, 500):
        problem = fault(ASKED, status, wrap(text))
        assert isinstance(problem, PromptTooLongError), problem
        assert (problem.prompt_tokens, problem.window) == (prompt, window)


@pytest.mark.parametrize("wrap", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("status", "text"), OTHERS)
def test_what_speaks_of_other_limits_is_not_taken_for_it(status: int, text: str, wrap: Wrap) -> None:
    assert not isinstance(fault(ASKED, status, wrap(text)), PromptTooLongError)


@pytest.mark.parametrize("code", ["context_length_exceeded", "string_above_max_length", "exceed_context_size_error"])
def test_a_code_is_enough(code: str) -> None:
    body = json.dumps({"error": {"message": "no", "code": code}})
    assert overflow(400, body) == (None, None)


def test_characters_are_no_tokens() -> None:
    said = "Invalid 'messages[1].content': string too long. Expected a string with maximum length 1048576, but got a "
    body = {"error": {"message": f"{said}string with length 2000000 instead.", "code": "string_above_max_length"}}
    assert overflow(400, json.dumps(body)) == (None, None)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503])
def test_other_statuses_are_about_something_else(status: int) -> None:
    assert overflow(status, "the input is longer than the limit of 10 tokens of this key") is None


def test_a_request_that_is_repeated_in_the_refusal_does_not_count() -> None:
    echoed = {"msg": "Extra inputs are not permitted", "loc": ["body", "x"], "input": "exceeds the context of 9 tokens"}
    assert overflow(422, json.dumps({"detail": [echoed]})) is None


def test_a_refusal_that_python_has_printed_is_read_without_what_it_repeats() -> None:
    echoed = [{"type": "missing", "loc": ("body", "x"), "msg": "required", "input": "exceeds the context of 9 tokens"}]
    assert overflow(400, str(echoed)) is None
    assert overflow(400, json.dumps({"object": "error", "message": str(echoed)})) is None


def _hostile() -> Iterator[str]:
    yield "[" * 100_000
    yield "[{'a': " * 2000
    yield "[{'a': " + "-" * 16_000 + "1}]"
    yield json.dumps({"error": "context " * 20_000 + "tokens"})
    yield json.dumps({"error": "maximum context length is " + "9" * 5000 + " tokens"})
    yield "\ufeff" + json.dumps({"error": None})
    yield "input " * 100_000
    yield "prompt tokens " * 50_000 + "exceed"


@pytest.mark.parametrize("text", list(_hostile()), ids=lambda text: text[:12])
def test_whatever_comes_is_read_without_harm(text: str) -> None:
    found = overflow(400, text)
    assert found is None or found.window is None
