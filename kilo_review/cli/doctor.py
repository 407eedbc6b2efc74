"""`kilo-review doctor`: is everything there that a review needs, and if not, what to do about it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config, doctor, models, prompts
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import Run, prepare
from kilo_review.cli.tell import tell
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError, KiloReviewError
from kilo_review.doctor import here, servers, settings
from kilo_review.doctor import render as report
from kilo_review.doctor.egress import report as proof_report
from kilo_review.doctor.egress.run import prove
from kilo_review.doctor.egress.verdict import Verdict
from kilo_review.doctor.speed import speed
from kilo_review.judge.policy import ExitCode
from kilo_review.models.survey import look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.doctor import Check
    from kilo_review.review.session import Session


OF_THE_REPORT = frozenset({"format_", "output", "color", "quiet", "verbose"})
"""Options that say how it is told of; the review that is watched tells nobody but us."""
CODES = {Verdict.PROVED: ExitCode.PASS, Verdict.DISPROVED: ExitCode.BLOCKED, Verdict.NOT_RUN: ExitCode.NOT_REVIEWED}


@click.command("doctor", context_settings=CONTEXT)
@click.option("--prove-local", is_flag=True, help="Review a built-in change, and show all that it connects to.")
@with_options
@click.pass_context
def doctor_command(ctx: click.Context, /, prove_local: bool, **flags: Any) -> int:  # noqa: ANN401
    """Look at everything that a review needs, and say what to do about what is missing (exit 3)."""
    if prove_local:
        return _proved(ctx, flags)
    checks = [here.git(Path.cwd())]
    code = ExitCode.NOT_REVIEWED
    try:
        run = prepare(ctx, flags)
        checks += _checked(ctx, run, has_git=not doctor.has_problem(checks))
    except ConfigError as error:  # nothing is asked by settings that are wrong
        checks.append(doctor.problem("settings", error.message, error.hint or "docs/usage.md lists them"))
        code = ExitCode.USAGE
    code = code if doctor.has_problem(checks) else ExitCode.PASS
    text = report.json_of(checks, code) if flags["format_"] == "json" else report.text_of(checks)
    return tell(text, flags["output"], code, is_json=flags["format_"] == "json")


def _proved(ctx: click.Context, flags: dict[str, Any]) -> int:
    """The proof that nothing leaves: exit 0 if it holds, 1 if something else was reached, 3 if no review ran."""
    proof = prove(tuple(_given(ctx)), Deadline(flags["max_seconds"] or None), config.environment())
    is_json = flags["format_"] == "json"
    text = json.dumps(proof_report.facts(proof), indent=1) if is_json else "\n".join(proof_report.lines(proof))
    return tell(text, flags["output"], CODES[proof.verdict], is_json=is_json)


def _given(ctx: click.Context) -> Iterator[str]:
    """The options of a review that stand on the command line; those of the environment are there for it anyway."""
    own = {"prove_local", *OF_THE_REPORT}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in own or ctx.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        value = ctx.params[name]
        long = next(each for each in parameter.opts if each.startswith("--"))
        for each in value if isinstance(value, tuple) else (value,):
            yield from (long,) if each is True else (long, str(each))


def _checked(ctx: click.Context, run: Run, *, has_git: bool) -> Iterator[Check]:
    with run.session() as session:
        found = list(here.repository(session)) if has_git else []
        yield from found
        root = run.root if found and not doctor.has_problem(found) else None
        if root is not None:
            folder = config.user_folder()
            yield here.hooks(Path.cwd(), root, folder / "hooks" if folder else None)
        yield from settings.configuration(vars_of(run), origins_of(ctx, run))
        yield from settings.proxies(config.environment())
        yield from _models(run, session)
        if root is not None:
            yield here.ledger(session.ledger)


def _models(run: Run, session: Session) -> Iterator[Check]:
    """The server, the model, its window, where it is, and how fast it is."""
    request = run.settings.model_request(config.environment())
    looks = look(request, session.egress, run.deadline)
    failure: KiloReviewError | None = None
    try:
        model = models.connect(request, session.egress, run.deadline)
    except KiloReviewError as error:
        failure = error
        yield from servers.servers(looks, None, failure)
        yield from servers.locality(None, looks, config.environment())
        return
    try:
        info, loaded = model.info, prompts.load(run.settings.prompts, run.settings.language)
        yield from servers.servers(looks, info, None)
        yield from servers.model(info, looks)
        yield servers.window(info, loaded, request.parameters.get("num_predict"))
        yield from servers.locality(info, looks, config.environment())
        yield speed(model, loaded, run.deadline)
    finally:
        model.close()


def vars_of(run: Run) -> dict[str, object]:
    """Settings by name."""
    return run.settings._asdict()


def origins_of(ctx: click.Context, run: Run) -> dict[str, str]:
    """Where each setting that is not built in was set: a file, a variable, an option."""
    flags = run.flags
    found = config.origins(config=flags["config"], profile=flags["profile"], root=run.root)
    for parameter in ctx.command.params:
        name = "cache" if parameter.name == "no_cache" else parameter.name or ""
        source = ctx.get_parameter_source(parameter.name or "")
        if name not in vars_of(run):
            continue
        if source is click.core.ParameterSource.COMMANDLINE:
            found[name] = parameter.opts[-1]
        elif source is click.core.ParameterSource.ENVIRONMENT:
            found[name] = str(parameter.envvar)
    variables = {"api_key": "API_KEY", "allow_hosts": "ALLOW_HOSTS", "allow_http_hosts": "ALLOW_HTTP_HOSTS"}
    for name, variable in variables.items():
        if config.environment().get(config.ENVIRONMENT_PREFIX + variable):
            found[name] = config.ENVIRONMENT_PREFIX + variable
    return found
