"""Jupyter notebooks, shown as the source of their cells: each line of the file is a line of source, or blank.

A notebook is JSON. What is shown in its place has as many lines as the file, so that every number of a line is that of
the file. Outputs, metadata and attachments are blank; the line that begins a cell is a comment, as in the percent
format of Jupytext. Only the layout that Jupyter, JupyterLab, Visual Studio Code and Colab write can be shown so: each
line of source in a line of the file (nbformat 4). A notebook in another layout is reviewed as JSON.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.source.diff import SUBMODULE, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kilo_review.source.diff import FileChange, Hunk, Line

SUFFIX = ".ipynb"
NBFORMAT = 4
LARGEST_BYTES = 16 * 1024 * 1024
MOST_CONTAINERS = 500_000
"""Opening brackets in the file: a bound on the memory that reading it takes."""
HEADS = {"code": "# %%", "markdown": "# %% [markdown]", "raw": "# %% [raw]"}
"""What the first line of a cell is shown as, by the cell's type."""
_CONTROLS = r"[\0-\x08\x0a-\x1f\x7f]"


class Notebook(NamedTuple):
    """A notebook as it is shown.

    Attributes:
        lines: one for each line of the file; "" where it has no source.
        cells: the number of each cell's first line, in rising order.
        kernel: what runs the cells, as the metadata tells.
    """

    lines: tuple[str, ...]
    cells: tuple[int, ...]
    kernel: str = ""

    def text(self, number: int) -> str:
        """Return what a line of the file is shown as; the first line is 1."""
        return self.lines[number - 1]

    def cell_at(self, number: int) -> int:
        """Return the number of the cell that a line is in, from 1; 0 above the first one."""
        return bisect_right(self.cells, number)

    @property
    def content(self) -> bytes:
        """The lines as those of a file."""
        return "\n".join(self.lines).encode()


class Sides(NamedTuple):
    """Both sides of a changed notebook; None where there is no such file."""

    old: Notebook | None
    new: Notebook | None


class Notebooks:
    """Reads the notebooks of one change, each once."""

    def __init__(self, read: Callable[[str], bytes], lines: Callable[[Hunk], Sequence[Line]]) -> None:
        """Read nothing yet.

        Args:
            read: blob id → content.
            lines: those of a hunk.
        """
        self._read = read
        self._lines = lines
        self._known: dict[str, Sides | None] = {}

    def of(self, file: FileChange) -> Sides | None:
        """Return both sides of a file; None if it is no notebook, or if one side cannot be shown as one."""
        if not is_named(file.path):
            return None
        if file.path not in self._known:
            self._known[file.path] = self._sides(file)
        return self._known[file.path]

    def _sides(self, file: FileChange) -> Sides | None:
        if {file.old_mode, file.new_mode} & {SUBMODULE, SYMLINK} or file.is_binary:
            return None
        oids = [oid if oid.strip("0") else "" for oid in (file.old_oid, file.new_oid)]
        sides = [notebook_of(self._read(oid)) if oid else None for oid in oids]
        if any(oid and side is None for oid, side in zip(oids, sides, strict=True)) or not any(oids):
            return None
        found = Sides(*sides)
        return found if self._are_comparable(file, found) else None

    def _are_comparable(self, file: FileChange, sides: Sides) -> bool:
        """Tell whether each row that the change leaves as it is means the same on both sides.

        Otherwise a change of few rows makes code of what was text or an output, or the other way round, and those rows
        are in no hunk, or unchanged in one.
        """
        old, new = sides
        if old is None or new is None:
            return True
        return old.kernel == new.kernel and all(
            old.text(one) == new.text(other) for one, other in self._kept(file, old)
        )

    def _kept(self, file: FileChange, old: Notebook) -> Iterator[tuple[int, int]]:
        """Yield the numbers of the unchanged rows on both sides."""
        one, other = 1, 1
        for hunk in file.hunks:
            for line in self._lines(hunk):
                while one < (line.old or 0) or other < (line.new or 0):
                    yield one, other
                    one, other = one + 1, other + 1
                if line.kind == " ":
                    yield one, other
                one += line.kind != "+"
                other += line.kind != "-"
        while one <= len(old.lines):
            yield one, other
            one, other = one + 1, other + 1


