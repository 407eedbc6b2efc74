"""One invocation: its settings, its jobs, its report and its exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review import config, options, prompts, review
from kilo_review.cli.options import API_KEY_VARIABLE, VARIABLES
from kilo_review.deadline import Deadline
from kilo_review.display import printable
from kilo_review.errors import KiloReviewError
from kilo_review.judge.policy import FailOn, OnUnavailable, exit_code
from kilo_review.outcome import Outcome
from kilo_review.report import FORMATS, deliver
from kilo_review.report.progress import Talk, say
from kilo_review.report.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click

    from kilo_review.config import Settings
    from kilo_review.source.target import Request


@dataclass(slots=True)
class Boundary:
    """What `main` must know about the run when something unforeseen ends it."""

    on_unavailable: OnUnavailable = OnUnavailable.BLOCK
    held: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation: its settings, and how it talks."""

    settings: Settings
    flags: dict[str, Any]
    deadline: Deadline
    on_unavailable: OnUnavailable
    held: str
    root: Path | None

    def job(self, request: Request, patch: bytes | None = None) -> review.Job:
        """What the review of one change needs to know."""
        return review.Job(
            request=request,
            model=self.settings.model_request(config.environment()),
            prompts=prompts.load(self.settings.prompts),
            deadline=self.deadline,
            ignore_lists=config.ignore_lists(self.settings, self.root),
            fail_on=self.settings.fail_on,
            patch=patch,
        )

    def review(self, *jobs: review.Job) -> int:
        """Review one change after the other; one report, one exit code.

        Raises:
            KiloReviewError: there is nothing to report. If a later change fails, the report on those before says so.
        """
        outcomes: list[Outcome] = []
        talk = Talk(quiet=self.flags["quiet"], animated=not self.held and _is_watched())
        problem: KiloReviewError | None = None
        try:
            for job in jobs:
                outcomes.append(review.run(job, talk))
                if outcomes[-1].interrupted:
                    break
        except KiloReviewError as error:
            problem = error
        finally:
            talk.stop()
        if problem is not None and not outcomes:
            raise problem
        outcome = Outcome.joined(outcomes)
        if problem is not None:
            outcome.failure = str(problem)
            say(f"kilo-review: not reviewed: {printable(outcome.failure)}")
        return self.report(outcome)

    def report(self, outcome: Outcome) -> int:
        """Write the report; the exit code."""
        code = exit_code(outcome, self.on_unavailable)
        verbosity = -1 if self.flags["quiet"] else int(self.flags["verbose"])
        color = self.flags["output"] is None and _wants_color(self.flags["color"])
        view = View(outcome, code, color, verbosity, self.held)
        return deliver.deliver(FORMATS[self.flags["format_"]](view), self.flags["output"], code)


def prepare(
    ctx: click.Context,
    flags: dict[str, Any],
    *,
    max_seconds: float = 0.0,
    held: str = "",
    has_repository: bool = True,
) -> Run:
    """Read all settings; everything that can be wrong about them is told before git or a server is asked."""
    ctx.obj.held = held
    ctx.obj.on_unavailable = OnUnavailable.ALLOW if held else OnUnavailable.BLOCK
    environment = config.environment()
    _warn_of_unknown_variables(ctx, environment)
    root = config.repository_root(Path.cwd(), environment) if has_repository else None
    settings = config.load(
        _settings_from(flags, environment), config=flags["config"], profile=flags["profile"], root=root
    )
    ctx.obj.on_unavailable = settings.on_unavailable or ctx.obj.on_unavailable
    seconds = max_seconds if settings.max_seconds is None else settings.max_seconds
    deliver.check(flags["output"])
    return Run(settings, flags, Deadline(seconds or None), ctx.obj.on_unavailable, held, root)


def _settings_from(flags: dict[str, Any], environment: Any) -> dict[str, Any]:  # noqa: ANN401
    """Those flags that are settings, with their types; None where nothing was given."""
    names = ("provider", "model", "base_url", "max_seconds", "base", "prompts")
    given = {name: flags.get(name) for name in names}
    given["api_key"] = environment.get(API_KEY_VARIABLE) or None
    given["fail_on"] = FailOn(flags["fail_on"]) if flags["fail_on"] else None
    given["on_unavailable"] = OnUnavailable(flags["on_unavailable"]) if flags["on_unavailable"] else None
    given["options"] = dict(options.parse(text) for text in flags["options"]) or None
    given["exclude"] = flags["exclude"] or None
    return given


def _warn_of_unknown_variables(ctx: click.Context, environment: Mapping[str, str]) -> None:
    for name in config.unknown_variables(environment, VARIABLES):
        nearest = config.nearest(name, VARIABLES)
        step = f"did you mean {nearest}?" if nearest else f"{ctx.command_path} --help shows the options"
        say(f"kilo-review: the variable {printable(name)} means nothing; {step}")


def _is_watched() -> bool:
    """Whether somebody looks at standard error while the review runs."""
    environment = config.environment()
    return (
        sys.stderr.isatty()
        and environment.get("TERM") != "dumb"
        and not (environment.get("PRE_COMMIT") or environment.get("CI"))
    )


def _wants_color(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    environment = config.environment()
    return sys.stdout.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("NO_COLOR")
