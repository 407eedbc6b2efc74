"""The steps of the judge one by one, at their boundaries: doubts, votes, what is joined, and what it is called."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Egress, Entry, ModelInfo, Outcome, State, Target, TargetKind, Usage, summed
from kilo_review.judge.anchor import Anchored
from kilo_review.judge.baseline import (
    MOST,
    MOST_ENTRIES,
    Accepted,
    Known,
    accepted,
    combined,
    from_bytes,
    is_current,
    revived,
    to_text,
)
from kilo_review.judge.contradict import ALREADY_SO, REACH, REPLACED, UNTOUCHED, contradiction, doubt
from kilo_review.judge.parse import Claim
from kilo_review.judge.policy import ExitCode, FailOn, OnUnavailable, Verify, exit_code, mark_blocking
from kilo_review.judge.suppress import ignores_for, ignores_in, numbered, targets_of
from kilo_review.judge.verify import NO_INPUT, NOT_SHOWN, Ruling, claim_of, is_due, ruled
from kilo_review.judge.vote import is_decided, majority
from kilo_review.plan.chunk import TokenMeter, pieces_of
from kilo_review.plan.context import Context
from kilo_review.source.diff import Hunk, Line
from kilo_review.source.patch import parse_patch

CLAIM = Claim("x = 1", "a.py", 1, "p", Severity.MAJOR, "t", Category.BUG)


def lines(*rows: str) -> list[Line]:
    return [Line(row[0], 1, 1, row[1:]) for row in rows]


# Contradictions and doubts


@pytest.mark.parametrize(
    ("code", "fix", "rows", "reason"),
    [
        ("x = 1", "x = 1", ["+x = 1"], ALREADY_SO),
        ("x = 1", "x = 1", [" x = 1"], ALREADY_SO),
        ("x = 1", "x = 1", ["-x = 1"], ""),
        ("x = 1", "x = 1", ["-x = 1", "+x = 1"], ""),
        ("x = 1", "", ["+x = 1"], ""),
        ("x = 1", "x = 2", ["+x = 1"], ""),
        ("x = 1\n", "x = 1", ["+x = 1"], ALREADY_SO),
        ("x = 1", "x = 1\n", ["+x = 1"], ""),  # that the last line has no end may be the defect
        ("x = 1", "x = 1  ", ["+x = 1"], ""),  # white space at an end can decide, too
        ("x = 1", "x = 1", ["+    x = 1"], ALREADY_SO),  # quoted without its indentation, and answered likewise
        ("    x = 1", "x = 1", ["+    x = 1"], ""),  # moving a line is a remedy
        ("x = 2", "x = 2", ["+x = 1"], ""),
        ("", " ", ["+ "], ""),
        ("a\nb", "a\nb", ["+a", "+b"], ALREADY_SO),
        ("a\nb", "a", ["+a", "+b"], ""),
    ],
)
def test_a_remedy_that_stands_there_already_contradicts_its_claim(
    code: str, fix: str, rows: list[str], reason: str
) -> None:
    assert contradiction(CLAIM._replace(code=code, fix=fix), lines(*rows)) == reason


@pytest.mark.parametrize(
    ("rows", "first", "last", "reason"),
    [
        (["+x = 1"], 0, 0, ""),
        (["-x = 1", "+x = 2"], 0, 0, REPLACED),
        (["-x = 1", "+x = 2"], 0, 1, ""),
        (["-x = 1", " y"], 0, 0, ""),
        (["-x = 1", "+# gone"], 0, 0, ""),  # a comment makes up for nothing
        (["-x = 1", "+pass"], 0, 0, ""),
        (["-x = 1", "+passed()"], 0, 0, REPLACED),
        (["-# x", "+y"], 0, 0, REPLACED),
        (["+a", "-x = 1"], 1, 1, REPLACED),
        (["+a", " m", "-x = 1"], 2, 2, ""),  # another run of changes
        (["-x = 1", " m", "+a"], 0, 0, ""),
        ([" x", "+y"], 0, 0, UNTOUCHED),
        ([" x", "-y"], 0, 0, ""),
        (["-y", *[" m"] * (REACH - 1), " x"], REACH, REACH, ""),
        (["-y", *[" m"] * REACH, " x"], REACH + 1, REACH + 1, UNTOUCHED),
        ([" x", *[" m"] * (REACH - 1), "-y"], 0, 0, ""),
        ([" x", *[" m"] * REACH, "-y"], 0, 0, UNTOUCHED),
        ([" x", "-y", "+z"], 0, 0, UNTOUCHED),
    ],
)
def test_a_claim_about_what_the_change_did_not_bring_must_be_confirmed(
    rows: list[str], first: int, last: int, reason: str
) -> None:
    assert doubt(CLAIM, lines(*rows), first, last) == reason


@pytest.mark.parametrize(
    ("problem", "row", "reason"),
    [
        ("It should be `x = 1`.", "+x = 1", ALREADY_SO),
        ("It is wrong; use `x = 1` instead.", "+x = 1", ALREADY_SO),
        ("Do not use `x = 1`.", "+x = 1", ""),
        ("Use `x = 1` instead of this", "+x = 1", ""),
        ("It should be `x = 2`.", "+x = 1", ""),
        ("It should be `x = 1`.", "-x = 1", ""),
    ],
)
def test_a_remedy_in_words_that_stands_there_already_is_doubted(problem: str, row: str, reason: str) -> None:
    assert doubt(CLAIM._replace(problem=problem), lines(row), 0, 0) == reason
    title = CLAIM._replace(problem="", title=problem)
    assert doubt(title, lines(row), 0, 0) == reason


# Votes


HUNK = Hunk("a.py", 1, 1, 1, 1, 1, 0, "", 0, 10)


def seen(title: str = "wrong", **changed: Any) -> Anchored:
    made = Finding("a.py", 1, 1, Severity.MAJOR, Category.BUG, title, f"{title} here", "e")
    return Anchored(made._replace(**changed), HUNK)


@pytest.mark.parametrize(
    ("seen_by", "answers", "votes", "unread", "status", "reason"),
    [
        (1, 1, 1, 0, Status.ACTIVE, None),
        (2, 3, 3, 0, Status.ACTIVE, None),
        (1, 3, 3, 0, Status.REFUTED, "seen in 1 of 3 answers"),
        (1, 2, 2, 0, Status.REFUTED, "seen in 1 of 2 answers"),  # a half is no majority
        (2, 4, 4, 0, Status.REFUTED, "seen in 2 of 4 answers"),
        (3, 4, 4, 0, Status.ACTIVE, None),
        (1, 2, 3, 1, Status.UNVERIFIED, "seen in 1 of 2 answers that could be read"),
        (1, 1, 3, 2, Status.UNVERIFIED, "seen in 1 of 1 answer that could be read"),
        (1, 3, 4, 1, Status.REFUTED, "seen in 1 of 3 answers"),
    ],
)
def test_what_not_more_than_half_of_the_votes_saw_does_not_count(
    seen_by: int, answers: int, votes: int, unread: int, status: Status, reason: str | None
) -> None:
    samples = [[seen()] if number < seen_by else [] for number in range(answers)]
    ((finding, _),) = majority(samples, votes, unread)
    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize(
    ("seen_by", "answers", "votes", "decided"),
    [
        (1, 1, 3, False),
        (0, 1, 3, False),
        (2, 2, 3, True),
        (0, 2, 3, True),
        (1, 2, 3, False),
        (1, 2, 4, False),
        (0, 2, 4, True),  # two more are no majority of four
        (2, 3, 4, False),
        (3, 3, 4, True),
        (3, 3, 5, True),
        (2, 3, 5, False),
    ],
)
def test_no_answer_is_asked_for_that_changes_nothing(seen_by: int, answers: int, votes: int, decided: bool) -> None:
    samples = [[seen()] if number < seen_by else [] for number in range(answers)]
    assert is_decided(samples, votes, votes - answers) is decided


@pytest.mark.parametrize(
    "other",
    [{"line": 2}, {"path": "b.py"}, {"evidence": "f"}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_stands_elsewhere_is_another_defect(other: dict[str, Any]) -> None:
    found = majority([[seen()], [seen(**other)], []], 3)
    assert [each.finding.status for each in found] == [Status.REFUTED] * 2


def test_a_defect_is_the_same_in_another_category() -> None:
    found = majority([[seen()], [seen(category=Category.SECURITY)], []], 3)
    assert [each.finding.status for each in found] == [Status.ACTIVE]


OVERLAP = {"line": 1, "end_line": 3, "evidence": "e\nf\ng"}


@pytest.mark.parametrize(
    ("one", "other", "number"),
    [
        (OVERLAP, {"line": 2, "end_line": 2, "evidence": "f"}, 1),
        (OVERLAP, {"line": 3, "end_line": 4, "evidence": "g\nh"}, 1),
        (OVERLAP, {"line": 4, "end_line": 4, "evidence": "h"}, 2),
        (OVERLAP, {"line": 2, "end_line": 2, "evidence": "f", "path": "b.py"}, 2),
        (OVERLAP, {"line": 2, "end_line": 2, "evidence": "f", "is_removed": True}, 2),
        (OVERLAP, {"line": 2, "end_line": 2, "evidence": "f", "title": "leak", "message": "never closed"}, 2),
        (OVERLAP, {"line": 2, "end_line": 2, "evidence": "f", "status": Status.UNANCHORED}, 2),
        ({**OVERLAP, "is_removed": True}, {"line": 1, "evidence": "g", "is_removed": True}, 1),
        ({**OVERLAP, "is_removed": True}, {"line": 1, "evidence": "h", "is_removed": True}, 2),
    ],
)
def test_quotes_that_overlap_are_of_one_defect_if_the_words_are_alike(
    one: dict[str, Any], other: dict[str, Any], number: int
) -> None:
    for samples in ([[seen(**one)], [seen(**other)], []], [[seen(**other)], [seen(**one)], []]):
        assert len(majority(samples, 3)) == number


def test_two_defects_of_one_place_go_with_those_that_share_their_words() -> None:
    null, loop = seen("null pointer"), seen("endless loop")
    found = majority([[null, loop], [seen("endless loop again"), seen("a null pointer")], [null]], 3)
    assert {each.finding.title: each.finding.status for each in found} == {
        "null pointer": Status.ACTIVE,
        "endless loop": Status.ACTIVE,
    }


NULL, LOOP, WAIT = (
    seen("null pointer", severity=Severity.CRITICAL),
    seen("endless loop"),
    seen("endless wait", severity=Severity.MINOR),
)


@pytest.mark.parametrize(
    ("first", "second", "confirmed"),
    [
        ([NULL, LOOP], [seen("an endless loop")], {"endless loop"}),
        ([NULL, LOOP], [seen("wrong")], {"null pointer"}),  # equally near to both: the worst
        (
            [NULL, seen("endless loop", category=Category.SECURITY)],
            [seen("a null pointer", category=Category.SECURITY)],
            {"null pointer"},  # what is said counts more than the category
        ),
        (
            [seen("loop leak", message="", severity=Severity.CRITICAL), seen("loop", message="")],
            [seen("loop", message="")],
            {"loop"},  # the share of common words counts, not their number
        ),
        ([NULL, LOOP, WAIT], [seen("null pointer"), seen("endless loop again")], {"null pointer", "endless loop"}),
        ([NULL, LOOP], [seen("endless loop"), seen("loop")], {"null pointer", "endless loop"}),  # one each
    ],
)
def test_an_answer_confirms_the_defects_that_its_findings_are_most_like(
    first: list[Anchored], second: list[Anchored], confirmed: set[str]
) -> None:
    found = majority([first, second, []], 3)
    assert {each.finding.title for each in found if each.finding.status is Status.ACTIVE} == confirmed


def test_findings_of_two_hunks_are_two_defects() -> None:
    elsewhere = seen()._replace(hunk=HUNK._replace(begin=10, end=20))
    found = majority([[seen()], [elsewhere], []], 3)
    assert [each.finding.status for each in found] == [Status.REFUTED] * 2


def test_of_equal_findings_of_one_answer_the_one_that_was_not_refuted_is_kept() -> None:
    refuted = seen(severity=Severity.CRITICAL, status=Status.REFUTED, reason="no")
    for sample in ([refuted, seen()], [seen(), refuted]):
        assert majority([sample], 1) == [seen()]


def test_one_answer_has_one_vote_for_one_defect() -> None:
    ((finding, _),) = majority([[seen(), seen()], [], []], 3)
    assert finding.reason == "seen in 1 of 3 answers"


def test_what_was_refuted_is_no_vote_and_stands_for_none() -> None:
    refuted = seen(status=Status.REFUTED, reason="no")
    found = majority([[refuted], [seen()], [seen()]], 3)
    assert [each.finding.status for each in found] == [Status.ACTIVE]
    found = majority([[refuted], [seen()], []], 3)
    assert [each.finding.reason for each in found] == ["seen in 1 of 3 answers"]
    found = majority([[refuted], [], []], 3)
    assert [each.finding.reason for each in found] == ["no"]


def test_the_worst_stands_for_all_and_comes_first() -> None:
    mild, bad = seen(severity=Severity.MINOR), seen(severity=Severity.CRITICAL)
    doubted = seen(severity=Severity.CRITICAL, doubt="why")
    other = seen("other", line=5, severity=Severity.MAJOR)
    for samples in permutations([[mild, other], [bad, other], [doubted, other]]):
        found = majority(samples, 3)
        assert [(each.finding.severity, each.finding.doubt) for each in found] == [
            (Severity.CRITICAL, ""),
            (Severity.MAJOR, ""),
        ]
    later = seen(line=5, severity=Severity.CRITICAL)
    assert majority([[seen(), later]], 1) == [later, seen()]


# Outcomes


def part(*states: State, **more: Any) -> Outcome:
    entries = [Entry("a", 1, 1, 1, 0, state, "because") for state in states]
    return Outcome(Target(TargetKind.COMMIT, "b", "h"), entries=entries, **more)


TEXTS = ("failure", "next_step", "afterwards", "unsettled", "unremembered")


@pytest.mark.parametrize("name", TEXTS)
def test_what_went_wrong_in_one_part_is_said_of_the_whole(name: str) -> None:
    told = part(**{name: "first"}), part(**{name: "second"})
    assert getattr(Outcome.joined([part(), *told]), name) == "first"
    assert getattr(Outcome.joined([*told, part()]), name) == "first"
    assert [getattr(Outcome.joined([part(), *told]), other) for other in TEXTS if other != name] == [""] * 4


def test_the_whole_has_all_that_its_parts_have() -> None:
    usage = Usage(1, 2, 3, 4, 5.0, 6.0, 7.0, 8.0)
    one = part(State.REVIEWED, usage=usage, notes=["a", "b"])
    other = part(State.NOT_REVIEWED, usage=Usage(10, 20, 30, 40, 3.0, 60.0, 70.0, 80.0), notes=["b", "c"])
    other.interrupted = True
    for parts, seconds in (([one, other], 5.0), ([other, one], 5.0)):
        whole = Outcome.joined(parts)
        assert whole.usage == Usage(11, 22, 33, 44, seconds, 66.0, 77.0, 88.0)
        assert sorted(whole.notes) == ["a", "b", "c"]
        assert whole.interrupted is True
        assert (whole.count(State.REVIEWED), whole.count(State.NOT_REVIEWED), whole.word) == (1, 1, "incomplete")
        assert (whole.target.base, whole.target.head, whole.target.kind) == (None, None, TargetKind.COMMIT)
    assert Outcome.joined([part(), part()]).interrupted is False
    assert Outcome.joined([]).target.kind is TargetKind.RANGE
    assert Outcome.joined([one]) is one
    target = Target(TargetKind.STAGED, "x", "y")
    assert Outcome.joined([one], target).target is target
    assert usage == Usage(1, 2, 3, 4, 5.0, 6.0, 7.0, 8.0)


def test_where_the_code_went_is_not_hidden_by_where_else_it_went() -> None:
    here, there = ModelInfo("ollama", "m", "u", 1), ModelInfo("openai", "n", "v", 1, local=False)
    for models in ([here, there], [there, here], [None, there, here], [here, None, there]):
        assert Outcome.joined([part(model=each) for each in models]).model is there
    assert Outcome.joined([part(model=here), part(model=here._replace(name="n"))]).model is here


def test_findings_of_disjoint_parts_are_all_kept() -> None:
    finding = seen().finding
    parts = [part(findings=[finding]), part(findings=[finding])]
    assert len(Outcome.joined(parts).findings) == 1
    assert len(Outcome.joined(parts, are_disjoint=True).findings) == 2


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (part(failure="why"), "not_reviewed"),
        (part(State.REVIEWED, failure="why"), "incomplete"),
        (part(State.CACHED, failure="why"), "incomplete"),
        (part(State.SKIPPED, failure="why"), "not_reviewed"),
        (part(State.PLANNED), "not_reviewed"),
        (part(State.NOT_REVIEWED, findings=[seen().finding]), "incomplete"),
        (part(State.NOT_REVIEWED, findings=[seen(status=Status.REFUTED).finding]), "not_reviewed"),
        (part(State.REVIEWED, findings=[seen(status=Status.REFUTED).finding]), "clean"),
        (part(State.REVIEWED, findings=[seen(status=Status.UNVERIFIED).finding]), "findings"),
        (part(State.REVIEWED, findings=[seen(status=Status.UNANCHORED).finding]), "findings"),
        (part(State.REVIEWED, findings=[seen(status=Status.DISMISSED).finding]), "clean"),
    ],
)
def test_the_word_for_an_outcome(made: Outcome, word: str) -> None:
    assert made.word == word


def test_a_failure_alone_is_not_a_pass_and_a_plan_is_none() -> None:
    assert exit_code(part(failure="why"), OnUnavailable.BLOCK) is ExitCode.NOT_REVIEWED
    assert exit_code(part(failure="why"), OnUnavailable.ALLOW) is ExitCode.PASS
    assert exit_code(part(State.NOT_REVIEWED, dry_run=True), OnUnavailable.BLOCK) is ExitCode.PASS


def test_egress_is_summed_by_address() -> None:
    rows = [Egress("u", "1", 2, 3), Egress("u", "2", 10, 1), Egress("v", "1", 5, 1), Egress("u", "1", 20, 30)]
    assert summed(rows) == [Egress("u", "1", 22, 33), Egress("u", "2", 10, 1), Egress("v", "1", 5, 1)]
    assert rows[0] == Egress("u", "1", 2, 3)


def test_reasons_are_grouped_the_commonest_first() -> None:
    made = part()
    told = [(State.SKIPPED, "s"), (State.NOT_REVIEWED, "a"), (State.NOT_REVIEWED, "b"), (State.NOT_REVIEWED, "b")]
    made.entries = [Entry(f"{at}", 1, 1, 1, 0, state, reason) for at, (state, reason) in enumerate(told)]
    rows = made.unreviewed_by_reason()
    assert {reason: [entry.path for entry in found] for reason, found in rows.items()} == {"b": ["2", "3"], "a": ["1"]}
    assert list(rows) == ["b", "a"]
    assert {reason: [entry.path for entry in found] for reason, found in made.skipped_by_reason().items()} == {
        "s": ["0"]
    }


def test_a_change_without_two_trees_is_no_change() -> None:
    assert Target(TargetKind.BRANCH, "b", "h", ("o", "p")).change == ("b+o+p", "h")
    assert Target(TargetKind.BRANCH, None, "h").change is None
    assert Target(TargetKind.BRANCH, "b", None).change is None


def test_speed_is_told_where_it_is_known() -> None:
    assert Usage(completion_tokens=10, answer_seconds=4.0).tokens_per_second == 2.5
    assert Usage(completion_tokens=10).tokens_per_second is None
    assert Usage(answer_seconds=4.0).tokens_per_second is None


# What is accepted, dismissed or excused


ROW = accepted(seen().finding, "why")._asdict()


def read(*rows: Any) -> tuple[Accepted, ...]:
    return from_bytes(json.dumps({"version": 1, "findings": rows}).encode(), "FILE")


def test_an_entry_is_read_as_it_was_written() -> None:
    entry = Accepted("a.py", "bug", "e", "", "baseline", 1, "why", seen().finding.fingerprint)
    assert accepted(seen().finding, "why") == entry
    assert read(ROW) == (entry,)
    assert read(ROW, ROW) == (entry._replace(times=2),)
    assert read(ROW | {"times": MOST}, ROW) == (entry._replace(times=MOST),)
    assert read(ROW | {"status": "dismissed"})[0].status == "dismissed"
    assert from_bytes(b"\xef\xbb\xbf" + to_text([entry]).encode(), "FILE") == (entry,)
    assert [each.path for each in combined([entry._replace(path="b"), entry])] == ["a.py", "b"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (ROW | {"times": 0}, "wrong kind"),
        (ROW | {"times": MOST + 1}, "wrong kind"),
        (ROW | {"times": True}, "wrong kind"),
        (ROW | {"times": "1"}, "wrong kind"),
        (ROW | {"path": 1}, "wrong kind"),
        (ROW | {"path": "\ud800"}, "a character that no text has"),
        (ROW | {"reason": "a\0b"}, "a character that no text has"),
        (ROW | {"status": "active"}, "'active' is no status of an entry"),
        (ROW | {"status": "?"}, "is not a valid Status"),
        (ROW | {"category": "?"}, "is not a valid Category"),
        (ROW | {"more": 1}, "has not the keys path, category, code"),
        ({name: value for name, value in ROW.items() if name != "code"}, "has not the keys path, category, code"),
        (1, "TypeError"),
    ],
)
def test_a_damaged_entry_is_told_with_what_is_wrong_in_it(row: Any, why: str) -> None:
    with pytest.raises(ConfigError, match="the baseline FILE is damaged: ") as caught:
        read(row)
    assert why in str(caught.value)
    assert "Restore FILE from git, or make it anew: kilo-review baseline create" in str(caught.value)


def test_a_baseline_that_is_none_is_never_an_empty_one() -> None:
    for content, says in (
        (b"", "is not valid JSON: "),
        (b"<<<<<<< ours", "is not valid JSON; it holds a merge conflict: "),
        (b"[]", "it has no version"),
        (b'{"version": "1"}', "it has no version"),
        (b'{"version": 2, "findings": []}', "has version 2, and this program reads 1"),
        (b'{"version": 1}', "it has no list of findings"),
        (b'{"version": 1, "findings": {}}', "it has no list of findings"),
    ):
        with pytest.raises(ConfigError, match="the baseline FILE") as caught:
            from_bytes(content, "FILE")
        assert says in str(caught.value)
    with pytest.raises(ConfigError, match=f"has {MOST_ENTRIES + 1} entries; {MOST_ENTRIES} are the limit"):
        read(*[0] * (MOST_ENTRIES + 1))
    with pytest.raises(ConfigError, match="TypeError"):  # as many as the limit are looked at
        read(*[0] * MOST_ENTRIES)


def known(*entries: Accepted, dismissals: dict[str, str] | None = None, names: tuple[str, ...] | None = None) -> Known:
    return Known(entries, dismissals or {}, lambda finding: (finding.fingerprint,) if names is None else names)


def test_an_entry_counts_as_often_as_it_says() -> None:
    finding, entry = seen().finding, accepted(seen().finding, "why")._replace(times=2)
    book = known(entry)
    assert book.unused == [entry]
    marked = [book.mark(finding) for _ in range(3)]
    assert [(each.status, each.reason) for each in marked[:2]] == [(Status.BASELINE, "why")] * 2
    assert marked[2] == finding
    assert book.unused == []
    book = known(entry)
    book.mark(finding)
    assert book.unused == [entry._replace(times=1)]
    assert known(entry).mark(seen("other", line=7, evidence="f").finding).status is Status.ACTIVE


def test_a_dismissal_counts_always_and_before_an_entry() -> None:
    finding, entry = seen().finding, accepted(seen().finding, "why")
    shared = accepted(finding, "shared", Status.DISMISSED)
    for book, reason in (
        (known(entry, dismissals={finding.fingerprint: "own"}), "own"),
        (known(shared, entry), "shared"),
        (known(shared, dismissals={finding.fingerprint: "own"}), "own"),
        (known(dismissals={finding.fingerprint: ""}), None),
    ):
        assert [(each.status, each.reason) for each in (book.mark(finding), book.mark(finding))] == [
            (Status.DISMISSED, reason)
        ] * 2
        assert book.moved == []


def test_a_moved_finding_is_known_by_its_older_name() -> None:
    finding = seen().finding
    book = known(dismissals={"older": "why"}, names=(finding.fingerprint, "older"))
    assert book.mark(finding).status is Status.DISMISSED
    assert book.moved == [(finding, "why")]
    nothing = known(accepted(finding, "why"), dismissals={finding.fingerprint: "why"}, names=())
    assert nothing.mark(finding) == finding  # nothing may hide it


@pytest.mark.parametrize("status", [each for each in Status if each not in {Status.ACTIVE, Status.UNANCHORED}])
def test_what_is_out_of_the_count_uses_no_entry_up(status: Status) -> None:
    finding, book = seen(status=status).finding, known(accepted(seen().finding, "why"))
    assert book.mark(finding) is finding
    assert len(book.unused) == 1


def test_a_remembered_mark_is_current_as_long_as_it_would_be_given_again() -> None:
    finding = seen().finding
    accepted_one = finding._replace(status=Status.BASELINE, reason="why")
    dismissed = finding._replace(status=Status.DISMISSED, reason="why")
    entry = accepted(finding, "why")
    assert is_current(accepted_one, known(entry))
    assert not is_current(accepted_one, known())
    assert is_current(dismissed, known(dismissals={finding.fingerprint: "why"}))
    assert not is_current(dismissed, known(entry))
    assert is_current(finding, known())
    assert is_current(finding, known(entry))
    assert revived(dismissed) == revived(accepted_one) == finding
    refuted = finding._replace(status=Status.REFUTED, reason="why")
    assert revived(refuted) is refuted


def test_comments_speak_of_their_own_line_and_of_the_next_one() -> None:
    code = {
        1: "# kilo-review: ignore[bug] above",
        2: "# kilo-review: ignore[security] above",
        3: "x = 1  # kilo-review: ignore[bug]",
        4: "y = 2  # kilo-review: ignore[bug] beside",
        5: "z = 3",
    }
    found = ignores_in(code, "a.py")
    assert [(each.line, each.is_alone, bool(each.problem)) for each in found.values()] == [
        (1, True, False),
        (2, True, False),
        (3, False, True),
        (4, False, False),
    ]
    assert targets_of(found) == {1: 3, 2: 3, 3: 3, 4: 4}

    def speaking(line: int, end: int, category: Category = Category.BUG) -> list[int]:
        finding = seen(line=line, end_line=end, category=category).finding
        return [each.line for each in ignores_for(finding, found)]

    assert speaking(3, 3) == [1, 3]  # the one that may be honoured comes first
    assert speaking(3, 4) == [4, 1, 3]
    assert speaking(3, 3, Category.SECURITY) == [2]
    assert speaking(4, 5) == [4]
    assert speaking(5, 5) == []
    assert numbered("a\nb\n") == {1: "a", 2: "b", 3: ""}


def test_a_comment_with_an_unknown_category_speaks_of_every_finding() -> None:
    found = ignores_in({1: "x = 1  # kilo-review: ignore[bgu] why", 2: "y  # kilo-review: ignore why"}, "a.py")
    for line, says in ((1, "'bgu', which is no category"), (2, "names no category")):
        (told,) = ignores_for(seen(line=line, end_line=line).finding, found)
        assert says in told.problem


# Verdicts on findings


def test_only_what_is_confirmed_with_an_input_stands() -> None:
    finding = seen().finding
    assert ruled(finding, Ruling(is_confirmed=True, evidence="f(0)")) is finding
    unshown = ruled(finding, Ruling(is_confirmed=True, evidence=" "))
    assert (unshown.status, unshown.reason) == (Status.UNVERIFIED, NO_INPUT)
    assert ruled(finding, Ruling(is_confirmed=False, evidence="it is checked")).reason == "it is checked"
    refuted = ruled(finding, Ruling(is_confirmed=False, evidence=""))
    assert (refuted.status, refuted.reason) == (Status.REFUTED, NOT_SHOWN)


@pytest.mark.parametrize(
    ("verify", "fail_on", "changed", "due"),
    [
        (Verify.OFF, FailOn.MINOR, {}, False),
        (Verify.OFF, FailOn.MINOR, {"doubt": "why"}, False),
        (Verify.ALL, FailOn.NEVER, {}, True),
        (Verify.ALL, FailOn.MINOR, {"status": Status.UNANCHORED}, False),
        (Verify.BLOCKING, FailOn.MAJOR, {}, True),
        (Verify.BLOCKING, FailOn.CRITICAL, {}, False),
        (Verify.BLOCKING, FailOn.CRITICAL, {"doubt": "why"}, True),
        (Verify.BLOCKING, FailOn.NEVER, {}, False),
    ],
)
def test_what_must_be_confirmed(verify: Verify, fail_on: FailOn, changed: dict[str, Any], due: bool) -> None:
    assert is_due(seen(**changed).finding, verify, fail_on) is due


def test_findings_are_ordered_by_severity_then_path_then_line() -> None:
    worst = seen(severity=Severity.CRITICAL, path="z.py", line=9).finding
    rest = [seen(path=path, line=line).finding for path, line in (("a.py", 2), ("a.py", 10), ("b.py", 1))]
    marked = mark_blocking([*reversed(rest), worst], FailOn.NEVER)
    assert marked == [worst, *rest]


def test_every_moved_finding_is_remembered() -> None:
    one, other = seen().finding, seen("other").finding
    book = known(dismissals={"older": "why"}, names=("older",))
    book.mark(one)
    book.mark(other)
    assert book.moved == [(one, "why"), (other, "why")]


def test_a_comment_may_name_several_categories() -> None:
    (told,) = ignores_in({1: "x  /* kilo-review: Ignore[bug, Security,] :- why */"}, "a.c").values()
    assert (told.categories, told.reason, told.problem) == (frozenset({"bug", "security"}), "why", "")
    assert ignores_in({1: "x = 'kilo-review: no comment'", 2: "kilo-review: ignore[bug] why"}, "a.c") == {}


@pytest.mark.parametrize(
    ("lines", "number", "question"),
    [
        (["-x = 1", "+x = 1  ", "+y = 2"], 1, "moving the line `x = 1` to line 1 is wrong"),
        (
            ["+x = 1", " a", "-x = 1"],
            1,
            "line 1, `x = 1`, is wrong, or the removal of the same line elsewhere is wrong",
        ),
        (["+x = 1", " a"], 1, "line 1, `x = 1`, is wrong"),
        ([" x = 1", "+a"], 1, "the change makes line 1, `x = 1`, wrong"),
    ],
)
def test_a_claim_says_what_may_be_wrong_about_a_line(lines: list[str], number: int, question: str) -> None:
    counts = [sum(line[0] in signs for line in lines) for signs in (" -", " +")]
    diff = parse_patch(f"--- a/a.py\n+++ b/a.py\n@@ -1,{counts[0]} +1,{counts[1]} @@\n{chr(10).join(lines)}\n".encode())
    (hunk,) = diff.files[0].hunks
    (piece,) = pieces_of(diff.files[0], hunk, diff.lines(hunk), Context(), TokenMeter(), 4000)
    finding = Finding("a.py", number, number, Severity.MAJOR, Category.BUG, "t", "m", "x = 1")
    assert claim_of(finding, piece) == question
