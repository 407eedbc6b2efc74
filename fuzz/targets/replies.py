"""What a model answers: findings, rulings, explanations. What cannot be read is never taken for "nothing found"."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from fuzz.strategies import hostile_text, json_values, numbers
from fuzz.target import property_of
from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import Category, Severity
from kilo_review.judge import parse as reading
from kilo_review.judge import remedy, verify
from kilo_review.sanitize.terminal import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn, SearchStrategy

KINDS = [category.value for category in Category if category is not Category.UNICODE]
AROUND = (
    *("{}", "```json\n{}\n```", "Here it is:\n{}\nThat is all.", "<think>Is it {{}}? []</think>{}", "hm</think> {}"),
    *("\ufeff{}", '{{"a": 1}} {}', "<think>{}", "{}</think>", "[] {}", '{{"findings": []}}\n{}', "{}{}", "{},"),
)
"""What models write around the JSON that they were asked for."""
WORDS = (
    *(b'"findings"', b'{"findings": []}', b'{"findings": [', b'"code":', b'"severity": "critical"', b'"type": "bug"'),
    *(b"</think>", b"<think>", b"```json", b"NaN", b"\\ud800", b"\\u0066indings", b'"confirmed": true', b'"evidence":'),
    *(b'"cause":', b'"remove":', b'"write":', b"\xef\xbb\xbf", b"[[[[[[[[", b'{"a":', b"1e999", b"{}", b"[]"),
)
LONGEST = {
    "code": reading.LONGEST_QUOTE,
    "file": reading.LONGEST_QUOTE,
    "problem": reading.LONGEST_MESSAGE,
    "title": reading.LONGEST_TITLE,
}
"""Characters of each text that a finding keeps."""
ITEM = '{"code":"x = 1","file":"a.py","line":3,"problem":"p","severity":"major","title":"t","type":"bug"}'


class Said(NamedTuple):
    """A reply.

    Attributes:
        text: the answer.
        reasoning: what came as thinking.
        items: the well-formed findings in it, if that is all there is in it.
    """

    text: str
    reasoning: str = ""
    items: tuple[dict[str, Any], ...] | None = None


def items() -> SearchStrategy[dict[str, Any]]:
    """A well-formed finding, in the model's own form."""
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(("code", "file", "problem", "title"), hostile_text),
            "line": numbers | st.none() | hostile_text,
            "severity": st.sampled_from([*Severity, "Critical ", "MINOR"]),
            "type": st.sampled_from(KINDS),
        },
        optional={"rule": hostile_text, "fix": json_values, "confidence": json_values},
    )


@st.composite
def _objects(draw: DrawFn, whole: SearchStrategy[Any]) -> Said:
    """JSON as a model gives it: alone, in prose, twice, with a part missing, or of another form."""
    value = draw(whole)
    value = json.loads(json.dumps(value))  # two halves of a surrogate pair become one character
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    text = _loosely(text) if draw(st.booleans()) else text
    around = draw(st.sampled_from(AROUND))
    if around == "{}":
        return Said(
            text,
            draw(hostile_text),
            tuple(value["findings"]) if isinstance(value, dict) and "findings" in value else None,
        )
    text = (
        around.replace("{{", "{").replace("}}", "}")
        if "{}" not in around
        else around.format(*[text] * around.count("{}"))
    )
    cut = draw(st.none() | st.integers(0, len(text)))
    return Said(text[:cut], draw(hostile_text))


def _loosely(text: str) -> str:
    """JSON with raw control characters, an escape that JSON does not have, and a comma behind the last element."""
    raw = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\b": "\b", "\\f": "\f", "\\\\d": "\\d"}
    loose = re.sub(r"\\\\d|\\.", lambda match: raw.get(match.group(), match.group()), text)
    return loose if not re.search(r"[^\[{]\s*[\]}]\Z", loose) else f"{loose[:-1]},{loose[-1]}"


def replies() -> SearchStrategy[Said]:
    """Replies to a review."""
    well_formed = st.lists(items(), max_size=3).map(lambda found: {"findings": found})
    odd = st.lists(items() | json_values, max_size=2).map(lambda found: {"findings": found, "note": ""})
    return _objects(well_formed) | _objects(odd | json_values).map(lambda said: said._replace(items=None)) | prose()


def prose() -> SearchStrategy[Said]:
    """Words, with or without thinking."""
    return st.tuples(hostile_text, hostile_text).map(lambda texts: Said(*texts))


def answers() -> SearchStrategy[Said]:
    """Replies to the question whether a claim stands, or why."""
    names = ("confirmed", "evidence", "cause", "example", "remove", "write")
    whole = st.dictionaries(st.sampled_from(names), hostile_text | st.booleans() | json_values)
    return _objects(whole).map(lambda said: said._replace(items=None)) | prose()


