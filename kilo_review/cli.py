"""The command line: words → a job, an outcome → a report and an exit code.

`main` is the one boundary where errors become exit codes.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kilo_review import __version__, config, options, prompts, review
from kilo_review.deadline import Deadline
from kilo_review.display import printable
from kilo_review.errors import KiloReviewError, UsageError
from kilo_review.hooks import pre_commit, pre_push
from kilo_review.judge.policy import ExitCode, FailOn, OnUnavailable, exit_code
from kilo_review.models import PROVIDERS
from kilo_review.outcome import Outcome
from kilo_review.report import FORMATS, deliver
from kilo_review.report.progress import Talk, say
from kilo_review.report.view import View
from kilo_review.source.repo import Repository
from kilo_review.source.target import PATCH, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kilo_review.config import Settings

DEFAULT_COMMAND = "review"
HELP_FLAGS = ("-h", "--help", "--version")
API_KEY_VARIABLE = config.ENVIRONMENT_PREFIX + "API_KEY"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(slots=True)
class Boundary:
    """What `main` must know about the run when something unforeseen ends it."""

    on_unavailable: OnUnavailable = OnUnavailable.BLOCK
    held: str = ""


class _Group(click.Group):
    """Without a command's name, `review` is meant; and its options are what help shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in HELP_FLAGS):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.commands[DEFAULT_COMMAND].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return self.commands[DEFAULT_COMMAND].collect_usage_pieces(ctx)


class _Review(click.Command):
    """Everything after `--` is a path, never a target."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            cut = args.index("--")
            ctx.meta["paths"] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- PATH...]"]


def _option(*names: str, **settings: Any) -> Callable[[Any], Any]:  # noqa: ANN401  click's own signature
    """An option with its environment variable, named by click's rule."""
    long = next(name for name in names if name.startswith("--"))
    variable = config.ENVIRONMENT_PREFIX + long[2:].replace("-", "_").upper()
    return click.option(*names, envvar=variable, show_envvar=True, **settings)


def _choice(words: Iterable[str]) -> click.Choice[str]:
    return click.Choice([str(word) for word in words])


PATH = click.Path(path_type=Path)
OPTIONS = (
    _option("--provider", type=click.Choice(PROVIDERS), help="Kind of server; auto finds what runs."),
    _option("--model", metavar="NAME", help="The server's name for the model; for embedded, a GGUF file."),
    _option("--base-url", metavar="URL", help="Address of the server, on this machine."),
    _option("--option", "options", metavar="NAME=VALUE", multiple=True, help="Model parameter; repeatable."),
    _option("--profile", metavar="NAME", help="Settings of the table [profiles.NAME]."),
    _option("--config", type=PATH, metavar="FILE", help="Your settings, instead of the usual file."),
    _option("--prompts", type=PATH, metavar="DIR", help="Prompts that override the shipped ones."),
    _option("--exclude", metavar="PATTERN", multiple=True, help="Files not to review, as in .gitignore; repeatable."),
    _option("--fail-on", type=_choice(FailOn), help="Least severity that blocks. [default: critical]"),
    _option(
        "--on-unavailable",
        type=_choice(OnUnavailable),
        help="If not everything could be reviewed: allow (exit 0) or block (exit 3). [default: block; in hooks: allow]",
    ),
    _option(
        "--max-seconds",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="Time limit for the whole run, 0 for none. [default: none; at commit: 20; at push: 120]",
    ),
    _option("--format", "format_", type=_choice(FORMATS), default="text", help="Form of the report. [default: text]"),
    _option("--output", type=PATH, metavar="FILE", help="Write the report there, not to standard output."),
    _option("--color", type=_choice(("auto", "always", "never")), default="auto", help="Colours. [default: auto]"),
    _option("-q", "--quiet", is_flag=True, help="Say nothing but findings and what was not reviewed."),
    _option("-v", "--verbose", is_flag=True, help="Say everything: skipped files, what was sent where."),
)  # fmt: skip


