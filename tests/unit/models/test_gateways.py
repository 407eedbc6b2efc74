"""Servers with several models: which of them run elsewhere, which are loaded, and where their interface lies."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError, ModelNotFoundError, NotLocalError, WrongServerError
from kilo_review.models import auto, survey
from kilo_review.models.base import ModelRequest
from kilo_review.prompts import REPLY_SCHEMA
from tests.support.fakes.base import NOTHING_FOUND, as_json
from tests.support.fakes.clients import QUESTION, ask, connected, error_of, info
from tests.support.fakes.gateways import Gateway, LlamaSwap, Router, koboldcpp, lemonade, openvino
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.ollama import CLOUD, Model, Ollama
from tests.support.fakes.openai import CHAT, VLLM, LlamaServer

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner

LOCAL = {"id": "Qwen3-Coder-GGUF", "recipe": "llamacpp", "labels": ["coding"]}
AFAR = {"id": "fireworks.qwen3-coder", "recipe": "cloud", "cloud_provider": "fireworks"}
CODER, OTHER = "qwen3-coder", "llama-3"


def remote(provider: str, url: str, **wanted: Any) -> NotLocalError:
    problem = error_of(provider, url, **wanted)
    assert isinstance(problem, NotLocalError), problem
    return problem


# Where a model runs


@pytest.mark.parametrize("provider", ["openai", "auto"])
@pytest.mark.parametrize("name", [None, AFAR["id"]])
def test_lemonades_cloud_models_are_not_asked(provider: str, name: str | None) -> None:
    with lemonade(AFAR) as server:
        problem = remote(provider, server.url, name=name)
        assert f"the model '{AFAR['id']}' runs on fireworks" in problem.message
        assert "nothing of it was sent" in problem.message
        assert "ollama list" not in problem.hint
        assert "Choose a model that runs on this machine (`kilo-review models` shows where each runs)" in problem.hint
        assert not server.asked(CHAT)


def test_lemonades_local_models_are_asked_beside_its_cloud_models() -> None:
    with lemonade(AFAR, LOCAL) as server:
        assert ask("auto", server.url).text == NOTHING_FOUND
        assert [body["model"] for body in server.asked(CHAT)] == [LOCAL["id"]]


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ([LOCAL["id"], AFAR["id"]], "fireworks"),
        (["not-listed"], "a place that its listing does not tell"),
        ([], "a place that its listing does not tell"),
    ],
)
def test_a_collection_that_may_go_to_a_cloud_model_is_not_asked(parts: list[str], place: str) -> None:
    router = {"id": "coder-router", "recipe": "collection.router", "components": parts}
    with lemonade(LOCAL, AFAR, router) as server:
        assert f"runs on {place}" in remote("openai", server.url, name="coder-router").message
        assert not server.asked(CHAT)


def test_a_collection_of_local_models_is_asked() -> None:
    with lemonade(LOCAL, {"id": "both", "recipe": "collection.router", "components": [LOCAL["id"]]}) as server:
        assert ask("openai", server.url, name="both").text == NOTHING_FOUND


def test_lemonades_emulation_of_ollama_is_not_believed() -> None:
    """It does not say there where a model runs."""
    with lemonade(AFAR) as server:
        problem = error_of("ollama", server.url, name=AFAR["id"])
        assert isinstance(problem, WrongServerError)
        assert "Lemonade answers at" in problem.message
        assert "--provider openai" in problem.hint
        assert server.paths == ["/api/version", "/v1/models"]


@pytest.mark.parametrize("facts", [{"type": "peer"}, {"peerID": "gpu-box"}, {"type": "peer", "peerID": "gpu-box"}])
@pytest.mark.parametrize("name", [None, CODER])
def test_llama_swaps_peers_are_not_asked(facts: dict[str, Any], name: str | None) -> None:
    with LlamaSwap(models={CODER: facts}) as server:
        assert f"the model '{CODER}' runs on " in remote("openai", server.url, name=name).message
        assert not server.asked(CHAT)


@pytest.mark.parametrize(
    "told", [{"proxy": "http://192.0.2.7:8080"}, {"cmd": "llama-server --rpc 192.0.2.7:50052 -m x.gguf"}]
)
def test_a_model_that_llama_swap_runs_on_another_machine_is_not_asked(told: dict[str, str]) -> None:
    with LlamaSwap(models={CODER: {}}, running={CODER: told}) as server:
        assert "192.0.2.7" in remote("openai", server.url, name=CODER).message
        assert not server.asked(CHAT)


@pytest.mark.parametrize("provider", ["openai", "auto"])
@pytest.mark.parametrize("name", [None, CODER])
@pytest.mark.parametrize("afar", [{"meta": {"llamaswap": {"type": "peer"}}}, {"connection_type": "external"}])
def test_a_name_that_is_listed_here_and_elsewhere_is_not_asked(
    provider: str, name: str | None, afar: dict[str, Any]
) -> None:
    entries = [{"id": CODER, "owned_by": "llama-swap"}, {"id": CODER, "owned_by": "llama-swap", **afar}]
    for listed in (entries, entries[::-1], [{"id": CODER.upper(), **afar}, entries[0]]):
        with Gateway(entries=listed) as server:
            assert isinstance(error_of(provider, server.url, name=name), NotLocalError)
            assert not server.asked(CHAT)


def test_a_name_that_is_listed_twice_without_a_conflict_is_asked() -> None:
    with Gateway(entries=[{"id": CODER}, {"id": CODER, "connection_type": "local"}, {"id": OTHER, **AFAR}]) as server:
        assert ask("openai", server.url, name=CODER).text == NOTHING_FOUND


@pytest.mark.parametrize("provider", ["openai", "auto"])
@pytest.mark.parametrize("name", [None, CODER])
def test_open_webuis_external_connections_are_not_asked(provider: str, name: str | None) -> None:
    entry = {"id": CODER, "owned_by": "openai", "openai": {"id": CODER}, "urlIdx": 0}
    with Gateway(entries=[entry | {"connection_type": "external"}], base="/api") as server:
        assert isinstance(error_of(provider, f"{server.url}/api", name=name), NotLocalError)
        assert not server.asked("/api/chat/completions")
    with Gateway(entries=[entry | {"connection_type": "local"}], base="/api") as server:
        assert ask(provider, f"{server.url}/api", name=name).text == NOTHING_FOUND


@pytest.mark.parametrize("make", [koboldcpp, lambda: LlamaSwap(models={CODER: {"type": "model"}})])
@pytest.mark.parametrize("provider", ["openai", "auto"])
def test_servers_that_imitate_ollama_are_asked_on_the_openai_wire(make: Any, provider: str) -> None:
    with make() as server, connected(provider, server.url) as model:
        assert model.info.provider == "openai"
        assert model.ask(QUESTION, REPLY_SCHEMA, Deadline()).text == NOTHING_FOUND


@pytest.mark.parametrize("make", [koboldcpp, lambda: LlamaSwap(models={CODER: {}})])
def test_an_imitation_is_named(make: Any) -> None:
    with make() as server:
        problem = error_of("ollama", server.url)
    assert isinstance(problem, WrongServerError)
    assert problem.message.startswith(("llama-swap answers at http://", "KoboldCpp answers at http://"))
    assert problem.message.endswith(", and only imitates Ollama")
    assert problem.hint == "Ask it with --provider openai, or leave the provider out"


def test_a_detail_is_honoured_whoever_gives_it() -> None:
    with koboldcpp(show={"details": {"remote_host": "https://gpu.example"}}) as server:
        assert "https://gpu.example" in remote("openai", server.url).message


@pytest.mark.parametrize("namespace", ["vllm", "docker", "llamacpp", ""])
def test_a_namespace_in_ollama_is_not_taken_for_another_server(namespace: str) -> None:
    """`owned_by` is the model's namespace there, which its author chooses."""
    alias = Model("coder:7b", remote_host=CLOUD, remote_model="gpt-oss:120b")
    listed = {"object": "list", "data": [{"id": "coder:7b", "object": "model", "owned_by": namespace}]}
    with Ollama(models=[alias], instead={"/v1/models": [as_json(listed)]}) as server:
        assert CLOUD in remote("openai", server.url, name="coder:7b").message
        assert not server.asked(CHAT)


