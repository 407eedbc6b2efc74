"""Where people read, beside the log: the job's page, and the pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.report import job_summary
from kilo_review.report.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilo_review.report.view import View
    from kilo_review.source.ci import Pipeline

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
ANNOTATING = "github"
"""Both the system that shows annotations, and the format that consists of them."""


def choose_format(flags: dict[str, Any], pipeline: Pipeline) -> None:
    """Where nobody has chosen a form, the one that the system shows best."""
    if not flags["formats"] and pipeline.system == ANNOTATING and all("=" in output for output in flags["outputs"]):
        flags["formats"] = (ANNOTATING,)


def publisher(environment: Mapping[str, str]) -> Callable[[View], None]:
    """What is done with a report when it has been delivered: nothing of it may be lost because a page is not there."""

    def publish(view: View) -> None:
        page = environment.get(SUMMARY_VARIABLE)
        if page and (problem := job_summary.append(Path(page), view)):
            say(f"kilo-review: {problem}")

    return publish
