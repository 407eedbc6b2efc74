"""`kilo-review dismiss`, `dismissed` and `undismiss`: findings that somebody has judged to be wrong."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from kilo_review import config
from kilo_review.cli.baseline import save
from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.cli.tell import tell
from kilo_review.core.errors import KiloReviewError, UsageError
from kilo_review.core.finding import SHORT_DIGITS, Status
from kilo_review.judge.baseline import accepted, combined
from kilo_review.review import baseline as acceptance
from kilo_review.sanitize.terminal import escaped_path, json_path, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from kilo_review.cli.run import Run
    from kilo_review.core.finding import Finding
    from kilo_review.judge.baseline import Accepted
    from kilo_review.ledger.records import Ledger, Shown
    from kilo_review.review.session import Session

SHORTEST = 4
"""Digits of an id; with fewer, a slip of the finger would dismiss something else."""
ID = click.argument("identifier", metavar="ID")


@click.command("dismiss", context_settings=CONTEXT)
@ID
@click.option("--reason", default="", metavar="TEXT", help="Why the finding is wrong.")
@click.option("--shared", is_flag=True, help="For everybody: in the baseline, which is committed.")
@with_options
@click.pass_context
def dismiss_command(ctx: click.Context, /, identifier: str, reason: str, shared: bool, **flags: Any) -> int:  # noqa: ANN401
    """Do not show a finding any more at its place in the code."""
    run = prepare(ctx, flags)
    with run.session() as session:
        finding = shown(session, identifier).finding
        if shared:
            entry = accepted(finding, reason or "dismissed", Status.DISMISSED)._replace(times=1)
            present = config.baseline(run.settings, run.root)
            save(_path(run), combined({*present, entry}))
        elif not session.ledger.dismiss(finding, reason):
            raise KiloReviewError(f"this cannot be remembered: {session.ledger.store.off}")
    where = f"in {escaped_path(str(_path(run)))}; commit it" if shared else "in this clone"
    return tell(
        f"kilo-review: dismissed {where}: {_told(finding)}\n"
        f"It comes back with: kilo-review undismiss {finding.short_id}",
        None,
        0,
    )


@click.command("dismissed", context_settings=CONTEXT)
@with_options
@click.pass_context
def dismissed_command(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """List what was dismissed, here and for everybody."""
    run = prepare(ctx, flags)
    with run.session() as session:
        own = [_row(finding, at) for finding, at in session.ledger.all_dismissed()]
        _check(session.ledger)
    shared = [_shared_row(each) for each in config.baseline(run.settings, run.root) if each.status == Status.DISMISSED]
    if flags["format_"] == "json":
        return tell(
            json.dumps({"version": 1, "dismissed": [*own, *shared]}, indent=1), flags["output"], 0, is_json=True
        )
    lines = [
        f"{row['fingerprint'][:SHORT_DIGITS]} {escaped_path(row['path'])}: {one_line(row['code'])} [{row['category']}"
        f"{', shared' if row['shared'] else ''}] {one_line(row['reason'])}".rstrip()
        for row in (*own, *shared)
    ]
    return tell("\n".join(lines) or "kilo-review: nothing was dismissed", flags["output"], 0)


@click.command("undismiss", context_settings=CONTEXT)
@ID
@with_options
@click.pass_context
def undismiss_command(ctx: click.Context, /, identifier: str, **flags: Any) -> int:  # noqa: ANN401
    """Show a dismissed finding again."""
    prefix = _checked(identifier)
    run = prepare(ctx, flags)
    with run.session() as session:
        own = [each for each, _ in session.ledger.all_dismissed() if each.fingerprint.startswith(prefix)]
        rest, shared = acceptance.without(config.baseline(run.settings, run.root), prefix)
        number = len({each.fingerprint for each in own} | {each.fingerprint for each in shared})
        if number != 1:
            what = "several dismissed findings have" if number else "no dismissed finding has"
            raise UsageError(f"{what} the id {identifier!a}", hint="kilo-review dismissed lists them")
        if shared:
            save(_path(run), rest)
        if own and not session.ledger.undismiss(own[0]):
            raise KiloReviewError(f"this cannot be remembered: {session.ledger.store.off}")
    return tell(f"kilo-review: shown again from now on: {identifier}", None, 0)


def shown(session: Session, identifier: str) -> Shown:
    """The finding with this id.

    Raises:
        UsageError: none has been shown here, or several have that begin so.
    """
    found = session.ledger.shown(_checked(identifier))
    _check(session.ledger)
    if not found:
        raise UsageError(
            f"no finding with the id {identifier!a} has been shown here",
            hint="The id stands at the end of a finding's first line; with --no-cache nothing is kept",
        )
    several = {each.finding.fingerprint: each.finding for each in found}
    if len(several) > 1:
        raise UsageError(
            f"several findings have an id that begins with {identifier}",
            hint="; ".join(f"{key[: SHORT_DIGITS * 2]} {_told(each)}" for key, each in several.items()),
        )
    return found[0]


def _checked(identifier: str) -> str:
    prefix = identifier.strip().lower()
    if len(prefix) < SHORTEST or not all(letter in "0123456789abcdef" for letter in prefix):
        raise UsageError(
            f"{identifier!a} is no id of a finding", hint=f"At least {SHORTEST} of its digits, such as 8fac5be6"
        )
    return prefix


def _check(ledger: Ledger) -> None:
    if ledger.store.off:
        raise KiloReviewError(f"the ledger cannot be used: {ledger.store.off}")


def _path(run: Run) -> Path:
    path = config.baseline_path(run.settings, run.root)
    if path is None:
        raise UsageError("this is no git repository")
    return path


def _told(finding: Finding) -> str:
    return f"{escaped_path(finding.path)}: {one_line(finding.title)} [{finding.category}]"


def _row(finding: Finding, at: float) -> dict[str, Any]:
    facts = {"fingerprint": finding.fingerprint, "path": json_path(finding.path), "category": finding.category.value}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    return facts | {"code": finding.code, "reason": finding.reason or "", "shared": False, "at": when}


def _shared_row(entry: Accepted) -> dict[str, Any]:
    facts = {"fingerprint": entry.fingerprint, "path": entry.path, "category": entry.category}
    return facts | {"code": entry.code, "reason": entry.reason, "shared": True, "at": None}
