"""The servers that run here, the model that a review would ask, and whether anything of it is elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kilo_review import doctor
from kilo_review.core.errors import PromptTooLongError
from kilo_review.doctor import bugs
from kilo_review.models.choose import FAILED, same_name
from kilo_review.models.listing import SERVERS
from kilo_review.plan.chunk import ANSWER_TOKENS, TokenMeter, budget
from kilo_review.sanitize.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kilo_review.core.errors import KiloReviewError
    from kilo_review.core.outcome import ModelInfo
    from kilo_review.doctor import Check
    from kilo_review.models.base import Survey
    from kilo_review.models.choose import Offer
    from kilo_review.models.survey import Look
    from kilo_review.prompts import Prompts

SMALL_ROOM = 1000
"""Tokens of change in one request; with less, a change of a few functions takes many requests."""
LINK_SECONDS = 3.0
KEEPING = {name: f"Keep it loaded (docs/{name}.md)" for name in ("ollama", "lmstudio")}
KEEP = "Load it before a review, and keep it loaded"
FORWARDERS = {
    1337: "Jan passes requests on to remote providers if it has any",
    12435: "Docker Model Runner runs models in Docker's cloud on this port",
}
"""By port: servers that do not tell where a model runs (docs/usage.md)."""


def servers(looks: Sequence[Look], chosen: ModelInfo | None, failure: KiloReviewError | None) -> Iterator[Check]:
    """The server that a review would ask, and the others that run here."""
    if chosen is None:
        assert failure
        tried = ", ".join(each.url for each in looks if each.url)
        yield doctor.problem("server", one_line(f"{failure.message} (looked at: {tried})"), one_line(failure.hint))
    for each in looks:
        if each.survey is None or each.provider == "embedded":
            continue
        told = f"{one_line(each.survey.server)} {one_line(each.survey.version)}".strip()
        is_chosen = chosen is not None and each.survey.url == chosen.base_url
        yield doctor.ok("server", f"{told} at {each.survey.url}" + ("" if is_chosen else " (runs, and is not asked)"))
    if chosen is not None and chosen.provider in {"embedded", "scripted"}:
        yield doctor.ok("server", f"{chosen.provider}: none is needed")


def model(chosen: ModelInfo, looks: Sequence[Look]) -> Iterator[Check]:
    """The model that a review would ask."""
    survey = _of(chosen, looks)
    offer = _offer(chosen, survey)
    name = one_line(chosen.name)
    yield doctor.ok("model", f"{name} ({chosen.provider}; {chosen.why})")
    if offer is not None and offer.state == FAILED:
        yield doctor.warning("model", "it failed to load", "The server's log tells why; load another model")
    elif offer is not None and not offer.is_loaded and (offer.state or chosen.provider in KEEPING):
        state = offer.state or "not loaded"
        yield doctor.warning("model", f"{state}: the next review waits for that", KEEPING.get(chosen.provider, KEEP))
    if offer is not None and offer.on_gpu is not None and offer.on_gpu < 1:
        share = "wholly" if offer.on_gpu == 0 else f"{1 - offer.on_gpu:.0%} of it"
        yield doctor.warning(
            "model", f"{share} on the CPU, which is slow", "A smaller model or window may fit the GPU (docs/models.md)"
        )
    for bug in bugs.known(chosen.provider, survey.version if survey else "", chosen.name):
        yield doctor.warning("server", f"known bug: {bug}", "Update the server")


def window(chosen: ModelInfo, prompts: Prompts, answer_tokens: object) -> Check:
    """The model's window against what a review needs."""
    fixed = TokenMeter().estimate(prompts.system + prompts.review_template)
    answer = answer_tokens if isinstance(answer_tokens, int) and answer_tokens > 0 else ANSWER_TOKENS
    if not chosen.window:
        return doctor.warning("window", "nobody tells how large it is", "Say so with --option num_ctx=N")
    try:
        room = budget(chosen.window, fixed, answer)
    except PromptTooLongError as error:
        return doctor.problem("window", error.message, error.hint)
    text = f"{chosen.window} tokens: room for about {room} tokens of change in one request"
    if room < SMALL_ROOM:
        return doctor.warning("window", text, "Load the model with 8192 tokens (num_ctx, context length)")
    return doctor.ok("window", text)


def locality(chosen: ModelInfo | None, looks: Sequence[Look], environment: Mapping[str, str]) -> Iterator[Check]:
    """Whether code would stay on this machine, as far as anybody can tell."""
    if chosen is not None and not chosen.local:
        yield doctor.warning("locality", f"{chosen.base_url} is NOT this machine; you have allowed it by name")
    elif chosen is not None:
        yield doctor.ok("locality", "the server is on this machine; kilo-review doctor --prove-local proves it")
    surveys = [each.survey for each in looks if each.survey]
    if any(survey.cloud for survey in surveys):
        yield doctor.warning(
            "cloud",
            "Ollama may run cloud models, which kilo-review refuses; other programs may not",
            "Switch them off: start Ollama with OLLAMA_NO_CLOUD=1",
        )
    if any(survey.provider == "lmstudio" for survey in surveys):
        yield _lm_link(environment)
    yield from (check for survey in surveys for check in _forwarding(survey))


def _forwarding(survey: Survey) -> Iterator[Check]:
    """Name a server that may pass requests on without saying so."""
    port = urlsplit(survey.url).port
    told = FORWARDERS.get(port or 0)
    if told is None and survey.provider == "openai" and survey.server not in {*SERVERS.values(), "LiteLLM"}:
        told = "this server does not tell what it is; gateways (Jan, LocalAI, …) may pass requests on, unseen by us"
    if told:
        yield doctor.warning("forwarding", f"{survey.url}: {told}", "See to it that it has no remote providers")


def _lm_link(environment: Mapping[str, str]) -> Check:
    """LM Studio may pass requests on to a linked device, and its interface does not tell (docs/lmstudio.md)."""
    check, remedy = "LM Link", "lms link status; lms link disable"
    program = shutil.which("lms", path=environment.get("PATH"))
    if program is None or not Path(program).is_absolute():
        return doctor.warning(check, "LM Studio may pass requests on to a linked device, unseen by us", remedy)
    try:
        command = [program, "link", "status", "--json"]
        done = subprocess.run(command, check=False, capture_output=True, timeout=LINK_SECONDS)  # noqa: S603  the user's
        told = json.loads(done.stdout)
    except (OSError, ValueError, RecursionError, subprocess.SubprocessError):
        return doctor.warning(check, "LM Studio does not tell whether it passes requests on", remedy)
    if isinstance(told, dict) and told.get("enabled") is False:
        return doctor.ok(check, "off: LM Studio passes no request on")
    return doctor.warning(check, "LM Studio may pass requests on to a linked device", remedy)


def _of(chosen: ModelInfo, looks: Sequence[Look]) -> Survey | None:
    surveys = (each.survey for each in looks if each.survey)
    return next((survey for survey in surveys if survey.url == chosen.base_url), None)


def _offer(chosen: ModelInfo, survey: Survey | None) -> Offer | None:
    return next((each for each in survey.offers if same_name(each.name, chosen.name)), None) if survey else None
