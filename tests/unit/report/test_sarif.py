"""The SARIF report: valid, complete, inert, and within what GitHub takes."""

from __future__ import annotations

import json
import os
import random
import re
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema
import pytest

from kilo_review import __version__
from kilo_review.core.finding import Category, Severity, Status
from kilo_review.core.outcome import Outcome, State
from kilo_review.judge.policy import ExitCode
from kilo_review.report import renderer, upload
from kilo_review.report.view import View
from kilo_review.source import change as changes
from tests.conftest import absent
from tests.support.outcomes import BYTES, HOSTILE, ODD_NAMES, everything, found, outcome_of, reviewdog, row, shown

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner

SCHEMA = os.environ.get("KILO_TEST_SARIF_SCHEMA", "")
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")


@cache
def validator() -> Any:
    schema = json.loads(Path(SCHEMA).read_text())
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())


def run_of(outcome: Outcome, **view: Any) -> Any:
    (run,) = shown("sarif", outcome, **view)["runs"]
    return run


def notices(run: Any, name: str) -> list[Any]:
    (invocation,) = run["invocations"]
    return [each for each in invocation["toolExecutionNotifications"] if each["descriptor"]["id"] == name]


@pytest.mark.parametrize(
    "outcome",
    [everything(), outcome_of(), outcome_of(entries=[]), outcome_of(found()), outcome_of(dry_run=True)],
    ids=["everything", "clean", "nothing", "a finding", "a dry run"],
)
def test_the_official_schema_accepts_it(outcome: Outcome) -> None:
    if not SCHEMA:
        absent("the schema of SARIF is not here (.ci/run has it)")
    problems = [f"{each.json_path}: {each.message}" for each in validator().iter_errors(shown("sarif", outcome))]
    assert problems == []


def test_a_finding_of_a_review_is_a_result_with_its_rule(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    (told,) = kilo(*script, "--format", "json").json()["findings"]
    done = kilo(*script, "--format", "sarif")
    (run,) = json.loads(done.stdout)["runs"]
    (result,) = run["results"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("kilo-review", __version__)
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "bug"
    assert [rule["id"] for rule in driver["rules"]] == list(Category)
    assert result["level"] == "error"
    assert result["message"]["text"] == "Division by zero. An empty list divides by zero."
    (place,) = result["locations"]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": "app.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 2, "endLine": 2, "snippet": {"text": "    return sum(items) / len(items)"}},
    }
    assert "%SRCROOT%" in run["originalUriBaseIds"]
    assert result["partialFingerprints"] == {"kiloReview/v1": told["fingerprint"]}
    assert result["suppressions"] == []
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (True, done.code) == (True, 1)
    assert kilo(*script, "--format", "sarif").stdout == done.stdout


def test_what_a_comment_excuses_is_suppressed_in_the_source(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.stage("app.py", "def mean(i):\n    return sum(items) / len(items)  # kilo-review: ignore[bug] never empty\n")
    script = kilo.scripted(
        {"findings": [division | {"code": "return sum(items) / len(items)  # kilo-review: ignore[bug] never empty"}]}
    )
    (result,) = json.loads(kilo(*script, "--format", "sarif").stdout)["runs"][0]["results"]
    assert result["suppressions"] == [
        {"kind": "inSource", "status": "accepted", "justification": "suppressed: ignored in line 2: never empty"}
    ]


@pytest.mark.parametrize("status", [Status.SUPPRESSED, Status.BASELINE, Status.DISMISSED, Status.REFUTED])
def test_what_is_out_of_the_count_is_suppressed_with_its_state(status: Status) -> None:
    (result,) = run_of(outcome_of(found(status=status, reason="it is checked")))["results"]
    assert result["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": f"{status}: it is checked"}
    ]
    assert result["properties"]["status"] == status
    assert run_of(outcome_of(found(status=status)))["results"][0]["suppressions"][0]["justification"] == status


@pytest.mark.parametrize("status", [Status.UNVERIFIED, Status.UNANCHORED])
def test_what_is_in_doubt_is_a_note_that_says_so(status: Status) -> None:
    (result,) = run_of(outcome_of(found(severity=Severity.CRITICAL, status=status, reason="no answer")))["results"]
    assert (result["level"], result["suppressions"], result["properties"]["status"]) == ("note", [], status)
    assert result["message"]["text"].endswith(f"({status}: no answer)")
    assert ("snippet" in result["locations"][0]["physicalLocation"]["region"]) == (status is Status.UNVERIFIED)


@pytest.mark.parametrize("category", list(Category))
def test_the_index_of_a_rule_is_that_of_its_category(category: Category) -> None:
    run = run_of(outcome_of(found(category=category)))
    (result,) = run["results"]
    assert result["ruleId"] == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == category


def test_severities_are_levels() -> None:
    results = run_of(outcome_of(*(found(severity=severity) for severity in Severity)))["results"]
    assert [result["level"] for result in results] == ["error", "warning", "note"]


