"""The ledger: what is remembered and under which key, and what becomes of a review when it cannot be used."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.core.deadline import Deadline
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind, Usage
from kilo_review.ledger import codec, store
from kilo_review.ledger.calibration import Calibration
from kilo_review.ledger.records import Ledger, Receipt
from tests.conftest import heed_interrupts
from tests.support.fakes.base import NOTHING_FOUND
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import by_server, chats, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repo, Runner

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
HOSTILE = [
    "\ud800",
    "\udce9",
    "\0",
    "\u2028\u2029\x85",
    "\x1b[2J",
    "'; DROP TABLE verdicts; --",
    "\U0010ffff",
    "9" * 6000,
]
FINDINGS = st.builds(
    Finding,
    path=TEXT,
    line=st.integers(-(10**40), 10**40),
    end_line=st.integers(0, 2**63),
    severity=st.sampled_from(Severity),
    category=st.sampled_from(Category),
    title=TEXT,
    message=TEXT | st.sampled_from(HOSTILE),
    evidence=TEXT | st.sampled_from(HOSTILE),
    symbol=TEXT,
    status=st.sampled_from(Status),
    suggestion=st.none() | TEXT,
    reason=st.none() | TEXT,
    rule=TEXT,
    blocking=st.just(value=False),  # not kept
    known_as=st.just(""),
)
BUGGY = "def mean(items):\n    return sum(items) / len(items)\n"
READ_ONLY = (
    *("unshare", "-m", "sh", "-c"),
    'folder=$0; mount --bind "$folder" "$folder" && mount -o remount,ro,bind "$folder" && exec "$@"',
)
"""Runs a command with a folder mounted read-only, which holds for root, too."""
SMALL = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o "size=$KILO_SIZE,mode=700" none "$0" && exec "$@"')
"""Runs a command with a small disk mounted over a folder."""


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


def counted(repo: Repo, *tables: str) -> list[int]:
    """Rows of each table."""
    database = sqlite3.connect(path_of(repo))
    try:
        return [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    finally:
        database.close()


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


@given(st.lists(FINDINGS, max_size=4), st.integers(0, 10**20))
def test_findings_of_every_kind_come_back_whole(findings: list[Finding], begin: int) -> None:
    stored = codec.findings_to_text(findings, begin=begin)
    assert stored.isascii()
    assert codec.findings_from_text(stored, begin=begin) == findings


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_back_from_the_file(tmp_path: Path, text: str) -> None:
    finding = made(path=text, title=text, message=text, evidence=text, symbol=text, reason=text, suggestion=text)
    entry = Entry(text, 1, 10**30, 3, 4, State.NOT_REVIEWED, text)
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.remember({"key": (1, [finding])})
    ledger.sign(Receipt("b", "h", "i", "p", text, "v", "findings", (finding,), (entry,)))
    ledger.leave("x", "y", text, [entry])
    ledger.close()
    again = Ledger.of(tmp_path, Deadline())
    assert again.verdict("key", 1) == [finding]
    receipt = again.receipts([("b", "h")], "i")["b", "h"]
    assert (receipt.findings, receipt.entries) == ((finding,), (entry,))
    assert again.unreviewed([("x", "y")])["x", "y"].entries == (entry,)
    assert again.store.off == ""
    again.close()


@given(TEXT, TEXT.filter(bool), st.sampled_from(State))
def test_coverage_rows_come_back(path: str, reason: str, state: State) -> None:
    rows = [Entry(path, 1, 2, 3, 4, state, reason), Entry(path, 0, 0, 0, 0, State.SKIPPED, reason, is_hunk=False)]
    assert codec.entries_from_blob(codec.entries_to_blob(rows)) == rows


@pytest.mark.parametrize("place", range(len(codec.FINDING_FIELDS)), ids=codec.FINDING_FIELDS)
@pytest.mark.parametrize("value", [1.5, [], {}], ids=repr)
def test_a_finding_with_a_value_of_another_kind_cannot_be_read(place: int, value: object) -> None:
    (row,) = json.loads(codec.findings_to_text([made()]))
    with pytest.raises(codec.UNREADABLE):
        codec.findings_from_text(json.dumps([[*row[:place], value, *row[place + 1 :]]]))


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("value", [1.5, [], {}], ids=repr)
def test_a_coverage_row_with_a_value_of_another_kind_cannot_be_read(place: int, value: object) -> None:
    row = ["a", 1, 2, 3, 4, "reviewed", None, True]
    with pytest.raises(codec.UNREADABLE):
        codec.entries_from_blob(zlib.compress(json.dumps([[*row[:place], value, *row[place + 1 :]]]).encode()))


NESTED = pytest.param("[" * 100_000, id="nested")


@pytest.mark.parametrize("junk", ["", "{", "[[1]]", '[["a"]]', "[3]", "null", '["abcdefghijkl"]', "\0", NESTED])
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
        ledger.remember({f"{number}-{n}": (1, [made(message="x" * 850)]) for n in range(60)})
        ledger.store.make_room()
    assert ledger.verdict("0-0", 1) is None
    assert ledger.verdict("7-59", 1) is not None
    ledger.store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    assert ledger.store.path.stat().st_size < 600_000
    ledger.close()


# Keys


@pytest.mark.long
def test_answers_are_remembered_by_all_that_could_change_them(asked: Any, buggy: Repo, server: Ollama) -> None:
    assert asked() == (1, 0)
    assert asked() == (0, 1)
    assert asked("--fail-on", "minor", "--max-seconds", "60", "--option", "keep_alive=9m") == (0, 1)
    assert asked("--option", "num_ctx=4096") == (0, 1)
    assert asked("--exclude", "*.sql", "--on-unavailable", "allow", "-v") == (0, 1)
    assert asked("--option", "temperature=0.5") == (1, 0)
    assert asked("--option", "my_own=1") == (1, 0)
    assert asked("--provider", "openai", "--base-url", f"{server.url}/v1") == (1, 0)
    server.models[0].parameters = "num_ctx 8192"  # pulled anew: another digest
    assert asked() == (1, 0)
    server.models.append(Model("other:7b"))
    assert asked("--model", "other:7b") == (1, 0)
    assert asked() == (0, 1)


@pytest.mark.long
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


def test_the_lines_shown_around_a_hunk_are_a_part_of_it(asked: Any, repo: Repo) -> None:
    above = [f"# {n}\n" for n in range(12)]
    repo.stage("m.txt", "".join([*above, "old\n"]))
    repo.commit("base")
    repo.stage("m.txt", "".join([*above, "new\n"]))
    assert asked() == (1, 0)
    above[4] = "# shown above the hunk, no part of it\n"
    repo.stage("m.txt", "".join([*above, "old\n"]))
    repo.git("commit", "-q", "-m", "another beginning")
    repo.stage("m.txt", "".join([*above, "new\n"]))
    assert asked() == (1, 0)


def test_other_prompts_ask_again(asked: Any, buggy: Repo, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "system.md").write_text("Be brief.")
    assert asked() == (1, 0)
    assert asked("--prompts", str(tmp_path / "prompts")) == (1, 0)


@pytest.mark.long
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


def test_what_is_replayed_moves_with_its_code_and_blocks_by_the_policy_of_now(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    good = buggy.out("show", "HEAD:app.py") + "\n"
    script = kilo.scripted({"findings": [division | {"severity": "major"}]})
    found = []
    for lines, policy in ((20, "critical"), (23, "major")):
        buggy.stage("app.py", "# above\n" * lines + good)
        buggy.git("commit", "-q", "-m", f"{lines} lines above")
        buggy.stage("app.py", "# above\n" * lines + BUGGY)
        report = kilo(*script, "--format", "json", "--fail-on", policy).json()
        found.append((*report["findings"], report["usage"]["requests"], report["exit_code"]))
    (first, *_), (moved, *_) = found
    assert found == [(first, 1, 0), (moved, 1, 1)]  # what begins to block is put to the test, and nothing else
    assert (first["line"], first["blocking"]) == (22, False)
    assert moved == first | {"line": 25, "end_line": 25, "blocking": True}


def test_twins_share_a_failure_too(kilo: Runner, repo: Repo) -> None:
    gap = [f"# {n}\n" for n in range(30)]
    repo.stage("twins.txt", "".join(gap * 2))
    repo.commit("base")
    repo.stage("twins.txt", "".join([*gap[:15], "return a / b\n", *gap[15:]] * 2))
    report = kilo(*kilo.scripted({"error": "no"}), "--format", "json").json()
    assert (states(report), report["usage"]["requests"]) == (["not_reviewed"] * 2, 1)
    report = kilo(*kilo.scripted({"text": "?"}), "--format", "json").json()
    assert states(report) == ["not_reviewed"] * 2


def test_a_write_that_was_interrupted_between_two_steps_does_not_stop_the_next_one(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.remember({"a": (1, [])})
    ledger.store._opened().execute("BEGIN IMMEDIATE")  # as Ctrl-C leaves it, if it comes just then
    ledger.remember({"b": (1, [])})
    assert ledger.verdict("b", 1) == []
    assert not ledger.store.off
    ledger.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_an_answer_that_was_interrupted_is_not_remembered_and_those_before_it_are(
    asked: Any, repo: Repo, server: Ollama, number: signal.Signals
) -> None:
    for name in "abc":
        repo.stage(f"{name}.py", f"{name} = 1\n" * 300)  # one request for each
    server.models[0].loaded_window = 8192
    reached, released = threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> str:
        if "FILE b.py" in body["messages"][-1]["content"]:
            reached.set()
            released.wait(60)
        return NOTHING_FOUND

    server.answer = answer
    command = [sys.executable, "-m", "kilo_review", "--option", "num_ctx=4096"]
    process = subprocess.Popen(
        command, cwd=repo.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    )
    try:
        assert reached.wait(60)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        released.set()
        process.kill()
        process.communicate()
    left = {signal.SIGKILL: 0}.get(number, 1)
    assert process.returncode == {signal.SIGKILL: -9}.get(number, 130)
    assert counted(repo, "verdicts", "receipts", "unreviewed") == [1, 0, left]
    assert asked("--option", "num_ctx=4096") == (2, 1)
    assert counted(repo, "verdicts", "receipts", "unreviewed") == [3, 1, 0]


@pytest.mark.parametrize("reply", [{"error": "no"}, {"text": "?"}, {"text": '{"findings": [', "cut": True}])
def test_what_failed_is_never_remembered(kilo: Runner, buggy: Repo, reply: dict[str, Any]) -> None:
    assert kilo(*kilo.scripted(reply)).code == 3
    assert counted(buggy, "verdicts", "receipts", "unreviewed") == [0, 0, 1]


# The file


@pytest.mark.long
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


@pytest.mark.long
def test_a_ledger_that_somebody_keeps_locked_holds_nobody_up(kilo: Runner, buggy: Repo) -> None:
    kilo(*kilo.scripted())
    database = sqlite3.connect(path_of(buggy), isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    done = kilo("hook", "pre-commit", *kilo.scripted({"findings": []}, {"findings": []}), "-v", "--max-seconds", "30")
    database.execute("ROLLBACK")
    database.close()
    assert (done.code, "reviewed" in done.text) == (0, True)


def test_many_refs_and_hunks_of_one_chat(asked: Any, repo: Repo, server: Ollama) -> None:
    for number in range(30):
        repo.stage(f"m{number}.py", f"x = {number}\n")
    assert asked() == (30, 0)
    count = len(chats(server))
    assert asked() == (0, 30)
    assert len(chats(server)) == count


def mounted(how: tuple[str, ...], folder: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """The program, in a mount namespace of its own."""
    if subprocess.run([*how, str(folder), "true"], cwd=cwd, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a folder in a namespace of our own")
    return subprocess.run(
        [*how, str(folder), sys.executable, "-m", "kilo_review", *arguments], cwd=cwd, capture_output=True, timeout=100
    )


@pytest.mark.parametrize("is_there", [False, True], ids=["without a ledger", "with one"])
def test_a_read_only_git_directory_costs_only_the_memory(kilo: Runner, buggy: Repo, is_there: bool) -> None:
    script = kilo.scripted()
    if is_there:
        assert kilo(*script).code == 0
    done = mounted(READ_ONLY, buggy.path / ".git", *script, "-v", cwd=buggy.path)
    assert (done.returncode, b"1 hunk in 1 file reviewed" in done.stdout) == (0, True)
    assert b"nothing of this review could be kept" in done.stdout
    assert b"Traceback" not in done.stderr
    assert path_of(buggy).exists() is is_there
    if is_there:
        assert "from memory" in kilo(*script).text


@pytest.mark.parametrize("size", ["4k", "16k", "64k"])
def test_a_disk_that_is_full_at_any_point_costs_only_the_memory(
    kilo: Runner, buggy: Repo, division: dict[str, Any], size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILO_SIZE", size)
    path_of(buggy).parent.mkdir()
    script = kilo.scripted({"findings": [division]})
    done = mounted(SMALL, path_of(buggy).parent, *script, "-v", cwd=buggy.path)
    assert (done.returncode, b"Division by zero" in done.stdout) == (1, True)
    assert b"nothing of this review could be kept" in done.stdout
    assert b"Traceback" not in done.stderr


def test_a_ledger_that_cannot_grow_keeps_what_it_has(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.remember({"old": (1, [made()])})
    pages = ledger.store.rows("PRAGMA page_count")[0][0]
    ledger.store.rows(f"PRAGMA max_page_count = {pages + 2}")
    assert not ledger.leave("b", "h", "x" * 100_000, [])
    assert "full" in ledger.store.off
    assert ledger.verdict("old", 1) is None  # off is off, until the next run
    ledger.close()
    again = Ledger.of(tmp_path, Deadline())
    assert again.verdict("old", 1) == [made()]
    assert again.all_unreviewed() == []
    again.close()


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_what_a_killed_run_left_beside_the_file_may_be_damaged(kilo: Runner, buggy: Repo, ending: str) -> None:
    script = kilo.scripted()
    assert kilo(*script).code == 0
    path = path_of(buggy)
    leave_a_log = (
        "import os, sqlite3, sys; d = sqlite3.connect(sys.argv[1]);"
        "d.execute('UPDATE verdicts SET at = 1'); d.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", leave_a_log, str(path)], check=True)
    beside = path.with_name(path.name + ending)
    size = beside.stat().st_size
    assert size
    beside.write_bytes(os.urandom(size))
    done = kilo(*script)
    assert (done.code, "1 hunk in 1 file reviewed" in done.text, "Traceback" in done.talk) == (0, True, False)
    assert "from memory" in kilo(*script).text


@pytest.mark.long
def test_eight_that_find_it_damaged_at_once_set_it_aside_once(kilo: Runner, buggy: Repo) -> None:
    script = kilo.scripted()
    assert kilo(*script).code == 0
    path_of(buggy).write_bytes(os.urandom(5000))
    command = [sys.executable, "-m", "kilo_review", *script]
    running = [subprocess.Popen(command, cwd=buggy.path, stdout=-1, stderr=-1) for _ in range(8)]
    shown = [process.communicate(timeout=100) for process in running]
    assert [process.returncode for process in running] == [0] * 8
    assert sum(b"the ledger was damaged" in stdout for stdout, _ in shown) == 1
    assert not any(b"Traceback" in stderr for _, stderr in shown)
    assert counted(buggy, "verdicts", "receipts") == [1, 1]


@pytest.mark.long
def test_whoever_holds_the_lock_of_its_making_holds_nobody_up(kilo: Runner, buggy: Repo) -> None:
    path_of(buggy).parent.mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    lock = str(path_of(buggy).with_name("lock"))
    with subprocess.Popen([sys.executable, "-c", hold, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline()
        done = kilo("hook", "pre-commit", *kilo.scripted(), "-v", "--max-seconds", "30")
        holder.kill()
    assert (done.code, "1 hunk in 1 file reviewed" in done.text, "keeps it locked" in done.text) == (0, True, True)


# What became of its failures


@pytest.mark.parametrize("command", [(), ("hook", "pre-commit")], ids=["by hand", "hook"])
def test_one_flipped_byte_in_a_text_costs_no_review(
    kilo: Runner, buggy: Repo, division: dict[str, Any], command: tuple[str, ...]
) -> None:
    script = kilo.scripted({"findings": [division]})
    assert kilo(*script).code == 1
    data = path_of(buggy).read_bytes()
    assert b"An empty list" in data
    path_of(buggy).write_bytes(data.replace(b"An empty list", b"An empty l\xffst"))
    done = kilo(*command, *script)
    assert (done.code, "Division by zero" in done.text, "Traceback" in done.talk) == (1, True, False)


@pytest.mark.parametrize("table", ["verdicts", "receipts"])
def test_a_row_that_is_not_utf_8_is_as_if_it_were_not_there(tmp_path: Path, table: str) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.remember({"key": (1, [made()])})
    ledger.sign(Receipt("b", "h", "i", "p", "m", "v", "findings", (made(),)))
    ledger.store.write((f"UPDATE {table} SET findings = CAST(x'ff' AS TEXT)", [()]))
    if table == "verdicts":
        assert ledger.verdict("key", 1) is None
    else:
        assert ledger.receipts([("b", "h")], "i") == {}
    ledger.close()


def test_a_model_whose_file_has_an_undecodable_name_is_asked(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    script = os.fsencode(tmp_path) + b"/s\xe9.json"
    Path(os.fsdecode(script)).write_text('{"replies": []}')
    done = kilo("--provider", "scripted", "--model", script)
    assert (done.code, "Traceback" in done.talk) == (0, False)


def test_a_server_that_counts_absurdly_loses_no_finding(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fakes.ollama.prompt_tokens", lambda _body: 10)
    monkeypatch.setattr(
        "tests.support.fakes.ollama._metrics", lambda *_: {"prompt_eval_count": 10, "eval_count": 2**63}
    )
    for name, value in by_server(server).items():
        monkeypatch.setenv(name, value)
    server.answer = json.dumps({"findings": [division]})
    done = kilo("hook", "pre-commit")
    assert ("Division by zero" in done.text, "Traceback" in done.talk) == (True, False)
    assert done.code == 1


def test_a_tally_too_large_to_keep_is_not_kept(tmp_path: Path) -> None:
    entry = Entry("a", 1, 1, 1, 0, State.REVIEWED)
    outcome = Outcome(Target(TargetKind.STAGED, "b", "h"), entries=[entry], usage=Usage(prompt_tokens=10**30))
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.count("hand", outcome, held=False)
    assert "too large" in ledger.store.off  # it says so in this run, and does not raise
    ledger.close()
    later = Ledger.of(tmp_path, Deadline())
    assert later.store.rows("SELECT count(*) FROM runs") == [(0,)]
    outcome.usage.prompt_tokens = 10
    later.count("hand", outcome, held=False)
    assert later.store.rows("SELECT prompt_tokens FROM runs") == [(10,)]
    later.close()


def test_speeds_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    ledger = Ledger.of(tmp_path, Deadline())
    ledger.calibrate("m", Calibration(0.3, float("nan"), 1.0, 1.0))
    ledger.close()
    assert Ledger.of(tmp_path, Deadline()).calibration("m") == Calibration()


def test_after_a_commit_another_users_git_directory_gets_no_file(kilo: Runner, repo: Repo) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(repo.path / ".git", 12345, 12345)
    repo.git("config", "--global", "--add", "safe.directory", "*")
    kilo("hook", "post-commit", *kilo.scripted())
    assert not path_of(repo).parent.exists()


def test_files_of_the_background_are_for_their_owner_alone(kilo: Runner, repo: Repo) -> None:
    path_of(repo).parent.mkdir(mode=0o700)
    lock = os.open(path_of(repo).with_name("background.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # so that none starts
        kilo("hook", "post-commit", *kilo.scripted())
    finally:
        os.close(lock)
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in path_of(repo).parent.iterdir()}
    assert found == dict.fromkeys(("background.lock", "background.wanted", "ledger.sqlite3", "lock"), 0o600)