def is_named(path: str) -> bool:
    """Tell whether a file has the name of a notebook."""
    return path.lower().endswith(SUFFIX)


def notebook_of(content: bytes) -> Notebook | None:
    """Return a notebook as it is shown; None for anything else, or a layout that cannot be shown line by line."""
    if len(content) > LARGEST_BYTES or content.count(b"[") + content.count(b"{") > MOST_CONTAINERS:
        return None
    try:
        text = content.decode()
        document = json.loads(text, object_pairs_hook=_without_duplicates)
        return _shown(document, text.split("\n"))
    except (ValueError, RecursionError):  # no JSON, or no notebook that can be shown
        return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Of two members with one name, programs differ in which they read."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is given twice")
    return members


def _shown(document: object, rows: list[str]) -> Notebook:
    """Place each line of source at the line of the file that holds it.

    Raises:
        ValueError: it does not stand where the layout that Jupyter writes has it.
    """
    if not isinstance(document, dict) or document.get("nbformat") != NBFORMAT:
        raise ValueError("this is no notebook of nbformat 4")
    _check(isinstance(document.get("cells"), list))
    lines = [""] * len(rows)
    cells: list[int] = []
    end = 1
    for name, value in document.items():
        if name == "cells" and value:
            end = _place_cells(value, end, rows, lines, cells)
        else:
            end += _height(value)
    if [row.strip() for row in rows[end:]] not in (["}"], ["}", ""]):
        raise ValueError("the file has other lines than its layout")
    return Notebook(tuple(lines), tuple(cells), _kernel(document.get("metadata")))


def _kernel(metadata: object) -> str:
    """Return the kernel and the language of a notebook as one text."""
    told = metadata if isinstance(metadata, dict) else {}
    language = told.get("language_info")
    name = language.get("name") if isinstance(language, dict) else language
    return json.dumps([told.get("kernelspec"), name], sort_keys=True)


def _place_cells(values: list[object], at: int, rows: list[str], lines: list[str], cells: list[int]) -> int:
    """Place the source of all cells; return the index of the row below their list, which begins at index `at`."""
    at += 1
    for cell in values:
        if not isinstance(cell, dict) or cell.get("cell_type") not in HEADS or "source" not in cell:
            raise ValueError("this is no cell")
        _check(_member(rows, at) == "{")
        lines[at] = HEADS[cell["cell_type"]]
        cells.append(at + 1)
        at += 1
        for name, value in cell.items():
            if name == "source":
                mark = "" if cell["cell_type"] == "code" else "# "
                for index, line in _placed(value, at, rows):
                    lines[index] = mark + line if line.strip() else line
            at += _height(value)
        at += 1
    return at + 1


def _placed(source: object, at: int, rows: list[str]) -> Iterator[tuple[int, str]]:
    """Yield each line of a cell's source with the index of its row, having compared it with what stands there."""
    if isinstance(source, str):
        _check(json.loads("{" + _member(rows, at) + "}") == {"source": source})
        yield at, _line(source, is_last=True)
        return
    if not isinstance(source, list):
        raise ValueError("this is no source")  # noqa: TRY004  every fault of the file is told by the same error
    for number, text in enumerate(source, 1):
        _check(isinstance(text, str) and json.loads(_member(rows, at + number)) == text)
        yield at + number, _line(text, is_last=number == len(source))


def _member(rows: list[str], index: int) -> str:
    """Return a row without the comma that separates it from the next one."""
    _check(index < len(rows))
    return rows[index].strip().removesuffix(",")


def _line(text: str, *, is_last: bool) -> str:
    """Return one line of source without its end.

    Raises:
        ValueError: it is none, or several, or holds what an editor would not show.
    """
    line = text.removesuffix("\n")
    _check((is_last or line != text) and not re.search(_CONTROLS, line))
    line.encode()  # a lone surrogate cannot be shown
    return line


def _height(value: object) -> int:
    """Return the rows that a value takes in the layout of `json.dumps(..., indent=1)`."""
    if isinstance(value, dict | list) and value:
        children: Iterable[object] = value.values() if isinstance(value, dict) else value
        return 2 + sum(map(_height, children))
    return 1


def _check(is_so: object) -> None:
    if not is_so:
        raise ValueError("this is no notebook of which each line of source is a line of the file")
