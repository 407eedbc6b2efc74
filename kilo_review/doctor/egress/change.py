"""The built-in change, in a repository of its own: real enough to be reviewed, and known by a word in it."""

from __future__ import annotations

import secrets
import subprocess
from typing import TYPE_CHECKING

from kilo_review.source.git_errors import MISSING_GIT, explain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "loans.py"
TEXT = '''\
"""Payments of the plan {marker}."""


def payment(amount, rate, months):
    if rate == 0:
        return amount / months
    monthly = rate / 12
    return amount * monthly / (1 - (1 + monthly) ** -months)


def average(payments):
    return sum(payments) / len(payments)
'''
SETTINGS = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.autocrlf=false")
"""Nothing of the user's is started while the repository is made."""


def new_marker() -> str:
    """A word that stands nowhere else in the world."""
    return f"plan{secrets.token_hex(8)}"


def staged(folder: Path, marker: str, environment: Mapping[str, str]) -> None:
    """Make a repository in which the change is staged.

    Raises:
        SourceError: git is missing, or failed.
    """
    folder.mkdir()
    (folder / FILE).write_text(TEXT.format(marker=marker), encoding="utf-8")
    for command in (("init", "-q", "--template="), ("add", "--force", "--", FILE)):
        try:
            done = subprocess.run(  # noqa: S603  fixed words
                ["git", *SETTINGS, *command],  # noqa: S607  found on PATH, as by the review itself
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise MISSING_GIT from None
        if done.returncode:
            raise explain(command[0], done.returncode, done.stderr.decode("utf-8", "replace"))
