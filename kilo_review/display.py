"""Text from the change, the repository or the model, made fit to be shown or sent.

Everything that comes from outside is hostile: a terminal must not obey it, and no encoder must choke on it.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # bidi controls, invisible
    "\U000e0000-\U000e007f]"  # tags
)


def printable(text: str) -> str:
    """For a prompt or JSON: undecodable bytes become U+FFFD, NUL disappears; the rest is left as it is."""
    return _whole(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")


def escaped_path(path: str) -> str:
    r"""A path on one line: bytes that are not UTF-8 and control characters as `\xNN` and the like."""
    return _escaped(json_path(path)).replace("\n", "\\n").replace("\t", "\\t")


def json_path(path: str) -> str:
    r"""A path for JSON: bytes that are not UTF-8 as `\xNN`, everything else as it is."""
    return _whole(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def for_terminal(text: str) -> str:
    """For a terminal or a log: nothing that moves, colours, hides or reorders; tab and line feed stay."""
    return _escaped(printable(text))


def one_line(text: str) -> str:
    """`for_terminal`, with all white space folded."""
    return " ".join(for_terminal(text).split())


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which a model's JSON can hold; those of undecodable bytes stay."""
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text)


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: _escape(ord(match.group())), text)


def _escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
