"""Servers that lie, think aloud or fall over at the worst moment: nothing leaves, passes or is lost because of them."""

from __future__ import annotations

import json
import signal
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.errors import BadReplyError, ModelNotFoundError, UnreachableError
from kilo_review.judge.parse import parse
from kilo_review.judge.verify import parse_ruling
from kilo_review.models.choose import Offer, choose
from kilo_review.models.faults import Asked
from kilo_review.models.locality import addresses_of
from tests.support.fakes import ollama as wire
from tests.support.fakes.base import AFFIRMED, Call, Failure, NoAnswer, Response, as_json, as_ndjson, asks_again
from tests.support.fakes.litellm import INFO, Behind, LiteLLM
from tests.support.fakes.ollama import CLOUD, Model, Ollama
from tests.support.fakes.openai import VLLM, LlamaServer
from tests.support.hooked import by_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner
    from tests.support.fakes.base import Fake

SECRET = b"SECRET_CODE"


def claim(code: str, **more: Any) -> dict[str, Any]:
    made = {"line": 2, "problem": "It breaks.", "severity": "critical", "title": "Bug", "type": "bug"}
    return made | {"code": code} | more


def saying(*claims: dict[str, Any]) -> str:
    return json.dumps({"findings": claims})


@pytest.fixture
def divides(repo: Repo) -> Repo:
    repo.stage("a.py", "def f(x):\n    return SECRET_CODE / x\n")
    return repo


FOUND = saying(claim("return SECRET_CODE / x", file="a.py"))


def review(kilo: Runner, server: Fake, *words: str, **more: str) -> Result:
    return kilo(*words, "--format", "json", env=by_server(server) | more)


def was_sent(server: Fake) -> bool:
    return any(SECRET in call.raw for call in server.calls)


# What leaves


@pytest.mark.parametrize("provider", ["openai", "auto"])
@pytest.mark.parametrize("status", [403, 404, 429, 503])
def test_an_alias_of_a_cloud_model_is_refused_also_if_the_version_is_not_told(
    kilo: Runner, divides: Repo, provider: str, status: int
) -> None:
    assert divides.path.exists()
    alias = Model("coder:7b", remote_host=CLOUD, remote_model="gpt-oss:120b")
    with Ollama(models=[alias], instead={"/api/version": [Failure(status, {"error": "no"})]}) as server:
        words = ("--provider", provider, "--base-url", server.url, "--model", "coder:7b", "--no-cache")
        assert kilo(*words).code == 3
        assert not was_sent(server)


def test_a_server_that_fails_to_say_what_it_is_is_not_asked(kilo: Runner, divides: Repo) -> None:
    assert divides.path.exists()
    with LlamaServer(instead={"/api/version": [Failure(503, {"error": "busy"})]}) as server:
        assert kilo("--provider", "openai", "--base-url", server.url, "--no-cache").code == 3
        assert not was_sent(server)


ELSEWHERE = {
    "model_name": "coder",
    "litellm_params": {"model": "ollama_chat/gpt-oss:120b-cloud", "api_base": "http://localhost:11434"},
    "model_info": {},
}


def test_a_proxy_with_a_cloud_model_behind_it_is_not_asked(kilo: Runner, divides: Repo) -> None:
    told = as_json({"data": [ELSEWHERE]})
    with LiteLLM(behind=[Behind("coder", url="http://localhost:11434")], instead={INFO: [told]}) as server:
        done = kilo("--provider", "openai", "--base-url", server.url, "--model", "coder", "--no-cache")
        assert done.code == 3
        assert "passes what 'coder' is asked on to ollama.com; nothing was sent" in done.text
        assert not was_sent(server)


@pytest.mark.parametrize(
    "told",
    [
        as_json({"data": []}),
        Failure(403, {"error": {"message": "not allowed"}}),
        Failure(500, {"error": {"message": "not loaded"}}),
    ],
    ids=["nothing", "403", "500"],
)
def test_a_proxy_that_does_not_tell_of_a_local_server_is_not_asked(
    kilo: Runner, divides: Repo, told: Response | Failure
) -> None:
    with LiteLLM(behind=[Behind("coder", url="http://localhost:11434")], instead={INFO: [told]}) as server:
        done = kilo("--provider", "openai", "--base-url", server.url, "--model", "coder", "--no-cache")
        assert done.code == 3
        assert "lists models as LiteLLM does, and does not tell where it passes on what they are asked" in done.text
        assert "; nothing was sent" in done.text
        assert "Its administrator can let this key ask /v1/model/info; or name one of the servers behind" in done.text
        assert not was_sent(server)


def remote(_: Call) -> Response:
    line = {"model": "m", "remote_host": CLOUD, "remote_model": "x"}
    message = {"role": "assistant", "content": '{"findings": []}'}
    return as_ndjson([line | {"message": message, "done": False}, line | {"message": {"content": ""}, "done": True}])


