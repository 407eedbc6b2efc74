"""`kilo-review hook NAME`: entries for git hooks and hook frameworks."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config, review, series
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import Caller, prepare
from kilo_review.hooks import pre_commit, pre_push
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Sequence


COMMIT = Caller("commit", "the commit", pre_commit.MAX_SECONDS)
PUSH = Caller("push", "the push", pre_push.MAX_SECONDS)


@click.group(context_settings=CONTEXT)
def hook() -> None:
    """Entries for git hooks and hook frameworks."""


@hook.command("pre-commit", context_settings=CONTEXT)
@click.argument("ignored", nargs=-1, type=click.UNPROCESSED, metavar="")
@with_options
@click.pass_context
def hook_pre_commit(ctx: click.Context, /, ignored: Sequence[str], **flags: Any) -> int:  # noqa: ANN401, ARG001
    """Review what is being committed."""
    run = prepare(ctx, flags, COMMIT)
    with run.session() as session:
        jobs = [run.job(pre_commit.request())]
        return run.conclude((review.run(job, run.talk, session) for job in jobs), session)


@hook.command("pre-push", context_settings=CONTEXT)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[REMOTE URL]")
@with_options
@click.pass_context
def hook_pre_push(ctx: click.Context, /, arguments: Sequence[str], **flags: Any) -> int:  # noqa: ANN401
    """Review what is being pushed."""
    run = prepare(ctx, flags, PUSH)
    with run.session() as session:
        stdin = sys.stdin.buffer if sys.stdin else None  # None where it was closed
        found = pre_push.series(session.repository, arguments, config.environment(), stdin)
        if not found:
            if not run.flags["quiet"]:
                say("kilo-review: nothing new is pushed")
            return ExitCode.PASS
        job = run.job(Request())
        outcomes = chain.from_iterable(series.run(job, each, run.talk, session) for each in found)
        return run.conclude(outcomes, session, whole=found[0].net if len(found) == 1 else None)
