"""What the project brings along beside its settings: ignore lists, accepted findings; and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review.core import safe_file
from kilo_review.core.errors import ConfigError
from kilo_review.judge.baseline import FILE as BASELINE_FILE
from kilo_review.judge.baseline import from_bytes
from kilo_review.source.ci_environment import is_proposal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.config.settings import Settings
    from kilo_review.judge.baseline import Baseline

IGNORE_FILE = ".kilocodeignore"
LARGEST_BASELINE = 8 << 20
"""Bytes; a finding takes about 400."""


def ignore_lists(settings: Settings, root: Path | None) -> dict[str, tuple[str, ...]]:
    """Ignore lists by the name that the coverage shows.

    Raises:
        ConfigError: the ignore file is there and cannot be read; files that it protects must not be sent.
    """
    lists = {"exclude": settings.exclude}
    if root is not None and (root / IGNORE_FILE).exists():
        try:
            text = safe_file.read_bytes(root / IGNORE_FILE).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{IGNORE_FILE} is not UTF-8: {error}") from None
        # As git does: other characters that Python takes for the end of a line may stand in a name.
        lists[IGNORE_FILE] = tuple(line.removesuffix("\r") for line in text.split("\n"))
    return {name: patterns for name, patterns in lists.items() if patterns}


def baseline(settings: Settings, root: Path | None) -> Baseline:
    """Findings that the project has accepted; none where there is no such file and none was named.

    Raises:
        ConfigError: the file is named and not there, cannot be read, is damaged or newer.
    """
    path = baseline_path(settings, root)
    if path is None or (settings.baseline is None and not path.exists()):
        return ()
    return from_bytes(safe_file.read_bytes(path, largest=LARGEST_BASELINE), str(path))


def baseline_path(settings: Settings, root: Path | None) -> Path | None:
    """Where accepted findings are kept; None outside of a repository."""
    return settings.baseline or (root / BASELINE_FILE if root else None)


def is_pull_request(environment: Mapping[str, str]) -> bool:
    """Return whether a CI run is for a proposed change, which may not excuse itself; the table is in `source.ci`."""
    return is_proposal(environment)


def repository_root(directory: Path, environment: Mapping[str, str]) -> Path | None:
    """The top of the worktree, found without git: a bad setting must be told even where git is missing."""
    if environment.get("GIT_WORK_TREE"):
        return Path(environment["GIT_WORK_TREE"])
    for folder in (directory, *directory.parents):
        if (folder / ".git").exists():
            return folder
    return None
