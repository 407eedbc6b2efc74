"""Text from the change, the repository or the model, made fit for a terminal, a log, JSON or a prompt.

Everything that comes from outside is hostile: a terminal must not obey it, and no encoder must choke on it.
"""

from __future__ import annotations

import re

# Texts, since `re` compiles and keeps them when they are first used: at a commit with nothing to say, never.
_CONTROL = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u2028\u2029\ufff9-\ufffb\U00013430-\U0001343f\U0001d159"  # breaks, annotations, hieroglyph joiners, an empty note
    # What Unicode calls "default ignorable": bidi controls, joiners, fillers, selectors, tags.
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ufdd0-\ufdef\ufffe\uffff]"  # never characters
)
_STYLED_SYMBOL = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff][\ufe0e\ufe0f]|[#*0-9]\ufe0f\u20e3"
)
_BETWEEN_WORDS = "[\\s'\"`\u2e80-\U0010ffff]"


def printable(text: str) -> str:
    """For a prompt or JSON: undecodable bytes become U+FFFD, NUL disappears; the rest is left as it is."""
    if text.isascii():
        return text.replace("\0", "")
    return _whole(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")


def escaped_path(path: str) -> str:
    r"""A path on one line: bytes that are not UTF-8 and control characters as `\xNN` and the like."""
    return _escaped(json_path(path)).replace("\n", "\\n").replace("\t", "\\t")


def json_path(path: str) -> str:
    r"""A path for JSON: bytes that are not UTF-8 as `\xNN`, everything else as it is."""
    return _whole(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def for_terminal(text: str) -> str:
    """For a terminal or a log: nothing that moves, colours, hides or reorders; tab and line feed stay."""
    return text if text.isascii() and text.isprintable() else _escaped(printable(text))


def one_line(text: str) -> str:
    """`for_terminal`, with all white space folded."""
    return " ".join(for_terminal(text).split())


def shortened(text: str, longest: int) -> str:
    """The text without its end, and an ellipsis, if it is too long; what is cut in two is dropped.

    Half of a secret is not recognised as one, so none must be left where secrets are masked only later. Scripts that
    put no spaces between words are cut anywhere.
    """
    if len(text) <= longest:
        return text
    end = longest - 1
    if not text[end].isspace():
        while end and not re.match(_BETWEEN_WORDS, text[end - 1]):
            end -= 1
    return text[:end].rstrip() + "…"


def without_credentials(url: str) -> str:
    """An address without the user's name, password or token in it."""
    return re.sub(r"(?:(?<=//)|\A(?=[^/?#\s@]*:))[^/?#\s]*@", "***@", url)


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which a model's JSON can hold; those of undecodable bytes stay."""
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text)


def _escaped(text: str) -> str:
    return re.sub(_CONTROL, _escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if re.match(_STYLED_SYMBOL, match.string[max(0, match.start() - 1) : match.start() + 2]):
        return match.group()  # asks for the coloured form of a symbol, and hides nothing
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
