"""A server that works on so many requests at the same time, and takes a fixed time for each: `llama-server`'s wire.

A process of its own, so that it does not share an interpreter with what is measured.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 4096
MODELS = {"data": [{"id": "model", "object": "model", "owned_by": "llamacpp"}]}
CHUNK = {"choices": [{"index": 0, "delta": {"content": '{"findings": []}'}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 1500, "completion_tokens": 6}}
EVENTS = "".join(f"data: {json.dumps(each)}\n\n" for each in (CHUNK, USAGE)) + "data: [DONE]\n\n"


@contextmanager
def slot_server(slots: int, seconds: float) -> Iterator[str]:
    """The base URL of one, as long as it is needed."""
    command = (sys.executable, "-m", "benchmarks.slot_server", str(slots), str(seconds))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def _serve(slots: int, seconds: float) -> None:
    room = asyncio.Semaphore(slots)
    props = {"default_generation_settings": {"n_ctx": WINDOW}, "total_slots": slots}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.readline():
            length = 0
            while (line := await reader.readline()).strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            body, kind = json.dumps(props if b"/props" in request else MODELS), "application/json"
            if b"/chat/completions" in request:
                async with room:
                    await asyncio.sleep(seconds)
                body, kind = EVENTS, "text/event-stream"
            status = "404 Not Found" if b"/api/" in request else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
