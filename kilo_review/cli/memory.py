"""`kilo-review stats` and `kilo-review cache`: what the ledger holds."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.core.errors import KiloReviewError, UsageError
from kilo_review.ledger import stats
from kilo_review.report import deliver

if TYPE_CHECKING:
    from kilo_review.ledger.stats import Contents, Tally

DAYS = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}
KINDS = {"commit": "at commit", "push": "at push", "hand": "by hand", "background": "in the background"}


@click.command("stats", context_settings=CONTEXT)
@click.option("--since", metavar="WHEN", help="A date (2026-11-01) or a time ago (12h, 7d, 4w, 6m, 1y).")
@with_options
@click.pass_context
def stats_command(ctx: click.Context, /, since: str | None, **flags: Any) -> int:  # noqa: ANN401
    """Show what the tool has done for you in this repository."""
    begin = _begin(since) if since else 0.0
    run = prepare(ctx, flags)
    with run.session() as session:
        tally = stats.tally(session.ledger, begin)
        _check(session.ledger.store.off)
    text = json.dumps({"version": 1, **asdict(tally)}, indent=1) if flags["format_"] == "json" else _tally_text(tally)
    return deliver.deliver(text, flags["output"], 0)


@click.group(context_settings=CONTEXT)
def cache() -> None:
    """What is remembered of earlier reviews."""


@cache.command("stats", context_settings=CONTEXT)
@with_options
@click.pass_context
def cache_stats(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """Show how much is remembered."""
    run = prepare(ctx, flags)
    with run.session() as session:
        contents = stats.contents(session.ledger)
        _check(session.ledger.store.off)
    text = json.dumps({"version": 1, **asdict(contents)}) if flags["format_"] == "json" else _contents_text(contents)
    return deliver.deliver(text, flags["output"], 0)


@cache.command("clear", context_settings=CONTEXT)
@with_options
@click.pass_context
def cache_clear(ctx: click.Context, /, **flags: Any) -> int:  # noqa: ANN401
    """Forget answers, receipts, what was left out, and the counts; what was dismissed stays so."""
    run = prepare(ctx, flags)
    with run.session() as session:
        before = stats.contents(session.ledger)
        session.ledger.store.empty()
        _check(session.ledger.store.off)
    return deliver.deliver(f"kilo-review: {before.verdicts} answers and {before.receipts} receipts forgotten", None, 0)


def _check(off: str) -> None:
    if off:
        raise KiloReviewError(f"the ledger cannot be used: {off}")


def _begin(since: str) -> float:
    """A date or a distance → seconds since 1970."""
    if match := re.fullmatch(r"(\d{1,4})([hdwmy])", since):
        return time.time() - int(match[1]) * DAYS[match[2]] * 86400
    try:
        return datetime.fromisoformat(since).astimezone().timestamp()
    except ValueError:
        raise UsageError(
            f"--since: {since!a} is neither a date nor a time ago", hint="Such as 2026-11-01, 12h, 7d, 4w, 6m, 1y"
        ) from None


def _tally_text(tally: Tally) -> str:
    reviews = ", ".join(f"{number} {KINDS.get(kind, kind)}" for kind, number in tally.reviews.items())
    begin = time.strftime("%Y-%m-%d", time.localtime(tally.first)) if tally.first else ""
    tokens = f"{tally.prompt_tokens:,} read, {tally.completion_tokens:,} written, none of them paid to a cloud"
    return _table([
        ("reviews", f"{sum(tally.reviews.values())}" + (f" since {begin}: {reviews}" if reviews else "")),
        ("hunks asked about", f"{tally.asked:,}"),
        ("hunks from memory", f"{tally.remembered:,}"),
        ("hunks left out", f"{tally.left_out:,}"),
        ("findings shown", f"{tally.findings:,}"),
        ("findings fixed", f"{tally.fixed:,}"),
        ("findings dismissed", f"{tally.dismissed:,}"),
        ("commits and pushes held", f"{tally.held:,}"),
        ("seconds waited", f"{tally.seconds_waited:,.0f}"),
        ("tokens", tokens),
    ])  # fmt: skip


def _contents_text(contents: Contents) -> str:
    return _table([
        ("answers (hunks)", f"{contents.verdicts:,}"),
        ("receipts (whole changes)", f"{contents.receipts:,}"),
        ("changes with something left out", f"{contents.unreviewed:,}"),
        ("runs counted", f"{contents.runs:,}"),
        ("size", f"{contents.size / 1024:,.0f} KiB"),
    ])  # fmt: skip


def _table(rows: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)
