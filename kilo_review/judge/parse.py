"""The model's reply → claims, by our own rules. A grammar on the server is a hint; this is the check.

Nothing is guessed: a reply that does not have the form is an error, so that it can be asked for again and is
never taken for "no findings".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import Category, Severity
from kilo_review.judge import loose_json
from kilo_review.sanitize.terminal import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_FINDINGS = 50
LONGEST_TITLE = 120
LONGEST_MESSAGE = 1000
LONGEST_QUOTE = 2000
LONGEST_CODE = 1 << 16
"""Characters of quoted code; longer lines fit no request."""
MOST_DIGITS = 9
MOST_BRACES = 200
LONGEST_PROSE = 1 << 16
"""Characters of an answer that is not JSON as a whole; each brace in it may cost as much time as all of it."""
OF_A_FINDING = frozenset({"code", "problem", "severity", "issue", "line", "title", "type"})
FEWEST_KEYS = 2
"""So many of these keys, in any case, has an object of a reply that is a finding."""
DEEPEST = 5
REMEDIES = ("fix", "suggestion", "suggested_fix", "replacement")
"""Names under which models add a fix of their own accord."""
SEVERITIES = {
    **{severity.value: severity for severity in Severity},
    **dict.fromkeys(("blocker", "fatal", "severe", "high", "error"), Severity.CRITICAL),
    **dict.fromkeys(("medium", "moderate", "warning", "warn"), Severity.MAJOR),
    **dict.fromkeys(("low", "info", "informational", "information", "note", "notice", "hint"), Severity.MINOR),
}
"""What models say for a severity: the words of other scales as the worst that they can mean here (docs/usage.md).

