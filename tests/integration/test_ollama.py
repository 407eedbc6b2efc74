"""A real staged change, reviewed by a real Ollama."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ModelNotFoundError, PromptTooLongError, ServerFailedError
from kilo_review.models import connect
from kilo_review.models.base import ModelRequest
from kilo_review.prompts import Message
from tests.conftest import needs
from tests.support.engines import ENOUGH, MODEL, SHORT, asked, ollama, reviewed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import Model
    from tests.conftest import Repo, Runner


@pytest.fixture(scope="session")
def ollama_url(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ollama(needs("ollama", variable="KILO_TEST_OLLAMA"), gguf, tmp_path_factory.mktemp("ollama")) as url:
        yield url


@pytest.fixture
def egress() -> list[Egress]:
    return []


@pytest.fixture
def unloaded(ollama_url: str) -> None:
    """Nothing of an earlier test is in memory, such as a window of another size."""
    body = json.dumps({"model": MODEL, "keep_alive": 0}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{ollama_url}/api/generate", body)) as answer:
        answer.read()
    end = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"{ollama_url}/api/ps") as answer:
            if not json.load(answer)["models"]:
                return
        assert time.monotonic() < end, "the model stays in memory"
        time.sleep(0.1)


def model_at(url: str, egress: list[Egress], **options: Any) -> Model:
    return connect(ModelRequest("ollama", MODEL, url, options=options), egress, Deadline())


@pytest.mark.usefixtures("unloaded")
def test_a_staged_change(kilo: Runner, buggy: Repo, ollama_url: str) -> None:
    done = kilo("--provider", "ollama", "--base-url", ollama_url, *ENOUGH, "--format", "json")
    report = done.json()
    reviewed(report)
    assert report["model"] == {
        "provider": "ollama",
        "name": MODEL,
        "base_url": ollama_url,
        "window": 8192,
        "local": True,
    }
    assert f"asking {MODEL} (ollama at {ollama_url}" in done.talk


def test_ollama_host_leads_auto_to_it(kilo: Runner, buggy: Repo, ollama_url: str) -> None:
    host = ollama_url.removeprefix("http://")
    report = kilo(*SHORT, "--format", "json", env={"OLLAMA_HOST": host}).json()
    assert report["model"]["base_url"] == ollama_url


def test_its_openai_wire_works_too(kilo: Runner, buggy: Repo, ollama_url: str) -> None:
    asked(kilo("--provider", "openai", "--base-url", ollama_url, *SHORT, "--format", "json").json())


def test_the_loaded_window_is_kept(kilo: Runner, buggy: Repo, ollama_url: str) -> None:
    options = ("--provider", "ollama", "--base-url", ollama_url, *SHORT, "--format", "json")
    assert kilo(*options, "--option", "num_ctx=4096").json()["model"]["window"] == 4096
    assert kilo(*options).json()["model"]["window"] == 4096
    assert kilo(*options, "--option", "num_ctx=8192").json()["model"]["window"] == 8192


def test_an_unknown_model_is_explained(kilo: Runner, buggy: Repo, ollama_url: str) -> None:
    done = kilo("--provider", "ollama", "--base-url", ollama_url, "--model", "smollm2:360m")
    assert done.code == 3
    assert "has no model 'smollm2:360m'. Did you mean smollm2:135m?" in done.text
    assert "ollama pull smollm2:360m" in done.text


def test_a_prompt_that_does_not_fit_is_an_error_and_not_half_a_review(ollama_url: str, egress: list[Egress]) -> None:
    model = model_at(ollama_url, egress, num_ctx=2048)
    with pytest.raises(PromptTooLongError):
        model.ask([Message("user", "1 " * 5000)], None, Deadline())
    model.close()


def test_thinking_that_is_not_there_is_told(ollama_url: str, egress: list[Egress]) -> None:
    model = model_at(ollama_url, egress, think=True)
    with pytest.raises(ServerFailedError, match=r"does not support thinking.*Leave it out"):
        model.ask([Message("user", "x")], None, Deadline())
    model.close()


def test_a_model_that_vanishes_is_told(ollama_url: str, egress: list[Egress]) -> None:
    with pytest.raises(ModelNotFoundError):
        connect(ModelRequest("ollama", "nope", ollama_url), egress, Deadline())


def test_counts_and_speed_are_the_servers(ollama_url: str, egress: list[Egress]) -> None:
    model = model_at(ollama_url, egress, num_predict=40)
    reply = model.ask([Message("user", "Count to ten.")], None, Deadline())
    assert reply.prompt_tokens > 5
    assert 0 < reply.completion_tokens <= 40
    assert 0 < reply.answer_seconds < reply.seconds
    assert model.slow_reason(Deadline()) == "the model runs wholly on the CPU"
    model.close()
    assert egress[0].requests == 6
