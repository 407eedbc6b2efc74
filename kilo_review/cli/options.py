"""Options that commands share, each with its environment variable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.judge.policy import FailOn, OnNothing, OnUnavailable, Verify
from kilo_review.models import PROVIDERS
from kilo_review.report import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
API_KEY_VARIABLE = config.ENVIRONMENT_PREFIX + "API_KEY"
HOST_VARIABLES = {
    "allow_hosts": config.ENVIRONMENT_PREFIX + "ALLOW_HOSTS",
    "allow_http_hosts": config.ENVIRONMENT_PREFIX + "ALLOW_HTTP_HOSTS",
}
CA_VARIABLE = config.ENVIRONMENT_PREFIX + "CA_FILE"
"""Not options: a hook's arguments may stand in a file of the repository, which allows nothing."""
OF_PIPELINES = (
    *("FORGE", "FORGE_URL", "FORGE_REPOSITORY", "FORGE_TOKEN"),
    *("NO_FETCH", "WAIT_FOR_SERVER", "SHARD", "LEDGER", "POST", "POST_DRY_RUN", "MAX_COMMENTS"),
)
"""What means something to commands that are not loaded as a rule; a pipeline sets it for all its steps."""
VARIABLES = {
    *(API_KEY_VARIABLE, CA_VARIABLE, *HOST_VARIABLES.values()),
    *(config.ENVIRONMENT_PREFIX + name for name in OF_PIPELINES),
}
"""Every variable that means something; each option adds its own."""


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: ANN401  click's own signature
    """An option with its environment variable, named by click's rule."""
    long = next(name for name in names if name.startswith("--"))
    variable = config.ENVIRONMENT_PREFIX + long[2:].replace("-", "_").upper()
    VARIABLES.add(variable)
    return _named(long, click.option(*names, envvar=variable, show_envvar=True, **settings))


def _named(name: str, decorate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    decorate.__name__ = name
    return decorate


def _choice(words: Iterable[str]) -> click.Choice[str]:
    return click.Choice([str(word) for word in words])


def _odd(ctx: click.Context, parameter: click.Parameter, value: int) -> int:
    if value % 2 == 0:
        raise click.BadParameter(f"{value} answers may have no majority; an odd number has", ctx, parameter)
    return value


def _jobs(ctx: click.Context, parameter: click.Parameter, value: str) -> int | None:
    """A number, or None for `auto`."""
    if value == "auto":
        return None
    if value.isascii() and value.isdigit() and 0 < int(value) <= MOST_JOBS:
        return int(value)
    raise click.BadParameter(f"{value!a} is neither auto nor a number up to {MOST_JOBS}", ctx, parameter)


class _Output(click.types.StringParamType):
    """`FILE`, or `FORMAT=FILE`; several in the variable are parted as in PATH."""

    name = "output"
    envvar_list_splitter = os.pathsep


PATH = click.Path(path_type=Path)
MOST_JOBS = 256
PLAIN = ("text", "json")
"""Forms of what is no review."""
OPTIONS = (
    option("--provider", type=click.Choice(PROVIDERS), help="Kind of server; auto finds what runs."),
    option("--model", metavar="NAME", help="The server's name for the model; for embedded, a GGUF file."),
    option("--base-url", metavar="URL", help="Address of the server, on this machine."),
    option("--option", "options", metavar="NAME=VALUE", multiple=True, help="Model parameter; repeatable."),
    option("--profile", metavar="NAME", help="Settings of the table [profiles.NAME]."),
    option("--config", type=PATH, metavar="FILE", help="Your settings, instead of the usual file."),
    option("--prompts", type=PATH, metavar="DIR", help="Prompts that override the shipped ones."),
    option("--exclude", metavar="PATTERN", multiple=True, help="Files not to review, as in .gitignore; repeatable."),
    option("--fail-on", type=_choice(FailOn), help="Least severity that blocks. [default: critical]"),
    option(
        "--verify",
        type=_choice(Verify),
        help="Findings that the model must confirm when it is asked again. [default: blocking]",
    ),
    option("--verify-model", metavar="NAME", help="Another model of the same server that confirms them."),
    option("--language", metavar="TAG", help="Language of titles and messages, such as fr. [default: en]"),
    option("--baseline", type=PATH, metavar="FILE", help="Accepted findings. [default: .kilo-review/baseline.json]"),
    option("--report-unused", is_flag=True, help="Tell comments that suppress nothing any more."),
    option(
        "--on-unavailable",
        type=_choice(OnUnavailable),
        help="If not everything could be reviewed: allow (exit 0) or block (exit 3). [default: block; in hooks: allow]",
    ),
    option(
        "--on-nothing",
        type=_choice(OnNothing),
        help="If all of a change is skipped: allow (exit 0) or fail (exit 3). [default: allow]",
    ),
    option(
        "--max-seconds",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="Time limit for the whole run, 0 for none. [default: none; at commit: 20; at push: 120]",
    ),
    option("--no-cache", is_flag=True, help="Ask anew about everything, and remember nothing."),
    option("--format", "format_", type=_choice(PLAIN), default="text", help="Form of the answer. [default: text]"),
    option("--output", type=PATH, metavar="FILE", help="Write the report there, not to standard output."),
    option("--color", type=_choice(("auto", "always", "never")), default="auto", help="Colours. [default: auto]"),
    option("-q", "--quiet", is_flag=True, help="Say nothing but findings and what was not reviewed."),
    option("-v", "--verbose", is_flag=True, help="Say everything: skipped files, what was sent where."),
)  # fmt: skip
REPORTS = (
    option(
        "--format",
        "formats",
        type=_choice(FORMATS),
        multiple=True,
        help="Form of the report; repeatable, each further one with a file. [default: text]",
    ),
    option(
        "--output",
        "outputs",
        type=_Output(),
        metavar="[FORMAT=]FILE",
        multiple=True,
        help="Write the report there, not to standard output; repeatable.",
    ),
)
BASE = option(
    "--base",
    metavar="REVISION",
    help="What `branch` is compared with. [default: the default branch, if it can be told]",
)
VOTES = option(
    "--votes",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    callback=_odd,
    help="Ask about everything N times (an odd number); what most answers say counts. [default: 1]",
)
JOBS = option(
    "--jobs",
    default="auto",
    metavar="N",
    callback=_jobs,
    help="Requests under way at once; auto: as many as the server works on. [default: auto]",
)
DRY_RUN = option("--dry-run", is_flag=True, help="Show what would be reviewed and skipped; ask no server.")
SHOW_PROMPT = option("--show-prompt", is_flag=True, help="Show the exact messages; ask no server.")


def with_options(function: Any) -> Any:  # noqa: ANN401  decorators of click are not typed
    """Every option in `OPTIONS`."""
    return with_options_but()(function)


def with_reports(function: Any) -> Any:  # noqa: ANN401
    """The same for what ends in the report of a review, which has many forms."""
    for decorate in reversed(REPORTS):
        function = decorate(function)
    return with_options_but("--format", "--output")(function)


def with_options_but(*own: str) -> Callable[[Any], Any]:
    """The same, without those that the command has in a form of its own."""

    def decorated(function: Any) -> Any:  # noqa: ANN401
        for decorate in reversed(OPTIONS):
            if decorate.__name__ not in own:
                function = decorate(function)
        return function

    return decorated
