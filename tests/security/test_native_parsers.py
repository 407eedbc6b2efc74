"""Parsers and lexers on hostile files: they run in a helper process, and what becomes of that is no concern of a review.

Before, a kilobyte of Kotlin aborted the program, and so stopped a commit without a reason; 16 kB of Java, C, Python, Go
or Rust took gigabytes or minutes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.sandbox import limits, process
from kilo_review.core.sandbox.process import Helper
from kilo_review.plan import syntax as plan_syntax
from kilo_review.plan.context import Heading, of_hunk, symbol_at
from kilo_review.plan.syntax import MOST_OPEN_BRACKETS, Syntax
from kilo_review.report.html.code import Painter
from kilo_review.source.patch import parse_patch
from tests.support.hooked import Hooked, environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo
    from tests.support.here import Program

ABORTS = '"${ /* } */\n' * 520
"""Kotlin: the parser asserts that its state fits into a kilobyte."""
EATS_MEMORY = "a=>\n" * 4000
"""Java: 160 MB for each second."""
EATS_TIME = "->\n" * 6000
"""TypeScript."""
HOSTILE = {"a.kt": ABORTS, "A.java": EATS_MEMORY, "a.ts": EATS_TIME}
ORDINARY = "class A:\n    def f(self):\n        return 1\n"
WATCHDOG_SECONDS = 60
linux = sys.platform == "linux"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started, in order."""
    seen: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            seen.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return seen


@pytest.fixture
def syntax() -> Iterator[Syntax]:
    made = Syntax(Deadline())
    yield made
    made.close()


def symbol(syntax: Syntax, text: str = ORDINARY, line: int = 3, path: str = "a.py") -> str | None:
    return symbol_at(path, text.encode(), line, syntax)


