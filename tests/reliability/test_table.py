"""The table of failures is complete: in the catalogue, in the tests, in the document, and in the code."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core import errors
from kilo_review.core.errors import ModelError
from kilo_review.models import draft, retry, transport
from tests.reliability.rows import cases
from tests.reliability.table import CATALOGUE, ELSEWHERE, PAGE, PARTS, every_row, lines_elsewhere, lines_of, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "kilo_review"
STAGES = ("chunker", "model_client", "reviewer", "voting")
SOURCES = [*sorted((PACKAGE / "models").glob("*.py")), *sorted((PACKAGE / "judge").glob("*.py"))] + [
    PACKAGE / name for name in ("plan/chunk.py", *(f"review/{each}.py" for each in STAGES))
]
NO_SERVER = {"embedded.py", "scripted.py"}
"""Models that are no servers."""
IMPOSSIBLE = {"a connection was made that was not accounted for"}
"""What no server can bring about."""


def test_every_failure_that_is_known_has_a_row_and_every_row_is_about_one() -> None:
    ids = {each for row in every_row() for each in row.ids}
    assert ids | {each for other in ELSEWHERE for each in other.ids} == CATALOGUE


def test_every_row_has_a_name_of_its_own() -> None:
    assert [key for key, times in Counter(row.key for row in every_row()).items() if times > 1] == []


def test_every_row_is_tried() -> None:
    assert {part.module.__name__.rpartition(".")[2] for part in PARTS} == {
        path.stem for path in HERE.glob("test_*.py") if "\ndef test_it_is_as_the_table_says(" in path.read_text()
    }
    for part in PARTS:
        tried = {case.id for case in cases(part.rows)}
        assert tried == {case.id for case in parameters(part.module.test_it_is_as_the_table_says)}


def parameters(test: Any) -> list[Any]:
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize"]
    return list(mark.args[1])


@pytest.mark.parametrize("other", ELSEWHERE, ids=lambda other: other.test)
def test_tests_elsewhere_are_there_and_look_at_the_message(other: Any) -> None:
    source = (HERE.parent / other.file).read_text()
    (test,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == other.test]
    assert unseen(other.says, asserted(test)) == []


BLANK = re.compile(r"'[A-Z]+'|\b(?:URL|HOST)\b|https://localhost:|\(?…\)?|\(403\)|\. ")
"""What differs from run to run in a message, and the end of its cause."""
FEWEST_WORDS = 3


def unseen(says: str, told: list[str]) -> list[str]:
    """The parts of a message that no assertion has words of: at least three, and all in one go."""
    parts = [part.strip(" ;.") for part in BLANK.split(says)]
    long = [part for part in parts if len(part.split()) >= FEWEST_WORDS]
    return [part for part in long if not any(part in text or text in part for text in told)]


def asserted(test: ast.FunctionDef) -> list[str]:
    """The texts that a test compares with: in `assert` and `match=`, and in what it is parametrized with."""
    looked_at: list[ast.AST] = list(test.decorator_list)
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            looked_at.append(node.test)  # not what is said when it fails
        elif isinstance(node, ast.keyword) and node.arg == "match":
            looked_at.append(node.value)
    texts = [
        node.value.strip(" ;.")
        for each in looked_at
        for node in ast.walk(each)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [text for text in texts if len(text.split()) >= FEWEST_WORDS]


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("assert 'the server at' in done.text\n    assert 'Start that server' in done.text", []),
        ("with raises(E, match='the server at'): pass\n    assert f'{x} is down. Start that server' in t", []),
        ("assert 'the server at' in done.text", ["Start that server"]),
        ("assert 'Start that server' in done.text", ["the server at"]),
        ("'the server at'\n    say('Start that server')", ["the server at", "Start that server"]),
        ("assert x, 'the server at'\n    # Start that server", ["the server at", "Start that server"]),
        ("assert 'server' in t\n    assert 'that server' in t", ["the server at", "Start that server"]),
        ("assert 'at the server' in t\n    assert 'Stop that server' in t", ["the server at", "Start that server"]),
    ],
)
def test_words_count_where_they_are_asserted(body: str, missing: list[str]) -> None:
    test = ast.parse(f"def test():\n    {body}").body[0]
    assert isinstance(test, ast.FunctionDef)
    assert unseen("the server at URL is down. Start that server", asserted(test)) == missing


def test_the_document_has_all_rows_and_no_others() -> None:
    text = PAGE.read_text()
    for title, table in tables().items():
        assert f"## {title}\n\n{table}\n" in text, "python -m tests.reliability.table writes it anew"
    rows = [line for part in PARTS for line in lines_of(part)] + lines_elsewhere()
    assert [line for line in text.splitlines() if line.startswith("| [")] == rows


def test_what_was_not_answered_comes_with_cause_and_next_step() -> None:
    for row in every_row():
        if row.outcome in {"not_reviewed", "incomplete"}:
            assert row.says, row.key
            assert row.then, row.key


def test_the_document_has_the_figures_of_the_program() -> None:
    text = " ".join(PAGE.read_text().split())
    waits = [f"{seconds:g}" for seconds in retry.BUSY_SECONDS]
    for phrase in (
        f"{transport.CONNECT_SECONDS:g} seconds to connect, {transport.METADATA_SECONDS:g} for a question",
        f"{transport.FIRST_BYTE_SECONDS:g} until an answer begins",
        f"and {transport.SILENCE_SECONDS:g} between two pieces",
        f"{transport.LARGEST_LINE // 1024} KiB for one line and for one model's answer",
        f"{transport.LARGEST_BODY // 1024} KiB for all that comes",
        f"up to {len(waits)} times more, after {', '.join(waits[:-1])} and {waits[-1]} seconds",
        f"once more, after {retry.RESTART_SECONDS:g} seconds",
        f"by up to {100 * retry.JITTER:g} %",
    ):
        assert phrase in text
    assert transport.LARGEST_LINE == draft.LARGEST_ANSWER


# The code


def test_every_message_about_a_model_or_its_server_is_printed_in_a_test() -> None:
    texts = [text for row in every_row() for text in (row.says, *(says for says, _ in row.unlike.values()))]
    texts += [other.says for other in ELSEWHERE]
    found = [message for path in SOURCES if path.name not in NO_SERVER for message in messages(path)]
    assert len(found) > 40
    assert {message for message in found if not any(re.search(message, text) for text in texts)} == {
        re.escape(text) for text in IMPOSSIBLE
    }


def messages(path: Path) -> Iterator[str]:
    """What a module's errors say, as regular expressions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args and is_error(node.func.id):
            said = node.args[0]
            parts = said.values if isinstance(said, ast.JoinedStr) else [said]
            texts = [part.value for part in parts if isinstance(part, ast.Constant)]
            if texts:  # else it hands on what another one says
                yield ".*?".join(re.escape(str(text)) for text in texts)


def is_error(name: str) -> bool:
    kind = getattr(errors, name, None)
    return isinstance(kind, type) and issubclass(kind, ModelError)
