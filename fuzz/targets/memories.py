"""The ledger: rows of any kind are read or are as if they were not there; what is read is what was written."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from fuzz.strategies import any_text, damaged, hostile_text, json_values, numbers
from fuzz.target import machine_of, property_of
from kilo_review.core.deadline import Deadline
from kilo_review.core.finding import Category, Finding, Severity, Status, digest
from kilo_review.core.outcome import Entry, State
from kilo_review.ledger import codec
from kilo_review.ledger.records import Ledger, Receipt
from kilo_review.sanitize.terminal import printable
from kilo_review.source.diff import decode_path

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

# Rows

findings: SearchStrategy[Finding] = st.builds(
    Finding,
    path=st.binary(max_size=9).map(decode_path),
    line=st.integers(-(10**40), 10**40),
    end_line=st.integers(0, 2**63),
    severity=st.sampled_from(Severity),
    category=st.sampled_from(Category),
    title=any_text,
    message=hostile_text,
    evidence=hostile_text,
    symbol=any_text,
    status=st.sampled_from(Status),
    suggestion=st.none() | any_text,
    reason=st.none() | any_text,
    rule=any_text,
    blocking=st.just(value=False),  # not kept
    known_as=st.just(""),
)
entries: SearchStrategy[Entry] = st.builds(
    Entry,
    path=hostile_text,
    start=numbers,
    end=numbers,
    added=numbers,
    removed=numbers,
    state=st.sampled_from(State),
    reason=any_text.filter(bool),
    is_hunk=st.booleans(),
)
KEPT = [field for field in Finding._fields if field != "blocking"]


class Stored(NamedTuple):
    """What stands in two columns, and what was written there if that is undamaged."""

    text: str
    blob: bytes
    findings: list[Finding] | None = None
    entries: list[Entry] | None = None


@st.composite
def rows(draw: DrawFn) -> Stored:
    """Rows as this version writes them, damaged ones, and others."""
    found, seen = draw(st.lists(findings, max_size=2)), draw(st.lists(entries, max_size=2))
    text, blob = codec.findings_to_text(found), codec.entries_to_blob(seen)
    way = draw(st.sampled_from(["whole", "damaged", "other", "typed"]))
    if way == "whole":
        return Stored(text, blob, found, seen)
    if way == "damaged":
        raw = draw(damaged(zlib.decompress(blob), (b"null", b"1.5", b'"reviewed"', b"[]")))
        return Stored(
            draw(damaged(text.encode(), (b"null", b"1.5", b'"bug"'))).decode("utf-8", "replace"), zlib.compress(raw)
        )
    if way == "typed":  # one value of another kind, in a row of the right length
        row = json.loads(codec.findings_to_text([draw(findings)]))
        row[0][draw(st.integers(0, len(row[0]) - 1))] = draw(json_values)
        other = [["a", 1, 2, 3, 4, "reviewed", None, True]]
        other[0][draw(st.integers(0, 7))] = draw(json_values)
        return Stored(json.dumps(row), zlib.compress(json.dumps(other).encode()))
    value = json.dumps(draw(json_values))
    return Stored(value, draw(st.just(zlib.compress(value.encode())) | st.binary(max_size=20)))


def check_rows(stored: Stored) -> None:
    """What was written is read; what is read is of the right kind, or is called unreadable."""
    try:
        found = codec.findings_from_text(stored.text, begin=7)
    except codec.UNREADABLE:
        assert stored.findings is None
    else:
        assert all(map(_is_finding, found))
        again = codec.findings_from_text(codec.findings_to_text(found, begin=7), begin=7)
        assert again == found
        if stored.findings is not None:
            assert [_told(finding, 7) for finding in stored.findings] == [_told(finding, 0) for finding in found]
    try:
        seen = codec.entries_from_blob(stored.blob)
    except codec.UNREADABLE:
        assert stored.entries is None
    else:
        assert all(map(_is_entry, seen))
        assert codec.entries_from_blob(codec.entries_to_blob(seen)) == seen
        assert stored.entries is None or seen == stored.entries


def _told(finding: Finding, lines: int) -> tuple[Any, ...]:
    values = {name: getattr(finding, name) for name in KEPT}
    return (*(values | {"line": finding.line + lines, "end_line": finding.end_line + lines}).values(),)


def _is_finding(finding: Any) -> bool:
    texts = (finding.path, finding.title, finding.message, finding.evidence, finding.symbol, finding.rule)
    perhaps = (finding.suggestion, finding.reason)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in perhaps)
        and type(finding.line) is type(finding.end_line) is int
        and isinstance(finding.severity, Severity)
        and isinstance(finding.category, Category)
        and isinstance(finding.status, Status)
    )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry.path, str)
        and all(isinstance(number, int) for number in (entry.start, entry.end, entry.added, entry.removed))
        and isinstance(entry.state, State)
        and (entry.reason is None or isinstance(entry.reason, str))
        and type(entry.is_hunk) is bool
    )


def _stored(raw: bytes) -> Stored:
    text, _, blob = raw.partition(b"\x1e")
    return Stored(text.decode("utf-8", "surrogateescape"), zlib.compress(blob) if blob[:1] == b"[" else blob)


# The file

WORDS = [digest(str(number)) for number in range(5)]
"""Keys and tree ids, no two of which become the same by a few damaged bytes."""
keys = st.sampled_from(WORDS)
changes = st.tuples(keys, keys)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger, used by two processes and damaged at times, beside dictionaries that say what it must answer."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="kilo-fuzz-"))
        self.open = [self._ledger(), self._ledger()]
        self.verdicts: dict[str, list[Finding]] = {}
        self.receipts: dict[tuple[str, str], Receipt] = {}
        self.left: dict[tuple[str, str], tuple[str, tuple[Entry, ...]]] = {}
        self.dismissed: dict[str, str] = {}
        self.is_damaged = False

    def _ledger(self) -> Ledger:
        return Ledger.of(self.folder, Deadline())

    def teardown(self) -> None:
        for ledger in self.open:
            ledger.close()
        shutil.rmtree(self.folder)

    # What is written

    @rule(who=st.integers(0, 1), key=keys, found=st.lists(findings, max_size=2), begin=st.integers(0, 99))
    def remember(self, who: int, key: str, found: list[Finding], begin: int) -> None:
        marked = [_marked(finding, key) for finding in found]
        self.open[who].remember({key: (begin, marked)})
        self.verdicts[key] = [_moved(finding, -begin) for finding in marked]

    @rule(
        who=st.integers(0, 1),
        change=changes,
        found=st.lists(findings, max_size=1),
        seen=st.lists(entries, max_size=2),
        unseen=st.booleans(),
    )
    def sign(self, who: int, change: tuple[str, str], found: list[Finding], seen: list[Entry], unseen: bool) -> None:
        receipt = Receipt(*change, "i", "p", "m", "v", "findings", tuple(found), tuple(seen))
        self.open[who].sign(receipt, unseen=unseen)
        self.receipts[change] = receipt
        self.left.pop(change, None)

    @rule(who=st.integers(0, 1), change=changes, reason=any_text, seen=st.lists(entries, max_size=2))
    def leave(self, who: int, change: tuple[str, str], reason: str, seen: list[Entry]) -> None:
        assert self.open[who].leave(*change, reason, seen) or self.is_damaged
        if seen or change not in self.left or not self.left[change][1]:
            self.left[change] = printable(reason), tuple(seen)

    @rule(who=st.integers(0, 1), change=changes)
    def settle(self, who: int, change: tuple[str, str]) -> None:
        self.open[who].settle([change])
        self.left.pop(change, None)

    @rule(who=st.integers(0, 1), finding=findings, reason=any_text)
    def dismiss(self, who: int, finding: Finding, reason: str) -> None:
        finding = _marked(finding, "")
        assert self.open[who].dismiss(finding, reason) or self.is_damaged
        self.dismissed[finding.fingerprint] = printable(reason)

    @rule(who=st.integers(0, 1), finding=findings)
    def undismiss(self, who: int, finding: Finding) -> None:
        finding = _marked(finding, "")
        self.open[who].undismiss(finding)
        self.dismissed.pop(finding.fingerprint, None)

    # What happens to it

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.open[who].close()
        self.open[who] = self._ledger()

    @precondition(lambda self: self.open[0].store.path.exists())
    @rule(seed=st.integers(0, 2**32), length=st.sampled_from([1, 16, 4096]), wal=st.booleans())
    def damage(self, seed: int, length: int, wal: bool) -> None:
        """Other bytes at some place, as a bad disk or another program leaves them."""
        path = self.open[0].store.path
        path = path.with_name(path.name + "-wal") if wal else path
        if path.exists() and path.stat().st_size:
            chance = random.Random(seed)
            with path.open("r+b") as file:
                file.seek(chance.randrange(path.stat().st_size))
                file.write(chance.randbytes(length))
            self.is_damaged = True

    @precondition(lambda self: self.open[0].store.path.exists())
    @rule(share=st.floats(0, 1))
    def truncate(self, share: float) -> None:
        for ledger in self.open:
            ledger.close()
        path = self.open[0].store.path
        with path.open("r+b") as file:
            file.truncate(int(share * path.stat().st_size))
        self.is_damaged = True

    # What is read

    @rule(who=st.integers(0, 1), key=keys, begin=st.integers(0, 99))
    def verdict(self, who: int, key: str, begin: int) -> None:
        found = self.open[who].verdict(key, begin)
        written = self.verdicts.get(key)
        expected = None if written is None else [_moved(finding, begin) for finding in written]
        assert found == expected or (self.is_damaged and (found is None or _is_of(found, key)))

    @rule(who=st.integers(0, 1), wanted=st.lists(changes, max_size=4))
    def read_receipts(self, who: int, wanted: list[tuple[str, str]]) -> None:
        found = self.open[who].receipts(wanted, "i")
        assert found.keys() <= set(wanted)
        for change in wanted:
            self._compare(found.get(change), self.receipts.get(change))
        assert self.open[who].receipts(wanted, "other settings") == {}

    def _compare(self, found: Receipt | None, written: Receipt | None) -> None:
        if found is None or written is None:
            assert found is written or (self.is_damaged and found is None)
            return
        assert (found.base, found.head, found.identity) == (written.base, written.head, written.identity)
        if not self.is_damaged:
            assert (found.findings, found.entries) == (written.findings, _cached(written.entries))

    @rule(who=st.integers(0, 1), wanted=st.lists(changes, max_size=4))
    def read_unreviewed(self, who: int, wanted: list[tuple[str, str]]) -> None:
        found = self.open[who].unreviewed(wanted)
        assert found.keys() <= set(wanted)
        if not self.is_damaged:
            expected = {change: self.left[change] for change in wanted if change in self.left}
            assert {change: (each.reason, each.entries) for change, each in found.items()} == {
                change: (reason, _cached(seen)) for change, (reason, seen) in expected.items()
            }
            assert set(self.open[who].all_unreviewed()) == self.left.keys()

    @rule(who=st.integers(0, 1))
    def read_dismissals(self, who: int) -> None:
        found = self.open[who].dismissals()
        assert found == self.dismissed or self.is_damaged
        assert {type(text) for row in found.items() for text in row} <= {str}
        for finding, at in self.open[who].all_dismissed():
            assert (finding.fingerprint in found and at > 0) or self.is_damaged

    @rule(who=st.integers(0, 1))
    def is_well(self, who: int) -> None:
        store = self.open[who].store
        assert self.is_damaged or (store.off == "" and store.notes == [])


def _marked(finding: Finding, key: str) -> Finding:
    """A finding that says whose it is."""
    return finding._replace(title=key, evidence=printable(finding.evidence), symbol=printable(finding.symbol))


def _moved(finding: Finding, lines: int) -> Finding:
    return finding._replace(line=finding.line + lines, end_line=finding.end_line + lines)


def _is_of(found: list[Finding], key: str) -> bool:
    """Whether nothing in it is another key's; a damaged byte in its own text cannot be told."""
    return all(finding.title not in set(WORDS) - {key} for finding in found)


def _cached(seen: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return tuple(replace(each, state=State.CACHED) if each.state is State.REVIEWED else each for each in seen)


ROW = b'[["a.py", 1, 2, "major", "bug", "t", "m", "e", "", "active", null, null, ""]]\x1e'
TARGETS = {
    "ledger-rows": property_of(
        check_rows,
        rows(),
        read=_stored,
        seeds=(ROW + b'[["a", 1, 2, 3, 4, "reviewed", null, true]]', b"[" * 100_000, b"[]\x1e" + zlib.compress(b"[]")),
        words=(b'"active"', b'"bug"', b"null", b"1.5", b'"skipped"', b"[]", b"\x1e["),
    ),
    "ledger": machine_of(LedgerMachine),
}
