"""Accepted findings: a file that reads as it was written, and a subtraction that never takes more than it may."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fuzz.strategies import damaged, hostile_text, json_values, one_of_these
from fuzz.target import machine_of, property_of
from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Finding, Severity, Status, digest
from kilo_review.judge import baseline
from kilo_review.judge.baseline import COUNTED, Accepted, Baseline, Known, accepted
from kilo_review.sanitize.terminal import printable

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

# The file

whole_text = hostile_text.map(printable)
entries: SearchStrategy[Accepted] = st.builds(
    Accepted,
    path=whole_text,
    category=st.sampled_from([category.value for category in Category]),
    code=whole_text,
    symbol=whole_text,
    status=st.sampled_from(["baseline", "dismissed"]),
    times=st.integers(1, baseline.MOST),
    reason=whole_text,
    fingerprint=whole_text,
)
WORDS = (
    *(b'{"version": 1, "findings": []}', b'"version": 2', b'"status": "active"', b'"times": 0'),
    *(b'"times": -1', b"<<<<<<< HEAD\n"),
    *(b"\xef\xbb\xbf", b'"times": true', b'"times": 1.5', b'"category": "x"', b"null", b"[]", b"9" * 5000, b"[" * 3000),
)  # fmt: skip


class Written(NamedTuple):
    """A file, and what it holds if it is undamaged."""

    data: bytes
    baseline: tuple[Accepted, ...] | None = None


@st.composite
def files(draw: DrawFn) -> Written:
    """Baselines as they are written, with a value of another kind, damaged, and other JSON."""
    held = tuple(draw(st.lists(entries, max_size=3)))
    data = baseline.to_text(held).encode()
    way = draw(st.sampled_from(["whole", "damaged", "typed", "other"]))
    if way == "whole":
        return Written(data, held)
    if way == "damaged":
        return Written(draw(damaged(data, WORDS)))
    content = json.loads(data)
    rows = content["findings"]
    if way == "typed" and rows:
        rows[0][draw(st.sampled_from([*baseline.FIELDS, "more"]))] = draw(json_values)
        return Written(json.dumps(content).encode())
    return Written(json.dumps({"version": 1, "findings": draw(json_values)}).encode())


def check_file(written: Written) -> None:
    """A file that is read has the right kinds of values, and reads the same when it is written again."""
    try:
        held = baseline.from_bytes(written.data, "x")
    except ConfigError as error:
        assert written.baseline is None, "what was written cannot be read"
        assert "\n" not in error.message.partition(":")[0]
        return
    for entry in held:
        assert all(isinstance(value, str) for name, value in entry._asdict().items() if name != "times")
        assert entry.times >= 1
    whole = baseline.combined(held)
    is_full = any(entry.times == baseline.MOST for entry in whole)
    assert is_full or sum(entry.times for entry in whole) == sum(entry.times for entry in held)
    assert baseline.combined(whole) == whole
    again = baseline.from_bytes(baseline.to_text(held).encode(), "x")
    assert again == whole
    assert written.baseline is None or whole == baseline.combined(written.baseline)


# The subtraction

PATHS, CODES, SYMBOLS = ("a.py", "b.py", "\udce9"), ("x = 1", "x  =  1", "return None", "\x1b"), ("", "def f()")


class KnownMachine(RuleBasedStateMachine):
    """Findings held against a baseline one after the other, beside an account of what each entry has left."""

    @initialize(
        held=st.lists(st.tuples(st.deferred(lambda: findings), st.integers(1, 3)), max_size=4),
        dismissed=st.lists(st.deferred(lambda: findings), max_size=1),
        renamed=st.dictionaries(one_of_these(PATHS), one_of_these(PATHS)),
        hides=st.booleans(),
    )
    def begin(
        self, held: list[tuple[Finding, int]], dismissed: list[Finding], renamed: dict[str, str], hides: bool
    ) -> None:
        self.baseline: Baseline = baseline.combined(accepted(each, "r")._replace(times=times) for each, times in held)
        self.dismissed = {finding.fingerprint for finding in dismissed}
        self.renamed, self.hides = renamed, hides
        self.known = Known(self.baseline, dict.fromkeys(self.dismissed, "d"), self._names)
        self.marked = 0

    def _names(self, finding: Finding) -> list[str]:
        earlier = finding._replace(path=self.renamed.get(finding.path, finding.path))
        return [finding.fingerprint, earlier.fingerprint] if self.hides else []

    @rule(finding=st.deferred(lambda: findings))
    def mark(self, finding: Finding) -> None:
        left = self.known.unused
        marked = self.known.mark(finding)
        if finding.status not in COUNTED:
            assert marked == finding
        elif self.dismissed & {*self._names(finding)}:
            assert marked.status is Status.DISMISSED
        elif marked.status is Status.BASELINE:
            self.marked += 1
            (used,) = {*left} - {*self.known.unused}
            assert self._may_stand_for(used, finding)
        else:
            assert marked == finding
            assert not any(self._may_stand_for(entry, finding) for entry in left)
        if marked.status is not Status.BASELINE:
            assert self.known.unused == left

    @invariant()
    def nothing_is_used_twice(self) -> None:
        if hasattr(self, "known"):
            total = sum(entry.times for entry in self.baseline)
            assert sum(entry.times for entry in self.known.unused) + self.marked == total

    def _may_stand_for(self, entry: Accepted, finding: Finding) -> bool:
        """The same place, under its own name or the one that its file had."""
        return entry.fingerprint in self._names(finding)


findings: SearchStrategy[Finding] = st.builds(
    Finding,
    path=one_of_these(PATHS),
    line=st.integers(1, 9),
    end_line=st.integers(1, 9),
    severity=st.sampled_from(Severity),
    category=st.sampled_from([Category.BUG, Category.BUG, Category.API]),
    title=st.just("t"),
    message=st.just("m"),
    evidence=one_of_these(CODES),
    symbol=one_of_these(SYMBOLS),
    status=st.sampled_from([Status.ACTIVE, Status.ACTIVE, Status.UNANCHORED, Status.REFUTED]),
    suggestion=st.none(),
    reason=st.none(),
    rule=st.just(""),
    blocking=st.just(value=False),
    known_as=st.just(""),
)
ROW: dict[str, Any] = {
    "path": "a.py",
    "category": "bug",
    "code": "x = 1",
    "symbol": "",
    "status": "baseline",
    "times": 2,
    "reason": "r",
    "fingerprint": digest("x"),
}
TARGETS = {
    "baseline": property_of(
        check_file,
        files(),
        read=Written,
        seeds=(json.dumps({"version": 1, "findings": [ROW]}).encode(), b'{"version": 1, "findings": []}'),
        words=WORDS,
    ),
    "known": machine_of(KnownMachine),
}
