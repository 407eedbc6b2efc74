"""What the project brings along beside its settings: ignore lists, accepted findings; and where it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from kilo_review import safe_file
from kilo_review.errors import ConfigError
from kilo_review.judge.baseline import FILE as BASELINE_FILE
from kilo_review.judge.baseline import from_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.config.settings import Settings
    from kilo_review.judge.baseline import Baseline

IGNORE_FILE = ".kilocodeignore"
LARGEST_BASELINE = 8 << 20
"""Bytes; a finding takes about 400."""
PULL_REQUEST_MARKS = {
    "GITHUB_EVENT_NAME": "pull_request",  # Gitea and Forgejo set it, too
    "CI_MERGE_REQUEST_IID": ".",
    "BITBUCKET_PR_ID": ".",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": ".",
    "CHANGE_ID": ".",  # Jenkins
    "CI_PIPELINE_EVENT": "pull_request",  # Woodpecker
}
"""Variables of CI systems → what they begin with when they run for a pull request."""


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
    """Whether a CI system says that it runs for a pull or merge request, which may not excuse itself."""
    return any(re.match(pattern, environment.get(name, "")) for name, pattern in PULL_REQUEST_MARKS.items())


def repository_root(directory: Path, environment: Mapping[str, str]) -> Path | None:
    """The top of the worktree, found without git: a bad setting must be told even where git is missing."""
    if environment.get("GIT_WORK_TREE"):
        return Path(environment["GIT_WORK_TREE"])
    for folder in (directory, *directory.parents):
        if (folder / ".git").exists():
            return folder
    return None
