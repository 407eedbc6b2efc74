"""How fast the model answers a question like those of a review, and what that means for a commit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kilo_review import doctor
from kilo_review.core.errors import DeadlineError, ModelError, SchemaRejectedError
from kilo_review.prompts import reply_schema

if TYPE_CHECKING:
    from kilo_review.core.deadline import Deadline
    from kilo_review.doctor import Check
    from kilo_review.models.base import Model, Reply
    from kilo_review.prompts import Prompts

LONGEST = 60.0
"""Seconds for the two questions, loading included."""
COMMIT_SECONDS = 20.0
"""What a commit waits for by default, of which a second is git's and ours."""
OWN_SECONDS = 1.0
ANSWER = {"num_predict": 96}
CHANGE = """\
FILE shop/cart.py
IN class Cart > def mean(self):
  11       def mean(self):
  12 +         total = sum(item.price for item in self.items)
  13 +         return total / {0}
"""
"""Ours, not the user's: two that differ only at their end, so that the second one's beginning is in the cache."""


def speed(model: Model, prompts: Prompts, deadline: Deadline) -> Check:
    """Ask twice: the first question loads the model, the second is measured."""
    end = deadline.within(LONGEST)
    try:
        _asked(model, prompts, "len(self.items)", end)
        started = time.monotonic()
        reply = _asked(model, prompts, "(len(self.items) or 1)", end)
        seconds = time.monotonic() - started
    except DeadlineError:
        return doctor.warning(
            "speed",
            f"no two short answers within {LONGEST:.0f} s: a commit would not be reviewed in time",
            "Use a smaller model (docs/models.md), and keep it loaded",
        )
    except ModelError as error:
        return doctor.problem("speed", f"the model does not answer: {error.message}", error.hint)
    hunks = int((COMMIT_SECONDS - OWN_SECONDS) / max(seconds, 0.01))
    text = f"{_words(reply, seconds)}: about {_amount(hunks)} in the {COMMIT_SECONDS:.0f} s of a commit"
    if hunks < 1:
        return doctor.warning("speed", text, "Use a smaller model (docs/models.md), or raise max_seconds")
    return doctor.ok("speed", text)


def _asked(model: Model, prompts: Prompts, divisor: str, deadline: Deadline) -> Reply:
    question = prompts.review(CHANGE.format(divisor))
    try:
        return model.ask(question, reply_schema(), deadline, ANSWER)
    except SchemaRejectedError:  # a review asks without one, too
        return model.ask(question, None, deadline, ANSWER)


def _words(reply: Reply, seconds: float) -> str:
    words = [f"{seconds:.1f} s for a small hunk"]
    read = reply.prompt_tokens - reply.cached_prompt_tokens
    if reply.reading_seconds > 0 and read > 0:
        words.append(f"reads {read / reply.reading_seconds:.0f} tokens/s")
    if reply.answer_seconds > 0 and reply.completion_tokens:
        words.append(f"writes {reply.completion_tokens / reply.answer_seconds:.0f} tokens/s")
    return ", ".join(words)


def _amount(hunks: int) -> str:
    many = 50
    return f"{many} hunks and more" if hunks > many else f"{hunks} hunk{'' if hunks == 1 else 's'}"
