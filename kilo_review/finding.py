"""A finding: one thing that is wrong, on one line, with the code that shows it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

SHORT_DIGITS = 8
FINGERPRINT = "[0-9a-f]{32}"
"""A pattern."""
TELLING_LENGTH = 20
"""Characters of code, without white space, that will hardly stand twice by chance."""


class Severity(StrEnum):
    """How bad it is; see docs/usage.md for the words."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


class Category(StrEnum):
    """What kind of wrong it is."""

    BUG = "bug"
    SECURITY = "security"
    PERFORMANCE = "performance"
    CONCURRENCY = "concurrency"
    RESOURCE = "resource"
    API = "api"
    MAINTAINABILITY = "maintainability"
    UNICODE = "unicode"


class Status(StrEnum):
    """Whether a finding counts, and if not, why. Findings are marked, never dropped."""

    ACTIVE = "active"
    SUPPRESSED = "suppressed"
    BASELINE = "baseline"
    DISMISSED = "dismissed"
    REFUTED = "refuted"
    UNVERIFIED = "unverified"
    UNANCHORED = "unanchored"


class Finding(NamedTuple):
    """One claim of the model, tied to the code by the program.

    Attributes:
        path: path in the repository, undecodable bytes as surrogate escapes.
        line: first new-side line; for removed code the line beside the gap; 0 in a deleted file.
        end_line: last new-side line.
        severity: the model's word.
        category: the model's word.
        title: one line, the model's words.
        message: why it is wrong, the model's words.
        evidence: the code itself, read from the change (the model's quote if it is unanchored).
        symbol: the enclosing function or class heading, or "".
        status: `active` unless something took it out of the count.
        blocking: whether it stops the commit.
        suggestion: replacement code, if one was asked for.
        reason: why `status` is not `active`; of an active one, where it comes from.
        rule: the rule of the project that it breaks, or "".
        known_as: its fingerprint, of one that was read from a report, which does not hold all that it is made of.
    """

    path: str
    line: int
    end_line: int
    severity: Severity
    category: Category
    title: str
    message: str
    evidence: str
    symbol: str = ""
    status: Status = Status.ACTIVE
    blocking: bool = False
    suggestion: str | None = None
    reason: str | None = None
    rule: str = ""
    known_as: str = ""

    @property
    def fingerprint(self) -> str:
        """32 hex digits that survive line drift and rewording.

        Made of category, path, the normalised first line of the evidence and the enclosing symbol;
        never of a line number or of the model's prose (habit seen in detect-secrets).
        """
        return self.known_as or digest(self.category.value, self.path, fold(self.code), " ".join(self.symbol.split()))

    @property
    def short_id(self) -> str:
        """The beginning of the fingerprint, which people type."""
        return self.fingerprint[:SHORT_DIGITS]

    @property
    def kin(self) -> str:
        """32 hex digits that are the same wherever the same code has the same kind of defect."""
        return kin_of(self.category.value, self.code, self.symbol, self.path)

    @property
    def code(self) -> str:
        """The first line of the evidence."""
        return self.evidence.split("\n", 1)[0].strip()


def kin_of(category: str, code: str, symbol: str, path: str) -> str:
    """See `Finding.kin`. A line such as `return None` is the same only in its function, or else in its file."""
    folded = fold(code)
    return digest(category, folded, "" if len(folded) >= TELLING_LENGTH else " ".join(symbol.split()) or path)


def fold(text: str) -> str:
    """Code without its white space: what is compared."""
    return "".join(text.split())


def digest(*parts: str) -> str:
    """32 hex digits of some texts."""
    import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
