"""`kilo-review hook NAME`: entries for git hooks and hook frameworks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.hooks import pre_commit, pre_push
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say
from kilo_review.source.repo import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(context_settings=CONTEXT)
def hook() -> None:
    """Entries for git hooks and hook frameworks."""


@hook.command("pre-commit", context_settings=CONTEXT)
@click.argument("ignored", nargs=-1, type=click.UNPROCESSED, metavar="")
@with_options
@click.pass_context
def hook_pre_commit(ctx: click.Context, /, ignored: Sequence[str], **flags: Any) -> int:  # noqa: ANN401, ARG001
    """Review what is being committed."""
    run = prepare(ctx, flags, max_seconds=pre_commit.MAX_SECONDS, held="the commit")
    return run.review(run.job(pre_commit.request()))


@hook.command("pre-push", context_settings=CONTEXT)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[REMOTE URL]")
@with_options
@click.pass_context
def hook_pre_push(ctx: click.Context, /, arguments: Sequence[str], **flags: Any) -> int:  # noqa: ANN401
    """Review what is being pushed."""
    run = prepare(ctx, flags, max_seconds=pre_push.MAX_SECONDS, held="the push")
    with Repository(Path.cwd(), run.deadline) as repo:
        stdin = sys.stdin.buffer if sys.stdin else None  # None where it was closed
        requests = pre_push.requests(repo, arguments, config.environment(), stdin)
    if not requests:
        if not run.flags["quiet"]:
            say("kilo-review: nothing new is pushed")
        return ExitCode.PASS
    return run.review(*(run.job(request) for request in requests))
