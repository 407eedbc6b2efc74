"""Commits of every kind: what is compared with what, what is asked, and what is left when time or server fail."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.plan.risk import Risk, rank
from kilo_review.source.git_state import amends
from kilo_review.source.patch import parse_patch
from tests.conftest import heed_interrupts
from tests.support.fakes import base
from tests.support.fakes.base import NOTHING_FOUND, Failure, NoAnswer
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import FUNCTION, PROGRAM, Hooked, by_server, chats, environment_of, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo

"""Seconds beyond the deadline that are promised."""


@pytest.fixture
def hooked(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    made = Hooked(repo, folder)
    made.install("pre-commit")
    return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, hooked: Hooked) -> Iterator[Ollama]:
    """The hook asks it."""
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as server:
        monkeypatch.delenv("KILO_REVIEW_MODEL")
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        yield server


def ends(hooked: Hooked) -> tuple[str, str]:
    target = hooked.report()["target"]
    return target["base"], target["head"]


# What is compared


@pytest.mark.long
def test_partial_staging_all_and_paths(hooked: Hooked) -> None:
    repo = hooked.repo
    for name in "abc":
        repo.stage(f"{name}.py", "old = 1\n")
    hooked.commit()
    hooked.report()
    repo.stage("a.py", "staged = 1\n")
    repo.write("a.py", "staged = 1\nunstaged = 2\n")
    repo.write("b.py", "unstaged = 3\n")
    hooked.commit()
    assert ends(hooked) == (hooked.tree("HEAD^"), hooked.tree())
    hooked.commit("c.py", "--allow-empty")
    repo.write("c.py", "by path\n")
    hooked.commit("c.py")
    assert ends(hooked) == (hooked.tree("HEAD^"), hooked.tree())
    hooked.commit("-a")
    assert ends(hooked) == (hooked.tree("HEAD^"), hooked.tree())
    assert repo.out("show", "HEAD:b.py") == "unstaged = 3"
    repo.write("b.py", "first\nunstaged = 3\nlast\n")
    repo.git("commit", "-q", "-p", "-m", "p", input=b"y\n")
    assert ends(hooked) == (hooked.tree("HEAD^"), hooked.tree())


@pytest.mark.parametrize("together", [False, True], ids=["ten files", "one file"])
@pytest.mark.long
def test_one_hunk_of_ten_is_amended(hooked: Hooked, server: Ollama, together: bool) -> None:
    repo, gap = hooked.repo, "".join(f"# {n}\n" for n in range(20))

    def stage_all(changed: int | None, of: str) -> None:
        functions = [FUNCTION.format(n, "7\n    # longer" if n == changed else of) for n in range(10)]
        if together:
            repo.stage("all.py", gap.join(functions))
        else:
            for number, text in enumerate(functions):
                repo.stage(f"m{number}.py", text)

    stage_all(None, "0")
    hooked.commit()
    stage_all(None, "1")
    hooked.commit()
    first = hooked.report()["coverage"]
    assert first["hunks"] == 10
    asked = len(chats(server))
    stage_all(4, "1")
    hooked.commit("--amend")
    report = hooked.report()
    assert (report["target"]["base"], report["target"]["head"]) == (hooked.tree("HEAD^"), hooked.tree())
    assert report["usage"]["requests"] == len(chats(server)) - asked == 1
    assert (report["coverage"]["reviewed"], report["coverage"]["cached"]) == (1, 9)
    assert chats(server)[-1].count("FILE ") == 1
    assert "# longer" in chats(server)[-1]


def test_an_amended_message_asks_nothing(hooked: Hooked, server: Ollama) -> None:
    hooked.repo.stage("a.py", "a = 1\n")
    hooked.repo.git("commit", "-q", "--no-verify", "-m", "x")
    hooked.commit("--amend")
    assert server.calls == []


@pytest.mark.long
def test_the_first_commit_and_a_merge_are_amended(hooked: Hooked, make_repo: Callable[..., Repo]) -> None:
    repo = make_repo("new")
    other = Hooked(repo, hooked.folder)
    other.install("pre-commit")
    repo.stage("a.py", "a = 1\n")
    other.commit()
    other.report()
    repo.stage("b.py", "b = 1\n")
    other.commit("--amend")
    assert ends(other) == (repo.out("hash-object", "-t", "tree", "/dev/null"), other.tree())
    repo.git("switch", "-q", "-c", "side", "HEAD")
    repo.stage("side.py", "s = 1\n")
    repo.git("commit", "-q", "--no-verify", "-m", "side")
    repo.git("switch", "-q", "main")
    repo.stage("main.py", "m = 1\n")
    repo.git("commit", "-q", "--no-verify", "-m", "main")
    repo.git("merge", "-q", "--no-edit", "side")
    repo.stage("evil.py", "e = 1\n")
    other.commit("--amend")
    report = other.report()
    entries = {entry["path"]: entry["state"] for entry in report["coverage"]["entries"]}
    assert entries == {"evil.py": "reviewed", "side.py": "skipped"}


@pytest.mark.parametrize(
    ("how", "is_amend"),
    [
        (("--amend",), True),
        (("--ame",), True),
        (("-m", "--amend"), False),
        (("-c", "alias.fix=commit --amend", "fix"), True),
    ],
)
@pytest.mark.long
def test_amends_are_told_from_what_looks_like_one(hooked: Hooked, how: tuple[str, ...], is_amend: bool) -> None:
    repo = hooked.repo
    repo.stage("b.py", "b = 1\n")
    hooked.commit()
    hooked.report()
    repo.stage("c.py", "c = 1\n")
    words = ("commit", "-q", *how) if how[0] != "-c" else how
    repo.git(*words, *(() if "-m" in how else ("-m", "x")), *(("-q",) if how[0] == "-c" else ()))
    paths = {entry["path"] for entry in hooked.report()["coverage"]["entries"]}
    assert paths == ({"b.py", "c.py"} if is_amend else {"c.py"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--amend", True),
        ("--am", True),
        ("--ame -m x", True),
        ("-m --amend", False),
        ("-am --amend", False),
        ("-mx --amend", True),
        ("--message --amend", False),
        ("--message=--amend", False),
        ("--author --amend", False),
        ("-- --amend", False),
        ("--amend --no-amend", False),
        ("--no-amend --amend", True),
        ("--all", False),
        ("-F --amend --amend", True),
        ("", False),
    ],
)
def test_words_of_git_commit(words: str, expected: bool) -> None:
    assert amends(words.split()) is expected


def conflicted(hooked: Hooked) -> Repo:
    """`side` and `main` differ in one line of `app.py`; `side` also has a file and another hunk of its own."""
    repo = hooked.repo
    lines = [f"line_{n} = {n}\n" for n in range(40)]
    repo.stage("app.py", "".join(lines))
    repo.git("commit", "-q", "--no-verify", "-m", "base")
    repo.git("switch", "-q", "-c", "side")
    repo.stage("app.py", "".join(["line_0 = 'side'\n", *lines[1:39], "line_39 = 'side'\n"]))
    repo.stage("side.py", "s = 1\n")
    repo.git("commit", "-q", "--no-verify", "-m", "side")
    repo.git("switch", "-q", "main")
    repo.stage("app.py", "".join(["line_0 = 'main'\n", *lines[1:]]))
    repo.git("commit", "-q", "--no-verify", "-m", "main")
    return repo


def test_of_a_merge_only_what_differs_from_both_sides_is_asked_about(hooked: Hooked, server: Ollama) -> None:
    repo = conflicted(hooked)
    assert repo.git("merge", "side", check=False).returncode == 1
    merged = (repo.path / "app.py").read_text()
    assert "<<<<<<<" in merged
    rest = merged.partition(">>>>>>> side\n")[2]
    repo.stage("app.py", "line_0 = 'both'\n" + rest)
    hooked.commit()
    report = hooked.report()
    rows = [(entry["path"], entry["start"], entry["state"], entry["reason"]) for entry in report["coverage"]["entries"]]
    assert sorted(rows) == [
        ("app.py", 1, "reviewed", None),
        ("app.py", 37, "skipped", "as in the branch that is merged"),
        ("side.py", 1, "skipped", "as in the branch that is merged"),
    ]
    (question,) = chats(server)
    assert "'both'" in question
    assert "line_39" not in question


def test_a_merge_that_takes_one_side_asks_nothing(hooked: Hooked, server: Ollama) -> None:
    repo = conflicted(hooked)
    repo.git("merge", "side", check=False)
    repo.git("checkout", "-q", "--theirs", "app.py")
    repo.git("add", "app.py")
    hooked.commit()
    assert set(states(hooked.report())) == {"skipped"}
    assert server.calls == []


@pytest.mark.parametrize("how", ["rebase", "cherry-pick", "revert"])
@pytest.mark.long
def test_a_sequence_is_left_for_the_push(
    hooked: Hooked, make_repo: Callable[..., Repo], how: str, server: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = conflicted(hooked)
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "origin", "main")
    words = {
        "rebase": ("rebase", "side"),
        "cherry-pick": ("cherry-pick", "side"),
        "revert": ("revert", "--no-edit", "HEAD^"),
    }
    assert repo.git(*words[how], check=False).returncode
    repo.stage("app.py", f"resolved = {how!r}\n")
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "text")
    monkeypatch.delenv("KILO_REVIEW_OUTPUT")
    hooked.install("pre-push")
    done = hooked.commit()
    assert b"not now, in the middle of a " + how.encode() in done.stderr
    assert b"will be reviewed at push" in done.stderr
    assert chats(server) == []
    assert hooked.left()[hooked.tree()] == f"in the middle of a {how}"
    if how == "rebase":
        repo.git("-c", "core.editor=true", "rebase", "--continue")
    hooked.push("-f", "origin", "HEAD:refs/heads/main")
    assert any("resolved" in question for question in chats(server))
    assert hooked.left() == {}


# The index changes


@pytest.mark.long
def test_what_another_terminal_adds_is_noticed(hooked: Hooked, server: Ollama) -> None:
    repo = hooked.repo

    def answer(_body: dict[str, Any]) -> str:
        repo.stage("late.py", "late = 1\n")
        return NOTHING_FOUND

    server.answer = answer
    repo.stage("a.py", "a = 1\n")
    done = hooked.commit()
    assert b"the index changed during the review" in done.stderr
    assert hooked.report()["outcome"] == "incomplete"
    assert "late.py" in repo.out("show", "--name-only", "HEAD")
    assert "the index changed" in hooked.left()[hooked.tree()]
    repo.stage("b.py", "b = 1\n")
    server.answer = lambda body: (repo.stage("c.py", f"{len(body)}\n"), NOTHING_FOUND)[1]
    assert hooked.commit(check=False, KILO_REVIEW_ON_UNAVAILABLE="block").returncode == 1


def test_a_refreshed_index_is_no_change(hooked: Hooked, server: Ollama) -> None:
    repo = hooked.repo

    def answer(_body: dict[str, Any]) -> str:
        os.utime(repo.path / "app.py")
        repo.git("update-index", "--refresh")
        return NOTHING_FOUND

    server.answer = answer
    repo.stage("a.py", "a = 1\n")
    assert b"the index changed" not in hooked.commit().stderr
    assert hooked.report()["outcome"] == "clean"


# The deadline


class Silent:
    """Accepts, and never says a word; or takes connections only into its backlog."""

    def __init__(self, *, accepts: bool) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        if accepts:
            self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self._kept.append(self._socket.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # closing it alone would not wake the thread
        self._socket.close()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        for each in self._kept:
            each.close()


def limited_commit(hooked: Hooked, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Commit with a time limit of two seconds for a hook that would wait for ever."""
    return hooked.commit(check=False, KILO_REVIEW_MAX_SECONDS="2", **environment)


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.long
def test_a_silent_server_costs_the_time_limit_and_no_more(hooked: Hooked, accepts: bool) -> None:
    hooked.repo.stage("a.py", "a = 1\n")
    silent = Silent(accepts=accepts)
    done = limited_commit(hooked, KILO_REVIEW_PROVIDER="ollama", KILO_REVIEW_MODEL="x", KILO_REVIEW_BASE_URL=silent.url)
    silent.close()
    assert done.returncode == 0
    assert hooked.repo.out("log", "-1", "--format=%s", "--", "a.py") == "change"
    assert hooked.left().keys() == {hooked.tree()}


