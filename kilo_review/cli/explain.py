"""`kilo-review explain`: why a finding is one, an input that shows it, and a fix."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

import click

from kilo_review.cli.dismiss import ID, shown
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.cli.tell import tell
from kilo_review.review import explain
from kilo_review.sanitize.terminal import escaped_path, for_terminal, one_line
from kilo_review.source.target import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.finding import Finding
    from kilo_review.review.explain import Explained

WIDTH = 100
SPELLED_OUT = (
    "a fix that `git apply` accepts at the top of the repository, here with hidden characters of the file spelled out "
    "(--format json has it as it is); read it first:"
)


@click.command("explain", context_settings=CONTEXT)
@ID
@with_options
@click.pass_context
def explain_command(ctx: click.Context, /, identifier: str, **flags: Any) -> int:  # noqa: ANN401
    """Ask for the why of a finding, an input that shows it, and a fix as a patch."""
    run = prepare(ctx, flags)
    with run.session() as session:
        finding = shown(session, identifier).finding
        try:
            found = explain.run(run.job(Request()), finding, run.talk, session)
        finally:
            run.talk.stop()
    text = _json(finding, found) if flags["format_"] == "json" else "\n".join(_lines(finding, found))
    return tell(text, flags["output"], 0, is_json=flags["format_"] == "json")


def _lines(finding: Finding, found: Explained) -> Iterator[str]:
    yield f"{escaped_path(finding.path)}: {one_line(finding.title)} [{finding.category}] {finding.short_id}"
    yield from _paragraph("why", found.text.cause)
    yield from _paragraph("for example", found.text.example or "the model names none")
    if not found.patch:
        yield f"no fix: {found.why_none}"
        return
    fix = found.patch.decode("utf-8", "surrogateescape").rstrip("\n")
    shown = "\n".join(_shown(row) for row in fix.split("\n"))
    yield "a fix that `git apply` accepts at the top of the repository; read it first:" if shown == fix else SPELLED_OUT
    yield ""
    yield shown


def _shown(row: str) -> str:
    """A line of a patch; the end of a line on Windows moves no terminal to where something stands."""
    text = row.removesuffix("\r")
    return for_terminal(text) + row[len(text) :]


def _paragraph(head: str, text: str) -> list[str]:
    return textwrap.wrap(f"{head}: {one_line(text)}", WIDTH)


def _json(finding: Finding, found: Explained) -> str:
    facts = {"version": 1, "fingerprint": finding.fingerprint, "cause": found.text.cause, "example": found.text.example}
    fix = found.patch.decode("utf-8", "backslashreplace") or None
    return json.dumps({**facts, "patch": fix, "reason": found.why_none or None}, indent=1)
