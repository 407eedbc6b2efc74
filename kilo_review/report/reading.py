"""A JSON report, version 1 → the outcome that it was made of, as far as it tells; strict, since it decides a build."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import FINGERPRINT, Category, Finding, Severity, Status
from kilo_review.core.outcome import MOST_SHARDS, Egress, Entry, ModelInfo, Outcome, State, Target, TargetKind, Usage
from kilo_review.judge.policy import ExitCode
from kilo_review.report.json import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    Value = TypeVar("Value")

Row = dict[str, Any]
LARGEST = 10**15
"""Of a number."""
OBJECT_ID = r"[0-9a-f]{40}(?:[0-9a-f]{24})?"


def outcome_of(data: bytes, name: str) -> Outcome:
    """Read a report.

    Args:
        data: the file's bytes.
        name: what the file is called in messages.

    Raises:
        ConfigError: it is damaged, newer, or no report.
    """
    try:
        report = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is no JSON: {error}") from None
    if not isinstance(report, dict) or report.get("version") != VERSION:
        raise ConfigError(
            f"{name} is no report of version {VERSION}", hint="Make it with: kilo-review ci --format json"
        )
    try:
        return _outcome(report)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{name} is damaged ({type(error).__name__}: {error})") from None


def _outcome(report: Row) -> Outcome:
    target, model = _get(report, "target", dict), report["model"]
    found = Outcome(
        Target(TargetKind(target["kind"]), _object_id(target, "base"), _object_id(target, "head")),
        model=None if model is None else _model(model),
        findings=[_finding(row) for row in _get(report, "findings", list)],
        entries=[_entry(row) for row in _get(_get(report, "coverage", dict), "entries", list)],
        usage=_usage(_get(report, "usage", dict)),
        egress=[_egress(row) for row in _get(report, "egress", list)],
        failure=_maybe(report, "failure", str) or "",
        notes=[_text(note) for note in report.get("notes", [])],
        interrupted=_get(report, "exit_code", int) == ExitCode.INTERRUPTED,
        shard=_shard(report),
        division=_maybe(report.get("shard") or {}, "division", str) or "",
        commit=_object_id(report, "commit") or "",
    )
    _check(found, report)
    return found


def _check(found: Outcome, report: Row) -> None:
    """Hold what was read against what the report says of itself: nothing was lost from it, and all was looked at."""
    counts = {state.value: found.count(state) for state in State}
    if counts[State.PLANNED]:
        raise ValueError("it is of a dry run, which looks at nothing")
    told = _get(report, "coverage", dict)
    wrong = [state for state, count in counts.items() if told.get(state, 0) != count]
    is_blocking = any(finding.blocking for finding in found.findings)
    wrong += ["outcome"] if report["outcome"] != found.word else []
    wrong += ["blocking"] if report["blocking"] is not is_blocking else []
    wrong += ["exit_code"] if report["exit_code"] == ExitCode.BLOCKED and not is_blocking else []
    if wrong:
        raise ValueError(f"its {wrong[0]} does not agree with its rows")


def _object_id(target: Row, name_of: str) -> str | None:
    """The id of a tree or a commit: git is asked about it, so it must be nothing else."""
    name = _maybe(target, name_of, str)
    if name is not None and not re.fullmatch(OBJECT_ID, name):
        raise ValueError(f"{name_of} is no object id")
    return name


def _shard(report: Row) -> tuple[int, int] | None:
    shard = _maybe(report, "shard", dict)
    if shard is None:
        return None
    index, of = _get(shard, "index", int), _get(shard, "of", int)
    if not 1 <= index <= of <= MOST_SHARDS:
        raise ValueError(f"shard {index} of {of} is none")
    return index, of


def _finding(row: Row) -> Finding:
    return Finding(
        path=_get(row, "path", str),
        line=_get(row, "line", int),
        end_line=_get(row, "end_line", int),
        severity=Severity(row["severity"]),
        category=Category(row["category"]),
        title=_get(row, "title", str),
        message=_get(row, "message", str),
        evidence=_get(row, "evidence", str),
        status=Status(row["status"]),
        blocking=_get(row, "blocking", bool),
        suggestion=_maybe(row, "suggestion", str),
        reason=_maybe(row, "reason", str),
        known_as=_fingerprint(row),
    )


def _entry(row: Row) -> Entry:
    return Entry(
        path=_get(row, "path", str),
        start=_get(row, "start", int),
        end=_get(row, "end", int),
        added=_get(row, "added", int),
        removed=_get(row, "removed", int),
        state=State(row["state"]),
        reason=_maybe(row, "reason", str),
        is_hunk=_get(row, "start", int) > 0 or _get(row, "removed", int) > 0,
    )


def _model(row: Row) -> ModelInfo:
    return ModelInfo(
        provider=_get(row, "provider", str),
        name=_get(row, "name", str),
        base_url=_maybe(row, "base_url", str),
        window=_maybe(row, "window", int),
        local=_get(row, "local", bool),
    )


def _usage(row: Row) -> Usage:
    return Usage(
        requests=_get(row, "requests", int),
        prompt_tokens=_get(row, "prompt_tokens", int),
        cached_prompt_tokens=_get(row, "cached_prompt_tokens", int),
        completion_tokens=_get(row, "completion_tokens", int),
        seconds=_seconds(row, "seconds"),
        model_seconds=_seconds(row, "model_seconds"),
    )


def _seconds(row: Row, name: str) -> float:
    value = row[name]
    if not isinstance(value, (int, float)) or not 0 <= value <= LARGEST:
        raise TypeError(f"{name} is no number of seconds")
    return float(value)


def _egress(row: Row) -> Egress:
    counts = _get(row, "bytes_sent", int), _get(row, "requests", int)
    address = _get(row, "address", str)
    ip_address(address)  # a ValueError otherwise
    return Egress(_get(row, "url", str), address, *counts)


def _fingerprint(row: Row) -> str:
    """It stands in reports and comments as it is."""
    fingerprint = _get(row, "fingerprint", str)
    if not re.fullmatch(FINGERPRINT, fingerprint):
        raise ValueError("fingerprint is none")
    return fingerprint


def _get(row: Mapping[str, Any], name: str, kind: type[Value]) -> Value:
    value = row[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{name} is no {kind.__name__}")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"{name} is too large")
    if isinstance(value, str):
        value.encode()  # half a character, which no report could hold, is a ValueError
    return value


def _maybe(row: Mapping[str, Any], name: str, kind: type[Value]) -> Value | None:
    return None if row.get(name) is None else _get(row, name, kind)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a note is no text")
    value.encode()
    return value
