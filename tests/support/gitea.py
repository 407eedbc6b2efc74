"""A real Gitea, started once for a file of tests."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.engines import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 120
PASSWORD = "a long password 1"
SETTINGS = """\
WORK_PATH = {folder}
RUN_USER = {user}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
STATIC_ROOT_PATH = {static}
OFFLINE_MODE = true
DISABLE_SSH = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = secret
INTERNAL_TOKEN = eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJuYmYiOjE1MDAwMDAwMDB9.c2lnbmF0dXJl
PASSWORD_HASH_ALGO = pbkdf2_v1
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[api]
DEFAULT_PAGING_NUM = 2
[actions]
ENABLED = false
[mailer]
ENABLED = false
[log]
LEVEL = error
"""


@dataclass(frozen=True)
class Gitea:
    """A server that runs, and its command line.

    Attributes:
        url: where it is.
        binary: the program.
        settings: its settings.
    """

    url: str
    binary: str
    settings: Path

    def command(self, *arguments: str) -> str:
        """What its command line says."""
        done = subprocess.run(
            [self.binary, "-c", str(self.settings), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def user(self, name: str) -> None:
        """Make a user."""
        mail = f"{name}@example.invalid"
        self.command(
            *("admin", "user", "create", "--username", name, "--password", PASSWORD, "--email", mail),
            "--must-change-password=false",
        )

    def token(self, name: str, scopes: str = "all") -> str:
        """A token of a user."""
        label = f"t{time.monotonic_ns()}"
        said = self.command(
            *("admin", "user", "generate-access-token", "--username", name, "--token-name", label),
            *("--scopes", scopes, "--raw"),
        )
        return said.split("\n")[-1]  # to root it says something first

    def ask(self, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request to its interface, by a client that is not ours."""
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            read = answer.read()
        return json.loads(read) if read else None


@contextmanager
def gitea(binary: str, folder: Path) -> Iterator[Gitea]:
    """Run it for as long as the block lasts."""
    port = free_port()
    settings = folder / "app.ini"
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    settings.write_text(SETTINGS.format(folder=folder, port=port, static=Path(binary).parent, user=user))
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [binary, "-c", str(settings), "web"], stdout=stream, stderr=stream, env=os.environ | {"HOME": str(folder)}
        )
    try:
        server = Gitea(f"http://127.0.0.1:{port}", binary, settings)
        _wait(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Gitea, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{server.url}/api/v1/version", timeout=5):
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
