"""What came of a review: findings, coverage, usage, egress. "Not looked at" is data, not an absence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Sequence


MOST_SHARDS = 10_000


class TargetKind(StrEnum):
    """What was asked for."""

    STAGED = "staged"
    UNCOMMITTED = "uncommitted"
    BRANCH = "branch"
    RANGE = "range"
    COMMIT = "commit"
    PATCH = "patch"


class Target(NamedTuple):
    """Two trees to compare.

    Attributes:
        kind: what was asked for.
        base: hex id of the old tree; None for a patch, and for a push of several references.
        head: hex id of the new tree; None likewise.
        others: of a merge, the trees of its further parents: what is as in one of them is not new.
        postponed: why it is not the time to review it now, such as in the middle of a rebase.
        left_out: rows of what belongs to the new tree and could not be taken into it.
    """

    kind: TargetKind
    base: str | None
    head: str | None
    others: tuple[str, ...] = ()
    postponed: str = ""
    left_out: tuple[Entry, ...] = ()

    @property
    def change(self) -> tuple[str, str] | None:
        """What the ledger knows this change by: its old trees and its new one."""
        return (changed_from(self.base, *self.others), self.head) if self.base and self.head else None


def changed_from(*trees: str) -> str:
    """The old side of a change as one word; a merge has several."""
    return "+".join(trees)


BINARY, MINIFIED = "binary file", "minified file"
SUBMODULE = "submodule"
GENERATED_HEADER, GENERATED_NAME = "generated file (by its header)", "generated file (by its name)"
LONG_DATA, LONG_MINIFIED = "a long line of data, such as base64", "a long line of minified code"
IS_POINTER = "Git LFS pointer"
NOTEBOOK_REST = "outputs, metadata or layout of a notebook"
FORMS = frozenset({BINARY, MINIFIED, GENERATED_HEADER, GENERATED_NAME, SUBMODULE, IS_POINTER, LONG_DATA, LONG_MINIFIED})
"""Reasons to skip a file, or lines of it, that lie in its form; the report names these files first."""


class State(StrEnum):
    """What happened to one hunk, or to one changed file without hunks."""

    PLANNED = "planned"
    REVIEWED = "reviewed"
    CACHED = "cached"
    SKIPPED = "skipped"
    NOT_REVIEWED = "not_reviewed"


REASONED = (State.SKIPPED, State.NOT_REVIEWED)
"""States of which each row says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the coverage: a hunk, lines that were left out of a hunk, or a file without hunks.

    Attributes:
        path: as in `Finding`.
        start: first new-side line, 0 for a file without hunks.
        end: last new-side line.
        added: lines added.
        removed: lines removed.
        state: what happened.
        reason: never None for `skipped` and `not_reviewed`.
        is_hunk: False for a file without hunks (binary, mode, rename, submodule).
        is_final: another review of the same change, with the same settings, could not look at it either.
    """

    path: str
    start: int
    end: int
    added: int
    removed: int
    state: State
    reason: str | None = None
    is_hunk: bool = True
    is_final: bool = False

    def __post_init__(self) -> None:
        if not self.reason and self.state in REASONED:
            raise ValueError(f"{self.path}: {self.state} needs a reason")


class ModelInfo(NamedTuple):
    """One served model.

    Attributes:
        provider: registry name of the client, such as `ollama`.
        name: the server's name for the model; "" when the server could not be asked.
        base_url: where it was asked; None for one that needs no server.
        window: tokens of prompt and answer together; None when unknown.
        local: whether it is known to run on this machine.
        why: one clause that tells why this model was taken.
        digest: what tells one version of the model from another of the same name; "" where the server tells nothing.
    """

    provider: str
    name: str
    base_url: str | None
    window: int | None
    local: bool = True
    why: str = ""
    digest: str = ""


@dataclass(slots=True)
class Usage:
    """What the review cost. Tokens are the server's counts; seconds are wall time."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0
    answer_seconds: float = 0.0
    reading_seconds: float = 0.0

    def add(self, other: Usage) -> None:
        """Add what another review cost."""
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.cached_prompt_tokens += other.cached_prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.seconds = max(self.seconds, other.seconds)  # each counts from the start of the process
        self.model_seconds += other.model_seconds
        self.answer_seconds += other.answer_seconds
        self.reading_seconds += other.reading_seconds

    @property
    def tokens_per_second(self) -> float | None:
        """Answer tokens per second of writing (not of loading or reading), or None where nothing tells."""
        if not self.completion_tokens or not self.answer_seconds:
            return None
        return self.completion_tokens / self.answer_seconds


@dataclass(slots=True)
class Egress:
    """Every byte that left this process for one address.

    Attributes:
        url: scheme, name and port as configured.
        address: the numeric address that the socket was connected to.
        bytes_sent: bytes written to sockets, headers included.
        requests: HTTP requests begun.
    """

    url: str
    address: str
    bytes_sent: int = 0
    requests: int = 0


def summed(rows: Sequence[Egress]) -> list[Egress]:
    """One row for each address, of the rows of several connections."""
    found: dict[tuple[str, str], Egress] = {}
    for row in rows:
        whole = found.setdefault((row.url, row.address), Egress(row.url, row.address))
        whole.bytes_sent += row.bytes_sent
        whole.requests += row.requests
    return list(found.values())


