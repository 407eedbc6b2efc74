"""All servers that are running on this machine, and what they offer: for people, who then choose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import ConfigError, KiloReviewError, UnreachableError, WrongServerError
from kilo_review.models import embedded, lmstudio, ollama, openai
from kilo_review.models.auto import candidates

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline
    from kilo_review.core.outcome import Egress
    from kilo_review.models.base import ModelRequest, Survey

SURVEYS = {"ollama": ollama.survey, "lmstudio": lmstudio.survey, "openai": openai.survey}
LONGEST = 5.0
"""Seconds for all of them together; they are asked at the same time."""


class Look(NamedTuple):
    """What came of looking at one address: a survey, or why there is none."""

    provider: str
    url: str
    survey: Survey | None
    problem: KiloReviewError | None

    @property
    def is_there(self) -> bool:
        """Whether something of that kind answers, be it with an error."""
        return not isinstance(self.problem, (UnreachableError, WrongServerError, ConfigError))


def look(request: ModelRequest, egress: list[Egress], deadline: Deadline) -> list[Look]:
    """Look at the configured address, and at the usual ports.

    Args:
        request: whose address and keys are used; a key goes to the configured address alone.
        egress: where bytes that leave the process are booked.
        deadline: of the whole run.
    """
    end = deadline.within(LONGEST)
    wanted = _wanted(request)
    anyone = request._replace(api_key=None, base_url=None)
    usual = [anyone._replace(provider=provider, base_url=url) for provider, url in candidates(request)]
    known = {each.base_url for each in wanted}
    asked = [*wanted, *(each for each in usual if each.base_url not in known)]
    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda each: _look(each, egress, end, is_any=each not in wanted), asked))
    engine = embedded.survey(request)
    return [*_without_doubles(found, request), *([Look("embedded", "", engine, None)] if engine else [])]


def _wanted(request: ModelRequest) -> list[ModelRequest]:
    """The configured address, as every kind of server that it may be."""
    if not request.base_url:
        return []
    providers = [request.provider] if request.provider in SURVEYS else list(SURVEYS)
    return [request._replace(provider=provider) for provider in providers]


def _look(request: ModelRequest, egress: list[Egress], deadline: Deadline, *, is_any: bool = False) -> Look:
    url = request.base_url or ""
    try:
        found = SURVEYS[request.provider](request, egress, deadline)
    except WrongServerError as error:
        if request.provider == "ollama" and is_any:  # others listen on its port, and speak the OpenAI wire there
            return _look(request._replace(provider="openai"), egress, deadline)
        return Look(request.provider, url, None, error)
    except KiloReviewError as error:
        return Look(request.provider, url, None, error)
    return Look(request.provider, found.url, found, None)


def _without_doubles(found: list[Look], request: ModelRequest) -> list[Look]:
    """Of the configured address one look: as what it is, or if nothing fits, the first complaint."""
    at_own = [each for each in found if each.url.startswith(request.base_url or "\0")]
    others = list({(each.survey is not None, each.url): each for each in found if each not in at_own}.values())
    best = next((each for each in at_own if each.survey), None) or next(
        (each for each in at_own if each.is_there), None
    )
    return [*([best] if best else at_own[:1]), *others]
