"""A large change keeps the time limit in every stage, and what was not looked at for that is said."""

from __future__ import annotations

import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import kilo_review.core.deadline
import kilo_review.review.cache
import kilo_review.review.chunker
import kilo_review.review.pipeline
import kilo_review.source.diff
from kilo_review.core.deadline import PACE, Deadline
from kilo_review.core.errors import DeadlineError, PromptTooLongError, SourceError
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind
from kilo_review.judge import anchor, quotes, unicode
from kilo_review.judge.baseline import Known
from kilo_review.judge.parse import Claim
from kilo_review.ledger.records import Ledger
from kilo_review.plan import chunk, context, merges, risk, scope
from kilo_review.plan.chunk import TokenMeter, essence, pieces_of
from kilo_review.plan.context import Context
from kilo_review.plan.syntax import Syntax
from kilo_review.review.aliases import Aliases
from kilo_review.review.chunker import Packer
from kilo_review.review.reviewer import Inquiry
from kilo_review.review.suppression import Sieve
from kilo_review.sanitize.model_input import inert as neutral
from kilo_review.source.change import Change
from kilo_review.source.diff import Diff, Hunk, Line, parse_diff_tree
from kilo_review.source.patch import parse_patch
from tests.support.fakes.base import AFFIRMED
from tests.support.fakes.ollama import Model, Ollama
from tests.support.here import run_here
from tests.support.proposals import claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilo_review.source.diff import FileChange
    from tests.conftest import Repo

