"""Talk on standard error while a review runs: one line about the model, and progress where somebody watches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kilo_review.display import one_line
from kilo_review.display.workflow import without_commands

if TYPE_CHECKING:
    from kilo_review.outcome import ModelInfo


class Talk:
    """Tells the user how it goes. Standard error being gone is no reason to stop."""

    def __init__(self, *, quiet: bool, animated: bool) -> None:
        self._quiet = quiet
        self._animated = animated and not quiet
        self._status: Any = None
        self._has_named_model = False

    def model_chosen(self, info: ModelInfo) -> None:
        """One line, once: which model, where, why."""
        if self._quiet or self._has_named_model:
            return
        self._has_named_model = True
        where = f" at {info.base_url}" if info.base_url else ""
        where += "" if info.local else ", NOT this machine"
        say(f"kilo-review: asking {one_line(info.name)} ({info.provider}{where}; {info.why})")
        self._show("reading the change")

    def progress(self, done: int, total: int) -> None:
        """So many hunks are done."""
        if done < total:
            self._show(f"{done} of {total} hunks reviewed")

    def _show(self, text: str) -> None:
        if not self._animated:
            return
        if self._status is None:
            from rich.console import Console  # noqa: PLC0415

            self._status = Console(stderr=True).status(text)
            self._status.start()
        else:
            self._status.update(text)

    def stop(self) -> None:
        """Take the animation away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def say(text: str) -> None:
    """One line on standard error; nothing in it that a CI system takes for a command, wherever it came from."""
    try:
        print(without_commands(text), file=sys.stderr, flush=True)  # noqa: T201  this is the one place that talks
    except (OSError, ValueError):
        return
