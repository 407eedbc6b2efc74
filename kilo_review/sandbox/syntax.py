"""In the helper process: the syntax of a file, by ast-grep (tree-sitter's parsers). The only module that imports it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    Scope = tuple[int, int, int, int, str, bool]

OPENS_FILES = False
DEEPEST_SYNTAX = 400
MOST_SCOPES = 30_000
"""A file with more has no outline."""
LONGEST_SIGNATURE = 201
"""Characters; one more than is shown, which tells that it was cut."""
LONGEST_SOURCE = 4_000
"""Characters of a signature before its blanks are squeezed."""
_SCOPES = (
    *("function", "method", "class", "constructor", "interface", "struct", "trait", "impl", "enum", "module", "mod"),
    *("namespace", "object", "protocol", "contract"),
)
_ENDINGS = ("", "_definition", "_declaration", "_item", "_specifier", "_signature", "_statement")
_SCOPE_KINDS = frozenset(f"{scope}{ending}" for scope in _SCOPES for ending in _ENDINGS) | {"singleton_method"}
_FUNCTION_KINDS = ("function", "method", "constructor")
_STRING_KINDS = ("string", "heredoc", "quoted")
_parsers: list[Any] = []
_last: dict[tuple[str, str], Any] = {}


def ready() -> None:
    """Load ast-grep's native part, without the package's module of types, which takes as long once more."""
    folders = [f"{folder}/ast_grep_py" for folder in sys.path]
    package: Any = type(sys)("ast_grep_py")
    package.__path__ = folders
    sys.modules["ast_grep_py"] = package
    try:
        from ast_grep_py.ast_grep_py import SgRoot  # noqa: PLC0415  in this process alone
    except ImportError:  # another version is built in another way
        del sys.modules["ast_grep_py"]
        from ast_grep_py import SgRoot  # noqa: PLC0415
    _parsers.append(SgRoot)


def answer(request: list[str]) -> Iterable[str]:
    """Answer one request: what is wanted, the language, the text, and places as in `1:0 7:12`.

    An `outline` is answered by two texts for each scope: five numbers, and its signature; `in_strings` by one text with
    a digit for each place; `outside` likewise, but by nothing if the file has an error, and a place that is too deep to
    be looked at counts as one in a string.
    """
    what, language, text, places = request
    if what == "outline":
        rows = outline(text, language)
        return (each for *numbers, signature, is_function in rows for each in (_row(numbers, is_function), signature))
    wanted = [(int(line), int(column)) for line, _, column in (place.partition(":") for place in places.split())]
    if what == "outside" and _parsed(text, language).find(kind="ERROR") is not None:
        return []
    return ["".join("01"[each] for each in in_strings(text, language, wanted, too_deep=what == "outside"))]


def _row(numbers: Sequence[object], is_function: object) -> str:
    return " ".join(map(str, (*numbers, int(bool(is_function)))))


def outline(text: str, language: str) -> list[Scope]:
    """Return the functions and classes of a file, an outer one before those that it contains.

    Each has the first and the last row (from 0) for which it counts, its own first and last line (from 1), its
    signature, and whether it is a function. Of several that share a row, that row counts for the last that is longer
    than one line, else for the first.

    Raises:
        ValueError: there are too many of them.
    """
    scopes: list[Scope] = []
    todo = [(_parsed(text, language), 0, text.count("\n"), 0)]
    while todo:
        node, first, last, depth = todo.pop()
        if depth >= DEEPEST_SYNTAX:
            continue
        for child, begin, end in _by_row(node):
            begin, end = max(begin, first), min(end, last)  # noqa: PLW2901  clipped to the rows of what it is in
            if begin > end:
                continue
            if child.kind() in _SCOPE_KINDS:
                scopes.append((begin, end, *_scope(child, text)))
            todo.append((child, begin, end, depth + 1))
        if len(scopes) > MOST_SCOPES:
            raise ValueError(len(scopes))
    return scopes


def in_strings(text: str, language: str, places: Sequence[tuple[int, int]], *, too_deep: bool = False) -> list[bool]:
    """Tell for each place whether it is in a string; `too_deep` is said of those deeper than is looked."""
    begins = [0]
    for line in text.split("\n"):
        begins.append(begins[-1] + len(line) + 1)
    at = [begins[line - 1] + column for line, column in places]
    found = [False] * len(at)
    todo = [(_parsed(text, language), sorted(range(len(at)), key=at.__getitem__), 0)]
    while todo:
        node, wanted, depth = todo.pop()
        kind = node.kind()
        if "comment" in kind:
            continue
        if depth >= DEEPEST_SYNTAX:
            for each in wanted:
                found[each] = too_deep
            continue
        if any(word in kind for word in _STRING_KINDS):
            for each in wanted:
                found[each] = True
            continue
        todo += [(child, inside, depth + 1) for child, inside in _around(node, wanted, at)]
    return found


def _around(node: Any, wanted: list[int], at: list[int]) -> Iterator[tuple[Any, list[int]]]:  # noqa: ANN401
    """The children that places are in, each with its places."""
    number = 0
    for child in node.children() if wanted else ():
        span = child.range()
        while number < len(wanted) and at[wanted[number]] < span.start.index:
            number += 1
        first = number
        while number < len(wanted) and at[wanted[number]] < span.end.index:
            number += 1
        if first < number:
            yield child, wanted[first:number]


def _parsed(text: str, language: str) -> Any:  # noqa: ANN401  ast-grep's types are optional at run time
    """The tree of a file; that of the last one is kept."""
    if (text, language) not in _last:
        _last.clear()
        _last[text, language] = _parsers[0](text, language).root()
    return _last[text, language]


def _by_row(node: Any) -> Iterator[tuple[Any, int, int]]:  # noqa: ANN401
    """The children with a name, each with the first and the last row that counts for it."""
    children = [child for child in node.children() if child.is_named()]
    spans = [child.range() for child in children]
    rows = [(span.start.line, span.end.line) for span in spans]
    next_long, covered = -1, []
    for begin, end in reversed(rows):
        covered.append(next_long)
        if begin < end:
            next_long = begin
    latest = -1
    for child, (begin, end), taken in zip(children, rows, reversed(covered), strict=True):
        if begin < end:
            yield child, begin, end - 1 if taken == end else end
        elif latest < begin and taken != begin:
            yield child, begin, end
        latest = max(latest, end)


def _scope(node: Any, text: str) -> tuple[int, int, str, bool]:  # noqa: ANN401
    span = node.range()
    begin = span.start.index
    signature = " ".join(text[begin : min(_signature_end(node), begin + LONGEST_SOURCE)].split()).rstrip("{: ")
    kind = node.kind()
    is_function = any(word in kind for word in _FUNCTION_KINDS)
    return span.start.line + 1, span.end.line + 1, signature[:LONGEST_SIGNATURE], is_function


def _signature_end(node: Any) -> int:  # noqa: ANN401
    """Where the body begins, or a comment before it (a Python body begins after the comments on top of it)."""
    body = node.field("body")
    end: int = node.range().end.index if body is None else body.range().start.index
    stops = (child for child in node.children() if "comment" in child.kind() or child.kind().endswith("_body"))
    for child in stops:
        end = min(end, child.range().start.index)
    return end
