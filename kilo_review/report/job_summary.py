"""The report on the page of a GitHub job: markdown, appended to the file that the runner names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kilo_review.core import atomic_write
from kilo_review.report import markdown
from kilo_review.source import worktree

if TYPE_CHECKING:
    from pathlib import Path

    from kilo_review.report.view import View

LIMIT = 1 << 20
"""Bytes of a step's summary. The runner uploads nothing of a longer one (actions/runner `FileCommandManager.cs`,
`CreateStepSummaryCommand`)."""


def append(path: Path, view: View) -> str:
    """Add the report to what the step's summary has already; what does not fit is counted in it.

    A page in the checkout is written like a report there: through no link, and not if git tracks it.

    Args:
        path: what GITHUB_STEP_SUMMARY names.
        view: what the report is made from.

    Returns:
        What went wrong, in a sentence; "" if all went well. A page without a summary is no reason to fail.
    """
    try:
        guard = worktree.guard((view.outcome.commit, view.outcome.target.head))
        with os.fdopen(atomic_write.append(path, guard), "ab", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            before = b"\n\n" if size else b""
            report = markdown.summary(view, LIMIT - size - len(before))
            if not report:
                return "the job summary has no room left for the report"
            data = before + report.encode("utf-8", "backslashreplace")
            if stream.write(data) < len(data):
                stream.truncate(size)  # half a table would spoil the page
                return "the job summary could not be written whole, and was left as it was"
    except (OSError, ValueError) as error:
        return f"the job summary could not be written ({getattr(error, 'strerror', None) or error})"
    return ""
