"""The data of a Secret of Kubernetes, in a manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_KIND_SECRET = re.compile(r"kind['\"]?:\s{0,9}['\"]?Secret\b")
_DATUM = re.compile(
    r"^[ \t+-]++['\"]?[\w.-]{1,100}['\"]?:[ \t]{1,9}['\"]?([A-Za-z0-9+/]{4,}+={0,2})['\"]?[ \t,]*+$", re.MULTILINE
)
_OF_ALL_KINDS = frozenset({"Opaque", "Secret"})


def found(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    """The data of a Secret of Kubernetes, which is in base64 and may have any name."""
    if "secret" in lowered and _KIND_SECRET.search(text):
        for datum in _DATUM.finditer(text):
            if len(datum[1]) % 4 == 0 and datum[1] not in _OF_ALL_KINDS:
                yield datum.span(1)