def _with_options(function: Any) -> Any:  # noqa: ANN401  decorators of click are not typed
    for decorate in reversed(OPTIONS):
        function = decorate(function)
    return function


@click.group(cls=_Group, context_settings=CONTEXT, name="kilo-review")
@click.version_option(__version__, message="kilo-review %(version)s")
def cli() -> None:
    """Review a change with a model on this machine; the code never leaves it.

    TARGET is `staged` (default), `uncommitted`, `branch`, a revision, A..B, A...B, or - for a patch on
    standard input. Each option can also be set as KILO_REVIEW_NAME.

    Exit codes: 0 nothing blocks, 1 blocking findings, 2 wrong usage or configuration, 3 not or not fully
    reviewed, 130 interrupted.
    """


@cli.command(DEFAULT_COMMAND, cls=_Review, context_settings=CONTEXT)
@click.argument("target", default="staged")
@_option(
    "--base",
    metavar="REVISION",
    help="What `branch` is compared with. [default: the remote's default branch]",
)
@_option("--dry-run", is_flag=True, help="Show what would be reviewed and skipped; ask no server.")
@_option("--show-prompt", is_flag=True, help="Show the exact messages; ask no server.")
@_with_options
@click.pass_context
def review_command(ctx: click.Context, /, target: str, dry_run: bool, show_prompt: bool, **flags: Any) -> int:  # noqa: ANN401
    """Review a change (the default command)."""
    if dry_run and show_prompt:
        raise UsageError("--dry-run and --show-prompt exclude each other")
    if target == PATCH and ctx.meta.get("paths"):
        raise UsageError("a patch on standard input is reviewed whole; leave the paths out")
    _check_paths(ctx.meta.get("paths", ()))
    if target != "branch" and ctx.get_parameter_source("base") is click.core.ParameterSource.COMMANDLINE:
        raise UsageError(
            "--base is for the target branch", hint="kilo-review branch --base REVISION; or name a range: A..B"
        )
    run = _prepare(ctx, flags, has_repository=target != PATCH)
    request = Request(target, run.settings.base, ctx.meta.get("paths", ()))
    job = run.job(request, _patch() if target == PATCH else None)
    if show_prompt:
        return _show_prompts(run, job)
    if dry_run:
        return run.report(review.plan(job))
    return run.review(job)


@cli.group(context_settings=CONTEXT)
def hook() -> None:
    """Entries for git hooks and hook frameworks."""


@hook.command("pre-commit", context_settings=CONTEXT)
@click.argument("ignored", nargs=-1, type=click.UNPROCESSED, metavar="")
@_with_options
@click.pass_context
def hook_pre_commit(ctx: click.Context, /, ignored: Sequence[str], **flags: Any) -> int:  # noqa: ANN401, ARG001
    """Review what is being committed."""
    run = _prepare(ctx, flags, max_seconds=pre_commit.MAX_SECONDS, held="the commit")
    return run.review(run.job(pre_commit.request()))


@hook.command("pre-push", context_settings=CONTEXT)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[REMOTE URL]")
@_with_options
@click.pass_context
def hook_pre_push(ctx: click.Context, /, arguments: Sequence[str], **flags: Any) -> int:  # noqa: ANN401
    """Review what is being pushed."""
    run = _prepare(ctx, flags, max_seconds=pre_push.MAX_SECONDS, held="the push")
    with Repository(Path.cwd(), run.deadline) as repo:
        stdin = sys.stdin.buffer if sys.stdin else None  # None where it was closed
        requests = pre_push.requests(repo, arguments, config.environment(), stdin)
    if not requests:
        if not run.flags["quiet"]:
            say("kilo-review: nothing new is pushed")
        return ExitCode.PASS
    return run.review(*(run.job(request) for request in requests))


