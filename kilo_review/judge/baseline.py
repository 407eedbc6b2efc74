"""Findings that the project has accepted: a file of fingerprints with reasons, subtracted with multiplicity.

The file is JSON, versioned and sorted, one finding a line group, so that two branches that both add to it merge.
A finding keeps its entry when lines are inserted above it, its function is renamed or its code moves.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.display import json_path, printable
from kilo_review.errors import ConfigError
from kilo_review.finding import Category, Finding, Status, fold, kin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
        status: `baseline` where it counts for this place, `dismissed` where it counts for this code anywhere.
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

    @property
    def kin(self) -> str:
        """See `Finding.kin`."""
        return kin_of(self.category, self.code, self.symbol, self.path)


Baseline = tuple[Accepted, ...]


class Text(NamedTuple):
    """A file of the new tree, without white space.

    Attributes:
        lines: how often it has each line.
        whole: all of it, in order.
    """

    lines: Counter[str]
    whole: str

    @classmethod
    def of(cls, content: bytes) -> Text:
        """Of a file's bytes."""
        lines = [fold(printable(line)) for line in content.decode("utf-8", "replace").split("\n")]
        return cls(Counter(lines), "".join(lines))

    def has(self, symbol: str) -> bool:
        """Whether the innermost heading of a symbol is there."""
        return fold(symbol.rsplit(" > ", 1)[-1].removesuffix("…")) in self.whole


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
    if not isinstance(content, dict) or not isinstance(content.get("version"), int):
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
    """What is accepted or dismissed, while one review's findings are held against it."""

    def __init__(
        self, baseline: Baseline, dismissals: Mapping[str, str], text_of: Callable[[str], Text | None]
    ) -> None:
        """Begin with every entry's whole count.

        Args:
            baseline: the project's file.
            dismissals: `Finding.kin` → reason, of this clone.
            text_of: a file of the new tree, by its path as the baseline writes it; None where nobody can tell.
        """
        self._left = {entry: entry.times for entry in baseline if entry.status == Status.BASELINE}
        shared = {entry.kin: entry.reason for entry in baseline if entry.status == Status.DISMISSED}
        self._dismissed = {**shared, **dismissals}
        self._text_of = text_of

    def mark(self, finding: Finding) -> Finding:
        """The finding, out of the count if somebody has taken it out."""
        if finding.status not in COUNTED:
            return finding
        if finding.kin in self._dismissed:
            return finding._replace(status=Status.DISMISSED, reason=self._dismissed[finding.kin] or None)
        entry = self._entry_for(finding)
        if entry is None:
            return finding
        self._left[entry] -= 1
        return finding._replace(status=Status.BASELINE, reason=entry.reason or None)

    @property
    def unused(self) -> list[Accepted]:
        """Entries that met no finding, each with the count that is left of it."""
        return [entry._replace(times=left) for entry, left in self._left.items() if left]

    def _entry_for(self, finding: Finding) -> Accepted | None:
        """The very same place first; then the same code in the same file; then code that has left its file."""
        own, path = fold(printable(finding.code)), json_path(finding.path)
        left = [entry for entry, count in self._left.items() if count and entry.category == finding.category]
        exact = next((entry for entry in left if entry.fingerprint == finding.fingerprint), None)
        if exact is not None:
            return exact
        same_code = [entry for entry in left if fold(entry.code) == own]
        in_file = next((entry for entry in same_code if entry.path == path and self._has_moved(entry)), None)
        if in_file is not None:
            return in_file
        return next((entry for entry in same_code if self._has_left(entry)), None)

    def _has_moved(self, entry: Accepted) -> bool:
        """Whether an entry may mean another place of its file: its own is gone, or all that are there are accepted."""
        text = self._text_of(entry.path)
        if text is None:
            return True
        code = fold(entry.code)
        alike = (each for each in self._left if each[:2] == entry[:2] and fold(each.code) == code)
        return text.lines[code] <= sum(each.times for each in alike) or not text.has(entry.symbol)

    def _has_left(self, entry: Accepted) -> bool:
        text = self._text_of(entry.path)
        return text is not None and not text.lines[fold(entry.code)]


def is_current(finding: Finding, known: Known) -> bool:
    """Whether the mark that a remembered finding has would be given to it again."""
    return known.mark(revived(finding)).status is finding.status or finding.status in COUNTED


def revived(finding: Finding) -> Finding:
    """A remembered finding as it was before it was accepted or dismissed."""
    if finding.status in {Status.DISMISSED, Status.BASELINE}:
        return finding._replace(status=Status.ACTIVE, reason=None)
    return finding
