"""What git says when it fails → an error that names the cause and the next step."""

from __future__ import annotations

import re

from kilo_review.errors import SourceError, TargetError

MISSING_GIT = SourceError("git was not found on PATH", hint="Install git, or put its folder on PATH")


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
    if "not a git repository" in errors:
        return TargetError(
            "this is not a git repository",
            hint="Change into one, or give a patch on standard input: kilo-review -",
        )
    if "unmerged" in errors:
        return SourceError("the index has unmerged paths", hint="Resolve the conflicts and `git add` them first")
    if "promisor remote" in errors or "lazy fetching disabled" in errors:
        return SourceError(
            "this is a partial clone and an object is missing; nothing is fetched during a review",
            hint="Fetch it first: git fetch --refetch --no-filter",
        )
    if "Timeout:" in errors:
        return too_slow(command)
    said = [line for line in errors.strip().splitlines() if line.startswith(("fatal:", "error:"))]
    detail = "; ".join(said[-2:]) or errors.strip()[-300:] or "it said nothing"
    return SourceError(f"git {command} failed with status {status}: {detail}")
