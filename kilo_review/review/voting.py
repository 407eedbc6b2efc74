"""One chunk → findings: asked about once, or several times where the user wants a vote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import BadReplyError, CutReplyError
from kilo_review.judge.anchor import anchor
from kilo_review.judge.vote import is_decided, majority
from kilo_review.models.base import AS_EVER
from kilo_review.plan.chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kilo_review.judge.anchor import Anchored
    from kilo_review.judge.parse import Claim
    from kilo_review.review.model_client import Asker

WARMTH = 0.4
"""Temperature of the further answers: at 0 they would all be the first one (docs/prompts.md)."""
UNSEEDED = 7


def found(asker: Asker, chunk: Chunk, votes: int, keep: Callable[[list[Anchored]], None]) -> list[Anchored]:
    """What the model finds in a chunk; with several votes, what most of its answers agree on.

    The first answer is the one that a review without a vote would get. No more are asked for once the rest could
    not change the result.

    Args:
        asker: the model.
        chunk: what is asked about.
        votes: answers that are wanted.
        keep: told what the answers so far have seen, if the next one cannot be had.

    Raises:
        BadReplyError: no answer can be read.
        ModelError: the model could not be asked.
    """
    samples: list[list[Anchored]] = []
    unread: list[BadReplyError] = []
    for number in range(votes):
        if number and is_decided(samples, votes, votes - number):
            break
        try:
            claims = asker.claims(_turned(chunk, number), _sampling(asker, number) if number else AS_EVER)
        except BadReplyError as error:
            if not number and isinstance(error, CutReplyError):
                raise  # asked in parts, it may answer
            unread.append(error)
        except BaseException:  # Ctrl-C too: what was seen is not lost
            keep(majority(samples, votes, votes - len(samples)))
            raise
        else:
            samples.append(_placed(claims, chunk))
    if not samples:
        raise unread[0]
    return majority(samples, votes, len(unread)) if votes > 1 else samples[0]


def rescued(asker: Asker, chunk: Chunk, error: CutReplyError) -> list[Anchored]:
    """What stands complete in an answer that was cut off."""
    return _placed(asker.rescued(error), chunk)


def _placed(claims: Iterable[Claim], chunk: Chunk) -> list[Anchored]:
    return [_under_its_rule(each, chunk) for each in anchor(claims, chunk.pieces)]


def _under_its_rule(each: Anchored, chunk: Chunk) -> Anchored:
    """With the rule that it names, if that is about its file, and with that rule's severity."""
    finding = each.finding
    about, named = chunk.rules_of.get(finding.path, ()), finding.rule.strip().lower()
    rule = next((rule for rule in about if rule.name.lower() == named), None)
    if rule is None:
        return each._replace(finding=finding._replace(rule=""))
    return each._replace(finding=finding._replace(rule=rule.name, severity=rule.severity or finding.severity))


def _turned(chunk: Chunk, number: int) -> Chunk:
    """The same hunks in another order: what comes first is read best."""
    at = number % len(chunk.pieces)
    return Chunk([*chunk.pieces[at:], *chunk.pieces[:at]], chunk.rules_of)


def _sampling(asker: Asker, number: int) -> dict[str, Any]:
    parameters = asker.model.parameters
    seed = parameters.get("seed")
    return {
        "seed": (seed if isinstance(seed, int) else UNSEEDED) + number,
        "temperature": parameters.get("temperature") or WARMTH,
    }
