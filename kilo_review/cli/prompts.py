"""`kilo-review prompts`: the words that a model is given, to be read, changed and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kilo_review import prompts as room
from kilo_review.cli.options import CONTEXT, PATH, with_options
from kilo_review.cli.run import prepare
from kilo_review.core.errors import UsageError
from kilo_review.judge.policy import ExitCode
from kilo_review.plan.chunk import TokenMeter
from kilo_review.prompts import check as checks
from kilo_review.report import deliver
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = click.argument("name", type=click.Choice(list(room.PLACEHOLDERS)), required=False)


@click.group("prompts", invoke_without_command=True, context_settings=CONTEXT)
@with_options
@click.pass_context
def prompts(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """List the prompts: which are your own, what each costs; show, export or check them."""
    if ctx.invoked_subcommand is not None:
        return 0
    run = prepare(ctx, flags)
    folder = run.settings.prompts
    loaded = room.load(folder, run.settings.language)
    lines = [*_rows(folder), f"kilo-review: version {loaded.version}, of the test {loaded.verify_version}"]
    return deliver.deliver("\n".join(lines), flags["output"], ExitCode.PASS)


def _rows(folder: Path | None) -> Iterator[str]:
    meter = TokenMeter()
    for name, places in room.PLACEHOLDERS.items():
        path = room.path_of(name, folder)
        origin = "shipped" if path.parent == room.SHIPPED else escaped_path(str(path))
        words = [f"about {meter.estimate(path.read_text(encoding='utf-8'))} tokens", *places]
        yield f"{name}: {origin}; {'; '.join(words)}"


@prompts.command("show", context_settings=CONTEXT)
@NAME
@with_options
@click.pass_context
def show(ctx: click.Context, /, name: str | None, **flags: Any) -> int:  # noqa: ANN401
    """Print one prompt, or all of them, as they are used."""
    run = prepare(ctx, flags)
    room.load(run.settings.prompts)  # a damaged one is told, not shown
    names = [name] if name else list(room.PLACEHOLDERS)
    texts = {each: room.path_of(each, run.settings.prompts).read_text(encoding="utf-8") for each in names}
    text = texts[name] if name else "\n".join(f"--- {each} ---\n{content}" for each, content in texts.items())
    return deliver.deliver(text, flags["output"], ExitCode.PASS)


@prompts.command("export", context_settings=CONTEXT)
@click.argument("folder", type=PATH, metavar="DIR")
@with_options
@click.pass_context
def export(ctx: click.Context, /, folder: Path, **flags: Any) -> int:  # noqa: ANN401
    """Write the shipped prompts into a folder, to be changed there."""
    prepare(ctx, flags)
    there = [name for name in room.PLACEHOLDERS if (folder / f"{name}.md").exists()]
    if there:
        raise UsageError(f"{str(folder / f'{there[0]}.md')!a} is there already", hint="Name a new folder")
    try:
        for name in room.PLACEHOLDERS:
            deliver.write(folder / f"{name}.md", room.path_of(name).read_bytes())
    except OSError as error:
        raise UsageError(f"{str(folder)!a} cannot be written: {error.strerror or error}") from None
    text = (
        f"kilo-review: {len(room.PLACEHOLDERS)} prompts in {escaped_path(str(folder))}; keep those that you change, "
        "and name the folder with --prompts or as the setting `prompts`"
    )
    return deliver.deliver(text, None, ExitCode.PASS)


@prompts.command("check", context_settings=CONTEXT)
@click.argument("folder", type=PATH, metavar="DIR", required=False)
@with_options
@click.pass_context
def check(ctx: click.Context, /, folder: Path | None, **flags: Any) -> int:  # noqa: ANN401
    """Check prompts of your own: their places, the form of the answer, what they cost (exit 2 if one is wrong)."""
    run = prepare(ctx, flags)
    folder = folder or run.settings.prompts
    room.load(folder)
    found = list(checks.problems(folder, TokenMeter().estimate))
    lines = [f"{escaped_path(each.place)}: {'' if each.is_wrong else 'note: '}{each.what}" for each in found]
    wrong = sum(each.is_wrong for each in found)
    where = escaped_path(str(folder)) if folder else "the shipped prompts"
    lines.append(f"kilo-review: {where}: {f'{wrong} wrong' if wrong else 'all is well'}")
    return deliver.deliver("\n".join(lines), flags["output"], ExitCode.USAGE if wrong else ExitCode.PASS)
