"""Hosts that are not this machine and may be asked all the same. Settings need this, and nothing else of `locality`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Consent(NamedTuple):
    """Hosts that are not this machine and may be asked all the same: the user's word, never a repository's.

    Attributes:
        hosts: by name or address, exactly as in the base URL; compared without case and a last dot.
        plain: of those, the ones that may be asked over http, readable for whoever is on the way.
        ca_file: certificates (PEM) that servers' certificates may be signed with, beside the usual ones; "" for none.
    """

    hosts: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    ca_file: str = ""

    @classmethod
    def of(cls, hosts: Iterable[str] = (), plain: Iterable[str] = (), ca_file: str = "") -> Consent:
        """From names as people write them."""
        return cls(frozenset(map(plain_name, hosts)), frozenset(map(plain_name, plain)), ca_file)

    def covers(self, host: str) -> bool:
        """Whether this host was allowed by name."""
        return plain_name(host) in self.hosts


def plain_name(host: str) -> str:
    """A host as it is compared: without brackets, case and a last dot."""
    return host.strip().strip("[]").rstrip(".").lower()


NO_CONSENT = Consent()