@dataclass(frozen=True, slots=True)
class _Run:
    """One invocation: its settings, and how it talks."""

    settings: Settings
    flags: dict[str, Any]
    deadline: Deadline
    on_unavailable: OnUnavailable
    held: str
    root: Path | None

    def job(self, request: Request, patch: bytes | None = None) -> review.Job:
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
        code = exit_code(outcome, self.on_unavailable)
        verbosity = -1 if self.flags["quiet"] else int(self.flags["verbose"])
        color = self.flags["output"] is None and _wants_color(self.flags["color"])
        view = View(outcome, code, color, verbosity, self.held)
        return deliver.deliver(FORMATS[self.flags["format_"]](view), self.flags["output"], code)


def _prepare(
    ctx: click.Context,
    flags: dict[str, Any],
    *,
    max_seconds: float = 0.0,
    held: str = "",
    has_repository: bool = True,
) -> _Run:
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
    return _Run(settings, flags, Deadline(seconds or None), ctx.obj.on_unavailable, held, root)


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


def _warn_of_unknown_variables(ctx: click.Context, environment: Any) -> None:  # noqa: ANN401
    commands = (review_command, hook_pre_commit, hook_pre_push)
    known = {str(parameter.envvar) for command in commands for parameter in command.params if parameter.envvar}
    for name in config.unknown_variables(environment, known | {API_KEY_VARIABLE}):
        nearest = config.nearest(name, known | {API_KEY_VARIABLE})
        step = f"did you mean {nearest}?" if nearest else f"{ctx.command_path} --help shows the options"
        say(f"kilo-review: the variable {printable(name)} means nothing; {step}")


def _check_paths(paths: Sequence[str]) -> None:
    """An option after `--` would silently be a path that nothing matches."""
    for path in paths:
        if path.startswith("-") and not os.path.lexists(path):
            raise UsageError(f"{path!a} stands after --, where only paths stand", hint="Put options before --")


def _patch() -> bytes:
    if sys.stdin.isatty():
        say("kilo-review: reading a patch from the terminal; Ctrl-D ends it")
    return sys.stdin.buffer.read()


def _show_prompts(run: _Run, job: review.Job) -> int:
    """The messages, for reading (text) or for another program (json)."""
    if run.flags["format_"] == "json":
        import json  # noqa: PLC0415

        requests = [
            [{"role": each.role, "content": each.content} for each in messages] for messages in review.prompts(job)
        ]
        return deliver.deliver(json.dumps(requests, indent=1), run.flags["output"], ExitCode.PASS)
    parts = [
        f"--- request {number}, {message.role} ---\n{message.content}\n"
        for number, messages in enumerate(review.prompts(job), 1)
        for message in messages
    ]
    return deliver.deliver("".join(parts) or "nothing would be asked\n", run.flags["output"], ExitCode.PASS)


# Where the report goes


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


# The boundary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _as_interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    boundary = Boundary()
    try:
        code = cli.main(args=None if arguments is None else list(arguments), standalone_mode=False, obj=boundary)
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        say("kilo-review: interrupted")
        code = ExitCode.INTERRUPTED
    except UsageError as error:
        stopped = f" ({boundary.held} is stopped)" if boundary.held else ""
        say(f"kilo-review: {printable(str(error))}{stopped}")
        code = error.exit_code
    except (KiloReviewError, OSError) as error:
        code = _not_reviewed(boundary, printable(str(error)))
    except SystemExit:  # click's answer to a broken pipe of any kind, ours to git included
        code = _not_reviewed(boundary, "a pipe broke in the middle of the work")
    except Exception as error:  # noqa: BLE001  the one boundary: a bug of ours must not stop a commit
        import traceback  # noqa: PLC0415

        traceback.print_exc()
        code = _not_reviewed(
            boundary, f"internal error ({type(error).__name__}); please report it with the lines above"
        )
    return int(code or 0)


def _as_interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


def _not_reviewed(boundary: Boundary, reason: str) -> int:
    goes_on = boundary.on_unavailable is OnUnavailable.ALLOW
    tail = f" ({boundary.held} goes on)" if goes_on and boundary.held else ""
    say(f"kilo-review: not reviewed: {reason}{tail}")
    return ExitCode.PASS if goes_on else ExitCode.NOT_REVIEWED
