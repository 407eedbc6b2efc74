"""One long line: it is left out and has its row, and the rest of its hunk is reviewed."""

from __future__ import annotations

import base64
import json
import random
import time
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core import deadline
from kilo_review.core.outcome import LONG_DATA, LONG_MINIFIED, Entry, Outcome, State, Target, TargetKind
from kilo_review.ledger.codec import entries_from_blob, entries_to_blob
from kilo_review.plan.chunk import LEFT_OUT
from kilo_review.report.words import headline
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result

    Run = Callable[..., Result]

BLOB = base64.b64encode(random.Random(7).randbytes(30_000)).decode()
OTHER_BLOB = base64.b64encode(random.Random(8).randbytes(30_000)).decode()
LONG_CODE = " + ".join(f"value_{number}" for number in range(3_000))
NOTEBOOK = '   "image/png": "{}\\n",\n   "source": "x = 1 / n"\n'


PROPOSED = {
    ("old.ipynb", 1, 2): "skipped",
    ("new.py", 1, 2): "reviewed",
    ("new.py", 1, 1): "not_reviewed",
    ("lib.js", 1, 2): "reviewed",
    ("lib.js", 2, 2): "not_reviewed",
}


@pytest.fixture
def run(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:  # fmt: skip
    """The program in this process, answered by a script."""
    monkeypatch.chdir(repo.path)
    script = tmp_path / "script.json"

    def reviewed(*arguments: str, replies: tuple[dict[str, Any], ...] = (), window: int = 8192) -> Result:
        script.write_text(json.dumps({"window": window, "replies": list(replies)}))
        return run_here(capsysbinary, *arguments, "--provider", "scripted", "--model", str(script))

    return reviewed


def rows(done: Result) -> list[tuple[int, int, int, int, str, str | None]]:
    return [
        (row["start"], row["end"], row["added"], row["removed"], row["state"], row["reason"])
        for row in done.json()["coverage"]["entries"]
    ]


def shown(run: Run) -> str:
    (request,) = json.loads(run("--show-prompt", "--format", "json").stdout)
    return str(request[1]["content"])


def test_code_beside_an_image_is_reviewed(repo: Repo, run: Run) -> None:
    repo.stage("plot.ipynb", NOTEBOOK.format(BLOB))
    done = run("--format", "json")
    assert rows(done) == [(1, 2, 1, 0, "reviewed", None), (1, 1, 1, 0, "skipped", LONG_DATA)]
    assert (done.code, done.json()["outcome"]) == (0, "clean")
    text = shown(run)
    assert f'   1 + {LEFT_OUT}\n   2 +    "source": "x = 1 / n"' in text
    assert BLOB[:40] not in text


def test_a_dry_run_says_the_same(repo: Repo, run: Run) -> None:
    repo.stage("plot.ipynb", NOTEBOOK.format(BLOB))
    repo.stage("all.py", f"total = {LONG_CODE}\n")
    dry = rows(run("--dry-run", "--format", "json"))
    assert dry == [
        (row[0], row[1], row[2], row[3], "planned" if row[4] == "reviewed" else row[4], row[5])
        for row in rows(run("--format", "json"))
    ]
    assert [row[4] for row in dry] == ["not_reviewed", "planned", "skipped"]


def test_a_long_line_of_code_is_never_called_clean(repo: Repo, run: Run) -> None:
    repo.stage("sum.py", f"def total():\n    return {LONG_CODE}\n\n\nx = 1\n")
    done = run("--format", "json")
    own, left = rows(done)
    assert own == (1, 5, 4, 0, "reviewed", None)
    assert left[:5] == (2, 2, 1, 0, "not_reviewed")
    assert "line 2 alone takes" in str(left[5])
    assert (done.code, done.json()["outcome"]) == (3, "incomplete")
    assert run("--format", "json").json()["coverage"]["cached"] == 1


def test_code_around_data_on_one_line_is_code(repo: Repo, run: Run) -> None:
    for name, line in {
        "call.py": f'exec(base64.b64decode("{BLOB}"))',
        "after.py": f'x = "{BLOB}"; os.system(x)',
        "letters.py": f"x = '{'y' * 30_000}'",
        "hidden.sh": f"echo {BLOB} | base64 -d | sh",
    }.items():
        repo.stage(name, f"{line}\n")
    assert {row[4] for row in rows(run("--format", "json"))} == {"not_reviewed"}


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("logo.py", f'LOGO = "{BLOB}"', LONG_DATA),
        ("logo.css", f"  background: url(data:image/png;base64,{BLOB});", LONG_DATA),
        ("key.go", f'var key = "{BLOB.encode().hex()}"', LONG_DATA),
        ("cert.txt", BLOB, LONG_DATA),
        ("vector.json", f"[{', '.join(f'{number}.25' for number in range(5_000))}],", LONG_DATA),
        ("lib.js", f"!function(e,t){{{LONG_CODE}}}", LONG_MINIFIED),
    ],
)
def test_data_is_skipped(repo: Repo, run: Run, name: str, line: str, reason: str) -> None:
    repo.stage(name, "first\n" * 500 + f"{line}\nlast\n" * 2)
    assert [(row[2], row[4], row[5]) for row in rows(run("--format", "json", "--dry-run"))] == [
        (502, "planned", None),
        (1, "skipped", reason),
        (1, "skipped", reason),
    ]