def drip(_body: dict[str, Any]) -> str:
    raise NoAnswer


@pytest.mark.parametrize("how", ["hangs in chat", "a byte a second", "dies in mid-stream"])
@pytest.mark.long
def test_a_server_that_fails_in_the_middle_leaves_its_hunks_on_record(
    hooked: Hooked, server: Ollama, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    hooked.repo.stage("a.py", "a = 1\n")
    if how == "hangs in chat":
        server.answer = drip
    elif how == "a byte a second":
        slowly(server, monkeypatch)
    else:
        server.ending = "reset"
    done = limited_commit(hooked)
    assert done.returncode == 0
    report = hooked.report()
    assert (report["outcome"], states(report)) == ("not_reviewed", ["not_reviewed"])
    assert hooked.left().keys() == {hooked.tree()}
    assert hooked.rows("SELECT * FROM verdicts") == []


def slowly(server: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte of a chat's stream takes a second; for ten seconds, so that the fake ends at all."""
    real = base._Handler._cut_to_size

    def cut(self: Any, pieces: Any) -> Any:
        if not self.path.startswith("/api/chat"):
            yield from real(self, pieces)
            return
        whole = b"".join(pieces)
        for at in range(6):
            time.sleep(1)
            yield whole[at : at + 1]

    monkeypatch.setattr(base._Handler, "_cut_to_size", cut)


RISKS = {
    "README.md": "prose\n" * 30,
    "tests/test_a.py": "def test_a():\n    x = 1\n" * 10,
    "plain.py": "value = 1\n" * 40,
    "flow.py": "if value:\n    other = 2\n" * 20,
    "auth/login.py": "user = name\n" * 40,
}
BY_RISK = ["auth/login.py", "flow.py", "plain.py", "tests/test_a.py", "README.md"]


@pytest.mark.long
def test_the_riskiest_come_first_and_the_rest_at_push(
    hooked: Hooked, server: Ollama, make_repo: Callable[..., Repo], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hooked.repo
    remote = make_repo("remote.git", "--bare")
    repo.git("remote", "add", "origin", str(remote.path))
    repo.git("push", "-q", "-u", "origin", "main")
    hooked.install("pre-push")
    monkeypatch.setenv("KILO_REVIEW_OPTION", "num_ctx=2100 num_predict=400")
    for name, text in RISKS.items():
        repo.stage(name, "".join(f"{line}  # {n}\n" for n, line in enumerate((text * 2).splitlines())))

    def answer(_body: dict[str, Any]) -> str:
        if len(chats(server)) > 2:
            raise NoAnswer
        return NOTHING_FOUND

    server.answer = answer
    done = hooked.commit(KILO_REVIEW_MAX_SECONDS="2", KILO_REVIEW_FORMAT="text", KILO_REVIEW_OUTPUT="")
    said = done.stderr.decode()
    reviewed = [name for name in BY_RISK if any(f"FILE {name}" in question for question in chats(server)[:2])]
    assert reviewed == BY_RISK[: len(reviewed)]
    assert reviewed
    total = len(BY_RISK)
    assert f"reviewed {len(reviewed)} of {total} hunks in 2 s by" in said
    assert f"; {total - len(reviewed)} will be reviewed at push" in said
    server.answer = NOTHING_FOUND
    before = len(chats(server))
    hooked.push()
    report = hooked.report()
    assert (report["outcome"], report["coverage"]["cached"]) == ("clean", len(reviewed))
    asked = "".join(chats(server)[before:])
    assert sorted(name for name in BY_RISK if f"FILE {name}" in asked) == sorted(BY_RISK[len(reviewed) :])


@pytest.mark.long
def test_after_a_timeout_less_is_asked_at_once(hooked: Hooked, server: Ollama) -> None:
    repo = hooked.repo
    for n in range(12):
        repo.stage(f"m{n}.py", f"value_{n} = 1\n" * 60)
    server.answer = drip
    hooked.commit(KILO_REVIEW_MAX_SECONDS="4")
    repo.stage("again.py", "x = 1\n")
    hooked.commit("--amend", KILO_REVIEW_MAX_SECONDS="4")
    first, second = (len(question) for question in chats(server)[:2])
    assert second < first * 0.75


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.long
def test_what_is_finished_when_somebody_interrupts_is_kept(
    hooked: Hooked, server: Ollama, number: signal.Signals
) -> None:
    repo = hooked.repo
    for n in range(6):
        repo.stage(f"m{n}.py", f"value_{n} = 1\n" * 250)
    started = threading.Event()

    def answer(_body: dict[str, Any]) -> str:
        if len(chats(server)) > 1:
            started.set()
            raise NoAnswer
        return NOTHING_FOUND

    server.answer = answer
    process = subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "hook", "pre-commit"],
        cwd=repo.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_interrupts,
    )
    assert started.wait(30)
    process.send_signal(number)
    assert process.wait(10) == 130
    report = hooked.report()
    done = report["coverage"]["reviewed"]
    assert 0 < done < 6
    assert len(hooked.rows("SELECT * FROM verdicts")) == done
    assert len(hooked.left()) == 1
    server.answer = NOTHING_FOUND
    hooked.commit()
    again = hooked.report()
    assert (again["coverage"]["cached"], again["coverage"]["reviewed"]) == (done, 6 - done)


@pytest.mark.long
def test_a_retried_commit_needs_no_server_if_it_was_reviewed(hooked: Hooked, server: Ollama) -> None:
    hooked.repo.stage("a.py", "a = 1\n")
    message = hooked.repo.path / ".git" / "hooks" / "commit-msg"
    message.write_text("#!/bin/sh\nexit 1\n")
    message.chmod(0o755)
    assert hooked.commit(check=False).returncode == 1
    message.unlink()
    hooked.report()
    server.failure = Failure(503, {"error": "busy"})
    server.refuses_host = True
    hooked.commit(KILO_REVIEW_ON_UNAVAILABLE="block")
    report = hooked.report()
    assert (report["outcome"], states(report), report["usage"]["requests"]) == ("clean", ["cached"], 0)


# A good guest


def test_nothing_of_the_user_is_touched(hooked: Hooked, buggy: Repo) -> None:
    def everything() -> tuple[dict[str, str], bytes, bytes]:
        files = {
            str(path.relative_to(buggy.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in buggy.path.rglob("*")
            if path.is_file() and ".git/" not in str(path)
        }
        return files, buggy.git("ls-files", "-s").stdout, buggy.git("status", "--porcelain").stdout

    buggy.write("untracked.txt", "u\n")
    buggy.write("app.py", "unstaged\n")
    before = everything()
    done = subprocess.run(
        [sys.executable, "-m", "kilo_review", "hook", "pre-commit"], cwd=buggy.path, capture_output=True
    )
    assert done.returncode == 0
    assert everything() == before


def test_no_animation_and_no_question_under_a_framework(
    hooked: Hooked, buggy: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRE_COMMIT", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("KILO_REVIEW_OUTPUT")
    monkeypatch.setenv("KILO_REVIEW_FORMAT", "text")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["sh", "-c", f"{PROGRAM} hook pre-commit </dev/null"], cwd=buggy.path, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        seen += piece
    os.close(ours)
    assert process.wait(20) == 0
    assert b"\x1b[?25l" not in seen
    assert b"\r\x1b" not in seen


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("docs/guide.md", "+password", Risk.PROSE),
        ("src/test_login.py", "+eval(x)", Risk.TEST),
        ("web/login.spec.ts", "+x", Risk.TEST),
        ("src/auth.py", "+x = 1", Risk.SENSITIVE),
        ("src/a.py", "+    subprocess.run(x)", Risk.SENSITIVE),
        ("src/a.py", "-    if x:", Risk.CONTROL_FLOW),
        ("src/a.py", "+    x = 1", Risk.CODE),
        ("src/a.c", "+ strcpy(a, b);", Risk.SENSITIVE),
    ],
)
def test_ranks(path: str, line: str, expected: Risk) -> None:
    sides = "-1 +0,0" if line.startswith("-") else "-0,0 +1"
    data = f"--- a/{path}\n+++ b/{path}\n@@ {sides} @@\n{line}\n".encode()
    diff = parse_patch(data)
    (file,) = diff.files
    assert rank(file, file.hunks[0], diff.data) is expected
