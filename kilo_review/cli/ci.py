"""`kilo-review ci`, one line in a pipeline: finds out what was proposed or pushed, and by whose rules it is judged."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT, DRY_RUN, JOBS, PATH, VOTES, option, with_reports
from kilo_review.cli.publish import choose_format, publisher, with_posting
from kilo_review.cli.run import Caller, Run, prepare
from kilo_review.core import atomic_write
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError, DeadlineError, SourceError, UsageError
from kilo_review.core.outcome import MOST_SHARDS, Outcome, Target, TargetKind
from kilo_review.judge.policy import OnUnavailable
from kilo_review.ledger.store import FOLDER as LEDGER
from kilo_review.report.progress import say
from kilo_review.review import pipeline as review
from kilo_review.review.server_wait import wait_for_model
from kilo_review.source import ci_environment as systems
from kilo_review.source import ci_range, policy_files, scratch, worktree
from kilo_review.source.ci_environment import Pipeline
from kilo_review.source.fetch import Fetcher
from kilo_review.source.repo import Repository
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.errors import KiloReviewError
    from kilo_review.review.request import Job
    from kilo_review.review.session import Session
    from kilo_review.source.ci_range import Proposal

CI = Caller("ci", is_public=True)
GOVERNING_FLAGS = ("config", "prompts", "baseline")
"""Options that name a file; one of the checkout is read as the base has it."""
BASE_LENGTH = 12
PART = "this is shard {} of {}; kilo-review merge joins their JSON reports"


class Trial(NamedTuple):
    """What a CI run reviews, and by whose rules.

    Attributes:
        pipeline: the run of the CI system.
        proposal: what is reviewed.
        repo: the clone.
        root: where settings, rules and exceptions are read from.
    """

    pipeline: Pipeline
    proposal: Proposal
    repo: Repository
    root: Path

    @property
    def is_untrusted(self) -> bool:
        """Whether the change must not govern its own review."""
        return self.pipeline.is_proposal


def shard(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`2/4` → (2, 4)."""
    if value is None:
        return None
    index, _, of = value.partition("/")
    if (
        index.isascii()
        and index.isdigit()
        and of.isascii()
        and of.isdigit()
        and 1 <= int(index) <= int(of) <= MOST_SHARDS
    ):
        return int(index), int(of)
    raise click.BadParameter(f"{value!a} is not one of so many, such as 2/4", ctx, parameter)


@click.command("ci", context_settings=CONTEXT)
@option("--base", metavar="REVISION", help="What the change began from. [default: as the CI system says]")
@option("--no-fetch", is_flag=True, help="Fetch no missing history; say which setting of the CI system is wrong.")
@option(
    "--wait-for-server",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for a server that is starting or loading. [default: 0]",
)
@option("--shard", metavar="I/N", callback=shard, help="Review the Ith of N parts of the change; see merge.")
@option("--ledger", type=PATH, metavar="DIR", help="Folder for what was reviewed before, such as a CI cache.")
@with_posting
@DRY_RUN
@VOTES
@JOBS
@with_reports
@click.pass_context
def ci_command(
    ctx: click.Context,
    /,
    no_fetch: bool,
    ledger: Path | None,
    dry_run: bool,
    **flags: Any,  # noqa: ANN401
) -> int:
    """Review what a pull request proposes, or what was pushed, in a pipeline."""
    own = dict(flags)
    try:
        return _on_what_was_found(ctx, flags, may_fetch=not no_fetch, ledger=ledger, is_dry=dry_run)
    except (SourceError, DeadlineError) as error:
        return _report_the_failure(ctx, own, error)


def _on_what_was_found(
    ctx: click.Context, flags: dict[str, Any], *, may_fetch: bool, ledger: Path | None, is_dry: bool
) -> int:
    with _on_trial(flags["base"], flags["max_seconds"], may_fetch=may_fetch) as trial:
        choose_format(flags, trial.pipeline)
        run = _prepared(ctx, flags, trial)
        if not is_dry:
            publish = publisher(config.environment(), trial.pipeline, flags, trial.proposal.head)
            run = run._replace(afterwards=publish)
        trial.repo.deadline = run.deadline
        job = _served(_job(run, trial))
        if ledger is not None:
            _check_ledger(ledger, trial)
        with run.session(repository=trial.repo, ledger_folder=ledger) as session:
            if is_dry:
                return run.report(_with_notes(review.plan(job, session), trial))
            wait_for_model(session, job.model, flags["wait_for_server"], say)
            return run.conclude(_reviewed(job, run, trial, session), session)


def _report_the_failure(ctx: click.Context, flags: dict[str, Any], error: KiloReviewError) -> int:
    """Nobody knows what there was to review: every report says so, and no policy makes it pass.

    The settings are the user's alone, since it is not known whose else would count.
    """
    choose_format(flags, Pipeline("", ""))
    flags |= dict.fromkeys((*GOVERNING_FLAGS, "profile"))
    run = prepare(ctx, flags, CI, has_repository=False)
    page = publisher(config.environment(), Pipeline("", ""), {"post": False, "post_dry_run": False})
    outcome = Outcome(Target(TargetKind.BRANCH, None, None), failure=str(error), shard=flags["shard"])
    return run._replace(on_unavailable=OnUnavailable.BLOCK, afterwards=page).report(outcome)