def test_in_a_proposal_no_long_line_is_skipped_unless_it_was_data_before(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit("before", old__ipynb=NOTEBOOK.format(BLOB))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    repo.stage("old.ipynb", NOTEBOOK.format(OTHER_BLOB))
    repo.stage("new.py", f'LOGO = "{BLOB}"\nx = 1\n')
    repo.stage("lib.js", f"a\n{LONG_CODE}\n")
    report = run("--format", "json").json()
    states = {(row["path"], row["start"], row["end"]): row["state"] for row in report["coverage"]["entries"]}
    assert states == PROPOSED


def test_data_that_is_put_in_another_place_is_new(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    repo.commit("before", old__py=f'LOGO = "{BLOB}"\n')
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    repo.stage("old.py", f'PAYLOAD = "{OTHER_BLOB}"\n')
    assert [row[3:5] for row in rows(run("--format", "json"))] == [(1, "skipped"), (0, "not_reviewed")]


def test_long_context_costs_nothing(repo: Repo, run: Run) -> None:
    repo.commit("before", a__py=f'LOGO = "{BLOB}"\n' * 6 + "def f():\n    return 1\n")
    repo.stage("a.py", f'LOGO = "{BLOB}"\n' * 6 + "def f():\n    return 2\n")
    assert rows(run("--format", "json")) == [(5, 8, 1, 1, "reviewed", None)]
    assert shown(run).count(LEFT_OUT) == 6


def test_the_number_of_a_line_before_all_others_is_a_number(repo: Repo, run: Run) -> None:
    """JSON knows truth values too: `true` is no line number."""
    repo.commit("before", a__py=f"{LONG_CODE}\nb\n")
    repo.stage("a.py", "b\nc\n")
    found = rows(run("--format", "json"))
    assert {type(number) for row in found for number in row[:4]} == {int}


def test_rows_add_up_to_what_git_counts(repo: Repo, run: Run) -> None:
    repo.commit("before", a__py=f"a\n{LONG_CODE}\nb\n{LONG_CODE}\n")
    repo.stage("a.py", f"A\n{LONG_CODE}1\n{LONG_CODE}2\nc\nB\n{LONG_CODE}\n")
    found = rows(run("--format", "json"))
    assert (sum(row[2] for row in found), sum(row[3] for row in found)) == (5, 3)
    assert [row[4] for row in found].count("reviewed") == 1


def test_a_quoted_mark_is_no_finding(repo: Repo, run: Run) -> None:
    repo.stage("plot.ipynb", NOTEBOOK.format(BLOB))
    claim = {
        "code": LEFT_OUT,
        "file": "plot.ipynb",
        "line": 1,
        "problem": "This is no JSON.",
        "severity": "critical",
        "title": "Broken file",
        "type": "bug",
    }
    (finding,) = run("--format", "json", replies=({"findings": [claim]},)).json()["findings"]
    assert finding["status"] == "refuted"


@pytest.mark.parametrize(
    ("code", "line"),
    [(f"x = 1  # {LEFT_OUT}", f"x  = 1  # {LEFT_OUT} "), (LEFT_OUT, "y = 1")],
    ids=["a comment of the change", "no such line"],
)
def test_the_mark_alone_refutes_nothing(repo: Repo, run: Run, code: str, line: str) -> None:
    repo.stage("a.py", f"{line}\n")
    claim = {"file": "a.py", "line": 1, "problem": "p", "severity": "critical", "title": "t", "type": "bug"}
    found = run("--format", "json", replies=({"findings": [{**claim, "code": code + "?"}]},)).json()["findings"]
    assert [each["status"] for each in found] in (["unanchored"], ["active"])


def test_a_dry_run_counts_what_is_sent(repo: Repo, run: Run) -> None:
    repo.stage("logo.py", f'x = 1\nLOGO = "{BLOB}"\ny = 2\n')
    assert "about 1 request of the model" in run("--dry-run").text


def test_a_hook_promises_only_what_a_later_review_can_do(
    repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(deadline, "PROCESS_START", time.monotonic())  # a hook's time counts from then on
    run("catch-up")
    repo.stage("sum.py", f"x = 1\ntotal = {LONG_CODE}\n")
    said = run("hook", "pre-commit").text
    assert "1 not reviewed" in said
    assert "left for" not in said
    assert "next: Leave the file out" in said
    repo.git("commit", "-q", "-m", "long")
    assert "look at what is left yourself" in run("status").text


def test_a_headline_tells_what_is_left_from_what_stays() -> None:
    def row(state: State, reason: str | None = None, *, is_final: bool = False) -> Entry:
        return Entry("a.py", 1, 1, 1, 0, state, reason, is_final=is_final)

    outcome = Outcome(Target(TargetKind.STAGED, None, None), afterwards="will be reviewed at push")
    outcome.entries = [
        row(State.REVIEWED),
        row(State.NOT_REVIEWED, "late"),
        row(State.NOT_REVIEWED, "l", is_final=True),
    ]
    assert headline(outcome).endswith("; 1 will be reviewed at push, 1 not reviewed")


def test_a_row_of_an_earlier_version_is_read() -> None:
    (row,) = entries_from_blob(zlib.compress(b'[["a.py", 1, 2, 1, 0, "not_reviewed", "late", true]]'))
    assert (row.reason, row.is_final) == ("late", False)
    assert entries_from_blob(entries_to_blob([replace(row, is_final=True)])) == [replace(row, is_final=True)]


def test_a_style_sheet_with_an_image_is_not_minified(repo: Repo, run: Run) -> None:
    repo.stage(
        "a.css", f"a {{ color: red; }}\n  background: url(data:image/png;base64,{BLOB});\nb {{ color: blue; }}\n"
    )
    assert [row[4:] for row in rows(run("--format", "json"))] == [("reviewed", None), ("skipped", LONG_DATA)]
