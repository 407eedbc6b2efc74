"""`kilo-review status` and `kilo-review catch-up`: the commits that are not at the remote yet."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from kilo_review.cli.options import CONTEXT, with_options, with_reports
from kilo_review.cli.run import Caller, Run, prepare
from kilo_review.cli.tell import tell
from kilo_review.cli.trail import Trail, last_commit
from kilo_review.hooks.post_commit import MAX_SECONDS, NICENESS
from kilo_review.judge.policy import ExitCode
from kilo_review.ledger.background_lock import Turn
from kilo_review.report import status as report
from kilo_review.report.progress import say
from kilo_review.review import commit_series, commit_status
from kilo_review.source import history
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.outcome import Outcome
    from kilo_review.review.session import Session

LONGEST_WAIT = MAX_SECONDS
"""Seconds after which a review in the background is over by itself."""
BACKGROUND = Caller("background", max_seconds=MAX_SECONDS, is_seen=False)


@click.command("status", context_settings=CONTEXT)
@with_options
@click.pass_context
def status_command(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """Show which commits are reviewed, and which are not and why."""
    run = prepare(ctx, flags)
    with run.session() as session:
        found = commit_status.standings(run.job(Request()), session)
        off = session.ledger.store.off
    text = report.json_of(found) if flags["format_"] == "json" else report.text_of(found, off)
    return tell(text, flags["output"], ExitCode.PASS, is_json=flags["format_"] == "json")


@click.command("catch-up", context_settings=CONTEXT)
@click.option("--in-background", is_flag=True, hidden=True, help="As the hook post-commit starts it.")
@with_reports
@click.pass_context
def catch_up_command(ctx: click.Context, /, in_background: bool, **flags: Any) -> int:  # noqa: ANN401
    """Review the commits that no review has seen yet; can be stopped and resumed at any point."""
    if in_background:
        os.nice(NICENESS)
        ctx.obj.trail = trail = Trail(last_commit, remembers=not flags["no_cache"])
        run = prepare(ctx, flags, BACKGROUND)
        trail.remembers = run.settings.cache
        return _until_no_word_is_left(run)
    run = prepare(ctx, flags)
    with run.session() as session, _instead_of_the_background(run, session):
        return _catch_up(run, session)


@contextmanager
def _instead_of_the_background(run: Run, session: Session) -> Iterator[None]:
    """Two reviews of the same commits would only slow each other down; what the other one finds is known then."""
    turn = Turn(session.ledger.store.folder)
    try:
        if run.settings.cache and session.ledger.store.folder.exists() and not turn.take():
            say("kilo-review: a review is at work in the background; waiting for it (Ctrl-C ends the waiting)")
            turn.take(run.deadline.cap(LONGEST_WAIT))
        yield
    finally:
        turn.give_back()


def _until_no_word_is_left(run: Run) -> int:
    """One process for all commits that come while it runs."""
    with run.session() as session:
        session.ledger.store.check_owner()
        turn = Turn(session.ledger.store.folder)
        while turn.take():
            word = turn.word()
            code = _catch_up(run, session, in_background=True)
            turn.give_back()
            if turn.word() == word or code not in {ExitCode.PASS, ExitCode.BLOCKED}:
                break
    return ExitCode.PASS


def _catch_up(run: Run, session: Session, *, in_background: bool = False) -> int:
    job = run.job(Request())
    waiting = history.unpushed(session.repository)
    overdue = commit_status.pushed_unreviewed(waiting, session)
    if in_background:  # where nothing could come of it, only who asks by hand, perhaps with other settings, is obeyed
        left = session.ledger.unreviewed({commit.change for commit in overdue})
        overdue = [commit for commit in overdue if commit.change not in left or not left[commit.change].is_final]
    if not waiting and not overdue:
        if not run.flags["quiet"]:
            say("kilo-review: every commit is at the remote, and none was left out")
        return ExitCode.PASS
    parts: list[Iterator[Outcome]] = [commit_series.run_overdue(job, overdue, run.talk, session)]
    if waiting:
        parts.append(commit_series.run(job, waiting, run.talk, session))
    whole = waiting.net if waiting and not overdue else None
    return run.conclude(chain.from_iterable(parts), session, whole=whole)
