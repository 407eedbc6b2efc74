"""`kilo-review bench`: which model is good enough to be let into a hook, measured here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilo_review import bench as room
from kilo_review import config
from kilo_review.bench import case as cases_of
from kilo_review.bench import report
from kilo_review.bench.mine import mined
from kilo_review.bench.run import Bench, chosen
from kilo_review.bench.score import score
from kilo_review.cli.options import CONTEXT, PATH, VOTES, option, with_options, with_options_but
from kilo_review.cli.run import prepare
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import KiloReviewError, UsageError
from kilo_review.judge.policy import ExitCode
from kilo_review.report import deliver
from kilo_review.report.progress import say
from kilo_review.sanitize.terminal import escaped_path, one_line
from kilo_review.source import scratch
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from kilo_review.bench.case import Case
    from kilo_review.bench.score import Score
    from kilo_review.cli.run import Run
    from kilo_review.core.outcome import ModelInfo

SHIPPED = Path(room.__file__).parent / "cases"
FORMATS = ("text", "json", "html")
MOST_JOBS = 64
MINED = 100
MINUTE = 60


@click.group("bench", invoke_without_command=True, context_settings=CONTEXT)
@option("--model", "names", metavar="NAME", multiple=True, help="A model; repeat it to compare several.")
@click.option("--cases", type=PATH, metavar="DIR", help="Cases of your own, instead of the shipped ones.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many, half of them clean.")
@click.option("--jobs", type=click.IntRange(1, MOST_JOBS), default=1, metavar="N", help="Changes at once. [default: 1]")
@VOTES
@click.option("--fresh", is_flag=True, help="Forget what earlier runs have measured.")
@option("--format", "format_", type=click.Choice(FORMATS), default="text", help="Form of the report. [default: text]")
@with_options_but("--model", "--format")
@click.pass_context
def bench(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """Measure models on changes with known bugs, and on clean ones."""
    if ctx.invoked_subcommand is not None:
        return 0
    own = {name: flags.pop(name) for name in ("names", "cases", "limit", "jobs", "fresh")}
    run = prepare(ctx, {**flags, "model": None}, has_repository=False)
    cases = chosen(cases_of.load_all(own["cases"] or SHIPPED), own["limit"])
    scores, stopped = _measured(run, cases, own)
    render = {"text": report.text, "json": report.as_json, "html": report.page}[flags["format_"]]
    code = deliver.deliver(render(scores), flags["output"], ExitCode.PASS)
    if stopped:
        say("kilo-review: stopped; what was done is kept, and the same command goes on")
    return ExitCode.INTERRUPTED if stopped else code


def _measured(run: Run, cases: list[Case], own: dict[str, Any]) -> tuple[list[Score], bool]:
    """The scores, and whether Ctrl-C ended it."""
    scores: list[Score] = []
    problems: list[KiloReviewError] = []
    for name in own["names"] or (run.settings.model,):
        settings = run.settings._replace(model=name)
        deadline = Deadline(run.settings.max_seconds or None)
        job = run._replace(settings=settings).job(Request())._replace(deadline=deadline)
        telling = Telling(quiet=run.flags["quiet"])
        with scratch.folder() as folder:
            try:
                done = Bench(job, cases, folder, telling).run(_kept(own), jobs=own["jobs"])
            except KiloReviewError as error:
                if len(own["names"]) <= 1:
                    raise
                problems.append(error)
                say(f"kilo-review: {one_line(name or '')}: {one_line(str(error))}")
                continue
            finally:
                telling.stop()
        if done.not_kept:
            say(f"kilo-review: the results could not be kept: {one_line(done.not_kept)}")
        if done.results:
            scores.append(score(done.model, done.results))
        if done.stopped:
            return scores, True
    if problems and not scores:
        raise problems[0]
    return scores, False


def _kept(own: dict[str, Any]) -> Path | None:
    folder = config.cache_folder()
    place = folder / "bench" if folder else None
    if place is not None and own["fresh"] and place.is_dir():
        for path in place.glob("*.jsonl"):
            path.unlink()
    return place


class Telling:
    """Progress on standard error: a line that is written over on a terminal, else one now and then."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_watched = sys.stderr.isatty()
        self._told = 0

    def model_chosen(self, info: ModelInfo) -> None:
        """See `bench.run.Watch`."""
        if not self._quiet:
            say(f"kilo-review: asking {one_line(info.name)} ({info.provider}; {info.why})")

    def case_done(self, done: int, total: int, seconds_left: float) -> None:
        """See `bench.run.Watch`."""
        tenth = 10 * done // total
        if self._quiet or (not self._is_watched and tenth == self._told):
            return
        self._told = tenth
        left = f"{seconds_left / MINUTE:.0f} min" if seconds_left >= MINUTE else f"{seconds_left:.0f} s"
        line = f"kilo-review: {done} of {total} changes, about {left} left"
        if self._is_watched:
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
        else:
            say(line)

    def stop(self) -> None:
        """End the line."""
        if self._is_watched and self._told and not self._quiet:
            sys.stderr.write("\n")


@bench.command("mine", context_settings=CONTEXT)
@click.argument("folder", type=PATH, metavar="DIR")
@click.option("--since", metavar="DATE", help="Only younger commits; a date as git takes it.")
@click.option("--limit", type=click.IntRange(min=1), default=MINED, metavar="N", help="Most cases. [default: 100]")
@with_options
@click.pass_context
def mine(ctx: click.Context, /, folder: Path, since: str | None, limit: int, **flags: Any) -> int:  # noqa: ANN401
    """Make cases from this repository's history: fixes turned round, refactorings as they are."""
    run = prepare(ctx, flags)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{str(folder)!a} is there already", hint="Name a new folder")
    rows = []
    with run.session() as session:
        is_unborn = session.repository.head() is None
        for found in () if is_unborn else mined(session.repository, since, limit):
            _write(folder, found)
            rows.append(f"{found.name}: {one_line(found.title)} [{one_line(found.why)}]")
    if not rows:
        raise UsageError("no commit of this history makes a case", hint="docs/bench.md says which do")
    bugs = sum(row.startswith("fix-") for row in rows)
    rows.append(
        f"kilo-review: {bugs} with a bug, {len(rows) - bugs} clean, in {escaped_path(str(folder))};"
        f" next: kilo-review bench --cases {escaped_path(str(folder))}"
    )
    return deliver.deliver("\n".join(rows), flags["output"], ExitCode.PASS)


def _write(folder: Path, case: Case) -> None:
    try:
        deliver.write(folder / f"{case.name}.md", cases_of.render(case).encode())
    except OSError as error:
        raise UsageError(f"the cases cannot be written to {str(folder)!a}: {error.strerror}") from None
