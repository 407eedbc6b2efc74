"""`kilo-review baseline`: the findings that the project has accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT, PATH, with_options, with_reports
from kilo_review.cli.run import prepare
from kilo_review.cli.tell import tell
from kilo_review.core.errors import ConfigError, UsageError
from kilo_review.core.outcome import State
from kilo_review.judge.baseline import to_text
from kilo_review.judge.policy import ExitCode
from kilo_review.report import deliver
from kilo_review.report.progress import say
from kilo_review.review import baseline as acceptance
from kilo_review.sanitize.terminal import escaped_path, one_line
from kilo_review.source.target import PATCH, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilo_review.cli.run import Run
    from kilo_review.judge.baseline import Baseline

FILE = click.argument("file", type=PATH, required=False)
TARGET = click.option("--target", default="staged", metavar="TARGET", help="What is reviewed. [default: staged]")
REASON = click.option("--reason", default="", metavar="TEXT", help="Why these findings are accepted.")


@click.group(context_settings=CONTEXT)
def baseline() -> None:
    """Findings that the project has accepted, in a file that is committed."""


def _reviewing(function: Callable[..., int]) -> Callable[..., int]:
    """The arguments of commands that review something."""
    for decorate in (FILE, TARGET, REASON, with_reports, click.pass_context):
        function = decorate(function)
    return function


@baseline.command("create", context_settings=CONTEXT)
@_reviewing
def create(ctx: click.Context, /, file: Path | None, target: str, reason: str, **flags: Any) -> int:  # noqa: ANN401
    """Review a target and accept what is found."""
    run, path = _begin(ctx, file, flags)
    if path.exists():
        raise UsageError(f"{str(path)!a} is there already", hint="Add to it: kilo-review baseline update")
    return _review(run, path, target, reason)


@baseline.command("update", context_settings=CONTEXT)
@_reviewing
def update(ctx: click.Context, /, file: Path | None, target: str, reason: str, **flags: Any) -> int:  # noqa: ANN401
    """Review a target, accept what is new, and forget what is gone."""
    run, path = _begin(ctx, file, flags)
    if not path.exists():
        raise UsageError(f"{str(path)!a} is not there", hint="Make it: kilo-review baseline create")
    return _review(run, path, target, reason)


@baseline.command("check", context_settings=CONTEXT)
@FILE
@with_options
@click.pass_context
def check(ctx: click.Context, /, file: Path | None, **flags: Any) -> int:  # noqa: ANN401
    """Tell whether the file can be read, and which of its findings are gone (exit 1); asks no server."""
    run, path = _begin(ctx, file, flags)
    if not path.exists():
        raise UsageError(f"{str(path)!a} is not there", hint="Make it: kilo-review baseline create")
    with run.session() as session:
        entries = config.baseline(run.settings, run.root)
        gone = acceptance.stale(entries, session.repository, path)
    lines = [f"{escaped_path(each.path)}: {each.category}: gone: {one_line(each.code)}" for each in gone]
    lines.append(f"kilo-review: {len(entries)} accepted, {len(gone)} of them gone")
    if gone:
        lines[-1] += "; next: kilo-review baseline update"
    return tell("\n".join(lines), flags["output"], ExitCode.BLOCKED if gone else ExitCode.PASS)


def _begin(ctx: click.Context, file: Path | None, flags: dict[str, Any]) -> tuple[Run, Path]:
    """The run, and the file: the one that is named here, in the settings, or the usual one."""
    flags["baseline"] = file or flags["baseline"]
    run = prepare(ctx, flags)
    path = config.baseline_path(run.settings, run.root)
    if path is None:
        raise UsageError("this is no git repository", hint="Go into one, or name a FILE")
    return run, path


def _review(run: Run, path: Path, target: str, reason: str) -> int:
    if target == PATCH:
        raise UsageError("a baseline is of a repository, not of a patch")
    job = run.job(Request(target, run.settings.base), accepts_anew=not path.exists())
    with run.session() as session:
        made, outcome = acceptance.made(job, path, reason, run.talk, session)
        run.talk.stop()
        outcome.egress = session.egress
        if not outcome.count(State.REVIEWED) and outcome.count(State.NOT_REVIEWED):
            return run.report(outcome)
    save(path, made)
    code = run.report(outcome)
    say(f"kilo-review: {sum(each.times for each in made)} accepted in {escaped_path(str(path))}")
    return code


def save(path: Path, entries: Baseline) -> None:
    """Write the file, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        deliver.write(path, to_text(entries).encode())
    except OSError as error:
        raise ConfigError(f"the baseline {str(path)!a} cannot be written: {error.strerror or error}") from None
