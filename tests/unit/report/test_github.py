"""The `github` report, read as GitHub's runner reads a log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind
from kilo_review.judge.policy import ExitCode
from kilo_review.report import github
from kilo_review.report.view import View
from tests.support.renderers import obeyed

if TYPE_CHECKING:
    from tests.conftest import Repo, Runner

KINDS = ("error", "warning", "notice")
HOSTILE_NAME = "a\n::error file=x::pwned.py"
HOSTILE = (
    "::set-output name=a::b ##[error]c @everyone <img src=x> \x1b[31mred\x1b[0m \u202eback %0A::error::d\n::error::e"
)


class Command(NamedTuple):
    """What the runner takes a line for."""

    name: str
    properties: dict[str, str]
    message: str


def unescaped(text: str) -> str:
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def commands(log: str) -> list[Command]:
    """As actions/runner `ActionCommand.cs` `TryParseV2` reads each line."""
    found = []
    for line in re.split(r"\r\n|\r|\n", log):
        match = re.match(r"\s*::([^ :]*)(?: (.*?))?::(.*)$", line)
        if match:
            pairs = (pair.split("=", 1) for pair in (match[2] or "").split(",") if "=" in pair)
            found.append(Command(match[1], {name: unescaped(value) for name, value in pairs}, unescaped(match[3])))
    return found


def finding(number: int, severity: Severity = Severity.MAJOR, **settings: Any) -> Finding:
    return Finding(
        "a.py", number, number, severity, Category.BUG, f"title {number}", "why", f"line_{number}", **settings
    )


def view(outcome: Outcome) -> View:
    return View(outcome, ExitCode.PASS)


def an_outcome(*findings: Finding, entries: tuple[Entry, ...] = ()) -> Outcome:
    return Outcome(Target(TargetKind.STAGED, "a", "b"), findings=list(findings), entries=list(entries))


def unreviewed(path: str, reason: str) -> Entry:
    return Entry(path, 1, 9, 9, 0, State.NOT_REVIEWED, reason)


def test_a_finding_is_an_annotation_on_its_line_and_stands_in_the_text(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    done = kilo(*kilo.scripted({"findings": [division]}), "--format", "github")
    assert done.code == 1
    (command,) = commands(done.text)
    assert command.name == "error"
    assert command.properties == {"file": "app.py", "line": "2", "title": "critical: Division by zero"}
    assert command.message == "An empty list divides by zero. [bug, blocks] 8fac5be6"
    assert "\napp.py:2: critical: Division by zero [bug, blocks] 8fac5be6\n" in done.text


@pytest.mark.parametrize(("severity", "kind"), [("critical", "error"), ("major", "warning"), ("minor", "notice")])
def test_the_severity_is_the_kind(
    kilo: Runner, buggy: Repo, division: dict[str, Any], severity: str, kind: str
) -> None:
    done = kilo(*kilo.scripted({"findings": [division | {"severity": severity}]}), "--format", "github")
    assert [command.name for command in commands(done.text)] == [kind]


def test_what_was_not_reviewed_is_a_warning_and_all_of_it_stands_in_the_text(kilo: Runner, buggy: Repo) -> None:
    buggy.stage("other.py", "x = 1\n")
    done = kilo(*kilo.scripted({"error": "the GPU is on fire"}), "--format", "github")
    assert done.code == 3
    (command,) = commands(done.text)
    assert (command.name, command.properties) == ("warning", {"title": "not reviewed"})
    assert command.message.startswith("2 hunks in 2 files: ")
    assert "the GPU is on fire" in command.message
    rest = "\n".join(line for line in done.text.splitlines() if not line.startswith("::"))
    assert "  app.py:1-2\n  other.py:1-1\n" in rest


def test_a_single_hunk_that_was_not_reviewed_is_marked_in_its_place() -> None:
    outcome = an_outcome(entries=(unreviewed("b.py", "too long"),))
    (command,) = commands(github.render(view(outcome)))
    assert command.properties == {"file": "b.py", "line": "1", "endLine": "9", "title": "not reviewed"}


def test_nothing_hostile_is_obeyed_and_nothing_of_it_is_lost(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    repo.stage(HOSTILE_NAME, f"# {HOSTILE}\nx = 1 / 0\n")
    reply = division | {"file": HOSTILE_NAME, "code": "x = 1 / 0", "title": HOSTILE, "problem": HOSTILE}
    done = kilo(*kilo.scripted({"findings": [reply]}), "--format", "github")
    found = commands(done.text)
    assert [command.properties["title"].split(":")[0] for command in found] == ["critical", "critical"]
    (command,) = [command for command in found if "[bug" in command.message]  # the other is about the characters
    assert {command.properties["file"] for command in found} == {HOSTILE_NAME}
    assert set(command.properties) == {"file", "line", "title"}
    assert "::set-output name=a::b" in command.message
    assert "%0A::error::d" in command.message
    assert [line for line in done.text.splitlines() if not line.startswith("::error ") and obeyed(line)] == []
    assert sum(line.lstrip().startswith("::") for line in done.text.splitlines()) == len(found)
    for character in ("\x1b", "\u202e", "\r", "##["):
        assert character not in done.text
    assert "@everyone" in done.text


def test_in_ci_secrets_are_masked(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLQ"
    repo.stage("keys.py", f'key = "{key}"\n')
    reply = division | {"file": "keys.py", "line": 1, "code": f'key = "{key}"', "title": key, "problem": f"{key} leaks"}
    script = kilo.scripted({"findings": [reply]})
    assert key in kilo(*script, "--format", "github").text
    done = kilo(*script, "--format", "github", env={"CI": "true"})
    assert len(commands(done.text)) == 1
    assert key not in done.text


def test_a_path_that_is_not_utf8_is_spelled_out(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.stage(b"caf\xe9.py", "x = 1 / 0\n")
    reply = division | {"file": "caf\\xe9.py", "line": 1, "code": "x = 1 / 0"}
    (command,) = commands(kilo(*kilo.scripted({"findings": [reply]}), "--format", "github").text)
    assert command.properties["file"] == "caf\\xe9.py"


# Limits


@pytest.mark.parametrize("numbers", [(30, 0, 0), (10, 10, 10), (11, 10, 10), (3, 25, 14), (0, 0, 11), (0, 11, 0)])
def test_githubs_limits_are_kept_the_worst_come_first_and_the_rest_is_counted(numbers: tuple[int, int, int]) -> None:
    severities = [severity for severity, number in zip(Severity, numbers, strict=True) for _ in range(number)]
    findings = [finding(number, severity) for number, severity in enumerate(severities, 1)]
    log = github.render(view(an_outcome(*findings)))
    found = commands(log)
    names = [command.name for command in found]
    assert set(names) <= set(KINDS)
    assert max(names.count(kind) for kind in KINDS) <= 10
    assert len(names) <= 50
    shown = [int(command.properties["line"]) for command in found if "line" in command.properties]
    assert shown == sorted(shown)
    left = sum(numbers) - len(shown)
    told = [command for command in found if "line" not in command.properties]
    assert [int(command.properties["title"].split()[1]) for command in told] == ([left] if left else [])
    for kind, number in zip(KINDS, numbers, strict=True):
        assert names.count(kind) == min(number, 10) + (kind == "notice" and left > 0 and number < 10)
    for each in findings:
        assert f"\na.py:{each.line}: {each.severity}: title {each.line} " in f"\n{log}"


def test_findings_do_not_crowd_out_what_was_not_reviewed_nor_the_other_way_round() -> None:
    entries = tuple(unreviewed(f"{number}.py", f"reason {number}") for number in range(30))
    outcome = an_outcome(*(finding(number) for number in range(1, 40)), entries=entries)
    log = github.render(view(outcome))
    warnings = [command for command in commands(log) if command.name == "warning"]
    about = [command.message for command in warnings if command.properties["title"] == "not reviewed"]
    assert len(warnings) == 10
    assert [message.split(":")[1].split(" (")[0] for message in about] == [
        *(" reason 0", " reason 1", " reason 2"),
        " 27 further reasons, each in the log",
    ]
    assert all(f"1 hunk in 1 file: reason {number}\n" in log for number in range(30))


def test_a_message_is_no_longer_than_the_runner_takes_and_keeps_its_id() -> None:
    long = Finding(
        *("a.py", 1, 1, Severity.MINOR, Category.API, "t" * 999, "m" * 9999, "code"), reason="r" * 9999, rule="u" * 99
    )
    (command,) = commands(github.render(view(an_outcome(long))))
    assert len(command.message) <= 4096
    assert len(command.properties["title"]) <= 255
    assert command.message.endswith(("…", long.short_id))


def test_what_does_not_count_is_told_softly_or_in_the_text_alone() -> None:
    doubtful = finding(1, Severity.CRITICAL, status=Status.UNVERIFIED, reason="nobody answered")
    settled = finding(2, Severity.CRITICAL, status=Status.REFUTED, reason="not so")
    log = github.render(view(an_outcome(doubtful, settled, finding(3, status=Status.BASELINE, reason="accepted"))))
    (command,) = commands(log)
    assert (command.name, command.properties["line"]) == ("notice", "1")
    assert "unverified: nobody answered" in command.message
    assert "(a.py:2: title 2) [refuted: not so]" in log
    assert "(a.py:3: title 3) [baseline: accepted]" in log


def test_a_review_that_failed_as_a_whole_says_so() -> None:
    outcome = an_outcome()
    outcome.failure = "the range\n::error::is unknown"
    (command,) = commands(github.render(view(outcome)))
    assert (command.name, command.message) == ("warning", "the range ::error::is unknown")


def test_a_clean_change_has_no_annotation(kilo: Runner, buggy: Repo) -> None:
    done = kilo(*kilo.scripted(), "--format", "github")
    assert commands(done.text) == []
    assert "no findings: 1 hunk in 1 file reviewed" in done.text
