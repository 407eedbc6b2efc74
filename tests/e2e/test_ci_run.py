"""`kilo-review ci` beside its range and its trust: waiting for a server, and where its report is shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.outcome import ModelInfo
from kilo_review.report import progress
from kilo_review.report.progress import Talk, how_far
from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.ollama import Model, Ollama
from tests.support.fakes.openai import LlamaServer
from tests.support.forges import Forge
from tests.support.hooked import by_server, chats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner

CODE = "return sum(items) / len(items)"
FOUND = json.dumps(
    {
        "findings": [
            {
                "file": "app.py",
                "line": 2,
                "problem": "An empty list divides by zero.",
                "severity": "critical",
                "title": "Division by zero",
                "code": CODE,
                "type": "bug",
            }
        ]
    }
)


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    hub = make_repo("hub")
    hub.commit("first", app__py="def mean(items):\n    return 0\n")
    hub.commit("second", other__py="x = 1\n")
    hub.git("checkout", "-q", "-b", "topic")
    hub.commit("topic", app__py=f"def mean(items):\n    {CODE}\n")
    hub.git("checkout", "-q", "main")
    made = Forge(hub, tmp_path)
    made.propose()
    return made


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("m:1", loaded_window=32768)], ruling=AFFIRMED, answer=FOUND) as fake:
        yield fake


# Waiting


@pytest.mark.long
def test_a_server_that_is_still_loading_is_waited_for(forge: Forge, kilo: Runner) -> None:
    with LlamaServer(loading=True, answer=FOUND) as server:
        timer = threading.Timer(3, lambda: setattr(server, "loading", False))
        timer.start()
        environment = forge.pull_request() | {"KILO_REVIEW_BASE_URL": server.url, "KILO_REVIEW_PROVIDER": "openai"}
        done = kilo("ci", "--wait-for-server", "60", cwd=forge.clone().path, env=environment)
        timer.join()
    assert done.code == 1, done.talk
    assert "waiting for the server, 60 s at most" in done.talk
    assert "Division by zero" in done.text


@pytest.mark.long
def test_a_server_that_starts_late_is_waited_for(forge: Forge, server: Ollama) -> None:
    port = int(server.url.rpartition(":")[2])
    server.__exit__(None, None, None)
    later = Ollama(models=[Model("m:1", loaded_window=32768)], ruling=AFFIRMED, answer=FOUND, port=port)
    process = subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "ci", "--wait-for-server", "60"],
        cwd=forge.clone().path,
        env=os.environ | forge.pull_request() | by_server_at(port),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        told = next((line for line in process.stderr if "waiting for the server" in line), "")
        with later:
            _, rest = process.communicate(timeout=120)
    finally:
        server.__enter__()
    assert told
    assert process.returncode == 1, rest


def by_server_at(port: int) -> dict[str, str]:
    return {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": f"http://127.0.0.1:{port}"}


@pytest.mark.long
def test_the_waiting_has_an_end_and_then_the_build_is_red(forge: Forge, kilo: Runner) -> None:
    environment = forge.pull_request() | by_server_at(9)
    done = kilo("ci", "--wait-for-server", "3", cwd=forge.clone().path, env=environment)
    assert done.code == 3
    assert "waiting for the server, 3 s at most (Ollama: cannot connect to" in done.talk
    assert "not reviewed" in done.text


def test_nobody_waits_for_a_model_that_is_not_installed(forge: Forge, kilo: Runner, server: Ollama) -> None:
    environment = forge.pull_request() | by_server(server)
    done = kilo("ci", "--model", "nope:1", "--wait-for-server", "60", cwd=forge.clone().path, env=environment)
    assert done.code == 3
    assert "waiting" not in done.talk
    assert not chats(server)


@pytest.mark.long
def test_the_deadline_of_the_run_ends_the_waiting(forge: Forge, kilo: Runner) -> None:
    environment = forge.pull_request() | by_server_at(9)
    words = ("--wait-for-server", "100", "--max-seconds", "4")
    done = kilo("ci", *words, cwd=forge.clone().path, env=environment)
    assert done.code == 3


@pytest.mark.long
def test_a_server_that_is_down_is_not_replaced_by_the_small_model(forge: Forge, kilo: Runner) -> None:
    done = kilo("ci", "--max-seconds", "100", cwd=forge.clone().path, env=forge.pull_request())
    assert done.code == 3
    assert "no model server is running on this machine" in done.text


# Where it is shown


@pytest.mark.long
def test_github_gets_annotations_and_the_page_of_the_job(
    forge: Forge, kilo: Runner, server: Ollama, tmp_path: Path
) -> None:
    page = tmp_path / "summary.md"
    environment = forge.pull_request(GITHUB_STEP_SUMMARY=str(page)) | by_server(server)
    done = kilo("ci", cwd=forge.clone().path, env=environment)
    assert done.code == 1
    assert "::error file=app.py,line=2" in done.text
    assert "Division by zero" in page.read_text()


@pytest.mark.long
def test_elsewhere_and_where_somebody_chose_it_is_text(
    forge: Forge, kilo: Runner, server: Ollama, tmp_path: Path
) -> None:
    github = forge.pull_request() | by_server(server)
    for environment, words in (
        (github, ("--format", "text")),
        (github, ("--output", str(tmp_path / "report.txt"))),
        (github | {"GITEA_ACTIONS": "true"}, ()),
        (by_server(server), ("--base", "origin/main")),
    ):
        clone = forge.clone("+refs/heads/main:refs/remotes/origin/main")
        done = kilo("ci", *words, cwd=clone.path, env=environment)
        assert done.code == 1, done.talk
        assert "::error" not in done.text
    assert "Division by zero" in (tmp_path / "report.txt").read_text()


def test_a_file_beside_the_annotations_leaves_them(forge: Forge, kilo: Runner, server: Ollama, tmp_path: Path) -> None:
    environment = forge.pull_request() | by_server(server)
    done = kilo("ci", "--output", f"sarif={tmp_path / 'r.sarif'}", cwd=forge.clone().path, env=environment)
    assert "::error file=app.py,line=2" in done.text
    assert json.loads((tmp_path / "r.sarif").read_text())["version"] == "2.1.0"


def test_a_page_that_cannot_be_written_is_no_failure_and_no_secret(
    forge: Forge, kilo: Runner, server: Ollama, tmp_path: Path
) -> None:
    environment = forge.pull_request(GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "page.md")) | by_server(server)
    done = kilo("ci", cwd=forge.clone().path, env=environment)
    assert done.code == 1
    assert "the job summary could not be written" in done.talk
    assert "Division by zero" in done.text


def test_secrets_are_masked_even_where_the_system_does_not_say_that_it_is_one(
    forge: Forge, kilo: Runner, server: Ollama
) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    forge.hub.git("checkout", "-q", "topic")
    forge.hub.commit("key", app__py=f'def mean(items):\n    {CODE}  # key = "{key}"\n')
    forge.hub.git("checkout", "-q", "main")
    server.answer = FOUND.replace(CODE, f'{CODE}  # key = \\"{key}\\"')
    clone = forge.clone("+refs/heads/main:refs/remotes/origin/main", checkout="topic", depth=None)
    done = kilo("ci", "--base", "origin/main", cwd=clone.path, env=by_server(server))
    assert done.code == 1, done.talk
    assert key not in done.text
    assert "AKIA[masked]" in done.text


# Progress


class Pauses:
    """In the place of an event: what happens while it is waited for, until it is set."""

    def __init__(self, *steps: Callable[[], None]) -> None:
        self._steps = list(steps)
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        assert seconds == progress.LOG_SECONDS
        if not self._is_set:
            self._steps.pop(0)()
        return self._is_set

    def set(self) -> None:
        self._is_set = True


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What would run in threads of its own."""
    started: list[Callable[[], None]] = []

    def thread(*, target: Callable[[], None], daemon: bool) -> Any:
        assert daemon
        return SimpleNamespace(start=lambda: started.append(target))

    monkeypatch.setattr(progress, "threading", SimpleNamespace(Thread=thread, Event=threading.Event))
    return started


