"""What is remembered, in the words of the review."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.deadline import Deadline
from kilo_review.core.finding import Status
from kilo_review.core.outcome import State
from kilo_review.ledger.calibration import Calibration
from kilo_review.ledger.codec import (
    UNREADABLE,
    entries_from_blob,
    entries_to_blob,
    findings_from_text,
    findings_to_text,
)
from kilo_review.ledger.store import Store
from kilo_review.sanitize.terminal import json_path, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Entry, Outcome

MOST_VALUES = 500
"""Values in one query; SQLite takes 999 in its oldest builds."""
BEGUN = "its review was begun and did not end"
SWITCHED_OFF = "nothing is remembered (cache = false)"
NEXT_COMMIT = ""
"""In place of a new tree that is not known: the commit that was about to be made on the old one."""
PUSHED = "push "
"""Before the id of the remote's commit, in place of an old tree, where the commits of a push could not be listed."""


class Receipt(NamedTuple):
    """The tree `head` was wholly reviewed against `base`.

    Attributes:
        base: the old tree, or several joined by `+` for a merge.
        head: the new tree.
        identity: by which settings; a review by others has another receipt.
        provider: kind of server that answered.
        model: the model that answered.
        prompts: version of the prompts.
        outcome: `clean`, `findings`, or `not_reviewed` where everything was skipped on purpose.
        findings: what was found, whatever became of it.
        entries: what was looked at.
        at: when, in seconds since 1970.
        answerer: the identity of what answered, see `Outcome.answered_by`.
    """

    base: str
    head: str
    identity: str
    provider: str
    model: str
    prompts: str
    outcome: str
    findings: tuple[Finding, ...] = ()
    entries: tuple[Entry, ...] = ()
    at: float = 0.0
    answerer: str = ""


class Unreviewed(NamedTuple):
    """What a deadline, an outage or an error left out of a change.

    Attributes:
        reason: the commonest one.
        entries: the rows that nobody looked at.
        at: when, in seconds since 1970.
    """

    reason: str
    entries: tuple[Entry, ...] = ()
    at: float = 0.0

    @property
    def hunks(self) -> int:
        """Hunks that are still to be reviewed."""
        return sum(entry.is_hunk for entry in self.entries)

    @property
    def is_final(self) -> bool:
        """Whether another review with the same settings could not look at any of them either."""
        return bool(self.entries) and all(entry.is_final for entry in self.entries)


class Shown(NamedTuple):
    """A finding that somebody has seen, and the trees between which it was found ("" where there are none)."""

    finding: Finding
    base: str
    head: str


