"""`git commit` asks: what is staged is reviewed. Nothing is read from argv or stdin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.source.layout import Located
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline

MAX_SECONDS = 20.0
"""Short, since the pre-commit framework loses edits made while its hooks run (docs/hooks.md)."""
MANAGERS = (".pre-commit-config.yaml", "prek.toml", "lefthook.yml", ".husky/pre-push")
"""Files that say what other programs' hooks run."""
LARGEST_SCRIPT = 1 << 20


def request() -> Request:
    """What to review."""
    return Request("staged", in_commit=True)


def is_followed_by_pre_push(deadline: Deadline) -> bool:
    """Whether a hook of ours waits at push for what is left out now."""
    git = Located(Path.cwd(), deadline, pinned=False)
    status, output = git.status("rev-parse", "--path-format=absolute", "--git-path", "hooks/pre-push")
    hook = Path(os.fsdecode(output.removesuffix(b"\n")))
    if status or not os.access(hook, os.X_OK):
        return False
    ours = any(name in _beginning(hook) for name in (b"kilo-review", b"kilo_review"))
    told = any(word in _beginning(Path(name)) for name in MANAGERS for word in (b"kilo-review-push", b"hook pre-push"))
    return ours or told


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_SCRIPT)
    except OSError:
        return b""
