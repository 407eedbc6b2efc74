"""Hooks of others, and our installer run in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.hooks import install
from kilo_review.hooks.place import place_here
from kilo_review.hooks.script import HOOKS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo


def script(path: Path, body: str, *, shebang: str = "#!/bin/sh", mode: int = 0o755) -> Path:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{shebang}\n{body}\n")
    path.chmod(mode)
    return path


def install_here(repo: Repo, *hooks: str) -> list[str]:
    """Install our hooks in a repository; pre-commit unless others are named."""
    names = hooks or ("pre-commit",)
    return install.install(place_here(repo.path, names), names, repo.path)


def uninstall_here(repo: Repo, *hooks: str) -> list[str]:
    """Uninstall our hooks, all unless some are named."""
    return install.uninstall(place_here(repo.path, ("pre-push",)), hooks or HOOKS, repo.path)
