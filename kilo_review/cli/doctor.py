"""`kilo-review doctor --prove-local`: the proof that nothing leaves, on this machine, with these settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT, option, with_options_but
from kilo_review.deadline import Deadline
from kilo_review.errors import UsageError
from kilo_review.judge.policy import ExitCode
from kilo_review.proof import report
from kilo_review.proof.run import prove
from kilo_review.proof.verdict import Verdict
from kilo_review.report import deliver

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("text", "json")
OF_THE_REPORT = ("--format", "--output", "--color", "--quiet", "--verbose")
"""Options of a review that say how it is told of; the one that is watched tells nobody but us."""
CODES = {Verdict.PROVED: ExitCode.PASS, Verdict.DISPROVED: ExitCode.BLOCKED, Verdict.NOT_RUN: ExitCode.NOT_REVIEWED}


@click.command("doctor", context_settings=CONTEXT)
@click.option("--prove-local", is_flag=True, help="Review a built-in change, and show all that it connects to.")
@option("--format", "format_", type=click.Choice(FORMATS), default="text", help="Form of the report. [default: text]")
@with_options_but(*OF_THE_REPORT)
@click.pass_context
def doctor(ctx: click.Context, /, prove_local: bool, format_: str, **flags: Any) -> int:  # noqa: ANN401
    """Prove that nothing leaves this machine."""
    if not prove_local:
        raise UsageError("there is nothing to do", hint="kilo-review doctor --prove-local")
    proof = prove(tuple(_given(ctx)), Deadline(flags["max_seconds"] or None), config.environment())
    text = json.dumps(report.facts(proof), indent=1) if format_ == "json" else "\n".join(report.lines(proof))
    return deliver.deliver(text, None, CODES[proof.verdict])


def _given(ctx: click.Context) -> Iterator[str]:
    """The options of a review that stand on the command line; those of the environment are there for it anyway."""
    own = {"prove_local", "format_"}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in own or ctx.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        long = next(each for each in parameter.opts if each.startswith("--"))
        for each in value if isinstance(value, tuple) else (value,):
            yield from (long,) if each is True else (long, str(each))
