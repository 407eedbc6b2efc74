"""`kilo-review models`: what runs here, what it offers, what a review would ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.models import survey
from kilo_review.models.auto import candidates
from kilo_review.models.base import ModelRequest
from tests.support.engines import free_port
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.lmstudio import Model as LMModel
from tests.support.fakes.ollama import CLOUD, Model, Ollama
from tests.support.fakes.openai import VLLM, LlamaServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    models = [
        Model("qwen2.5-coder:7b", loaded_window=8192, size_vram=2_341_543_666),
        Model("nomic-embed-text:latest", capabilities=("embedding",)),
        Model("qwen3-coder:480b-cloud", remote_host=CLOUD, remote_model="qwen3-coder:480b"),
        Model("\x1b[2Jmine:1b", remote_host="https://gpu\u202e.example"),
    ]
    with Ollama(models=models) as fake:
        yield fake


def test_each_model_with_what_counts_for_choosing_it(kilo: Runner, repo: Repo, ollama: Ollama) -> None:
    done = kilo("models", "--base-url", ollama.url)
    lines = done.text.splitlines()
    assert done.code == 0
    assert lines[0] == f"{ollama.url} (Ollama 0.33.0, cloud models are switched on)"
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[1:5]}
    assert told["qwen2.5-coder:7b"] == "4.7 GB, loaded, window 8192, 50% on the GPU"
    assert told["nomic-embed-text:latest"] == "4.7 GB, window up to 32768, cannot chat"
    assert told["qwen3-coder:480b-cloud"] == f"runs on {CLOUD}: never asked"
    assert told["\\x1b[2Jmine:1b"] == "runs on https://gpu\\u202e.example: never asked"
    assert lines[-1] == (
        f"kilo-review: a review would ask qwen2.5-coder:7b (ollama at {ollama.url}; already loaded, window 8192)"
    )
    assert not ollama.asked("/api/chat")


def test_for_programs(kilo: Runner, repo: Repo, ollama: Ollama) -> None:
    report = json.loads(kilo("models", "--base-url", ollama.url, "--format", "json").stdout)
    server = next(each for each in report["servers"] if each["url"] == ollama.url)
    assert (server["provider"], server["version"], server["local"], server["cloud"]) == ("ollama", "0.33.0", True, True)
    assert server["models"][0] == {
        "name": "qwen2.5-coder:7b", "loaded": True, "window": 8192, "largest_window": 32768, "size": 4683087332,
        "on_gpu": 2341543666 / 4683087332, "chat": True, "elsewhere": None, "state": None,
    }  # fmt: skip
    assert server["models"][2]["elsewhere"] == CLOUD
    assert report["chosen"]["name"] == "qwen2.5-coder:7b"
    assert report["chosen"]["why"] == "already loaded"


@pytest.mark.parametrize(
    ("server", "first", "model"),
    [
        (LMStudio(models=[LMModel("qwen2.5-coder-14b", loaded_window=16384)]), "LM Studio", "loaded, window 16384"),
        (LlamaServer(), "llama-server b10488, 1 at a time", "loaded, window 16384"),
        (VLLM(), "vLLM 0.26.0", "loaded, window 40960"),
    ],
    ids=["lmstudio", "llama-server", "vllm"],
)
def test_every_kind_of_server(kilo: Runner, repo: Repo, server: Any, first: str, model: str) -> None:
    with server:
        lines = kilo("models", "--base-url", server.url).text.splitlines()
    assert lines[0] == f"{server.url}/v1 ({first})"
    assert lines[1].endswith(model)


def test_nothing_that_can_be_asked_is_exit_3_with_the_next_step(kilo: Runner, repo: Repo) -> None:
    done = kilo("models", "--provider", "ollama", "--base-url", f"http://127.0.0.1:{free_port()}")
    assert done.code == 3
    assert "kilo-review: nothing can be asked: Ollama: cannot connect to" in done.text
    assert "ollama serve" in done.text


def test_a_server_that_answers_with_an_error_is_shown_with_it(kilo: Runner, repo: Repo) -> None:
    with VLLM(token="secret-token") as server:
        done = kilo(
            "models", "--provider", "openai", "--base-url", server.url, env={"KILO_REVIEW_API_KEY": "wrong-token"}
        )
    assert done.code == 3
    assert "wants a token. Set KILO_REVIEW_API_KEY" in done.text
    assert "wrong-token" not in done.text + done.talk


def test_a_key_goes_to_the_server_that_the_user_named_and_to_no_other(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LlamaServer() as other:
        monkeypatch.setattr(survey, "candidates", lambda _request: [("openai", other.url + "/v1")])
        request = ModelRequest("ollama", base_url=ollama.url, api_key="a-secret-token")
        found = survey.look(request, [], Deadline())
    assert [each.provider for each in found if each.survey][:2] == ["ollama", "openai"]
    assert {call.headers.get("authorization") for call in ollama.calls} == {"Bearer a-secret-token"}
    assert {call.headers.get("authorization") for call in other.calls} == {None}


def test_the_usual_ports_are_those_that_auto_tries() -> None:
    ports = [url.rsplit(":", 1)[1] for _, url in candidates(ModelRequest(ollama_host="127.0.0.1:11500"))]
    assert ports == ["11500", "11434", "1234/v1", "8080/v1", "9931/v1", "8000/v1"]


def test_the_engine_is_listed_without_being_started(kilo: Runner, repo: Repo, gguf: Path, ollama: Ollama) -> None:
    lines = kilo("models", "--base-url", ollama.url).text.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("the embedded engine "))
    assert lines[at + 1].split()[0] == gguf.name
