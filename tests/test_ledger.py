"""The ledger: what is remembered and under which key, and what becomes of a review when it cannot be used."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.deadline import Deadline
from kilo_review.finding import Category, Finding, Severity
from kilo_review.ledger import codec, store
from kilo_review.ledger.records import Ledger, Receipt
from kilo_review.outcome import Entry, State
from tests.fakes.ollama import Model, Ollama
from tests.hooked import by_server, chats, states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as server:
        yield server


@pytest.fixture
def asked(kilo: Runner, server: Ollama, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a review and tells how many hunks it asked about, and how many it knew."""
    for name, value in by_server(server).items():
        monkeypatch.setenv(name, value)

    def ask(*arguments: str, **environment: str) -> tuple[int, int]:
        report = kilo(*arguments, "--format", "json", env=environment).json()
        assert report["outcome"] == "clean", report
        return report["coverage"]["reviewed"], report["coverage"]["cached"]

    return ask


def path_of(repo: Repo) -> Path:
    return repo.path / ".git" / "kilo-review" / "ledger.sqlite3"


def made(**facts: Any) -> Finding:
    fields: dict[str, Any] = {
        "path": "a.py",
        "line": 3,
        "end_line": 4,
        "severity": Severity.MAJOR,
        "category": Category.BUG,
        "title": "t",
        "message": "m",
        "evidence": "e",
    }
    return Finding(**(fields | facts))


# Encoding


@given(TEXT, TEXT, st.integers(0, 10**9), st.integers(0, 10**6))
def test_findings_come_back_in_their_hunk_wherever_it_is(path: str, text: str, line: int, begin: int) -> None:
    finding = made(path=path, title=text, evidence=text, reason=text, line=line + begin, end_line=line + begin)
    stored = codec.findings_to_text([finding], begin=begin)
    assert stored.isascii()
    assert codec.findings_from_text(stored, begin=begin) == [finding]
    (moved,) = codec.findings_from_text(stored, begin=begin + 7)
    assert (moved.line, moved.evidence) == (finding.line + 7, text)


@given(TEXT, TEXT.filter(bool), st.sampled_from(State))
def test_coverage_rows_come_back(path: str, reason: str, state: State) -> None:
    rows = [Entry(path, 1, 2, 3, 4, state, reason), Entry(path, 0, 0, 0, 0, State.SKIPPED, reason, is_hunk=False)]
    assert codec.entries_from_blob(codec.entries_to_blob(rows)) == rows


@pytest.mark.parametrize("junk", ["", "{", "[[1]]", '[["a"]]', "[3]", "null"])
def test_a_row_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, junk: str) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.remember({"key": (1, [made()])})
    ledger.sign(Receipt("b", "h", "i", "p", "m", "v", "clean", (made(),), (Entry("a", 1, 1, 1, 0, State.REVIEWED),)))
    ledger.store.write(("UPDATE verdicts SET findings = ?", [(junk,)]), ("UPDATE receipts SET findings = ?", [(junk,)]))
    assert ledger.verdict("key", 1) is None
    assert ledger.receipts([("b", "h")], "i") == {}
    ledger.store.write(("UPDATE receipts SET findings = '[]', entries = ?", [(junk.encode(),)]))
    assert ledger.receipts([("b", "h")], "i") == {}
    ledger.close()


