"""One invocation: its settings, its jobs, its report and its exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review import config, options, prompts
from kilo_review.cli.options import API_KEY_VARIABLE, HOST_VARIABLES, VARIABLES
from kilo_review.config.values import hosts, language
from kilo_review.deadline import Deadline
from kilo_review.display import for_terminal
from kilo_review.errors import KiloReviewError
from kilo_review.job import Job
from kilo_review.judge.policy import ExitCode, FailOn, OnUnavailable, Verify, exit_code
from kilo_review.outcome import Outcome, TargetKind
from kilo_review.plan import rules
from kilo_review.report import FORMATS, deliver
from kilo_review.report.masking import mask_for
from kilo_review.report.progress import Talk, say
from kilo_review.report.view import View
from kilo_review.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import click

    from kilo_review.config import Settings
    from kilo_review.outcome import Target
    from kilo_review.source.target import Request


class Caller(NamedTuple):
    """Who asks for a review, and what that changes.

    Attributes:
        kind: the word for it in the ledger.
        held: what waits for the review: "the commit", "the push", or "".
        max_seconds: time limit unless the settings say otherwise; 0 for none.
        is_seen: whether somebody is shown the report.
    """

    kind: str = "hand"
    held: str = ""
    max_seconds: float = 0.0
    is_seen: bool = True


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
    caller: Caller
    root: Path | None
    talk: Talk

    def session(self) -> Session:
        """What the reviews of this invocation share."""
        return Session(self.deadline, remembers=self.settings.cache)

    def job(self, request: Request, patch: bytes | None = None, *, accepts_anew: bool = False) -> Job:
        """What the review of one change needs to know.

        Args:
            request: what is reviewed.
            patch: the change itself, if it came on standard input.
            accepts_anew: as if there were no baseline, since one is being made.
        """
        environment = config.environment()
        return Job(
            request=request,
            model=self.settings.model_request(environment),
            verify=self.settings.verify,
            verify_model=self.settings.verify_request(environment),
            categories=self.settings.categories,
            baseline=() if accepts_anew else config.baseline(self.settings, self.root),
            is_pull_request=config.is_pull_request(environment),
            votes=int(self.flags.get("votes", 1)),
            report_unused=bool(self.flags["report_unused"]),
            prompts=prompts.load(self.settings.prompts, self.settings.language),
            rules=rules.load(self.root if self.settings.rules_tokens else None, self.settings.rules_tokens),
            deadline=self.deadline,
            ignore_lists=config.ignore_lists(self.settings, self.root),
            fail_on=self.settings.fail_on,
            patch=patch,
            in_background=not self.caller.is_seen,
        )

    def conclude(self, outcomes: Iterable[Outcome], session: Session, *, whole: Target | None = None) -> int:
        """Go through the reviews of one invocation; one report, one exit code.

        Args:
            outcomes: one or more, each made when it is asked for.
            session: what they share.
            whole: what all of them together are the review of.

        Raises:
            KiloReviewError: there is nothing to report. If a later one fails, the report on those before says so.
        """
        done: list[Outcome] = []
        problem: KiloReviewError | None = None
        try:
            for outcome in outcomes:
                done.append(outcome)
                if outcome.interrupted:
                    break
        except KiloReviewError as error:
            problem = error
        finally:
            self.talk.stop()
        if problem is not None and not done:
            raise problem
        outcome = Outcome.joined(done, whole)
        outcome.egress = session.egress
        if problem is not None:
            outcome.failure = str(problem)
        return self.report(outcome, session)

    def report(self, outcome: Outcome, session: Session | None = None) -> int:
        """Write the report; the exit code. With a session, the run is counted in its ledger."""
        code = exit_code(outcome, self.on_unavailable)
        if session is not None and outcome.target.kind is not TargetKind.PATCH:
            held = code == ExitCode.BLOCKED and bool(self.caller.held)
            session.ledger.count(self.caller.kind, outcome, held=held)
        if outcome.failure and self.flags["format_"] != "text":  # the contract has no place for it
            say(f"kilo-review: not reviewed: {for_terminal(outcome.failure)}")
        verbosity = -1 if self.flags["quiet"] else int(self.flags["verbose"])
        color = self.flags["output"] is None and _wants_color(self.flags["color"])
        view = View(outcome, code, color, verbosity, self.caller.held, mask_for(config.environment()))
        return deliver.deliver(FORMATS[self.flags["format_"]](view), self.flags["output"], code)


HAND = Caller()


def prepare(
    ctx: click.Context, flags: dict[str, Any], caller: Caller = HAND, *, has_repository: bool = True
) -> Run:  # fmt: skip
    """Read all settings; everything that can be wrong about them is told before git or a server is asked."""
    ctx.obj.held = caller.held
    ctx.obj.on_unavailable = OnUnavailable.ALLOW if caller.held else OnUnavailable.BLOCK
    environment = config.environment()
    _warn_of_unknown_variables(ctx, environment)
    root = config.repository_root(Path.cwd(), environment) if has_repository else None
    settings = config.load(
        _settings_from(flags, environment), config=flags["config"], profile=flags["profile"], root=root
    )
    ctx.obj.on_unavailable = settings.on_unavailable or ctx.obj.on_unavailable
    seconds = caller.max_seconds if settings.max_seconds is None else settings.max_seconds
    deliver.check(flags["output"])
    talk = Talk(quiet=flags["quiet"], animated=not caller.held and _is_watched())
    return Run(settings, flags, Deadline(seconds or None), ctx.obj.on_unavailable, caller, root, talk)


def _settings_from(flags: dict[str, Any], environment: Any) -> dict[str, Any]:  # noqa: ANN401
    """Those flags that are settings, with their types; None where nothing was given."""
    names = ("provider", "model", "verify_model", "base_url", "max_seconds", "base", "baseline", "prompts")
    given = {name: flags.get(name) for name in names}
    given["api_key"] = environment.get(API_KEY_VARIABLE) or None
    for name, variable in HOST_VARIABLES.items():
        if environment.get(variable, "").split():
            given |= hosts(name, environment[variable].split(), variable)
    given["fail_on"] = FailOn(flags["fail_on"]) if flags["fail_on"] else None
    given["on_unavailable"] = OnUnavailable(flags["on_unavailable"]) if flags["on_unavailable"] else None
    if flags["language"]:
        given |= language("language", flags["language"], "--language")
    given["verify"] = Verify(flags["verify"]) if flags["verify"] else None
    given["options"] = dict(options.parse(text) for text in flags["options"]) or None
    given["exclude"] = flags["exclude"] or None
    given["cache"] = False if flags["no_cache"] else None
    return given


def _warn_of_unknown_variables(ctx: click.Context, environment: Mapping[str, str]) -> None:
    for name in config.unknown_variables(environment, VARIABLES):
        nearest = config.nearest(name, VARIABLES)
        step = f"did you mean {nearest}?" if nearest else f"{ctx.command_path} --help shows the options"
        say(f"kilo-review: the variable {for_terminal(name)} means nothing; {step}")


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