@dataclass(slots=True)
class Ledger:
    """Asks and fills the store. See `Store` for what happens where there is none."""

    store: Store
    is_used: bool = True
    """False under --no-cache: nothing is looked up and nothing is kept, but for decisions."""
    is_absent: bool = False
    begun: set[tuple[str, str]] = field(default_factory=set)
    """Changes (base, head) that this run has put on record as not reviewed yet, and has not come to the end of."""
    is_concluded: bool = False
    """Whether this run has recorded what came of a review."""
    has_left: bool = False
    """Whether that is, of one of them at least, that something was not reviewed."""

    @classmethod
    def of(cls, git_folder: Path, deadline: Deadline, *, is_used: bool = True) -> Ledger:
        """The ledger of the repository with this common git directory; nothing is opened yet."""
        return cls(Store(git_folder, deadline), is_used)

    @classmethod
    def absent(cls, folder: Path) -> Ledger:
        """No ledger, for what is in no repository."""
        return cls(Store(folder, Deadline()), is_used=False, is_absent=True)

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    @property
    def off(self) -> str:
        """Why nothing is kept in this run; "" as long as all is well."""
        return self.store.off if self.is_used else SWITCHED_OFF

    # Verdicts

    def verdict(self, key: str, begin: int) -> list[Finding] | None:
        """What was found in a hunk when it was reviewed, or None if it never was.

        Args:
            key: of the hunk.
            begin: the new-side line at which it begins now.
        """
        found = self.store.rows("SELECT findings FROM verdicts WHERE key = ?", key) if self.is_used else []
        if not found:
            return None
        try:
            return findings_from_text(found[0][0], begin=begin)
        except UNREADABLE:  # as if it were not there: the hunk is asked about again
            return None

    def remember(self, verdicts: Mapping[str, tuple[int, Sequence[Finding]]]) -> None:
        """Keep verdicts: by key, the line at which the hunk begins, and what was found."""
        if not self.is_used:
            return
        now = time.time()
        rows = [(key, findings_to_text(found, begin=begin), now) for key, (begin, found) in verdicts.items()]
        self.store.write(("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", rows))

    # Receipts, and what has none

    def receipts(self, changes: Iterable[tuple[str, str]], identity: str) -> dict[tuple[str, str], Receipt]:
        """Receipts of changes (base, head) by the settings that count now."""
        if not self.is_used:
            return {}
        wanted = set(changes)
        heads = sorted({head for _, head in wanted})
        found: dict[tuple[str, str], Receipt] = {}
        for start in range(0, len(heads), MOST_VALUES):
            part = heads[start : start + MOST_VALUES]
            marks = ", ".join("?" * len(part))
            query = f"SELECT {_COLUMNS} FROM receipts WHERE identity = ? AND head IN ({marks})"  # noqa: S608
            for row in self.store.rows(query, identity, *part):
                receipt = _receipt(row) if (row[0], row[1]) in wanted else None
                if receipt is not None:
                    found[row[0], row[1]] = receipt
        return found

    def sign(self, receipt: Receipt, *, unseen: bool = False) -> None:
        """Keep a receipt; what was unreviewed of this change no longer is.

        Args:
            receipt: what was reviewed.
            unseen: whether nobody has been shown its findings yet.
        """
        if not self.is_used:
            return
        row = (
            *(receipt.base, receipt.head, receipt.identity, receipt.provider, printable(receipt.model)),
            receipt.prompts,
            *(receipt.outcome, findings_to_text(receipt.findings), entries_to_blob(receipt.entries)),
            *(int(unseen and bool(receipt.findings)), time.time(), receipt.answerer),
        )
        self.store.write(
            ("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row]),
            ("DELETE FROM unreviewed WHERE base = ? AND head = ?", [(receipt.base, receipt.head)]),
        )
        self._conclude([(receipt.base, receipt.head)])

    def begin(self, changes: Iterable[tuple[str, str]]) -> None:
        """Put on record that changes are not reviewed yet: so a killed review has left its record already."""
        if not self.is_used:
            return
        rows = [(base, head, BEGUN, entries_to_blob(()), time.time()) for base, head in changes]
        if rows and self.store.write((LEAVE_UNLESS_KNOWN, rows)):
            self.begun |= {(row[0], row[1]) for row in rows}

    def leave(self, base: str, head: str, reason: str, entries: Sequence[Entry]) -> bool:
        """Put on record what of a change was not reviewed; whether it is on record."""
        return self.leave_all([(base, head)], reason, entries)

    def leave_all(self, changes: Collection[tuple[str, str]], reason: str, entries: Sequence[Entry] = ()) -> bool:
        """The same of several changes, for one reason."""
        if not self.is_used:
            return False
        blob, now = entries_to_blob(entries), time.time()
        rows = [(base, head, printable(reason), blob, now) for base, head in changes]
        self._conclude(changes)
        self.has_left = True
        # A review that got as far as the hunks knows more than one that did not.
        return self.store.write((LEAVE if entries else LEAVE_UNLESS_MORE_IS_KNOWN, rows))

    def _conclude(self, changes: Iterable[tuple[str, str]]) -> None:
        self.begun.difference_update(changes)
        self.is_concluded = True

    def unreviewed(self, changes: Collection[tuple[str, str]]) -> dict[tuple[str, str], Unreviewed]:
        """What is on record as not reviewed, of these changes (base, head)."""
        if not self.is_used or not changes:
            return {}
        rows = self.store.rows("SELECT base, head, reason, entries, at FROM unreviewed")
        return {
            (base, head): Unreviewed(reason, tuple(_entries(entries) or ()), at)
            for base, head, reason, entries, at in rows
            if (base, head) in changes
        }

    def settle(self, changes: Iterable[tuple[str, str]]) -> None:
        """Nothing is left of these changes (base, head): they were reviewed as parts of a larger one."""
        gone = list(changes)
        self.begun.difference_update(gone)
        if self.is_used:
            self.store.write(("DELETE FROM unreviewed WHERE base = ? AND head = ?", gone))

    def reviewed(self, changes: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the changes (base, head) that have a receipt, by whichever settings."""
        wanted = set(changes)
        rows = self.store.rows("SELECT base, head FROM receipts") if self.is_used and wanted else []
        return wanted.intersection((base, head) for base, head in rows)

    def unresolved(self) -> list[tuple[str, str, str]]:
        """Base, head and reason of what was left out before it was known which change it is."""
        query = "SELECT base, head, reason FROM unreviewed WHERE head = ? OR substr(base, 1, ?) = ? ORDER BY at"
        rows = self.store.rows(query, NEXT_COMMIT, len(PUSHED), PUSHED) if self.is_used else []
        return [(base, head, reason) for base, head, reason in rows]

    def resolve(self, row: tuple[str, str, str], changes: Iterable[tuple[str, str]]) -> None:
        """Replace such a row (base, head, reason) by rows of the changes that it turned out to be."""
        base, head, reason = row
        rows = [(*change, reason, entries_to_blob(()), time.time()) for change in changes]
        if self.is_used:
            self.store.write(
                (LEAVE_UNLESS_KNOWN, rows),
                ("DELETE FROM unreviewed WHERE base = ? AND head = ?", [(base, head)]),
            )

    def all_unreviewed(self) -> list[tuple[str, str]]:
        """Every change (base, head) of which something is on record as not reviewed, the oldest first."""
        rows = self.store.rows("SELECT base, head FROM unreviewed ORDER BY at") if self.is_used else []
        return [(base, head) for base, head in rows]

    def unseen(self) -> list[Receipt]:
        """Receipts with findings that were made in the background and that nobody has seen."""
        if not self.is_used:
            return []
        rows = self.store.rows(f"SELECT {_COLUMNS} FROM receipts WHERE unseen ORDER BY at")  # noqa: S608
        return [receipt for receipt in map(_receipt, rows) if receipt is not None]

    def seen(self, receipts: Iterable[Receipt]) -> None:
        """The findings of these receipts have been shown."""
        rows = [(receipt.base, receipt.head, receipt.identity) for receipt in receipts]
        if self.is_used:
            self.store.write(("UPDATE receipts SET unseen = 0 WHERE base = ? AND head = ? AND identity = ?", rows))

    # Decisions

    def dismissals(self) -> dict[str, str]:
        """Return `Finding.fingerprint` → reason of all that was dismissed; also where nothing else is looked up."""
        return {finding.fingerprint: finding.reason or "" for finding, _ in self.all_dismissed()}

    def all_dismissed(self) -> list[tuple[Finding, float]]:
        """Dismissed findings, each with its reason and the time of its dismissal, the oldest first."""
        rows = [] if self.is_absent else self.store.rows("SELECT finding, reason, at FROM dismissals ORDER BY at")
        found = ((_only(text), reason, at) for text, reason, at in rows)
        return [(finding._replace(reason=reason), at) for finding, reason, at in found if finding is not None]

    def dismiss(self, finding: Finding, reason: str) -> bool:
        """Remember a decision; whether it is kept."""
        name = finding.fingerprint
        row = (name, name, findings_to_text([finding]), printable(reason), time.time())
        return self.store.write(("INSERT OR REPLACE INTO dismissals VALUES (?, ?, ?, ?, ?)", [row]))

    def undismiss(self, finding: Finding) -> bool:
        """Take a decision back; whether that is kept."""
        return self.store.write(("DELETE FROM dismissals WHERE fingerprint = ?", [(finding.fingerprint,)]))

    def shown(self, prefix: str) -> list[Shown]:
        """Findings that were shown and whose fingerprint begins so, the newest first."""
        if self.is_absent or not prefix.isalnum():
            return []
        query = "SELECT finding, base, head FROM shown WHERE fingerprint GLOB ? ORDER BY at DESC"
        found = ((_only(text), base, head) for text, base, head in self.store.rows(query, prefix + "*"))
        return [Shown(finding, base, head) for finding, base, head in found if finding is not None]

    # Speeds

    def calibration(self, model: str) -> Calibration:
        """What is known of a model."""
        query = "SELECT tokens_per_byte, reading, writing, answer FROM calibration WHERE model = ?"
        found = self.store.rows(query, printable(model)) if self.is_used else []
        return Calibration(*found[0]) if found else Calibration()

    def calibrate(self, model: str, measured: Calibration) -> None:
        """Keep what was measured."""
        if not self.is_used or measured == Calibration():
            return
        known = self.calibration(model).mixed(measured)
        row = (printable(model), known.tokens_per_byte, known.reading, known.writing, known.answer, time.time())
        self.store.write(("INSERT OR REPLACE INTO calibration VALUES (?, ?, ?, ?, ?, ?)", [row]))

    # The tally

    def count(self, kind: str, outcome: Outcome, *, held: bool) -> None:
        """Count one run and what it showed.

        Args:
            kind: who asked: `commit`, `push`, `background` or `hand`.
            outcome: what came of it.
            held: whether it stopped a commit or push.
        """
        if not self.is_used or not outcome.entries:
            return
        now, usage = time.time(), outcome.usage
        run = (
            *(kind, outcome.word, usage.requests, outcome.count(State.REVIEWED), outcome.count(State.CACHED)),
            *(outcome.count(State.NOT_REVIEWED), usage.prompt_tokens, usage.completion_tokens),
            *(usage.seconds, int(held), now),
        )
        sightings = [
            (finding.fingerprint, json_path(finding.path), finding.evidence, finding.severity.value, now)
            for finding in outcome.shown
        ]
        self.store.write(
            ("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [run]),
            (SIGHTING, sightings),
            ("INSERT OR REPLACE INTO shown VALUES (?, ?, ?, ?, ?)", _shown(outcome, now)),
        )
        self.store.make_room()

    def open_sightings(self, paths: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """Findings that have been shown and not been seen fixed: path → (fingerprint, evidence)."""
        if not self.is_used:
            return {}
        wanted = {json_path(path): path for path in paths}
        found: dict[str, list[tuple[str, str]]] = {}
        for fingerprint, path, evidence in self.store.rows(
            "SELECT fingerprint, path, evidence FROM sightings WHERE fixed_at IS NULL"
        ):
            if path in wanted:
                found.setdefault(wanted[path], []).append((fingerprint, evidence))
        return found

    def fixed(self, fingerprints: Iterable[str]) -> None:
        """These findings are gone."""
        rows = [(time.time(), fingerprint) for fingerprint in fingerprints]
        if self.is_used:
            self.store.write(("UPDATE sightings SET fixed_at = ? WHERE fingerprint = ?", rows))


LEAVE = "INSERT OR REPLACE INTO unreviewed VALUES (?, ?, ?, ?, ?)"
LEAVE_UNLESS_KNOWN = "INSERT OR IGNORE INTO unreviewed VALUES (?, ?, ?, ?, ?)"
LEAVE_UNLESS_MORE_IS_KNOWN = """INSERT INTO unreviewed VALUES (?, ?, ?, ?, ?) ON CONFLICT (base, head) DO UPDATE
    SET reason = excluded.reason, at = excluded.at WHERE entries = excluded.entries"""
SIGHTING = "INSERT INTO sightings VALUES (?, ?, ?, ?, NULL, ?) ON CONFLICT (fingerprint) DO UPDATE SET fixed_at = NULL"
_COLUMNS = "base, head, identity, provider, model, prompts, outcome, findings, entries, at, answerer"


def _only(text: str) -> Finding | None:
    """The finding of a row, or None if it cannot be read."""
    try:
        return next(iter(findings_from_text(text)), None)
    except UNREADABLE:
        return None


def _shown(outcome: Outcome, now: float) -> list[tuple[str, str, str, str, float]]:
    """Rows of everything that a report shows with an id."""
    base, head = outcome.target.base or "", outcome.target.head or ""
    return [
        (finding.fingerprint, findings_to_text([finding]), base, head, now)
        for finding in outcome.findings
        if finding.status not in {Status.SUPPRESSED, Status.BASELINE}
    ]


def _receipt(row: tuple[Any, ...]) -> Receipt | None:
    """A receipt; None if its row cannot be read, as if it were not there."""
    base, head, identity, provider, model, prompts, outcome, findings, entries, at, answerer = row
    remembered = _entries(entries)
    try:
        found = tuple(findings_from_text(findings))
    except UNREADABLE:
        return None
    if remembered is None:
        return None
    return Receipt(base, head, identity, provider, model, prompts, outcome, found, remembered, at, answerer)


def _entries(data: bytes) -> tuple[Entry, ...] | None:
    """Rows as those of a later run: what was reviewed then is known from memory now. None if unreadable."""
    try:
        rows = entries_from_blob(data)
    except UNREADABLE:
        return None
    return tuple(
        replace(entry, state=State.CACHED) if entry.state is State.REVIEWED else entry for entry in rows
    )  # fmt: skip
