"""One chunk → answers: it is halved where it or its answer was too long, so there may be several."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import BadReplyError, BrokenStreamError, CutReplyError, ModelError, PromptTooLongError
from kilo_review.plan.chunk import Chunk
from kilo_review.review import voting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.judge.anchor import Anchored
    from kilo_review.review.chunker import Packer
    from kilo_review.review.model_client import Asker


class Answer(NamedTuple):
    """What came of asking about one chunk, or a half of one.

    Attributes:
        chunk: what was asked about.
        found: what was found; with an error, what of it could be saved.
        error: why this is not the whole answer; None if it is.
    """

    chunk: Chunk
    found: list[Anchored]
    error: ModelError | None = None


def answers_to(asker: Asker, packer: Packer, chunk: Chunk, votes: int) -> Iterator[Answer]:
    """Ask about one chunk.

    Args:
        asker: asks.
        packer: knows what fits.
        chunk: what is asked about.
        votes: answers that are wanted.

    Raises:
        ModelError: the model cannot be asked any more; what came before has been told.
    """
    saved: list[Anchored] = []
    try:
        packer.check(chunk)
        found = voting.found(asker, chunk, votes, saved.extend)
    except (PromptTooLongError, CutReplyError) as error:
        yield from _in_halves(asker, packer, chunk, votes, error, saved)
    except (BadReplyError, BrokenStreamError) as error:
        yield Answer(chunk, saved, error)
    except BaseException as error:  # Ctrl-C too, and a connection that another thread has closed
        if saved:
            yield Answer(chunk, saved, error if isinstance(error, ModelError) else ModelError("interrupted"))
        raise
    else:
        yield Answer(chunk, found)


def _in_halves(
    asker: Asker,
    packer: Packer,
    chunk: Chunk,
    votes: int,
    error: PromptTooLongError | CutReplyError,
    saved: list[Anchored],
) -> Iterator[Answer]:
    """What was too long at once; `saved` is what answers before this one have found."""
    if isinstance(error, PromptTooLongError):
        try:
            packer.learn(error, chunk)
        except ModelError as worse:
            if saved:
                yield Answer(chunk, saved, worse)
            raise
    # A prompt that is too long is cut even inside a hunk; an answer that is too long is no reason for that.
    halves = chunk.halves(cut_hunks=isinstance(error, PromptTooLongError))
    if halves is None:
        rescued = voting.rescued(asker, chunk, error) if isinstance(error, CutReplyError) else []
        yield Answer(chunk, [*saved, *rescued], error)
        return
    if saved:  # the halves are asked about all the same
        yield Answer(Chunk([], chunk.rules_of), saved)
    for half in halves:
        yield from answers_to(asker, packer, half, votes)