def test_ollama_is_ollama_whatever_namespaces_its_models_have() -> None:
    data = [{"id": "x/y:1", "owned_by": "x"}, {"id": "qwen2.5-coder:7b", "owned_by": "library"}]
    with Ollama(instead={"/v1/models": [as_json({"object": "list", "data": data})]}) as server:
        assert info("auto", server.url).provider == "ollama"


@pytest.mark.parametrize("listing", ["v1", "v0", "plain"])
def test_lm_studio_is_believed_too(listing: str) -> None:
    entry = {"key": "m", "id": "m", "type": "llm", "state": "loaded", "deviceIdentifier": "mac-studio"}
    listed = {"v1": "/api/v1/models", "v0": "/api/v0/models", "plain": "/v1/models"}[listing]
    body = {"models": [entry]} if listing == "v1" else {"data": [entry]}
    with LMStudio(has_v1_listing=False, has_v0_listing=False, instead={listed: [as_json(body)]}) as server:
        assert "mac-studio" in remote("lmstudio", server.url, name="m").message
        assert not server.asked(CHAT)


@pytest.mark.parametrize("provider", ["openai", "auto", "lmstudio", "ollama"])
def test_headers_of_a_listing_are_honoured_on_every_wire(provider: str) -> None:
    served = (("X-Served-By", "gpu-2"),)
    make = {"lmstudio": LMStudio, "ollama": Ollama}.get(provider, LlamaServer)
    with make() as server:
        paths = ["/v1/models", "/api/v1/models", "/api/version"]
        server.instead = {path: [lambda call: _with(server.respond(call), served)] for path in paths}
        problem = remote(provider, server.url)
        assert "passes requests on to 'gpu-2', by its header x-served-by" in problem.message
        assert "Name the address of a model server on this machine with --base-url, or allow that host by name" in str(
            problem
        )
        assert "in your own settings (allow_hosts)" in problem.hint
        assert not {CHAT, "/api/chat"} & set(server.paths)


