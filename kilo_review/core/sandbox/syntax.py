"""In the helper process: the syntax of a file, by ast-grep (tree-sitter's parsers). The only module that imports it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    Scope = tuple[int, int, int, int, int, int, int, str, bool]

OPENS_FILES = False
DEEPEST_SYNTAX = 400
MOST_SCOPES = 30_000
"""A file with more has no outline."""
MOST_LINES = 2_000
"""Of one statement."""
MOST_NODES = 300_000
"""A file with more counts as one with errors."""
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
_ABOVE = ("comment", "decorator", "attribute_", "annotation", "modifier")
"""In the kinds of what belongs to the function or class below it; Python's `attribute` is a dotted name."""
_OF_THE_FILE = ("inner_", "file_")
"""What the kinds of attributes and annotations begin with that are about what they stand in."""
_BODIES = frozenset(
    {
        "block",
        "body",
        "compound_statement",
        "declaration_list",
        "field_declaration_list",
        "do_block",
        "do_group",
        "suite",
        "then",
        "body_statement",
        "statements",
    }
)
"""The kinds of what a function, a class or a branch holds."""
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

    An `outline` is answered by two texts for each scope: eight numbers, and its signature; `in_strings` by one text
    with a digit for each place; `outside` likewise, but by nothing if the file has an error, and a place that is too
    deep to be looked at counts as one in a string.
    """
    what, language, text, places = request
    if what == "outline":
        rows = outline(text, language)
        return (each for *numbers, signature, is_function in rows for each in (_row(numbers, is_function), signature))
    if what == "statement":
        return [" ".join(map(str, statement_lines(text, language, int(places.partition(":")[0]))))]
    wanted = [(int(line), int(column)) for line, _, column in (place.partition(":") for place in places.split())]
    if what == "outside" and _has_errors(_parsed(text, language)):
        return []
    return ["".join("01"[each] for each in in_strings(text, language, wanted, too_deep=what == "outside"))]


def _row(numbers: Sequence[object], is_function: object) -> str:
    return " ".join(map(str, (*numbers, int(bool(is_function)))))


def outline(text: str, language: str) -> list[Scope]:
    """Return the functions and classes of a file, an outer one before those that it contains.

    Each has the first and the last row (from 0) for which it counts, its own first and last line (from 1), the column
    where it begins in the one and ends in the other, the first line above it from which on there are only comments,
    decorators and blanks, its signature, and whether it is a function. Of several that share a row, that row counts for
    the last that is longer than one line, else the first.

    Raises:
        ValueError: there are too many of them.
    """
    scopes: list[Scope] = []
    todo = [(_parsed(text, language), 0, text.count("\n"), 0, 0)]
    while todo:
        node, first, last, depth, free = todo.pop()
        if depth >= DEEPEST_SYNTAX:
            continue
        for child, begin, end, own_free in _by_row(node, free):
            begin, end = max(begin, first), min(end, last)  # noqa: PLW2901  clipped to the rows of what it is in
            if begin > end:
                continue
            if child.kind() in _SCOPE_KINDS:
                scopes.append((begin, end, *_scope(child, text, own_free)))
            todo.append((child, begin, end, depth + 1, own_free))
        if len(scopes) > MOST_SCOPES:
            raise ValueError(len(scopes))
    return scopes


def statement_lines(text: str, language: str, line: int) -> list[int]:
    """Return the numbers of the lines, below a line, that belong to what begins on it, without the bodies in it."""
    begun = _begun_at(_parsed(text, language), line - 1)
    if begun is None:
        return []
    rows = text.split("\n")
    left = set(range(line, begun.range().end.line + 1))
    todo = [(begun, 0)]
    while todo:
        node, depth = todo.pop()
        for child in node.children():
            if _is_body(child.kind()):
                left -= _inside(child.range(), rows)
            elif depth < DEEPEST_SYNTAX:
                todo.append((child, depth + 1))
    return [row + 1 for row in sorted(left)[:MOST_LINES]]


def _inside(span: Any, rows: list[str]) -> set[int]:  # noqa: ANN401
    """Return the rows that hold nothing but a body."""
    first = span.start.line + bool(rows[span.start.line][: span.start.column].strip())
    behind = rows[span.end.line][span.end.column :].strip(" ;\t\r")
    return set(range(first, span.end.line + (not behind)))


def _begun_at(root: Any, row: int) -> Any:  # noqa: ANN401
    """Return the outermost node that begins on a row; None if there is none."""
    node = root
    for _ in range(DEEPEST_SYNTAX):
        spans = [(child, child.range()) for child in node.children() if child.is_named()]
        begun = next((child for child, span in spans if span.start.line == row), None)
        if begun is not None and not _is_body(begun.kind()):
            return begun
        node = begun or next((child for child, span in spans if span.start.line < row <= span.end.line), None)
        if node is None:
            return None
    return None


def _is_body(kind: str) -> bool:
    return kind in _BODIES or (kind.endswith(("_body", "_block")) and "heredoc" not in kind and "nowdoc" not in kind)


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


def _has_errors(root: Any) -> bool:  # noqa: ANN401
    """Tell whether the parser skipped something, or put in a bracket or another sign that is missing."""
    if root.find(kind="ERROR") is not None:
        return True
    todo = [root]
    for _ in range(MOST_NODES):
        if not todo:
            return False
        node = todo.pop()
        children = node.children()
        if not children and not node.text() and not node.is_named():
            return True
        todo += children
    return True


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


def _by_row(node: Any, free: int) -> Iterator[tuple[Any, int, int, int]]:  # noqa: ANN401
    """Yield the children with a name, each with the first and the last row that counts for it, and the free one above.

    Args:
        node: their parent.
        free: the row from which on nothing but comments, decorators and blanks stands above the parent.
    """
    children, rows, tokens = [], [], []
    token = -1
    for child in node.children():
        span = child.range()
        if child.is_named():
            children.append(child)
            rows.append((span.start.line, span.end.line))
            tokens.append(token)
        else:
            token = span.end.line
    next_long, covered = -1, []
    for begin, end in reversed(rows):
        covered.append(next_long)
        if begin < end:
            next_long = begin
    latest = -1
    for child, (begin, end), taken, before in zip(children, rows, reversed(covered), tokens, strict=True):
        if before < begin:
            free = max(free, before + 1)  # a `try {` is no comment
        if begin < end:
            yield child, begin, end - 1 if taken == end else end, min(free, begin)
        elif latest < begin and taken != begin:
            yield child, begin, end, min(free, begin)
        latest = max(latest, end)
        kind = child.kind()
        if kind.startswith(_OF_THE_FILE) or not any(word in kind for word in _ABOVE):
            free = end + 1


def _scope(node: Any, text: str, free: int) -> tuple[int, int, int, int, int, str, bool]:  # noqa: ANN401
    span = node.range()
    begin = span.start.index
    signature = " ".join(text[begin : min(_signature_end(node), begin + LONGEST_SOURCE)].split()).rstrip("{: ")
    kind = node.kind()
    is_function = any(word in kind for word in _FUNCTION_KINDS)
    columns = span.start.column, span.end.column
    return span.start.line + 1, span.end.line + 1, *columns, free + 1, signature[:LONGEST_SIGNATURE], is_function


def _signature_end(node: Any) -> int:  # noqa: ANN401
    """Where the body begins, or a comment before it (a Python body begins after the comments on top of it)."""
    body = node.field("body")
    end: int = node.range().end.index if body is None else body.range().start.index
    stops = (child for child in node.children() if "comment" in child.kind() or child.kind().endswith("_body"))
    for child in stops:
        end = min(end, child.range().start.index)
    return end
