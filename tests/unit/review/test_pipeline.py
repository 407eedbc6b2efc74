"""The pipeline with the scripted model: the ladder, splitting, coverage, interruption."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import prompts
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ServerFailedError
from kilo_review.core.outcome import Usage
from kilo_review.models import connect
from kilo_review.models.base import ModelRequest, Reply, answer_identity
from kilo_review.plan.chunk import Chunk
from kilo_review.review.model_client import Asker
from tests.conftest import heed_interrupts

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner


def stage_functions(repo: Repo, count: int, name: str = "m") -> None:
    for number in range(count):
        repo.stage(f"{name}{number}.py", f"def f{number}():\n    return {number}\n")


def states(report: dict[str, Any]) -> dict[str, str]:
    return {entry["path"]: entry["state"] for entry in report["coverage"]["entries"]}


def test_an_unreadable_reply_is_repaired_with_the_reply_alone(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    script = kilo.scripted({"when": "was meant to be JSON", "findings": [division]}, {"text": "It divides by zero!"})
    report = kilo(*script, "--format", "json").json()
    assert report["usage"]["requests"] == 3  # the third puts the finding to the test
    assert [finding["line"] for finding in report["findings"]] == [2]


def test_then_it_is_asked_once_without_the_schema(kilo: Runner, buggy: Repo) -> None:
    report = kilo(*kilo.scripted({"text": "bad"}, {"text": "worse"}, {"findings": []}), "--format", "json").json()
    assert (report["usage"]["requests"], report["outcome"]) == (3, "clean")


def test_then_the_hunks_are_not_reviewed(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted({"text": "Looks good to me."}), "--format", "json")
    report = done.json()
    assert (done.code, report["outcome"], report["usage"]["requests"]) == (3, "not_reviewed", 3)
    assert report["coverage"]["entries"][0]["reason"] == "the model's answer is not JSON"


def test_one_unreadable_chunk_does_not_spoil_the_others(kilo: Runner, repo: Repo) -> None:
    stage_functions(repo, 3)
    script = kilo.scripted(
        {"when": "FILE m1.py", "text": "?"}, {"when": "meant to be JSON", "text": "?"}, {"findings": []}, window=1700
    )
    repo.stage("m0.py", "x = 1\n" * 60)
    repo.stage("m1.py", "y = 1\n" * 60)
    repo.stage("m2.py", "z = 1\n" * 60)
    report = kilo(*script, "--format", "json").json()
    assert states(report) == {"m0.py": "reviewed", "m1.py": "not_reviewed", "m2.py": "reviewed"}
    assert report["outcome"] == "incomplete"


def test_hunks_of_a_small_change_share_one_request(kilo: Runner, repo: Repo) -> None:
    stage_functions(repo, 8)
    report = kilo(*kilo.scripted(), "--format", "json").json()
    assert (report["usage"]["requests"], report["coverage"]["reviewed"]) == (1, 8)


def test_a_large_change_becomes_several_requests(kilo: Runner, repo: Repo) -> None:
    for number in range(4):
        repo.stage(f"m{number}.py", "".join(f"value = {i}\n" for i in range(250)))
    report = kilo(*kilo.scripted(), "--format", "json").json()
    assert report["usage"]["requests"] == 2
    assert report["coverage"]["reviewed"] == 4


def test_a_cut_answer_is_not_a_review_but_its_findings_are_kept(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    text = json.dumps({"findings": [division, division]})[:-60]
    report = kilo(*kilo.scripted({"text": text, "cut": True}), "--format", "json").json()
    assert report["outcome"] == "incomplete"
    assert [finding["blocking"] for finding in report["findings"]] == [True]
    assert "was cut off after" in report["coverage"]["entries"][0]["reason"]
    assert report["exit_code"] == 1


def test_a_cut_answer_about_several_hunks_is_asked_for_in_halves(kilo: Runner, repo: Repo) -> None:
    stage_functions(repo, 2)
    script = kilo.scripted({"text": '{"findings": [', "cut": True}, {"findings": []})
    report = kilo(*script, "--format", "json").json()
    assert (report["outcome"], report["usage"]["requests"]) == ("clean", 3)


def test_no_finding_on_removed_lines_hides_another(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.git("rm", "-qf", "app.py")
    quotes = ["def mean(items):", "return sum(items) / len(items)", "if not items:"]
    script = kilo.scripted({"findings": [division | {"code": quote} for quote in quotes]})
    report = kilo(*script, "--format", "json").json()
    assert sorted(found["evidence"].strip() for found in report["findings"]) == sorted(quotes)


def test_a_server_that_fails_midway_leaves_the_rest_not_reviewed(kilo: Runner, repo: Repo) -> None:
    for number in range(4):
        repo.stage(f"m{number}.py", "".join(f"value = {i}\n" for i in range(250)))
    script = kilo.scripted({"findings": []}, {"error": "out of luck"})
    done = kilo(*script, "--format", "json")
    report = done.json()
    assert (done.code, report["outcome"]) == (3, "incomplete")
    assert list(states(report).values()).count("reviewed") >= 1
    reasons = {entry["reason"] for entry in report["coverage"]["entries"] if entry["state"] == "not_reviewed"}
    assert reasons == {"out of luck"}
    text = kilo(*kilo.scripted({"findings": []}, {"error": "out of luck"}), "--no-cache").text
    assert "not reviewed: " in text
    assert re.search(r"no findings: reviewed \d of 4 hunks in \d+ s by \S+; \d not reviewed", text)


def test_a_hunk_larger_than_the_window_is_cut_and_counted_once(kilo: Runner, repo: Repo) -> None:
    repo.stage("big.py", "".join(f"value = {i}\n" for i in range(400)))
    report = kilo(*kilo.scripted(window=2600), "--format", "json").json()
    assert report["usage"]["requests"] > 1
    assert report["coverage"]["reviewed"] == report["coverage"]["hunks"] == 1


def test_half_of_a_hunk_is_not_a_reviewed_hunk(kilo: Runner, repo: Repo) -> None:
    repo.stage("big.py", "".join(f"value = {i}\n" for i in range(400)))
    report = kilo(*kilo.scripted({"findings": []}, {"error": "gone"}, window=2600), "--format", "json").json()
    assert states(report) == {"big.py": "not_reviewed"}
    assert report["outcome"] == "not_reviewed"


def test_a_window_that_is_too_small_is_told_before_anything_is_asked(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted(window=900))
    assert done.code == 3
    assert "window of 900 tokens is too small" in done.text


@pytest.mark.long
def test_a_line_of_5_mb_is_not_reviewed_and_the_rest_is(kilo: Runner, repo: Repo) -> None:
    repo.stage("data.txt", "x" * 5_000_000 + "\n")
    repo.stage("small.py", "x = 1\n")
    done = kilo(*kilo.scripted(), "--format", "json")
    report = done.json()
    assert states(report) == {"data.txt": "not_reviewed", "small.py": "reviewed"}
    assert (done.code, report["outcome"]) == (3, "incomplete")
    reason = next(entry["reason"] for entry in report["coverage"]["entries"] if entry["path"] == "data.txt")
    assert reason.startswith("line 1 alone takes about 1666")


def test_coverage_counts_what_git_counts(kilo: Runner, repo: Repo) -> None:
    repo.stage("a.py", "x\n" * 30)
    repo.stage("package-lock.json", "{}\n")
    repo.stage("logo.png", b"\x89PNG\0\1")
    repo.git("mv", "app.py", "moved.py")
    report = kilo(*kilo.scripted(), "--format", "json").json()["coverage"]
    numstat = [line.split("\t") for line in repo.out("diff", "--cached", "--numstat", "-M").splitlines()]
    assert sum(row["added"] for row in report["entries"]) == sum(int(row[0]) for row in numstat if row[0] != "-")
    assert sum(row["removed"] for row in report["entries"]) == sum(int(row[1]) for row in numstat if row[1] != "-")
    assert report["files"] == len(numstat) == 4
    assert report["reviewed"] + report["skipped"] + report["not_reviewed"] == len(report["entries"])


def test_a_dry_run_plans_and_asks_nobody(kilo: Runner, buggy: Repo) -> None:
    report = kilo("--dry-run", "--format", "json", "--provider", "ollama", "--base-url", "http://127.0.0.1:9").json()
    assert (report["exit_code"], report["outcome"], report["model"]) == (0, "not_reviewed", None)
    assert states(report) == {"app.py": "planned"}
    assert report["coverage"]["planned"] == 1
    assert report["egress"] == []


def test_a_mistyped_path_does_not_look_clean(kilo: Runner, buggy: Repo) -> None:
    assert "nothing changed below typo.py" in kilo("--", "typo.py").text
    assert "1 hunk in 1 file reviewed" in kilo(*kilo.scripted(), "--", "app.py").text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_exit_130_and_says_what_is_missing(repo: Repo, number: signal.Signals) -> None:
    repo.stage("a.py", "x = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "kilo_review", "--provider", "ollama", "--base-url", f"http://127.0.0.1:{port}"],
            cwd=repo.path,
            env=dict(os.environ),
            preexec_fn=heed_interrupts,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        connection, _ = silent.accept()
        connection.recv(1)  # it waits for an answer
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 130
    assert b"not reviewed: 1 hunk in 1 file: interrupted" in out


@pytest.mark.long
def test_the_deadline_counts_for_the_whole_run(repo: Repo, kilo: Runner) -> None:
    repo.stage("a.py", "x = 1\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = kilo("hook", "pre-commit", "--provider", "ollama", "--base-url", url, "--max-seconds", "1")
    assert done.code == 0
    assert "the time limit of 1 s" in done.text
    assert "(the commit goes on; left for kilo-review catch-up)" in done.text


def test_identity_of_an_answer_changes_with_its_parameters() -> None:
    def identity(prompts: str = "p", **options: Any) -> str:
        return answer_identity(connect(ModelRequest("scripted", options=options), [], Deadline()), prompts)

    assert identity() == identity()
    assert len({identity(), identity(temperature=0.5), identity(num_predict=4096), identity("q")}) == 4
    assert identity(num_ctx=4096) == identity()  # a prompt that does not fit is refused, never shortened


def test_a_change_of_which_all_is_skipped_is_not_called_clean(kilo: Runner, repo: Repo) -> None:
    repo.write(".kilocodeignore", "*\n")
    repo.stage("a.py", "x = 1\n")
    report = kilo(*kilo.scripted(), "--format", "json").json()
    assert (report["outcome"], report["exit_code"], report["coverage"]["skipped"]) == ("not_reviewed", 0, 1)
    assert "nothing to review; 1 file skipped" in kilo(*kilo.scripted(), "-q").text


def test_a_prompt_that_was_read_in_part_is_not_a_review(monkeypatch: pytest.MonkeyPatch) -> None:
    model = connect(ModelRequest("scripted"), [], Deadline())
    monkeypatch.setattr(model, "ask", lambda *_: Reply('{"findings": []}', prompt_tokens=50), raising=False)
    with pytest.raises(ServerFailedError, match="read only 50 tokens"):
        Asker(model, prompts.load(), Deadline(), Usage()).claims(Chunk())


def test_the_shared_index_of_the_user_is_left_alone(kilo: Runner, repo: Repo) -> None:
    repo.git("config", "core.splitIndex", "true")
    repo.git("config", "splitIndex.maxPercentChange", "0")
    repo.git("config", "splitIndex.sharedIndexExpire", "now")
    repo.git("update-index", "--split-index")
    repo.write("z.txt", "z\n")
    before = sorted([*(path.name for path in (repo.path / ".git").iterdir()), "kilo-review"])
    for _ in range(2):
        assert kilo("uncommitted", *kilo.scripted()).code == 0
    assert sorted(path.name for path in (repo.path / ".git").iterdir()) == before
    assert repo.out("status", "--porcelain") == "?? z.txt"
