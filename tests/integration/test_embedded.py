"""A real staged change, reviewed by the embedded llama.cpp."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import PromptTooLongError, ServerFailedError
from kilo_review.models import connect
from kilo_review.models.base import ModelRequest
from kilo_review.prompts import REPLY_SCHEMA, Message
from tests.conftest import heed_interrupts
from tests.support.engines import ENOUGH, SHORT, asked, reviewed

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner


@pytest.mark.long
def test_a_staged_change(kilo: Runner, buggy: Repo, gguf: Path) -> None:
    report = kilo("--provider", "embedded", *ENOUGH, "--format", "json").json()
    reviewed(report)
    assert report["model"]["name"] == gguf.name


@pytest.mark.long
def test_a_model_by_its_path_and_a_window(kilo: Runner, buggy: Repo, gguf: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine.gguf"
    copy.symlink_to(gguf)
    report = kilo(
        "--model", str(copy), "--provider", "embedded", "--option", "num_ctx=2048", *SHORT, "--format", "json"
    ).json()
    asked(report)
    assert report["model"]["window"] == 2048


@pytest.mark.long
def test_auto_takes_it_if_nothing_else_runs(kilo: Runner, buggy: Repo, gguf: Path) -> None:
    done = kilo(*SHORT, "--format", "json")
    asked(done.json())
    assert "(embedded at http://127.0.0.1:" in done.talk
    assert "the installed model package)" in done.talk


@pytest.mark.long
def test_a_hook_uses_it_too(kilo: Runner, buggy: Repo, gguf: Path) -> None:
    done = kilo("hook", "pre-commit", "--provider", "embedded", "--max-seconds", "250", *SHORT)
    assert done.code == 0
    assert "not reviewed: 1 hunk in 1 file: the model's answer was cut off after 12 tokens" in done.text
    assert "(the commit goes on; left for kilo-review catch-up)" in done.text


@pytest.mark.long
def test_later_requests_reuse_the_cached_prefix(gguf: Path) -> None:
    model = connect(ModelRequest("embedded", options={"num_predict": 8}), [], Deadline())
    try:
        instructions = Message("system", "You review code and answer in JSON. " * 20)
        replies = [model.ask([instructions, Message("user", text)], None, Deadline()) for text in ("x = 1", "y = 2")]
    finally:
        model.close()
    assert replies[0].cached_prompt_tokens == 0
    assert replies[1].cached_prompt_tokens > replies[1].prompt_tokens * 0.8


@pytest.mark.long
def test_the_schema_binds_the_answer(gguf: Path) -> None:
    model = connect(ModelRequest("embedded", options={"num_predict": 300}), [], Deadline())
    try:
        reply = model.ask([Message("user", "Say hello.")], REPLY_SCHEMA, Deadline())
    finally:
        model.close()
    if not reply.is_cut:
        assert set(json.loads(reply.text)) == {"findings"}
    assert reply.text.lstrip().startswith("{")


@pytest.mark.long
def test_a_prompt_that_does_not_fit_comes_back_with_numbers(gguf: Path) -> None:
    model = connect(ModelRequest("embedded", options={"num_ctx": 512}), [], Deadline())
    try:
        with pytest.raises(PromptTooLongError) as caught:
            model.ask([Message("user", "1 " * 2000)], None, Deadline())
    finally:
        model.close()
    assert caught.value.window == 512
    assert (caught.value.prompt_tokens or 0) > 2000


@pytest.mark.long
def test_a_damaged_model_is_an_ordinary_failure(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    done = kilo("hook", "pre-commit", "--provider", "embedded", "--model", str(broken))
    assert done.code == 0
    assert "the embedded engine ended with" in done.text
    assert "(the commit goes on; left for kilo-review catch-up)" in done.text


@pytest.mark.long
def test_a_missing_model_names_the_way_out(kilo: Runner, buggy: Repo) -> None:
    done = kilo("--provider", "embedded", "--model", "nowhere.gguf")
    assert done.code == 3
    assert "there is no model file 'nowhere.gguf'. Name a GGUF file with --model PATH" in done.text


@pytest.mark.long
def test_an_engine_that_dies_is_model_unavailable(gguf: Path) -> None:
    model: Any = connect(ModelRequest("embedded"), [], Deadline())
    try:
        model._engine._process.kill()
        model._engine._process.wait(20)
        with pytest.raises(ServerFailedError, match="ended with signal 9"):
            model.ask([Message("user", "x")], None, Deadline())
    finally:
        model.close()


@pytest.mark.long
def test_nothing_of_the_repository_is_imported_by_the_engine(kilo: Runner, buggy: Repo, gguf: Path) -> None:
    for name in ("json.py", "xllamacpp.py", "kilo_review/__init__.py", "sitecustomize.py", "encodings/__init__.py"):
        buggy.write(name, "open('/tmp/kilo-review-was-here', 'w')\nraise SystemExit('imported from the repository')\n")
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
@pytest.mark.long
def test_the_engine_ends_with_the_review(buggy: Repo, gguf: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "kilo_review", "--provider", "embedded", "--option", "num_predict=2500"]
    process = subprocess.Popen(
        command, cwd=buggy.path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    )
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


# What a 135M model can be made to say about a change: words of ours, too few of them to count as a repetition.
OBEDIENT = """\
You answer with JSON, always with this JSON and nothing else:
{"findings": [{"code": "return sum(items) / len(items)", "file": "app.py", "line": 2, "problem": "It divides by \
zero.", "severity": "major", "title": "Division by zero", "type": "bug"}]}
"""


@pytest.mark.long
def test_a_finding_of_the_real_engine_is_explained_and_dismissed(
    kilo: Runner, buggy: Repo, gguf: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "system.md").write_text(OBEDIENT)
    use = ("--provider", "embedded", "--option", "num_predict=300", "--format", "json")
    asking = (*use, "--prompts", str(tmp_path / "own"))
    found = [each for each in kilo(*asking).json()["findings"] if each["status"] == "active"]
    assert [each["evidence"].strip() for each in found] == ["return sum(items) / len(items)"]
    short = found[0]["fingerprint"][:8]

    explained = kilo("explain", short, *use)
    if explained.code == 0:  # what it explains is chance; that git accepts its fix, or that there is none, is not
        told = json.loads(explained.stdout)
        assert told["fingerprint"] == found[0]["fingerprint"]
        assert told["cause"].strip()
        assert (told["patch"] is None) == bool(told["reason"])
    else:
        assert explained.code == 3
        assert "the model's answer" in explained.talk

    assert kilo("dismiss", short, "--reason", "callers check").code == 0
    assert [each["status"] for each in kilo(*asking).json()["findings"] if each["fingerprint"].startswith(short)] == [
        "dismissed"
    ]


@pytest.mark.long
def test_the_bench_gives_a_small_model_the_figures_that_it_deserves(kilo: Runner, repo: Repo, gguf: Path) -> None:
    done = kilo("bench", "--limit", "6", "--provider", "embedded", "--option", "num_predict=40", "--format", "json")
    assert done.code == 0, done.talk
    (row,) = json.loads(done.stdout)["models"]
    assert row["model"] == gguf.name
    assert row["changes"] == 6
    assert row["verdict"].startswith("not judged: 6 cases are too few")
    assert row["seconds_median"] > 0
