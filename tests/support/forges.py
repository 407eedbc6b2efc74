"""A repository on a server with a pull request, and clones of it as CI systems make them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.conftest import Repo

if TYPE_CHECKING:
    from pathlib import Path

ZEROS = "0" * 40


@dataclass
class Forge:
    """A repository on a server, with a branch `topic` that is proposed for `main` as number 7."""

    hub: Repo
    folder: Path

    def at(self, revision: str) -> str:
        return self.hub.out("rev-parse", revision)

    def clone(self, *also: str, checkout: str = "refs/pull/7/merge", depth: int | None = 1) -> Repo:
        """As `actions/checkout` does it: nothing but the wanted commit, detached."""
        made = Repo(self.folder / "clone")
        shutil.rmtree(made.path, ignore_errors=True)
        made.path.mkdir()
        made.git("init", "-q")
        made.git("remote", "add", "origin", self.hub.path.as_uri())
        limit = () if depth is None else (f"--depth={depth}",)
        made.git("fetch", "-q", "--no-tags", *limit, "origin", checkout, *also)
        made.git("checkout", "-q", "--detach", "FETCH_HEAD")
        return made

    def propose(self) -> None:
        """The references of a pull request: its head, and its merge into what `main` is now."""
        self.hub.git("update-ref", "refs/pull/7/head", "topic")
        self.hub.git("update-ref", "refs/merge-requests/7/head", "topic")
        self.hub.git("checkout", "-q", "--detach", "main")
        self.hub.git("merge", "-q", "--no-ff", "-m", "merge", "topic")
        self.hub.git("update-ref", "refs/pull/7/merge", "HEAD")
        self.hub.git("checkout", "-q", "main")

    def event(self, name: str, facts: dict[str, Any], **more: str) -> dict[str, str]:
        """The environment of a run of GitHub Actions."""
        path = self.folder / "event.json"
        path.write_text(json.dumps({"repository": {"default_branch": "main"}, **facts}))
        own = variables(CI="true", GITHUB_ACTIONS="true", GITHUB_EVENT_NAME=name, GITHUB_EVENT_PATH=str(path))
        return own | more

    def pull_request(self, event: str = "pull_request", **more: str) -> dict[str, str]:
        """As GitHub describes it; the base's id is where `main` was when the request was opened."""
        facts = {
            "number": 7,
            "pull_request": {
                "base": {"ref": "main", "sha": self.at("main~1")},
                "head": {"ref": "topic", "sha": self.at("topic")},
            },
        }
        return self.event(event, facts, GITHUB_SHA=self.at("refs/pull/7/merge"), **more)


def variables(**given: str) -> dict[str, str]:
    return given