def test_after_an_answer_from_elsewhere_no_further_commit_is_sent(kilo: Runner, repo: Repo) -> None:
    base = repo.out("rev-parse", "HEAD")
    for number in range(3):
        repo.commit(str(number), **{f"f{number}__py": f"SECRET_{number} = 1\n"})
    line = f"refs/heads/main {repo.out('rev-parse', 'HEAD')} refs/heads/main {base}\n"
    with Ollama(version="0.17.0", instead={"/api/chat": [remote]}) as server:
        done = kilo("hook", "pre-push", "origin", "url", stdin=line.encode(), env=by_server(server))
        assert len(server.asked("/api/chat")) == 1
        assert "WARNING" in done.text
        assert "3 hunks in 3 files" in done.text


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_after_a_ruling_from_elsewhere_nothing_more_is_put_to_the_test(kilo: Runner, repo: Repo, jobs: str) -> None:
    filler = "".join(f"def g{at}(x):\n    return x + {at}  # {'pad ' * 30}\n" for at in range(60))
    for number in range(4):
        repo.stage(f"f{number}.py", f"{filler}def bad{number}(x):\n    return {number} / x\n")

    def answer(body: dict[str, Any]) -> str:
        shown = body["messages"][-1]["content"]
        codes = {number: f"return {number} / x" for number in range(4)}
        return saying(*(claim(code, file=f"f{at}.py", line=122) for at, code in codes.items() if code in shown))

    def tested(call: Call) -> Response | None:
        return remote(call) if asks_again(call.body) else None

    with Ollama(version="0.17.0", answer=answer, instead={"/api/chat": [tested]}) as server:
        done = review(kilo, server, "--no-cache", "--jobs", jobs)
        assert sum(map(asks_again, server.asked("/api/chat"))) == 1
    assert done.code == 3
    assert done.json()["model"]["local"] is False


# What passes


@pytest.mark.parametrize("thought", ['If nothing is wrong: {"findings": []}. But line 2', '{"findings": []} or not'])
def test_a_thought_is_no_answer(thought: str) -> None:
    with pytest.raises(BadReplyError, match="still thinking"):
        parse("", thought)
    assert parse("", ' {"findings": []}\n') == []
    assert parse("  ", '{"findings": []}') == []


def test_a_thought_refutes_nothing() -> None:
    with pytest.raises(BadReplyError, match="still thinking"):
        parse_ruling("", 'A denial is {"confirmed": false, "evidence": "..."}. But it does break')
    assert parse_ruling("", '{"confirmed": false, "evidence": "x"}').evidence == "x"


def test_a_long_answer_that_is_not_json_is_not_read_from_each_brace_on() -> None:
    text = '{"a":' * 200 + "[" + ",".join('{"b": 1}' for _ in range(100_000))
    for read in (parse, parse_ruling):
        with pytest.raises(BadReplyError, match="too long to be looked through"):
            read(text)


def test_votes_keep_the_worst_that_was_said_of_a_line(kilo: Runner, divides: Repo) -> None:
    assert divides.path.exists()
    both = saying(
        *(
            claim("return SECRET_CODE / x", file="a.py", severity=severity, title="division")
            for severity in ("minor", "critical")
        )
    )
    with Ollama(answer=both, ruling=AFFIRMED) as server:
        done = review(kilo, server, "--votes", "3")
    (found,) = done.json()["findings"]
    assert (done.code, found["severity"], found["title"]) == (1, "critical", "division")


# What is not lost


