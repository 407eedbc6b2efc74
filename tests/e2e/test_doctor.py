"""`kilo-review doctor`: each line says how a thing is, and each that is not well what to do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.doctor import bugs, speed
from kilo_review.ledger.store import FILE, FOLDER
from tests.support.engines import free_port
from tests.support.fakes.lmstudio import LMStudio
from tests.support.fakes.lmstudio import Model as LMModel
from tests.support.fakes.ollama import Model, Ollama, error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as fake:
        yield fake


@pytest.fixture
def examine(kilo: Runner, server: Ollama) -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """The doctor's rows by name, asked about the server."""

    def examined(*arguments: str, code: int = 0, **environment: str) -> dict[str, list[dict[str, Any]]]:
        words = ("--provider", "ollama", "--base-url", server.url, "--format", "json")
        done = kilo("doctor", *words, *arguments, env=environment)
        assert done.code == code, done.stdout
        report = json.loads(done.stdout)
        assert report["exit_code"] == code
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in report["checks"]:
            rows.setdefault(row["name"], []).append(row)
            assert row["level"] == "ok" or row["remedy"] or "allowed it" in row["text"]
        return rows

    return examined


def levels(rows: list[dict[str, Any]]) -> list[str]:
    return [row["level"] for row in rows]


def test_one_screen_when_all_is_well(kilo: Runner, repo: Repo, server: Ollama) -> None:
    kilo("install")
    done = kilo("doctor", "--provider", "ollama", "--base-url", server.url)
    assert done.code == 0, done.text
    lines = done.text.splitlines()
    assert len(lines) < 25
    assert lines[0].startswith("ok       git         git version ")
    assert f"Ollama 0.33.0 at {server.url}" in done.text
    assert "qwen2.5-coder:7b (ollama; already loaded)" in done.text
    assert "8192 tokens: room for about " in done.text
    assert "in the 20 s of a commit" in done.text
    assert lines[-1].startswith("kilo-review: a review would work")


def test_it_sends_nothing_of_the_users_code(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    buggy.stage("secret.py", "MARKER_OF_MINE = 1\n")
    kilo("doctor", "--provider", "ollama", "--base-url", server.url)
    assert len(server.asked("/api/chat")) == 2
    for call in server.calls:
        assert b"MARKER_OF_MINE" not in call.raw
        assert b"sum(items)" not in call.raw


def test_a_server_that_is_down_is_a_problem_with_its_remedy(kilo: Runner, repo: Repo) -> None:
    done = kilo("doctor", "--provider", "ollama", "--base-url", f"http://127.0.0.1:{free_port()}")
    assert done.code == 3
    (line,) = [line for line in done.text.splitlines() if line.startswith("problem")]
    assert "Ollama: cannot connect to " in line
    assert "(looked at: http://127.0.0.1:" in line
    assert "→ Start it with `ollama serve`" in done.text
    assert done.text.endswith("kilo-review: a review would not work (1 problem, 1 warning)\n")


def test_a_model_that_is_not_there_names_the_nearest(examine: Any, repo: Repo) -> None:
    rows = examine("--model", "qwen2.5-codr:7b", code=3)
    (row,) = [row for row in rows["server"] if row["level"] == "problem"]
    assert "Did you mean qwen2.5-coder:7b?" in row["remedy"]


def test_a_model_that_does_not_answer_is_a_problem(examine: Any, repo: Repo, server: Ollama) -> None:
    server.failure = error(500, "model requires more system memory (21.5 GiB) than is available (7.9 GiB)")
    rows = examine(code=3)
    (row,) = rows["speed"]
    assert "does not fit into memory" in row["text"]


def test_a_server_that_refuses_the_schema_is_asked_without_it(examine: Any, repo: Repo, server: Ollama) -> None:
    refusal = error(500, "invalid JSON schema in format")
    server.instead["/api/chat"] = [lambda call: refusal if "format" in call.body else None]
    (row,) = examine()["speed"]
    assert "for a small hunk" in row["text"]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (Model("m:1b"), "not loaded: the next review waits for that"),
        (Model("m:1b", loaded_window=8192, size_vram=0), "wholly on the CPU, which is slow"),
        (Model("m:1b", size=100, loaded_window=8192, size_vram=70), "30% of it on the CPU, which is slow"),
    ],
)
def test_a_model_that_is_slow_for_a_reason(examine: Any, repo: Repo, server: Ollama, model: Model, told: str) -> None:
    server.models[:] = [model]
    rows = examine()
    assert [row["text"] for row in rows["model"] if row["level"] == "warning"] == [told]