LIMIT = "20"
CYRILLIC_A = "\u0430"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A new clock; when called, all time is used up."""
    monkeypatch.setattr(kilo_review.core.deadline, "PROCESS_START", time.monotonic())

    def use_up() -> None:
        monkeypatch.setattr(kilo_review.core.deadline, "PROCESS_START", time.monotonic() - 1e6)

    return use_up


def over() -> None:
    raise SourceError("the time is used up")


def new_file(lines: list[str], name: str = "big.py") -> Diff:
    body = "".join(f"+{line}\n" for line in lines)
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n"
    return parse_patch(f"{head}@@ -0,0 +1,{len(lines)} @@\n{body}".encode())


def counted(monkeypatch: pytest.MonkeyPatch, place: Any, name: str) -> list[None]:
    """How often a function is called."""
    calls: list[None] = []
    original = getattr(place, name)

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        return original(*arguments, **named)

    monkeypatch.setattr(place, name, call)
    return calls


# The clock


def test_long_loops_look_at_the_clock(clock: Callable[[], None]) -> None:
    items = Deadline(20).paced(range(10 * PACE))
    seen = [next(items) for _ in range(3)]
    clock()
    with pytest.raises(DeadlineError):
        seen.extend(items)
    assert len(seen) == PACE
    assert list(Deadline().paced(range(3))) == [0, 1, 2]


# Reading


def many_hunks(number: int) -> tuple[bytes, bytes]:
    """What git says of a file with so many hunks, and how it counts them."""
    raw = b":100644 100644 %s %s M\0f\0\0diff --git a/f b/f\n--- a/f\n+++ b/f\n" % (b"1" * 40, b"2" * 40)
    return raw + b"".join(b"@@ -%d +%d @@\n-a\n+b\n" % (at, at) for at in range(1, number + 1)), b"%d\t%d\tf\0" % (
        number,
        number,
    )


def test_many_hunks_are_not_scanned_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = counted(monkeypatch, kilo_review.source.diff, "_scan_body")
    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) > 3:
            over()

    with pytest.raises(SourceError, match="the time is used up"):
        parse_diff_tree(*many_hunks(5000), check=check)
    assert len(bodies) <= 3 * kilo_review.source.diff.HUNKS_BETWEEN
    assert len(parse_diff_tree(*many_hunks(5000)).files[0].hunks) == 5000


def test_one_large_hunk_is_not_scanned_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kilo_review.source.diff, "SLICE_BYTES", 1000)
    parts = counted(monkeypatch, kilo_review.source.diff, "_count")
    raw = b":000000 100644 %s %s A\0f\0\0diff --git a/f b/f\n--- /dev/null\n+++ b/f\n" % (b"0" * 40, b"2" * 40)
    data, counts = raw + b"@@ -0,0 +1,9000 @@\n" + b"+line\n" * 9000, b"9000\t0\tf\0"
    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) > 4:
            over()

    with pytest.raises(SourceError, match="the time is used up"):
        parse_diff_tree(data, counts, check=check)
    assert len(parts) <= 4
    assert parse_diff_tree(data, counts).files[0].added == 9000


BODIES = {
    "added": "+a\n" * 50,
    "mixed": " a\n-b\n+c\n+d\n e\n" * 20,
    "no line end": "-a\n" * 30
    + "-b\n\\ No newline at end of file\n"
    + "+c\n" * 30
    + "+d\n\\ No newline at end of file\n",
    "like headers": "--- a/x\n+++ b/x\n-@@ -1 +1 @@\n+diff --git\n" * 20,
    "carriage returns": " a\r\n-b\rc\n+\r\n+d\x0ce\u2028f\n" * 20,
    "empty context": "\n-a\n+b\n" * 20,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_hunk_read_in_parts_has_the_same_lines(monkeypatch: pytest.MonkeyPatch, body: str, size: int) -> None:
    rows = body.encode().split(b"\n")[:-1]
    removed, added, notes = (sum(row.startswith(mark) for row in rows) for mark in (b"-", b"+", b"\\"))
    shared = len(rows) - removed - added - notes
    head = "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -%d,%d +%d,%d @@ heading\n"
    diff = parse_patch((head % (7, shared + removed, 9, shared + added) + body).encode())
    (hunk,) = diff.files[0].hunks
    whole = diff.lines(hunk)
    assert len(whole) == len(rows) - notes
    monkeypatch.setattr(kilo_review.source.diff, "SLICE_BYTES", size)
    parts = counted(monkeypatch, kilo_review.source.diff, "parse_hunk")
    assert diff.lines(hunk) == whole
    assert len(parts) > 1


def test_a_large_hunk_is_not_read_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    diff = new_file(["x = 1"] * 1000)._replace(check=over)
    monkeypatch.setattr(kilo_review.source.diff, "SLICE_BYTES", 100)
    parts = counted(monkeypatch, kilo_review.source.diff, "parse_hunk")
    with pytest.raises(SourceError):
        diff.lines(diff.files[0].hunks[0])
    assert len(parts) == 1


def test_a_small_hunk_is_read_at_any_time() -> None:
    diff = new_file(["x = 1"])._replace(check=over)
    assert [line.text for line in diff.lines(diff.files[0].hunks[0])] == ["x = 1"]


# Choosing and packing


def test_of_a_large_hunk_the_beginning_decides_the_order() -> None:
    diff = new_file(["x = 1"] * 20_000 + ["eval(x)"])
    assert risk.rank(diff.files[0], diff.files[0].hunks[0], diff.data) is risk.Risk.CODE
    diff = new_file(["x = 1", "eval(x)"])
    assert risk.rank(diff.files[0], diff.files[0].hunks[0], diff.data) is risk.Risk.SENSITIVE


def test_a_merge_is_not_compared_beyond_the_limit() -> None:
    diff = new_file(["x = 1"])._replace(check=over)
    with pytest.raises(SourceError):
        merges.inherited(diff, [diff])


def test_hunks_are_taken_out_of_a_selection_in_one_go() -> None:
    hashes = Counter[str]()

    class Counting(Hunk):
        def __hash__(self) -> int:
            hashes["all"] += 1
            return super().__hash__()

        __eq__ = Hunk.__eq__

    diff = new_file(["x = 1"])
    (hunk,) = diff.files[0].hunks
    chosen = tuple((diff.files[0], Counting(*hunk._replace(begin=number))) for number in range(300))
    kept = scope.Selection(chosen, ()).without(lambda each: each.begin < 100, "why")
    assert (len(kept.chosen), len(kept.left_out)) == (200, 100)
    assert hashes["all"] < 1000


@pytest.mark.parametrize("step", [essence, pieces_of], ids=["essence", "pieces"])
def test_a_large_hunk_is_not_packed_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch, clock: Callable[[], None], step: Any
) -> None:
    diff = new_file(["x = compute(1)"] * 20 * PACE)
    (hunk,) = diff.files[0].hunks
    lines = diff.lines(hunk)
    calls: list[None] = []

    def inert(text: str) -> str:
        calls.append(None)
        if len(calls) == 10:
            clock()
        return neutral(text)

    monkeypatch.setattr(chunk, "inert", inert)
    more = (TokenMeter(), 2000) if step is pieces_of else ()
    with pytest.raises(DeadlineError):
        step(diff.files[0], hunk, lines, Context(), *more, Deadline(20))
    assert len(calls) <= 3 * PACE


def test_a_line_of_megabytes_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    diff = new_file(["x = '" + "\u00e9" * 200_000 + "'"])
    (hunk,) = diff.files[0].hunks
    lines = diff.lines(hunk)
    seen: list[int] = []

    def inert(text: str) -> str:
        seen.append(len(text))
        return text

    monkeypatch.setattr(chunk, "inert", inert)
    assert essence(diff.files[0], hunk, lines, Context())
    with pytest.raises(PromptTooLongError, match="line 1 alone takes about"):
        pieces_of(diff.files[0], hunk, lines, Context(), TokenMeter(), 4000)
    assert max(seen) < 1000


def test_the_same_hunk_many_times_is_looked_up_once_each(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, clock: Callable[[], None]
) -> None:
    lines = [f"{letter}\n" for letter in "abcdefgh"] * 60
    repo.stage("f.txt", "".join(lines))
    repo.git("commit", "-q", "-m", "before")
    repo.stage("f.txt", "".join(lines).replace("e\n", "E\n"))
    monkeypatch.chdir(repo.path)
    copies = counted(monkeypatch, Inquiry, "_copy")
    done = run_here(capsysbinary, "hook", "pre-commit", "--provider", "scripted")
    assert b"60 hunks" in done.stdout
    assert len(copies) <= 4 * 60


def test_time_is_kept_to_conclude_with_very_many_hunks(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, clock: Callable[[], None]
) -> None:
    for name in "abc":
        repo.stage(f"{name}.py", "x = 1\n")
    monkeypatch.chdir(repo.path)
    monkeypatch.setattr(kilo_review.review.pipeline, "MANY_HUNKS", 2)
    monkeypatch.setattr(kilo_review.review.pipeline, "SECONDS_A_HUNK", 1.0)
    asked: list[Deadline] = []
    original = Inquiry.ask

    def ask(self: Inquiry, outcome: Outcome) -> None:
        asked.append(self._job.deadline)
        original(self, outcome)

    monkeypatch.setattr(Inquiry, "ask", ask)
    assert b"no findings" in run_here(capsysbinary, "hook", "pre-commit", "--provider", "scripted").stdout
    assert asked == [Deadline(20.0, 3.0)]
    monkeypatch.setattr(kilo_review.review.pipeline, "SECONDS_A_HUNK", 10.0)
    done = run_here(capsysbinary, "hook", "pre-commit", "--provider", "scripted")
    assert "not reviewed: the time limit of 20 s is used up" in done.talk
    assert len(asked) == 1


# Findings


def test_a_hunk_is_read_once_for_all_its_findings_and_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    pile, code = 300, 50
    change = Change(
        Target(TargetKind.PATCH, None, None),
        new_file(["# kilo-review: ignore[unicode] why"] * pile + ["x = 1"] * code),
    )
    job: Any = SimpleNamespace(is_pull_request=True, categories=())
    syntax = Syntax(Deadline())
    sieve = Sieve(job, change, Known((), {}, Aliases(change, syntax, is_proposal=True)), syntax)
    calls = counted(monkeypatch, kilo_review.source.diff, "parse_hunk")
    for line in range(pile + 1, pile + code + 1):
        found = Finding("big.py", line, line, Severity.MAJOR, Category.UNICODE, "t", "m", "x = 1")
        assert sieve.sift(found).status is Status.ACTIVE
    ((file, hunk),) = ((file, hunk) for file in change.diff.files for hunk in file.hunks)
    assert len(sieve.unused([(file, hunk)])) == pile
    assert len(calls) <= 5


def test_a_file_is_decoded_once_for_all_its_hunks() -> None:
    content = "".join(f"x{number} = 1\n" for number in range(100)).encode()
    assert context.text_of(content) is context.text_of(bytes(bytearray(content)))


# After the answers


@pytest.fixture
def after_answers(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], None]) -> None:
    """The time is used up as soon as the model has answered."""
    original = kilo_review.review.cache.fall_back

    def fall_back(*arguments: Any) -> None:
        original(*arguments)
        clock()

    monkeypatch.setattr(kilo_review.review.cache, "fall_back", fall_back)


def entries_of(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, *more: str) -> tuple[Any, list[Any]]:
    monkeypatch.chdir(repo.path)
    done = run_here(capsysbinary, "hook", "pre-commit", "--provider", "scripted", "--format", "json", *more)
    report = done.json()
    return report, report["coverage"]["entries"]


@pytest.mark.usefixtures("after_answers")
def test_a_large_hunk_that_was_not_searched_for_deceit_is_not_reviewed(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    repo.stage("big.py", "x = 'w\u00f6rt'\n" * 6000)
    repo.stage("small.py", f"x = 'w\u00f6rt'\nn{CYRILLIC_A}me = 1\n")
    repo.stage("ascii.py", "x = 1\n")
    rows = counted(monkeypatch, unicode, "_deceits")
    report, entries = entries_of(repo, monkeypatch, capsysbinary)
    assert report["outcome"] == "incomplete"
    assert {entry["path"]: entry["state"] for entry in entries} == {
        "big.py": "not_reviewed",
        "small.py": "reviewed",
        "ascii.py": "reviewed",
    }
    (reason,) = {entry["reason"] for entry in entries if entry["reason"]}
    assert reason.startswith(kilo_review.review.pipeline.UNSEEN)
    assert [finding["path"] for finding in report["findings"]] == ["small.py"]
    assert len(rows) == 2


@pytest.mark.usefixtures("after_answers")
def test_lines_left_out_of_such_a_hunk_are_counted_once(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    image = f'image = "data:image/png;base64,{"iVBORw0KGgo9" * 20_000}"\n'
    repo.stage("big.py", "x = 'w\u00f6rt'\n" * 6000 + image)
    _, entries = entries_of(repo, monkeypatch, capsysbinary)
    assert {entry["state"] for entry in entries} == {"not_reviewed"}
    assert sorted(entry["added"] for entry in entries) == [1, 6000]


@pytest.mark.usefixtures("after_answers")
def test_such_a_commit_is_caught_up_with(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any) -> None:
    repo.stage("big.py", "x = 'w\u00f6rt'\n" * 6000)
    entries_of(repo, monkeypatch, capsysbinary)
    repo.git("commit", "-q", "-m", "change")
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "scripted")
    assert f"not reviewed: 1 hunk: {kilo_review.review.pipeline.UNSEEN}" in run_here(capsysbinary, "status").text


def test_a_search_that_takes_too_long_stops_in_the_middle(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, clock: Callable[[], None]
) -> None:
    repo.stage("big.py", "x = 'w\u00f6rt'\n" * 3000)
    calls: list[None] = []
    original = unicode._deceits

    def deceits(*arguments: Any) -> Iterator[Any]:
        calls.append(None)
        if len(calls) == 10:
            clock()
        return original(*arguments)

    monkeypatch.setattr(unicode, "_deceits", deceits)
    report, entries = entries_of(repo, monkeypatch, capsysbinary)
    assert [entry["state"] for entry in entries] == ["not_reviewed"]
    assert report["outcome"] == "not_reviewed"
    assert len(calls) <= PACE


def test_more_deceit_than_anyone_reads_is_not_listed_but_not_called_reviewed(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, clock: Callable[[], None]
) -> None:
    monkeypatch.setattr(kilo_review.review.pipeline, "MOST_FINDINGS", 20)
    repo.stage("a.py", "".join(f"n{CYRILLIC_A}me{number} = 1\n" for number in range(10)))
    repo.stage("b.py", "".join(f"n{CYRILLIC_A}me{number} = 1\n" for number in range(100)))
    report, entries = entries_of(repo, monkeypatch, capsysbinary)
    assert (report["exit_code"], len(report["findings"])) == (1, 20)
    assert {entry["path"]: entry["state"] for entry in entries} == {"a.py": "reviewed", "b.py": "not_reviewed"}


@pytest.mark.usefixtures("after_answers")
def test_what_is_fixed_is_not_looked_for_beyond_the_limit(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any
) -> None:
    monkeypatch.setattr(Ledger, "open_sightings", lambda *_: {"a.py": [("fingerprint", "gone = 1")]})
    repo.stage("a.py", "x = 1\n" * 2000)
    folded = counted(monkeypatch, kilo_review.review.cache, "fold")
    report, _ = entries_of(repo, monkeypatch, capsysbinary)
    assert report["outcome"] == "clean"
    assert not folded


def test_a_finding_in_a_hunk_too_large_to_be_shown_again_is_unverified(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, clock: Callable[[], None], tmp_path: Any
) -> None:
    script = tmp_path / "script.json"
    finding = (
        '{"code": "y = x / 0", "file": "a.py", "line": 2, "problem": "It divides by zero.", "severity": "critical",'
        ' "title": "Division by zero", "type": "bug"}'
    )
    script.write_text(f'{{"replies": [{{"findings": [{finding}]}}]}}')
    repo.stage("a.py", "x = 1\ny = x / 0\n")

    def pieces(*_: Any) -> Any:
        raise DeadlineError("over")

    monkeypatch.setattr(Packer, "pieces", pieces)
    report, _ = entries_of(repo, monkeypatch, capsysbinary, "--model", str(script))
    assert [finding["status"] for finding in report["findings"]] == ["unverified"]
    assert (report["exit_code"], report["findings"][0]["reason"]) == (
        0,
        "there was no time left to verify it",
    )


# Telling


def test_reasons_of_their_own_are_grouped_in_one_go() -> None:
    compared = Counter[str]()

    class Reason(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            compared["all"] += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    outcome = Outcome(Target(TargetKind.STAGED, "a", "b"))
    reasons = [*(f"reason {number}" for number in range(500)), "reason 7"]
    outcome.entries = [Entry("f", 1, 1, 1, 0, State.NOT_REVIEWED, Reason(reason)) for reason in reasons]
    groups = outcome.unreviewed_by_reason()
    assert next(iter(groups)) == "reason 7"
    assert [len(rows) for rows in groups.values()] == [2, *([1] * 499)]
    assert compared["all"] < 2000


# What the model quotes


def looked_at(monkeypatch: pytest.MonkeyPatch, rows: int) -> int:
    """How often a line is compared with the quotes of ten claims, in a hunk of so many equal lines."""
    counts: Counter[str] = Counter()
    original = quotes._folded

    def counted(text: str) -> frozenset[str]:
        counts["lines"] += 1
        return original(text)

    patch = f"--- a/a.py\n+++ b/a.py\n@@ -0,0 +1,{rows} @@\n" + "+x\n" * rows
    diff = parse_patch(patch.encode())
    ((file, hunk),) = ((file, hunk) for file in diff.files for hunk in file.hunks)
    pieces = pieces_of(file, hunk, diff.lines(hunk), Context(), TokenMeter(), 10**6)
    claims = [
        Claim("x\n" * 20 + "z", "a.py", number, "p", Severity.CRITICAL, "t", Category.BUG) for number in range(10)
    ]
    with monkeypatch.context() as patched:
        patched.setattr(quotes, "_folded", counted)
        assert len(anchor.anchor(claims, pieces)) == len(claims)
    return counts["lines"]


def test_quotes_are_placed_in_time_that_grows_with_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their own length: 50 findings about 1,100 equal lines took ten seconds."""
    assert looked_at(monkeypatch, 1000) <= 10 * 1000 * 6


