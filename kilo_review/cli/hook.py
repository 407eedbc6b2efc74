"""`kilo-review hook NAME`: entries for git hooks and hook frameworks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT, with_reports
from kilo_review.cli.run import Caller, Run, prepare
from kilo_review.cli.trail import LAST_SECONDS, ON_RECORD, Trail, last_commit, next_commit, not_on_record
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError
from kilo_review.hooks import post_commit, pre_commit, pre_push
from kilo_review.judge.policy import ExitCode
from kilo_review.ledger.background_lock import Turn
from kilo_review.ledger.records import PUSHED
from kilo_review.report.progress import say
from kilo_review.review import commit_series, pipeline
from kilo_review.sanitize.terminal import escaped_path, one_line
from kilo_review.source import git_state
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.outcome import Outcome
    from kilo_review.hooks.pre_push import Pushed
    from kilo_review.review.session import Session
    from kilo_review.source.repo import Repository


COMMIT = Caller("commit", "the commit", pre_commit.MAX_SECONDS)
PUSH = Caller("push", "the push", pre_push.MAX_SECONDS)
AFTER_COMMIT = Caller("background")


class _KeepsArguments(click.Command):
    """Remembers its words, to hand them on to another process."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["arguments"] = tuple(args)
        return super().parse_args(ctx, args)


@click.group(context_settings=CONTEXT)
def hook() -> None:
    """Entries for git hooks and hook frameworks."""


@hook.command("pre-commit", context_settings=CONTEXT)
@click.argument("ignored", nargs=-1, type=click.UNPROCESSED, metavar="")
@with_reports
@click.pass_context
def hook_pre_commit(ctx: click.Context, /, ignored: Sequence[str], **flags: Any) -> int:  # noqa: ANN401, ARG001
    """Review what is being committed."""
    run, trail = _prepared(ctx, flags, COMMIT, next_commit)
    with run.session() as session:
        trail.session = session
        _tell_what_the_background_found(session)
        return run.conclude(_committed(run, session), session)


def _committed(run: Run, session: Session) -> Iterator[Outcome]:
    outcome = pipeline.run(run.job(pre_commit.request()), run.talk, session)
    is_left = outcome.is_left_for_later or outcome.failure or outcome.target.postponed
    if is_left:
        is_followed = pre_commit.is_followed_by_pre_push(Deadline().within(LAST_SECONDS))
        outcome.afterwards = "will be reviewed at push" if is_followed else _what_becomes(session)
    yield outcome


def _what_becomes(session: Session) -> str:
    """What will become of that which was left out."""
    return not_on_record(session.ledger.off) if session.ledger.off else ON_RECORD


def _prepared(
    ctx: click.Context, flags: dict[str, Any], caller: Caller, find: Callable[[Repository], list[tuple[str, str]]]
) -> tuple[Run, Trail]:
    """Read all settings, with the boundary told first what to put on record if that fails."""
    ctx.obj.trail = trail = Trail(find, remembers=not flags["no_cache"])
    run = prepare(ctx, flags, caller)
    trail.remembers = run.settings.cache
    return run, trail


def _pushed(run: Run, found: Pushed, session: Session) -> Iterator[Outcome]:
    for other in found.others:
        session.ledger.leave("", other.oid, other.reason, [other.entry])
        yield other.outcome
    if not found.series:
        return
    job = run.job(Request())
    try:
        for each in found.series:
            for outcome in commit_series.run(job, each, run.talk, session):
                if outcome.is_left_for_later:
                    outcome.afterwards = _what_becomes(session)
                yield outcome
    except KiloReviewError as error:
        session.ledger.leave_all(list(session.ledger.begun), error.message)
        raise


@hook.command("pre-push", context_settings=CONTEXT)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[REMOTE URL]")
@with_reports
@click.pass_context
def hook_pre_push(ctx: click.Context, /, arguments: Sequence[str], **flags: Any) -> int:  # noqa: ANN401
    """Review what is being pushed."""
    stdin = sys.stdin.buffer if sys.stdin else None  # None where it was closed
    told: list[bytes] = []

    def updates(repo: Repository, deadline: Deadline) -> list[pre_push.Update]:
        if not told:  # it can be read once
            told.append(pre_push.read(stdin, deadline))
        return pre_push.updates(repo, arguments, config.environment(), told[0])

    def pushed(repo: Repository) -> list[tuple[str, str]]:
        every = updates(repo, Deadline().within(LAST_SECONDS))
        return [(PUSHED + each.remote_oid, each.local_oid) for each in every if each.local_oid.strip("0")]

    run, trail = _prepared(ctx, flags, PUSH, pushed)
    with run.session() as session:
        trail.session = session
        found = pre_push.pushed(session.repository, updates(session.repository, run.deadline))
        if not found.series and not found.others:
            if not run.flags["quiet"]:
                say("kilo-review: nothing new is pushed")
            return ExitCode.PASS
        if found.series:
            commit_series.begin(run.job(Request()), found.series, session)
        whole = found.series[0].net if len(found.series) == 1 and not found.others else None
        code = run.conclude(_pushed(run, found, session), session, whole=whole)
        changes = {commit.change for each in found.series for commit in each.commits}
        session.ledger.seen(each for each in session.ledger.unseen() if (each.base, each.head) in changes)
        return code


@hook.command("post-commit", cls=_KeepsArguments, context_settings=CONTEXT)
@with_reports
@click.pass_context
def hook_post_commit(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """Review the new commit in the background, so that the push need not wait."""
    run, trail = _prepared(ctx, flags, AFTER_COMMIT, last_commit)
    with run.session() as session:
        trail.session = session
        _tell_what_the_background_found(session)
        layout = session.repository.layout
        if not run.settings.cache:
            say("kilo-review: not reviewed in the background, since there is no ledger to keep it in (cache = false)")
            return ExitCode.PASS
        session.ledger.store.check_owner()
        made = set(last_commit(session.repository))
        session.ledger.begin(made - session.ledger.reviewed(made))
        if session.ledger.store.off:
            say(f"kilo-review: not reviewed in the background, and not on record: {session.ledger.store.off}")
            return ExitCode.PASS
        if git_state.sequence(session.repository):  # its commits may be replayed once more
            return ExitCode.PASS
        turn = Turn(session.ledger.store.folder)
        turn.leave_word()
        if turn.take():  # else the one who has it will read the word
            turn.give_back()
            post_commit.start(ctx.meta["arguments"], layout.git_dir, config.environment())
    return ExitCode.PASS


def _tell_what_the_background_found(session: Session) -> None:
    """Once, at the next hook: lines of code that are still there."""
    if not session.ledger.store.path.exists():
        return
    receipts = session.ledger.unseen()
    if not receipts:
        return
    tip = session.repository.head_tree()
    for receipt in receipts:
        for finding in commit_series.still_there(receipt.findings, receipt.head, tip, session):
            place = f"{escaped_path(finding.path)}:{finding.line}"
            say(f"kilo-review: found in the background: {place}: {finding.severity}: {one_line(finding.title)}")
    session.ledger.seen(receipts)
    say("kilo-review: kilo-review status tells in which commits")