def test_a_small_window(examine: Any, repo: Repo) -> None:
    assert levels(examine("--option", "num_ctx=2300")["window"]) == ["warning"]
    (row,) = examine("--option", "num_ctx=1000", code=3)["window"]
    assert (row["level"], "too small for a review" in row["text"]) == ("problem", True)


def test_cloud_models_that_are_switched_on_are_told(examine: Any, repo: Repo) -> None:
    (row,) = examine()["cloud"]
    assert "which kilo-review refuses" in row["text"]
    assert "OLLAMA_NO_CLOUD=1" in row["remedy"]


@pytest.mark.parametrize(
    ("script", "level", "told"),
    [
        (None, "warning", "may pass requests on to a linked device, unseen by us"),
        ("echo '{\"enabled\": false}'", "ok", "off: LM Studio passes no request on"),
        ('echo \'{"enabled": true, "devices": ["den"]}\'', "warning", "may pass requests on to a linked device"),
        ("echo nonsense; exit 1", "warning", "does not tell whether"),
        ("sleep 20", "warning", "does not tell whether"),
    ],
)
def test_lm_studios_link_is_looked_at(
    kilo: Runner, repo: Repo, tmp_path: Path, script: str | None, level: str, told: str
) -> None:
    path = os.environ["PATH"]
    if script is not None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "lms").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "lms").chmod(0o755)
        path = f"{tmp_path / 'bin'}:{path}"
    with LMStudio(models=[LMModel("qwen2.5-coder-14b", loaded_window=16384)]) as server:
        done = kilo(
            "doctor", "--provider", "lmstudio", "--base-url", server.url, "--format", "json", env={"PATH": path}
        )
    (row,) = [row for row in json.loads(done.stdout)["checks"] if row["name"] == "LM Link"]
    assert (row["level"], told in row["text"]) == (level, True)


def test_where_each_setting_comes_from_and_no_secret(examine: Any, repo: Repo, server: Ollama, tmp_path: Path) -> None:
    repo.write(".kilo-review.toml", 'fail_on = "major"\nlanguage = "fr"\n')
    own = tmp_path / "own.toml"
    own.write_text('fail_on = "minor"\nallow_hosts = ["gpu.example"]\n')
    rows = examine(
        *("--config", str(own), "--exclude", "*.sql"),
        KILO_REVIEW_MAX_SECONDS="40",
        KILO_REVIEW_API_KEY="a-secret-token",
    )
    told = {row["text"] for row in rows["settings"]}
    assert told == {
        "api_key = *** (KILO_REVIEW_API_KEY)",
        f"allow_hosts = gpu.example ({own})",
        f"base_url = {server.url} (--base-url)",
        "exclude = *.sql (--exclude)",
        f"fail_on = minor ({own})",
        f"language = fr ({repo.path / '.kilo-review.toml'})",
        "max_seconds = 40.0 (KILO_REVIEW_MAX_SECONDS)",
        "provider = ollama (--provider)",
    }


def test_settings_that_are_wrong_are_a_problem_and_nothing_is_asked(kilo: Runner, repo: Repo, server: Ollama) -> None:
    repo.write(".kilo-review.toml", 'base_url = "http://127.0.0.1:1"\n')
    done = kilo("doctor", "--provider", "ollama", "--base-url", server.url)
    assert done.code == 2
    assert "the repository may not set 'base_url'" in done.text
    assert not server.calls


def test_proxies_are_told_and_not_used(examine: Any, repo: Repo) -> None:
    (row,) = examine(HTTPS_PROXY="http://127.0.0.1:9", all_proxy="http://127.0.0.1:9")["proxies"]
    assert row["text"] == "HTTPS_PROXY, all_proxy: set, and not used for a model server"


