"""Whether a piece of text looks like a secret, or rather like a name, a path, a digest or a placeholder."""

from __future__ import annotations

import re

SHORTEST_LITERAL = 4
DIGEST_LENGTHS = frozenset({32, 40, 56, 64, 96, 128})
"""In hexadecimal digits: MD5 to SHA-512, and git's ids."""

_TEMPLATE = re.compile(
    r"\$\{|\$\(|\{\{|\{[\w.!:\[\]]*\}|<[\w .-]+>|%\(|%(?:[sv]|d(?![0-9A-Fa-f]))|\*{3}|\.{3}|…|\[masked\]"
)
_VARIABLE = re.compile(r"\$[A-Za-z_]\w*")
_PATH = re.compile(r"\.{0,2}/|~/|\w+://")
_RANDOM = re.compile(r"/?(?:[A-Za-z0-9+]+/){0,3}[A-Za-z0-9+]{12,}={0,2}(?<=.{32})")
"""Base64 that begins like a path: few slashes, and much between them."""
_CONSTANT = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_NAME = re.compile(r"[A-Za-z]++(?:[._-][A-Za-z]++)+")
_NAMES_A_SECRET = re.compile(r"pass|secret|token|key|pwd|credential|auth", re.IGNORECASE)
_WORD = re.compile(
    r"any|bytes|change[_-]?(?:me|it|this)|credentials?|dummy|example|false|hidden|none|null|object|optional|password|placeholder"
    r"|redacted|required|secret|str|string|text|todo|true|your[_-][a-z_-]+",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"(?:u?int|float|[uifs]|bytes|char|varchar|vec|hash|sha|md|base|utf|http|oauth|aes|hs|rs|es|ps|tls|ipv|uuid|v)[_-]?\d{1,4}"
    r"(?:[_-]\w+)?|\d{4}-\d\d(?:-\d\d)?|number\d|field\d",
    re.IGNORECASE,
)
"""Names of types, algorithms and versions that have a number in them."""
_VARIABLE_NAME = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Z][a-z]{1,20}\d{1,3}[A-Z][a-z]+|(?=[A-Z]*[a-z])[A-Z][A-Za-z]*\d{0,3}|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*"
    r"|(?:arg|argv|arc|rc|ec|k|s|x|item|value|val|param|str|string|group|line|field|step|page|part|col|row|id)_?\d{1,3}"
)
_NUMBERED = re.compile(r"[A-Za-z_]+[._-]?\d{1,3}")
"""`password1`, `token2`: a variable, where there are no quotes."""
_IDENTIFIER = re.compile(r"sha\d+-|AAAA|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEXADECIMAL = re.compile(r"[0-9a-f]+|[0-9A-F]+")


def is_placeholder(text: str) -> bool:
    """Whether something else is put here when the program runs, or the text was masked already."""
    return len(set(text)) <= 2 or bool(_TEMPLATE.search(text) or _VARIABLE.fullmatch(text))  # noqa: PLR2004  `xxxx`, `-*-*`


def is_literal(text: str) -> bool:
    """Whether what stands after `password =` is a password, and not prose, a path, a type or a name."""
    if len(text) < SHORTEST_LITERAL or is_placeholder(text) or re.search(r"\s", text):
        return False
    if _PATH.match(text) and not (_RANDOM.fullmatch(text) and is_mixed(text)):
        return False
    is_name = _CONSTANT.fullmatch(text) or (_NAME.fullmatch(text) and _NAMES_A_SECRET.search(text))
    return not is_name and not _WORD.fullmatch(text)


def is_coded(text: str) -> bool:
    """Whether a literal is a secret where other things are put as well: it holds a number, and is more than that."""
    has_both = re.search("[0-9]", text) and re.search(r"[^\d.:_-]", text)
    return bool(has_both) and is_literal(text) and not _VERSION.fullmatch(text)


def is_bare(text: str) -> bool:
    """The same without quotes, where the name of a variable or of a type may stand."""
    is_name = _VARIABLE_NAME.fullmatch(text) or (_NUMBERED.fullmatch(text) and _NAMES_A_SECRET.search(text))
    return is_coded(text) and not is_name


def is_mixed(text: str) -> bool:
    """Whether the text has small letters, capitals and digits, as random bytes in base64 have."""
    return all(re.search(kind, text) for kind in ("[a-z]", "[A-Z]", "[0-9]"))


def is_identifier(text: str) -> bool:
    """Whether the text is public although it looks random: a digest, an id, a public key, an alphabet."""
    is_digest = len(text) in DIGEST_LENGTHS and _HEXADECIMAL.fullmatch(text)
    return bool(is_digest or _IDENTIFIER.match(text)) or "abcdefgh" in text.lower() or "12345678" in text
