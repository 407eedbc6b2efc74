"""LiteLLM's proxy as a fake: what it tells of the servers behind it, and where it may not pass code on.

The real one is asked in tests/integration/test_scaling.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes.base import as_json, as_sse, event
from tests.support.fakes.litellm import INFO, Behind, LiteLLM, refused
from tests.support.fakes.openai import CHAT, LlamaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Result, Runner

AS_TEXT = ("--format", "text")
DOWN = "litellm.InternalServerError: InternalServerError: Hosted_vllmException - Cannot connect to host REDACTED:8001"
LEFT = "litellm.InternalServerError: InternalServerError: Hosted_vllmException - Server disconnected"
DIED = "litellm.APIConnectionError: APIConnectionError: Hosted_vllmException - Response payload is not completed"
COOLING = "No deployments available for selected model, Try again in 5 seconds. Passed model=reviewer."


@pytest.fixture
def proxy() -> Iterator[LiteLLM]:
    with LiteLLM() as fake:
        yield fake


@pytest.fixture
def review(kilo: Runner, buggy: Repo) -> Callable[..., Result]:
    def reviewed(server: Any, *arguments: str, **environment: str) -> Result:
        words = ("--provider", "openai", "--base-url", server.url, "--no-cache")
        form = () if AS_TEXT[0] in arguments else ("--format", "json")
        return kilo("staged", *words, *form, *arguments, env=environment)

    return reviewed


def nothing_was_sent(server: LiteLLM, done: Result) -> str:
    assert done.code == 3
    assert not server.asked(CHAT)
    (entry,) = done.json()["coverage"]["entries"]
    return f"{entry['reason']}"


def test_the_window_is_the_smallest_of_the_servers_that_may_answer(
    proxy: LiteLLM, review: Callable[..., Result]
) -> None:
    proxy.behind = [Behind(window=8192), Behind(window=4096), Behind("other", window=2048), Behind(window=None)]
    done = review(proxy, "--model", "reviewer")
    assert done.code == 0, done.talk
    assert done.json()["model"]["window"] == 4096
    assert done.json()["model"]["local"] is True


def test_a_window_that_nobody_tells_is_the_users_word(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    proxy.behind = [Behind(window=None)]
    assert review(proxy, "--option", "num_ctx=3000").json()["model"]["window"] == 3000


def test_a_request_is_not_passed_on_to_a_model_that_nobody_chose(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    assert review(proxy).code == 0
    assert [body["disable_fallbacks"] for body in proxy.asked(CHAT)] == [True]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://gpu.example:8000/v1", "gpu.example"),
        ("http://192.0.2.1:8000/v1", "192.0.2.1"),
        ("http://vllm:8000/v1", "vllm"),
        ("http://127.0.0.1.example/v1", "127.0.0.1.example"),
        ("http://[::ffff:192.0.2.1]/v1", "::ffff:192.0.2.1"),
        ("http://[", "a server that it does not name"),
        (None, "a server that it does not name"),
    ],
)
@pytest.mark.parametrize("arguments", [(), ("--model", "reviewer")])
def test_a_proxy_that_would_pass_code_on_is_not_asked(
    proxy: LiteLLM, review: Callable[..., Result], url: str | None, where: str, arguments: tuple[str, ...]
) -> None:
    """Also if another of its servers runs here: nobody knows which one will answer."""
    proxy.behind.append(Behind(url=url))
    done = review(proxy, *arguments, *AS_TEXT)
    assert done.code == 3
    assert not proxy.asked(CHAT)
    if arguments:
        assert f"LiteLLM passes what 'reviewer' is asked on to {where}; nothing was sent" in done.text
        assert "Choose another of its models, or allow that host by name in your own settings (allow_hosts" in done.text


def test_of_several_models_one_that_runs_here_is_chosen(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    proxy.behind.insert(0, Behind("qwen3-coder", url="https://api.example/v1"))
    assert review(proxy).json()["model"]["name"] == "reviewer"


def test_a_local_model_may_have_the_name_of_a_closed_one(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    """Programs that know no other names are served so."""
    proxy.behind = [Behind("gpt-4o")]
    assert review(proxy, "--model", "gpt-4o").json()["model"]["local"] is True


def test_a_model_of_which_it_does_not_tell_is_not_asked(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    """An alias stands in the listing alone."""
    listed = {"object": "list", "data": [{"id": "alias", "owned_by": "openai"}]}
    proxy.instead["/v1/models"] = [as_json(listed)]
    told = nothing_was_sent(proxy, review(proxy, "--model", "alias"))
    assert "LiteLLM passes what 'alias' is asked on to a server that it does not name" in told


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://gpu.example:8000/v1", {"KILO_REVIEW_ALLOW_HOSTS": "gpu.example"}),
        (
            "http://gpu.example:8000/v1",
            {"KILO_REVIEW_ALLOW_HOSTS": "gpu.example", "KILO_REVIEW_ALLOW_HTTP_HOSTS": "gpu.example"},
        ),
    ],
)
def test_a_host_behind_it_that_the_user_allows_is_no_longer_local(
    proxy: LiteLLM, review: Callable[..., Result], url: str, allowed: dict[str, str]
) -> None:
    proxy.behind = [Behind(url=url)]
    done = review(proxy, **allowed)
    assert done.code == 0, done.talk
    assert done.json()["model"]["local"] is False
    assert {row["address"] for row in done.json()["egress"]} == {"127.0.0.1"}


def test_a_host_behind_it_that_is_asked_without_tls_needs_the_second_word(
    proxy: LiteLLM, review: Callable[..., Result]
) -> None:
    proxy.behind = [Behind(url="http://gpu.example:8000/v1")]
    done = review(proxy, "--model", "reviewer", *AS_TEXT, KILO_REVIEW_ALLOW_HOSTS="gpu.example")
    assert done.code == 3
    assert not proxy.asked(CHAT)
    assert "by name in your own settings (allow_hosts, and over http allow_http_hosts as well)" in done.text


def test_a_proxy_that_tells_nothing_is_asked_like_any_other_server(
    proxy: LiteLLM, review: Callable[..., Result]
) -> None:
    proxy.tells = False
    assert review(proxy, "--option", "num_ctx=3000").json()["model"]["window"] == 3000
    assert "disable_fallbacks" not in proxy.asked(CHAT)[0]


def test_no_other_server_is_asked_what_is_behind_it(review: Callable[..., Result]) -> None:
    with LlamaServer() as server:
        assert review(server).code == 0
        assert INFO not in server.paths


def test_models_tells_what_it_is_and_what_runs_elsewhere(proxy: LiteLLM, kilo: Runner) -> None:
    proxy.behind.append(Behind("far", url="https://api.example/v1"))
    done = kilo("models", "--provider", "openai", "--base-url", proxy.url)
    assert "LiteLLM" in done.text
    assert "api.example" in next(line for line in done.text.splitlines() if "far" in line)


@pytest.mark.parametrize("said", [DOWN, LEFT], ids=["no connection", "an old connection"])
@pytest.mark.long
def test_a_server_behind_it_that_is_down_is_asked_for_again_and_told(
    proxy: LiteLLM, review: Callable[..., Result], said: str
) -> None:
    down = refused("internal_server_error", 500, said)
    proxy.instead[CHAT] = [down, None]
    assert review(proxy).code == 0
    proxy.instead[CHAT] = [down]
    done = review(proxy, *AS_TEXT)
    assert done.code == 3
    assert f"a server behind LiteLLM at {proxy.url}/v1 that answers for 'reviewer' is down (litellm.Int" in done.text
    assert "Start that server; its address is in the proxy's configuration" in done.text


@pytest.mark.long
def test_a_server_behind_it_that_dies_in_the_middle_of_an_answer_takes_nothing_with_it(
    proxy: LiteLLM, review: Callable[..., Result]
) -> None:
    body = refused("", 500, DIED).body
    proxy.instead[CHAT] = [as_sse([event({"choices": [{"delta": {"content": "{"}}]}), event(body)]), None]
    done = review(proxy)
    assert (done.code, len(proxy.asked(CHAT))) == (0, 2)


@pytest.mark.long
def test_when_all_of_them_have_failed_lately_that_is_told(proxy: LiteLLM, review: Callable[..., Result]) -> None:
    cooling = refused("all_deployments_in_cooldown", 429, COOLING)
    proxy.instead[CHAT] = [cooling, None]
    assert review(proxy).code == 0
    proxy.instead[CHAT] = [cooling]
    told = review(proxy, *AS_TEXT).text
    assert f"all servers behind LiteLLM at {proxy.url}/v1 that answer for 'reviewer' have failed lately" in told
    assert "Start them, and try again after their cooldown (cooldown_time in the proxy's configuration)" in told


def test_a_wrong_key_is_told_as_such_though_it_speaks_of_a_database(
    proxy: LiteLLM, review: Callable[..., Result]
) -> None:
    proxy.token = "sk-the-right-one"
    done = review(proxy, *AS_TEXT, KILO_REVIEW_API_KEY="sk-another-one")
    assert done.code == 3
    assert "wants a token. Set KILO_REVIEW_API_KEY" in done.text
    assert review(proxy, KILO_REVIEW_API_KEY=proxy.token).code == 0
