"""Notebooks, whole and damaged, in many layouts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from fuzz.strategies import damaged, hostile_text, json_values, line_text, one_of_these
from fuzz.target import property_of
from kilo_review.source.notebook import HEADS, notebook_of

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

KINDS = (*HEADS, "other", 1, None)
WORDS = (b'"source": [\n', b'"cell_type": "code"', b"\\n", b'"cells": [\n', b"\\u0000", b"\\ud800")
EXAMPLE = json.dumps({"cells": [{"cell_type": "code", "source": ["x = 1\n", "y"]}], "nbformat": 4}, indent=1).encode()


@st.composite
def notebooks(draw: DrawFn) -> bytes:
    """A notebook, most of them as Jupyter writes them."""
    source = st.lists(line_text.map(lambda line: f"{line}\n"), max_size=4)
    cell = st.fixed_dictionaries(
        {"cell_type": one_of_these(KINDS), "source": source | hostile_text | json_values},
        optional={"metadata": json_values, "outputs": json_values, "attachments": json_values},
    )
    document: dict[str, Any] = {
        "cells": draw(st.lists(cell, max_size=4) | json_values),
        "metadata": draw(json_values),
        "nbformat": draw(one_of_these((4, 4, 4, 3, "4"))),
    }
    indent = draw(one_of_these((1, 1, 2, None)))
    data = json.dumps(document, indent=indent, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(damaged(data, WORDS)) if draw(st.booleans()) else data


def check_notebook(content: bytes) -> None:
    """What is shown has a line for each of the file, and all source and nothing else, at the line that holds it."""
    notebook = notebook_of(content)
    if notebook is None:
        return
    rows = content.decode().split("\n")
    assert len(notebook.lines) == len(rows)
    assert notebook.content.decode().split("\n") == list(notebook.lines)
    wanted = []
    for cell in json.loads(content)["cells"]:
        source = cell["source"]
        mark = "" if cell["cell_type"] == "code" else "# "
        texts = [source] if isinstance(source, str) else source
        lines = [text.removesuffix("\n") for text in texts]
        wanted += [HEADS[cell["cell_type"]], *(mark + line for line in lines if line.strip())]
    assert [line for line in notebook.lines if line.strip()] == wanted
    for number, line in enumerate(notebook.lines, 1):
        if line.strip() and number not in notebook.cells:
            assert _written(rows[number - 1]).removesuffix("\n") in {line, line.removeprefix("# ")}


def _written(row: str) -> str:
    """Return the text that a row of the file holds: of a list, or of a member."""
    value = row.strip().removesuffix(",")
    try:
        text: str = json.loads(value)
    except ValueError:
        text = json.loads("{" + value + "}")["source"]
    return text


TARGETS: dict[str, Any] = {
    "notebook": property_of(
        check_notebook,
        notebooks(),
        read=bytes,
        seeds=(EXAMPLE,),
        words=WORDS,
    ),
}