Each finding that would block is verified, so too high a word costs one request, and too low a one hides a defect. A
word that stands in no scale is an error, and the model is asked again."""
# Patterns are text here and in the other modules that a start passes through: `re` compiles and keeps them when
# they are first used, which at a commit with nothing to review is never.
_THINKING = r"(?is)\A\s*+(?:<think(?:ing)?>)?.*?</think(?:ing)?>"
_FENCED = r"(?s)\A```(?:json)?\s*(.*?)\s*```\Z"
_OPEN_THINKING = r"(?i)\A\s*<think(?:ing)?>"
_MODEL_CATEGORIES = {category.value: category for category in Category if category is not Category.UNICODE}


class Claim(NamedTuple):
    """What the model says, not yet tied to the code.

    Attributes:
        code: the quoted line or lines.
        file: the path that it names.
        line: the number that it names, or None.
        problem: what goes wrong.
        severity: how bad.
        title: in short.
        category: what kind of wrong.
        rule: the project's rule that it names, or "".
        fix: a remedy, which nobody asked for.
        objection: why it cannot be right, if that was clear from its words; "" otherwise.
        doubt: why it must be confirmed before it counts, if that was clear from its words; "" otherwise.
    """

    code: str
    file: str
    line: int | None
    problem: str
    severity: Severity
    title: str
    category: Category
    rule: str = ""
    fix: str = ""
    objection: str = ""
    doubt: str = ""


def parse(text: str, reasoning: str = "") -> list[Claim]:
    """Read a reply.

    Args:
        text: the answer.
        reasoning: what came as thinking; read only if the answer is empty (LM Studio puts JSON there).

    Raises:
        BadReplyError: it is not a list of well-formed findings.
    """
    content = answer_of(text, reasoning)
    if not content:
        raise BadReplyError(
            "the model's answer is empty",
            hint="Load the model with a larger window, switch its thinking off, or try another one",
        )
    return [_claim(item) for item in _items(content)]


def answer_of(text: str, reasoning: str) -> str:
    """The answer; what came as thinking counts only where nothing else came, and it is JSON as a whole.

    Raises:
        BadReplyError: it is a thought, in which all kinds of answers may be turned over.
    """
    content = text.lstrip("\ufeff").strip()
    if content or not reasoning.strip():
        return content
    thought = re.sub(_FENCED, r"\1", _without_thinking(reasoning.lstrip("\ufeff").strip()))
    if _decoded(thought) is None:
        raise _still_thinking()
    return thought


def salvage(text: str) -> list[Claim]:
    """The complete findings of a reply that was cut off; possibly none."""
    claims: list[Claim] = []
    start = text.find("[") + 1
    while start and len(claims) < MOST_FINDINGS:
        start = text.find("{", start)
        if start < 0:
            break
        try:
            item, start = loose_json.at(text, start)
            claims.append(_claim(item))
        except (ValueError, BadReplyError):
            break
    return claims


def object_with(name: str, text: str, *, is_code: bool = False) -> dict[str, Any]:
    """The object that has this key: the whole text if it is JSON, else the only such object in the prose.

    Args:
        name: the key.
        text: the answer.
        is_code: a text of it takes the place of code, so none may have two readings.

    Raises:
        BadReplyError: there is none, or several that differ.
    """
    content = text.lstrip("\ufeff").strip()
    whole = _decoded(content, is_code=is_code)
    found = [whole] if whole is not None else list(_objects_in(_prose_of(content), is_code=is_code))
    candidates = [each for each in found if isinstance(each, dict) and name in each]
    if not candidates:
        raise BadReplyError(f"the model's answer has no {name!r}")
    if any(each != candidates[0] for each in candidates):
        raise BadReplyError("the model's answer holds several objects that differ")
    return candidates[0]


def _items(content: str) -> list[object]:
    """The list of findings: of the whole text if it is JSON, else of the only such object in the prose.

    Thinking is taken away only from what is not JSON as it stands: a finding may quote a line with `</think>`.
    """
    whole = _decoded(content)
    if whole is not None:
        _refuse_findings_elsewhere([whole] if isinstance(whole, dict) else [])  # a list is the list
        return _list_in(whole)
    prose = _prose_of(content)
    objects = [found for found in _objects_in(prose) if isinstance(found, dict)]
    candidates = [found for found in objects if "findings" in found]
    if not candidates:
        raise BadReplyError("the model's answer is not JSON")
    _refuse_findings_elsewhere(objects)
    if prose.count('"findings"') != len(candidates):
        raise BadReplyError("the model's answer holds a list of findings that is not JSON")
    lists = [_list_in(found) for found in candidates]
    if any(each != lists[0] for each in lists):
        raise BadReplyError("the model's answer holds several lists of findings that differ")
    return lists[0]


def _refuse_findings_elsewhere(objects: Sequence[object]) -> None:
    """Refuse an answer that holds what looks like a finding outside of its list."""
    todo = [({name: value for name, value in each.items() if name != "findings"}, 0) for each in _dicts(objects)]
    while todo:
        value, depth = todo.pop()
        if len(OF_A_FINDING & {name.lower() for name in value}) >= FEWEST_KEYS:
            raise BadReplyError("the model's answer holds a finding beside its list of findings")
        if depth < DEEPEST:
            todo += [(each, depth + 1) for each in _dicts(value.values())]


def _dicts(values: Iterable[object]) -> list[dict[str, Any]]:
    """Return the objects among some values, and in lists among them."""
    found: list[dict[str, Any]] = []
    for value in values:
        if isinstance(value, dict):
            found.append(value)
        elif isinstance(value, list):
            found += [each for each in value if isinstance(each, dict)]
    return found


def _decoded(text: str, *, is_code: bool = False) -> object:
    """The text as one JSON value, or None."""
    try:
        return loose_json.whole(text, is_code=is_code)
    except ValueError:
        return None


def _objects_in(text: str, *, is_code: bool = False) -> Iterator[object]:
    """Every JSON object in a text, one after the other."""
    start = text.find("{")
    for _ in range(MOST_BRACES):
        if start < 0:
            return
        try:
            value, end = loose_json.at(text, start, is_code=is_code)
        except ValueError:
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _prose_of(content: str) -> str:
    """An answer that is not JSON as a whole, but may hold some."""
    if len(content) > LONGEST_PROSE:
        raise BadReplyError("the model's answer is not JSON, and too long to be looked through for it")
    return _without_thinking(content)


def _without_thinking(text: str) -> str:
    if "</think" in text.lower():
        return re.sub(_THINKING, "", text, count=1).strip()
    if re.match(_OPEN_THINKING, text):
        raise _still_thinking()
    return text


def _still_thinking() -> BadReplyError:
    return BadReplyError(
        "the model was still thinking when its answer ended",
        hint="Switch its thinking off, or allow more with --option num_predict=4096",
    )


def _list_in(value: object) -> list[object]:
    found = value.get("findings") if isinstance(value, dict) else value
    if not isinstance(found, list):
        raise BadReplyError('the model\'s answer has no list "findings"')
    if len(found) > MOST_FINDINGS:
        raise BadReplyError(f"the model's answer has {len(found)} findings; nobody reads more than {MOST_FINDINGS}")
    return found


def _claim(item: object) -> Claim:
    if not isinstance(item, dict):
        raise BadReplyError("a finding of the model is not an object")
    return Claim(
        code=_quoted(item),
        file=_text(item, "file", LONGEST_QUOTE),
        line=_line(item.get("line")),
        problem=_text(item, "problem", LONGEST_MESSAGE),
        severity=_severity(item),
        title=_text(item, "title", LONGEST_TITLE),
        category=_category(item),
        rule=_optional(item, ("rule",), LONGEST_TITLE),
        fix=_optional(item, REMEDIES, LONGEST_QUOTE),
    )


def _text(item: dict[str, Any], name: str, longest: int) -> str:
    return shortened(_whole(item, name), longest)


def _whole(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise BadReplyError(f"a finding of the model has no text {name!r}")
    return value


def _quoted(item: dict[str, Any]) -> str:
    """Return the quotation, to the letter: with a mark of an omission it would not be found in the code."""
    return _whole(item, "code")[:LONGEST_CODE]


def _optional(item: dict[str, Any], names: tuple[str, ...], longest: int) -> str:
    """A text that need not be there, under the first of several names; half of a remedy is none."""
    values = (item.get(name) for name in names)
    found = next((value for value in values if isinstance(value, str)), "")
    return found if len(found) <= longest else ""


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
    if value not in SEVERITIES:
        raise BadReplyError(f"a finding of the model has the unknown severity {value!a}")
    return SEVERITIES[value]


def _category(item: dict[str, Any]) -> Category:
    value = _text(item, "type", LONGEST_TITLE).strip().lower()
    if value not in _MODEL_CATEGORIES:
        raise BadReplyError(f"a finding of the model has the unknown type {value!a}")
    return _MODEL_CATEGORIES[value]
