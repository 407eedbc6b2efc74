"""What of a quotation is shown: where a report is published, as CI logs are, secrets in it are masked."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kilo_review.core.finding import Finding
    from kilo_review.core.outcome import Outcome

SECRETS = "kilo_review.sanitize.secrets"
"""Loaded where it is needed: its patterns take 5 ms to compile, which no commit need pay."""

CI_SYSTEMS = ("TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID", "GITHUB_ACTIONS", "GITLAB_CI")
"""Variables of systems, some of which do not set `CI`."""


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether a CI system says that it runs this."""
    said = environment.get("CI", "")
    return said.lower() not in {"0", "false"} if said else any(environment.get(name) for name in CI_SYSTEMS)


def mask_for(findings: Iterable[Finding], change: Iterable[str] = (), *, is_public: bool) -> Callable[[str], str]:
    """What is done to words of the model and lines of the code: nothing, or the masking of secrets.

    Args:
        findings: what they quote tells which words of the model are secrets: `password = "x"` is one, and so is the x
            in the sentence that warns of it.
        change: further code that the model was shown: it may name a secret that it does not quote.
        is_public: whether the report is published.
    """
    if not is_public:
        return str
    secrets: Any = import_module(SECRETS)
    quoted = (
        text
        for each in findings
        for text in (each.evidence, each.suggestion or "", each.title, each.message, each.reason or "")
    )
    return partial(secrets.masked, repeated=secrets.seen_in(itertools.chain(quoted, change)))


def masked_if_public(text: str, environment: Mapping[str, str]) -> str:
    """A text that is no report, such as an error or the list of a command: in CI it is published, too."""
    return str(import_module(SECRETS).masked(text)) if is_ci(environment) else text


def facts_if_public(facts: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401  what JSON is made from
    """The same for what is about to be written as JSON: each text in it is masked by itself."""
    if isinstance(facts, str):
        return masked_if_public(facts, environment)
    if isinstance(facts, dict):
        return {name: facts_if_public(value, environment) for name, value in facts.items()}
    return [facts_if_public(each, environment) for each in facts] if isinstance(facts, list | tuple) else facts


def published(outcome: Outcome, mask: Callable[[str], str]) -> Outcome:
    """The same, with secrets masked in what is told of the run: servers quote the code in their errors.

    What is code stays, since fixes are compared with it: reports mask it where they show it.
    """
    once = cache(mask)
    model = outcome.model
    return replace(
        outcome,
        model=model and model._replace(name=once(model.name), base_url=model.base_url and once(model.base_url)),
        findings=[
            each._replace(title=once(each.title), message=once(each.message), reason=each.reason and once(each.reason))
            for each in outcome.findings
        ],
        egress=[replace(each, url=once(each.url)) for each in outcome.egress],
        nothing=once(outcome.nothing),
        afterwards=once(outcome.afterwards),
        unremembered=once(outcome.unremembered),
        entries=[replace(each, reason=once(each.reason)) if each.reason else each for each in outcome.entries],
        failure=once(outcome.failure),
        next_step=once(outcome.next_step),
        unsettled=once(outcome.unsettled),
        notes=[once(note) for note in outcome.notes],
        details=[once(detail) for detail in outcome.details],
    )
