"""How commits stand, catching up with them, reviews in the background, and what the ledger counts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import heed_interrupts
from tests.support.fakes.base import NOTHING_FOUND, NoAnswer
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked, by_server, chats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repo, Runner

FINDING = (
    '{"findings": [{"code": "return sum(items) / len(items)", "file": "app.py", "line": 2, "problem": "Empty.",'
    ' "severity": "critical", "title": "Division by zero", "type": "bug"}]}'
)


@pytest.fixture
def ahead(repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path) -> Hooked:
    """A repository with an upstream, three commits ahead of it, one of them with a defect."""
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")
    repo.commit("one", a__py="a = 1\n")
    repo.commit(
        "two \x1b[31mred\x1b[0m " + "long " * 30, app__py="def mean(items):\n    return sum(items) / len(items)\n"
    )
    repo.commit("three", c__py="c = 1\n")
    return Hooked(repo, tmp_path)


@pytest.fixture
def server(ahead: Hooked, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ollama]:
    def answer(body: dict[str, Any]) -> str:
        return FINDING if "len(items)" in body["messages"][-1]["content"] else NOTHING_FOUND

    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)], answer=answer) as server:
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        yield server


def standing(kilo: Runner) -> list[str]:
    return [row["state"] for row in json.loads(kilo("status", "--format", "json").stdout)["commits"]]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("later", "is_there"),
    [
        ("def mean(items):\n    return (\n        sum(items)\n        / len(items)\n    )\n", True),
        ("def mean(items):\n    return (\n        sum(items)\n        / len(items)\n    ) or 0\n", False),
        ("def mean(items):\n    return (sum(items) / len)(items)\n", False),
        ("def mean(items):\n    return sum(\n        items,\n    ) / len(items)\n", True),
        ("def mean(items):\n    return sum(items) / len(\n        items\n    )\n", True),
        ("def mean(items):\n    # why\n    return sum(items) / len(items)  # odd\n", True),
        ("def mean(items):\n    return sum(items) / len(items) if items else 0\n", False),
        ("def mean(items):\n    return sum(items) / len(\n        items\n    ) if items else 0\n", False),
        ("def mean(items):\n    return sum(items) / max(1, len(items))\n", False),
    ],
)
def test_a_statement_with_other_line_breaks_is_still_there(
    kilo: Runner, ahead: Hooked, server: Ollama, later: str, is_there: bool
) -> None:
    kilo("catch-up")
    ahead.repo.commit("later", app__py=later)
    assert ("Division by zero" in kilo("status").text) is is_there


@pytest.mark.long
def test_status_before_and_after_catching_up(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    before = kilo("status")
    assert before.code == 0
    assert before.text.count("not reviewed: no review of it is on record") == 3
    assert "3 of 3 commits not reviewed; next: kilo-review catch-up" in before.text
    assert "\x1b" not in before.text
    assert max(map(len, before.text.splitlines())) < 140
    assert server.calls == []
    done = kilo("catch-up")
    assert (done.code, len(chats(server))) == (1, 3)
    assert standing(kilo) == ["reviewed", "findings", "reviewed"]
    after = kilo("status")
    assert "1 finding, 1 blocking" in after.text
    assert "app.py:2: critical: Division by zero [bug, blocks]" in after.text
    assert "3 commits, all reviewed" in after.text
    again = kilo("catch-up", "--format", "json").json()
    assert (again["exit_code"], again["usage"]["requests"], len(chats(server))) == (1, 0, 3)


def test_what_is_mended_is_shown_no_more(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    kilo("catch-up")
    ahead.repo.commit("mend", app__py="def mean(items):\n    return sum(items) / max(len(items), 1)\n")
    assert standing(kilo) == ["reviewed", "reviewed", "reviewed", "not_reviewed"]


def test_nothing_to_do(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    ahead.repo.git("push", "-q")
    assert "none was left out" in kilo("status").text
    done = kilo("catch-up")
    assert (done.code, "none was left out" in done.talk, server.calls) == (0, True, [])


def test_a_server_that_is_down_leaves_its_reason(kilo: Runner, ahead: Hooked) -> None:
    down = {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"}
    assert kilo("catch-up", env=down).code == 3
    assert kilo("status", env=down).text.count("not reviewed: 1 hunk: Ollama: cannot connect") == 3


@pytest.mark.long
def test_what_was_pushed_unreviewed_is_caught_up_with(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    ahead.install("pre-push")
    server.refuses_host = True
    ahead.push("-q", "origin", "main")
    server.refuses_host = False
    assert kilo("status").text.count("(pushed already)") == 3
    assert kilo("catch-up").code == 1
    assert "none was left out" in kilo("status").text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.long
def test_it_can_be_stopped_and_resumed(kilo: Runner, ahead: Hooked, server: Ollama, number: signal.Signals) -> None:
    second = threading.Event()

    def answer(_body: dict[str, Any]) -> str:
        if len(chats(server)) == 2:
            second.set()
            raise NoAnswer
        return NOTHING_FOUND

    server.answer = answer
    process = subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "catch-up"],
        cwd=ahead.repo.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_interrupts,
    )
    assert second.wait(30)
    process.send_signal(number)
    assert process.wait(20) == (130 if number == signal.SIGINT else -number)
    report = kilo("catch-up", "--format", "json").json()
    assert (report["usage"]["requests"], report["coverage"]["cached"], report["coverage"]["reviewed"]) == (2, 1, 2)


def test_places_without_an_upstream(kilo: Runner, repo: Repo, make_repo: Callable[..., Repo]) -> None:
    assert standing(kilo) == ["not_reviewed"]
    for number in range(55):
        repo.git("commit", "-q", "--allow-empty", "-m", f"{number}")
    assert standing(kilo) == ["empty"] * 50
    repo.git("switch", "-q", "-c", "topic")
    repo.commit("own", own__py="x = 1\n")
    assert standing(kilo) == ["not_reviewed"]
    repo.git("switch", "-q", "--detach")
    assert standing(kilo) == ["not_reviewed"]
    unborn = make_repo("unborn")
    assert "none was left out" in kilo("status", cwd=unborn.path).text


@pytest.mark.parametrize("words", ["status", "catch-up", "stats", "cache stats", "cache clear"])
def test_outside_of_a_repository(kilo: Runner, tmp_path: Path, words: str) -> None:
    done = kilo(*words.split(), cwd=tmp_path)
    assert (done.code, "not a git repository" in done.talk) == (2, True)


# In the background


@pytest.mark.long
def test_the_background_reviews_and_the_next_hook_tells_once(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    ahead.install("post-commit", "pre-commit")
    repo = ahead.repo
    release = threading.Event()
    real = server.answer
    assert callable(real)

    def answer(body: dict[str, Any]) -> str:
        release.wait(30)
        return real(body)

    server.answer = answer
    for number in range(2):  # the second only leaves word
        repo.stage(f"new{number}.py", f"new = {number}\n")
        repo.git("commit", "-q", "--no-verify", "-m", "new")
    wait_for(lambda: bool(chats(server)))
    wait_for(lambda: len(background_of(repo)) == 1)
    (pid,) = background_of(repo)
    assert os.getsid(pid) == pid
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    release.set()
    wait_for(lambda: not background_of(repo))
    assert standing(kilo) == ["reviewed", "findings", "reviewed", "reviewed", "reviewed"]
    asked = len(chats(server))
    repo.stage("next.py", "n = 1\n")
    first = ahead.commit().stderr.decode()
    assert first.count("found in the background: app.py:2: critical: Division by zero") == 1
    wait_for(lambda: not background_of(repo))
    repo.stage("later.py", "n = 2\n")
    assert "found in the background" not in ahead.commit().stderr.decode()
    assert len(chats(server)) == asked + 2


@pytest.mark.long
def test_the_foreground_waits_for_the_background(kilo: Runner, ahead: Hooked, server: Ollama) -> None:
    ahead.install("post-commit")
    real = server.answer
    assert callable(real)
    is_awaited = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        assert is_awaited.wait(30)
        return real(body)

    server.answer = answer
    ahead.repo.stage("new.py", "new = 1\n")
    ahead.commit()
    wait_for(lambda: bool(chats(server)))
    process = kilo.started("catch-up", "--format", "json", env={})
    assert process.stderr
    assert b"a review is at work in the background; waiting for it" in process.stderr.readline()
    is_awaited.set()
    output, _ = process.communicate(timeout=60)
    assert (json.loads(output)["usage"]["requests"], len(chats(server))) == (0, 4)


def background_of(repo: Repo) -> list[int]:
    """Processes of ours that review this repository."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if reviews_in_background(folder, repo.path)]


