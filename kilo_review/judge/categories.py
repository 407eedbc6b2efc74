"""Categories and severities that are switched on or off by path; nits are off until they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Severity
from kilo_review.plan.patterns import ignore_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.finding import Finding

NITS = "nits"
"""Minor remarks on maintainability that no rule of the project asks for."""
MOST_SWITCHES = 200
"""They are matched after the time limit, too, for findings that were made in time."""
WORDS = (*Category, *Severity, NITS)


class Switch(NamedTuple):
    """One line of the table: files by a gitignore pattern, and what is on or off for them."""

    pattern: str
    on: tuple[str, ...] = ()
    off: tuple[str, ...] = ()


def read(table: object, origin: str) -> tuple[Switch, ...]:
    """`[categories]`: pattern = { on = [...], off = [...] }.

    Raises:
        ConfigError: it has another form, or names something that is neither category, severity nor `nits`.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{origin}: `categories` must be a table of patterns")
    if len(table) > MOST_SWITCHES:
        raise ConfigError(f"{origin}: `categories` holds {len(table)} patterns; {MOST_SWITCHES} are the limit")
    return tuple(_switch(str(pattern), value, origin) for pattern, value in table.items())


def _switch(pattern: str, value: object, origin: str) -> Switch:
    if not isinstance(value, dict) or not value or set(value) - {"on", "off"}:
        raise ConfigError(
            f"{origin}: categories for {pattern!a} must be a table with `on`, `off` or both",
            hint='For example: "tests/" = { off = ["performance", "minor"] }',
        )
    words: dict[str, tuple[str, ...]] = {}
    for key, listed in value.items():
        if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
            raise ConfigError(f"{origin}: categories for {pattern!a}: {key!a} must be a list of words")
        unknown = [word for word in listed if word not in WORDS]
        if unknown:
            raise ConfigError(
                f"{origin}: {unknown[0]!a} is neither a category nor a severity", hint=f"There are: {', '.join(WORDS)}"
            )
        words[key] = tuple(listed)
    return Switch(pattern, words.get("on", ()), words.get("off", ()))


class Switchboard:
    """Whether a finding is wanted where it stands."""

    def __init__(self, switches: Sequence[Switch]) -> None:
        """Later switches win over earlier ones."""
        self._switches = [(ignore_list("categories", [switch.pattern]), switch) for switch in switches]
        self._known: dict[str, frozenset[str]] = {}

    def objection(self, finding: Finding) -> str:
        """Why a finding is not wanted, or ""."""
        off = self._off(finding.path)
        if is_nit(finding) and NITS in off:
            return "nits are off"
        word = next((word for word in (finding.category.value, finding.severity.value) if word in off), "")
        return f"{word} is switched off here" if word else ""

    def _off(self, path: str) -> frozenset[str]:
        if path not in self._known:
            off = {NITS}
            for matches, switch in self._switches:
                if matches(path):
                    off = off.difference(switch.on).union(switch.off)
            self._known[path] = frozenset(off)
        return self._known[path]


def is_nit(finding: Finding) -> bool:
    """A minor remark on maintainability; what a rule of the project asks for is none."""
    return finding.category is Category.MAINTAINABILITY and finding.severity is Severity.MINOR and not finding.rule
