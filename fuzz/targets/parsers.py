"""Files made to hurt a parser, in each language: openers and other tokens, repeated."""

from __future__ import annotations

import atexit
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from hypothesis import strategies as st

from fuzz.strategies import hostile_text, one_of_these
from fuzz.target import property_of
from kilo_review.core.deadline import Deadline
from kilo_review.core.sandbox.limits import MEMORY_BYTES
from kilo_review.core.sandbox.process import MOST_STARTS
from kilo_review.plan.syntax import LANGUAGES, LONGEST_HEADING, Syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn

_TOKENS = r"""
( [ { < " ' ` "${ ${ `${ #{ "#{ $( "$( ((a a( a[ a{ a< if( fn(){ f( a. a-> -> => a=> * & ! - ~ ? a?a: : :: @ # \ /* //
<a> <!-- <<A <<<A a, a; 1+ (1+ a= a.b( function(){ lambda: {x: [a, (a, a<a a<b>( (int) (a) struct{ r#" ''' f"{ | |a|
|| && a/ %w( %( $ /*{ //* "\( #if #define template< [](){ do{ match unsafe{ else def class begin case é ) ] } */ /*)*/
/*}*/
"""
TOKENS = (*_TOKENS.split(), "\ufeff", "\0", '"""')
SUFFIXES = tuple(sorted(LANGUAGES))
JOINTS = ("", " ", "\n", "\n\t", "a", "\r\n")
LENGTHS = (1, 2, 9, 60, 300, 520, 1000, 4000)
LARGEST = 64_000


class Sources:
    """One helper for many inputs, and another when its limits of a run are used up."""

    def __init__(self) -> None:
        self.syntax = Syntax(Deadline())
        self.inputs = 0

    def close(self) -> None:
        self.syntax.close()

    def fresh(self) -> Syntax:
        self.inputs += 1
        if self.inputs % MOST_STARTS == 0:
            self.syntax.close()
            self.syntax = Syntax(Deadline())
        return self.syntax


class File(NamedTuple):
    """A file, and a place in it."""

    path: str
    text: str
    line: int


@st.composite
def files(draw: DrawFn) -> File:
    """A few runs of a token each, among ordinary and hostile text."""
    runs = draw(
        st.lists(
            st.builds(
                lambda token, joint, number: (token + joint) * number,
                one_of_these(TOKENS),
                one_of_these(JOINTS),
                one_of_these(LENGTHS),
            )
            | hostile_text.map(lambda text: text.encode("utf-8", "replace").decode()),
            min_size=1,
            max_size=4,
        )
    )
    text = "".join(runs)[:LARGEST]
    return File(f"a{draw(one_of_these(SUFFIXES))}", text, draw(st.integers(1, text.count("\n") + 1)))


SOURCES = Sources()
atexit.register(SOURCES.close)


def check_parser(file: File) -> None:
    """Whatever a file holds, the program lives, its helper keeps its limits, and what it tells is well-formed."""
    path, text, line = file
    syntax = SOURCES.fresh()
    scopes = syntax.scopes(path, text, line)
    for scope in scopes or ():
        assert 0 <= scope.from_row <= line - 1 <= scope.to_row
        assert 1 <= scope.first <= line <= scope.last <= text.count("\n") + 1
        assert len(scope.signature) <= LONGEST_HEADING
        scope.signature.encode()
    assert scopes is None or syntax.scopes(path, text, line) == scopes
    places = [(line, 0), (1, 0)]
    assert len(syntax.in_strings(path, text, places)) == len(places)
    assert all(bytes_ <= MEMORY_BYTES for bytes_ in _peaks())


def _peaks() -> Iterator[int]:
    """The most memory that each living helper has had, in bytes; one that asked for more is dead. On Linux alone."""
    if not sys.platform.startswith("linux"):
        return
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            if any("kilo_review.core.sandbox" in word for word in child.cmdline()):
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii", errors="replace")
                yield from (int(kib) << 10 for kib in re.findall(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE))


def _file(raw: bytes) -> File:
    """Raw bytes: the first names the language, the rest is the file, eight times over."""
    suffix = SUFFIXES[raw[0] % len(SUFFIXES)] if raw else ".py"
    text = (raw[1:].decode("utf-8", "replace") * 8)[:LARGEST]
    return File(f"a{suffix}", text, text.count("\n") // 2 + 1)


TARGETS = {
    "parser": property_of(
        check_parser,
        files(),
        read=_file,
        seeds=tuple(
            bytes([SUFFIXES.index(suffix)]) + token * 300
            for suffix, token in (
                (".kt", b'"${/*}*/\n'),
                (".java", b"a=>\n"),
                (".ts", b"->\n"),
                (".py", b"<!--\n"),
                (".py", b"def f():\n"),
            )
        ),
        words=tuple(token.encode() for token in TOKENS),
    )
}