def test_a_receipt_makes_what_was_left_out_obsolete(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    left = Entry("a\udce9", 1, 1, 1, 0, State.NOT_REVIEWED, "why \udce9")
    assert ledger.leave("b", "h", "why \udce9", [left])
    ledger.leave("b", "h", "less is known", [])
    assert ledger.unreviewed([("b", "h")])["b", "h"].entries == (left,)
    ledger.sign(Receipt("b", "h", "i", "p", "m", "v", "clean"))
    assert ledger.unreviewed([("b", "h")]) == {}
    assert ledger.receipts([("b", "h"), ("x", "y")], "i").keys() == {("b", "h")}
    assert ledger.receipts([("b", "h")], "other settings") == {}
    ledger.close()


def test_the_oldest_go_first_and_the_file_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LARGEST", 300_000)
    ledger = Ledger.of(tmp_path, Deadline())
    for number in range(8):
        ledger.remember({f"{number}-{n}": (1, [made(message="x" * 900)]) for n in range(60)})
        ledger.store.make_room()
    assert ledger.verdict("0-0", 1) is None
    assert ledger.verdict("7-59", 1) is not None
    ledger.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert ledger.store.path.stat().st_size < 600_000
    ledger.close()


# Keys


def test_answers_are_remembered_by_all_that_could_change_them(asked: Any, buggy: Repo, server: Ollama) -> None:
    assert asked() == (1, 0)
    assert asked() == (0, 1)
    assert asked("--fail-on", "minor", "--max-seconds", "60", "--option", "keep_alive=9m") == (0, 1)
    assert asked("--option", "num_ctx=4096") == (0, 1)
    assert asked("--option", "temperature=0.5") == (1, 0)
    server.models[0].parameters = "num_ctx 8192"  # pulled anew: another digest
    assert asked() == (1, 0)
    server.models.append(Model("other:7b"))
    assert asked("--model", "other:7b") == (1, 0)
    assert asked() == (0, 1)


def test_code_that_moves_is_known_and_code_whose_surroundings_change_is_not(asked: Any, repo: Repo) -> None:
    gap = "".join(f"# {n}\n" for n in range(30))
    body = "def late(a, b):\n    return a / b\n"
    repo.stage("m.py", gap + body)
    repo.commit("base")
    repo.stage("m.py", gap + body.replace("a / b", "a // b"))
    assert asked() == (1, 0)
    repo.stage("m.py", "import os\n" + gap + body.replace("a / b", "a // b"))
    assert asked() == (1, 1)
    repo.stage("m.py", gap + body.replace("a / b", "a // b").replace("late", "later"))
    assert asked() == (1, 0)
    repo.git("mv", "m.py", "n.py")
    assert asked()[0] == 1


def test_other_prompts_ask_again(asked: Any, buggy: Repo, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "system.md").write_text("Be brief.")
    assert asked() == (1, 0)
    assert asked("--prompts", str(tmp_path / "prompts")) == (1, 0)


def test_without_cache_nothing_is_read_or_kept(asked: Any, buggy: Repo) -> None:
    assert asked("--no-cache") == (1, 0)
    assert not path_of(buggy).exists()
    assert asked() == (1, 0)
    assert asked("--no-cache") == (1, 0)
    assert asked(KILO_REVIEW_NO_CACHE="1") == (1, 0)


def test_the_same_code_twice_is_asked_about_once(kilo: Runner, repo: Repo) -> None:
    gap = "".join(f"# {n}\n" for n in range(30))
    repo.stage("twins.txt", gap * 3)
    repo.commit("base")
    same = [f"# {n}\n" for n in range(30)]
    changed = "".join([*same[:15], "return a / b\n", *same[15:]])
    repo.stage("twins.txt", changed + gap + changed)
    found = {"code": "return a / b", "file": "twins.txt", "line": 16, "problem": "p", "title": "t"}
    script = kilo.scripted({"findings": [found | {"severity": "major", "type": "bug"}]})
    for requests in (1, 0):
        report = kilo(*script, "--format", "json").json()
        assert [finding["line"] for finding in report["findings"]] == [16, 77]
        assert report["usage"]["requests"] == requests


def test_what_is_replayed_equals_the_first_answer(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    first, again = (kilo(*script, "--format", "json").json() for _ in range(2))
    assert again["findings"] == first["findings"]
    assert (states(first), states(again)) == (["reviewed"], ["cached"])
    assert kilo(*script, "--fail-on", "never").code == 0


@pytest.mark.parametrize("reply", [{"error": "no"}, {"text": "?"}, {"text": '{"findings": [', "cut": True}])
def test_what_failed_is_never_remembered(kilo: Runner, buggy: Repo, reply: dict[str, Any]) -> None:
    assert kilo(*kilo.scripted(reply)).code == 3
    database = sqlite3.connect(path_of(buggy))
    assert database.execute("SELECT count(*) FROM verdicts").fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
    assert database.execute("SELECT count(*) FROM unreviewed").fetchone() == (1,)
    database.close()


# The file


def test_it_lies_in_the_common_git_directory_for_its_owner_alone(asked: Any, buggy: Repo, tmp_path: Path) -> None:
    before = buggy.out("status", "--porcelain")
    asked()
    assert stat.S_IMODE(path_of(buggy).parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in path_of(buggy).parent.iterdir()} == {0o600}
    assert buggy.out("status", "--porcelain") == before
    buggy.git("commit", "-q", "-m", "x")
    buggy.git("worktree", "add", "-q", str(tmp_path / "linked"), "HEAD^")
    linked = tmp_path / "linked"
    (linked / "app.py").write_text((buggy.path / "app.py").read_text())
    subprocess.run(["git", "add", "-A"], cwd=linked, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "kilo_review"], cwd=linked, env=os.environ, capture_output=True, check=True
    )
    assert b"from memory" in done.stdout


def test_it_is_made_only_when_there_is_something_to_keep(kilo: Runner, repo: Repo) -> None:
    for arguments in ((), ("--dry-run",), ("status",), ("stats",), ("cache", "stats"), ("cache", "clear")):
        kilo(*arguments)
    assert not path_of(repo).parent.exists()


def damage(path: Path, how: str) -> None:
    if how == "a folder":
        path.unlink()
        path.mkdir()
        return
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes({
        "noise": os.urandom(5000),
        "cut off": data[:1000],
        "a page of noise": data[:100] + os.urandom(4000) + data[4100:],
        "a page in the middle": data[:middle] + os.urandom(4096) + data[middle + 4096 :],
        "text": b"hello\n" * 1000,
    }[how])  # fmt: skip


@pytest.mark.parametrize("how", ["noise", "cut off", "a page of noise", "text"])
def test_a_damaged_file_is_set_aside_and_said_once(kilo: Runner, buggy: Repo, how: str) -> None:
    script = kilo.scripted()
    assert kilo(*script).code == 0
    damage(path_of(buggy), how)
    done = kilo(*script)
    assert (done.code, "the ledger was damaged" in done.text, "Traceback" in done.talk) == (0, True, False)
    assert path_of(buggy).with_name("ledger.sqlite3.damaged").exists()
    again = kilo(*script)
    assert (again.code, "was damaged" in again.text, "from memory" in again.text) == (0, False, True)


@pytest.mark.parametrize("how", ["a folder", "a page in the middle"])
def test_whatever_it_is_the_review_is_right(kilo: Runner, buggy: Repo, division: dict[str, Any], how: str) -> None:
    script = kilo.scripted({"findings": [division]})
    assert kilo(*script).code == 1
    damage(path_of(buggy), how)
    done = kilo(*script)
    assert (done.code, "Division by zero" in done.text, "Traceback" in done.talk) == (1, True, False)


def test_an_empty_file_and_another_database_do_no_harm(kilo: Runner, buggy: Repo) -> None:
    path_of(buggy).parent.mkdir()
    path_of(buggy).touch()
    assert kilo(*kilo.scripted()).code == 0
    path_of(buggy).unlink()
    other = sqlite3.connect(path_of(buggy))
    other.execute("CREATE TABLE verdicts (x)")
    other.close()
    done = kilo(*kilo.scripted(), "-v")
    assert (done.code, "Traceback" in done.talk) == (0, False)


def test_a_newer_file_is_left_alone(kilo: Runner, buggy: Repo) -> None:
    kilo(*kilo.scripted())
    database = sqlite3.connect(path_of(buggy))
    database.execute("PRAGMA user_version = 99")
    database.close()
    before = path_of(buggy).read_bytes()
    done = kilo(*kilo.scripted(), "-v")
    assert (done.code, "newer version" in done.text) == (0, True)
    assert path_of(buggy).read_bytes() == before


def test_a_full_disk_costs_only_the_memory(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted(), "-v", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)))
    assert (done.code, "1 hunk in 1 file reviewed" in done.text) == (0, True)
    assert "nothing of this review could be kept" in done.text


