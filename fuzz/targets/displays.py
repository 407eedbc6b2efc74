"""Everything hostile that is shown: nothing in it moves, colours, hides or reorders what a terminal shows."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from fuzz.strategies import hostile_text
from fuzz.target import property_of
from kilo_review.sanitize.terminal import escaped_path, for_terminal, one_line
from kilo_review.source.diff import decode_path

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

COMMANDS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that a terminal or an encoder acts on; `Cf` is looked at more closely."""
REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
INVISIBLE = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\U000e0001\U000e0041"

texts: SearchStrategy[str] = st.one_of(
    hostile_text,
    st.binary(max_size=30).map(decode_path),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs"]), max_size=20),
    st.text("a\x1b[]()0;?hlm\x07\\\x9b\x9d\u202e" + INVISIBLE, max_size=30),
)


def check_display(text: str) -> None:
    """What is shown is on one line where it must be, can be encoded, and commands nothing."""
    shown = for_terminal(text)
    assert not commands(shown) - {"\t", "\n"}
    assert shown.count("\n") == text.count("\n"), "lines have appeared or disappeared"
    line = one_line(text)
    assert not commands(line)
    assert line == line.strip()
    assert one_line(line) == line
    path = escaped_path(text)
    assert not commands(path)
    assert bool(path) == bool(text)
    for told in (shown, line, path):
        told.encode()
    if text.isascii() and text.isprintable():
        assert shown == path == text


def commands(text: str) -> set[str]:
    """The characters that do something instead of being shown."""
    return {
        char
        for char in text
        if unicodedata.category(char) in COMMANDS or unicodedata.bidirectional(char) in REORDERING or char in INVISIBLE
    }


TARGETS = {
    "display": property_of(
        check_display,
        texts,
        read=lambda raw: raw.decode("utf-8", "surrogateescape"),
        seeds=("a\x1b[31mb\x9b2J\u202e\n\tc\u2028".encode(), b"\xed\xa0\x80\xe9", INVISIBLE.encode()),
        words=tuple(char.encode() for char in (*INVISIBLE, "\u2028", "\u202e", "\x1b[", "\x9b", "\x85")),
    )
}
