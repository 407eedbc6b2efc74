"""`kilo-review rules`: which of the project's rules are about what, and what they cost."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from kilo_review.cli.options import CONTEXT, with_options
from kilo_review.cli.run import prepare
from kilo_review.plan.chunk import TokenMeter
from kilo_review.plan.rules import Shelf
from kilo_review.report import deliver
from kilo_review.sanitize.terminal import escaped_path, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.plan.rules import Book, Rule


@click.command("rules", context_settings=CONTEXT)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@with_options
@click.pass_context
def rules_command(ctx: click.Context, /, paths: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """List the project's rules, or those about some files: what they are about, their tokens, what is shadowed."""
    run = prepare(ctx, flags)
    book = run.rules()
    shelf = Shelf(book, TokenMeter().estimate)
    paths = tuple(PurePosixPath(path).as_posix() for path in paths)
    found = [rule for rule in book.every if not paths or any(rule in shelf.about(path) for path in paths)]
    sent = {rule for path in paths for rule in shelf.chosen(path)} if paths else set(found)
    if flags["format_"] == "json":
        return deliver.deliver(_json(found, book, shelf), flags["output"], 0)
    lines = list(_lines(found, book, shelf, sent))
    return deliver.deliver("\n".join(lines), flags["output"], 0)


def _lines(found: Sequence[Rule], book: Book, shelf: Shelf, sent: set[Rule]) -> Iterator[str]:
    for rule in found:
        cost = shelf.cost([rule])
        words = [about(rule), f"about {cost} tokens"]
        words += [str(rule.severity)] if rule.severity else []
        words += ["not sent: it does not fit"] if rule not in sent or cost > book.tokens else []
        yield f"{escaped_path(rule.origin)}: {'; '.join(words)}"
    for shadowed, by in book.shadowed:
        yield f"({escaped_path(shadowed)}: shadowed by {escaped_path(by)})"
    total = shelf.cost(found)
    yield f"kilo-review: {len(found)} rules, about {total} tokens in all; {book.tokens} are for rules in one request"


def about(rule: Rule) -> str:
    """The files that a rule is about, in words."""
    words = [f"below {escaped_path(rule.below)}"] if rule.below else []
    words += [one_line(", ".join(rule.globs))] if rule.globs else []
    words += [f"in {', '.join(rule.languages)}"] if rule.languages else []
    return " ".join(words) or "every file"


def _json(found: Sequence[Rule], book: Book, shelf: Shelf) -> str:
    rows = [
        {
            "name": rule.name,
            "path": rule.origin,
            "below": rule.below and escaped_path(rule.below),
            "globs": rule.globs,
            "languages": rule.languages,
            "severity": rule.severity and rule.severity.value,
            "tokens": shelf.cost([rule]),
        }
        for rule in found
    ]
    shadowed = [{"path": path, "by": by} for path, by in book.shadowed]
    return json.dumps({"version": 1, "tokens": book.tokens, "rules": rows, "shadowed": shadowed}, indent=1)
