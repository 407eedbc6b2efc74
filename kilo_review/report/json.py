"""The JSON report, version 1: a contract with scripts, decoupled from internal types (docs/json.md)."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from kilo_review.core.outcome import State
from kilo_review.report.rows import json_array, json_object, json_rows
from kilo_review.sanitize.terminal import json_path, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome
    from kilo_review.report.view import View

VERSION = 1


def render(view: View) -> str:
    """One JSON object, a row a line. Non-ASCII is escaped, so that no encoding and no terminal can spoil it."""
    outcome = view.outcome
    return json_object(
        version=json.dumps(VERSION),
        outcome=json.dumps(outcome.word),
        blocking=json.dumps(any(finding.blocking for finding in outcome.findings)),
        exit_code=json.dumps(int(view.exit_code)),
        target=json.dumps(
            {"kind": outcome.target.kind.value, "base": outcome.target.base, "head": outcome.target.head}
        ),
        commit=json.dumps(outcome.commit or None),
        model=json.dumps(_model(outcome)),
        findings=json_rows(_finding(finding, view.mask) for finding in outcome.findings),
        coverage=_coverage(outcome),
        shard=json.dumps(_shard(outcome)),
        failure=json.dumps(outcome.failure or None),
        notes=_texts([view.mask(note) for note in (*outcome.notes, *outcome.details)]),
        usage=json.dumps(_usage(outcome)),
        egress=json_rows(
            {"url": row.url, "address": row.address, "bytes_sent": row.bytes_sent, "requests": row.requests}
            for row in outcome.egress
        ),
    )


def _shard(outcome: Outcome) -> dict[str, int | str] | None:
    if outcome.shard is None:
        return None
    index, of = outcome.shard
    return {"index": index, "of": of, "division": outcome.division}


def _texts(texts: list[str]) -> str:
    return json.dumps([printable(text) for text in texts])


def _usage(outcome: Outcome) -> dict[str, Any]:
    usage = outcome.usage
    return {
        "requests": usage.requests,
        "prompt_tokens": usage.prompt_tokens,
        "cached_prompt_tokens": usage.cached_prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "seconds": round(usage.seconds, 3),
        "model_seconds": round(usage.model_seconds, 3),
    }


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


def _finding(finding: Finding, mask: Callable[[str], str]) -> dict[str, Any]:
    return {
        "path": json_path(finding.path),
        "line": finding.line,
        "end_line": finding.end_line,
        "severity": finding.severity.value,
        "category": finding.category.value,
        "title": mask(finding.title),
        "message": mask(finding.message),
        "evidence": mask(finding.evidence),
        "suggestion": finding.suggestion and mask(finding.suggestion),
        "fingerprint": finding.fingerprint,
        "status": finding.status.value,
        "blocking": finding.blocking,
        "reason": _masked_reason(finding, mask),
    }


def _masked_reason(finding: Finding, mask: Callable[[str], str]) -> str | None:
    reason = _reason(finding)
    return reason and mask(reason)


def _reason(finding: Finding) -> str | None:
    """Why it does not count; of one that does, where it comes from: a rule, a commit."""
    rule = f"rule {finding.rule}" if finding.rule else None
    return "; ".join(filter(None, (rule, finding.reason))) or None


def _coverage(outcome: Outcome) -> str:
    number = Counter(entry.state for entry in outcome.entries)
    counts = {state.value: number[state] for state in State if state is not State.PLANNED or outcome.dry_run}
    return json_object(
        files=json.dumps(len({entry.path for entry in outcome.entries})),
        hunks=json.dumps(sum(entry.is_hunk for entry in outcome.entries)),
        **{state: json.dumps(count) for state, count in counts.items()},
        entries=_entries(outcome.entries),
    )


def _entries(entries: Iterable[Entry]) -> str:
    """The rows of the coverage; those of a huge change are many, of few paths and reasons, so each is encoded once."""
    path, word = cache(lambda path: json.dumps(json_path(path))), cache(json.dumps)
    return json_array(
        [
            f'{{"path": {path(entry.path)}, "start": {entry.start}, "end": {entry.end}, "added": {entry.added}, '
            f'"removed": {entry.removed}, "state": {word(entry.state.value)}, "reason": {word(entry.reason)}}}'
            for entry in entries
        ]
    )