@pytest.mark.long
def test_hooks_of_every_kind(examine: Any, kilo: Runner, repo: Repo) -> None:
    assert levels(examine()["hooks"]) == ["warning"]
    kilo("install")
    assert examine()["hooks"][0]["text"] == "pre-commit, pre-push"
    hook = repo.path / ".git" / "hooks" / "pre-push"
    hook.write_text(hook.read_text().replace("version 2", "version 1"))
    (row,) = examine()["hooks"]
    assert (row["text"], row["remedy"]) == ("pre-push: of another version or interpreter", "kilo-review install")
    kilo("uninstall")
    kilo("init", "--yes")
    told = examine()["hooks"][0]["text"]
    assert told == "pre-commit (pre-commit framework), pre-push (pre-commit framework)"


def test_hooks_for_all_repositories(examine: Any, kilo: Runner, repo: Repo) -> None:
    kilo("install", "--global")
    (row,) = examine()["hooks"]
    assert (row["level"], row["text"]) == ("ok", "pre-commit, pre-push (for all your repositories)")


@pytest.mark.long
def test_the_ledgers_health(examine: Any, kilo: Runner, buggy: Repo, server: Ollama) -> None:
    assert examine()["ledger"][0]["text"] == "empty: nothing was reviewed here yet"
    kilo("--provider", "ollama", "--base-url", server.url)
    assert examine()["ledger"][0]["text"].startswith("1 answers, 1 receipts, ")
    path = buggy.path / ".git" / FOLDER / FILE
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    (row,) = examine()["ledger"]
    assert row["level"] in {"ok", "warning"}
    assert examine("--no-cache")["ledger"][0]["text"] == "not used (cache = false)"


def test_outside_of_a_repository(kilo: Runner, server: Ollama, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    done = kilo("doctor", "--provider", "ollama", "--base-url", server.url, cwd=tmp_path / "bare")
    assert done.code == 0
    assert "none here: its hooks, settings and ledger were not looked at" in done.text


def test_without_git(kilo: Runner, repo: Repo, server: Ollama) -> None:
    done = kilo("doctor", "--provider", "ollama", "--base-url", server.url, env={"PATH": "/nowhere"})
    assert done.code == 3
    assert done.text.splitlines()[0].split(maxsplit=2)[2] == "git was not found on PATH"


def test_known_bugs_of_the_version(examine: Any, repo: Repo, server: Ollama) -> None:
    server.version = "0.20.0"
    server.models[:] = [Model("qwen3.5:9b", loaded_window=8192)]
    told = [row["text"] for row in examine()["server"] if row["level"] == "warning"]
    assert told == ["known bug: before 0.31.2 the form of answers is ignored where thinking is off (#14645, #14850)"]


@pytest.mark.parametrize(
    ("version", "model", "number"),
    [
        ("0.33.0", "qwen3.5:9b", 0),
        ("0.31.1", "qwen3.6:27b", 1),
        ("0.31.1", "qwen2.5-coder:7b", 0),
        ("0.12.3", "x", 1),
        ("0.9.0", "gemma4:12b", 3),
        ("0.0.0", "qwen3.5:9b", 0),
        ("", "qwen3.5:9b", 0),
        ("0.31.2-rc1", "qwen3.5:9b", 0),
    ],
)
def test_bugs_by_version_and_model(version: str, model: str, number: int) -> None:
    assert len(bugs.known("ollama", version, model)) == number
    assert bugs.known("lmstudio", version, model) == []


@pytest.mark.parametrize(("hunks", "said"), [(0, "0 hunks"), (1, "1 hunk"), (4, "4 hunks"), (51, "50 hunks and more")])
def test_hunks_in_words(hunks: int, said: str) -> None:
    assert speed._amount(hunks) == said


def test_hostile_names_reach_no_terminal(kilo: Runner, repo: Repo) -> None:
    with Ollama(models=[Model("\x1b[2Jevil\u202e:1b", loaded_window=8192)], version="1.0\x1b]0;x\x07") as server:
        done: Result = kilo("doctor", "--provider", "ollama", "--base-url", server.url)
    assert "\x1b" not in done.text + done.talk
    assert "\u202e" not in done.text + done.talk