def speak(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Have another program stand where the helper does."""
    says = """
import os, sys
def say(data, size=None):
    os.write(1, (size or len(data)).to_bytes(4, "big") + data)
def tell(*texts):
    say(b"".join(len(text).to_bytes(4, "big") + text for text in texts))
"""
    monkeypatch.setattr(process, "BOOT", says + "\n".join((*lines, "sys.stdin.read(1)")))


# What a file can do to a parser


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_file_ends_the_helper_and_no_more(
    path: str, syntax: Syntax, started: list[subprocess.Popen[bytes]]
) -> None:
    assert symbol(syntax) == "class A > def f(self)"
    assert symbol(syntax, HOSTILE[path], 3, path) is None
    (helper,) = started
    assert helper.returncode in {-signal.SIGABRT, -signal.SIGXCPU, -signal.SIGKILL}
    assert symbol(syntax, HOSTILE[path], 9, path) is None  # it is not tried again
    assert syntax.in_strings(path, HOSTILE[path], [(2, 1)]) == [False]
    assert len(started) == 1
    assert symbol(syntax, ORDINARY + "\n") == "class A > def f(self)"
    assert len(started) == 2


def test_gits_heading_is_the_context_then(syntax: Syntax) -> None:
    patch = b"--- a/a.kt\n+++ b/a.kt\n@@ -2 +2 @@ fun main() {\n-a\n+b\n"
    diff = parse_patch(patch)
    (hunk,) = diff.files[0].hunks
    context = of_hunk(hunk, diff.lines(hunk), ABORTS.encode(), syntax)
    assert context.headings == (Heading(0, "fun main() {"),)
    assert [line.text for line in context.before] == ['"${ /* } */']


@pytest.mark.parametrize("opener", ["(", "[", "{", '"${', "#{", "a(", "if(\n", "[](){\n"])
def test_deep_nesting_is_seen_without_a_parser(
    opener: str, syntax: Syntax, started: list[subprocess.Popen[bytes]]
) -> None:
    for path in ("a.kt", "a.py", "a.rb", "a.cpp"):
        assert symbol(syntax, f"{opener}\n" * (MOST_OPEN_BRACKETS + 1), 1, path) is None or opener == "[](){\n"
    assert not started or opener == "[](){\n"  # of this one, two brackets of three are closed at once


def test_ordinary_files_keep_their_symbols_however_deep(syntax: Syntax) -> None:
    deep = "".join(f"{'  ' * level}function f{level}() {{\n" for level in range(100))
    deep += "".join(f"{'  ' * level}}}\n" for level in reversed(range(100)))
    found = symbol(syntax, deep, 100, "a.js")
    assert found is not None
    assert found.split(" > ") == [f"function f{level}()" for level in range(100)]
    wide = "".join(f"def f{number}(a):\n    return '((({{[' + a\n\n\n" for number in range(60))
    assert symbol(syntax, wide, 4 * 59 + 2) == "def f59(a)"
    long = "".join(f"int f{number}(int a)\n{{\n  return a + {number};\n}}\n" for number in range(6000))
    assert symbol(syntax, long, 4 * 5999 + 3, "a.c") == "int f5999(int a)"


def test_a_row_counts_for_what_is_longer_than_a_line(syntax: Syntax) -> None:
    text = "function a() { return 1 } function b() {\n  return 2\n} function c() { return 3 }\n"
    assert [symbol(syntax, text, line, "a.js") for line in (1, 2, 3)] == [
        "function b()",
        "function b()",
        "function b()",
    ]


def test_strings_are_told_from_comments_and_code(syntax: Syntax) -> None:
    text = 'x = "é😀 # a"  # "b"\ny = f"""\n# c {x}\n"""\n'
    assert syntax.in_strings("a.py", text, [(3, 0), (1, 8), (1, 14), (1, 0), (99, 0)][:4]) == [True, True, False, False]
    assert syntax.in_strings("a.unknown", text, [(1, 8)]) == [False]
    assert syntax.in_strings("a.py", text, []) == []


# What may become of the helper


def test_a_helper_that_is_killed_in_the_middle(
    syntax: Syntax, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert symbol(syntax)
    receive = Helper._receive

    def killed(helper: Helper, end: float) -> object:
        started[0].kill()
        return receive(helper, end)

    os.kill(started[0].pid, signal.SIGSTOP)  # lest it answers before
    monkeypatch.setattr(Helper, "_receive", killed)
    assert symbol(syntax, ORDINARY + "#\n") is None
    monkeypatch.undo()
    assert symbol(syntax, ORDINARY + "##\n") == "class A > def f(self)"


def test_a_helper_that_is_stopped_is_waited_for_within_the_time(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_syntax, "WALL_SECONDS", 0.2)
    syntax = Syntax(Deadline())
    syntax.expect(["a.py"])
    os.kill(started[0].pid, signal.SIGSTOP)
    assert symbol(syntax, "x = 1\n" * 40_000) is None  # more than the pipe holds
    assert started[0].returncode == -signal.SIGKILL
    syntax.close()


READY = "say(b''); "
GARBAGE = {
    "nothing": "",
    "a huge answer": f"{READY}say(b'x' * 100, 1 << 31)",
    "an answer that breaks off": f"{READY}say(b'x', 100); os._exit(0)",
    "a text that is longer than its frame": f"{READY}say(b'\\0\\0\\0\\x09abc')",
    "half a length": f"{READY}say(b'\\0\\0')",
    "no UTF-8": f"{READY}tell(b'0 9 1 9 0 0 1 1', b'\\xff')",
    "a number of texts that is odd": f"{READY}tell(b'0 9 1 9 0 0 1 1')",
    "fewer numbers": f"{READY}tell(b'0 9 1 9 0 0 1', b'a')",
    "more numbers": f"{READY}tell(b'0 9 1 9 0 0 1 1 1', b'a')",
    "no numbers": f"{READY}tell(b'0 9 1 x 0 0 1 1', b'a')",
    "numbers below zero": f"{READY}tell(b'0 9 -1 9 0 0 1 1', b'a')",
    "a huge number": f"{READY}tell(b'0 9 1 ' + b'9' * 5000 + b' 0 0 1 1', b'a')",
    "an end before its beginning": f"{READY}tell(b'0 9 5 4 0 0 1 1', b'a')",
    "a beginning below what is above it": f"{READY}tell(b'0 9 3 9 0 0 4 1', b'a')",
    "nothing above": f"{READY}tell(b'0 9 3 9 0 0 0 1', b'a')",
    "a flood": "while True: os.write(1, b'\\xff' * 65536)",
    "an error": "raise SystemExit(1)",
}


@pytest.mark.parametrize("told", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.long
def test_what_is_no_answer_is_none(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(monkeypatch, told)
    syntax = Syntax(Deadline())
    assert symbol(syntax) is None
    assert syntax.in_strings("b.py", ORDINARY, [(1, 1)]) == [False]
    syntax.close()


def test_a_signature_is_short_text_whatever_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    speak(monkeypatch, READY + "tell(b'0 9 1 9 0 0 1 1', b'\\xed\\xb2\\x80' + b'a' * 5000)")
    syntax = Syntax(Deadline())
    told = symbol(syntax)
    assert told is not None
    assert len(told.encode()) < 220
    syntax.close()


def test_a_helper_that_cannot_run_is_started_once(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(monkeypatch, "os._exit(1)")
    syntax = Syntax(Deadline())
    assert [symbol(syntax, ORDINARY + "\n" * number) for number in range(4)] == [None] * 4
    assert len(started) == 1
    syntax.close()


def test_without_the_library_or_a_process_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find_spec", lambda _name: None)
    assert symbol(Syntax(Deadline())) is None
    monkeypatch.undo()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert symbol(Syntax(Deadline())) is None


# What it may cost


def test_starts_are_bounded(started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_STARTS", 3)
    syntax = Syntax(Deadline())
    for number in range(6):
        assert symbol(syntax, ABORTS + "\n" * number, 1, "a.kt") is None
    assert len(started) == 3
    assert symbol(syntax) is None
    syntax.close()


@pytest.mark.long
def test_the_time_of_slow_files_is_bounded(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MOST_SECONDS", 0.3)
    syntax = Syntax(Deadline())
    assert symbol(syntax, EATS_TIME, 1, "a.ts") is None
    assert symbol(syntax) is None
    assert len(started) == 1
    syntax.close()


def test_many_slow_answers_are_bounded_too(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each within its limits: their sum counts."""
    monkeypatch.setattr(process, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(process, "MOST_SECONDS", 1e-9)
    syntax = Syntax(Deadline())
    assert symbol(syntax) == "class A > def f(self)"
    assert symbol(syntax, ORDINARY + "\n") is None
    assert len(started) == 1
    syntax.close()


def test_when_the_time_is_over_nothing_is_started(started: list[subprocess.Popen[bytes]]) -> None:
    assert symbol(Syntax(Deadline(0.0))) is None
    assert not started


def test_a_file_takes_a_part_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[float | None] = []
    monkeypatch.setattr(Helper, "ask", lambda _self, _request, deadline: left.append(deadline.remaining()))
    symbol(Syntax(Deadline().within(4.0)))
    symbol(Syntax(Deadline()))
    assert left[0] is not None
    assert 0 < left[0] <= 4.0 / plan_syntax.SHARE
    assert left[1] is not None
    assert 0 < left[1] <= limits.WALL_SECONDS


# What it is given, and how it ends


def test_it_has_no_secret_no_folder_and_no_way_out(
    tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, syntax: Syntax
) -> None:
    for name in ("json.py", "sitecustomize.py", "ast_grep_py.py", "resource.py"):
        (tmp_path / name).write_text("import os; open(os.path.join(os.path.dirname(__file__), 'imported'), 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    held = os.open(tmp_path / "json.py", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        assert symbol(syntax) == "class A > def f(self)"
    finally:
        os.close(held)
    assert not (tmp_path / "imported").exists()
    helper = psutil.Process(started[0].pid)
    assert helper.cwd() == "/"
    assert "secret" not in str(helper.environ())
    assert os.getsid(helper.pid) == helper.pid
    if linux:
        assert helper.num_fds() == 3
        most = {psutil.RLIMIT_AS: limits.MEMORY_BYTES, psutil.RLIMIT_CORE: 0, psutil.RLIMIT_FSIZE: 0}
        most |= {psutil.RLIMIT_NOFILE: 3, psutil.RLIMIT_NPROC: 0}
        for kind, amount in most.items():
            assert helper.rlimit(kind) == (amount, amount)
        assert helper.rlimit(psutil.RLIMIT_CPU) == (1, limits.ALL_CPU_SECONDS)


PARENT = """
import sys
from kilo_review.core.deadline import Deadline
from kilo_review.plan.syntax import Syntax
syntax = Syntax(Deadline())
assert syntax.scopes("a.py", "x = 1", 1) == []
print(syntax._helper._process.pid, flush=True)
sys.stdin.read(1)
syntax.scopes("a.ts", {text!r}, 1)
"""


@pytest.mark.parametrize("is_parsing", [False, True])
@pytest.mark.long
def test_it_does_not_outlive_a_parent_that_was_killed(is_parsing: bool) -> None:
    command = [sys.executable, "-c", PARENT.format(text=EATS_TIME)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdin
        helper = psutil.Process(int(parent.stdout.readline()))
        if is_parsing:
            before = sum(helper.cpu_times()[:2])
            parent.stdin.write(b"x")
            parent.stdin.flush()
            while helper.is_running() and sum(helper.cpu_times()[:2]) < before + 0.1:
                pass
        parent.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            helper.wait(WATCHDOG_SECONDS)


def test_an_interrupt_ends_it_and_no_answer_is_mixed_up(
    syntax: Syntax, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert symbol(syntax)

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(Helper, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        symbol(syntax, "x = 1\n")
    monkeypatch.undo()
    assert started[0].returncode == -signal.SIGKILL
    assert symbol(syntax, ORDINARY + "\n") == "class A > def f(self)"


def test_several_threads_get_their_own_answers(syntax: Syntax) -> None:
    told: dict[int, str | None] = {}

    def ask(number: int) -> None:
        told[number] = symbol(syntax, f"def f{number}():\n    return 1\n", 2)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WATCHDOG_SECONDS)
    assert told == {number: f"def f{number}()" for number in range(12)}


def test_after_the_end_it_is_not_started_again(started: list[subprocess.Popen[bytes]]) -> None:
    syntax = Syntax(Deadline())
    assert symbol(syntax)
    syntax.close()
    assert started[0].returncode == -signal.SIGKILL
    assert symbol(syntax, ORDINARY + "\n") is None
    assert len(started) == 1


# The whole program


def test_a_commit_with_such_files_is_reviewed(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hooked"
    folder.mkdir()
    for name, value in environment_of(folder).items():
        monkeypatch.setenv(name, value)
    hooked = Hooked(repo, folder)
    hooked.install("pre-commit")
    repo.stage("a.kt", f"fun main() {{\n{ABORTS}}}\n")
    repo.stage("b.kt", '"${' * 520)
    repo.stage("app.py", "def mean(items):\n    return sum(items)\n")
    hooked.commit()
    report = hooked.report()
    assert report["outcome"] == "clean"
    assert {each["path"]: each["state"] for each in report["coverage"]["entries"]} == {
        "a.kt": "reviewed",
        "b.kt": "reviewed",
        "app.py": "reviewed",
    }
    assert repo.out("log", "-1", "--format=%s") == "change"


def test_a_review_leaves_no_process(
    program: Program, buggy: Repo, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"window": 8192, "replies": [{"findings": []}]}')
    done = program("--provider", "scripted", "--model", str(script), "--output", f"html={tmp_path / 'page.html'}")
    assert done.code == 0
    helpers = [each for each in started if "kilo_review.core.sandbox" in str(each.args)]
    assert len(helpers) == 2  # for syntax and for colours
    assert {each.returncode for each in helpers} == {-signal.SIGKILL}


# Lexers


@pytest.mark.long
def test_a_lexer_that_takes_too_long_is_done_without(started: list[subprocess.Popen[bytes]]) -> None:
    lines = ["\t" * 590] * 8  # one regular expression takes hours
    with Painter(str) as painter:
        assert painter.paint("a.ezt", lines) == [[("", line)] for line in lines]
        assert painter.paint("a.ezt", ["[Unit]"]) == [[("", "[Unit]")]]  # it is not asked again
        assert painter.paint("a.py", ["import os"]) == [[("k", "import"), ("", " os")]]
    assert len(started) == 2
