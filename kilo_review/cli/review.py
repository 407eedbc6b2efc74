"""`kilo-review [TARGET]`: review a change by hand or in CI."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from kilo_review.cli.options import BASE, CONTEXT, DRY_RUN, JOBS, SHOW_PROMPT, VOTES, with_reports
from kilo_review.cli.run import Run, prepare
from kilo_review.cli.tell import tell
from kilo_review.core.errors import UsageError
from kilo_review.core.outcome import TargetKind
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say
from kilo_review.report.words import NOTHING
from kilo_review.review import pipeline
from kilo_review.source.target import PATCH, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.outcome import Outcome
    from kilo_review.review.request import Job
    from kilo_review.review.session import Session

ELSEWHERE = "kilo-review uncommitted reviews what is not staged"


class _Review(click.Command):
    """Everything after `--` is a path, never a target."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta["paths"] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- PATH...]"]


@click.command("review", cls=_Review, context_settings=CONTEXT)
@click.argument("target", default="staged")
@BASE
@DRY_RUN
@SHOW_PROMPT
@VOTES
@JOBS
@with_reports
@click.pass_context
def review_command(ctx: click.Context, /, target: str, dry_run: bool, show_prompt: bool, **flags: Any) -> int:  # noqa: ANN401
    """Review a change (the default command)."""
    if dry_run and show_prompt:
        raise UsageError("--dry-run and --show-prompt exclude each other")
    if target == PATCH and ctx.meta.get("paths"):
        raise UsageError("a patch on standard input is reviewed whole; leave the paths out")
    _check_paths(ctx.meta.get("paths", ()))
    if target != "branch" and ctx.get_parameter_source("base") is click.core.ParameterSource.COMMANDLINE:
        raise UsageError(
            "--base is for the target branch", hint="kilo-review branch --base REVISION; or name a range: A..B"
        )
    run = prepare(ctx, flags, has_repository=target != PATCH)
    request = Request(target, run.settings.base, ctx.meta.get("paths", ()))
    patch = _patch() if target == PATCH else None
    job = run.job(request, patch)
    with run.session() as session:
        if show_prompt:
            return _show_prompts(run, job, session)
        if dry_run:
            return run.report(_with_hint(pipeline.plan(job, session)), patch=patch)
        return run.conclude((_with_hint(pipeline.run(each, run.talk, session)) for each in [job]), session, patch=patch)


def _with_hint(outcome: Outcome) -> Outcome:
    """Say what reviews unstaged changes; git is not asked whether there are any, since its filters would run."""
    if outcome.target.kind is TargetKind.STAGED and not outcome.entries:
        outcome.nothing = f"{outcome.nothing or NOTHING[TargetKind.STAGED]}; {ELSEWHERE}"
    return outcome


def _check_paths(paths: Sequence[str]) -> None:
    """An option after `--` would silently be a path that nothing matches."""
    for path in paths:
        if path.startswith("-") and not os.path.lexists(path):
            raise UsageError(f"{path!a} stands after --, where only paths stand", hint="Put options before --")


def _patch() -> bytes:
    if sys.stdin.isatty():
        say("kilo-review: reading a patch from the terminal; Ctrl-D ends it")
    return sys.stdin.buffer.read()


def _show_prompts(run: Run, job: Job, session: Session) -> int:
    """The messages, for reading (text) or for another program (json)."""
    (form, path), *_ = run.reports
    if form == "json":
        import json  # noqa: PLC0415

        requests = [
            [{"role": each.role, "content": each.content} for each in messages]
            for messages in pipeline.prompts(job, session)
        ]
        return tell(json.dumps(requests, indent=1), path, ExitCode.PASS, is_json=True)
    parts = [
        f"--- request {number}, {message.role} ---\n{message.content}\n"
        for number, messages in enumerate(pipeline.prompts(job, session), 1)
        for message in messages
    ]
    return tell("".join(parts) or "nothing would be asked\n", path, ExitCode.PASS)
