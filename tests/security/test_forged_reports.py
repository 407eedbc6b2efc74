"""Reports that were forged or damaged on their way from a shard: what comes of them is never greener than they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.cli.merge import joined
from kilo_review.core.errors import ConfigError, UsageError
from kilo_review.report.reading import outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kilo_review.core.outcome import Outcome
    from tests.conftest import Repo, Runner

BASE, HEAD = "a" * 40, "b" * 40


def report(index: int = 1, of: int = 1) -> dict[str, Any]:
    row = {"path": f"f{index}.py", "start": 1, "end": 2, "added": 2, "removed": 0, "state": "reviewed", "reason": None}
    counts = {"files": 1, "hunks": 1, "reviewed": 1, "cached": 0, "skipped": 0, "not_reviewed": 0}
    tokens = {"requests": 1, "prompt_tokens": 1, "cached_prompt_tokens": 0, "completion_tokens": 1}
    return {
        "version": 1,
        "outcome": "clean",
        "blocking": False,
        "exit_code": 0,
        "target": {"kind": "branch", "base": BASE, "head": HEAD},
        "model": {"provider": "ollama", "name": "m", "base_url": "http://127.0.0.1:1", "window": 1, "local": True},
        "findings": [],
        "coverage": {**counts, "entries": [row]},
        "shard": {"index": index, "of": of},
        "failure": None,
        "notes": [],
        "usage": {**tokens, "seconds": 1.0, "model_seconds": 1.0},
        "egress": [],
    }


def put(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        place = made
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def drop_a_finding(made: dict[str, Any]) -> None:
    made |= {"blocking": True, "exit_code": 1, "outcome": "findings"}


def add_a_finding(fingerprint: str) -> Callable[[dict[str, Any]], None]:
    row = {"path": "f1.py", "line": 1, "end_line": 1, "severity": "minor", "category": "bug", "title": "t"}
    rest = {"message": "m", "evidence": "x", "suggestion": None, "status": "active", "blocking": False, "reason": None}

    def change(made: dict[str, Any]) -> None:
        made |= {"outcome": "findings", "findings": [row | rest | {"fingerprint": fingerprint}]}

    return change


def damage_the_path(made: dict[str, Any]) -> None:
    made["coverage"]["entries"][0]["path"] = "a\ud800.py"


def lose_rows(made: dict[str, Any]) -> None:
    made |= {"outcome": "incomplete", "exit_code": 3}
    made["coverage"]["not_reviewed"] = 4


def only_plan(made: dict[str, Any]) -> None:
    made["coverage"]["entries"][0]["state"] = "planned"
    made["coverage"] |= {"reviewed": 0, "planned": 1}


DAMAGES = {
    "a base that is an option": put("--output=x", "target", "base"),
    "a head that is a revision": put("HEAD", "target", "head"),
    "a commit that is a revision": put("HEAD", "commit"),
    "a division that is a number": put(7, "shard", "division"),
    "of no shards": put(0, "shard", "of"),
    "of less than none": put(-3, "shard", "of"),
    "of more than there can be": put(10**9, "shard", "of"),
    "a number beyond the last": put(2, "shard", "index"),
    "seconds that are none": put(float("nan"), "usage", "seconds"),
    "seconds without an end": put(10**400, "usage", "seconds"),
    "a count without an end": put(10**400, "usage", "requests"),
    "a dry run": only_plan,
    "a finding that is gone": drop_a_finding,
    "rows that are gone": lose_rows,
    "a fingerprint that moves the cursor": add_a_finding("\x1b[2J" + "0" * 28),
    "a fingerprint that ends an attribute": add_a_finding('"><b>x<p'),
    "half a character": put(["a\ud800"], "notes"),
    "a path with half a character": damage_the_path,
    "an address that is none": put([{"url": "u", "address": "\x1b]0;x\x07", "bytes_sent": 1, "requests": 1}], "egress"),
    "another outcome": put("not_reviewed", "outcome"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_report_that_cannot_be_so_is_damaged(damage: Callable[[dict[str, Any]], None]) -> None:
    made = report()
    outcome_of(json.dumps(made).encode(), "it")
    damage(made)
    with pytest.raises(ConfigError, match="it is damaged"):
        outcome_of(json.dumps(made).encode(), "it")


def test_a_forged_report_has_git_write_no_file(kilo: Runner, tmp_path: Path) -> None:
    made, file, written = report(), tmp_path / "shard.json", tmp_path / "written"
    made["target"] |= {"base": f"--output={written}", "head": "HEAD^{tree}"}
    file.write_text(json.dumps(made))
    done = kilo("merge", str(file), "--format", "html")
    assert done.code == 2
    assert "base is no object id" in done.talk
    assert not written.exists()


def test_a_report_with_a_finding_is_read_as_it_is() -> None:
    made = report()
    add_a_finding("0a" * 16)(made)
    (finding,) = outcome_of(json.dumps(made).encode(), "it").findings
    assert finding.fingerprint == "0a" * 16


@pytest.mark.parametrize("environment", [{"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, {"PATH": "/nonexistent"}])
def test_where_git_cannot_be_used_the_reports_are_joined_all_the_same(
    kilo: Runner, repo: Repo, tmp_path: Path, environment: dict[str, str]
) -> None:
    made, file = report(), tmp_path / "shard.json"
    add_a_finding("0a" * 16)(made)
    file.write_text(json.dumps(made))
    done = kilo("merge", str(file), "--format", "json", cwd=repo.path, env=environment)
    assert done.code == 0, done.talk
    assert [each["title"] for each in done.json()["findings"]] == ["t"]


def test_an_interrupted_shard_is_an_interrupted_review() -> None:
    first, second = report(1, 2), report(2, 2)
    second["exit_code"] = 130
    assert not merged(first, report(2, 2)).interrupted
    assert merged(first, second).interrupted


def test_where_the_code_of_one_shard_went_is_not_hidden_by_the_others() -> None:
    first, second = report(1, 2), report(2, 2)
    second["model"]["local"] = False
    whole = merged(first, second)
    assert whole.model
    assert not whole.model.local


def test_shards_of_different_models_are_told() -> None:
    first, second = report(1, 2), report(2, 2)
    assert not merged(first, second).notes
    second["model"]["name"] = "tiny"
    assert merged(first, second).notes == ["different models have reviewed the shards: ollama m, ollama tiny"]


def test_shards_of_different_selections_may_leave_hunks_in_none_of_them() -> None:
    first, second = report(1, 2), report(2, 2)
    first["shard"]["division"] = second["shard"]["division"] = "a" * 16
    assert merged(first, second).word == "clean"
    second["shard"]["division"] = "b" * 16
    with pytest.raises(UsageError, match="different selections") as refused:
        merged(first, second)
    assert "--exclude" in refused.value.hint


def test_shards_of_commits_with_the_same_trees_are_not_of_one_change() -> None:
    first, second = report(1, 2), report(2, 2)
    first["commit"] = second["commit"] = "c" * 40
    assert merged(first, second).commit == "c" * 40
    second["commit"] = "d" * 40
    with pytest.raises(UsageError, match="different changes"):
        merged(first, second)


def merged(*reports: dict[str, Any]) -> Outcome:
    parts = {str(at): outcome_of(json.dumps(each).encode(), str(at)) for at, each in enumerate(reports)}
    return joined(parts, [])
