"""Runs the proof: one review of the built-in change by the real program, watched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kilo_review.core.outcome import Egress
from kilo_review.doctor.egress import change
from kilo_review.doctor.egress.verdict import Proof, Reviewed
from kilo_review.doctor.egress.watch import Surroundings, watch
from kilo_review.hooks.post_commit import REPOSITORY_VARIABLES
from kilo_review.source import scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kilo_review.core.deadline import Deadline


def prove(arguments: Sequence[str], deadline: Deadline, environment: Mapping[str, str]) -> Proof:
    """Have the program review the built-in change, and watch it.

    Args:
        arguments: the user's own options for it, such as `--provider` and what it needs.
        deadline: when the review is ended.
        environment: what it is started with; the variables by which git tells its hooks of a repository are left out.

    Raises:
        SourceError: git is missing, or failed.
        KiloReviewError: what was recorded is lost.
        OSError: there is no room for the repository.
    """
    kept = {name: value for name, value in environment.items() if name not in REPOSITORY_VARIABLES}
    marker = change.new_marker()
    with scratch.folder() as made:
        repository, report = made / "repository", made / "report.json"
        change.staged(repository, marker, kept)
        # After the user's own, so that these win.
        own = ("--format", "json", "--output", str(report))
        watched = watch(
            lambda recorded: [*recorded, "review", *arguments, *own], Surroundings(repository, kept, deadline, marker)
        )
        return Proof(watched, _reviewed(report))


def _reviewed(path: Path) -> Reviewed | None:
    """The report; None if there is none, or it is no report."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _of_report(data)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_report(data: dict[str, Any]) -> Reviewed:
    model = data["model"] or {}
    reasons = [entry["reason"] for entry in data["coverage"]["entries"] if entry["reason"]]
    return Reviewed(
        outcome=str(data["outcome"]),
        provider=str(model.get("provider") or ""),
        model=str(model.get("name") or ""),
        base_url=model.get("base_url"),
        requests=int(data["usage"]["requests"]),
        is_answered=data["coverage"]["reviewed"] > 0 or data["usage"]["completion_tokens"] > 0,
        receipt=tuple(Egress(**row) for row in data["egress"]),
        reason=str(reasons[0]) if reasons else "",
    )