def slow(metrics: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda prompt, answer: metrics(prompt, answer) | {"eval_duration": answer * 200_000_000}


def test_a_courtesy_question_that_is_answered_with_nonsense_loses_no_finding(
    kilo: Runner, divides: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert divides.path.exists()
    monkeypatch.setattr(wire, "_metrics", slow(wire._metrics))
    with Ollama(answer=FOUND, ruling=AFFIRMED) as server:
        server.instead = {"/api/ps": [None, None, as_json({"models": 1})]}
        done = review(kilo, server)
    assert (done.code, len(done.json()["findings"])) == (1, 1)


ODD = {
    "a list that is a number": ("ollama", {"/api/tags": as_json({"models": 7})}),
    "capabilities that are a number": (
        "ollama",
        {"/api/tags": as_json({"models": [{"name": "m", "capabilities": 1}]})},
    ),
    "a configuration that is a word": (
        "lmstudio",
        {
            "/api/v1/models": as_json(
                {"models": [{"key": "m", "type": "llm", "loaded_instances": [{"id": "m", "config": "x"}]}]}
            )
        },
    ),
    "half a character": (
        "openai",
        {"/v1/models": Response(200, "application/json", [b'{"data":[{"id":"\\ud800x","owned_by":"llamacpp"}]}'])},
    ),
}


@pytest.mark.parametrize(("provider", "answers"), ODD.values(), ids=ODD)
def test_odd_answers_about_models_are_no_crash(
    kilo: Runner, divides: Repo, provider: str, answers: dict[str, Any]
) -> None:
    assert divides.path.exists()
    with Ollama(instead={path: [answer] for path, answer in answers.items()}) as server:
        done = kilo("--provider", provider, "--base-url", server.url, "--no-cache")
    assert not was_sent(server)
    assert "internal error" not in done.talk
    assert (done.code, done.text.count("not reviewed: 1 hunk in 1 file: ")) == (3, 1)


def hanging() -> Callable[[dict[str, Any]], str]:
    """Finds something in a.py, and does not answer about what is left of b.py."""

    def answer(body: dict[str, Any]) -> str:
        shown = body["messages"][-1]["content"]
        if "FILE a.py" in shown:
            return FOUND
        if "FILE b.py" in shown:
            raise NoAnswer
        return saying()

    return answer


LONG = "".join(f"def g{at}(x):\n    return x + {at}  # {'pad ' * 20}\n" for at in range(200))


@pytest.mark.long
def test_a_finding_outlives_the_deadline_also_if_the_index_was_touched(kilo: Runner, divides: Repo) -> None:
    divides.stage("b.py", LONG)

    def touched(body: dict[str, Any]) -> str:
        if "FILE a.py" not in body["messages"][-1]["content"]:
            (divides.path / "app.py").touch()
            divides.git("status")
        return slow_answer(body)

    slow_answer = hanging()
    with Ollama(answer=touched, ruling=AFFIRMED) as server:
        done = kilo("hook", "pre-commit", "--max-seconds", "5", env=by_server(server))
    assert done.code == 1
    assert "a.py:2: critical" in done.text


@pytest.mark.long
def test_a_finding_in_a_pushed_commit_outlives_the_deadline(kilo: Runner, divides: Repo) -> None:
    base = divides.out("rev-parse", "HEAD")
    divides.commit("one", b__py=LONG)
    divides.commit("two", c__py="y = 1\n")
    line = f"refs/heads/main {divides.out('rev-parse', 'HEAD')} refs/heads/main {base}\n"
    with Ollama(answer=hanging(), ruling=AFFIRMED) as server:
        words = ("hook", "pre-push", "origin", "url", "--max-seconds", "5")
        done = kilo(*words, stdin=line.encode(), env=by_server(server))
    assert done.code == 1
    assert "a.py:2: critical" in done.text
    left = [row for row in kilo("status").text.splitlines() if "the time limit" in row]
    assert len(left) == 2, "the second commit was never asked about, and that is on record"


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.long
def test_ctrl_c_in_a_further_vote_keeps_what_the_first_one_saw(kilo: Runner, divides: Repo, jobs: str) -> None:
    assert divides.path.exists()
    second = threading.Event()
    asked: list[object] = []

    def answer(body: dict[str, Any]) -> str:
        asked.append(body)
        if len(asked) > 1:
            second.set()
            raise NoAnswer
        return FOUND

    with Ollama(answer=answer) as server:
        words = ("--votes", "3", "--jobs", jobs, "--format", "json", "--no-cache")
        process = kilo.started(*words, env=by_server(server))
        assert second.wait(30)
        process.send_signal(signal.SIGINT)
        output, talk = process.communicate(timeout=30)
    assert process.returncode == 130, talk
    (found,) = json.loads(output)["findings"]
    assert found["status"] == "unverified"


# What is remembered


def test_two_servers_that_call_a_model_alike_do_not_share_answers(kilo: Runner, divides: Repo) -> None:
    assert divides.path.exists()
    with ExitStack() as stack:
        first = stack.enter_context(LlamaServer(model="coder"))
        other = stack.enter_context(VLLM(models=["coder"], answer=FOUND, ruling=AFFIRMED))
        assert kilo("--provider", "openai", "--base-url", first.url).code == 0
        assert kilo("--provider", "openai", "--base-url", other.url).code == 1
        assert kilo("--provider", "openai", "--base-url", first.url).code == 0
        assert len(first.asked("/v1/chat/completions")) == 1


# What takes too long


def test_a_resolver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("kilo_review.models.locality.RESOLVE_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    with pytest.raises(UnreachableError, match=r"does not resolve .*no answer"):
        addresses_of("gpu.example", 443)
    over.set()


@pytest.mark.long
def test_a_name_is_compared_with_so_many_and_no_more() -> None:
    offers = [Offer(f"model-{number}") for number in range(250_000)]
    with pytest.raises(ModelNotFoundError, match="has no model"):
        choose(offers, "coder-of-mine", Asked("x", "http://127.0.0.1:1"))
