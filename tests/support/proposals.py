"""A proposal of a few files, reviewed as GitHub runs it, with a model that always answers the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.ollama import Model, Ollama
from tests.support.forges import Forge
from tests.support.hooked import by_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

HONEST = {"honest.py": "def size(items):\n    return len(items)\n"}
"""A hunk that is always reviewed, so that an outcome could be called clean."""


@dataclass
class Proposal:
    """A base and a proposal on it.

    Attributes:
        kilo: runs the program.
        hub: the repository on the server.
        folder: where the clone is made.
        claims: what the model finds.
        ruling: what it says when it is asked again.
    """

    kilo: Runner
    hub: Repo
    folder: Path
    claims: list[dict[str, Any]] = field(default_factory=list)
    ruling: str | Callable[[dict[str, Any]], str] = AFFIRMED

    def base(self, files: dict[str, str | bytes]) -> None:
        """Commit what the base has."""
        self.hub.commit("first")
        for name, content in files.items():
            self.hub.stage(name, content)
        self.hub.commit("base")

    def review(
        self, files: dict[str, str | bytes], *, gone: tuple[str, ...] = (), seen: int = 0, begin: str = "main"
    ) -> Result:
        """Propose these files beside an honest one, and review the proposal.

        Args:
            files: what it adds or changes.
            gone: what it deletes.
            seen: requests about code that are expected; 0 for as many as there are.
            begin: the branch that it is made on.
        """
        self.hub.git("checkout", "-q", "-b", "topic", begin)
        if gone:
            self.hub.git("rm", "-q", "--", *gone)
        for name, content in {**HONEST, **files}.items():
            self.hub.stage(name, content)
        self.hub.commit("topic")
        self.hub.git("checkout", "-q", "main")
        forge = Forge(self.hub, self.folder)
        forge.propose()
        answer = json.dumps({"findings": self.claims})
        with Ollama(models=[Model("m:1", loaded_window=32768)], ruling=self.ruling, answer=answer) as server:
            environment = by_server(server) | forge.pull_request()
            done = self.kilo("ci", "--format", "json", cwd=forge.clone().path, env=environment)
            assert not seen or len(server.asked("/api/chat")) == seen
        return done


def states(done: Result) -> dict[str, str]:
    """The states of all rows of a report by their path; one word where all rows of a file agree."""
    found: dict[str, set[str]] = {}
    for row in done.json()["coverage"]["entries"]:
        found.setdefault(row["path"], set()).add(row["state"])
    return {path: " ".join(sorted(each)) for path, each in found.items()}


def claim(path: str, code: str, **changes: Any) -> dict[str, Any]:
    """A critical finding about a line, in the model's own form."""
    made = {"file": path, "line": 1, "problem": "Anyone may do it.", "severity": "critical", "title": "No check"}
    return made | {"type": "security", "code": code} | changes
