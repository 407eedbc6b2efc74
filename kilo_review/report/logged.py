"""Reports on standard output of a CI system, which obeys certain lines wherever they come from."""

from __future__ import annotations

from kilo_review.sanitize.workflow_commands import without_commands

ENCODED = frozenset({"json", "sarif", "rdjson", "gitlab"})
"""Formats that are JSON, in which a character can be written as an escape."""
COMMANDING = "github"
"""The format that consists of commands, and neutralises everything in them."""


def for_ci(form: str, report: str) -> str:
    """The report without anything that a CI system takes for a command; the same JSON, if it is JSON."""
    if form in ENCODED:
        return report.replace("##", "#\\u0023")
    return report if form == COMMANDING else without_commands(report)