def test_a_finding_in_a_deleted_file_has_no_region() -> None:
    (result,) = run_of(outcome_of(found(line=0, end_line=0)))["results"]
    assert "region" not in result["locations"][0]["physicalLocation"]


def test_a_review_that_failed_says_where_nobody_looked(kilo: Runner, buggy: Repo) -> None:
    buggy.stage("yarn.lock", "x\n")
    done = kilo(*kilo.scripted({"error": "gone"}), "--format", "sarif")
    (run,) = json.loads(done.stdout)["runs"]
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"], run["results"]) == (False, 3, [])
    (missing,) = notices(run, "not-reviewed")
    assert missing["level"] == "warning"
    assert "gone" in missing["message"]["text"]
    assert missing["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "app.py", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 1, "endLine": 2},
    }
    (skipped,) = notices(run, "skipped")
    assert (skipped["level"], skipped["message"]["text"]) == ("note", "Skipped: lock file")


def test_every_row_that_was_not_reviewed_is_there() -> None:
    outcome = everything()
    run = run_of(outcome)
    for state, name in ((State.NOT_REVIEWED, "not-reviewed"), (State.SKIPPED, "skipped"), (State.PLANNED, "planned")):
        assert len(notices(run, name)) == outcome.count(state) > 0
    assert run_of(outcome_of(entries=[row(State.CACHED)]))["invocations"][0]["toolExecutionNotifications"] == []
    assert [each["level"] for each in notices(run, "incomplete")] == ["error", "error"]
    assert len(notices(run, "remark")) == 2
    descriptors = run["tool"]["driver"]["notifications"]
    for each in run["invocations"][0]["toolExecutionNotifications"]:
        assert descriptors[each["descriptor"]["index"]]["id"] == each["descriptor"]["id"]


@pytest.mark.parametrize(
    ("outcome", "is_successful"),
    [
        (outcome_of(), True),
        (outcome_of(found()), True),
        (outcome_of(entries=[]), True),
        (outcome_of(found(), entries=[row(State.REVIEWED), row()]), False),
        (outcome_of(entries=[row(State.SKIPPED)]), False),
        (outcome_of(failure="a range is gone"), False),
        (outcome_of(interrupted=True), False),
        (outcome_of(entries=[row(State.PLANNED)], dry_run=True), False),
    ],
    ids=["clean", "findings", "nothing", "incomplete", "skipped", "failure", "interrupted", "dry run"],
)
def test_only_a_whole_review_is_called_successful(outcome: Outcome, is_successful: bool) -> None:
    assert run_of(outcome)["invocations"][0]["executionSuccessful"] is is_successful


@pytest.mark.parametrize("name", [*ODD_NAMES, BYTES])
def test_a_uri_leads_to_the_very_file(name: str) -> None:
    run = run_of(outcome_of(found(path=name), entries=[row(path=name)]))
    for place in (run["results"][0]["locations"][0], notices(run, "not-reviewed")[0]["locations"][0]):
        uri = place["physicalLocation"]["artifactLocation"]["uri"]
        assert urlsplit(uri) == ("", "", uri, "", "")
        assert re.fullmatch(r"(?:[\w./~-]|%[0-9A-F]{2})+", uri, re.ASCII)
        assert unquote_to_bytes(uri) == os.fsencode(name)


def test_hostile_words_are_shown_and_are_no_link_and_no_placeholder() -> None:
    run = run_of(everything())
    texts = [result["message"]["text"] for result in run["results"]]
    texts += [each["message"]["text"] for each in run["invocations"][0]["toolExecutionNotifications"]]
    texts += [result["suppressions"][0]["justification"] for result in run["results"] if result["suppressions"]]
    hostile = [text for text in texts if "everyone" in text]
    assert len(hostile) == 4
    for text in texts:
        assert text
        assert not UNSEEN.search(text)
        assert "\n" not in text
        assert not re.search(r"\]\(|(?<!\\)[\[\]]|(?<!\{)\{\d", text)
    assert all("\\\\x1b\\[31m@everyone" in text and "javascript:alert(1)" in text for text in hostile)
    snippets = [each["locations"][0]["physicalLocation"].get("region", {}).get("snippet") for each in run["results"]]
    assert not any(UNSEEN.search(each["text"]) for each in snippets if each)
    assert '"markdown"' not in json.dumps(run)


# GitHub's limits


def test_what_github_refuses_is_left_out_from_the_least_severe_on_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_RESULTS", 3)
    monkeypatch.setattr(upload, "MOST_SHOWN", 2)
    findings = [found(severity=severity) for severity in (*Severity, *Severity)]
    run = run_of(outcome_of(found(severity=Severity.CRITICAL, status=Status.DISMISSED), *findings))
    kept = [(result["level"], result["properties"]["status"]) for result in run["results"]]
    assert kept == [("error", "active"), ("error", "active"), ("warning", "active")]
    first, second = (each["message"]["text"] for each in notices(run, "incomplete"))
    assert first.startswith("4 of 7 findings are left out, the least severe: GitHub refuses")
    assert second == "GitHub shows 2 of these 3 findings"
    assert notices(run_of(outcome_of(*findings[:2])), "incomplete") == []


