"""Where the report goes, and what may never get through: full disks, dumb terminals, hostile text."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.sanitize.terminal import escaped_path, for_terminal, one_line, printable

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner


def test_output_to_a_file(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("old")
    done = kilo(*kilo.scripted(), "--format", "json", "--output", str(report))
    assert (done.code, done.text) == (0, "")
    assert '"outcome": "clean"' in report.read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".kilo")) == []


def test_a_full_disk_loses_nothing(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    done = kilo(*kilo.scripted(), "--output", "/dev/full")
    assert done.code == 2
    assert "/dev/full cannot be written (No space left on device); the report follows on standard output" in done.talk
    assert "1 hunk in 1 file reviewed" in done.text
    assert kilo(*kilo.scripted({"findings": [division]}), "--output", "/dev/full").code == 1


def test_a_full_disk_behind_standard_output(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = kilo(*kilo.scripted(), stdout=full)
        assert (done.code, "No space left on device" in done.talk) == (2, True)
        assert kilo(*kilo.scripted({"findings": [division]}), stdout=full).code == 1


def test_a_reader_that_went_away_changes_nothing(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = kilo(*kilo.scripted({"findings": [division]}), stdout=closed)
    assert done.code == 1
    assert "Error" not in done.talk


@pytest.mark.parametrize("path", ["missing/report.txt", "."])
def test_an_impossible_output_is_told_before_the_review(kilo: Runner, buggy: Repo, path: str) -> None:
    done = kilo("--provider", "ollama", "--base-url", "http://127.0.0.1:9", "--output", path)
    assert done.code == 2
    assert "--output" in done.talk


def test_quiet_says_nothing_if_there_is_nothing_to_say(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted(), "-q")
    assert (done.code, done.text, done.talk) == (0, "", "")


def test_quiet_still_says_what_was_not_reviewed(kilo: Runner, buggy: Repo) -> None:
    assert "not reviewed: 1 hunk" in kilo(*kilo.scripted({"error": "gone"}), "-q").text


def test_verbose_shows_skipped_files_and_what_was_sent(kilo: Runner, buggy: Repo) -> None:
    buggy.stage("yarn.lock", "x\n")
    text = kilo(*kilo.scripted(), "-v").text
    assert "skipped: 1 hunk in 1 file: lock file\n  yarn.lock:1-1\n" in text
    assert "sent: nothing\n" in text


def test_a_summary_names_what_was_skipped(kilo: Runner, repo: Repo) -> None:
    repo.stage("yarn.lock", "x\n")
    text = kilo(*kilo.scripted()).text
    assert text == "kilo-review: nothing to review; 1 file skipped (lock file)\n"


def on_a_terminal(command: list[str], repo: Repo, **environment: str) -> str:
    """What a person sees: standard output and error are a pseudo-terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=repo.path, env=os.environ | environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    process.wait(20)
    return seen.decode()


COMMAND = [sys.executable, "-m", "kilo_review"]


def test_a_terminal_gets_colours(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    seen = on_a_terminal([*COMMAND, *kilo.scripted({"findings": [division]})], buggy, TERM="xterm-256color")
    assert "\x1b[1;31mcritical" in seen


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "xterm", "KILO_REVIEW_COLOR": "never"}],
)
def test_no_escape_reaches_who_does_not_want_it(
    kilo: Runner, buggy: Repo, division: dict[str, Any], environment: dict[str, str]
) -> None:
    seen = on_a_terminal([*COMMAND, *kilo.scripted({"findings": [division]})], buggy, PRE_COMMIT="1", **environment)
    assert "critical: Division by zero" in seen
    assert "\x1b" not in seen


def test_colour_can_be_forced_and_a_file_gets_none(
    kilo: Runner, buggy: Repo, division: dict[str, Any], tmp_path: Path
) -> None:
    script = kilo.scripted({"findings": [division]})
    assert "\x1b[" in kilo(*script, "--color", "always").text
    assert "\x1b[" not in kilo(*script).text
    kilo(*script, "--color", "always", "--output", str(tmp_path / "r.txt"))
    assert "\x1b[" not in (tmp_path / "r.txt").read_text()


HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\u202eevil\u202c\u200b\x9b31m"


def test_no_word_of_the_model_or_the_code_moves_the_terminal(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    repo.stage("evil.py", f"x = 1  # {HOSTILE}\n")
    finding = division | {"code": f"x = 1  # {HOSTILE}", "file": "evil.py", "title": HOSTILE, "problem": HOSTILE}
    unanchored = division | {"code": HOSTILE, "title": HOSTILE + "2"}
    done = kilo(*kilo.scripted({"findings": [finding, unanchored]}), "-v")
    assert done.code == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", done.text)
    assert "\\x1b[2J" in done.text


def test_a_path_that_is_not_utf_8(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.stage(b"caf\xe9\n\x1b.py", "x = 1\n")
    script = kilo.scripted({"findings": [division | {"file": "caf", "code": "x = 1"}]})
    report = kilo(*script, "--format", "json").json()
    assert report["findings"][0]["path"] == "caf\\xe9\n\x1b.py"
    assert "caf\\xe9\\n\\x1b.py:1: critical" in kilo(*script).text
    assert "FILE caf\\xe9\\n\\x1b.py (new file)\n" in kilo("--show-prompt").text
    assert "\\xe9" in kilo(*script, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}).text


def test_latin_1_content_reaches_the_model_and_the_report(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.stage("latin.py", b"name = 'caf\xe9'\n")
    script = kilo.scripted({"findings": [division | {"file": "latin.py", "code": "name = 'caf\ufffd'"}]})
    report = kilo(*script, "--format", "json").json()
    assert (report["findings"][0]["line"], report["findings"][0]["status"]) == (1, "active")


def test_without_git_it_says_so(kilo: Runner, buggy: Repo) -> None:
    done = kilo(env={"PATH": "/nonexistent"})
    assert done.code == 3
    assert (
        done.talk.strip()
        == "kilo-review: not reviewed: git was not found on PATH. Install git, or put its folder on PATH"
    )
    hook = kilo("hook", "pre-commit", env={"PATH": "/nonexistent"})
    assert hook.code == 0
    assert "(the commit goes on; left out, and not on record: git was not found on PATH)" in hook.talk


def test_help_and_version_need_neither_git_nor_a_repository(kilo: Runner, tmp_path: Path) -> None:
    for arguments in (
        ("--help",),
        ("-h",),
        ("--version",),
        ("review", "--help"),
        ("hook", "--help"),
        ("hook", "pre-push", "--help"),
    ):
        done = kilo(*arguments, cwd=tmp_path, env={"PATH": "/nonexistent"})
        assert (done.code, done.talk) == (0, "")


def test_outside_of_a_repository(kilo: Runner, tmp_path: Path) -> None:
    done = kilo(cwd=tmp_path)
    assert done.code == 2
    assert done.talk.startswith("kilo-review: this is not a git repository. ")


def test_a_patch_needs_no_repository(kilo: Runner, buggy: Repo, tmp_path: Path, division: dict[str, Any]) -> None:
    patch = buggy.git("diff", "--cached").stdout
    done = kilo(
        "-",
        *kilo.scripted({"findings": [division]}),
        "--format",
        "json",
        cwd=tmp_path,
        stdin=patch,
        env={"PATH": "/nonexistent"},
    )
    report = done.json()
    assert report["target"] == {"kind": "patch", "base": None, "head": None}
    assert [finding["line"] for finding in report["findings"]] == [2]


def test_an_unforeseen_error_is_told_and_never_stops_a_commit(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import kilo_review.review.pipeline as r\nr.run = lambda *a: 1 / 0\n")
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = kilo("hook", "pre-commit", env=environment)
    assert done.code == 0
    assert "ZeroDivisionError" in done.talk
    assert "not reviewed: internal error (ZeroDivisionError)" in done.talk
    assert kilo(env=environment).code == 3


# One function per output language


@given(st.text())
def test_terminal_text_never_holds_a_control(text: str) -> None:
    shown = for_terminal(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]", shown)
    shown.encode("utf-8")
    assert "\n" not in one_line(text)


@given(st.binary())
def test_any_path_is_shown_on_one_line(raw: bytes) -> None:
    shown = escaped_path(os.fsdecode(raw))
    assert not re.search("[\x00-\x1f\x7f-\x9f]", shown)
    shown.encode("utf-8")


@given(st.binary())
def test_any_content_can_be_sent(raw: bytes) -> None:
    assert "\0" not in printable(raw.decode("utf-8", "surrogateescape"))
    printable(raw.decode("utf-8", "surrogateescape")).encode("utf-8")


@pytest.mark.long
def test_somebody_who_watches_sees_progress_and_nobody_else_does(kilo: Runner, repo: Repo) -> None:
    for number in range(4):
        repo.stage(f"m{number}.py", "".join(f"value = {i}\n" for i in range(250)))
    command = [*COMMAND, *kilo.scripted(), "--no-cache"]
    seen = on_a_terminal(command, repo, TERM="xterm-256color", CI="")
    assert "of 4 hunks reviewed" in seen
    assert seen.rstrip().endswith("s")
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is back
    for environment in ({"TERM": "dumb"}, {"TERM": "xterm", "PRE_COMMIT": "1"}, {"TERM": "xterm", "CI": "true"}):
        assert "hunks reviewed" not in on_a_terminal(command, repo, **{"CI": ""} | environment)
    assert kilo(*kilo.scripted(), "--no-cache").talk.count("\n") == 1
    kilo(*kilo.scripted())
    assert kilo(*kilo.scripted()).talk == ""  # nobody is asked about what is known


def test_half_a_surrogate_of_the_model_breaks_nothing(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    done = kilo(*kilo.scripted({"findings": [division | {"title": "lone \ud83d"}]}))
    assert (done.code, "Traceback" in done.talk) == (1, False)
    assert "lone \ufffd" in done.text


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_changes_no_verdict(kilo: Runner, buggy: Repo, closed: int) -> None:
    command = " ".join([*COMMAND, "--provider", "scripted", f"{closed}<&-" if closed == 0 else f"{closed}>&-"])
    done = subprocess.run(["sh", "-c", command], cwd=buggy.path, capture_output=True, timeout=60)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_output_keeps_the_mode_of_a_file_and_follows_a_link(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("")
    real.chmod(0o600)
    (tmp_path / "link.json").symlink_to(real)
    kilo(*kilo.scripted(), "--output", str(tmp_path / "link.json"))
    assert (tmp_path / "link.json").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert "reviewed" in real.read_text()


@pytest.mark.long
def test_what_an_earlier_range_found_outlives_the_failure_of_a_later_one(
    kilo: Runner, buggy: Repo, division: dict[str, Any], tmp_path: Path
) -> None:
    buggy.commit("one")
    first = buggy.out("rev-parse", "HEAD")
    second = buggy.commit("two", b__py="x = 1\n")
    (tmp_path / "sitecustomize.py").write_text(
        "import kilo_review.review.pipeline as r\n"
        "from kilo_review.core.errors import DeadlineError\n"
        "real, seen = r.run, []\n"
        "def run(job, *rest):\n"
        "    seen.append(job)\n"
        "    if len(seen) > 1:\n"
        "        raise DeadlineError('the time is over')\n"
        "    return real(job, *rest)\n"
        "r.run = run\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    lines = "".join(
        f"refs/heads/{name} {oid} refs/heads/{name} {'0' * 40}\n" for name, oid in (("a", first), ("b", second))
    )
    script = kilo.scripted({"findings": [division]})
    done = kilo("hook", "pre-push", *script, "--format", "json", env=environment, stdin=lines.encode())
    report = done.json()
    assert (done.code, report["outcome"], len(report["findings"])) == (1, "incomplete", 1)
    assert "not reviewed: the time is over" in done.talk
    clean = kilo(
        "hook", "pre-push", "--provider", "scripted", "--format", "json", env=environment, stdin=lines.encode()
    )
    assert (clean.code, clean.json()["outcome"]) == (0, "incomplete")
    text = kilo("hook", "pre-push", "--provider", "scripted", "--no-cache", env=environment, stdin=lines.encode()).text
    assert "not reviewed: the time is over\n" in text
    assert "no findings: 1 hunk in 1 file reviewed by nothing" in text
