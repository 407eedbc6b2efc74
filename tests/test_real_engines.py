"""A real staged change, reviewed by real models: the embedded llama.cpp and a real Ollama.

What the 135M model finds is chance; that it is asked rightly, answers, and is believed only as far as the code
bears it out, is not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.deadline import Deadline
from kilo_review.errors import ModelNotFoundError, PromptTooLongError, ServerFailedError
from kilo_review.models import connect
from kilo_review.models.base import ModelRequest
from kilo_review.models.embedded import is_installed, packaged_model
from kilo_review.prompts import REPLY_SCHEMA, Message
from tests.conftest import needs
from tests.engines import MODEL, ollama

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.models.base import Model
    from kilo_review.outcome import Egress
    from tests.conftest import Repo, Runner

ENOUGH = ("--option", "num_predict=300")
SHORT = ("--option", "num_predict=12")
"""Where it is enough that the model begins to answer: an answer that is cut off is not a review, and said so."""


@pytest.fixture(scope="session")
def gguf() -> Path:
    found = packaged_model()
    if not is_installed() or found is None:
        reason = "the embedded engine or its model is not installed (make test installs both)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def ollama_url(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ollama(needs("ollama", variable="KILO_TEST_OLLAMA"), gguf, tmp_path_factory.mktemp("ollama")) as url:
        yield url


def asked(report: dict[str, Any]) -> None:
    """True of every report if a local model was asked."""
    assert report["model"]["local"] is True
    assert report["usage"]["prompt_tokens"] > 100
    assert {row["address"] for row in report["egress"]} == {"127.0.0.1"}
    assert report["egress"][-1]["bytes_sent"] > 1000


def reviewed(report: dict[str, Any]) -> None:
    """True of every report of an answered review, whatever the model said."""
    asked(report)
    assert report["usage"]["completion_tokens"] > 0
    (entry,) = report["coverage"]["entries"]
    if entry["state"] != "reviewed":  # a small model may ramble to the end of its tokens; then that is what is said
        assert entry["reason"].startswith("the model's answer was cut off after")
        assert report["exit_code"] in {1, 3}
    for finding in report["findings"]:
        assert finding["path"] == "app.py"
        if finding["blocking"]:
            assert finding["status"] == "active"
            assert finding["evidence"].split("\n")[0].strip()


@pytest.mark.xdist_group("embedded")
class TestEmbedded:
    def test_a_staged_change(self, kilo: Runner, buggy: Repo, gguf: Path) -> None:
        report = kilo("--provider", "embedded", *ENOUGH, "--format", "json").json()
        reviewed(report)
        assert report["model"]["name"] == gguf.name

    def test_a_model_by_its_path_and_a_window(self, kilo: Runner, buggy: Repo, gguf: Path, tmp_path: Path) -> None:
        copy = tmp_path / "mine.gguf"
        copy.symlink_to(gguf)
        report = kilo(
            "--model", str(copy), "--provider", "embedded", "--option", "num_ctx=2048", *SHORT, "--format", "json"
        ).json()
        asked(report)
        assert report["model"]["window"] == 2048

    def test_auto_takes_it_if_nothing_else_runs(self, kilo: Runner, buggy: Repo, gguf: Path) -> None:
        done = kilo(*SHORT, "--format", "json")
        asked(done.json())
        assert "(embedded at http://127.0.0.1:" in done.talk
        assert "the installed model package)" in done.talk

    def test_a_hook_uses_it_too(self, kilo: Runner, buggy: Repo, gguf: Path) -> None:
        done = kilo("hook", "pre-commit", "--provider", "embedded", *SHORT)
        assert done.code == 0
        assert "not reviewed: 1 hunk in 1 file: the model's answer was cut off after 12 tokens" in done.text
        assert "(the commit goes on)" in done.text

    def test_later_requests_reuse_the_cached_prefix(self, gguf: Path) -> None:
        model = connect(ModelRequest("embedded", options={"num_predict": 8}), [], Deadline())
        try:
            instructions = Message("system", "You review code and answer in JSON. " * 20)
            replies = [
                model.ask([instructions, Message("user", text)], None, Deadline()) for text in ("x = 1", "y = 2")
            ]
        finally:
            model.close()
        assert replies[0].cached_prompt_tokens == 0
        assert replies[1].cached_prompt_tokens > replies[1].prompt_tokens * 0.8

    def test_the_schema_binds_the_answer(self, gguf: Path) -> None:
        model = connect(ModelRequest("embedded", options={"num_predict": 300}), [], Deadline())
        try:
            reply = model.ask([Message("user", "Say hello.")], REPLY_SCHEMA, Deadline())
        finally:
            model.close()
        if not reply.is_cut:
            assert set(json.loads(reply.text)) == {"findings"}
        assert reply.text.lstrip().startswith("{")

    def test_a_prompt_that_does_not_fit_comes_back_with_numbers(self, gguf: Path) -> None:
        model = connect(ModelRequest("embedded", options={"num_ctx": 512}), [], Deadline())
        try:
            with pytest.raises(PromptTooLongError) as caught:
                model.ask([Message("user", "1 " * 2000)], None, Deadline())
        finally:
            model.close()
        assert caught.value.window == 512
        assert (caught.value.prompt_tokens or 0) > 2000

    def test_a_damaged_model_is_an_ordinary_failure(self, kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
        broken = tmp_path / "broken.gguf"
        broken.write_bytes(b"GGUF" + b"\0" * 100)
        done = kilo("hook", "pre-commit", "--provider", "embedded", "--model", str(broken))
        assert done.code == 0
        assert "the embedded engine ended with" in done.text
        assert "(the commit goes on)" in done.text

    def test_a_missing_model_names_the_way_out(self, kilo: Runner, buggy: Repo) -> None:
        done = kilo("--provider", "embedded", "--model", "nowhere.gguf")
        assert done.code == 3
        assert "there is no model file 'nowhere.gguf'. Name a GGUF file with --model PATH" in done.text

    def test_an_engine_that_dies_is_model_unavailable(self, gguf: Path) -> None:
        model: Any = connect(ModelRequest("embedded"), [], Deadline())
        try:
            model._engine._process.kill()
            model._engine._process.wait(20)
            with pytest.raises(ServerFailedError, match="ended with signal 9"):
                model.ask([Message("user", "x")], None, Deadline())
        finally:
            model.close()

    def test_nothing_of_the_repository_is_imported_by_the_engine(self, kilo: Runner, buggy: Repo, gguf: Path) -> None:
        for name in ("json.py", "xllamacpp.py", "kilo_review/__init__.py", "sitecustomize.py", "encodings/__init__.py"):
            buggy.write(
                name, "open('/tmp/kilo-review-was-here', 'w')\nraise SystemExit('imported from the repository')\n"
            )
        script = [
            str(Path(sys.executable).parent / "kilo-review"),
            "--provider",
            "embedded",
            *SHORT,
            "--format",
            "json",
        ]
        done = subprocess.run(script, cwd=buggy.path, capture_output=True, timeout=120)
        asked(json.loads(done.stdout))
        assert not Path("/tmp/kilo-review-was-here").exists()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
    def test_the_engine_ends_with_the_review(self, buggy: Repo, gguf: Path, number: signal.Signals) -> None:
        command = [sys.executable, "-m", "kilo_review", "--provider", "embedded", "--option", "num_predict=4000"]
        process = subprocess.Popen(command, cwd=buggy.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr
        process.stderr.readline()  # the model is loaded and asked
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[-1:]
        process.send_signal(number)
        process.communicate(timeout=30)
        end = time.monotonic() + 10
        while (
            Path(f"/proc/{child}/cmdline").exists()
            and Path(f"/proc/{child}/cmdline").read_bytes()
            and time.monotonic() < end
        ):
            time.sleep(0.05)
        assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


@pytest.mark.xdist_group("ollama")
class TestOllama:
    @pytest.fixture
    def egress(self) -> list[Egress]:
        return []

    def model(self, url: str, egress: list[Egress], **options: Any) -> Model:
        return connect(ModelRequest("ollama", MODEL, url, options=options), egress, Deadline())

    def test_a_staged_change(self, kilo: Runner, buggy: Repo, ollama_url: str) -> None:
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

    def test_ollama_host_leads_auto_to_it(self, kilo: Runner, buggy: Repo, ollama_url: str) -> None:
        host = ollama_url.removeprefix("http://")
        report = kilo(*SHORT, "--format", "json", env={"OLLAMA_HOST": host}).json()
        assert report["model"]["base_url"] == ollama_url

    def test_its_openai_wire_works_too(self, kilo: Runner, buggy: Repo, ollama_url: str) -> None:
        asked(kilo("--provider", "openai", "--base-url", ollama_url, *SHORT, "--format", "json").json())

    def test_the_loaded_window_is_kept(self, kilo: Runner, buggy: Repo, ollama_url: str) -> None:
        options = ("--provider", "ollama", "--base-url", ollama_url, *SHORT, "--format", "json")
        assert kilo(*options, "--option", "num_ctx=4096").json()["model"]["window"] == 4096
        assert kilo(*options).json()["model"]["window"] == 4096
        assert kilo(*options, "--option", "num_ctx=8192").json()["model"]["window"] == 8192

    def test_an_unknown_model_is_explained(self, kilo: Runner, buggy: Repo, ollama_url: str) -> None:
        done = kilo("--provider", "ollama", "--base-url", ollama_url, "--model", "smollm2:360m")
        assert done.code == 3
        assert "has no model 'smollm2:360m'. Did you mean smollm2:135m?" in done.text
        assert "ollama pull smollm2:360m" in done.text

    def test_a_prompt_that_does_not_fit_is_an_error_and_not_half_a_review(
        self, ollama_url: str, egress: list[Egress]
    ) -> None:
        model = self.model(ollama_url, egress, num_ctx=2048)
        with pytest.raises(PromptTooLongError):
            model.ask([Message("user", "1 " * 5000)], None, Deadline())
        model.close()

    def test_thinking_that_is_not_there_is_told(self, ollama_url: str, egress: list[Egress]) -> None:
        model = self.model(ollama_url, egress, think=True)
        with pytest.raises(ServerFailedError, match=r"does not support thinking.*Leave it out"):
            model.ask([Message("user", "x")], None, Deadline())
        model.close()

    def test_a_model_that_vanishes_is_told(self, ollama_url: str, egress: list[Egress]) -> None:
        with pytest.raises(ModelNotFoundError):
            connect(ModelRequest("ollama", "nope", ollama_url), egress, Deadline())

    def test_counts_and_speed_are_the_servers(self, ollama_url: str, egress: list[Egress]) -> None:
        model = self.model(ollama_url, egress, num_predict=40)
        reply = model.ask([Message("user", "Count to ten.")], None, Deadline())
        assert reply.prompt_tokens > 5
        assert 0 < reply.completion_tokens <= 40
        assert 0 < reply.answer_seconds < reply.seconds
        assert model.slow_reason(Deadline()) == "the model runs wholly on the CPU"
        model.close()
        assert egress[0].requests == 5
