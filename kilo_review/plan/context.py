"""What is shown around a hunk: the headings it lies in, a few lines before, fewer after.

Little on purpose: every model measured reviews worse the more it is shown (docs/prompts.md).
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.source.diff import Line

if TYPE_CHECKING:
    from kilo_review.source.diff import Hunk

LINES_BEFORE = 6
"""Lines shown before git's own three, as far as the enclosing function reaches."""
LARGEST_PARSED = 300_000
"""Bytes; a larger file keeps git's hunk heading, since parsing it would be felt."""
LONGEST_PARSED_LINE = 2_000
"""Characters; deep nesting on one line makes parsers slow, and no function worth a heading looks like that."""
LONGEST_HEADING = 200
DEEPEST_SYNTAX = 400

LANGUAGES = {
    ".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".jsx": "javascript", ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
    ".go": "go", ".rs": "rust", ".java": "java", ".c": "c", ".h": "cpp", ".cc": "cpp", ".cpp": "cpp",
    ".cxx": "cpp", ".hh": "cpp", ".hpp": "cpp", ".cs": "csharp", ".rb": "ruby", ".php": "php", ".kt": "kotlin",
    ".kts": "kotlin", ".swift": "swift", ".scala": "scala", ".lua": "lua", ".sh": "bash", ".bash": "bash",
    ".ex": "elixir", ".exs": "elixir", ".hs": "haskell", ".sol": "solidity",
}  # fmt: skip
_SCOPE_KIND = (
    r"(?:function|method|class|constructor|interface|struct|trait|impl|enum|module|mod|namespace|object|protocol|contract)"
    r"(?:_(?:definition|declaration|item|specifier|signature|statement))?\Z|singleton_method\Z"
)
_FUNCTION_KIND = r"function|method|constructor"
_STRING_KIND = r"string|heredoc|quoted"


class Heading(NamedTuple):
    """A function or class that the hunk lies in: its first line's number and its signature."""

    line: int
    text: str


class Context(NamedTuple):
    """What surrounds a hunk.

    Attributes:
        headings: enclosing signatures, outermost first.
        before: lines above the hunk's own first line.
        last_line: new-side line after which trailing context belongs to something else.
    """

    headings: tuple[Heading, ...] = ()
    before: tuple[Line, ...] = ()
    last_line: int | None = None

    @property
    def symbol(self) -> str:
        """The headings as one text: the finding's enclosing symbol."""
        return " > ".join(heading.text for heading in self.headings)


def of_hunk(hunk: Hunk, lines: list[Line], content: bytes | None) -> Context:
    """Gather the context of a hunk.

    Args:
        hunk: the hunk.
        lines: its lines.
        content: the new side's whole file; None where there is none (a deleted file, a patch).
    """
    fallback = (Heading(0, _shortened(hunk.heading)),) if hunk.heading else ()
    if content is None or not hunk.new_length:
        return Context(headings=fallback)
    text = content.decode("utf-8", "replace")
    changed = _first_changed(lines, hunk)
    scopes = _scopes(hunk.path, text, changed)
    if scopes is None:
        return Context(fallback, _lines_before(text, hunk.new_start, 1))
    function = next((scope for scope in reversed(scopes) if scope.is_function), None)
    first = function.first if function else 1
    return Context(
        headings=tuple(Heading(scope.first, scope.signature) for scope in scopes),
        before=_lines_before(text, hunk.new_start, first),
        last_line=function.last if function else None,
    )


def trimmed(lines: list[Line], context: Context) -> list[Line]:
    """The hunk without trailing context that lies beyond the enclosing function."""
    end = len(lines)
    while end and context.last_line and lines[end - 1].kind == " " and (lines[end - 1].new or 0) > context.last_line:
        end -= 1
    return lines[:end]


