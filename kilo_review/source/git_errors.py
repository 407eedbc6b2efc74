"""What git says when it fails → an error that names the cause and the next step."""

from __future__ import annotations

import re

from kilo_review.core.errors import SourceError, TargetError

MISSING_GIT = SourceError("git was not found on PATH", hint="Install git, or put its folder on PATH")

_PARTIAL = (
    "this is a partial clone and an object is missing; nothing is fetched during a review",
    "Fetch it first: git fetch --refetch --no-filter",
)
KNOWN: tuple[tuple[str, type[SourceError | TargetError], str, str], ...] = (
    (
        "safe.bareRepository",
        SourceError,
        "your git uses bare repositories only where they are named (safe.bareRepository is 'explicit')",
        "Name it in the variable GIT_DIR",
    ),
    (
        "not a git repository",
        TargetError,
        "this is not a git repository",
        "Change into one, or give a patch on standard input: kilo-review -",
    ),
    ("unmerged", SourceError, "the index has unmerged paths", "Resolve the conflicts and `git add` them first"),
    (
        "The empty string is not a valid path",
        SourceError,
        "a path in git's configuration is empty",
        "Name a folder, or take the setting out; for hooks: git config --unset core.hooksPath",
    ),
    ("$HOME not set", SourceError, "the variable HOME is not set, and git keeps your own settings there", "Set HOME"),
    ("promisor remote", SourceError, *_PARTIAL),
    ("lazy fetching disabled", SourceError, *_PARTIAL),
)
"""What git's complaint holds → the error, what it says, and the next step."""


def too_slow(command: str) -> SourceError:
    """The deadline passed while git was at work."""
    return SourceError(f"git {command} did not end within the time limit", hint="Raise it with --max-seconds")


def explain(command: str, status: int, errors: str) -> SourceError | TargetError:
    """The cause and the next step, from what git said (GitPython forces English)."""
    owner = re.search(r"detected dubious ownership in repository at '(.+)'", errors)
    if owner:
        path = owner.group(1)
        return SourceError(
            f"git refuses to read {path!r}, which belongs to another user",
            hint=f"If you trust it: git config --global --add safe.directory {path}",
        )
    for mark, kind, message, hint in KNOWN:
        if mark in errors:
            return kind(message, hint=hint)
    if "Timeout:" in errors:
        return too_slow(command)
    whole = re.sub(r"\n[ \t]+", " ", errors.strip())  # git puts the names that it speaks of on lines of their own
    said = [line for line in whole.splitlines() if line.startswith(("fatal:", "error:"))]
    detail = "; ".join(said[-2:]) or errors.strip()[-300:] or "it said nothing"
    return SourceError(f"git {command} failed with status {status}: {detail}")
