"""The rdjson report, read by the real reviewdog: what goes in comes out, and nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import cmarkgfm
import pytest

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import Outcome, State
from kilo_review.judge.policy import ExitCode
from kilo_review.report import renderer
from kilo_review.report.view import View
from kilo_review.source import change as changes
from tests.support.outcomes import BYTES, HOSTILE, ODD_NAMES, everything, found, outcome_of, reviewdog, row, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner


def diagnostics(outcome: Outcome, **view: Any) -> list[Any]:
    rows: list[Any] = shown("rdjson", outcome, **view)["diagnostics"]
    return rows


def read_back(outcome: Outcome, folder: Path) -> list[Any]:
    """What reviewdog makes of the report, in the same order."""
    rows: list[Any] = reviewdog("rdjson", renderer("rdjson")(View(outcome, ExitCode.PASS)).encode(), folder)
    return sorted(rows, key=lambda each: json.dumps(each, sort_keys=True))


def test_reviewdog_reads_what_a_review_found(
    kilo: Runner, repo: Repo, division: dict[str, Any], tmp_path: Path
) -> None:
    findings = []
    for number, name in enumerate((*ODD_NAMES, BYTES)):
        repo.write(name, f"import os\nvalue_{number} = 1 / 0\n")
        findings.append(division | {"file": f"{number}", "line": 2, "code": f"value_{number} = 1 / 0"})
    repo.git("add", "--all")
    script = kilo.scripted({"findings": findings})
    told = kilo(*script, "--format", "json").json()["findings"]
    assert len(told) == len(findings)
    read = reviewdog("rdjson", kilo(*script, "--format", "rdjson").stdout, tmp_path)
    assert sorted((each["location"]["path"], each["location"]["range"], each["message"]) for each in read) == sorted(
        (each["path"], {"start": {"line": each["line"]}}, "Division by zero. An empty list divides by zero.")
        for each in told
    )
    assert {(each["severity"], each["code"]["value"], each["source"]["name"]) for each in read} == {
        ("ERROR", "bug", "kilo-review")
    }


def test_reviewdog_reads_each_of_everything(tmp_path: Path) -> None:
    outcome = everything()
    read = read_back(outcome, tmp_path)
    written = diagnostics(outcome)
    for each in written:
        each["source"] = {"name": "kilo-review"}
        if each["location"]["path"] == ".":
            del each["location"]["path"]  # so it calls the repository
    assert read == sorted(written, key=lambda each: json.dumps(each, sort_keys=True))
    assert len(read) == len(outcome.shown) + outcome.count(State.NOT_REVIEWED) + 2


@pytest.mark.parametrize("status", list(Status))
def test_only_what_counts_is_handed_on(status: Status) -> None:
    rows = diagnostics(outcome_of(found(severity=Severity.CRITICAL, status=status, reason="why")))
    counted = {Status.ACTIVE: ["ERROR"], Status.UNVERIFIED: ["INFO"], Status.UNANCHORED: ["INFO"]}
    assert [each["severity"] for each in rows] == counted.get(status, [])


def test_severities_and_the_worst_of_them() -> None:
    rows = shown("rdjson", outcome_of(*(found(severity=severity) for severity in reversed(Severity))))
    assert [each["severity"] for each in rows["diagnostics"]] == ["INFO", "WARNING", "ERROR"]
    assert rows["severity"] == "ERROR"
    assert shown("rdjson", outcome_of()) == {
        "source": {"name": "kilo-review"},
        "severity": "INFO",
        "diagnostics": [],
    }


def test_what_was_not_reviewed_is_a_warning(kilo: Runner, buggy: Repo) -> None:
    (each,) = json.loads(kilo(*kilo.scripted({"error": "gone"}), "--format", "rdjson").stdout)["diagnostics"]
    assert each["location"] == {"path": "app.py", "range": {"start": {"line": 1}, "end": {"line": 2}}}
    assert (each["severity"], each["code"]) == ("WARNING", {"value": "not-reviewed"})
    assert re.search("Not reviewed: .*gone", each["message"])
    assert each["original_output"].startswith("app.py:1-2: Not reviewed: ")


@pytest.mark.parametrize(
    "more",
    [{"failure": "a range is gone"}, {"interrupted": True}, {"dry_run": True}],
    ids=lambda more: next(iter(more)),
)
def test_a_review_that_is_none_is_no_empty_list(more: dict[str, Any]) -> None:
    (each,) = diagnostics(outcome_of(entries=[row(State.PLANNED)], **more))
    assert (each["location"], each["severity"]) == ({"path": "."}, "WARNING")
    assert "Not reviewed" in each["message"]


def test_places_without_a_line_are_the_file() -> None:
    rows = diagnostics(outcome_of(found(line=0, end_line=0), entries=[row(start=0, end=0, path=BYTES)]))
    assert [each["location"] for each in rows] == [{"path": "app.py"}, {"path": "caf\\xe9.py"}]


def test_a_clean_suggestion_is_handed_on_with_its_lines() -> None:
    patch = b"--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n def mean(items):\n-    pass\n+    return sum(items) / len(items)\n"
    fix = "    if not items:\n        return 0\n    return sum(items) / len(items)"
    read = {"diff": lambda: changes.of_patch(patch).diff}
    (each,) = diagnostics(outcome_of(found(suggestion=fix)), **read)
    assert each["suggestions"] == [{"range": each["location"]["range"], "text": fix}]
    (other,) = diagnostics(outcome_of(found(suggestion=fix, line=1, end_line=1)), **read)
    assert "suggestions" not in other


def test_prose_stays_prose_and_anything_else_is_code() -> None:
    plain, marked = diagnostics(outcome_of(found(), found(title=HOSTILE, message=HOSTILE)))
    assert plain["message"] == "Division by zero. An empty list divides by zero."
    html = cmarkgfm.github_flavored_markdown_to_html(marked["message"]).strip()
    assert re.fullmatch(r"<p><code>[^<]*</code></p>", html)
    assert "@everyone" in html


def test_no_line_of_it_is_a_command_in_a_log(tmp_path: Path) -> None:
    outcome = outcome_of(
        found(title=HOSTILE, path="::error::x.py"), entries=[row(path="::error::y.py", reason=HOSTILE)]
    )
    for each in diagnostics(outcome):
        for line in (each["message"], each["original_output"]):
            assert not re.search("^\\s*::|##\\[|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", line)
    log = reviewdog("rdjson", renderer("rdjson")(View(outcome, ExitCode.PASS)).encode(), tmp_path, "local")
    assert len(log.splitlines()) == 2
    assert not re.search(r"^\s*::|##\[", log, re.MULTILINE)
