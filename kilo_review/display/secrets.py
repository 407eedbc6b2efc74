"""Secrets in lines that are quoted: masked, so that a report does not carry them to further readers.

What is masked: private keys, also parts of them; what detect-secrets finds (`detectors`); and what stands where secrets
are put: in the address of a server, in a header, in an environment file.

What is not: ids of git objects and digests (hexadecimal of their lengths, `sha256-…`), UUIDs, alphabets, placeholders,
paths, names of secrets, and what stands after `password =` but is no literal. Literals with white space count as prose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.display import detectors
from kilo_review.display.literals import is_literal, is_mixed, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MASK = "[masked]"
MOST_SHOWN = 4
"""So many characters, and never more than a quarter, tell which secret it was."""
SHORTEST_REPEATED = 6
"""Characters of a secret that is masked wherever it stands again; a shorter one may be any word."""


class Span(NamedTuple):
    """Where a secret stands, and how much of it may be shown."""

    start: int
    end: int
    shown: int = MOST_SHOWN


def masked(text: str, repeated: re.Pattern[str] | None = None) -> str:
    """The text with each secret cut to its first characters; line breaks stay where they are.

    Args:
        text: what is masked.
        repeated: finds further secrets, which were seen elsewhere.
    """
    known = [Span(*found.span()) for found in repeated.finditer(text)] if repeated else []
    pieces, at = [], 0
    for start, end, shown in _merged([*_spans(text), *known]):
        secret = text[start:end]
        if not secret.endswith(MASK):
            pieces += [text[at:start], secret[: min(shown, len(secret) // 4)], MASK]
            at = end
    return "".join([*pieces, text[at:]])


def seen_in(texts: Iterable[str]) -> re.Pattern[str] | None:
    """What finds the secrets of these texts wherever they stand again, such as in the words that tell of them."""
    found = {text[span.start : span.end] for text in texts for span in _merged(_spans(text))}
    known = [each for each in found if len(each) >= SHORTEST_REPEATED and "\n" not in each and not each.endswith(MASK)]
    words = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None


def _spans(text: str) -> list[Span]:
    found = (Span(start, end) for start, end in detectors.found(text))
    return [*_keys(text), *_placed(text), *_assigned(text), *_settings(text), *found]


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


# Places where secrets are put

_PLACES = (
    re.compile(r"://[^\s/@:'\"]*+:([^\s/@'\"]++)@"),
    re.compile(
        r"authorization['\"]?\s{0,9}[:=,]\s{0,9}['\"]?(?:bearer|basic|token)\s{1,9}([^\s'\"`]{6,})", re.IGNORECASE
    ),
    re.compile(r"AccountKey=([A-Za-z0-9+/]{40,}+={0,2})"),
    re.compile(r"[;\"'](?:password|pwd)\s{0,9}=\s{0,9}([^;\s'\"()]++)", re.IGNORECASE),
    re.compile(r"\bidentified\s{1,9}by\s{1,9}['\"]([^'\"\n]++)['\"]", re.IGNORECASE),
)
_LIKELY_PLACES = (
    re.compile(r"\bbearer\s{1,9}([\w.~+/-]{16,}+={0,2})", re.IGNORECASE),
    re.compile(r"[?&][\w-]{0,40}(?:token|key|secret|signature|sig|password|pwd)=([^&\s'\"<>#]{8,}+)", re.IGNORECASE),
    re.compile(
        r"(?:token|passphrase|credentials?)['\"]?\]?\s{0,9}[:=]{1,2}\s{0,9}['\"]([^\s'\"]{16,}+)['\"]", re.IGNORECASE
    ),
    re.compile(
        r"\b((?:github_pat_|gh[a-z]_|xox[a-z]-|xapp-|npm_|hf_|gl[a-z]{2,6}-|AIza|ya29\.|dop_v1_|shp[a-z]{2}_|whsec_"
        r"|[rs]k_(?:live|test)_|AGE-SECRET-KEY-1)[\w-]{16,}+|sk-[\w-]{32,}+)"
    ),
)
"""Here only what has a digit in it."""


def _placed(text: str) -> Iterator[Span]:
    for pattern in (*_PLACES, *_LIKELY_PLACES):
        for found in pattern.finditer(text):
            is_likely = pattern in _PLACES or any(map(str.isdigit, found[1]))
            if is_likely and not is_placeholder(found[1]):
                yield Span(*found.span(1))


_ASSIGNED = re.compile(
    r"(?:secret|passw(?:or)?d|passphrase|pwd|api_?key|access_?key|secret_?key)"
    r"(?:\s{0,9}:\s{0,9}[A-Za-z_][\w.\[\]| ]{0,40}?)?\s{0,9}=\s{0,9}[bru]{0,2}(['\"])([^'\"\s]{4,}+)\1",
    re.IGNORECASE,
)
"""As Python writes it: with a type, or as bytes."""
_SETTING = re.compile(
    r"^[-+ \t]*+(?:export |set |ENV |ARG )?+['\"]?([\w.-]++)['\"]?([ \t]*+[=:][ \t]*+)([^\s'\"`#,;(){}\[\]<>$]++)"
    r"(?:[ \t]++\#[^\n]*+)?+[ \t]*+$",
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
    "_pass",
)
SHORTEST_SETTING = 8


def _assigned(text: str) -> Iterator[Span]:
    yield from (Span(*found.span(2)) for found in _ASSIGNED.finditer(text) if is_literal(found[2]))


def _settings(text: str) -> Iterator[Span]:
    """`DB_PASSWORD=hunter2` and `password: s3cr3t4you`: no quotes, so unlike code as it holds two numbers at least."""
    for found in _SETTING.finditer(text):
        name, sign, value = found.groups()
        if name.lower().replace("-", "_").endswith(_SECRET_NAMES) and is_literal(value):
            is_variable = sign == "=" and name.isupper()
            if is_variable or (len(value) >= SHORTEST_SETTING and len(re.findall(r"\d+", value)) > 1):
                yield Span(*found.span(3))