def reviews_in_background(process: Path, where: Path) -> bool:
    try:
        arguments = (process / "cmdline").read_bytes().split(b"\0")
        return b"--in-background" in arguments and (process / "cwd").readlink() == where
    except OSError:  # it has ended meanwhile, or is another user's
        return False


def test_a_commit_is_unharmed_when_the_background_cannot_work(kilo: Runner, ahead: Hooked) -> None:
    ahead.install("post-commit")
    ahead.repo.stage("new.py", "new = 1\n")
    done = ahead.commit(KILO_REVIEW_PROVIDER="ollama", KILO_REVIEW_BASE_URL="http://127.0.0.1:9")
    assert done.stdout + done.stderr == b""
    wait_for(lambda: len(ahead.rows("SELECT * FROM unreviewed")) == 4)


def test_the_background_says_that_it_has_no_ledger(kilo: Runner, ahead: Hooked) -> None:
    ahead.install("post-commit")
    ahead.repo.stage(".kilo-review.toml", "cache = false\n")
    assert b"not reviewed in the background, since there is no ledger" in ahead.commit().stderr


def test_commits_of_a_sequence_are_on_record_though_nothing_reviews_them(kilo: Runner, ahead: Hooked) -> None:
    repo = ahead.repo
    repo.git("checkout", "-q", "-b", "side", "HEAD~3")
    for name in ("one", "two"):
        repo.commit(name, **{f"{name}__txt": name})
    repo.git("checkout", "-q", "main")
    ahead.install("post-commit")
    repo.git("cherry-pick", "side~1", "side")
    repo.git("push", "-q", "origin", "main")
    assert kilo("status").text.count("(pushed already)") == 2