def _with(answer: Any, headers: tuple[tuple[str, str], ...]) -> Any:
    return replace(answer, headers=headers)


@pytest.mark.parametrize(
    "says",
    [
        {"provider": "OpenRouter"},
        {"remote_host": "https://gpu.example"},
        {"x_route": {"peer": "gpu-box"}},
        {"model": "kimi-k2:1t-cloud"},
    ],
)
def test_an_answer_that_comes_from_elsewhere_is_told(says: dict[str, Any]) -> None:
    with lemonade(LOCAL, says=says) as server:
        problem = remote("openai", server.url)
        assert "the request has left this machine" in problem.message


def test_headers_of_an_answer_from_elsewhere_are_told(kilo: Runner, buggy: Repo) -> None:
    with LlamaServer() as server:
        server.instead[CHAT] = [lambda call: _with(server.respond(call), (("CF-Ray", "8f1"),))]
        done = kilo("--provider", "openai", "--base-url", server.url, "--format", "json")
    assert done.code == 3
    assert "the request has left this machine" in done.json()["coverage"]["entries"][0]["reason"]


# What is loaded

STATES: dict[str, dict[str, Any]] = {
    "qwen3-coder-failed": {"value": "unloaded", "failed": True, "exit_code": 1},
    CODER: {"value": "unloaded"},
    "devstral-sleeping": {"value": "sleeping", "args": ["llama-server"]},
    OTHER: {"value": "loaded", "args": ["llama-server", "-ctx", "4096"]},
}


def test_the_loaded_one_is_chosen_before_a_better_one_that_is_not() -> None:
    with Router(states=STATES) as server:
        found = info("openai", server.url)
        assert (found.name, found.why, found.window) == (OTHER, "already loaded", 4096)
        assert server.loads == []


@pytest.mark.parametrize(
    ("gone", "chosen"),
    [
        ([OTHER], "devstral-sleeping"),
        ([OTHER, "devstral-sleeping"], CODER),
        ([OTHER, "devstral-sleeping", CODER], "qwen3-coder-failed"),
    ],
)
def test_then_what_is_nearest_to_it_and_at_last_what_failed(gone: list[str], chosen: str) -> None:
    with Router(states={name: status for name, status in STATES.items() if name not in gone}) as server:
        found = info("openai", server.url)
    assert found.name == chosen
    assert found.why != "already loaded"


def test_a_model_that_is_named_is_taken_whatever_its_state() -> None:
    with Router(states=STATES) as server:
        assert ask("openai", server.url, name=CODER).text == NOTHING_FOUND
        assert server.loads == [CODER]


def test_a_model_that_is_not_loaded_for_a_request_is_told_with_the_remedy() -> None:
    with Router(states=STATES, autoloads=False) as server:
        problem = error_of("openai", server.url, name=CODER)
    assert isinstance(problem, ModelNotFoundError)
    assert problem.message.startswith("the server at http://")
    assert problem.message.endswith(f" has not loaded '{CODER}', and does not load it for a request")
    assert problem.hint == (
        "Load it there (llama-server: POST /models/load, or start it without --no-models-autoload), or choose a loaded"
        " one with --model; kilo-review models shows them"
    )


