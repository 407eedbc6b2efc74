"""Which part of a line is code, which a string, which a comment or prose: by delimiters, line by line.

A hunk begins in the middle of a file, and languages differ, so this can err. It decides how bad a character is, and
for letters that are ordinary in prose whether they are looked at; never whether an invisible character is told.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import Enum
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.judge.codepoints import RIGHT_TO_LEFT
from kilo_review.plan.risk import PROSE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.source.diff import Line

REACH = 300
"""Lines before the one in question that are read to know whether a string or comment is open there."""
PROSE = PROSE_SUFFIXES | {".html", ".htm", ".xhtml", ".xml", ".xlf", ".xliff", ".resx", ".srt", ".vtt", ".log", ".pot"}
PROSE_NAMES = frozenset({"readme", "license", "licence", "copying", "notice", "authors", "contributors", "changelog"})
DATA = frozenset({
    *(".json", ".json5", ".jsonl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".properties", ".strings"),
    *(".arb", ".ftl", ".lock", ".env", ".plist", ".tsv"),
})  # fmt: skip
MATHEMATICAL = frozenset({".jl", ".lean", ".agda", ".lagda", ".thy", ".idr", ".nb", ".wl"})
"""Languages in which mathematical letters are notation."""
TEMPLATES = frozenset({".jsx", ".tsx", ".vue", ".svelte", ".astro", ".php", ".erb", ".ejs", ".hbs", ".twig", ".jinja"})
"""Prose stands between the code, without quotation marks."""
_HASH = frozenset({
    *(".py", ".pyi", ".pyx", ".rb", ".sh", ".bash", ".zsh", ".fish", ".pl", ".pm", ".r", ".jl", ".ex", ".exs", ".nim"),
    *(".tcl", ".ps1", ".psm1", ".cmake", ".mk", ".awk", ".gd", ".tf", ".bzl", ".cr", ".coffee", ".graphql", ".ipynb"),
})  # fmt: skip
_SLASHES = frozenset({
    *(".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".m", ".mm", ".cs", ".csx", ".java", ".kt", ".kts", ".scala"),
    *(".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".go", ".rs", ".swift", ".dart", ".zig", ".sol"),
    *(".proto", ".groovy", ".gradle", ".css", ".scss", ".less", ".d", ".v", ".sv", ".fs", ".fsx", ".bsl", ".os"),
})  # fmt: skip
_DASHES = frozenset({".sql", ".lua", ".hs", ".elm", ".adb", ".ads", ".vhd", ".vhdl", ".lean", ".agda"})
_COMMENT_HASH, _COMMENT_SLASHES, _COMMENT_DASHES = r"(?<![$&{])#", r"//", r"--"
_COMMENT_ANY = r"(?<![$&{])#|//|--(?=\s)|;;|%%|\A\s*%"
_BLOCKS = {"/*": "*/", '"""': '"""', "'''": "'''", "`": "`"}
_EDGES = r"/\*|\*/|\"\"\"|'''"
_QUOTED = (
    r"\"(?:\\.|[^\"\\])*(?:\"|\\?\Z)"
    r"|(?:(?<!\w)|(?<=\b[bBfFrRuUL])|(?<=\b[bBfFrR]{2}))'(?:\\.|[^'\\])*'"  # not the apostrophe in don't
)
_LOOKS_LIKE_CODE = r"[={}\[\]<>$&|]|\w\(|[;:{]\s*\Z"


class Place(Enum):
    """What a character is part of."""

    CODE = "code"
    STRING = "string"
    COMMENT = "comment"


class Span(NamedTuple):
    """A string or comment in a line, with its delimiters."""

    begin: int
    end: int
    place: Place


class Row:
    """A line and what its parts are.

    Attributes:
        text: the line.
        index: its index among the lines.
        number: its number in the new file.
        is_text: the whole file is prose or data, not a program.
        is_program: its ending is that of a programming language; neither is so of an unknown ending.
    """

    def __init__(self, text: str, index: int, number: int, page: Page) -> None:
        self.text = text
        self.index = index
        self.number = number
        self.is_text = page.whole is not None
        self.suffix = page.suffix
        self.is_program = page.is_program
        self._page = page

    @cached_property
    def spans(self) -> list[Span]:
        """Its strings and comments, in order."""
        if self._page.whole is not None:
            return [Span(0, len(self.text), self._page.whole)]
        return self._page.spans(self.index)

    def span(self, index: int) -> Span | None:
        """The string or comment that a character is in; None in code."""
        at = bisect_right(self.spans, index, key=lambda span: span.begin) - 1
        return self.spans[at] if at >= 0 and index < self.spans[at].end else None

    def place(self, index: int) -> Place:
        """What a character is part of."""
        span = self.span(index)
        return span.place if span else Place.CODE

    @cached_property
    def code(self) -> str:
        """The line with blanks in place of its strings and comments."""
        kept, at = [], 0
        for span in self.spans:
            kept += [self.text[at : span.begin], " " * (span.end - span.begin)]
            at = span.end
        return "".join([*kept, self.text[at:]])

    @cached_property
    def has_right_to_left(self) -> bool:
        """Whether letters of a right-to-left script are on it."""
        return re.search(f"[{RIGHT_TO_LEFT}]", self.text) is not None

    @cached_property
    def looks_like_code(self) -> bool:
        """Whether what is outside strings and comments has marks that prose lacks."""
        return re.search(_LOOKS_LIKE_CODE, self.code) is not None


class Page:
    """The new side of some lines, read from top to bottom as far as somebody asks."""

    def __init__(self, path: str, lines: Sequence[Line]) -> None:
        name = PurePosixPath(path)
        self.suffix = name.suffix.lower()
        self.whole = _whole(name, self.suffix)
        self.is_program = self.suffix in _HASH | _SLASHES | _DASHES
        self._lines = lines
        self._syntax = _syntax(self.suffix)
        self._next = 0
        self._number: int | None = None
        self._open: Span | None = None
        self._closer = ""

    def row(self, index: int) -> Row:
        """The line at an index."""
        line = self._lines[index]
        return Row(line.text, index, line.new or 0, self)

    def spans(self, index: int) -> list[Span]:
        """Strings and comments of the line at an index; asked for from top to bottom."""
        if self._number is None or index - self._next > REACH or index < self._next:
            self._restart(max(0, index - REACH))
        spans: list[Span] = []
        while self._next <= index:
            line = self._lines[self._next]
            if line.new is not None:
                if self._number is not None and line.new != self._number + 1:
                    self._restart(self._next)
                self._number = line.new
                spans = self._read(line.text)
            self._next += 1
        return spans

    def _restart(self, index: int) -> None:
        self._next, self._number = index, None
        self._closer, place = _open_before(self._lines[index : index + REACH])
        self._open = Span(0, 0, place) if self._closer else None

    def _read(self, text: str) -> list[Span]:
        """Its spans; what stays open at its end is kept for the next line."""
        spans: list[Span] = []
        at = 0
        if self._open is None and "/*" in self._syntax and re.match(r"\s*\*(?:\s|/|\Z)", text):
            return [Span(0, len(text), Place.COMMENT)]
        while at < len(text) or self._open:
            if self._open:
                at = self._close(text, at, spans)
                if self._open:
                    break
            match = re.compile(self._syntax).search(text, at)
            if match is None:
                break
            at = match.end()
            if match.lastgroup == "comment":
                spans.append(Span(match.start(), len(text), Place.COMMENT))
                break
            if match.lastgroup == "string":
                spans.append(Span(match.start(), at, Place.STRING))
            elif match.lastgroup == "block":
                self._closer = _BLOCKS[match[0]]
                is_prose = match[0] == "/*" or (match[0] != "`" and not text[: match.start()].strip())
                self._open = Span(match.start(), at, Place.COMMENT if is_prose else Place.STRING)
        return spans

    def _close(self, text: str, at: int, spans: list[Span]) -> int:
        """End what is open, if it ends on this line; return where the line goes on."""
        assert self._open
        begin, place = self._open.begin, self._open.place
        end = text.find(self._closer, at)
        if end < 0:
            spans.append(Span(begin, len(text), place))
            self._open = Span(0, 0, place)
            return len(text)
        self._open = None
        spans.append(Span(begin, end + len(self._closer), place))
        return end + len(self._closer)


def _whole(name: PurePosixPath, suffix: str) -> Place | None:
    """What all of a file is, or None for a program."""
    if suffix in PROSE or (not suffix and name.name.lower() in PROSE_NAMES):
        return Place.COMMENT
    return Place.STRING if suffix in DATA or name.name.startswith(".env") else None


def _syntax(suffix: str) -> str:
    """An expression for what begins a comment or string."""
    comment, blocks = _COMMENT_ANY, ["/*", '"""', "'''"]
    if suffix in _HASH:
        comment, blocks = _COMMENT_HASH, ['"""', "'''"]
    elif suffix in _SLASHES:
        comment, blocks = _COMMENT_SLASHES, ["/*", '"""', "`"]
    elif suffix in _DASHES:
        comment, blocks = _COMMENT_DASHES, ["/*"]
    opening = "|".join(re.escape(block) for block in blocks)
    return rf"\\.|(?P<comment>{comment})|(?P<block>{opening})|(?P<string>{_QUOTED})"


def _open_before(lines: Sequence[Line]) -> tuple[str, Place]:
    """What was probably opened above these lines: the first delimiter of a block tells."""
    before = ""
    for line in lines:
        if line.new is None:
            continue
        edge = re.search(_EDGES, line.text)
        if edge is None:
            before = line.text.strip() or before
            continue
        if edge[0] == "*/":
            return "*/", Place.COMMENT
        # A docstring's end stands alone, and what is above it is not the heading that a beginning would follow.
        if edge[0] != "/*" and line.text.strip() == edge[0] and before and not before.endswith((":", "(", "=", ",")):
            return edge[0], Place.COMMENT
        return "", Place.CODE
    return "", Place.CODE
