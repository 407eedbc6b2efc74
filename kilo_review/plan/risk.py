"""In which order hunks are asked about when time is short: where a mistake would cost most comes first.

A rank from names and words alone, the same on every machine. It decides nothing but the order.
"""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kilo_review.source.diff import FileChange, Hunk


class Risk(IntEnum):
    """0 is the riskiest."""

    SENSITIVE = 0
    CONTROL_FLOW = 1
    CODE = 2
    TEST = 3
    PROSE = 4


PROSE_SUFFIXES = frozenset({".md", ".markdown", ".rst", ".txt", ".adoc", ".tex", ".po", ".csv", ".svg"})
_TEST_PATHS = (
    r"(?i)(?:\A|/)(?:tests?|specs?|__tests__|testdata|fixtures|examples?)/|(?:\A|/)test_|[._-](?:test|spec)s?\."
)
_SENSITIVE_PATHS = (
    r"(?i)auth|login|logout|passw|secret|credential|token|crypt|cipher|session|permission|privilege|access|\bacl"
    r"|payment|billing|invoice|admin|upload|sanitiz|escape|migration|firewall|sudo|saml|jwt|cors|csrf"
)
_SENSITIVE_WORDS = (
    rb"(?im)^[+-][^\n]*(?:\b(?:eval|exec|execute|system|popen|subprocess|spawn|shell|query|raw|unsafe|transmute"
    rb"|memcpy|strcpy|strcat|sprintf|gets|malloc|calloc|realloc|free|alloca|pickle|marshal|unserialize|deserialize"
    rb"|innerHTML|dangerouslySetInnerHTML|document\.write|chmod|chown|setuid|md5|sha1|random|verify|redirect"
    rb"|SELECT|INSERT|UPDATE|DELETE|DROP|GRANT)\b|yaml\.load|passw|secret|token|private_key|api_?key|\.\./)"
)
_CONTROL_WORDS = (
    rb"(?m)^[+-][^\n]*(?:\b(?:if|else|elif|elsif|unless|for|foreach|while|loop|do|switch|case|match|when|return|break"
    rb"|continue|goto|raise|throw|throws|try|except|catch|finally|rescue|ensure|panic|recover|defer|abort|exit|assert"
    rb"|lock|unlock|mutex|atomic|synchronized|thread|async|await|yield|select|close|open|null|nil|None|undefined)\b"
    rb"|&&|\|\||[<>!=]=|\?)"
)
LONGEST_BODY = 1 << 16
"""Bytes of a hunk that are looked through; the order of larger ones is not worth more time."""


def rank(change: FileChange, hunk: Hunk, data: bytes) -> Risk:
    """How much a mistake in this hunk could cost.

    Args:
        change: the file.
        hunk: the hunk.
        data: the diff's bytes that hold it.
    """
    path = change.path
    if PurePosixPath(path).suffix.lower() in PROSE_SUFFIXES:
        return Risk.PROSE
    if re.search(_TEST_PATHS, path):
        return Risk.TEST
    body = data[hunk.begin : min(hunk.end, hunk.begin + LONGEST_BODY)]
    if re.search(_SENSITIVE_PATHS, path) or re.search(_SENSITIVE_WORDS, body):
        return Risk.SENSITIVE
    return Risk.CONTROL_FLOW if re.search(_CONTROL_WORDS, body) else Risk.CODE