# What must be true


def check_reply(said: Said) -> None:
    """Findings come out whole, and none come out only if that is what the reply says."""
    try:
        claims = reading.parse(said.text, said.reasoning)
    except BadReplyError:
        assert said.items is None or not said.text.strip(), "a well-formed reply is refused"
    else:
        if not claims:
            assert _says_nothing(said.text if said.text.strip() else said.reasoning)
        _check_claims(claims)
        if said.items is not None:
            assert [_head(claim) for claim in claims] == [_expected(item) for item in said.items]
    salvaged = reading.salvage(said.text)
    _check_claims(salvaged)
    if said.items is not None:
        whole = reading.parse(said.text)
        assert salvaged == whole
        for cut in {len(said.text) // 3, len(said.text) // 2, len(said.text) - 1}:
            part = reading.salvage(said.text[:cut])
            assert part == whole[: len(part)], "what a cut reply holds is not what the whole one begins with"


def _says_nothing(content: str) -> bool:
    """Whether a reply names an empty list and no other: the whole of it, or each list that it speaks of."""
    content = content.lstrip("\ufeff").strip()
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        after = re.split(r"(?i)</think(?:ing)?>", content, maxsplit=1)[-1]
        spoken = re.findall(r'"findings"(\s*:\s*\[\s*\])?', after)
        return bool(spoken) and all(spoken)
    return (whole.get("findings") if isinstance(whole, dict) else whole) == []


def _check_claims(claims: list[reading.Claim]) -> None:
    assert len(claims) <= reading.MOST_FINDINGS
    for claim in claims:
        texts: tuple[Any, ...] = (claim.file, claim.problem, claim.title, claim.rule, claim.fix)
        assert all(isinstance(text, str) and len(text) <= reading.LONGEST_QUOTE for text in texts)
        assert isinstance(claim.code, str)
        assert len(claim.code) <= reading.LONGEST_CODE
        assert claim.line is None or type(claim.line) is int
        assert isinstance(claim.severity, Severity)
        assert claim.category.value in KINDS


def _head(claim: reading.Claim) -> tuple[str, ...]:
    return (
        claim.severity.value,
        claim.category.value,
        claim.code[:99],
        claim.file[:99],
        claim.problem[:99],
        claim.title[:99],
    )


def _expected(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        item["severity"].strip().lower(),
        item["type"],
        *(shortened(item[name], longest)[:99] for name, longest in LONGEST.items()),
    )


def check_answer(said: Said) -> None:
    """A ruling is a yes or a no and one line; an explanation has a cause."""
    for name in ("confirmed", "cause"):
        found = _tried(partial(reading.object_with, name, said.text))
        assert found is None or ((name in found and f'"{name}"' in said.text) or "\\" in said.text)
    ruling = _tried(lambda: verify.parse_ruling(said.text, said.reasoning))
    if ruling is not None:
        assert type(ruling.is_confirmed) is bool
        assert ruling.evidence == one_line(ruling.evidence)
        assert len(ruling.evidence) <= verify.LONGEST_EVIDENCE
    explanation = _tried(lambda: remedy.parse_explanation(said.text, said.reasoning))
    if explanation is not None:
        assert explanation.cause.strip()
        assert all(len(part) <= remedy.LONGEST and "\0" not in part for part in explanation)
        "".join(explanation).encode()


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except BadReplyError:
        return None


def _said(raw: bytes) -> Said:
    text, _, reasoning = raw.decode("utf-8", "surrogateescape").partition("\x1e")
    return Said(text, reasoning)


DEEP = (
    "[" * 10_000,
    '{"findings":' * 10_000,
    '{"findings": [' + "[" * 10_000,
    '{"a":' * 900 + '{"findings": []}',
    "{" * 10_000,
)
TARGETS = {
    "reply": property_of(
        check_reply,
        replies(),
        read=_said,
        seeds=(
            b'{"findings": [%s]}' % ITEM.encode(),
            b'Sure:\n```json\n{"findings": []}\n```',
            b"<think>so</think>[%s]" % ITEM.encode(),
            *(text.encode() for text in DEEP),
        ),
        words=WORDS,
    ),
    "answer": property_of(
        check_answer,
        answers(),
        read=_said,
        seeds=(
            b'{"confirmed": true, "evidence": "items == []"}',
            b'{"cause": "c", "example": "e", "remove": "x = 1", "write": "x = 2"}',
            *(text.encode() for text in DEEP),
        ),
        words=WORDS,
    ),
}
