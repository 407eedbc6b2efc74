"""Which of the offered models is taken, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kilo_review.core.errors import ModelNotFoundError
from kilo_review.models.elsewhere import remote
from kilo_review.sanitize.terminal import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.models.faults import Asked

CODERS = (
    *(
        "qwen3.6",
        "qwen3-coder",
        "qwen3.5",
        "devstral",
        "codestral",
        "qwen2.5-coder",
        "deepseek-coder",
        "gpt-oss",
    ),
    *("gemma4", "gemma-4", "granite-code", "codegemma", "starcoder", "codellama", "coder"),
)
"""Families known to read code, the better first (docs/models.md)."""
NOT_CHAT = ("embed", "bge-", "rerank", "whisper", "nomic", "minilm")
MOST_LISTED = 12
MOST_COMPARED = 500
"""Names that a wrong one is compared with; each takes 50 us."""
LOADED, LOADING, SLEEPING, UNLOADED, FAILED = "loaded", "loading", "sleeping", "not loaded", "failed to load"
"""States of a model, for those servers that tell."""
ALREADY_LOADED = "already loaded"
"""Why a model was chosen (`ModelInfo.why`) that need not be waited for."""
KNOWN_CODER, ONLY_ONE, LARGEST = "known to read code", "the only one there", "the largest there"
FAILED_BEFORE = "though it failed to load, since there is no other"
REASONS = (ALREADY_LOADED, KNOWN_CODER, ONLY_ONE, LARGEST, FAILED_BEFORE)
"""Why a model was chosen, the best reason first."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that a server has.

    Attributes:
        name: the server's name for it.
        is_loaded: whether the next request need not wait for it.
        window: tokens, or None if the listing does not tell.
        size: bytes, 0 if unknown.
        is_chat: whether it can answer at all.
        elsewhere: where it runs, if that is not the server's machine; such a model is never chosen.
        largest: the window that it was trained for, or None if the listing does not tell.
        on_gpu: share of it that lies in a GPU's memory while it is loaded; None if nothing tells.
        parallel: requests that it works on at the same time; None if the listing does not tell.
        state: whether it is loaded, as `LOADED` and its kin; "" if the listing does not tell.
    """

    name: str
    is_loaded: bool = False
    window: int | None = None
    size: int = 0
    is_chat: bool = True
    elsewhere: str = ""
    largest: int | None = None
    on_gpu: float | None = None
    parallel: int | None = None
    state: str = ""


def choose(offers: Sequence[Offer], wanted: str | None, asked: Asked, *, pull: str = "") -> tuple[Offer, str]:
    """The model to ask and one clause that says why.

    Args:
        offers: what the server lists.
        wanted: the user's word, or None to choose: loaded first, then what is being loaded, then known coders, then
            the largest; what failed to load comes last.
        asked: for messages.
        pull: how a user gets a model, with `NAME` in it.

    Raises:
        ModelNotFoundError: it is not there; the message lists what is, and the nearest name.
        NotLocalError: there are only models that run on other machines.
    """
    offers = _agreed(offers)
    usable = [offer for offer in offers if is_usable(offer)]
    if wanted is not None:
        for offer in offers:
            if same_name(offer.name, wanted):
                return offer, "as configured"
        raise _not_found(usable, wanted, asked, pull)
    if not usable:
        afar = next((offer for offer in offers if offer.elsewhere), None)
        if afar and not pull:
            raise remote(afar.name, afar.elsewhere)
        hint = f"Get one with: {pull} (docs/models.md says which)" if pull else "Load one, then try again"
        raise ModelNotFoundError(f"{asked.server} at {asked.url} has no model that can answer", hint=hint)
    best = min(usable, key=_preference)
    return best, _why(best, len(usable))


def _agreed(offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers; one whose name is listed elsewhere, too, is elsewhere: a request names no more than that."""
    afar: dict[str, str] = {}
    for offer in offers:
        if offer.elsewhere:
            afar.setdefault(_full(offer.name), offer.elsewhere)
    return [replace(offer, elsewhere=offer.elsewhere or afar.get(_full(offer.name), "")) for offer in offers]


def is_usable(offer: Offer) -> bool:
    """Whether it may be chosen: it can chat, and runs where the server does."""
    return offer.is_chat and not offer.elsewhere and not any(word in offer.name.lower() for word in NOT_CHAT)


def same_name(one: str, other: str) -> bool:
    """Whether two names mean one model: case does not count and `:latest` is implied."""
    return _full(one) == _full(other)


def _full(name: str) -> str:
    name = name.strip().lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _coder_rank(name: str) -> int:
    return next((rank for rank, family in enumerate(CODERS) if family in name.lower()), len(CODERS))


def _preference(offer: Offer) -> tuple[int, int, int, str]:
    wait = 0 if offer.is_loaded else {LOADING: 1, SLEEPING: 1, FAILED: 3}.get(offer.state, 2)
    return (wait, _coder_rank(offer.name), -offer.size, offer.name)


def _why(offer: Offer, count: int) -> str:
    if offer.state == FAILED:
        return FAILED_BEFORE
    if offer.is_loaded:
        return ALREADY_LOADED
    if _coder_rank(offer.name) < len(CODERS):
        return KNOWN_CODER
    return ONLY_ONE if count == 1 else LARGEST


def _not_found(usable: Sequence[Offer], wanted: str, asked: Asked, pull: str) -> ModelNotFoundError:
    from difflib import get_close_matches  # noqa: PLC0415  for this message alone

    names = [one_line(offer.name) for offer in usable[:MOST_COMPARED]]
    nearest = get_close_matches(wanted, names, n=1, cutoff=0.5)
    steps = [f"Did you mean {nearest[0]}?"] if nearest else []
    steps.append(
        f"It has: {', '.join(names[:MOST_LISTED])}{', …' if len(names) > MOST_LISTED else ''}."
        if names
        else "It has none."
    )
    if pull:
        steps.append(f"Get it: {pull.replace('NAME', one_line(wanted))}")
    return ModelNotFoundError(f"{asked.server} at {asked.url} has no model {wanted!a}", hint=" ".join(steps))
