"""All settings, merged: what the rest of the program is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.judge.policy import FailOn, OnNothing, OnUnavailable, Verify
from kilo_review.models.base import ModelRequest
from kilo_review.models.consent import Consent
from kilo_review.plan.rules import DEFAULT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kilo_review.judge.categories import Switch


MOST_PARALLEL = 64


class Settings(NamedTuple):
    """All settings, merged.

    Attributes:
        provider: which kind of server; `auto` finds out.
        model: the server's name for the model; a path for `embedded`; None to choose.
        base_url: the server's address; None for its default.
        api_key: bearer token; never from the repository, and not for a server that the repository chose.
        allow_hosts: hosts that are not this machine and may be asked; never from the repository.
        allow_http_hosts: of those, the ones that may be asked without TLS.
        ca_file: certificates of an authority of the user's own, for https; never from the repository.
        options: model parameters.
        fail_on: the least severity that blocks.
        on_unavailable: what to do if the change was not, or not fully, reviewed; None for the caller's default.
        on_nothing: what to do if nothing of a change was selected for review.
        max_seconds: time limit for the whole process; None for the caller's default, 0 for none.
        base: what `branch` compares with; None to find it.
        exclude: gitignore patterns of files that are not reviewed.
        verify: which findings the model must confirm before they count.
        verify_model: the server's name for another model that confirms; None for the same.
        categories: what is switched on or off, by path.
        baseline: the file of accepted findings; None for the usual one.
        language: BCP 47 tag of the language of titles and messages; "" for English.
        rules_tokens: tokens of the project's rules in one request; 0 sends none.
        prompts: a folder of prompts that override the shipped ones.
        cache: whether answers are remembered, and earlier ones used.
    """

    provider: str = "auto"
    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_http_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    options: Mapping[str, Any] = {}
    fail_on: FailOn = FailOn.CRITICAL
    on_unavailable: OnUnavailable | None = None
    on_nothing: OnNothing = OnNothing.ALLOW
    max_seconds: float | None = None
    base: str | None = None
    exclude: tuple[str, ...] = ()
    verify: Verify = Verify.BLOCKING
    verify_model: str | None = None
    categories: tuple[Switch, ...] = ()
    baseline: Path | None = None
    language: str = ""
    rules_tokens: int = DEFAULT_TOKENS
    prompts: Path | None = None
    cache: bool = True

    def model_request(self, environment: Mapping[str, str]) -> ModelRequest:
        """What the providers need of this."""
        return ModelRequest(
            provider=self.provider,
            name=self.model,
            base_url=self.base_url,
            api_key=self.api_key,
            ollama_host=environment.get("OLLAMA_HOST") or None,
            ollama_parallel=_parallel(environment.get("OLLAMA_NUM_PARALLEL", "")),
            lmstudio_key=environment.get("LM_API_TOKEN") or None,
            options=self.options,
            consent=Consent.of(self.allow_hosts, self.allow_http_hosts, str(self.ca_file or "")),
        )

    def verify_request(self, environment: Mapping[str, str]) -> ModelRequest | None:
        """The same for the model that confirms, if that is another one."""
        if self.verify_model is None or self.verify_model == self.model:
            return None
        return self.model_request(environment)._replace(name=self.verify_model)


def _parallel(text: str) -> int:
    """As Ollama reads it; one where it would not."""
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) <= MOST_PARALLEL else 1
