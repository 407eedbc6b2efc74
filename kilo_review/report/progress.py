"""Talk on standard error while a review runs: one line about the model, and how far it is.

On a terminal that is one line which changes; in the log of a pipeline a new one now and then, so that nobody, least of
all the CI system, takes a long review for one that hangs.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from kilo_review.report.masking import mask_for
from kilo_review.sanitize.terminal import one_line
from kilo_review.sanitize.workflow_commands import without_commands

if TYPE_CHECKING:
    from kilo_review.core.outcome import ModelInfo


LOG_SECONDS = 30.0
"""Between two lines in a log."""
MINUTE = 60


class Talk:
    """Tells the user how it goes. Standard error being gone is no reason to stop."""

    def __init__(self, *, quiet: bool, animated: bool, logged: bool = False) -> None:
        """Say nothing yet.

        Args:
            quiet: never say anything.
            animated: somebody watches a terminal.
            logged: what is said is read later, line by line.
        """
        self._quiet = quiet
        self._animated = animated and not quiet
        self._logged = logged and not quiet
        self._began = 0.0
        self._done = self._total = 0
        self._over = threading.Event()
        self._status: Any = None
        self._has_named_model = False

    def model_chosen(self, info: ModelInfo) -> None:
        """One line, once: which model, where, why."""
        if self._quiet or self._has_named_model:
            return
        self._has_named_model = True
        self._began = time.monotonic()
        if self._logged:
            threading.Thread(target=self._beat, daemon=True).start()
        where = f" at {info.base_url}" if info.base_url else ""
        where += "" if info.local else ", NOT this machine"
        say(f"kilo-review: asking {one_line(info.name)} ({info.provider}{where}; {info.why})")
        self._show("reading the change")

    def progress(self, done: int, total: int) -> None:
        """So many hunks are done."""
        self._done, self._total = done, total
        if done < total:
            self._show(how_far(done, total, time.monotonic() - self._began))

    def _beat(self) -> None:
        """In a thread of its own: one answer may take longer than the pause between two lines."""
        while not self._over.wait(LOG_SECONDS):
            seconds = time.monotonic() - self._began
            waiting = f"no answer yet, after {seconds:.0f} s"
            say(f"kilo-review: {how_far(self._done, self._total, seconds) if self._total else waiting}")

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
        """Take the animation away, and write no more lines."""
        self._over.set()
        if self._status is not None:
            self._status.stop()
            self._status = None


def how_far(done: int, total: int, seconds: float) -> str:
    """How much is done, how fast it goes, and how long it will take at that pace."""
    told = f"{done} of {total} hunks reviewed"
    if not done or seconds < 1:
        return told
    left = (total - done) * seconds / done
    rest = f"{left / MINUTE:.0f} min" if left >= MINUTE else f"{left:.0f} s"
    return f"{told}, {done / seconds * MINUTE:.0f} a minute, about {rest} left"


class _Log:
    """Who reads standard error."""

    is_public = False


def publish_log(*, is_public: bool) -> None:
    """Settle whether what is said from now on is published, so that secrets in it are masked."""
    _Log.is_public = is_public


def say(text: str) -> None:
    """One line on standard error; nothing in it that a CI system takes for a command, wherever it came from."""
    text = mask_for((), is_public=_Log.is_public)(text)
    try:
        print(without_commands(text), file=sys.stderr, flush=True)  # noqa: T201  this is the one place that talks
    except (OSError, ValueError):
        return
