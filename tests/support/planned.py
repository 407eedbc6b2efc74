"""What a CI run would review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Repo, Result, Runner
    from tests.support.forges import Forge


def run(kilo: Runner, clone: Repo, environment: Mapping[str, str], *arguments: str) -> Result:
    return kilo("ci", "--dry-run", "--format", "json", "-v", *arguments, cwd=clone.path, env=dict(environment))


def files(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Path → lines added and removed."""
    found: dict[str, tuple[int, int]] = {}
    for entry in report["coverage"]["entries"]:
        added, removed = found.get(entry["path"], (0, 0))
        found[entry["path"]] = (added + entry["added"], removed + entry["removed"])
    return found


def push(forge: Forge, before: str, after: str, branch: str = "topic") -> dict[str, str]:
    return forge.event("push", {"before": before, "after": after}, GITHUB_REF=f"refs/heads/{branch}")