@contextmanager
def _on_trial(base: str | None, seconds: float | None, *, may_fetch: bool) -> Iterator[Trial]:
    """Find what is reviewed, and lay out what governs it."""
    pipeline = systems.detect(config.environment())
    if base is not None or not pipeline.system:  # a change on a base that was named, or one of unknown origin
        pipeline = pipeline._replace(is_proposal=True)
    with (
        Repository(Path.cwd(), Deadline(seconds or None)) as repo,
        scratch.folder() as folder,
    ):
        found = ci_range.find(pipeline, repo, Fetcher(repo, is_allowed=may_fetch), base)
        if not pipeline.is_proposal:
            yield Trial(pipeline, found, repo, repo.top())
            return
        tree = repo.tree(found.base)
        places = (*policy_files.FILES, *policy_files.FOLDERS, *policy_files.agents_in(repo, tree))
        policy_files.lay_out(repo, tree, folder, places)
        repo.stand_apart(tree)
        yield Trial(pipeline, found, repo, folder)


def _prepared(ctx: click.Context, flags: dict[str, Any], trial: Trial) -> Run:
    """The settings; of a proposal those of its base, whatever the checkout holds."""
    trees = (trial.proposal.head, trial.proposal.target.head)
    if not trial.is_untrusted:
        return prepare(ctx, flags, CI, root=trial.root, trees=trees)
    for name in GOVERNING_FLAGS:
        if flags[name] is not None:
            flags[name] = _of_the_base(flags[name], trial, f"--{name}")
    try:
        run = prepare(ctx, flags, CI, root=trial.root, trees=trees)
    except ConfigError as error:
        at_base = f"{trial.proposal.base[:BASE_LENGTH]}:"
        raise ConfigError(error.message.replace(f"{trial.root}/", at_base), hint=error.hint) from None
    named = run.settings.baseline
    if named is not None and named.is_relative_to(trial.root) and not named.exists():
        _lay_out_also(named.relative_to(trial.root).as_posix(), trial)
    return run


def _of_the_base(path: Path, trial: Trial, option_name: str) -> Path:
    """A file of the checkout as the base has it; any other as it is."""
    inside = next(iter(policy_files.places(trial.repo, path)), "")
    if not inside:
        return path
    if inside == policy_files.TOP:
        raise UsageError(
            f"{option_name} names the whole checkout", hint="Keep what it is to name in a folder of its own"
        )
    _lay_out_also(inside, trial)
    if not (trial.root / inside).exists():
        raise UsageError(
            f"{option_name}: {inside!a} is not in the base of the change ({trial.proposal.base[:BASE_LENGTH]})",
            hint="A proposed change does not bring its own; name a file outside of the checkout, or land it first",
        )
    return trial.root / inside


def _lay_out_also(path: str, trial: Trial) -> None:
    policy_files.lay_out(trial.repo, trial.repo.tree(trial.proposal.base), trial.root, (path,))


def _job(run: Run, trial: Trial) -> Job:
    target = trial.proposal.target
    if not trial.is_untrusted:
        return run.job(Request(target=target))
    own = run.settings.baseline
    extra = (own.relative_to(trial.root).as_posix(),) if own and own.is_relative_to(trial.root) else ()
    request = Request(target=target, ruled_by=trial.repo.tree(trial.proposal.base), governing=extra)
    return run.job(request)._replace(is_pull_request=True)


def _served(job: Job) -> Job:
    """In a pipeline nobody sees that a small model has taken the place of a server that is down."""
    return job._replace(model=job.model._replace(needs_server=True))


def _check_ledger(folder: Path, trial: Trial) -> None:
    """A ledger says what need not be looked at: it must not come with the change.

    Raises:
        UsageError: it does, or the folder cannot be made.
    """
    tree = trial.proposal.target.head
    assert tree
    named = [*policy_files.places(trial.repo, folder), *policy_files.places(trial.repo, folder / LEDGER)]
    trees = [tree, trial.repo.head_tree()]
    if any(policy_files.is_recorded(trial.repo, each, place) for each in trees for place in named):
        raise UsageError(
            f"--ledger: {str(folder)!a} is a part of what is reviewed",
            hint="Name a folder outside of the checkout, or one that git ignores",
        )
    try:
        atomic_write.make_folders(folder, worktree.guard())
    except atomic_write.UnsafePathError as error:
        raise UsageError(
            f"--ledger: {str(folder)!a} may not be used ({error.strerror})",
            hint="Name a folder outside of the checkout, or one that git ignores",
        ) from None
    except OSError as error:
        why = "is no folder" if folder.exists() else f"cannot be made ({error.strerror})"
        raise UsageError(f"--ledger: {str(folder)!a} {why}") from None


def _reviewed(job: Job, run: Run, trial: Trial, session: Session) -> Iterator[Outcome]:
    yield _with_notes(review.run(job, run.talk, session), trial)


def _with_notes(outcome: Outcome, trial: Trial) -> Outcome:
    if outcome.shard:
        outcome.notes.insert(0, PART.format(*outcome.shard))
        outcome.nothing = "there are no hunks in this shard"
    outcome.notes[:0] = trial.proposal.notes
    outcome.commit = trial.proposal.head
    return outcome
