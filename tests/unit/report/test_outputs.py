"""Several reports of one review: which are wanted, and where each of them goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

FINDING = {
    "file": "app.py",
    "line": 2,
    "problem": "An empty list divides by zero.",
    "severity": "major",
    "title": "Division by zero",
    "code": "return sum(items) / len(items)",
    "type": "bug",
}


@pytest.fixture
def script(kilo: Runner, buggy: Repo) -> tuple[str, ...]:
    return kilo.scripted({"findings": [FINDING]})


def test_each_report_goes_where_it_is_sent(kilo: Runner, script: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    done = kilo(*script, "--format", "text", "--format", "json", "--output", f"json={file}")
    assert "Division by zero" in done.text
    assert json.loads(file.read_text())["outcome"] == "findings"


def test_a_file_of_its_own_leaves_the_text_on_standard_output(
    kilo: Runner, script: tuple[str, ...], tmp_path: Path
) -> None:
    done = kilo(*script, "--output", f"json={tmp_path / 'report.json'}")
    assert "Division by zero" in done.text
    quiet = kilo(*script, "--format", "json", "--output", f"json={tmp_path / 'report.json'}")
    assert quiet.stdout == b""


def test_the_variable_names_several_files_like_path(kilo: Runner, script: tuple[str, ...], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    done = kilo(*script, env={"KILO_REVIEW_OUTPUT": f"json={one}:text={two}", "KILO_REVIEW_FORMAT": "json text"})
    assert done.stdout == b""
    assert json.loads(one.read_text())["version"] == 1
    assert "Division by zero" in two.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--format", "text", "--format", "json"), "text and json cannot both go to standard output"),
        (("--output", "json=r", "--output", "text=r"), "cannot share the file"),
        (("--output", "a", "--output", "b"), "it is not clear which report is meant for 'b'"),
        (("--format", "json", "--output", "json=a", "--output", "b"), "it is not clear which report is meant for 'b'"),
        (("--output", "json=no/such/folder/r"), "does not exist"),
        (("--output", "json="), "is a folder"),
        (("--output", "xml=report"), "'xml' is no format. There are: text, json"),
    ],
)
def test_reports_in_each_others_way_are_told_before_the_review(
    kilo: Runner, script: tuple[str, ...], words: tuple[str, ...], told: str
) -> None:
    done = kilo(*script, *words)
    assert done.code == 2
    assert told in done.talk


def test_a_report_that_cannot_be_written_does_not_take_the_others_with_it(
    kilo: Runner, script: tuple[str, ...], tmp_path: Path
) -> None:
    full, file = "/dev/full", tmp_path / "report.json"
    done = kilo(*script, "--output", f"text={full}", "--output", f"json={file}", "--format", "text", "--format", "json")
    assert done.code == 2
    assert "cannot be written" in done.talk
    assert "Division by zero" in done.text
    assert json.loads(file.read_text())["outcome"] == "findings"


@pytest.mark.usefixtures("repo")
def test_what_is_no_review_has_no_such_form(kilo: Runner) -> None:
    done = kilo("rules", "--format", "json", "--output", "r.json", env={})
    assert done.code == 0
    assert kilo("rules", "--format", "xml").code == 2
