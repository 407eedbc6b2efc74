"""The model's reply → claims, by our own rules. A grammar on the server is a hint; this is the check.

Nothing is guessed: a reply that does not have the form is an error, so that it can be asked for again and is
never taken for "no findings".
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from kilo_review.errors import BadReplyError
from kilo_review.finding import Category, Severity

MOST_FINDINGS = 50
LONGEST_TITLE = 120
LONGEST_MESSAGE = 1000
LONGEST_QUOTE = 2000
MOST_DIGITS = 9
# Patterns are text here and in the other modules that a start passes through: `re` compiles and keeps them when
# they are first used, which at a commit with nothing to review is never.
_THINKING = r"(?is)\A\s*(?:<think(?:ing)?>)?.*?</think(?:ing)?>"
_OPEN_THINKING = r"(?i)\A\s*<think(?:ing)?>"
_FENCE = r"(?is)```(?:json)?\s*\n(.*?)```"
_MODEL_CATEGORIES = {category.value: category for category in Category if category is not Category.UNICODE}


class Claim(NamedTuple):
    """What the model says, not yet tied to the code. `line` is None if it named none."""

    code: str
    file: str
    line: int | None
    problem: str
    severity: Severity
    title: str
    category: Category


def parse(text: str, reasoning: str = "") -> list[Claim]:
    """Read a reply.

    Args:
        text: the answer.
        reasoning: what came as thinking; read only if the answer is empty (LM Studio puts JSON there).

    Raises:
        BadReplyError: it is not a list of well-formed findings.
    """
    content = _without_thinking(text) if text.strip() else _without_thinking(reasoning)
    return [_claim(item) for item in _items(_json_in(content))]


def salvage(text: str) -> list[Claim]:
    """The complete findings of a reply that was cut off; possibly none."""
    claims: list[Claim] = []
    start = text.find("[") + 1
    decoder = json.JSONDecoder()
    while start and len(claims) < MOST_FINDINGS:
        start = text.find("{", start)
        if start < 0:
            break
        try:
            item, start = decoder.raw_decode(text, start)
            claims.append(_claim(item))
        except (ValueError, RecursionError, BadReplyError):
            break
    return claims


def _without_thinking(text: str) -> str:
    text = text.lstrip("\ufeff")
    if "</think" in text.lower():
        return re.sub(_THINKING, "", text, count=1).strip()
    if re.match(_OPEN_THINKING, text):
        raise BadReplyError("the model was still thinking when its answer ended")
    return text.strip()


def _json_in(text: str) -> Any:  # noqa: ANN401  it is whatever the model wrote
    """The first JSON value: the whole text, the inside of a code fence, or what begins at the first brace."""
    if not text:
        raise BadReplyError("the model's answer is empty")
    fenced = re.search(_FENCE, text)
    starts = [
        candidate for candidate in (text, fenced.group(1) if fenced else "", _from_first_brace(text)) if candidate
    ]
    for candidate in starts:
        try:
            value, end = _DECODER.raw_decode(candidate.strip())
        except (ValueError, RecursionError):
            continue
        if not candidate.strip()[end:].strip() or candidate is not text:
            return value
    raise BadReplyError("the model's answer is not JSON")


def _from_first_brace(text: str) -> str:
    match = re.search(r"[{\[]\s*[\"{\]}\[]", text)
    return text[match.start() :] if match else ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:  # noqa: ANN401
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _items(value: object) -> list[object]:
    if isinstance(value, dict):
        value = value.get("findings")
    if not isinstance(value, list):
        raise BadReplyError('the model\'s answer has no list "findings"')
    if len(value) > MOST_FINDINGS:
        raise BadReplyError(f"the model's answer has {len(value)} findings; nobody reads more than {MOST_FINDINGS}")
    return value


def _claim(item: object) -> Claim:
    if not isinstance(item, dict):
        raise BadReplyError("a finding of the model is not an object")
    return Claim(
        code=_text(item, "code", LONGEST_QUOTE),
        file=_text(item, "file", LONGEST_QUOTE),
        line=_line(item.get("line")),
        problem=_text(item, "problem", LONGEST_MESSAGE),
        severity=_severity(item),
        title=_text(item, "title", LONGEST_TITLE),
        category=_category(item),
    )


def _text(item: dict[str, Any], name: str, longest: int) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise BadReplyError(f"a finding of the model has no text {name!r}")
    return value if len(value) <= longest else value[: longest - 1] + "…"


def _line(value: object) -> int | None:
    """A number, also one in quotes: it only decides between equal lines of code."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS
        else None
    )


def _severity(item: dict[str, Any]) -> Severity:
    value = _text(item, "severity", LONGEST_TITLE).strip().lower()
    if value not in set(Severity):
        raise BadReplyError(f"a finding of the model has the unknown severity {value!a}")
    return Severity(value)


def _category(item: dict[str, Any]) -> Category:
    value = _text(item, "type", LONGEST_TITLE).strip().lower()
    if value not in _MODEL_CATEGORIES:
        raise BadReplyError(f"a finding of the model has the unknown type {value!a}")
    return _MODEL_CATEGORIES[value]
