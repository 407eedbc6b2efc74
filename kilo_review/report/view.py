"""What a report is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from kilo_review.core.outcome import Outcome
    from kilo_review.judge.policy import ExitCode
    from kilo_review.source.diff import Diff


def _no_diff() -> None:
    """There is none."""


class View(NamedTuple):
    """An outcome, what policy made of it, and how much of it the reader wants.

    Attributes:
        outcome: what came of the review.
        exit_code: what policy made of it.
        color: whether the text goes to a terminal that shows colours.
        verbosity: -1 quiet, 0 normal, 1 everything.
        mask: what words of the model and lines of the code go through.
        diff: reads the change itself, for a format that shows it; None where there is not one, or not any more.
        held: what goes on although something was not reviewed: "the commit", "the push", or "".
    """

    outcome: Outcome
    exit_code: ExitCode
    color: bool = False
    verbosity: int = 0
    held: str = ""
    mask: Callable[[str], str] = str
    diff: Callable[[], Diff | None] = _no_diff
