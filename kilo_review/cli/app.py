"""The group of all commands, and `main`: the one boundary where errors become exit codes."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from kilo_review import __version__, config
from kilo_review.cli.options import CONTEXT
from kilo_review.cli.run import Boundary
from kilo_review.core.errors import KiloReviewError, UsageError
from kilo_review.judge.policy import ExitCode, OnUnavailable
from kilo_review.report.masking import is_ci
from kilo_review.report.progress import publish_log, say
from kilo_review.sanitize.terminal import for_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_COMMAND = "review"
COMMANDS = {
    "review": "review.review_command",
    "ci": "ci.ci_command",
    "merge": "merge.merge_command",
    "status": "commits.status_command",
    "catch-up": "commits.catch_up_command",
    "doctor": "doctor.doctor_command",
    "models": "models.models_command",
    "rules": "rules.rules_command",
    "prompts": "prompts.prompts",
    "explain": "explain.explain_command",
    "dismiss": "dismiss.dismiss_command",
    "dismissed": "dismiss.dismissed_command",
    "undismiss": "dismiss.undismiss_command",
    "baseline": "baseline.baseline",
    "stats": "memory.stats_command",
    "cache": "memory.cache",
    "bench": "bench.bench",
    "init": "init.init_command",
    "install": "install.install_command",
    "uninstall": "install.uninstall_command",
    "hook": "hook.hook",
}
"""Each command's place in this folder, loaded when it is called (start-up is a feature)."""
REVIEWING = frozenset({"review", "ci", "merge", "catch-up", "baseline", "hook"})
"""Commands whose failure leaves code without a review; of any other one it is its own."""
HELP_FLAGS = ("-h", "--help", "--version")


class _Group(click.Group):
    """Without a command's name, `review` is meant; and its options are what help shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in COMMANDS and args[0] not in HELP_FLAGS):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(import_module(f"{__package__}.{module}"), name)
        return command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [parameter for parameter in self.params if parameter.name == "version"]
        told = (parameter.get_help_record(ctx) for parameter in (*own, *self._default(ctx).get_params(ctx)))
        with formatter.section("Options"):
            formatter.write_dl([record for record in told if record])
        self.format_commands(ctx, formatter)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return self._default(ctx).collect_usage_pieces(ctx)

    def _default(self, ctx: click.Context) -> click.Command:
        command = self.get_command(ctx, DEFAULT_COMMAND)
        assert command
        return command


@click.group(cls=_Group, context_settings=CONTEXT, name="kilo-review")
@click.version_option(__version__, message="kilo-review %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Review a change with a model on this machine; the code never leaves it.

    TARGET is `staged` (default), `uncommitted`, `branch`, a revision, A..B, A...B, or - for a patch on
    standard input. Each option can also be set as KILO_REVIEW_NAME.

    Exit codes: 0 nothing blocks, 1 blocking findings, 2 wrong usage or configuration, 3 not or not fully
    reviewed, 130 interrupted.
    """
    ctx.obj.command = ctx.invoked_subcommand or ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    _heed_signals()
    boundary = Boundary()
    publish_log(is_public=is_ci(config.environment()))
    try:
        code = cli.main(args=None if arguments is None else list(arguments), standalone_mode=False, obj=boundary)
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        say("kilo-review: interrupted")
        _leave(boundary, "interrupted")
        code = ExitCode.INTERRUPTED
    except UsageError as error:
        if not boundary.held:  # else there will be no commit to catch up with
            _leave(boundary, str(error))
        stopped = f" ({boundary.held} is stopped)" if boundary.held else ""
        say(f"kilo-review: {for_terminal(str(error))}{stopped}")
        code = error.exit_code
    except (KiloReviewError, OSError) as error:
        code = _failed(boundary, for_terminal(_cause(error)))
    except SystemExit:  # click's answer to a broken pipe of any kind, ours to git included
        code = _failed(boundary, "a pipe broke in the middle of the work")
    except Exception as error:  # noqa: BLE001  the one boundary: a bug of ours must not stop a commit
        import traceback  # noqa: PLC0415

        with suppress(OSError, ValueError):  # standard error may be gone, too
            say(for_terminal(traceback.format_exc()).rstrip())
        code = _failed(boundary, f"internal error ({type(error).__name__}); please report it with the lines above")
    return int(code or 0)


def _heed_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _as_interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _as_interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise KeyboardInterrupt


def _leave(boundary: Boundary, reason: str) -> str:
    """Put on record that there was no review, if a hook ran; what became of that."""
    return boundary.trail.leave(reason) if boundary.trail else ""


def _cause(error: Exception) -> str:
    """Return what an error says; the system's own words leave out which folder or file it is about."""
    if not isinstance(error, OSError):
        return str(error)
    try:
        os.getcwd()  # noqa: PTH109  pathlib asks the same
    except FileNotFoundError:
        return "the working directory was removed. Change into one that is there"
    except OSError:
        pass
    why = error.strerror or str(error)
    return f"{error.filename!a}: {why}" if error.filename else why


def _failed(boundary: Boundary, reason: str) -> int:
    if boundary.command and boundary.command not in REVIEWING:
        say(f"kilo-review: {boundary.command} failed: {reason}")
        return ExitCode.NOT_REVIEWED
    goes_on = boundary.on_unavailable is OnUnavailable.ALLOW
    words = [f"{boundary.held} goes on"] if goes_on and boundary.held else []
    words += filter(None, [_leave(boundary, reason)])
    tail = f" ({'; '.join(words)})" if words else ""
    say(f"kilo-review: not reviewed: {reason}{tail}")
    return ExitCode.PASS if goes_on else ExitCode.NOT_REVIEWED
