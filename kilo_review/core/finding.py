"""A finding: one thing that is wrong, on one line, with the code that shows it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

SHORT_DIGITS = 8
FINGERPRINT = "[0-9a-f]{32}"
"""A pattern."""
INDENTED = frozenset({
    *(".py", ".pyi", ".pyx", ".yaml", ".yml", ".mk", ".mak", ".coffee", ".nim", ".hs", ".lhs", ".elm", ".fs", ".fsx"),
    *(".gd", ".pug", ".jade", ".haml", ".slim", ".sass", ".styl", ".rst", ".md", ".bzl", ".star", ".lean", ".ipynb"),
})  # fmt: skip
"""Endings of languages in which indentation decides what a line belongs to."""
INDENTED_NAMES = frozenset({"makefile", "gnumakefile", "sconstruct", "sconscript", "build", "workspace"})


_PROSE_MARKS = r"[\"'`]|[.,:;!?](?=[\s\"'`)\]]|\Z)"
"""Quotation marks, and marks that end a part of a sentence."""


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
        is_removed: the evidence is code that the change removes.
        doubt: why the model must confirm it before it counts, whatever its severity; "" for no such reason.
        rest: the lines that complete the evidence's first line where brackets are left open in it.
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
    is_removed: bool = False
    doubt: str = ""
    rest: str = ""

    @property
    def fingerprint(self) -> str:
        """32 hex digits that survive line drift and rewording.

        Made of category, path, the first line of the evidence, the enclosing symbol, and whether the line was
        removed; never of a line number or of the model's prose (habit seen in detect-secrets). White space within
        the line counts, since it can decide what the line does; so does indentation where the language heeds it.
        """
        if self.known_as:
            return self.known_as
        parts = (self.category.value, self.path, deciding(self.path, self.evidence), " ".join(self.symbol.split()))
        return digest(*parts, *(("removed",) if self.is_removed else ()), *((self.rest,) if self.rest else ()))

    @property
    def short_id(self) -> str:
        """The beginning of the fingerprint, which people type."""
        return self.fingerprint[:SHORT_DIGITS]

    @property
    def code(self) -> str:
        """The first line of the evidence."""
        return self.evidence.split("\n", 1)[0].strip()


def deciding(path: str, evidence: str) -> str:
    """Return what of the evidence's first line can decide what it does.

    White space at its end never counts, since editors and models add and drop it; that at its beginning counts where
    the language heeds it.
    """
    line = evidence.split("\n", 1)[0].rstrip()
    name = PurePosixPath(path)
    is_heeded = name.suffix.lower() in INDENTED or name.name.lower() in INDENTED_NAMES
    return line if is_heeded else line.lstrip()


def say_the_same(one: Finding, other: Finding) -> bool:
    """Tell whether two findings about one place say the same, but for spacing and the punctuation of prose."""
    return _words(one.title) == _words(other.title) and _words(one.message) == _words(other.message)


def _words(text: str) -> list[str]:
    """Return words and operators: `a < b` is not `a > b`, and `a` is not `A`, except as the first letter."""
    words = re.findall(rf"\w+|(?:(?!{_PROSE_MARKS})[^\w\s])+", text)
    return [words[0][:1].lower() + words[0][1:], *words[1:]] if words else []


def fold(text: str) -> str:
    """Return code without its white space, to find a place by; it never decides whether two lines do the same."""
    return "".join(text.split())


def digest(*parts: str) -> str:
    """32 hex digits of some texts."""
    import hashlib  # noqa: PLC0415  2 ms of OpenSSL, not for a run with nothing to review

    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
