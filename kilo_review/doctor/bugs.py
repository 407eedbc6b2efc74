"""Bugs of servers that a review meets, by the version that mended them. Issue numbers are of each server's tracker."""

from __future__ import annotations

import re
from typing import NamedTuple

from kilo_review.models.ollama import numbers


class Bug(NamedTuple):
    """One known bug.

    Attributes:
        mended: the first version without it.
        models: a pattern of the models that it concerns; "" for all.
        text: what goes wrong in a review.
    """

    mended: tuple[int, ...]
    models: str
    text: str


OLLAMA = (
    Bug((0, 12, 4), "", "prompts that do not fit are cut in silence, since it does not know `truncate` (#3839)"),
    Bug((0, 9, 1), "", "thinking switches the form of answers off (#11545)"),
    Bug((0, 21, 1), r"gemma-?4", "the form of answers is ignored where thinking is off (#15260)"),
    Bug((0, 31, 2), r"qwen-?3\.[56]", "the form of answers is ignored where thinking is off (#14645, #14850)"),
)
BY_PROVIDER = {"ollama": OLLAMA}


def known(provider: str, version: str, model: str) -> list[str]:
    """What is known to go wrong with a server of this version and this model."""
    if not re.match(r"v?\d", version) or numbers(version) == (0, 0, 0):  # a build without a version
        return []
    return [
        f"before {'.'.join(map(str, bug.mended))} {bug.text}"
        for bug in BY_PROVIDER.get(provider, ())
        if numbers(version) < bug.mended and (not bug.models or re.search(bug.models, model.lower()))
    ]
