"""Answers on the OpenAI wire: server-sent events, or one JSON object from a server that does not stream."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from kilo_review.errors import BrokenStreamError, ModelError
from kilo_review.models.base import Reply, count_of, seconds_of
from kilo_review.models.draft import Draft, text_in, thought_in, tool_in
from kilo_review.models.elsewhere import ANY_HINT, refuse_remote_model
from kilo_review.models.faults import OK, Asked, fault, not_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MILLISECONDS = 1e3
CUT = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons of an answer that hit a limit."""


def read_events(lines: Iterator[bytes], asked: Asked, failed: Callable[[int, str], ModelError] | None = None) -> Reply:
    """Read an answer to its end: a stream of events, or one JSON object from a server that does not stream.

    Args:
        lines: of the answer.
        asked: for messages.
        failed: makes the error of what the server reports; None: `fault` does.

    Raises:
        BrokenStreamError: it ended before a finish reason came.
        ModelError: the server reported a failure inside the stream.
    """
    reply, draft = Reply(), Draft()
    finished = False
    for kind, data in _events(lines):
        if data == "[DONE]":
            break
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise not_json(asked, data, "Is the base URL right?") from None
        if not isinstance(event, dict) or kind == "error" or event.get("error") or event.get("object") == "error":
            raise failed(OK, data) if failed else fault(asked, OK, data)
        refuse_remote_model(asked.model, event, sent=True, hint=ANY_HINT)
        reply.model = reply.model or _string(event.get("model"))
        _count(reply, event)
        finished = _take_choice(reply, draft, event) or finished
    if not finished:
        raise BrokenStreamError(f"the answer of {asked.server} ended before its end", hint="Its log tells why")
    draft.write(reply)
    return reply


def _events(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """Server-sent events: (kind, data). Comment lines only prove that the server lives."""
    kind = "message"
    data: list[str] = []
    is_first = True
    for raw in lines:
        line = raw.decode("utf-8", "replace")
        line, is_first = (line.removeprefix("\ufeff") if is_first else line), False
        if not line:
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name.lstrip().startswith(("{", "<")):  # an answer or an error as one object, or a page
            yield from _objects(line, lines)
    if data:
        yield kind, "\n".join(data)


def _objects(line: str, lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    """What stands in an answer without the form of events: JSON objects, each over one line or several; or a page."""
    text = ""
    for each in chain([line], (raw.decode("utf-8", "replace") for raw in lines)):
        text += each if not text else f"\n{each}"
        if text.startswith("<"):
            break
        is_end = each.rstrip().endswith("}") and (text is each or each.startswith("}"))
        if is_end and _is_whole(text):
            yield "object", text
            text = ""
    if text.strip():
        yield "error", text


def _is_whole(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _take_choice(reply: Reply, draft: Draft, event: Mapping[str, Any]) -> bool:
    """Add one piece of the answer; True when the server says that it is complete."""
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta") or choice.get("message") or {}
    if isinstance(delta, dict):
        content = delta.get("content")
        thought = _string(delta.get("reasoning_content")) or _string(delta.get("reasoning")) or thought_in(content)
        draft.add(text_in(content), thought)
        reply.tool = reply.tool or tool_in(delta)
    reason = choice.get("finish_reason")
    if reason in CUT:
        reply.is_cut = True
    return isinstance(reason, str) and bool(reason)  # LocalAI writes "" where others write null


def has_thought(reply: Reply) -> bool:
    """Whether a model has thought before it answered; some servers deliver the answer itself as thinking."""
    if "<think" in reply.text:  # models that do not think write an empty one
        return bool(re.search(r"(?i)<think(?:ing)?>\s*(?!</think|\s)", reply.text))
    thought = reply.reasoning.strip()
    return bool(thought) and bool(reply.text.strip() or not thought.startswith("{"))


def _count(reply: Reply, event: Mapping[str, Any]) -> None:
    usage = event.get("usage")
    if isinstance(usage, dict):
        reply.prompt_tokens = count_of(usage.get("prompt_tokens"))
        reply.completion_tokens = count_of(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            reply.cached_prompt_tokens = count_of(details.get("cached_tokens"))
    timings = event.get("timings")
    if isinstance(timings, dict):
        reply.cached_prompt_tokens = count_of(timings.get("cache_n")) or reply.cached_prompt_tokens
        reply.answer_seconds = seconds_of(timings.get("predicted_ms"), MILLISECONDS)
        reply.reading_seconds = seconds_of(timings.get("prompt_ms"), MILLISECONDS)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""
