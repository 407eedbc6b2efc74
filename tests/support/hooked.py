"""A repository whose hooks are ours, a remote, a server that counts, and a look into the ledger."""

from __future__ import annotations

import json
import shlex
import sqlite3
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import asks_again

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.conftest import Repo
    from tests.support.fakes.base import Fake

PROGRAM = f"{shlex.quote(sys.executable)} -m kilo_review"
FUNCTION = "def f{0}(a, b):\n    return a + b + {1}\n"


@dataclass
class Hooked:
    """What the tests of commits and pushes work with."""

    repo: Repo
    folder: Path

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    def install(self, *stages: str, before: str = "") -> None:
        for stage in stages:
            script = self.repo.path / ".git" / "hooks" / stage
            script.parent.mkdir(exist_ok=True)
            script.write_text(f'#!/bin/sh\n{before}\nexec {PROGRAM} hook {stage} "$@"\n')
            script.chmod(0o755)

    def report(self) -> dict[str, Any]:
        """The report of the last run, which must have been the only one since the last call."""
        report = json.loads(self.report_path.read_text())
        self.report_path.unlink()
        assert isinstance(report, dict)
        return report

    def commit(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return self.repo.git("commit", "-q", "-m", "change", *arguments, check=check, env=environment, timeout=100)

    def push(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[bytes]:
        return self.repo.git("push", *(arguments or ("-q",)), check=check, env=environment, timeout=100)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        path = self.repo.path / ".git" / "kilo-review" / "ledger.sqlite3"
        if not path.exists():
            return []
        database = sqlite3.connect(path)
        try:
            return database.execute(query, values).fetchall()
        except sqlite3.OperationalError:  # it is being created
            return []
        finally:
            database.close()

    def left(self) -> dict[str, str]:
        """New tree → reason, of what is on record as not reviewed."""
        return dict(self.rows("SELECT head, reason FROM unreviewed"))

    def tree(self, revision: str = "HEAD") -> str:
        return self.repo.out("rev-parse", f"{revision}^{{tree}}")


def chats(server: Fake) -> list[str]:
    """What each chat request asked about, but for those that put one claim to the test."""
    return [body["messages"][-1]["content"] for body in server.asked("/api/chat") if not asks_again(body)]


def claims_tested(server: Fake) -> list[str]:
    """What each request said that put one claim to the test."""
    return [body["messages"][-1]["content"] for body in server.asked("/api/chat") if asks_again(body)]


def states(report: dict[str, Any]) -> list[str]:
    return sorted(entry["state"] for entry in report["coverage"]["entries"])


def by_server(server: Fake) -> dict[str, str]:
    return {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": server.url}


def environment_of(folder: Path) -> dict[str, str]:
    """Reports as JSON in a file, the scripted model unless something else is said."""
    script = folder / "script.json"
    script.write_text('{"replies": []}')
    return {
        "KILO_REVIEW_PROVIDER": "scripted",
        "KILO_REVIEW_MODEL": str(script),
        "KILO_REVIEW_FORMAT": "json",
        "KILO_REVIEW_OUTPUT": str(folder / "report.json"),
    }
