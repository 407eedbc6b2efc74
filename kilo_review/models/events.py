"""Answers on the OpenAI wire: server-sent events, or one JSON object from a server that does not stream."""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from kilo_review.core.errors import BadReplyError, BrokenStreamError, ModelError, WrongServerError
from kilo_review.models.base import Reply, count_of, seconds_of
from kilo_review.models.draft import Draft, text_in, thought_in, tool_in
from kilo_review.models.elsewhere import ANY_HINT, refuse_remote_model
from kilo_review.models.faults import LONGEST_QUOTE, OK, Asked, fault, not_json
from kilo_review.sanitize.terminal import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MILLISECONDS = 1e3
CUT = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons of an answer that hit a limit."""
FILTERED = "content_filter"
"""Finish reason of an answer of which a part, or all, was withheld."""
CHUNK = "chat.completion.chunk"
"""What a piece of an answer calls itself."""


def read_events(lines: Iterator[bytes], asked: Asked, failed: Callable[[int, str], ModelError] | None = None) -> Reply:
    """Read an answer to its end: a stream of events, or one JSON object from a server that does not stream.

    Args:
        lines: of the answer.
        asked: for messages.
        failed: makes the error of what the server reports; None: `fault` does.

    Raises:
        BrokenStreamError: it ended before a finish reason came. An answer in one object needs none.
        BadReplyError: the model refused, or a filter withheld the answer.
        ModelError: the server reported a failure inside the stream, or does not answer as a chat.
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
        choice = _choice(event)
        _refuse_completions(asked, choice)
        finished = _take_choice(reply, draft, choice) or _is_whole_answer(kind, event, choice) or finished
    if not finished:
        raise BrokenStreamError(f"the answer of {asked.server} ended before its end", hint="Its log tells why")
    draft.write(reply)
    _refuse_withheld(asked, draft, reply)
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


def _choice(event: Mapping[str, Any]) -> dict[str, Any]:
    choices = event.get("choices")
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _is_whole_answer(kind: str, event: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
    """Tell whether an answer came in one JSON object, whose last brace is its end; some servers give no reason then."""
    return kind == "object" and event.get("object") != CHUNK and isinstance(choice.get("message"), dict)


def _refuse_completions(asked: Asked, choice: Mapping[str, Any]) -> None:
    """Refuse the form of `/v1/completions`.

    Raises:
        WrongServerError: the choice has a text, and no message.
    """
    if choice.get("text") and not (choice.get("delta") or choice.get("message")):
        raise WrongServerError(
            f"{asked.server} at {asked.url} answers as /completions does, with a text instead of a message",
            hint="A server for /chat/completions is needed: a newer version of this one may be, or another one",
        )


def _refuse_withheld(asked: Asked, draft: Draft, reply: Reply) -> None:
    """Refuse what is no answer, although it ended.

    Raises:
        BadReplyError: the model refused, or a filter withheld the answer or a part of it.
    """
    if draft.is_filtered:
        raise BadReplyError(
            f"a content filter of {asked.server} withheld the model's answer, or a part of it",
            hint="Switch the filter off in the server's settings, or choose another model",
        )
    said = one_line(draft.refusal[: 2 * LONGEST_QUOTE]).strip()
    if said and not reply.text.strip():
        raise BadReplyError(f"the model refused to answer ({shortened(said, LONGEST_QUOTE)})")


def _take_choice(reply: Reply, draft: Draft, choice: Mapping[str, Any]) -> bool:
    """Add one piece of the answer; True when the server says that it is complete."""
    delta = choice.get("delta") or choice.get("message") or {}
    if isinstance(delta, dict):
        content = delta.get("content")
        thought = _string(delta.get("reasoning_content")) or _string(delta.get("reasoning")) or thought_in(content)
        draft.add(text_in(content), thought)
        reply.tool = reply.tool or tool_in(delta)
        draft.refuse(text_in(delta.get("refusal")))
    reason = choice.get("finish_reason")
    if reason in CUT:
        reply.is_cut = True
    draft.is_filtered = draft.is_filtered or reason == FILTERED
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
