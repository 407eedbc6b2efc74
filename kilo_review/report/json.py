"""The JSON report, version 1: a contract with scripts, decoupled from internal types (docs/json.md)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kilo_review.display import escaped_path, printable
from kilo_review.outcome import State

if TYPE_CHECKING:
    from kilo_review.finding import Finding
    from kilo_review.outcome import Entry, Outcome
    from kilo_review.report.view import View

VERSION = 1


def render(view: View) -> str:
    """One JSON object. Non-ASCII is escaped, so that no encoding and no terminal can spoil it."""
    outcome = view.outcome
    return json.dumps(
        {
            "version": VERSION,
            "outcome": outcome.word,
            "blocking": any(finding.blocking for finding in outcome.findings),
            "exit_code": int(view.exit_code),
            "target": {
                "kind": outcome.target.kind.value,
                "base": outcome.target.base,
                "head": outcome.target.head,
            },
            "model": _model(outcome),
            "findings": [_finding(finding) for finding in outcome.findings],
            "coverage": _coverage(outcome),
            "usage": {
                "requests": outcome.usage.requests,
                "prompt_tokens": outcome.usage.prompt_tokens,
                "cached_prompt_tokens": outcome.usage.cached_prompt_tokens,
                "completion_tokens": outcome.usage.completion_tokens,
                "seconds": round(outcome.usage.seconds, 3),
                "model_seconds": round(outcome.usage.model_seconds, 3),
            },
            "egress": [
                {
                    "url": row.url,
                    "address": row.address,
                    "bytes_sent": row.bytes_sent,
                    "requests": row.requests,
                }
                for row in outcome.egress
            ],
        },
        indent=1,
    )


def _model(outcome: Outcome) -> dict[str, Any] | None:
    info = outcome.model
    if info is None:
        return None
    return {
        "provider": info.provider,
        "name": printable(info.name),
        "base_url": info.base_url,
        "window": info.window,
        "local": info.local,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "path": escaped_path(finding.path),
        "line": finding.line,
        "end_line": finding.end_line,
        "severity": finding.severity.value,
        "category": finding.category.value,
        "title": finding.title,
        "message": finding.message,
        "evidence": finding.evidence,
        "suggestion": finding.suggestion,
        "fingerprint": finding.fingerprint,
        "status": finding.status.value,
        "blocking": finding.blocking,
        "reason": finding.reason,
    }


def _coverage(outcome: Outcome) -> dict[str, Any]:
    return {
        "files": len({entry.path for entry in outcome.entries}),
        "hunks": sum(entry.is_hunk for entry in outcome.entries),
        **{state.value: outcome.count(state) for state in State if state is not State.PLANNED or outcome.dry_run},
        "entries": [_entry(entry) for entry in outcome.entries],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "path": escaped_path(entry.path),
        "start": entry.start,
        "end": entry.end,
        "added": entry.added,
        "removed": entry.removed,
        "state": entry.state.value,
        "reason": entry.reason,
    }