def test_models_tells_the_states(kilo: Runner, repo: Repo) -> None:
    with Router(states=STATES | {"x": {"value": "loading"}}, windows={OTHER: 12288}) as server:
        words = ("models", "--provider", "openai", "--base-url", server.url)
        lines = [line.split(None, 1) for line in kilo(*words).text.splitlines()]
        report = json.loads(kilo(*words, "--format", "json").stdout)
        assert server.loads == []
    told = {line[0]: line[1] for line in lines if len(line) == 2}
    assert told[OTHER] == "loaded, window 12288"
    assert told[CODER] == "not loaded"
    assert told["qwen3-coder-failed"] == "failed to load"
    assert told["devstral-sleeping"] == "sleeping"
    assert told["x"] == "loading"
    rows = {row["name"]: (row["loaded"], row["state"]) for row in report["servers"][0]["models"]}
    assert (rows[OTHER], rows[CODER]) == ((True, "loaded"), (False, "not loaded"))
    assert report["chosen"]["name"] == OTHER


@pytest.mark.parametrize(
    ("name", "text"),
    [(CODER, "not loaded: the next review waits"), ("qwen3-coder-failed", "it failed to load"), (OTHER, "")],
)
def test_doctor_tells_the_state_of_the_one_that_would_be_asked(kilo: Runner, repo: Repo, name: str, text: str) -> None:
    with Router(states=STATES) as server:
        words = ("doctor", "--provider", "openai", "--base-url", server.url, "--model", name, "--format", "json")
        checks = json.loads(kilo(*words).stdout)["checks"]
    told = [check["text"] for check in checks if check["name"] == "model" and check["level"] == "warning"]
    assert (text in told[0]) if text else not told


def test_llama_swaps_running_model_is_not_swapped_out() -> None:
    with LlamaSwap(models={CODER: {}, OTHER: {}}, running={OTHER: {}}) as server:
        with connected("openai", server.url) as model:
            assert (model.info.name, model.info.why) == (OTHER, "already loaded")
            assert model.ask(QUESTION, REPLY_SCHEMA, Deadline()).text == NOTHING_FOUND
        survey.look(ModelRequest("openai", base_url=server.url), [], Deadline())
        assert server.swaps == []


def test_of_what_llama_swap_starts_and_stops_the_state_is_told() -> None:
    running = {OTHER: {"state": "stopping"}, "devstral": {"state": "starting"}}
    with LlamaSwap(models={OTHER: {}, "devstral": {}, CODER: {}}, running=running) as server:
        assert info("openai", server.url).name == "devstral"
        (look,) = [
            each for each in survey.look(ModelRequest("openai", base_url=server.url), [], Deadline()) if each.survey
        ][:1]
    assert look.survey
    assert look.survey.server == "llama-swap"
    states = {offer.name: offer.state for offer in look.survey.offers}
    assert states == {OTHER: "not loaded", "devstral": "loading", CODER: "not loaded"}


def test_a_server_with_one_model_has_loaded_it() -> None:
    for make in (LlamaServer, VLLM):
        with make() as server:
            assert info("openai", server.url).why == "already loaded"


# Where the interface lies


@pytest.mark.parametrize("suffix", ["/v3", "/v3/"])
@pytest.mark.parametrize("provider", ["openai", "auto"])
def test_a_base_url_with_a_path_is_taken_as_it_is(provider: str, suffix: str) -> None:
    with openvino() as server, connected(provider, server.url + suffix) as model:
        assert model.info.base_url == f"{server.url}/v3"
        assert model.ask(QUESTION, REPLY_SCHEMA, Deadline()).text == NOTHING_FOUND


@pytest.mark.parametrize(("path", "base"), [("/llm", "/llm/v1"), ("/llm", "/llm"), ("/api/v1", "/api/v1")])
def test_a_prefix_of_a_proxy_may_or_may_not_have_v1_behind_it(path: str, base: str) -> None:
    with openvino() as server:
        server.base = base
        assert ask("openai", server.url + path).text == NOTHING_FOUND
        assert info("openai", server.url + path).base_url == server.url + base


def test_no_other_path_is_tried_for_a_base_url_without_one() -> None:
    with openvino() as server:
        assert isinstance(error_of("openai", server.url), WrongServerError)
        assert server.paths == ["/v1/models"]


def test_the_message_names_the_address_that_was_asked() -> None:
    with openvino() as server:
        server.base = "/elsewhere"
        problem = error_of("openai", f"{server.url}/v3")
        assert f"something answers at {server.url}/v3, " in problem.message
        assert f"{server.url}/v3 was asked" in problem.hint
        assert "11434" not in problem.hint
        assert server.paths == ["/v3/models", "/v3/v1/models"]


