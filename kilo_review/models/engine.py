"""The child process of the embedded provider: llama.cpp's own server on a loopback port.

Run as `python -m kilo_review.models.engine`. It reads one JSON line from standard input (`model`, `window`,
`key`; the key never stands on a command line, where other users could read it), answers with one JSON line
(`url`) when the model is loaded, and ends when standard input is closed: so it cannot outlive its parent,
not even one that was killed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve(wanted: dict[str, Any]) -> str:
    """Load the model and start the server; its URL."""
    import xllamacpp  # noqa: PLC0415  an optional dependency

    params = xllamacpp.CommonParams()
    params.model.path = wanted["model"]
    params.n_ctx = wanted["window"]
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [wanted["key"]]
    params.warmup = False
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    globals()["_server"] = server  # it stops when it is collected
    return str(server.listening_address)


def main() -> None:
    """Serve until standard input ends."""
    # llama.cpp writes its log to both channels; the parent must see nothing but the one line.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    url = serve(json.loads(sys.stdin.readline()))
    answer.write(json.dumps({"url": url}) + "\n")
    answer.flush()
    sys.stdin.read()
    sys.stdout.flush()
    os._exit(0)  # a request may still be running; nobody is left to read its answer


if __name__ == "__main__":
    main()
