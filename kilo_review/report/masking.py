"""What of a quotation is shown: where a report is published, as CI logs are, secrets in it are masked."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kilo_review.finding import Finding
    from kilo_review.outcome import Outcome

SECRETS = "kilo_review.display.secrets"
"""Loaded where it is needed: its patterns take 5 ms to compile, which no commit need pay."""


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether a CI system says that it runs this."""
    return environment.get("CI", "").lower() not in {"", "0", "false"}


def mask_for(findings: Iterable[Finding], *, is_public: bool) -> Callable[[str], str]:
    """What is done to words of the model and lines of the code: nothing, or the masking of secrets.

    Args:
        findings: what they quote tells which words of the model are secrets: `password = "x"` is one, and so is the x
            in the sentence that warns of it.
        is_public: whether the report is published.
    """
    if not is_public:
        return str
    secrets: Any = import_module(SECRETS)
    quoted = (text for each in findings for text in (each.evidence, each.suggestion or "", each.title, each.message))
    return partial(secrets.masked, repeated=secrets.seen_in(quoted))


def published(outcome: Outcome, mask: Callable[[str], str]) -> Outcome:
    """The same, with secrets masked in what is told of the run: servers quote the code in their errors."""
    once = cache(mask)
    return replace(
        outcome,
        findings=[each._replace(reason=once(each.reason)) if each.reason else each for each in outcome.findings],
        entries=[replace(each, reason=once(each.reason)) if each.reason else each for each in outcome.entries],
        failure=once(outcome.failure),
        next_step=once(outcome.next_step),
        unsettled=once(outcome.unsettled),
        notes=[once(note) for note in outcome.notes],
    )