def test_what_another_branch_has_pushed_is_not_forgotten(kilo: Runner, ahead: Hooked) -> None:
    repo = ahead.repo
    repo.git("push", "-q", "origin", "main")
    repo.git("checkout", "-q", "-b", "feature")
    ahead.install("pre-push")
    repo.commit("four", d__py="d = 1\n")
    repo.git("checkout", "-q", "main")
    repo.git("push", "-q", "origin", "feature", env={"KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"})
    assert "(pushed already)" in kilo("status").text


# What is counted


def test_the_tally_of_a_known_history(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    kilo(*script)
    assert kilo("hook", "pre-commit", *script).code == 1
    buggy.stage("app.py", "def mean(items):\n    return 0\n")
    kilo(*kilo.scripted())
    tally = json.loads(kilo("stats", "--format", "json").stdout)
    assert tally["reviews"] == {"commit": 1, "hand": 2}
    assert (tally["asked"], tally["remembered"], tally["left_out"]) == (2, 1, 0)
    assert (tally["findings"], tally["fixed"], tally["held"]) == (1, 1, 1)
    assert tally["prompt_tokens"] > 500
    text = kilo("stats", "--since", "1d").text
    assert "none of them paid to a cloud" in text
    assert json.loads(kilo("stats", "--since", "2099-01-01", "--format", "json").stdout)["reviews"] == {}
    wrong = kilo("stats", "--since", "yesterday")
    assert (wrong.code, "7d" in wrong.talk) == (2, True)


def test_what_is_cleared_is_asked_again(kilo: Runner, buggy: Repo) -> None:
    script = kilo.scripted()
    kilo(*script)
    held = json.loads(kilo("cache", "stats", "--format", "json").stdout)
    assert (held["verdicts"], held["receipts"], held["runs"]) == (1, 1, 1)
    assert "1 answers and 1 receipts forgotten" in kilo("cache", "clear").text
    assert kilo(*script, "--format", "json").json()["usage"]["requests"] == 1
