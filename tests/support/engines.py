"""Real model servers for the suite, and what is true of every review by one.

What the 135M model finds is chance; that it is asked rightly, answers, and is believed only as far as the code
bears it out, is not.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "smollm2:135m"
ENOUGH = ("--option", "num_predict=120")
SHORT = ("--option", "num_predict=12")
"""Where it is enough that the model begins to answer: an answer that is cut off is not a review, and said so."""
START_SECONDS = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ollama(binary: str, gguf: Path, folder: Path) -> Iterator[str]:
    """A real Ollama with the demonstration model; its base URL."""
    host = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "OLLAMA_HOST": host,
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NO_CLOUD": "1",
        "HOME": str(folder),
    }
    with (folder / "ollama.log").open("wb") as log:
        process = subprocess.Popen([binary, "serve"], env=environment, stdout=log, stderr=log)
        try:
            _wait(f"http://{host}/api/version", process)
            (folder / "Modelfile").write_text(f"FROM {gguf}\n")
            subprocess.run(
                [binary, "create", MODEL, "-f", "Modelfile"],
                cwd=folder,
                env=environment,
                check=True,
                capture_output=True,
            )
            yield f"http://{host}"
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def litellm(binary: str, configuration: str, folder: Path) -> Iterator[str]:
    """A real LiteLLM proxy with such a configuration file; its base URL."""
    host, port = "127.0.0.1", free_port()
    (folder / "litellm.yaml").write_text(configuration)
    # Its list of prices would come from the network, else.
    environment = os.environ | {"HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "--config", "litellm.yaml", "--host", host, "--port", str(port), "--telemetry", "False"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(f"http://{host}:{port}/health/liveliness", process)
            yield f"http://{host}:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"no answer from {url}")


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
