"""Secrets in lines that are quoted: masked, so that a report does not carry them to further readers.

What is masked: private keys, also parts of them; what detect-secrets finds (`detectors`); and what stands where secrets
are put: in the address of a server, in a header, in an environment file.

What is not: ids of git objects and digests (hexadecimal of their lengths, `sha256-…`), UUIDs, alphabets, placeholders,
paths, names of secrets, and what stands after `password =` but is no literal. Literals with white space count as prose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.sanitize import detectors, places
from kilo_review.sanitize.literals import is_bare, is_literal, is_mixed
from kilo_review.sanitize.repeated import SHORTEST, Repeated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "[masked]"
MOST_SHOWN = 4
"""So many characters, and never more than a quarter, tell which secret it was."""


class Span(NamedTuple):
    """Where a secret stands, and how much of it may be shown."""

    start: int
    end: int
    shown: int = MOST_SHOWN


def masked(text: str, repeated: Repeated | None = None) -> str:
    """The text with each secret cut to its first characters; line breaks stay where they are.

    Args:
        text: what is masked.
        repeated: finds further secrets, which were seen elsewhere.
    """
    known = [Span(*found) for found in repeated.found(text)] if repeated else []
    pieces, at = [], 0
    for start, end, shown in _merged([*_spans(text), *known]):
        secret = text[start:end]
        is_rest = len(secret) <= MOST_SHOWN and text.startswith(MASK, end + 1)  # and a quotation mark between them
        if not secret.endswith(MASK) and not is_rest:
            pieces += [text[at:start], secret[: min(shown, len(secret) // 4)], MASK]
            at = end
    return "".join([*pieces, text[at:]])


def seen_in(texts: Iterable[str]) -> Repeated | None:
    """What finds the secrets of these texts wherever they stand again, such as in the words that tell of them."""
    found = {text[span.start : span.end] for text in texts for span in _merged(_spans(text))}
    known = [line for each in found for line in each.split("\n") if len(line) >= SHORTEST and not line.endswith(MASK)]
    return Repeated(known) if known else None


def _spans(text: str) -> list[Span]:
    found = (Span(start, end) for start, end in detectors.found(text))
    placed = (Span(start, end) for start, end in places.found(text))
    return [*_keys(text), *placed, *_assigned(text), *_settings(text), *found]


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            merged[-1] = Span(last.start, max(last.end, span.end), min(last.shown, span.shown))
        else:
            merged.append(span)
    return merged


# Private keys

_KEY = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}(.*?)(-{4,5} ?END|\Z)", re.DOTALL)
_LEAD, _TRAIL = r"[ \t+\-\"'>|#*]*+", r"(?:\\n)?[ \t\"',+;\\]*+"
"""What stands around a line of a key in a diff or in code."""
_KEY_LINE = re.compile(rf"^{_LEAD}([A-Za-z0-9+/]{{60,80}}={{0,2}}){_TRAIL}$", re.MULTILINE)
_BARE_LINE = re.compile(rf"{_LEAD}([A-Za-z0-9+/=]++){_TRAIL}")
_HEADER_LINE = re.compile(rf"{_LEAD}(?:[A-Z][A-Za-z-]++: .*)?{_TRAIL}")
_KEY_PART = re.compile(r"[A-Za-z0-9+/=]{32,}+")
_LINE = re.compile(r"[^\n]+")


def _keys(text: str) -> Iterator[Span]:
    """The lines of private keys, also of those that are quoted in part; nothing of them is shown."""
    for key in _KEY.finditer(text):
        if key[2] and "\n" not in key[1]:
            yield Span(*key.span(1), shown=0)
        else:
            yield from _key_lines(text, key.start(1), key.end(1), is_whole=bool(key[2]))
    yield from (Span(*line.span(1), shown=0) for line in _KEY_LINE.finditer(text) if is_mixed(line[1]))


def _key_lines(text: str, start: int, end: int, *, is_whole: bool) -> Iterator[Span]:
    for line in _LINE.finditer(text, start, end):
        parts = list(_KEY_PART.finditer(text, *line.span()))
        if bare := _BARE_LINE.fullmatch(text, *line.span()):
            yield Span(*bare.span(1), shown=0)
        elif parts:
            yield from (Span(*part.span(), shown=0) for part in parts)
        elif not is_whole and not _HEADER_LINE.fullmatch(text, *line.span()):
            return  # the key was cut off above


# Assignments and settings

_ASSIGNED = re.compile(
    r"(?:secret|passw(?:or)?d|passphrase|pwd|api_?key|access_?key|secret_?key)"
    r"(?:\s{0,9}:\s{0,9}[A-Za-z_][\w.\[\]| ]{0,40}?)?\s{0,9}=\s{0,9}[bnru]{0,2}(['\"])"
    rf"((?:[^'\"\s]|{places.WITHIN}){{4,}}+)\1",
    re.IGNORECASE,
)
"""As Python writes it: with a type, or as bytes."""
_SETTING = re.compile(
    r"^[-+ \t#/*;]*+(?:export |set |ENV |ARG |\$env:)?+['\"]?([\w.-]++)['\"]?([ \t]*+[=:][ \t]*+)"
    r"([^\s'\"`#,;(){}\[\]<>$]++)(?:[ \t]++\#[^\n]*+)?+[ \t]*+$",
    re.MULTILINE,
)
_SECRET_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "secret_key",
    "private_key",
    "auth",
    "credential",
    "credentials",
    "_pass",
)
SHORTEST_SETTING = 8


def _assigned(text: str) -> Iterator[Span]:
    yield from (Span(*found.span(2)) for found in _ASSIGNED.finditer(text) if is_literal(found[2]))


def _settings(text: str) -> Iterator[Span]:
    """`DB_PASSWORD=hunter2` and `password: s3cr3t4you`: no quotes, so it must look like no name and no type."""
    for found in _SETTING.finditer(text):
        name, sign, value = found.groups()
        if name.lower().replace("-", "_").endswith(_SECRET_NAMES) and is_literal(value):
            is_variable = sign == "=" and name.isupper()
            if is_variable or is_bare(value) or _is_encoded(value):
                yield Span(*found.span(3))


def _is_encoded(text: str) -> bool:
    return len(text) >= SHORTEST_SETTING and bool(re.fullmatch(r"[A-Za-z0-9+/]+={1,2}", text)) and len(text) % 4 == 0
