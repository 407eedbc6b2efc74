"""The main job, as a process: git → model → finding → exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner


def test_nothing_staged_is_said_and_passes(kilo: Runner) -> None:
    done = kilo()
    assert done.code == 0
    assert done.text == (
        "kilo-review: nothing to review: nothing is staged; kilo-review uncommitted reviews what is not staged\n"
    )


def test_clean(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted({"findings": []}), "--format", "json")
    report = done.json()
    assert (done.code, report["outcome"], report["findings"]) == (0, "clean", [])
    assert report["target"] == {
        "kind": "staged",
        "base": buggy.out("rev-parse", "HEAD^{tree}"),
        "head": buggy.out("write-tree"),
    }
    assert report["coverage"]["reviewed"] == report["coverage"]["hunks"] == 1
    assert report["usage"]["requests"] == 1
    assert report["egress"] == []


def test_a_critical_finding_blocks(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    done = kilo(*kilo.scripted({"findings": [division]}))
    assert done.code == 1
    assert done.text.splitlines() == [
        "app.py:2: critical: Division by zero [bug, blocks] 8fac5be6",
        "     2 |     return sum(items) / len(items)",
        "       = An empty list divides by zero.",
        "",
        f"kilo-review: 1 finding (1 critical; 1 blocking): 1 hunk in 1 file reviewed by {kilo.script}; "
        + done.text.splitlines()[-1].rpartition("; ")[2],
    ]


def test_a_finding_in_json(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    report = kilo(*kilo.scripted({"findings": [division]}), "--format", "json").json()
    (finding,) = report["findings"]
    fingerprint = finding.pop("fingerprint")
    assert len(fingerprint) == 32
    assert finding == {
        "path": "app.py",
        "line": 2,
        "end_line": 2,
        "severity": "critical",
        "category": "bug",
        "title": "Division by zero",
        "message": "An empty list divides by zero.",
        "evidence": "    return sum(items) / len(items)",
        "suggestion": None,
        "status": "active",
        "blocking": True,
        "reason": None,
    }


def test_a_minor_finding_passes_unless_asked(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division | {"severity": "minor"}]})
    assert kilo(*script).code == 0
    assert kilo(*script, "--fail-on", "minor").code == 1
    assert kilo(*script, "--fail-on", "never").code == 0


def test_the_default_command_is_review(kilo: Runner, buggy: Repo) -> None:
    script = kilo.scripted({"findings": []})
    assert kilo("review", "staged", *script).code == kilo("staged", *script).code == kilo(*script).code == 0


def test_server_down_by_hand_is_exit_3(kilo: Runner, buggy: Repo) -> None:
    done = kilo("--provider", "ollama", "--base-url", "http://127.0.0.1:9")
    assert done.code == 3
    assert "cannot connect to http://127.0.0.1:9 (connection refused)" in done.text
    assert "ollama serve" in done.text


def test_server_down_in_a_hook_is_one_line_and_exit_0(kilo: Runner, buggy: Repo) -> None:
    done = kilo(
        "hook", "pre-commit", env={"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"}
    )
    assert done.code == 0
    (line,) = (done.text + done.talk).splitlines()
    assert line.startswith("kilo-review: not reviewed: 1 hunk in 1 file: Ollama: cannot connect to http://127.0.0.1:9")
    assert line.endswith("(the commit goes on; left for kilo-review catch-up)")


def test_on_unavailable_decides(kilo: Runner, buggy: Repo) -> None:
    down = ("--provider", "ollama", "--base-url", "http://127.0.0.1:9")
    assert kilo(*down, "--on-unavailable", "allow").code == 0
    assert kilo("hook", "pre-commit", *down, "--on-unavailable", "block").code == 3
