"""Several requests at once: as many as the server works on, and nothing is lost when one of them fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.models.concurrency import Throttle, Width
from tests.conftest import heed_interrupts
from tests.support.fakes import lmstudio
from tests.support.fakes.base import Call, Response
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.ollama import Model, Ollama
from tests.support.fakes.openai import CHAT, VLLM, LlamaServer, llama_error
from tests.support.hooked import states
from tests.support.wide import EVERY, FILES, Gauge, finding_in, review, wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner
    from tests.support.fakes.base import Failure

__all__ = ["review", "wide"]
HUNKS_OF_A_REQUEST = 2
"""As many as fit the window of these tests."""


def titles(done: Result) -> list[str]:
    return [finding["title"] for finding in done.json()["findings"]]


@pytest.mark.long
def test_as_many_as_the_server_has_slots_and_the_report_is_the_same(review: Callable[..., Result]) -> None:
    gauge = Gauge(meet=6)
    with LlamaServer(slots=6, window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        wide = review(server, "openai", "--no-cache")
        assert gauge.highest == 6
        one = review(server, "openai", "--no-cache", "--jobs", "1")
    assert titles(wide) == titles(one) == EVERY
    assert wide.json()["findings"] == one.json()["findings"]
    assert wide.json()["coverage"] == one.json()["coverage"]
    alike = ("requests", "prompt_tokens", "completion_tokens")
    assert [wide.json()["usage"][name] for name in alike] == [one.json()["usage"][name] for name in alike]
    (row,) = wide.json()["egress"]
    (alone,) = one.json()["egress"]
    assert row["requests"] == alone["requests"]


@pytest.mark.long
def test_a_plain_ollama_is_asked_one_by_one(review: Callable[..., Result]) -> None:
    gauge = Gauge(seconds=0.01)
    model = Model("m:1", loaded_window=4096)
    with Ollama(models=[model], answer=finding_in, instead={"/api/chat": [gauge]}) as server:
        assert titles(review(server, "ollama")) == EVERY
        assert gauge.highest == 1
        gauge.meet = 3
        review(server, "ollama", "--no-cache", OLLAMA_NUM_PARALLEL="3")
    assert gauge.highest == 3


@pytest.mark.long
def test_lm_studio_tells_how_many(review: Callable[..., Result]) -> None:
    gauge = Gauge(meet=3)
    model = lmstudio.Model("m", loaded_window=4096, parallel=3)
    with LMStudio(models=[model], answer=finding_in, instead={CHAT: [gauge]}) as server:
        assert titles(review(server, "lmstudio")) == EVERY
    assert gauge.highest == 3


@pytest.mark.long
def test_vllm_takes_many(review: Callable[..., Result]) -> None:
    gauge = Gauge(meet=4)
    with VLLM(window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        assert titles(review(server, "openai")) == EVERY
    assert 4 <= gauge.highest <= FILES


@pytest.mark.long
def test_the_users_number_counts(review: Callable[..., Result]) -> None:
    gauge = Gauge(meet=5)
    with LlamaServer(slots=1, window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        assert titles(review(server, "openai", "--jobs", "5")) == EVERY
    assert gauge.highest == 5


@pytest.mark.parametrize("number", ["0", "-1", "x", "257", "1.5", "٣"])
def test_another_number_is_wrong_usage(kilo: Runner, number: str) -> None:
    done = kilo("staged", "--jobs", number)
    assert done.code == 2
    assert "is neither auto nor a number up to 256" in done.talk


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.long
def test_a_server_that_is_too_busy_gets_fewer_and_every_answer_comes(
    review: Callable[..., Result], status: int
) -> None:
    busy = llama_error(status, "unavailable_error", "too many requests")
    gauge = Gauge(lambda number: busy if number in {3, 4} else None)
    with LlamaServer(slots=4, window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        done = review(server, "openai")
    assert done.code == 0, done.talk
    assert titles(done) == EVERY


@dataclass
class SharedWindow:
    """All requests that are under way together fail if there are several, as those of llama-server with `--kv-unified`.

    Attributes:
        others: how many more have to come first, so that a slow machine does not part them.
    """

    others: int
    under_way: int = 0
    failed: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, _: Call) -> Failure | None:
        with self._lock:
            self.under_way += 1
            if self.others:
                self.others -= 1
                self._lock.notify_all()
                self._lock.wait_for(lambda: not self.others, timeout=20)
            is_full = self.under_way > 1
            self.failed += is_full
        time.sleep(0.1)
        with self._lock:
            self.under_way -= 1
        return replace(FULL, in_stream=True) if is_full else None


FULL = llama_error(500, "server_error", "Context size has been exceeded.")


@pytest.mark.long
def test_slots_that_share_one_window_are_asked_one_by_one_once_it_was_full(review: Callable[..., Result]) -> None:
    window = SharedWindow(others=4)
    with LlamaServer(slots=4, window=4096, answer=finding_in, instead={CHAT: [window]}) as server:
        done = review(server, "openai")
        assert done.code == 0, done.talk
        assert titles(done) == EVERY
        assert window.failed == 4


@pytest.mark.long
def test_a_shared_window_that_stays_full_is_told_with_its_remedy(review: Callable[..., Result], wide: Repo) -> None:
    wide.git("rm", "--quiet", "--cached", *(f"file{number:02}.py" for number in range(2, FILES)))
    with LlamaServer(slots=4, window=4096, answer=finding_in, instead={CHAT: [FULL]}) as server:
        told = review(server, "openai", form="text").text
    assert f"the slots of the server at {server.url}/v1 share one window, and it is full (Context" in told
    assert (
        "Give each its own by naming their number (llama-server --parallel N), or ask for one thing at a time" in told
    )


@pytest.mark.long
def test_one_hunk_that_fails_takes_no_other_with_it(review: Callable[..., Result]) -> None:
    def answer(body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        return finding_in(body) if "value_" in asked and "value_5_7" not in asked else "no JSON at all"

    with LlamaServer(slots=4, window=4096, answer=answer) as server:
        done = review(server, "openai")
    assert done.code == 3
    failed = [entry["path"] for entry in done.json()["coverage"]["entries"] if entry["state"] == "not_reviewed"]
    assert "file05.py" in failed
    assert len(failed) <= 2
    assert len(titles(done)) >= FILES - 2


@pytest.mark.long
def test_what_the_others_found_is_told_when_the_server_ends(review: Callable[..., Result]) -> None:
    """From the ninth request on, each connection is closed without an answer."""
    gauge = Gauge(lambda number: Response(200, ending="reset") if number > 8 else None)
    with LlamaServer(slots=4, window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        done = review(server, "openai")
    assert done.code == 3
    found = titles(done)
    assert len(found) >= 6
    reviewed = [entry for entry in done.json()["coverage"]["entries"] if entry["state"] == "reviewed"]
    assert len(reviewed) == len(found)


@pytest.mark.long
def test_the_deadline_keeps_what_was_found_before_it(review: Callable[..., Result]) -> None:
    """From the fifth request on, no answer comes before the limit."""
    over = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        if gauge.begun > 4:
            over.wait(60)
        return finding_in(body)

    gauge = Gauge()
    with LlamaServer(slots=2, window=4096, answer=answer, instead={CHAT: [gauge]}) as server:
        done = review(server, "openai", "--max-seconds", "8")
        over.set()
    assert done.code == 3
    assert set(states(done.json())) == {"reviewed", "not_reviewed"}
    assert titles(done)


@pytest.mark.long
def test_an_interrupted_run_reports_what_it_has_and_the_next_one_goes_on(wide: Repo) -> None:
    gauge = Gauge(seconds=0.3)
    with LlamaServer(slots=3, window=4096, answer=finding_in, instead={CHAT: [gauge]}) as server:
        words = ("staged", "--provider", "openai", "--base-url", server.url, "--format", "json")
        command = [sys.executable, "-m", "kilo_review", *words, "--option", "num_ctx=4096"]
        process = subprocess.Popen(
            command, cwd=wide.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
        )
        while gauge.begun < 7:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        begun = gauge.begun
        report = json.loads(output)
        assert process.returncode == 130
        done = states(report).count("reviewed")
        assert done
        again = subprocess.run(command, cwd=wide.path, capture_output=True, check=False, timeout=100)
    # Ctrl-C may come between an answer and its being remembered: then one request is made again.
    assert states(json.loads(again.stdout)).count("cached") >= done - HUNKS_OF_A_REQUEST
    assert gauge.begun - begun <= (FILES - done) // HUNKS_OF_A_REQUEST + 2


@pytest.mark.long
def test_code_is_sent_to_no_one_any_more_once_an_answer_came_from_elsewhere(review: Callable[..., Result]) -> None:
    """With several lanes, those that have not asked yet do not."""
    remote = Model("m:1", loaded_window=4096)
    with Ollama(models=[remote], answer=finding_in) as server:
        gauge = Gauge(lambda number: _from_the_cloud(server) if number == 4 else None)
        server.instead["/api/chat"] = [gauge]
        done = review(server, "ollama", "--jobs", "3")
    assert done.code == 3
    assert done.json()["model"]["local"] is False
    assert gauge.begun <= 4 + 3 + 2


def _from_the_cloud(server: Ollama) -> Response:
    line = {"model": "m:1", "remote_host": "https://ollama.com:443", "remote_model": "m", "done": True}
    assert server.models
    return Response(200, "application/x-ndjson", [json.dumps(line).encode() + b"\n"])


# The throttle


@given(
    st.integers(1, 64).flatmap(lambda most: st.tuples(st.integers(1, most), st.just(most))),
    st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 5000), st.floats(0, 60)))),
)
def test_the_throttle_stays_within_its_bounds(bounds: tuple[int, int], events: list[tuple[int, float] | None]) -> None:
    throttle = Throttle(Width(*bounds))
    for event in events:
        if event is None:
            before = throttle.limit
            throttle.busy()
            assert throttle.limit == max(1, before // 2)
        else:
            throttle.answered(*event)
        assert 1 <= throttle.limit <= bounds[1]


@pytest.mark.parametrize(("lanes", "found"), [(1, 1), (2, 2), (4, 4), (8, 8), (64, 16)])
def test_the_throttle_finds_out_how_much_a_server_really_does_at_once(lanes: int, found: int) -> None:
    throttle = Throttle(Width(1, 16))
    for _ in range(300):
        queued = max(1.0, throttle.limit / lanes)
        throttle.answered(1000, 1.0 * queued)
    assert throttle.limit == found
