"""A deleted file is told in one line; removed lines of a file that stays are reviewed as lines."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.plan.deletion import is_back
from kilo_review.plan.syntax import Syntax
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result

    Run = Callable[..., Result]

GUARD = "def guard(user):\n    if not user.admin:\n        raise PermissionError\n\n\nclass Lock:\n    pass\n"
ROW = (0, 0, 0, 7, "reviewed", "a deleted file, told in one line")
LINE = "     - [this file is deleted with all of its 7 lines; it had: def guard(user); class Lock]"


@pytest.fixture
def run(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Run:  # fmt: skip
    """The program in this process, answered by a script."""
    monkeypatch.chdir(repo.path)
    script = tmp_path / "script.json"

    def reviewed(*arguments: str, found: object = None) -> Result:
        script.write_text(json.dumps({"replies": [{"findings": [found] if found else []}]}))
        return run_here(capsysbinary, *arguments, "--provider", "scripted", "--model", str(script))

    return reviewed


def rows(done: Result) -> list[tuple[object, ...]]:
    names = ("start", "end", "added", "removed", "state", "reason")
    return [tuple(row[name] for name in names) for row in done.json()["coverage"]["entries"]]


def shown(run: Run) -> str:
    (request,) = json.loads(run("--show-prompt", "--format", "json").stdout)
    return str(request[1]["content"])


def test_a_deleted_file_is_one_line(repo: Repo, run: Run) -> None:
    repo.commit("guard", guard__py=GUARD)
    repo.git("rm", "-q", "guard.py")
    assert f"\nFILE guard.py (deleted file)\n{LINE}\n" in shown(run)
    assert "PermissionError" not in shown(run)
    assert rows(run("--format", "json", "--dry-run")) == [(*ROW[:4], "planned", ROW[5])]
    assert rows(run("--format", "json")) == [ROW]
    assert rows(run("--format", "json")) == [(*ROW[:4], "cached", ROW[5])]


def test_a_check_that_is_gone_with_its_file_can_be_found(repo: Repo, run: Run) -> None:
    repo.commit("guard", guard__py=GUARD)
    repo.git("rm", "-q", "guard.py")
    claim = {
        "code": "def guard(user)",
        "file": "guard.py",
        "line": 1,
        "problem": "No caller is checked any more.",
        "severity": "critical",
        "title": "The check is gone",
        "type": "security",
    }
    (finding,) = run("--format", "json", found=claim).json()["findings"]
    assert (finding["status"], finding["path"], finding["line"]) == ("active", "guard.py", 0)


def test_such_a_finding_counts_until_the_file_is_back() -> None:
    evidence = LINE.removeprefix("     - ")
    with closing(Syntax(Deadline())) as syntax:
        assert is_back(evidence, "guard.py", GUARD.encode(), syntax)
        assert not is_back(evidence, "guard.py", b"", syntax)
        assert not is_back(evidence, "guard.py", GUARD.replace("guard", "other").encode(), syntax)


def test_removed_lines_of_a_file_that_stays_are_lines(repo: Repo, run: Run) -> None:
    repo.commit("guard", guard__py=GUARD)
    repo.stage("guard.py", "class Lock:\n    pass\n")
    assert "     -         raise PermissionError" in shown(run)
    repo.stage("guard.py", "")
    assert "     -         raise PermissionError" in shown(run)


def test_a_large_file_without_a_known_language(repo: Repo, run: Run) -> None:
    repo.commit("data", data__txt="some words\n" * 20_000)
    repo.git("rm", "-q", "data.txt")
    assert "[this file is deleted with all of its 20000 lines]" in shown(run)
    assert run("--format", "json").json()["usage"]["requests"] == 1


def test_many_headings_are_counted(repo: Repo, run: Run) -> None:
    repo.commit("many", many__py="".join(f"def f{number}():\n    pass\n" for number in range(50)))
    repo.git("rm", "-q", "many.py")
    assert "def f19(); and 30 more]" in shown(run)
    assert "def f20()" not in shown(run)


def test_a_deletion_in_a_patch(repo: Repo, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.commit("guard", guard__py=GUARD)
    repo.git("rm", "-q", "guard.py")
    patch = repo.path / "change.patch"
    patch.write_bytes(repo.git("diff", "--cached").stdout)
    with patch.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert rows(run("-", "--format", "json")) == [ROW]