@pytest.mark.parametrize("route", ["/chat/completions", "/chat/completions/", "/models", "/completions", "/responses"])
@pytest.mark.parametrize("base", ["/v1", "/v3", "/proxy/a/v1", ""])
@pytest.mark.parametrize("provider", ["openai", "auto"])
def test_a_base_url_that_ends_in_a_route_is_told_without_it(provider: str, base: str, route: str) -> None:
    with Gateway(base=base or "/v1", entries=[{"id": "m"}]) as server:
        problem = error_of(provider, f"{server.url}{base}{route}")
    assert isinstance(problem, WrongServerError)
    assert problem.hint == f"Is the base URL right? It ends before the route: {server.url}{base}"


def test_so_is_one_of_a_server_that_answers_everything() -> None:
    with Gateway(entries=[], unknown=as_json({"error": "Unexpected endpoint"})) as server:
        problem = error_of("openai", f"{server.url}/v1/chat/completions")
        other = error_of("openai", f"{server.url}/v2")
    assert problem.hint == f"Is the base URL right? It ends before the route: {server.url}/v1"
    assert other.hint == "Is the base URL right? It usually ends in /v1"


def test_a_prefix_that_is_called_like_a_route_is_taken_as_it_is() -> None:
    with Gateway(entries=[{"id": "m"}], base="/models/v1") as server:
        assert ask("openai", f"{server.url}/models").text == NOTHING_FOUND


def test_an_ollama_behind_a_prefix_is_asked_where_its_models_run() -> None:
    alias = Model("coder:7b", remote_host=CLOUD, remote_model="gpt-oss:120b")
    with Ollama(models=[alias]) as server:
        listed = {"object": "list", "data": [{"id": "coder:7b", "object": "model", "owned_by": "bartowski"}]}
        server.instead["/llm/models"] = [as_json(listed)]
        assert CLOUD in remote("openai", f"{server.url}/llm").message
        assert "/llm/chat/completions" not in server.paths


def test_models_finds_an_imitation_at_ollamas_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with lemonade(LOCAL, AFAR) as server:
        monkeypatch.setattr(survey, "candidates", lambda _request: [("ollama", server.url)])
        monkeypatch.setattr(auto, "candidates", lambda _request: [("ollama", server.url)])
        looks = [each.survey for each in survey.look(ModelRequest(), [], Deadline()) if each.survey and each.url]
        assert [(each.provider, each.server) for each in looks] == [("openai", "Lemonade")]
        assert [offer.elsewhere for offer in looks[0].offers] == ["", "fireworks"]
        model = auto.connect(ModelRequest(), [], Deadline().within(30))
        model.close()
        assert (model.info.provider, model.info.name) == ("openai", LOCAL["id"])


def test_a_port_of_ollamas_where_only_cloud_models_are_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with lemonade(AFAR) as server:
        monkeypatch.setattr(auto, "candidates", lambda _request: [("ollama", server.url)])
        with pytest.raises(KiloReviewError, match="runs on fireworks"):
            auto.connect(ModelRequest(), [], Deadline().within(30))


@pytest.mark.parametrize(("entry", "is_warned"), [({"id": "m"}, True), ({"id": "m", "owned_by": "llamacpp"}, False)])
def test_doctor_warns_of_a_server_that_does_not_tell_what_it_is(
    kilo: Runner, repo: Repo, entry: dict[str, Any], is_warned: bool
) -> None:
    with Gateway(entries=[entry]) as server:
        words = ("doctor", "--provider", "openai", "--base-url", server.url, "--format", "json")
        checks = json.loads(kilo(*words).stdout)["checks"]
    told = [check["text"] for check in checks if check["name"] == "forwarding"]
    assert any(f"{server.url}/v1: this server does not tell what it is" in text for text in told) == is_warned


def test_a_proxy_that_names_itself_in_a_header_must_tell_what_is_behind_it() -> None:
    version = (("x-litellm-version", "1.109.0"),)
    with Gateway(entries=[{"id": "reviewer", "owned_by": "acme"}], headers=version) as server:
        assert "does not tell where it passes on" in remote("openai", server.url).message
        assert not server.asked(CHAT)


def test_a_running_list_that_is_none_claims_nothing() -> None:
    with LlamaSwap(models={CODER: {}}, instead={"/running": [as_json({"error": "unauthorized"}, 401)]}) as server:
        look = survey.look(ModelRequest("openai", base_url=server.url), [], Deadline())[0]
        assert look.survey
        assert [offer.state for offer in look.survey.offers] == [""]
