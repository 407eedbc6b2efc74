"""Real model servers for the suite."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "smollm2:135m"
START_SECONDS = 60


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