def test_a_log_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], threads: list[Callable[[], None]]
) -> None:
    talk = Talk(quiet=False, animated=False, logged=True)
    pauses = Pauses(lambda: None, lambda: talk.progress(30, 100), talk.stop)
    monkeypatch.setattr(talk, "_over", pauses)
    talk.model_chosen(ModelInfo("ollama", "m:1", None, 4096, why="x"))
    (beat,) = threads
    beat()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("kilo-review: no answer yet, after ")
    assert lines[2].startswith("kilo-review: 30 of 100 hunks reviewed")


@pytest.mark.parametrize(
    ("done", "total", "seconds", "told"),
    [
        (0, 100, 60, "0 of 100 hunks reviewed"),
        (30, 100, 30, "30 of 100 hunks reviewed, 60 a minute, about 1 min left"),
        (90, 100, 90, "90 of 100 hunks reviewed, 60 a minute, about 10 s left"),
    ],
)
def test_how_far_it_is(done: int, total: int, seconds: float, told: str) -> None:
    assert how_far(done, total, seconds) == told


def test_a_quiet_run_and_a_hook_log_nothing(
    capsys: pytest.CaptureFixture[str], threads: list[Callable[[], None]]
) -> None:
    for talk in (Talk(quiet=True, animated=False, logged=True), Talk(quiet=False, animated=False)):
        talk.model_chosen(ModelInfo("ollama", "m:1", None, 4096, why="x"))
        talk.progress(1, 100)
        talk.stop()
    assert not threads
    assert len(capsys.readouterr().err.splitlines()) == 1
