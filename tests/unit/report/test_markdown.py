"""The `markdown` report, rendered as the forges render it, and the summary of a job."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Egress, Entry, ModelInfo, Outcome, State, Target, TargetKind, Usage
from kilo_review.judge.policy import ExitCode
from kilo_review.report import job_summary, markdown
from kilo_review.report.view import View
from kilo_review.sanitize.terminal import one_line
from tests.support.hostile import ALL_MARKDOWN
from tests.support.renderers import ACTIVE, RENDERERS, Page, github

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Runner

OURS = {
    *("h2", "h3", "h4", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "strong", "em"),
    *("details", "summary"),
}
"""What the report consists of: no link, image, input, strike-through or anything that foreign text asked for."""
HOSTILE = (
    "@everyone <img src=x onerror=alert(1)><script>alert(1)</script> [a](http://x.y) ![b](http://x.y/p.png) #1 "
    "::set-output name=a::b \x1b[31mred\x1b[0m \u202eback </details> | a | b | `c` ```d http://x.y www.x.y deadbeef1"
)
HOSTILE_NAME = "a`|@everyone\n::error::<b>#1 http:/x.suggestion"


def finding(number: int = 1, severity: Severity = Severity.MAJOR, **settings: Any) -> Finding:
    facts = {"title": f"title {number}", "message": f"why {number}", "evidence": f"line_{number}", "path": "a.py"}
    return Finding(line=number, end_line=number, severity=severity, category=Category.BUG, **facts | settings)


def entry(number: int, state: State, reason: str | None) -> Entry:
    return Entry(f"{number}.py", 1, 9, 9, 0, state, reason)


def an_outcome(*findings: Finding, entries: tuple[Entry, ...] = ()) -> Outcome:
    return Outcome(
        Target(TargetKind.STAGED, "a", "b"),
        ModelInfo("ollama", "qwen:7b", "http://127.0.0.1:11434", 8192),
        list(findings),
        list(entries),
        Usage(requests=2, prompt_tokens=30, completion_tokens=4, seconds=1.5),
        [Egress("http://127.0.0.1:11434", "127.0.0.1", 999, 4)],
    )


def view(outcome: Outcome, code: ExitCode = ExitCode.PASS) -> View:
    return View(outcome, code)


def elements(page: Page) -> set[str]:
    return {tag if isinstance(tag, str) else tag[0] for tag in page.tags if isinstance(tag, (str, tuple))}


def attributes(page: Page) -> set[str]:
    """But those that renderers themselves give to blocks of code."""
    given = [pair for tag in page.tags if isinstance(tag, tuple) for pair in tag[1]]
    return {name for name, _ in given} - {"lang", "class", "data-sourcepos"}


def check_inert(report: str) -> None:
    for render in RENDERERS:
        page = Page(render(report))
        assert elements(page) <= OURS, render.__name__
        assert not attributes(page), render.__name__
    page = Page(github(report))
    for node in set(page.nodes) - set(page.code_nodes):
        for what, pattern in ACTIVE.items():
            assert not pattern.search(node), f"{what} in {node!r}"


def seen(report: str) -> str:
    """What a reader sees, with white space folded."""
    return one_line(Page(github(report)).text)


# What it says


def test_it_says_what_was_found_where_and_by_whom(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    report = kilo(*kilo.scripted({"findings": [division]}), "--format", "markdown").text
    assert report.startswith("## kilo-review: 1 finding (1 critical; 1 blocking): 1 hunk in 1 file reviewed by ")
    assert "\n**Blocks** (exit code 1).\n" in report
    assert "\n| critical, blocks | `app.py:2` | Division by zero |\n" in report
    assert "\n ```py\n     return sum(items) / len(items)\n ```\n" in report
    assert "\nAn empty list divides by zero.\n" in report
    assert "`8fac5be6`" in report
    assert "\n- Asked: 2 requests, " in report
    assert "\n- Sent: nothing\n" in report
    check_inert(report)


def test_what_was_not_reviewed_stands_before_the_findings_with_its_places(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    buggy.stage("other.py", "".join(f"x{number} = {number}\n" for number in range(3000)))
    script = kilo.scripted({"when": "def mean", "findings": [division]}, {"error": "the <b>GPU</b> is on fire"})
    done = kilo(*script, "--format", "markdown", "--fail-on", "never")
    assert done.code == 3
    assert "**Fails, since not everything was reviewed** (exit code 3)." in done.text
    assert 0 < done.text.index("### Not reviewed") < done.text.index("### Findings")
    assert "the &lt;b&gt;GPU&lt;/b&gt; is on fire" in done.text
    assert re.search(r"^\| `other\.py:1-3000` \| \+3000 -0 \| .*on fire", done.text, re.MULTILINE)


def test_a_whole_outcome_is_in_it(tmp_path: Path) -> None:
    entries = (
        entry(1, State.REVIEWED, None),
        entry(2, State.NOT_REVIEWED, "too long"),
        entry(3, State.SKIPPED, "lock"),
    )
    outcome = an_outcome(
        finding(1, Severity.CRITICAL, blocking=True, suggestion="better()", rule="no-div", reason="in commit 12ab"),
        finding(2, status=Status.UNANCHORED, reason="not there"),
        *(finding(3 + at, status=status, reason=f"r-{status}") for at, status in enumerate(list(Status)[1:5])),
        entries=entries,
    )
    outcome.notes, outcome.unremembered = ["it was slow"], "the disk is full"
    outcome.failure, outcome.next_step = "a further range is unknown", "Ask again"
    report = markdown.render(view(outcome, ExitCode.BLOCKED))
    text = seen(report)
    for words in (
        *(
            "title 1",
            "why 1",
            "line_1",
            "better()",
            "rule no-div",
            "in commit 12ab",
            "title 2",
            "unanchored",
            "not there",
        ),
        *("2.py:1-9", "too long", "3.py:1-9", "lock", "a further range is unknown", "Next: Ask again"),
        *("4 findings out of the count", *(f"r-{status}" for status in list(Status)[1:5])),
        *("qwen:7b (ollama at http://127.0.0.1:11434, a window of 8192 tokens, on this machine)", "30 + 4 tokens"),
        *("999 bytes in 4 requests to 127.0.0.1", "it was slow", "kept for later: the disk is full", "1 file skipped"),
    ):
        assert words in text, words
    check_inert(report)
    folded = re.findall(r"<details>.*?</details>", report, re.DOTALL)
    assert len(folded) == 2
    assert "title 3" in folded[0]
    assert "3.py" in folded[1]


def test_another_machine_is_named_in_bold() -> None:
    outcome = an_outcome()
    outcome.model = ModelInfo("openai", "m", "https://gpu.example", None, local=False)
    assert "**not on this machine**" in markdown.render(view(outcome))


def test_a_dry_run_lists_what_would_be_reviewed(kilo: Runner, buggy: Repo) -> None:
    report = kilo("--dry-run", "--format", "markdown").text
    assert "### What would be reviewed: 1 hunk in 1 file" in report
    assert "| `app.py:1-2` | +0 -2 |" in report


def test_secrets_are_masked_in_ci(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLQ"
    repo.stage("keys.py", f'key = "{key}"\n')
    reply = division | {"file": "keys.py", "line": 1, "code": f'key = "{key}"', "title": key, "problem": f"{key} leaks"}
    script = kilo.scripted({"findings": [reply]})
    assert kilo(*script, "--format", "markdown").text.count(key) == 4
    assert key not in kilo(*script, "--format", "markdown", env={"CI": "1"}).text


# Hostile text


def test_a_hostile_change_and_reply_are_shown_and_nothing_else(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    repo.git("config", "core.quotePath", "false")
    repo.stage(HOSTILE_NAME, f"# {HOSTILE}\nx = 1 / 0\n")
    reply = division | {
        "file": HOSTILE_NAME,
        "code": "x = 1 / 0",
        "title": HOSTILE,
        "problem": f"{HOSTILE}\n\n{HOSTILE}",
    }
    quoted = reply | {"code": f"# {HOSTILE}", "line": 1, "title": "quoted"}
    report = kilo(*kilo.scripted({"findings": [reply, quoted]}), "--format", "markdown").text
    check_inert(report)
    text = seen(report)
    for words in (
        "@everyone",
        "<img src=x onerror=alert(1)>",
        "[a](http://x.y)",
        "::set-output name=a::b",
        "\\u202eback",
    ):
        assert text.count(words) >= 4, words
    assert "a`|@everyone\\n::error::<b>#1 http:/x.suggestion:2" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", report)
    assert not re.search(r"^ *`{3,}suggestion", report, re.MULTILINE)  # no forge offers to apply it
    assert not re.search(r"^(::|/\w|@)", report, re.MULTILINE)


@pytest.mark.parametrize("text", ALL_MARKDOWN)
def test_hostile_text_in_any_place_leaves_the_reports_own_form_alone(text: str) -> None:
    def form(words: str) -> list[object]:
        facts: dict[str, Any] = {"title": words, "message": words, "evidence": words, "reason": words, "rule": words}
        outcome = an_outcome(
            finding(1, **facts, suggestion=words, path=words or "x"),
            finding(2, **facts, status=Status.REFUTED),
            entries=(
                Entry(words or "x", 1, 2, 1, 0, State.NOT_REVIEWED, words or "x"),
                Entry(words or "x", 1, 2, 1, 0, State.SKIPPED, words or "x"),
            ),
        )
        outcome.failure, outcome.next_step, outcome.notes = words, words, [words]
        outcome.model = ModelInfo("ollama", words, "http://127.0.0.1:1", 9)
        report = markdown.render(view(outcome))
        check_inert(report)
        return [
            tag
            for tag in Page(github(report)).tags
            if tag != "code" and not (isinstance(tag, tuple) and tag[0] == "code")
        ]

    if one_line(text):
        plain = [tag if isinstance(tag, str) else tag[0] for tag in form("KILO") if isinstance(tag, (str, tuple))]
        assert [tag if isinstance(tag, str) else tag[0] for tag in form(text) if isinstance(tag, (str, tuple))] == plain


# Size


def huge() -> Outcome:
    findings = [finding(number, Severity.CRITICAL) for number in range(1, 4001)]
    findings += [finding(number, status=Status.BASELINE, reason="accepted") for number in range(1, 1001)]
    entries = [entry(number, State.NOT_REVIEWED, f"reason {number % 7}") for number in range(9000)]
    return an_outcome(*findings, entries=tuple(entries))


def test_the_whole_report_has_all_of_a_huge_outcome() -> None:
    report = markdown.render(view(huge()))
    assert report.count("#### title ") == 4000
    assert report.count("| critical | `a.py:") == 4000
    assert len(re.findall(r"^\| `\d+\.py:1-9` ", report, re.MULTILINE)) == 9000


@pytest.mark.parametrize("limit", [1 << 20, 65_536, 20_000, 4_000])
@pytest.mark.long
def test_a_summary_keeps_its_limit_and_counts_what_it_leaves_out(limit: int) -> None:
    report = markdown.summary(view(huge()), limit)
    assert limit * 0.8 < len(report.encode()) <= limit
    check_inert(report)
    shown = {
        "row": len(re.findall(r"^\| (?:critical|major|`\d+\.py)", report, re.MULTILINE)),
        "finding": report.count("#### title "),
    }
    left = {
        noun: sum(int(number) for number in re.findall(rf"^and (\d+) further {noun}s?, left out", report, re.MULTILINE))
        for noun in shown
    }
    assert shown["row"] + left["row"] == 4000 + 1000 + 9000
    assert shown["finding"] + left["finding"] == 4000
    assert all(f": reason {number}\n" in report for number in range(7))  # small sections are whole
    assert "- Sent: " in report
    assert report.count("<details>") == report.count("</details>") == 2


def test_a_summary_that_fits_is_the_report() -> None:
    whole = markdown.render(view(an_outcome(finding())))
    assert markdown.summary(view(an_outcome(finding())), len(whole.encode())) == whole
    assert markdown.summary(view(an_outcome(finding())), len(whole.encode()) - 1) != whole


def test_the_limit_is_in_bytes() -> None:
    outcome = an_outcome(*(finding(number, message="é" * 50) for number in range(1, 99)))
    assert 4_000 < len(markdown.summary(view(outcome), 5_000).encode()) <= 5_000


@pytest.mark.long
def test_where_nothing_fits_the_heading_does_and_then_nothing() -> None:
    whole = view(huge())
    assert markdown.summary(whole, 250).startswith("## kilo-review: 4000 findings")
    assert markdown.summary(whole, 9) == ""
    assert markdown.summary(whole, -1) == ""


# The summary of a job


def test_the_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    path, shown = tmp_path / "summary", view(an_outcome(finding()))
    assert job_summary.append(path, shown) == ""
    assert path.read_text() == markdown.render(shown)
    path.write_text("by another tool, without a line end")
    assert job_summary.append(path, shown) == ""
    assert path.read_text() == f"by another tool, without a line end\n\n{markdown.render(shown)}"


@pytest.mark.long
def test_the_summary_stays_below_what_the_runner_takes(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_bytes(b"x" * 900_000)
    assert job_summary.append(path, view(huge())) == ""
    assert 1_000_000 < path.stat().st_size <= 1 << 20
    path.write_bytes(b"x" * (1 << 20))
    assert "no room left" in job_summary.append(path, view(huge()))
    assert path.stat().st_size == 1 << 20


def missing(folder: Path) -> Path:
    return folder / "no" / "such" / "summary"


def full(_: Path) -> Path:
    return Path("/dev/full")


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    os.open(folder / "pipe", os.O_RDWR)
    return folder / "pipe"


@pytest.mark.parametrize("place", [missing, full, pipe, lambda folder: folder, lambda folder: folder / "a\0b"])
def test_a_summary_that_cannot_be_written_is_told_in_a_sentence(place: Callable[[Path], Path], tmp_path: Path) -> None:
    told = job_summary.append(place(tmp_path), view(an_outcome(finding())))
    assert told.startswith("the job summary could not be written")
    assert "\n" not in told
