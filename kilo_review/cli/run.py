"""One invocation: its settings, its jobs, its report and its exit code."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review import config, prompts
from kilo_review.cli.options import API_KEY_VARIABLE, CA_VARIABLE, HOST_VARIABLES, VARIABLES
from kilo_review.config import model_options
from kilo_review.config.values import file, hosts, language
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import DeadlineError, KiloReviewError, SourceError
from kilo_review.core.outcome import Outcome, TargetKind, summed
from kilo_review.judge.policy import ExitCode, FailOn, OnNothing, OnUnavailable, Verify, exit_code, selects_nothing
from kilo_review.plan import rules
from kilo_review.report import deliver, renderer
from kilo_review.report.logged import for_ci
from kilo_review.report.masking import is_ci, mask_for, published
from kilo_review.report.outputs import Wanted, check, wanted
from kilo_review.report.progress import Talk, publish_log, say
from kilo_review.report.view import View
from kilo_review.review.request import Job
from kilo_review.review.session import Session
from kilo_review.sanitize.terminal import for_terminal
from kilo_review.source import change as changes
from kilo_review.source import policy_files
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import click

    from kilo_review.cli.trail import Trail
    from kilo_review.config import Settings
    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Target
    from kilo_review.source.diff import Diff


MOST_SEARCHED = 1 << 20
"""Bytes of the change that are searched for secrets which the model may name without quoting them."""
NOTHING_SELECTED = "all of the change was skipped, which counts as not reviewed (--on-nothing fail)"
REPORT_SECONDS = 30.0
"""For git to show the change to those formats that show it."""
HELD_SECONDS = 0.5
"""The same while a commit or push waits."""


class Caller(NamedTuple):
    """Who asks for a review, and what that changes.

    Attributes:
        kind: the word for it in the ledger.
        held: what waits for the review: "the commit", "the push", or "".
        max_seconds: time limit unless the settings say otherwise; 0 for none.
        is_seen: whether somebody is shown the report.
        is_public: whether whatever is written is published, so that secrets in it are masked.
    """

    kind: str = "hand"
    held: str = ""
    max_seconds: float = 0.0
    is_seen: bool = True
    is_public: bool = False


@dataclass(slots=True)
class Boundary:
    """What `main` must know about the run when something unforeseen ends it."""

    on_unavailable: OnUnavailable = OnUnavailable.BLOCK
    held: str = ""
    trail: Trail | None = None
    """Where a hook leaves on record that it has not reviewed."""
    command: str = ""


def _nothing(view: View) -> None:
    """Nothing more is done with a report."""


class Run(NamedTuple):
    """One invocation: its settings, how it talks, and what is done with the report when it has been delivered."""

    settings: Settings
    flags: dict[str, Any]
    deadline: Deadline
    on_unavailable: OnUnavailable
    caller: Caller
    root: Path | None
    talk: Talk
    reports: tuple[Wanted, ...] = (Wanted("text"),)
    afterwards: Callable[[View], None] = _nothing

    def session(self, **opened: Any) -> Session:  # noqa: ANN401
        """What the reviews of this invocation share; what is open already is named as `Session` does."""
        return Session(self.deadline, remembers=self.settings.cache, **opened)

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
            jobs=self.flags.get("jobs", 1),
            shard=self.flags.get("shard"),
            votes=int(self.flags.get("votes", 1)),
            report_unused=bool(self.flags["report_unused"]),
            prompts=prompts.load(self.settings.prompts, self.settings.language),
            rules=self.rules() if self.settings.rules_tokens else rules.Book(tokens=0),
            deadline=self.deadline,
            ignore_lists=config.ignore_lists(self.settings, self.root),
            fail_on=self.settings.fail_on,
            patch=patch,
            in_background=not self.caller.is_seen,
        )

    def rules(self) -> rules.Book:
        """The project's rules."""
        find = partial(policy_files.agents_below, deadline=self.deadline)
        return rules.load(self.root, self.settings.rules_tokens, self.deadline, find)

    def conclude(
        self,
        outcomes: Iterable[Outcome],
        session: Session,
        *,
        whole: Target | None = None,
        patch: bytes | None = None,
    ) -> int:
        """Go through the reviews of one invocation; one report, one exit code.

        Args:
            outcomes: one or more, each made when it is asked for.
            session: what they share.
            whole: what all of them together are the review of.
            patch: the change itself, if it came on standard input.

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
        except KeyboardInterrupt:  # between two of them, while git was at work
            if not done:
                raise
            done[-1].interrupted = True
        finally:
            self.talk.stop()
        if problem is not None and not done:
            raise problem
        outcome = Outcome.joined(done, whole)
        outcome.egress = summed(session.egress)
        if problem is not None:
            outcome.failure = str(problem)
        return self.report(outcome, session, patch)

    def report(
        self, outcome: Outcome, session: Session | None = None, patch: bytes | None = None, *, counts: bool = True
    ) -> int:
        """Write the reports; the exit code. With a session, the run is counted in its ledger."""
        on_nothing = self.settings.on_nothing
        if on_nothing is OnNothing.FAIL and selects_nothing(outcome):
            outcome.notes.append(NOTHING_SELECTED)
        code = exit_code(outcome, self.on_unavailable, on_nothing)
        if session is not None and counts and outcome.target.kind is not TargetKind.PATCH:
            held = code == ExitCode.BLOCKED and bool(self.caller.held)
            session.ledger.count(self.caller.kind, outcome, held=held)
        is_public = self.caller.is_public or is_ci(config.environment())
        seconds = HELD_SECONDS if self.caller.held else REPORT_SECONDS
        diff = cache(lambda: _diff(outcome.target, session, patch, seconds))
        shown_code = _code_of(outcome.findings, diff()) if is_public and outcome.findings else ()
        mask = mask_for(outcome.findings, shown_code, is_public=is_public)
        told = published(outcome, mask) if is_public else outcome
        if told.failure and Wanted("text") not in self.reports:  # the contract has no place for it
            say(f"kilo-review: not reviewed: {for_terminal(told.failure)}")
        view = View(
            told,
            code,
            verbosity=-1 if self.flags["quiet"] else int(self.flags["verbose"]),
            held=self.caller.held,
            mask=mask,
            diff=diff,
        )
        result = int(code)
        for form, path in self.reports:
            shown = view._replace(color=path is None and _wants_color(self.flags["color"]))
            text = renderer(form)(shown)
            text = for_ci(form, text) if path is None and is_public else text
            result = deliver.deliver(text, path, result, (outcome.commit, outcome.target.head))
        self.afterwards(view)
        return result


def _diff(target: Target, session: Session | None, patch: bytes | None, seconds: float) -> Diff | None:
    """The change once more, for a report that shows it; None where it has no two ends, or cannot be read again."""
    if patch is not None:
        return changes.of_patch(patch).diff
    if session is None or not (target.base and target.head):
        return None
    session.repository.deadline = Deadline().within(seconds)  # a report is due when the time is over, too
    try:
        return changes.of_repository(session.repository, Request(target=target)).diff
    except (SourceError, DeadlineError):
        return None


def _code_of(findings: Sequence[Finding], diff: Diff | None) -> Iterator[str]:
    """The code of the files that findings are about, a hunk at a time, as far as there is time to search it."""
    paths, left = {finding.path for finding in findings}, MOST_SEARCHED
    hunks = [hunk for each in diff.files if each.path in paths for hunk in each.hunks] if diff else []
    for hunk in hunks:
        left -= hunk.end - hunk.begin
        if diff is None or left < 0:
            return
        with suppress(SourceError):  # it was read before, and a report is due
            yield "\n".join(line.text for line in diff.lines(hunk))


HAND = Caller()


def prepare(
    ctx: click.Context,
    flags: dict[str, Any],
    caller: Caller = HAND,
    *,
    has_repository: bool = True,
    root: Path | None = None,
    trees: tuple[str | None, ...] = (),
) -> Run:
    """Read all settings; everything that can be wrong about them is told before git or a server is asked.

    Args:
        ctx: of the command.
        flags: its options.
        caller: who asks.
        has_repository: whether what is reviewed is in one.
        root: where the repository's settings are; None for the top of the working tree.
        trees: what is reviewed, if that is known: no report may take the place of its files.
    """
    ctx.obj.held = caller.held
    publish_log(is_public=caller.is_public or is_ci(config.environment()))
    ctx.obj.on_unavailable = OnUnavailable.ALLOW if caller.held else OnUnavailable.BLOCK
    environment = config.environment()
    _warn_of_unknown_variables(ctx, environment)
    if root is None and has_repository:
        root = config.repository_root(Path.cwd(), environment)
    settings = config.load(
        _settings_from(flags, environment), config=flags["config"], profile=flags["profile"], root=root
    )
    ctx.obj.on_unavailable = settings.on_unavailable or ctx.obj.on_unavailable
    seconds = caller.max_seconds if settings.max_seconds is None else settings.max_seconds
    reports = _reports(flags, trees)
    talk = Talk(quiet=flags["quiet"], animated=not caller.held and _is_watched(), logged=caller.is_public)
    return Run(settings, flags, Deadline(seconds or None), ctx.obj.on_unavailable, caller, root, talk, reports)


def _reports(flags: dict[str, Any], trees: tuple[str | None, ...]) -> tuple[Wanted, ...]:
    """Of a review as many as are asked for, of anything else one."""
    if "formats" in flags:
        return wanted(flags["formats"], flags["outputs"], trees)
    check(flags["output"], trees)
    return (Wanted(flags["format_"], flags["output"]),)


def _settings_from(flags: dict[str, Any], environment: Any) -> dict[str, Any]:  # noqa: ANN401
    """Those flags that are settings, with their types; None where nothing was given."""
    names = ("provider", "model", "verify_model", "base_url", "max_seconds", "base", "baseline", "prompts")
    given = {name: flags.get(name) for name in names}
    given["api_key"] = environment.get(API_KEY_VARIABLE) or None
    for name, variable in HOST_VARIABLES.items():
        if environment.get(variable, "").split():
            given |= hosts(name, environment[variable].split(), variable)
    if environment.get(CA_VARIABLE):
        given |= file("ca_file", environment[CA_VARIABLE], CA_VARIABLE)
    given["fail_on"] = FailOn(flags["fail_on"]) if flags["fail_on"] else None
    given["on_unavailable"] = OnUnavailable(flags["on_unavailable"]) if flags["on_unavailable"] else None
    given["on_nothing"] = OnNothing(flags["on_nothing"]) if flags["on_nothing"] else None
    if flags["language"]:
        given |= language("language", flags["language"], "--language")
    given["verify"] = Verify(flags["verify"]) if flags["verify"] else None
    given["options"] = dict(model_options.parse(text) for text in flags["options"]) or None
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