def _said(finding: Finding) -> tuple[object, ...]:
    """What a finding says and where: two that agree in it are one that was seen twice."""
    about = (finding.fingerprint, finding.status, finding.severity, finding.blocking)
    return (*about, finding.title, finding.message, finding.evidence, finding.line)


@dataclass(slots=True)
class Outcome:
    """All that a report needs, and nothing about how it is shown."""

    target: Target
    model: ModelInfo | None = None
    findings: list[Finding] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    egress: list[Egress] = field(default_factory=list)
    dry_run: bool = False
    failure: str = ""
    """Why a part of what was asked for could not even be listed, such as a further range of a push."""
    interrupted: bool = False
    shard: tuple[int, int] | None = None
    """Which part of the change this is, from 1, and of how many; None for all of it."""
    division: str = ""
    """What parts of one division have in common; "" where it is not one."""
    commit: str = ""
    """The commit that was proposed or pushed; "" where none was named."""
    nothing: str = ""
    """Why there is nothing to review, where that is not a matter of the target's kind."""
    next_step: str = ""
    """What the user can do about hunks that were not reviewed; "" if nothing is known."""
    afterwards: str = ""
    """What will become of the hunks that were not reviewed, such as "will be reviewed at push"; "" if unknown."""
    unsettled: str = ""
    """Why a finding could not be put to the test this time, though it may be another time; "" if all were."""
    unremembered: str = ""
    """Why nothing of this review could be kept for the next one; "" if it was."""
    answered_by: str = ""
    """The identity of what answered, and after a `+` that of the model that verified; "" where nothing was asked."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the run as a whole, such as why it was slow."""
    details: list[str] = field(default_factory=list)
    """Remarks for readers who want to know everything, such as what a server does not know."""

    @classmethod
    def joined(
        cls, outcomes: Sequence[Outcome], target: Target | None = None, *, are_disjoint: bool = False
    ) -> Outcome:
        """One outcome of several, such as the commits of one push.

        Egress is not a part's own: whoever shares one connection among them adds it.

        Args:
            outcomes: the parts.
            target: what they are the review of together; without it, base and head are None.
            are_disjoint: no line is in two of them, so that nothing is told twice.
        """
        if len(outcomes) == 1 and target is None:
            return outcomes[0]
        whole = cls(target or Target(outcomes[0].target.kind if outcomes else TargetKind.RANGE, None, None))
        for each in outcomes:
            if whole.model is None or (each.model is not None and not each.model.local):
                whole.model = each.model  # where the code went is not hidden by where else it went
            # A later commit may show the same line again; but what counts is never hidden by what does not.
            told = () if are_disjoint else whole.findings
            known = {_said(finding) for finding in told}
            whole.findings += [new for new in each.findings if _said(new) not in known]
            whole.entries += each.entries
            whole.usage.add(each.usage)
            whole.interrupted |= each.interrupted
            whole.failure = whole.failure or each.failure
            whole.next_step = whole.next_step or each.next_step
            whole.afterwards = whole.afterwards or each.afterwards
            whole.unsettled = whole.unsettled or each.unsettled
            whole.unremembered = whole.unremembered or each.unremembered
            whole.notes += [note for note in each.notes if note not in whole.notes]
            whole.details += [detail for detail in each.details if detail not in whole.details]
        return whole

    def count(self, state: State) -> int:
        """Rows of the coverage in this state."""
        return sum(entry.state is state for entry in self.entries)

    @property
    def is_left_for_later(self) -> bool:
        """Whether a later review could look at something that this one did not look at."""
        return any(entry.state is State.NOT_REVIEWED and not entry.is_final for entry in self.entries)

    @property
    def word(self) -> str:
        """`clean`, `findings`, `incomplete` or `not_reviewed`; what nobody looked at is never `clean`."""
        looked_at = self.count(State.REVIEWED) + self.count(State.CACHED)
        if self.count(State.NOT_REVIEWED) or self.failure:
            return "incomplete" if looked_at or self.shown else "not_reviewed"
        if self.shown:
            return "findings"
        return "clean" if looked_at or not self.entries else "not_reviewed"

    @property
    def shown(self) -> list[Finding]:
        """Findings that nobody has taken out of the count."""
        counted = {Status.ACTIVE, Status.UNVERIFIED, Status.UNANCHORED}
        return [finding for finding in self.findings if finding.status in counted]

    def unreviewed_by_reason(self) -> dict[str, list[Entry]]:
        """Rows that nobody looked at, grouped by reason, the commonest first."""
        return self._by_reason(State.NOT_REVIEWED)

    def skipped_by_reason(self) -> dict[str, list[Entry]]:
        """Rows that were left out on purpose, grouped by reason, the commonest first."""
        return self._by_reason(State.SKIPPED)

    def _by_reason(self, state: State) -> dict[str, list[Entry]]:
        rows: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.state is state:
                rows.setdefault(entry.reason or "", []).append(entry)
        return dict(sorted(rows.items(), key=lambda row: -len(row[1])))
