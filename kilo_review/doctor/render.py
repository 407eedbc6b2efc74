"""The doctor's lines: one screen for people, one object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kilo_review.doctor import Level, has_problem
from kilo_review.sanitize.terminal import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.doctor import Check

MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.PROBLEM: "problem"}


def text_of(checks: Sequence[Check]) -> str:
    """A line for each check, and one for each remedy."""
    return "\n".join(_lines(checks))


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        yield f"{MARKS[check.level]}  {check.name:<{width}}  {one_line(check.text)}"
        if check.remedy:
            yield f"{'':7}  {'':<{width}}  → {one_line(check.remedy)}"
    warnings = sum(check.level is Level.WARNING for check in checks)
    problems = sum(check.level is Level.PROBLEM for check in checks)
    verdict = "a review would not work" if has_problem(checks) else "a review would work"
    counts = [
        f"{number} {word}{'s' * (number > 1)}"
        for number, word in ((problems, "problem"), (warnings, "warning"))
        if number
    ]
    yield f"kilo-review: {verdict}" + (f" ({', '.join(counts)})" if counts else "")


def json_of(checks: Sequence[Check], exit_code: int) -> str:
    """One object with a row for each check."""
    rows = [
        {
            "name": check.name,
            "level": check.level.value,
            "text": printable(check.text),
            "remedy": printable(check.remedy) or None,
        }
        for check in checks
    ]
    return json.dumps({"version": 1, "exit_code": exit_code, "checks": rows}, indent=1)
