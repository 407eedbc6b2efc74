"""Reviews in the background: one at a time in a repository, and whoever comes meanwhile only leaves word."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kilo_review.ledger.store import wait_for_lock

if TYPE_CHECKING:
    from pathlib import Path


OWN = os.O_CLOEXEC | os.O_NOFOLLOW
"""How our files are opened: what lies there may come from a cache, and be a link."""


class Turn:
    """Whose turn it is. A word that is left while the turn is taken is read after it was given back."""

    def __init__(self, folder: Path) -> None:
        """Name the files.

        Args:
            folder: the ledger's.
        """
        self._folder = folder
        self._lock = folder / "background.lock"
        self._word = folder / "background.wanted"
        self._descriptor: int | None = None

    def leave_word(self) -> None:
        """There is something new to review.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._word, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | OWN, 0o600)
        try:
            os.write(descriptor, os.urandom(8))
        finally:
            os.close(descriptor)

    def word(self) -> bytes:
        """Changes whenever somebody leaves word."""
        return self._word.read_bytes() if self._word.exists() else b""

    def take(self, seconds: float = 0) -> bool:
        """Take the turn, if nobody has it for longer than that; it ends with the process at the latest.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | OWN, 0o600)
        try:
            wait_for_lock(descriptor, seconds)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def give_back(self) -> None:
        """Let the next one in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