def symbol_at(path: str, content: bytes, line: int) -> str | None:
    """The headings that a line lies in, as `Context.symbol` has them; None if the language is not known."""
    scopes = _scopes(path, content.decode("utf-8", "replace"), line)
    return None if scopes is None else " > ".join(scope.signature for scope in scopes)


def in_string(path: str, text: str, line: int, column: int) -> bool:
    """Whether a place in a file is in a string; False where its language is not known.

    Args:
        path: whose ending tells the language.
        text: the whole file.
        line: its number, the first is 1.
        column: characters before the place.
    """
    language = LANGUAGES.get(PurePosixPath(path).suffix.lower())
    node = _parsed(text, language) if language is not None else None
    at = sum(map(len, text.split("\n")[: line - 1])) + line - 1 + column
    for _ in range(DEEPEST_SYNTAX):
        if node is None or "comment" in node.kind():
            return False
        if re.search(_STRING_KIND, node.kind()):
            return True
        node = next((each for each in node.children() if each.range().start.index <= at < each.range().end.index), None)
    return False


def _first_changed(lines: list[Line], hunk: Hunk) -> int:
    """New-side number of the first changed line, or of the line beside a removal."""
    number = hunk.new_start
    for line in lines:
        if line.kind != " ":
            return line.new or number
        number = (line.new or number) + 1
    return number


def _lines_before(text: str, start: int, first: int) -> tuple[Line, ...]:
    begin = max(start - LINES_BEFORE, first, 1)
    if begin >= start:
        return ()
    every = text.split("\n")
    return tuple(Line(" ", None, number, every[number - 1]) for number in range(begin, min(start, len(every) + 1)))


class _Scope(NamedTuple):
    first: int
    last: int
    signature: str
    is_function: bool


def _scopes(path: str, text: str, line: int) -> list[_Scope] | None:
    """Functions and classes around a line, outermost first; None if the language is not known."""
    language = LANGUAGES.get(PurePosixPath(path).suffix.lower())
    node = _parsed(text, language) if language is not None else None
    if node is None:
        return None
    scopes: list[_Scope] = []
    for _ in range(DEEPEST_SYNTAX):
        node = _child_at(node, line - 1)
        if node is None:
            break
        if re.match(_SCOPE_KIND, node.kind()):
            scopes.append(_scope(node))
    return scopes


@lru_cache(maxsize=4)
def _parsed(text: str, language: str) -> Any:  # noqa: ANN401
    """The syntax tree of a file, kept while its hunks come one after the other; None where it would be slow."""
    if len(text) > LARGEST_PARSED or max(map(len, text.split("\n"))) > LONGEST_PARSED_LINE:
        return None
    from ast_grep_py import SgRoot  # noqa: PLC0415  a native library: 16 ms

    return SgRoot(text, language).root()


def _child_at(node: Any, row: int) -> Any:  # noqa: ANN401  ast-grep's types are optional at run time
    """The child that covers a row; of several on one line, the last that is longer than that line."""
    found = None
    for child in node.children():
        span = child.range()
        if span.start.line <= row <= span.end.line and child.is_named():
            if found is None or span.end.line > span.start.line:
                found = child
        elif span.start.line > row:
            break
    return found


def _scope(node: Any) -> _Scope:  # noqa: ANN401
    span = node.range()
    text: str = node.text()[: _signature_end(node) - span.start.index]
    signature = _shortened(" ".join(text.split()).rstrip("{: "))
    return _Scope(span.start.line + 1, span.end.line + 1, signature, bool(re.search(_FUNCTION_KIND, node.kind())))


def _signature_end(node: Any) -> int:  # noqa: ANN401
    """Where the body begins, or a comment before it (a Python body begins after the comments on top of it)."""
    body = node.field("body")
    end: int = node.range().end.index if body is None else body.range().start.index
    stops = (child for child in node.children() if "comment" in child.kind() or child.kind().endswith("_body"))
    for child in stops:
        end = min(end, child.range().start.index)
    return end


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_HEADING else text[: LONGEST_HEADING - 1] + "…"