def test_a_file_that_would_be_too_large_is_cut_and_stays_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "LARGEST", 300_000)
    monkeypatch.setattr(upload, "MARGIN", 100_000)
    words = random.Random(1)
    findings = [found(message=words.randbytes(400).hex()) for _ in range(1000)]
    text = renderer("sarif")(View(outcome_of(*findings), ExitCode.PASS))
    (run,) = json.loads(text)["runs"]
    kept = len(run["results"])
    assert 300 < kept < 1000
    assert len(zlib.compress(text.encode())) < 300_000
    assert f"{1000 - kept} of 1000 findings are left out" in notices(run, "incomplete")[0]["message"]["text"]


# Suggestions

PATCH = b"""\
diff --git a/app.py b/app.py
--- a/app.py
+++ b/app.py
@@ -1,4 +1,4 @@
 def mean(items):
-    if not items:
-        return 0
+    items = list(items)
+    total = sum(items)\r
     return sum(items) / len(items)
"""
CLEAN = {"line": 4, "end_line": 4, "suggestion": "    return sum(items) / max(len(items), 1)\n"}
UNCLEAN: dict[str, dict[str, Any]] = {
    "hidden characters": {"suggestion": "    return 0\u202e"},
    "a secret": {"suggestion": "    return MASK"},
    "nothing new": {"suggestion": "    return sum(items) / len(items)"},
    "nothing": {"suggestion": "  \n"},
    "in doubt": {"status": Status.UNVERIFIED},
    "removed code": {"line": 2, "end_line": 2, "evidence": "    if not items:"},
    "another line": {"line": 1, "end_line": 1},
    "other line ends": {"line": 3, "end_line": 3, "evidence": "    total = sum(items)\r"},
    "another file": {"path": "other.py"},
    "a deleted file": {"line": 0, "end_line": 0},
}


def fix_of(**finding: Any) -> Any:
    view = {"diff": lambda: changes.of_patch(PATCH).diff, "mask": lambda text: text.replace("MASK", "[masked]")}
    (result,) = run_of(outcome_of(found(**(CLEAN | finding))), **view)["results"]
    return result.get("fixes")


def test_a_clean_suggestion_is_a_fix() -> None:
    assert fix_of() == [
        {
            "artifactChanges": [
                {
                    "artifactLocation": {"uri": "app.py", "uriBaseId": "%SRCROOT%"},
                    "replacements": [
                        {
                            "deletedRegion": {"startLine": 4, "endLine": 4},
                            "insertedContent": {"text": "    return sum(items) / max(len(items), 1)"},
                        }
                    ],
                }
            ]
        }
    ]


@pytest.mark.parametrize("finding", UNCLEAN.values(), ids=UNCLEAN)
def test_any_other_suggestion_is_none(finding: dict[str, Any]) -> None:
    assert fix_of(**finding) is None


def test_without_the_change_nobody_can_tell_whether_it_fits() -> None:
    assert "fixes" not in run_of(outcome_of(found(**CLEAN)))["results"][0]


# The real reviewdog


def test_reviewdog_reads_the_findings_that_went_in(tmp_path: Path) -> None:
    findings = [found(path=name, severity=severity) for name in ODD_NAMES for severity in Severity]
    findings.append(found(line=2, end_line=4, title=HOSTILE))
    outcome = outcome_of(*findings)
    report = renderer("sarif")(View(outcome, ExitCode.PASS))
    read = {
        (
            each["location"]["path"],
            each["location"]["range"]["start"]["line"],
            each["location"]["range"].get("end", {}).get("line", each["location"]["range"]["start"]["line"]),
            each["severity"],
            each["code"]["value"],
            each["message"],
        )
        for each in reviewdog("sarif", report.encode(), tmp_path)
    }
    severities = {Severity.CRITICAL: "ERROR", Severity.MAJOR: "WARNING", Severity.MINOR: "INFO"}
    results = {each["partialFingerprints"]["kiloReview/v1"]: each for each in run_of(outcome)["results"]}
    assert read == {
        (
            *(each.path, each.line, each.end_line, severities[each.severity], each.category.value),
            results[each.fingerprint]["message"]["text"]
            if each.title == HOSTILE
            else "Division by zero. An empty list divides by zero.",
        )
        for each in findings
    }


def test_a_name_that_is_not_utf_8_does_not_make_reviewdog_refuse_the_rest(tmp_path: Path) -> None:
    report = renderer("sarif")(View(outcome_of(found(path=BYTES), found()), ExitCode.PASS))
    read = reviewdog("sarif", report.encode(), tmp_path, "local")
    assert ('"caf%E9.py"' in read, '"app.py"' in read) == (True, True)
