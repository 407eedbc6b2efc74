"""A proof as lines of text, and as an object for JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from kilo_review.doctor.egress.record import Row
from kilo_review.doctor.egress.verdict import Proof, Verdict
from kilo_review.sanitize.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1
PROVED = "nothing but loopback was connected to, and no name was looked up"
CONCLUSIONS = {
    Verdict.PROVED: f"proved: {PROVED}",
    Verdict.DISPROVED: "DISPROVED: each line with ! says what is more than a connection to loopback",
    Verdict.NOT_RUN: "nothing is proved: the review could not run",
}
PARTLY = f"proved for what Python does, no more: {PROVED}"
"""Where there was no namespace."""


def lines(proof: Proof) -> Iterator[str]:
    """The proof for a reader, a line at a time."""
    yield f"review: {one_line(_review(proof))}"
    yield f"watched: {one_line(_watched(proof))}"
    for row in proof.watched.record.rows:
        yield f"{one_line(row.what)}: {one_line(_row(row))}"
    if not proof.watched.record.rows:
        yield "connect: nobody"
    yield f"look-up: {one_line(', '.join(proof.watched.record.look_ups)) or 'nothing'}"
    yield f"started: {one_line(_started(proof))}"
    yield from _accounts(proof)
    for limit in proof.limits:
        yield f"not shown: {limit}"
    for problem in proof.problems:
        yield f"! {one_line(problem)}"
    is_partial = proof.verdict is Verdict.PROVED and proof.watched.refusal
    yield f"kilo-review: {PARTLY if is_partial else CONCLUSIONS[proof.verdict]}"


def _review(proof: Proof) -> str:
    if proof.not_run:
        return f"failed: {proof.not_run}"
    reviewed = proof.reviewed
    assert reviewed
    where = f" at {reviewed.base_url}" if reviewed.base_url else ""
    requests = "1 request" if reviewed.requests == 1 else f"{reviewed.requests} requests"
    return f"a built-in change, by {reviewed.model} ({reviewed.provider}{where}): {reviewed.outcome}, {requests}"


def _watched(proof: Proof) -> str:
    if proof.watched.refusal:
        return f"by an audit hook in its process alone, since {proof.watched.refusal}"
    let = [Row("", *place).place for place in proof.watched.passed]
    door = f"; {', '.join(let)} was passed through" if let else ""
    return f"by an audit hook, in a network namespace with nothing but loopback for it and all that it starts{door}"


def _row(row: Row) -> str:
    share = ", the change among them" if row.has_change else ""
    return f"{row.place}, {row.bytes_sent} bytes{share}"


def _started(proof: Proof) -> str:
    names = Counter(PurePath(start.program).name for start in proof.watched.record.starts)
    return ", ".join(f"{name} ({number} times)" if number > 1 else name for name, number in names.items()) or "nothing"


def _accounts(proof: Proof) -> Iterator[str]:
    receipt = [f"{Row('', *place).place} {amount} bytes" for place, amount in proof.receipt().items()]
    if proof.reviewed:
        yield f"receipt of the review: {one_line(', '.join(receipt)) or 'nothing'}"
    counted = proof.watched.counted
    if counted:
        yield (
            f"counted by the kernel: {counted.connections} TCP connections begun, {counted.datagrams} datagrams,"
            f" {counted.without_route} attempts without a route"
        )


def facts(proof: Proof) -> dict[str, Any]:
    """The proof for a program."""
    watched, reviewed = proof.watched, proof.reviewed
    return {
        "version": VERSION,
        "verdict": proof.verdict.value,
        "mode": proof.mode,
        "no_namespace": watched.refusal or None,
        "rows": [_fact(row) for row in watched.record.rows],
        "look_ups": watched.record.look_ups,
        "programs": dict(Counter(start.program for start in watched.record.starts)),
        "libraries": watched.record.libraries,
        "kernel": watched.counted._asdict() if watched.counted else None,
        "passed": [{"address": host, "port": port, "bytes": sent} for (host, port), sent in watched.passed.items()],
        "receipt": [{"address": host, "port": port, "bytes": sent} for (host, port), sent in proof.receipt().items()],
        "review": {
            "exit_code": watched.code,
            "outcome": reviewed.outcome if reviewed else None,
            "provider": reviewed.provider if reviewed else None,
            "model": reviewed.model if reviewed else None,
            "base_url": reviewed.base_url if reviewed else None,
            "failure": proof.not_run or None,
        },
        "problems": proof.problems,
        "limits": proof.limits,
    }


def _fact(row: Row) -> dict[str, Any]:
    return {
        "program": "kilo-review",
        "what": row.what,
        "address": row.address,
        "port": row.port,
        "bytes": row.bytes_sent,
        "has_change": row.has_change,
        "is_loopback": row.is_local,
    }
