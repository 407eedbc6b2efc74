"""`kilo-review merge FILE...`: the shards of a CI matrix become one outcome, which is reported like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.ci import PART
from kilo_review.cli.options import CONTEXT, PATH, with_reports
from kilo_review.cli.publish import choose_format, publisher, with_posting
from kilo_review.cli.run import Caller, prepare
from kilo_review.core.errors import ConfigError, SourceError, TargetError, UsageError
from kilo_review.core.outcome import Outcome, summed
from kilo_review.core.safe_file import read_bytes
from kilo_review.judge.policy import mark_blocking
from kilo_review.report.reading import outcome_of
from kilo_review.source.ci_environment import detect

if TYPE_CHECKING:
    from pathlib import Path

    from kilo_review.review.session import Session

LARGEST = 256 << 20
MERGE = Caller("merge", is_public=True)


@click.command("merge", context_settings=CONTEXT)
@click.argument("files", nargs=-1, required=True, type=PATH)
@with_posting
@with_reports
@click.pass_context
def merge_command(ctx: click.Context, /, files: tuple[Path, ...], **flags: Any) -> int:  # noqa: ANN401
    """Join the JSON reports of shards; a missing one makes the review incomplete."""
    environment = config.environment()
    pipeline = detect(environment)
    choose_format(flags, pipeline)
    run = prepare(ctx, flags, MERGE, has_repository=False)
    whole = joined(*_read(files))
    run = run._replace(afterwards=publisher(environment, pipeline, flags, whole.commit))
    if flags["fail_on"]:  # else as each part was told
        whole.findings = mark_blocking(whole.findings, run.settings.fail_on)
    with run.session() as session:
        return run.report(whole, _with_repository(session), counts=False)


def joined(parts: dict[str, Outcome], problems: list[str]) -> Outcome:
    """One outcome of the shards of one change.

    Args:
        parts: by the file that they come from.
        problems: why further ones are not among them.

    Raises:
        UsageError: they are not of one change, or not of one division of it.
    """
    if not parts:
        raise UsageError("; ".join(problems))
    parts, failures = _of_a_change(parts)
    problems = [*problems, *failures]
    _check(parts)
    ordered = sorted(parts.values(), key=lambda part: part.shard or (1, 1))
    whole = Outcome.joined(ordered, ordered[0].target, are_disjoint=True)
    told = {PART.format(*part.shard) for part in ordered if part.shard}
    whole.notes = [note for note in whole.notes if note not in told]
    whole.egress = summed([row for part in ordered for row in part.egress])
    whole.notes += _by_whom(ordered)
    missing = _missing(ordered)
    if missing:
        of = (ordered[0].shard or (1, 1))[1]
        problems = [*problems, f"of {of} shards these are missing: {', '.join(map(str, missing))}"]
    whole.failure = "; ".join(filter(None, (whole.failure, *problems)))
    whole.commit = ordered[0].commit
    return whole


def _read(files: tuple[Path, ...]) -> tuple[dict[str, Outcome], list[str]]:
    """What can be read, and why the rest cannot: what a lost shard found is unknown, what the others found is not."""
    parts: dict[str, Outcome] = {}
    problems: list[str] = []
    for file in files:
        try:
            parts[str(file)] = outcome_of(read_bytes(file, largest=LARGEST), f"{str(file)!a}")
        except ConfigError as error:
            problems.append(error.message)
    return parts, problems


def _of_a_change(parts: dict[str, Outcome]) -> tuple[dict[str, Outcome], list[str]]:
    """Without those that never found out what there was to review, and why they did not; all, if none did."""
    lost = {name: part.failure for name, part in parts.items() if part.failure and part.target.change is None}
    if len(lost) == len(parts):
        return parts, []
    kept = {name: part for name, part in parts.items() if name not in lost}
    return kept, [f"{name!a}: {failure}" for name, failure in lost.items()]


def _check(parts: dict[str, Outcome]) -> None:
    (first, one), *others = parts.items()
    for name, part in others:
        if (part.target, part.commit) != (one.target, one.commit):
            raise UsageError(f"{first!a} and {name!a} are reports on different changes")
        if part.shard is None or one.shard is None or part.shard[1] != one.shard[1]:
            raise UsageError(f"{first!a} and {name!a} are not shards of one division")
        if part.division != one.division:
            raise UsageError(
                f"{first!a} and {name!a} are shards of different selections: hunks may be in none of them",
                hint="Give each shard the same settings, such as --exclude",
            )
    seen: dict[int, str] = {}
    for name, part in parts.items():
        index = part.shard[0] if part.shard else 1
        if index in seen:
            raise UsageError(f"{seen[index]!a} and {name!a} are the same shard", hint="Leave one of them out")
        seen[index] = name


def _by_whom(parts: list[Outcome]) -> list[str]:
    """A remark if the shards are not of one quality."""
    names = dict.fromkeys(f"{part.model.provider} {part.model.name}" for part in parts if part.model)
    return [f"different models have reviewed the shards: {', '.join(names)}"] if len(names) > 1 else []


def _missing(parts: list[Outcome]) -> list[int]:
    of = parts[0].shard[1] if parts[0].shard else 1
    there = {part.shard[0] if part.shard else 1 for part in parts}
    return [index for index in range(1, of + 1) if index not in there]


def _with_repository(session: Session) -> Session | None:
    """For formats that show the change; None where it cannot be read, and they show what was quoted of it."""
    try:
        session.repository.layout  # noqa: B018  opening it is the question
    except (TargetError, SourceError):
        return None
    return session
