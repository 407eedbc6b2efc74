"""Findings that the project has accepted: a file of fingerprints with reasons, subtracted with multiplicity.

The file is JSON, versioned and sorted, one finding a line group, so that two branches that both add to it merge.
An entry holds for its file and enclosing symbol: lines may be inserted above it, and git may see the file renamed, but
the same line elsewhere is another finding.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Finding, Status
from kilo_review.core.safe_file import has_large_number
from kilo_review.sanitize.terminal import json_path, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

VERSION = 1
FILE = ".kilo-review/baseline.json"
NO_REASON = "it was there when the baseline was made"
MOST_ENTRIES = 20_000
"""One second of reading, at each commit."""
MOST = 10**9
"""Of equal findings that one entry accepts."""
FIELDS = ("path", "category", "code", "symbol", "status", "times", "reason", "fingerprint")
COUNTED = frozenset({Status.ACTIVE, Status.UNANCHORED})


class Accepted(NamedTuple):
    """One entry.

    Attributes:
        path: of the file, as JSON shows it.
        category: what kind of defect.
        code: the first line of the evidence.
        symbol: the enclosing heading, or "".
        status: `baseline` where it counts as often as `times` says, `dismissed` where it always counts.
        times: how many such findings are accepted.
        reason: why.
        fingerprint: see `Finding.fingerprint`.
    """

    path: str
    category: str
    code: str
    symbol: str
    status: str
    times: int
    reason: str
    fingerprint: str


Baseline = tuple[Accepted, ...]


def accepted(finding: Finding, reason: str, status: Status = Status.BASELINE) -> Accepted:
    """The entry for a finding."""
    return Accepted(
        *(json_path(finding.path), finding.category.value, printable(finding.code), printable(finding.symbol)),
        *(status.value, 1, printable(reason), finding.fingerprint),
    )


def combined(entries: Iterable[Accepted]) -> Baseline:
    """Sorted; equal ones are counted together."""
    counts: Counter[Accepted] = Counter()
    for entry in entries:
        counts[entry._replace(times=0)] += entry.times
    return tuple(sorted(entry._replace(times=min(count, MOST)) for entry, count in counts.items()))


def to_text(baseline: Iterable[Accepted]) -> str:
    """The file's content."""
    rows = [entry._asdict() for entry in combined(baseline)]
    return json.dumps({"version": VERSION, "findings": rows}, indent=1) + "\n"


def from_bytes(data: bytes, origin: str) -> Baseline:
    """Read the file's content.

    Raises:
        ConfigError: it is damaged, or of a newer version; it is never taken for an empty one.
    """
    restore = f"Restore {origin} from git, or make it anew: kilo-review baseline create"
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        conflict = "; it holds a merge conflict" if b"<<<<<<<" in data else ""
        raise ConfigError(f"the baseline {origin} is not valid JSON{conflict}: {error}", hint=restore) from None
    if has_large_number(content):
        raise ConfigError(f"the baseline {origin} is damaged: it has a number of more than 64 bits in it", hint=restore)
    if not isinstance(content, dict) or type(content.get("version")) is not int:
        raise ConfigError(f"the baseline {origin} is damaged: it has no version", hint=restore)
    if content["version"] != VERSION:
        raise ConfigError(
            f"the baseline {origin} has version {content['version']}, and this program reads {VERSION}",
            hint="Use the version of kilo-review that wrote it",
        )
    rows = content.get("findings")
    if not isinstance(rows, list):
        raise ConfigError(f"the baseline {origin} is damaged: it has no list of findings", hint=restore)
    if len(rows) > MOST_ENTRIES:
        raise ConfigError(
            f"the baseline {origin} has {len(rows)} entries; {MOST_ENTRIES} are the limit",
            hint="Exclude folders that are not to be reviewed: exclude, in .kilo-review.toml",
        )
    try:
        return combined(_entry(row) for row in rows)  # a merge may have left two of the same
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the baseline {origin} is damaged: {error!a}", hint=restore) from None


def _entry(row: dict[str, Any]) -> Accepted:
    if set(row) != set(FIELDS):
        raise ValueError(f"an entry has not the keys {', '.join(FIELDS)}")
    right = all(type(row[name]) is (int if name == "times" else str) for name in FIELDS)
    if not right or not 1 <= row["times"] <= MOST:
        raise ValueError("an entry has a value of the wrong kind")
    if any(printable(row[name]) != row[name] for name in FIELDS if name != "times"):
        raise ValueError("an entry has a character that no text has")
    if Status(row["status"]) not in {Status.BASELINE, Status.DISMISSED}:
        raise ValueError(f"{row['status']!a} is no status of an entry")
    Category(row["category"])
    return Accepted(**row)


class Known:
    """What is accepted or dismissed, while one review's findings are held against it.

    Attributes:
        moved: findings that are known by another name than their own, with the reason of their dismissal: git sees
            their file renamed, and the next review will not.
    """

    def __init__(
        self, baseline: Baseline, dismissals: Mapping[str, str], aliases_of: Callable[[Finding], Sequence[str]]
    ) -> None:
        """Begin with every entry's whole count.

        Args:
            baseline: the project's file.
            dismissals: `Finding.fingerprint` → reason, of this clone.
            aliases_of: the fingerprints by which a finding may be known; none for one that nothing may hide.
        """
        self.moved: list[tuple[Finding, str]] = []
        self._left = {entry: entry.times for entry in baseline if entry.status == Status.BASELINE}
        self._entries: dict[str, list[Accepted]] = {}
        for entry in self._left:
            self._entries.setdefault(entry.fingerprint, []).append(entry)
        shared = {entry.fingerprint: entry.reason for entry in baseline if entry.status == Status.DISMISSED}
        self._dismissed = {**shared, **dismissals}
        self._aliases_of = aliases_of

    def mark(self, finding: Finding) -> Finding:
        """Return the finding, out of the count if it has been accepted or dismissed."""
        if finding.status not in COUNTED or not (self._dismissed or self._left):
            return finding
        names = self._aliases_of(finding)
        name = next((each for each in names if each in self._dismissed), None)
        if name is not None:
            reason = self._dismissed[name]
            self.moved += [(finding, reason)] if name != finding.fingerprint else []
            return finding._replace(status=Status.DISMISSED, reason=reason or None)
        entry = next((each for name in names for each in self._entries.get(name, ()) if self._left[each]), None)
        if entry is None:
            return finding
        self._left[entry] -= 1
        return finding._replace(status=Status.BASELINE, reason=entry.reason or None)

    @property
    def unused(self) -> list[Accepted]:
        """Entries that met no finding, each with the count that is left of it."""
        return [entry._replace(times=left) for entry, left in self._left.items() if left]


def is_current(finding: Finding, known: Known) -> bool:
    """Whether the mark that a remembered finding has would be given to it again."""
    return known.mark(revived(finding)).status is finding.status or finding.status in COUNTED


def revived(finding: Finding) -> Finding:
    """A remembered finding as it was before it was accepted or dismissed."""
    if finding.status in {Status.DISMISSED, Status.BASELINE}:
        return finding._replace(status=Status.ACTIVE, reason=None)
    return finding
