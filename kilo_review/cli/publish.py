"""Where people read, beside the log: the job's page, and the pull request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilo_review import forge
from kilo_review.cli.options import option
from kilo_review.core.errors import ConfigError
from kilo_review.forge import text
from kilo_review.report import job_summary
from kilo_review.report.progress import say
from kilo_review.sanitize.workflow_commands import for_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kilo_review.forge.base import Forge
    from kilo_review.report.view import View
    from kilo_review.source.ci_environment import Pipeline

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
ANNOTATING = "github"
"""Both the system that shows annotations, and the format that consists of them."""


def with_posting(function: Any) -> Any:  # noqa: ANN401  decorators of click are not typed
    """The options of a command that can put its findings where the change is discussed."""
    for decorate in reversed(
        (
            option("--post", is_flag=True, help="Comment on the pull or merge request."),
            option("--post-dry-run", is_flag=True, help="Show what would be posted, and post nothing."),
            option(
                "--max-comments",
                type=click.IntRange(min=0),
                default=forge.MOST_COMMENTS,
                metavar="N",
                help=f"New comments for one commit; the rest goes into a summary. [default: {forge.MOST_COMMENTS}]",
            ),
        )
    ):
        function = decorate(function)
    return function


def choose_format(flags: dict[str, Any], pipeline: Pipeline) -> None:
    """Where nobody has chosen a form, the one that the system shows best."""
    if not flags["formats"] and pipeline.system == ANNOTATING and all("=" in output for output in flags["outputs"]):
        flags["formats"] = (ANNOTATING,)


def publisher(
    environment: Mapping[str, str], pipeline: Pipeline, flags: Mapping[str, Any], head: str = ""
) -> Callable[[View], None]:
    """What is done with a report when it has been delivered: nothing of it is lost because a page is not there.

    Args:
        environment: the variables of the run.
        pipeline: what they say of it.
        flags: the options of the command.
        head: the commit that is reviewed; without it, the one that the CI system names.
    """
    client = None
    if flags["post"] or flags["post_dry_run"]:
        client = _forge(environment, pipeline, head, is_part=bool(flags.get("shard")))

    def publish(view: View) -> None:
        page = environment.get(SUMMARY_VARIABLE)
        is_part = view.outcome.shard is not None  # their merge has a page
        if page and not is_part and (problem := job_summary.append(Path(page), view)):
            say(f"kilo-review: {problem}")
        if client is not None:
            _post(view, client, flags["max_comments"], is_dry=flags["post_dry_run"])

    return publish


def _forge(environment: Mapping[str, str], pipeline: Pipeline, head: str, *, is_part: bool) -> Forge | None:
    """Where to post; None, and said at once, if there is nowhere: the review is worth having all the same."""
    if is_part:
        say("kilo-review: nothing will be posted of a shard: kilo-review merge --post does so for all of them")
        return None
    if not pipeline.number:
        say("kilo-review: nothing will be posted: this run is for no pull or merge request")
        return None
    try:
        return forge.connect(environment, pipeline, head)
    except ConfigError as error:
        say(for_log(f"kilo-review: nothing will be posted: {error}"))
        return None


def _post(view: View, client: Forge, most: int, *, is_dry: bool) -> None:
    posted = forge.post(view, view.diff(), client, most, dry_run=is_dry)
    if is_dry:
        say(for_log(text.of_plan(posted.plan)).rstrip("\n") if posted.plan else "kilo-review: no plan could be made")
    else:
        say(for_log(f"kilo-review: {posted.sentence}"))
    for line in (*posted.failures, *posted.notes):
        say(for_log(f"kilo-review: {line}"))
