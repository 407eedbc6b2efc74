"""Fields of a request that a server may refuse by name: they are left out, and the question is asked again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kilo_review.models.faults import STATUSES_OF_REFUSALS
from kilo_review.models.overflow import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

SWITCH = "chat_template_kwargs"
"""The field by which thinking is switched, among others."""
ALIASES = {
    SWITCH: r"chat_template\w*|template_kwargs|enable_thinking",
    "stream_options": r"stream_options|include_usage",
    "stream": r"stream(?:ing)?",
}
"""Under which names servers speak of a field; of others under its own."""
NEEDS = {"stream": ("stream_options",)}
"""What makes no sense without a field."""

# Text, and compiled when it is first used: at a commit with nothing to review that is never.
_REFUSES = (
    r"(?i)\bnot (?:be |currently |yet )?(?:support|permit|allow|valid|accept|implement|available|enabled|known)"
    r"|(?:n't|\bnot) (?:support|allow|accept|recogni|know|defin)|unsupported|unknown|unrecogni|unexpected|forbidden"
    r"|\bextra[ _](?:input|field|param|arg|forbidden)|disallow|invalid|disabled|deprecated|removed|\bmust\b|\bshould\b"
    r"|\bonly\b|requires?\b|\bcannot\b|no such|reject|refuse"
)


def refused(status: int, text: str, names: Iterable[str]) -> str:
    """Return which of these fields a server refuses by name: the first that it speaks of; "" if none.

    Args:
        status: HTTP status; 200 for an error inside a stream.
        text: the body, or the error's own text.
        names: of fields that were sent.
    """
    said = words_of(text)
    if status not in STATUSES_OF_REFUSALS or not re.search(_REFUSES, said):
        return ""
    found = [(place.start(), name) for name in names if (place := re.search(_pattern(name), said))]
    return min(found, default=(0, ""))[1]


def _pattern(name: str) -> str:
    """A name that is no part of another one, nor of a model's."""
    return rf"(?i)(?<![\w-])(?<!\w/)(?:{ALIASES.get(name) or re.escape(name)})(?![\w/-])"
