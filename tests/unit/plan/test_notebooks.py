"""Notebooks are reviewed by the source of their cells; every line number is that of the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.outcome import NOTEBOOK_REST
from kilo_review.source import notebook
from kilo_review.source.notebook import notebook_of
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result

    Run = Callable[..., Result]

CODE = ("import math\n", "\n", "def mean(items):\n", "    return sum(items) / len(items)")


@pytest.fixture
def run(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:  # fmt: skip
    """The program in this process, answered by a script."""
    monkeypatch.chdir(repo.path)
    script = tmp_path / "script.json"

    def reviewed(*arguments: str, found: object = None, text: str | None = None) -> Result:
        reply = {"findings": [found] if found else []} if text is None else {"text": text}
        script.write_text(json.dumps({"replies": [reply]}))
        return run_here(capsysbinary, *arguments, "--provider", "scripted", "--model", str(script))

    return reviewed


def cell(*source: str, kind: str = "code", outputs: tuple[str, ...] = ()) -> dict[str, Any]:
    """A cell as Jupyter writes it."""
    own: dict[str, Any] = {"cell_type": kind}
    if kind == "code":
        shown = [{"name": "stdout", "output_type": "stream", "text": list(outputs)}] if outputs else []
        own |= {"execution_count": 1, "metadata": {}, "outputs": shown}
    else:
        own |= {"metadata": {}}
    return {**own, "source": list(source)}


def written(*cells: dict[str, Any], indent: int = 1, **more: object) -> str:
    document = {"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps({**document, **more}, indent=indent) + "\n"


def shown(run: Run, *arguments: str) -> str:
    (request,) = json.loads(run("--show-prompt", "--format", "json", *arguments).stdout)
    return str(request[1]["content"])


def rows(done: Result) -> list[tuple[int, int, str, str | None]]:
    entries = done.json()["coverage"]["entries"]
    return [(row["added"], row["removed"], row["state"], row["reason"]) for row in entries]


def code_shown(text: str) -> list[str]:
    """The lines of the change in a prompt, without their numbers."""
    return [line[5:].rstrip() for line in text.split("\n") if line[:4].strip().isdecimal() or line[:6] == "     -"]


def test_source_is_shown_as_code(repo: Repo, run: Run) -> None:
    repo.stage("a.ipynb", written(cell(*CODE, outputs=("secret output\n",)), cell("Text *here*", kind="markdown")))
    text = shown(run)
    assert code_shown(text) == [
        "+ # %%",
        "+ import math",
        "+ def mean(items):",
        "+     return sum(items) / len(items)",
        "+ # %% [markdown]",
        "+ # Text *here*",
    ]
    assert "secret output" not in text
    assert "cell_type" not in text


def test_a_finding_names_the_line_of_the_file_and_the_cell(repo: Repo, run: Run, division: dict[str, Any]) -> None:
    file = written(cell("x = 1\n"), cell(*CODE))
    repo.stage("a.ipynb", file)
    claim = {**division, "file": "a.ipynb", "code": "    return sum(items) / len(items)"}
    done = run("--format", "json", found=claim)
    (finding,) = done.json()["findings"]
    wanted = next(number for number, line in enumerate(file.split("\n"), 1) if "len(items)" in line)
    assert (finding["line"], finding["reason"], finding["status"]) == (wanted, "in cell 2", "active")
    assert finding["evidence"] == "    return sum(items) / len(items)"
    assert "(in cell 2)" in run(found=claim).text


def test_only_outputs_that_change_are_skipped(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=written(cell(*CODE, outputs=("1\n",))))
    repo.stage("a.ipynb", written(cell(*CODE, outputs=("2\n", "3\n"))))
    for arguments in ((), ("--dry-run",)):
        assert rows(run("--format", "json", *arguments)) == [(2, 1, "skipped", NOTEBOOK_REST)]


def test_rows_add_up_to_what_git_counts(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=written(cell(*CODE, outputs=("1\n",)), cell("y = 2")))
    repo.stage("a.ipynb", written(cell(*CODE[:-1], "    return 1", outputs=("2\n",)), cell("y = 2\n", "z = 3")))
    added, removed, _ = repo.out("diff", "--cached", "--numstat").split(maxsplit=2)
    for arguments in ((), ("--dry-run",)):
        found = rows(run("--format", "json", *arguments))
        assert (sum(row[0] for row in found), sum(row[1] for row in found)) == (int(added), int(removed))


def test_what_json_alone_changes_is_shown_as_unchanged(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=written(cell("x = 1\n", "y = 2")))
    repo.stage("a.ipynb", written(cell("x = 1\n", "y = 2\n", "z = 3")))
    assert code_shown(shown(run))[-3:] == ["  x = 1", "  y = 2", "+ z = 3"]


def test_the_function_around_a_line_in_a_cell_is_shown(repo: Repo, run: Run) -> None:
    body = tuple(f"    step({number})\n" for number in range(20))
    repo.commit("base", a__ipynb=written(cell("def long():\n", *body, "    return 1")))
    repo.stage("a.ipynb", written(cell("def long():\n", *body, "    return 2")))
    assert "IN def long()" in shown(run)


def test_a_comment_in_a_cell_takes_a_finding_out_of_the_count(
    repo: Repo, run: Run, division: dict[str, Any]
) -> None:  # fmt: skip
    line = f"{CODE[-1]}  # kilo-review: ignore[bug] never empty here"
    repo.stage("a.ipynb", written(cell(*CODE[:-1], line)))
    (finding,) = run("--format", "json", found={**division, "file": "a.ipynb", "code": line}).json()["findings"]
    assert (finding["status"], finding["reason"].endswith("never empty here")) == ("suppressed", True)


def test_a_hidden_character_that_is_written_as_an_escape_sequence_is_found(repo: Repo, run: Run) -> None:
    repo.stage("a.ipynb", written(cell("if user != 'admin\u202e ' :\n", "    stop()")))
    assert "\\u202e" in (repo.path / "a.ipynb").read_text()
    (finding,) = run("--format", "json").json()["findings"]
    assert (finding["category"], finding["reason"]) == ("unicode", "in cell 1")


def test_a_dismissal_holds_where_a_cell_is_added_above(repo: Repo, run: Run, division: dict[str, Any]) -> None:
    claim = {**division, "file": "a.ipynb", "code": CODE[-1]}
    repo.stage("a.ipynb", written(cell(*CODE)))
    (finding,) = run("--format", "json", found=claim).json()["findings"]
    run("dismiss", finding["fingerprint"], "--reason", "no")
    repo.stage("a.ipynb", written(cell("x = 1"), cell(*CODE)))
    (again,) = run("--format", "json", found=claim).json()["findings"]
    assert (again["fingerprint"], again["status"]) == (finding["fingerprint"], "dismissed")


def test_a_finding_is_there_until_its_code_is_gone(repo: Repo, run: Run, division: dict[str, Any]) -> None:
    claim = {**division, "file": "a.ipynb", "code": CODE[-1]}
    repo.stage("a.ipynb", written(cell(*CODE)))
    repo.git("commit", "-q", "-m", "one")
    run("catch-up", found=claim)
    repo.stage("a.ipynb", written(cell(*CODE, outputs=("1\n",))))
    repo.git("commit", "-q", "-m", "outputs")
    assert "a.ipynb:" in run("status").text
    repo.stage("a.ipynb", written(cell(*CODE[:-1], "    return 0")))
    repo.git("commit", "-q", "-m", "fixed")
    assert "a.ipynb:" not in run("status").text


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(json.dumps({"cells": [cell("x = 1")], "metadata": {}, "nbformat": 4}), id="on one line"),
        pytest.param(written(cell("x = 1\ny = 2")), id="two lines in one"),
        pytest.param(written(cell("x = ", "1")), id="one line in two"),
        pytest.param(written(cell("x = 1\ry = 2\n")), id="carriage return"),
        pytest.param(written(cell("x = '\x1b'")), id="control character"),
        pytest.param(written(cell("x = '\ud800'")), id="lone surrogate"),
        pytest.param(written(cell("x = 1"), nbformat=3), id="another version"),
        pytest.param(written(cell("x = 1", kind="other")), id="unknown cell"),
        pytest.param(written({"cell_type": "code", "metadata": {}, "outputs": []}), id="a cell without source"),
        pytest.param(
            written(cell("x = 1")).replace('   "source"', '   "source": [],\n   "source"'), id="source given twice"
        ),
        pytest.param(written(cell("x = 1")).replace("[\n    ", "["), id="another layout"),
        pytest.param(written(cell("x = 1")).replace(' "metadata": {\n', ' "metadata":\n {\n'), id="further lines"),
        pytest.param(written(cell("x = 1"))[:-3], id="cut"),
        pytest.param("[" * 3_000, id="nesting"),
        pytest.param("\ufeff" + written(cell("x = 1")), id="byte order mark"),
        pytest.param("[]\n", id="no notebook"),
        pytest.param(written(cell("x = 1")).replace('"cells"', '"other"'), id="no cells"),
        pytest.param(written(cells={"a": cell("x = 1")}), id="cells that are no list"),
    ],
)
def test_another_layout_is_reviewed_as_json(repo: Repo, run: Run, file: str) -> None:
    assert notebook_of(file.encode()) is None
    repo.stage("a.ipynb", file)
    (row,) = run("--dry-run", "--format", "json").json()["coverage"]["entries"]
    assert (row["added"], row["state"]) == (len(file.splitlines()), "planned")


@pytest.mark.parametrize(
    "file",
    [
        written(cell("x = 1"), indent=2),
        written(cell("x = 1")).rstrip("\n"),
        written(cell("x = 1")).replace("\n", "\r\n"),
        written({**cell(), "source": "x = 1"}),
        written({**cell(), "source": "x = 1\n"}),
        written(cell("x = 1\n"), cell(), {**cell(), "attachments": {"a.png": {"image/png": "QUJD"}}}),
    ],
)
def test_ordinary_layouts_are_known(file: str) -> None:
    found = notebook_of(file.encode())
    assert found is not None
    assert len(found.lines) == file.count("\n") + 1
    assert [line for line in found.lines if line and not line.startswith("# %%")] == ["x = 1"]


def test_a_notebook_too_large_to_read_is_reviewed_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(cell("x = 1")).encode()
    assert notebook_of(file) is not None
    monkeypatch.setattr(notebook, "LARGEST_BYTES", len(file) - 1)
    assert notebook_of(file) is None
    monkeypatch.setattr(notebook, "LARGEST_BYTES", len(file))
    monkeypatch.setattr(notebook, "MOST_CONTAINERS", 6)
    assert notebook_of(file) is None


def test_in_a_proposal_a_notebook_is_reviewed_likewise(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    repo.commit("base", a__ipynb=written(cell(*CODE)))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    repo.stage("a.ipynb", written(cell(*CODE[:-1], "    return 0", outputs=("1\n",))))
    states = {(row[2], row[3]) for row in rows(run("--format", "json"))}
    assert states == {("reviewed", None), ("skipped", NOTEBOOK_REST)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (cell(*CODE, kind="markdown"), {**cell(*CODE, kind="markdown"), "cell_type": "code"}),
        (cell(*CODE), {**cell(*CODE), "cell_type": "raw"}),
        ({**cell("x"), "metadata": {"source": list(CODE)}}, {**cell("x"), "metadata": {"other": list(CODE)}}),
    ],
    ids=["text becomes code", "code becomes text", "neither"],
)
def test_rows_that_change_their_meaning_are_reviewed_as_json(
    repo: Repo, run: Run, before: dict[str, Any], after: dict[str, Any]
) -> None:
    repo.commit("base", a__ipynb=written(before, cell(*["y = 1\n"] * 9)))
    repo.stage("a.ipynb", written(after, cell(*["y = 1\n"] * 9)))
    states = {row[2] for row in rows(run("--format", "json"))}
    assert states == ({"skipped"} if before["cell_type"] == after["cell_type"] else {"reviewed"})


def test_another_kernel_is_reviewed(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=written(cell(*CODE)))
    repo.stage("a.ipynb", written(cell(*CODE)).replace("python3", "bash"))
    assert [row[2] for row in rows(run("--format", "json"))] == ["reviewed"]


def test_one_side_that_cannot_be_shown_is_reviewed_as_json(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=json.dumps({"cells": [cell("x = 1")], "nbformat": 4}))
    repo.stage("a.ipynb", written(cell("x = 1")))
    assert '"nbformat": 4' in shown(run)


def test_a_deleted_notebook_is_told_by_its_functions(repo: Repo, run: Run) -> None:
    repo.commit("base", a__ipynb=written(cell(*CODE)))
    repo.git("rm", "-q", "a.ipynb")
    assert "it had: def mean(items)" in shown(run)


def test_the_fix_of_a_notebook_is_told_but_not_applied(repo: Repo, run: Run, division: dict[str, Any]) -> None:
    claim = {**division, "file": "a.ipynb", "code": CODE[-1]}
    repo.stage("a.ipynb", written(cell(*CODE)))
    (finding,) = run("--format", "json", found=claim).json()["findings"]
    words = {"cause": "It divides.", "example": "mean([])", "remove": CODE[-1], "write": "    return 0"}
    done = run("explain", finding["fingerprint"], text=json.dumps(words))
    assert "It divides." in done.text
    assert "no fix: the file is shown otherwise than it is written" in done.text