def test_another_users_git_directory_gets_no_file(kilo: Runner, buggy: Repo) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(buggy.path / ".git", 12345, 12345)
    buggy.git("config", "--global", "--add", "safe.directory", "*")
    done = kilo(*kilo.scripted(), "-v")
    assert (done.code, "belongs to another user" in done.text) == (0, True)
    assert not path_of(buggy).parent.exists()


def test_a_ledger_that_somebody_keeps_locked_holds_nobody_up(kilo: Runner, buggy: Repo) -> None:
    kilo(*kilo.scripted())
    database = sqlite3.connect(path_of(buggy), isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    begin = time.monotonic()
    done = kilo("hook", "pre-commit", *kilo.scripted({"findings": []}, {"findings": []}), "-v", "--max-seconds", "3")
    seconds = time.monotonic() - begin
    database.execute("ROLLBACK")
    database.close()
    assert (done.code, "reviewed" in done.text) == (0, True)
    assert seconds < 3 + 1


def test_many_refs_and_hunks_of_one_chat(asked: Any, repo: Repo, server: Ollama) -> None:
    for number in range(30):
        repo.stage(f"m{number}.py", f"x = {number}\n")
    assert asked() == (30, 0)
    count = len(chats(server))
    assert asked() == (0, 30)
    assert len(chats(server)) == count
