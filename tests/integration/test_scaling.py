"""Past one machine: the real LiteLLM proxy in front of real llama.cpp servers."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from kilo_review.core.deadline import Deadline
from kilo_review.models.embedded import Engine
from tests.conftest import needs
from tests.support.documents import ROOT, blocks
from tests.support.engines import free_port, litellm
from tests.support.fakes.openai import CHAT, LlamaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

WINDOW = 512
KEY = "sk-the-master-key"
FILES = 4
LINES = 30
INSTRUCTIONS = "Find bugs. Answer in JSON."
"""Instead of the program's own, which would keep a CPU busy for many seconds."""
CUT = "the model's answer was cut off after"
"""The 135M model may ramble to the end of its tokens; then it has answered, and that is what is said."""


def deployment(model: str, url: str, key: str = "none") -> dict[str, Any]:
    """One entry of `model_list`."""
    where = {"model": "hosted_vllm/smollm2", "api_base": f"{url}/v1", "api_key": key}
    return {"model_name": model, "litellm_params": where, "model_info": {"max_input_tokens": WINDOW}}


@dataclass
class Server:
    """llama.cpp's server with one slot, in a process of its own."""

    engine: Engine
    url: str

    def deployment(self, model: str) -> dict[str, Any]:
        return deployment(model, self.url, self.engine.key)

    def has_worked(self) -> bool:
        """Whether one of its slots has ever had a task."""
        request = urllib.request.Request(f"{self.url}/slots", headers={"Authorization": f"Bearer {self.engine.key}"})
        with urllib.request.urlopen(request) as answer:
            return any("id_task" in slot for slot in json.load(answer))


@pytest.fixture(scope="module")
def servers(gguf: Path) -> Iterator[list[Server]]:
    """Three; the last one is killed before anybody asks it."""
    engines = [Engine(gguf, WINDOW) for _ in range(3)]
    made = [Server(engine, engine.wait(Deadline()).rstrip("/")) for engine in engines]
    yield made
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def substitute() -> Iterator[LlamaServer]:
    """What the proxy's configuration names for the case that a model's own servers fail."""
    with LlamaServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def proxy(servers: list[Server], substitute: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    one, two, dead = servers
    gone = f"http://127.0.0.1:{free_port()}"
    listed = [
        *(one.deployment("both"), two.deployment("both")),
        *(one.deployment("half"), dead.deployment("half")),
        *(dead.deployment("none"), deployment("none", gone)),
        *(one.deployment("astray"), deployment("astray", "https://gpu.example")),
        deployment("substitute", substitute.url),
    ]
    (page,) = blocks(ROOT / "docs" / "scaling.md", "yaml")
    configuration = YAML(typ="safe").load(page)
    configuration |= {"model_list": listed, "general_settings": {"master_key": KEY}}
    fallbacks = [{"none": ["substitute"]}, {"half": ["substitute"]}]
    # Chance would now and then give all requests to one server.
    configuration["router_settings"] |= {"routing_strategy": "least-busy", "fallbacks": fallbacks}
    binary = needs("litellm", variable="KILO_TEST_LITELLM")
    with litellm(binary, json.dumps(configuration), tmp_path_factory.mktemp("litellm")) as url:  # JSON is YAML
        dead.engine.close()
        yield url


@pytest.fixture
def change(make_repo: Callable[..., Repo]) -> Repo:
    """Hunks that need a request each."""
    made = make_repo("wide")
    made.commit("first")
    for number in range(FILES):
        made.stage(f"file{number}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(LINES)))
    return made


@pytest.fixture
def review(kilo: Runner, change: Repo, proxy: str, tmp_path: Path) -> Callable[..., Result]:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "system.md").write_text(INSTRUCTIONS)

    def reviewed(model: str, *arguments: str, key: str = KEY) -> Result:
        words = ("--provider", "openai", "--base-url", proxy, "--model", model, "--jobs", "2", "--no-cache")
        short = ("--prompts", str(prompts), "--option", "num_predict=8", "--verify", "off")
        return kilo("staged", *words, *short, *arguments, cwd=change.path, env={"KILO_REVIEW_API_KEY": key})

    return reviewed


def answered(done: Result, proxy: str, model: str) -> dict[str, Any]:
    """The report of a review in which each hunk was asked about and answered, by whichever server."""
    report = done.json()
    entries = report["coverage"]["entries"]
    assert len(entries) == FILES
    for entry in entries:
        assert entry["state"] == "reviewed" or entry["reason"].startswith(CUT), entry
    assert done.code in ({0, 1} if all(entry["state"] == "reviewed" for entry in entries) else {3})
    about = {"provider": "openai", "name": model, "base_url": f"{proxy}/v1", "window": WINDOW, "local": True}
    assert report["model"] == about
    assert {(row["url"], row["address"]) for row in report["egress"]} == {(proxy, "127.0.0.1")}
    assert report["usage"]["prompt_tokens"] > 100 * FILES
    return report


@pytest.mark.long
def test_two_servers_share_a_review(review: Callable[..., Result], servers: list[Server], proxy: str) -> None:
    report = answered(review("both", "--format", "json"), proxy, "both")
    assert report["usage"]["requests"] >= FILES
    assert [server.has_worked() for server in servers[:2]] == [True, True]


def test_one_server_that_is_down_costs_no_hunk(
    review: Callable[..., Result], proxy: str, substitute: LlamaServer
) -> None:
    answered(review("half", "--format", "json"), proxy, "half")
    assert not substitute.asked(CHAT)


def test_with_all_servers_down_nothing_is_called_clean_and_nobody_else_is_asked(
    review: Callable[..., Result], substitute: LlamaServer
) -> None:
    done = review("none", "--max-seconds", "20")
    assert done.code == 3
    assert f"not reviewed: {FILES} hunks in {FILES} files" in done.text
    # Which of the two it says depends on how soon the proxy has given the second server up.
    assert re.search(r"LiteLLM at \S+ that answers? for 'none' (?:is down|have failed lately) \(", done.text)
    assert "in the proxy's configuration" in done.text
    assert not substitute.asked(CHAT)


def test_a_model_with_a_server_elsewhere_is_not_asked(review: Callable[..., Result]) -> None:
    done = review("astray")
    assert done.code == 3
    assert "LiteLLM passes what 'astray' is asked on to gpu.example; nothing was sent" in done.text


def test_a_wrong_key_is_told(review: Callable[..., Result]) -> None:
    done = review("both", key="sk-not-the-key-at-all")
    assert done.code == 3
    assert "wants a token. Set KILO_REVIEW_API_KEY" in done.text
    assert "sk-not-the-key-at-all" not in done.text + done.talk
