"""What a model is shown of the code: control tokens are broken, hidden characters are spelled out, quotes still fit."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.core.deadline import Deadline
from kilo_review.models.embedded import Engine
from kilo_review.sanitize.model_input import inert, restored
from tests.support.fakes.ollama import Model, Ollama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner

TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<unused42>", "<s>", "</s>"),
    *("<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", '<|"|>', "<|python_tag|>", "<|end|>", "<|user|>"),
    *(
        "<\uff5cUser\uff5c>",
        "<\uff5cAssistant\uff5c>",
        "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
        "<|START_OF_TURN_TOKEN|>",
        "<BOS_TOKEN>",
        "<EOS>",
    ),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[SYSTEM_PROMPT]", "[/THINK]", "[TOOL_CALLS]", "[gMASK]", "<sop>"),
    *("[|user|]", "[|endofturn|]", "]~b]", "]~!b[", "[e~[", "<seed:bos>", "<minimax:tool_call>", "<think>", "</think>"),
    *("<tool_call>", "</tool_response>", "<fim_prefix>", "<file_sep>", "<repo_name>", "<issue_start>", "<SPECIAL_12>"),
    *("<extra_id_0>", "<|start|>", "<|message|>", "<|constrain|>", "<|start_of_role|>", "<im_end>", "[EOT]", "<MID>"),
)
CODE = (
    *(
        "List<String> xs",
        "a < b || c > d",
        "xs |> List.map f",
        "f <| x",
        "p <|> q",
        "a ||> b",
        "<div class='s'>",
        "x[i]",
    ),
    *(
        "#include <vector>",
        "std::vector<int>",
        "a[b]~c",
        "if (a<b|c>d)",
        "<T extends U | V>",
        "[a|b]",
        "<h1></h1>",
        "a|b",
    ),
)
HIDING = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\U000e0000-\U000e007f]"


def bare(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("token", TOKENS)
def test_a_control_token_is_broken_by_one_blank(token: str) -> None:
    shown = inert(f"x = '{token}{token}'")
    assert token not in shown
    assert bare(shown) == f"x='{token}{token}'"
    assert restored(shown, f"x = '{token}'") == f"x = '{token}{token}'"


@pytest.mark.parametrize(
    "tokens",
    [
        "[e~[gMASK]",
        "[|user|]~b]",
        "[INST]~b[INST]",
        "<|a[INST]|>",
        "]~b]<]~b]|>",
        "<a[|b|>c|]",
        "]~!b]~!b]~!b[",
        r"<|\n|>",
    ],
)
def test_of_tokens_that_share_a_character_each_is_broken(tokens: str) -> None:
    shown = inert(tokens)
    assert not [token for token in TOKENS if token in shown]
    assert inert(shown) == shown
    assert restored(shown, tokens) == tokens


@pytest.mark.parametrize("code", CODE)
def test_code_that_only_looks_a_little_like_it_is_left_alone(code: str) -> None:
    assert inert(code) == code


@pytest.mark.parametrize("between", ["\0", "\u200b", "\u202e", "\x1b", "\u00ad", "\U000e0041"])
def test_what_disappears_inside_a_token_does_not_put_it_together(between: str) -> None:
    assert not set(TOKENS) & set(re.findall(r"<[^\s<>]+>", inert(f"<|im{between}_end|>")))


@given(st.lists(st.sampled_from([*"<>|[]~/ \t\x1b\u202e\u200b", "im_end", "s", "INST", *TOKENS[:12]])).map("".join))
def test_made_inert_twice_is_made_inert_once(text: str) -> None:
    shown = inert(text)
    assert inert(shown) == shown
    assert not re.search(HIDING, shown)
    assert not [token for token in TOKENS if token in shown]


@given(st.text())
@pytest.mark.long
def test_any_text_can_be_sent_and_hides_nothing(text: str) -> None:
    inert(text).encode("utf-8")
    assert not re.search(HIDING, inert(text))
    assert restored(inert(text), "no token stands here") == inert(text)


def test_a_byte_order_mark_is_left_out_at_the_beginning_alone() -> None:
    assert inert("\ufeffusing System;") == "using System;"
    assert inert("x = '\ufeff'") == "x = '\\ufeff'"


# A real tokenizer


class Tokenizer:
    """llama.cpp's own, behind its server."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def prompt(self, messages: list[dict[str, str]]) -> list[int]:
        """The tokens that the model reads of a chat: as the server does it, rendered first and then tokenized."""
        rendered = self._post("/apply-template", {"messages": messages})["prompt"]
        return self.tokens(rendered)

    def tokens(self, text: str) -> list[int]:
        answer = self._post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        return [int(number) for number in answer["tokens"]]

    def piece(self, number: int) -> str:
        return str(self._post("/detokenize", {"tokens": [number]})["content"])


@pytest.fixture(scope="module")
def tokenizer(gguf: Path) -> Iterator[Tokenizer]:
    engine = Engine(gguf, 4096)
    try:
        yield Tokenizer(engine.wait(Deadline()), engine.key)
    finally:
        engine.close()


CONTROL = 17
"""SmolLM2's first tokens are its control tokens, from <|endoftext|> to <empty_output>."""


def test_the_server_takes_content_for_control_tokens_unless_it_is_inert(tokenizer: Tokenizer) -> None:
    names = [tokenizer.piece(number) for number in range(CONTROL)]
    for number, name in enumerate(names):
        assert number in tokenizer.tokens(f"x = '{name}'"), "this server no longer needs it"
        assert not [token for token in tokenizer.tokens(inert(f"x = '{name}'")) if token < CONTROL], name


@pytest.mark.long
def test_a_change_full_of_control_tokens_reaches_the_model_as_text(
    tokenizer: Tokenizer, kilo: Runner, repo: Repo
) -> None:
    names = [tokenizer.piece(number) for number in range(CONTROL)]
    hostile = "".join(f"x{number} = '{name}'\n" for number, name in enumerate(names))
    with Ollama(models=[Model("m:1", loaded_window=8192)]) as server:
        for content in (hostile, re.sub(r"<[^>]+>", "text", hostile)):
            repo.stage("x.py", content)
            kilo("--provider", "ollama", "--base-url", server.url)
        read = [tokenizer.prompt(body["messages"]) for body in server.asked("/api/chat")]
    controls = [[token for token in tokens if token < CONTROL] for tokens in read]
    assert len(controls) == 2
    assert controls[0] == controls[1]  # those of the template, and not one more
