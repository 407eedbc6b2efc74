"""What detect-secrets finds in a text, with its patterns and its measure of randomness.

Nothing else of it is used: nothing is verified with a server, and no baseline, settings or plug-ins are read. It is
loaded only where a cheap look says that it may find something.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.sanitize.literals import is_identifier, is_literal, is_mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LONGEST_PIECE = 400
OVERLAP = 100
"""Longer lines are looked at in pieces, since some patterns take quadratic time."""

SHORTEST_TOKEN = 16
UNUSED = frozenset({"azure_storage_key", "basic_auth", "high_entropy_strings", "ip_public", "keyword", "private_key"})
"""An address is no secret; the others are used otherwise here, or by `secrets` in a form that finds more."""

QUOTES = frozenset("'\"`")
_WORD = re.compile(r"\w*")
_KEYWORD = re.compile(
    r"(?:api|auth|service|account|db|database|priv|private|client)_?key|(?:db|database|key)_?pass|passw|pwd|secret|contrase",
    re.IGNORECASE,
)
_LONG_WORD = re.compile(rf"[\w+/=.-]{{{SHORTEST_TOKEN},}}+|\bA(?:KC|P[\dA-F])\w{{8,}}+")
_QUOTED = re.compile(r"(['\"])([A-Za-z0-9+/=_-]{20,}+)\1")
_PIECE = re.compile(r"(?:(?!\s{40})[^\n])+")
"""No long white space: on that, some patterns take cubic time."""

_CORE = re.compile(r"[^\s=:\"](?:.*[^\s\"])?")
"""A token without what was matched around it."""

_REST = re.compile(r"[\w+/=-]*+(?:\.[\w+/=-]++)*+")
_NAME_OF_OTHER_THINGS = re.compile(
    r"\w*?(?:name|field|label|header|prompt|hint|help|path|file|dir|url|uri|env|var|variable|type|id|title|text|message|error"
    r"|format|placeholder|regex|pattern|policy|algorithm|column|prefix|suffix|ref)s?",
    re.IGNORECASE,
)


class _Detectors(NamedTuple):
    tokens: tuple[re.Pattern[str], ...]
    keywords: Mapping[re.Pattern[str], int]
    """And which group is the secret."""

    is_random: Callable[[str], bool]


def found(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end."""
    return look(text) if is_worth_a_look(text) else iter(())


def is_worth_a_look(text: str) -> bool:
    """Whether `look` may find something; loads nothing."""
    keywords = (line for line in text.split("\n") if _KEYWORD.search(line))
    return any(QUOTES & set(line) for line in keywords) or any(
        _has_digit(word[0]) for word in _LONG_WORD.finditer(text)
    )


def look(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end."""
    detectors = _loaded()
    yield from (quoted.span(2) for quoted in _QUOTED.finditer(text) if _is_secret(quoted[2], detectors))
    covered: dict[re.Pattern[str], int] = {}
    for start, end in _pieces(text):
        yield from _tokens(text, start, end, detectors, covered)
        yield from _literals(text, start, end, detectors)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    for line in _PIECE.finditer(text):
        for start in range(line.start(), line.end(), LONGEST_PIECE - OVERLAP):
            yield start, min(start + LONGEST_PIECE, line.end())


def _tokens(
    text: str, start: int, end: int, detectors: _Detectors, covered: dict[re.Pattern[str], int]
) -> Iterator[tuple[int, int]]:
    """Tokens by their form. Some patterns end early, so what goes on like the token belongs to it.

    Args:
        text: the whole.
        start: of the piece that is looked at.
        end: of it.
        detectors: the patterns.
        covered: up to where the tokens of each pattern reach that were found so far.
    """
    for pattern in detectors.tokens:
        for match in pattern.finditer(text, start, end):
            groups = [group for group in range(1, pattern.groups + 1) if len(match[group] or "") >= SHORTEST_TOKEN]
            core = _CORE.search(text, *match.span(groups[0] if groups else 0))
            if core and core.end() > covered.get(pattern, 0) and _has_digit(core[0]):
                rest = _REST.match(text, core.end())
                covered[pattern] = rest.end() if rest else core.end()
                yield core.start(), covered[pattern]


def _literals(text: str, start: int, end: int, detectors: _Detectors) -> Iterator[tuple[int, int]]:
    """Literals after, or compared with, names such as `password`; not after `password_field`."""
    if not QUOTES & set(text[start:end]):
        return
    for pattern, group in detectors.keywords.items():
        for match in pattern.finditer(text, start, end):
            name = _WORD.match(text, match.start(), end)
            is_quoted = text[match.start(group) - 1] in QUOTES
            if is_quoted and is_literal(match[group]) and not (name and _NAME_OF_OTHER_THINGS.fullmatch(name[0])):
                yield match.span(group)


def _is_secret(text: str, detectors: _Detectors) -> bool:
    return not is_identifier(text) and detectors.is_random(text)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


@cache
def _loaded() -> _Detectors:
    from importlib import import_module  # noqa: PLC0415
    from pkgutil import iter_modules  # noqa: PLC0415

    from detect_secrets import plugins  # noqa: PLC0415  0.2 s, most of it for an HTTP client that is not used
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString, HexHighEntropyString  # noqa: PLC0415
    from detect_secrets.plugins.keyword import REGEX_BY_FILETYPE  # noqa: PLC0415

    names = sorted({module.name for module in iter_modules(plugins.__path__)} - UNUSED)
    contents = [vars(import_module(f"{plugins.__name__}.{name}")).values() for name in names]
    classes = [
        each
        for content in contents
        for each in content
        if isinstance(each, type) and issubclass(each, RegexBasedDetector)
    ]
    base64, hexadecimal = Base64HighEntropyString(), HexHighEntropyString()

    def is_random(text: str) -> bool:
        measure = base64 if re.search("[^0-9a-fA-F]", text) else hexadecimal
        return (measure is hexadecimal or is_mixed(text)) and measure.calculate_shannon_entropy(
            text
        ) > measure.entropy_limit

    return _Detectors(
        tuple(pattern for each in classes if each is not RegexBasedDetector for pattern in each().denylist),
        {pattern: group for patterns in REGEX_BY_FILETYPE.values() for pattern, group in patterns.items()},
        is_random,
    )
