"""What a report is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.judge.policy import ExitCode
    from kilo_review.outcome import Outcome


class View(NamedTuple):
    """An outcome, what policy made of it, and how much of it the reader wants.

    Attributes:
        outcome: what came of the review.
        exit_code: what policy made of it.
        color: whether the text goes to a terminal that shows colours.
        verbosity: -1 quiet, 0 normal, 1 everything.
        mask: what words of the model and lines of the code go through.
        held: what goes on although something was not reviewed: "the commit", "the push", or "".
    """

    outcome: Outcome
    exit_code: ExitCode
    color: bool = False
    verbosity: int = 0
    held: str = ""
    mask: Callable[[str], str] = str
