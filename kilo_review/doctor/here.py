"""What lies here: git, the repository, its hooks, its ledger."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review import doctor
from kilo_review.core import safe_file
from kilo_review.core.errors import KiloReviewError, TargetError, UsageError
from kilo_review.hooks import install, pre_commit_config
from kilo_review.hooks.place import Place, place_for_all, place_here
from kilo_review.ledger import stats
from kilo_review.sanitize.terminal import escaped_path, one_line
from kilo_review.source.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilo_review.doctor import Check
    from kilo_review.ledger.records import Ledger
    from kilo_review.review.session import Session

OLDEST_GIT = (2, 31)
"""Knows `rev-parse --path-format`."""


def git(directory: Path) -> Check:
    """Its version."""
    try:
        said = Git(directory).run("--version").decode("utf-8", "replace").strip()
    except KiloReviewError as error:
        return doctor.problem("git", error.message, error.hint)
    found = re.search(r"(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < OLDEST_GIT:
        return doctor.problem(
            "git", f"{one_line(said)} is too old", f"Update it to {OLDEST_GIT[0]}.{OLDEST_GIT[1]} or newer"
        )
    return doctor.ok("git", one_line(said))


def repository(session: Session) -> Iterator[Check]:
    """The repository around the working directory, if there is one."""
    try:
        layout = session.repository.layout
    except TargetError:
        yield doctor.ok("repository", "none here: its hooks, settings and ledger were not looked at")
        return
    except KiloReviewError as error:
        yield doctor.problem("repository", error.message, error.hint)
        return
    if layout.is_shallow:
        yield doctor.warning(
            "repository", "a shallow clone: where a branch begins may not be known", "git fetch --unshallow"
        )
    else:
        yield doctor.ok("repository", escaped_path(str(layout.git_dir)))


def hooks(directory: Path, root: Path, own_folder: Path | None) -> Check:
    """Whether commits and pushes are reviewed, by whom, and by hooks of this version.

    Args:
        directory: the working directory.
        root: top of the worktree.
        own_folder: where hooks for all repositories are kept; None for a user without a home.
    """
    by_framework = _called_by_framework(root)
    try:
        place = _place(directory, own_folder)
    except UsageError as error:  # another program's
        return doctor.ok("hooks", f"{error.message}; {error.hint}")
    found, flag = install.state(place), " --global" if place.for_all else ""
    outdated = [name for name, state in found.items() if state == install.OUTDATED]
    if outdated:
        text = f"{', '.join(outdated)}: of another version or interpreter"
        return doctor.warning("hooks", text, f"kilo-review install{flag}")
    current = [name for name, state in found.items() if state == install.CURRENT]
    words = [*current, *(f"{name} (pre-commit framework)" for name in by_framework if name not in current)]
    if words:
        return doctor.ok("hooks", ", ".join(words) + (" (for all your repositories)" if flag else ""))
    return doctor.warning("hooks", "none: commits are not reviewed by themselves", "kilo-review install, or init")


def _place(directory: Path, own_folder: Path | None) -> Place:
    """The hooks that git would run here: the repository's, or those for all of them."""
    try:
        return place_here(directory, ("pre-push",))
    except UsageError:
        place = place_for_all(directory, own_folder) if own_folder else None
        if place is None or install.ABSENT in {install.state(place)[hook] for hook in install.USUAL}:
            raise
        return place


def _called_by_framework(root: Path) -> list[str]:
    """Hooks that the pre-commit framework's configuration calls."""
    path = root / pre_commit_config.NAME
    if not path.is_file():
        return []
    try:
        text = safe_file.read_bytes(path).decode("utf-8", "replace")
        absent = pre_commit_config.missing(text, tuple(pre_commit_config.IDS))
    except KiloReviewError:  # not ours to judge
        return []
    return [name for name in pre_commit_config.IDS if name not in absent]


def ledger(found: Ledger) -> Check:
    """Whether reviews are remembered."""
    if not found.is_used:
        return doctor.ok("ledger", "not used (cache = false)")
    if not found.store.path.exists():
        return doctor.ok("ledger", "empty: nothing was reviewed here yet")
    healthy = found.store.rows("PRAGMA quick_check") == [("ok",)]
    contents = stats.contents(found)
    notes = "; ".join(found.store.notes)
    if found.store.off or not healthy:
        return doctor.warning(
            "ledger",
            f"cannot be used: {one_line(found.store.off or notes or 'it is damaged')}",
            f"Remove {escaped_path(str(found.store.path))}; reviews go on without it, and remember nothing",
        )
    facts = f"{contents.verdicts} answers, {contents.receipts} receipts, {contents.size // 1024} KiB"
    left = f"; {contents.unreviewed} changes with something left out" if contents.unreviewed else ""
    return doctor.ok("ledger", facts + left)
