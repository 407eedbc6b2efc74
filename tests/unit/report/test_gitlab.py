"""GitLab's Code Quality report: each entry has what GitLab asks for, and none hides another."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import Outcome, State
from tests.support.outcomes import BYTES, HOSTILE, everything, found, outcome_of, row, shown

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner

DOCUMENTED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "minLength": 1},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}, "end": {"type": "integer"}},
                    },
                },
            },
        },
    },
}
"""What GitLab's manual asks of each entry: it has no schema to download. Its reader stops at the first that lacks it."""


def entries(outcome: Outcome) -> list[Any]:
    read: list[Any] = shown("gitlab", outcome)
    return read


@pytest.mark.parametrize("outcome", [everything(), outcome_of()], ids=["everything", "clean"])
def test_each_entry_has_what_the_manual_asks_for(outcome: Outcome) -> None:
    read = entries(outcome)
    jsonschema.validate(read, DOCUMENTED)
    gaps = outcome.count(State.NOT_REVIEWED) + bool(outcome.failure) + outcome.interrupted
    assert len(read) == len(outcome.shown) + gaps
    assert len({each["fingerprint"] for each in read}) == len(read)


def test_a_finding_of_a_review_is_an_entry(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    (told,) = kilo(*script, "--format", "json").json()["findings"]
    assert json.loads(kilo(*script, "--format", "gitlab").stdout) == [
        {
            "description": "Division by zero. An empty list divides by zero.",
            "check_name": "bug",
            "fingerprint": told["fingerprint"],
            "severity": "blocker",
            "location": {"path": "app.py", "lines": {"begin": 2, "end": 2}},
        }
    ]


def test_what_was_not_reviewed_is_an_entry(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted({"error": "gone"}), "--format", "gitlab")
    (each,) = json.loads(done.stdout)
    assert (each["check_name"], each["severity"], done.code) == ("not-reviewed", "info", 3)
    assert each["location"] == {"path": "app.py", "lines": {"begin": 1, "end": 2}}
    assert "gone" in each["description"]


@pytest.mark.parametrize("severity", list(Severity))
def test_severities_keep_their_names_and_what_blocks_is_a_blocker(severity: Severity) -> None:
    rows = entries(outcome_of(found(severity=severity), found(severity=severity, line=4, end_line=4, blocking=True)))
    assert [each["severity"] for each in rows] == [severity, "blocker"]


@pytest.mark.parametrize("status", list(Status))
def test_only_what_counts_is_there_and_what_is_in_doubt_is_information(status: Status) -> None:
    rows = entries(outcome_of(found(status=status, reason="why")))
    counted = {Status.ACTIVE: ["major"], Status.UNVERIFIED: ["info"], Status.UNANCHORED: ["info"]}
    assert [each["severity"] for each in rows] == counted.get(status, [])


def test_an_entry_is_the_same_after_lines_have_moved_and_the_server_has_failed_in_another_way() -> None:
    before = outcome_of(found(), found(), entries=[row(), row(start=9, end=12), row(path=BYTES)])
    moved = [finding._replace(line=finding.line + 7, end_line=finding.end_line + 7) for finding in before.findings]
    later = [replace(entry, start=entry.start + 7, end=entry.end + 7, reason="slow") for entry in before.entries]
    after = outcome_of(*moved, entries=later)
    fingerprints = [each["fingerprint"] for each in entries(before)]
    assert [each["fingerprint"] for each in entries(after)] == fingerprints
    assert len(set(fingerprints)) == 5
    assert entries(before)[0]["fingerprint"] == found().fingerprint


def test_a_deleted_file_and_a_name_that_is_not_utf_8_have_a_place() -> None:
    (each,) = entries(outcome_of(found(path=BYTES, line=0, end_line=0)))
    assert each["location"] == {"path": "caf\\xe9.py", "lines": {"begin": 1, "end": 1}}


def test_hostile_words_are_shown_and_nothing_else() -> None:
    (each,) = entries(outcome_of(found(title=HOSTILE, message=HOSTILE)))
    assert "\\x1b[31m@everyone" in each["description"]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", each["description"])