def test_each_line_of_a_large_request_is_folded_once_for_all_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, counts = 5000, Counter[str]()
    original = quotes._folds

    def counted(line: str) -> frozenset[str]:
        counts["lines"] += 1
        return original(line)

    patch = f"--- a/a.py\n+++ b/a.py\n@@ -0,0 +1,{rows} @@\n" + "".join(f"+a_line_{row}\n" for row in range(rows))
    diff = parse_patch(patch.encode())
    ((file, hunk),) = ((file, hunk) for file in diff.files for hunk in file.hunks)
    pieces = pieces_of(file, hunk, diff.lines(hunk), Context(), TokenMeter(), 10**6)
    claims = [Claim(f"no_{row}()", "a.py", row, "p", Severity.CRITICAL, "t", Category.BUG) for row in range(10)]
    monkeypatch.setattr(quotes, "_folds", counted)
    anchor.anchor(claims, pieces)
    assert counts["lines"] <= rows


class Counting(list[Line]):
    """Lines that count how often they are looked at."""

    looked_at = 0

    def __getitem__(self, key: Any) -> Any:
        self.looked_at += 1
        return super().__getitem__(key)


def test_where_runs_of_equal_lines_can_slide_to_takes_time_in_proportion_to_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = 2000
    patch = f"--- a/a.py\n+++ b/a.py\n@@ -1,{rows} +1,{2 * rows} @@\n" + " x\n+x\n" * rows
    diff = parse_patch(patch.encode())
    lines = Counting(diff.lines(diff.files[0].hunks[0]))
    monkeypatch.setattr(Diff, "lines", lambda *_: lines)
    assert len(list(merges._regions(diff, diff.files[0].hunks[0]))) == rows
    assert lines.looked_at <= rows * (4 * merges.FURTHEST + 20)


def test_the_code_around_several_findings_of_a_hunk_is_cut_once(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    cuts: list[Hunk] = []
    original = pieces_of

    def counted(file: FileChange, hunk: Hunk, *others: Any) -> Any:
        cuts.append(hunk)
        return original(file, hunk, *others)

    monkeypatch.setattr(kilo_review.review.chunker, "pieces_of", counted)
    monkeypatch.chdir(repo.path)
    repo.stage("a.py", "".join(f"x{number} = {number}\n" for number in range(30)))
    claims = [claim("a.py", f"x{number} = {number}", line=number + 1, title=f"t{number}") for number in range(12)]
    with Ollama(models=[Model("m:1")], ruling=AFFIRMED, answer=json.dumps({"findings": claims})) as server:
        done = run_here(capsysbinary, "--provider", "ollama", "--base-url", server.url, "--format", "json")
    assert [each["status"] for each in done.json()["findings"]] == ["active"] * len(claims)
    assert len(cuts) <= 2, "once to ask about it, and once for all that is put to the test"
