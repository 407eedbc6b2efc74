"""An answer while it comes, bit by bit: joined once, watched for loops, and no longer than any answer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilo_review.models.base import objects_in
from kilo_review.models.faults import flood
from kilo_review.models.loops import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kilo_review.models.base import Reply

THINKING = frozenset({"thinking", "reasoning", "reasoning_content"})
"""Types of parts that are no answer."""
LARGEST_ANSWER = 1024 * 1024
"""Characters, thinking included; 32 thousand tokens, more than anybody asks for, are an eighth of it."""

LARGEST_REFUSAL = 1024


def text_in(content: object) -> str:
    """The text of an answer's `content`: a text, or a list of parts of which some are texts."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return text_in(content.get("text")) if content.get("type") not in THINKING else ""
    return "".join(map(text_in, content)) if isinstance(content, list) else ""


def thought_in(content: object) -> str:
    """What stands as thinking in the list of parts that an answer's `content` may be."""
    parts = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    return "".join(text_in(each.get("thinking") or each.get("text")) for each in parts if each.get("type") in THINKING)


def tool_in(delta: Mapping[str, Any]) -> str:
    """The name of a tool that the model calls; "" if it calls none."""
    calls = [*objects_in(delta.get("tool_calls")), *objects_in([delta.get("function_call")])]
    if not calls:
        return ""
    called = calls[0].get("function", calls[0])
    return (text_in(called.get("name")) if isinstance(called, dict) else "") or "without a name"


class Draft:
    """The pieces so far.

    Attributes:
        refusal: what the model says instead of an answer.
        is_filtered: whether a filter withheld a part.
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._size = 0
        self.refusal = ""
        self.is_filtered = False
        self._loops = LoopWatch()

    def add(self, text: str, reasoning: str) -> None:
        """Take the next piece.

        Raises:
            RepetitionError: the answer has begun to repeat itself.
            ServerFailedError: it is longer than any answer.
        """
        self._text.append(text)
        self._reasoning.append(reasoning)
        self._size += len(text) + len(reasoning)
        if self._size > LARGEST_ANSWER:
            raise flood(LARGEST_ANSWER)
        self._loops.feed(reasoning + text)

    def refuse(self, text: str) -> None:
        """Take the next piece of a refusal; its beginning is enough."""
        if len(self.refusal) < LARGEST_REFUSAL:
            self.refusal += text[:LARGEST_REFUSAL]

    def write(self, reply: Reply) -> None:
        """Put the answer into the reply."""
        reply.text, reply.reasoning = "".join(self._text), "".join(self._reasoning)
