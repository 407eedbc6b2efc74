"""Waits for a server that is starting or loading, where somebody has said that it may."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilo_review.core.errors import BrokenStreamError, ModelError, ServerBusyError, StalledError, UnreachableError
from kilo_review.sanitize.terminal import for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.models.base import ModelRequest
    from kilo_review.review.session import Session

PAUSE = 1.0
"""Seconds between two looks."""
BETWEEN_WORDS = 15.0
"""Seconds between two lines about the waiting."""
PASSING = (UnreachableError, ServerBusyError, StalledError, BrokenStreamError)


def wait_for_model(session: Session, request: ModelRequest, seconds: float, tell: Callable[[str], None]) -> None:
    """Wait until the model can be asked, or the time is over; the review itself tells what is wrong then.

    Args:
        session: connects to it.
        request: which model.
        seconds: how long, within the deadline of the run; 0 for not at all.
        tell: told now and then why it takes so long.
    """
    if not seconds:
        return
    end, told = session.deadline.within(seconds), 0.0
    while problem := _problem(session, request):
        left = end.remaining() or 0.0
        if not left:
            return
        if time.monotonic() - told >= BETWEEN_WORDS:
            told = time.monotonic()
            tell(f"kilo-review: waiting for the server, {left:.0f} s at most ({for_terminal(problem)})")
        time.sleep(min(PAUSE, left))
        session.forget(request)


def _problem(session: Session, request: ModelRequest) -> str:
    """Why the model cannot be asked yet; "" if it can, or if waiting is no help."""
    try:
        session.model(request)
    except PASSING as error:
        return error.message
    except ModelError:
        return ""
    return ""
