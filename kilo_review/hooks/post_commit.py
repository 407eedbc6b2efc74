"""`git commit` is done: a review of what it made begins in the background, and the shell is free at once."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAX_SECONDS = 1800.0
"""A review in the background that has taken this long stops; the rest is caught up with later."""
NICENESS = 10
REPOSITORY_VARIABLES = frozenset({
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"),
    *("GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX"),
    *("GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE"),
    *("GIT_WORK_TREE", "GIT_REFLOG_ACTION", "GIT_EDITOR", "PRE_COMMIT"),
})  # fmt: skip
"""What git tells its hooks of the moment (`git rev-parse --local-env-vars`); it will not be true later."""


def start(arguments: Sequence[str], git_dir: Path, environment: Mapping[str, str]) -> None:
    """Start `kilo-review catch-up` in a session of its own, with low priority.

    Args:
        arguments: its options.
        git_dir: of the worktree in which the commit was made.
        environment: of this hook.

    Raises:
        OSError: the system does not let another process start.
    """
    kept = {name: value for name, value in environment.items() if name not in REPOSITORY_VARIABLES}
    subprocess.Popen(  # noqa: S603  our own interpreter and our own module
        # -P: the working directory is the repository under review; nothing in it may be imported.
        [sys.executable, "-P", "-m", "kilo_review", "catch-up", "--in-background", *arguments],
        env=kept | {"GIT_DIR": str(git_dir)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
