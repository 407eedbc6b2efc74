"""Gets the history that a shallow clone lacks, from the remote that it was made of, and only in CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.source.repo import Repository

STEPS = (8, 64, 512, 4096)
"""Commits by which a shallow clone is deepened before all of it is fetched."""
REMOTE = "origin"


class Fetcher:
    """Fetches from the clone's own remote, if that is allowed and there is one.

    Attributes:
        said: why the last fetch failed; "" if it did not.
    """

    def __init__(self, repo: Repository, *, is_allowed: bool) -> None:
        self.said = ""
        self._repo = repo
        self._remote = self._find() if is_allowed else ""
        if self._remote:
            repo.reach_the_remote()

    @property
    def remote(self) -> str:
        """The remote's name; "" if nothing may be fetched."""
        return self._remote

    def branch(self, name: str) -> None:
        """Bring the tip of a remote branch, at no more depth than there is.

        Raises:
            SourceError: no branch can be called so.
        """
        self._check(f"refs/heads/{name}")
        self._fetch(self._shallowly(), f"+refs/heads/{name}:refs/remotes/{self._remote}/{name}")

    def reference(self, name: str) -> None:
        """Bring what a reference or an id names; git keeps it as long as we run.

        Raises:
            SourceError: it is neither.
        """
        self._check(name)
        self._fetch(self._shallowly(), name)

    def default_branch(self) -> str:
        """Return the branch that the remote calls its HEAD; "" if it cannot be asked, or names none."""
        value = self._told("HEAD")
        name = value.removeprefix("ref: refs/heads/")
        return name if name != value and self._repo.is_reference(f"refs/heads/{name}") else ""

    def tip(self, name: str) -> str:
        """Return the id that a reference of the remote has now; "" if it cannot be asked, or has none such.

        Raises:
            SourceError: it is no reference.
        """
        self._check(name)
        value = self._told(name)
        return value if len(value) == self._repo.layout.hex_digits else ""

    def _told(self, name: str) -> str:
        if not self._remote:
            return ""
        try:
            found = self._repo.remote_references(self._remote, name)
        except SourceError as error:
            self.said = error.message
            return ""
        self.said = ""
        return found.get(name, "")

    def deepen_until(self, is_enough: Callable[[], bool], *references: str) -> bool:
        """Deepen step by step; whether it became enough.

        Args:
            is_enough: asked after each step.
            references: full names, or ids, whose history is wanted.

        Raises:
            SourceError: one of them is neither.
        """
        for reference in references:
            self._check(reference)
        for step in (*(f"--deepen={number}" for number in STEPS), "--unshallow"):
            if not self._remote or not self._repo.is_shallow_now():
                return is_enough()
            if not self._fetch((step,), *references):
                return is_enough()
            if is_enough():
                return True
        return is_enough()

    def _check(self, name: str) -> None:
        """Let nothing through that git would read as an option or as another refspec than a single name."""
        is_id = len(name) == self._repo.layout.hex_digits and not name.strip("0123456789abcdef")
        if not is_id and not self._repo.is_reference(name):
            raise SourceError(f"{name[:80]!a} is neither the id of a commit nor the full name of a reference")

    def _find(self) -> str:
        remotes = self._repo.run("remote").decode("utf-8", "surrogateescape").split()
        return REMOTE if REMOTE in remotes else next(iter(remotes), "")

    def _shallowly(self) -> tuple[str, ...]:
        return ("--depth=1",) if self._repo.is_shallow_now() else ()

    def _fetch(self, options: tuple[str, ...], *references: str) -> bool:
        """Fetch; whatever a reference is called, it is no option."""
        if not self._remote:
            return False
        try:
            self._repo.fetch(*options, "--", self._remote, *references)
        except SourceError as error:
            self.said = error.message
            return False
        self.said = ""
        return True
