"""The steps of the judge one by one, at their boundaries: doubts, votes, what is joined, and what it is called."""

from __future__ import annotations

from typing import Any

import pytest

from kilo_review.finding import Category, Finding, Severity, Status
from kilo_review.judge.anchor import Anchored
from kilo_review.judge.contradict import ALREADY_SO, REACH, REPLACED, UNTOUCHED, contradiction, doubt
from kilo_review.judge.parse import Claim
from kilo_review.judge.policy import ExitCode, OnUnavailable, exit_code
from kilo_review.judge.vote import is_decided, majority
from kilo_review.outcome import Egress, Entry, ModelInfo, Outcome, State, Target, TargetKind, Usage, summed
from kilo_review.source.diff import Hunk, Line

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
        ("x = 1", "x = 1  \n", ["+x = 1"], ALREADY_SO),
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
    [{"line": 2}, {"path": "b.py"}, {"category": Category.SECURITY}, {"evidence": "f"}],
    ids=lambda changed: next(iter(changed)),
)
def test_what_stands_elsewhere_or_is_of_another_kind_is_another_defect(other: dict[str, Any]) -> None:
    found = majority([[seen()], [seen(**other)], []], 3)
    assert [each.finding.status for each in found] == [Status.REFUTED] * 2


def test_two_defects_of_one_place_go_with_those_that_share_their_words() -> None:
    null, loop = seen("null pointer"), seen("endless loop")
    found = majority([[null, loop], [seen("endless loop again"), seen("a null pointer")], [null]], 3)
    assert {each.finding.title: each.finding.status for each in found} == {
        "null pointer": Status.ACTIVE,
        "endless loop": Status.ACTIVE,
    }


def test_one_answer_has_one_vote_for_one_defect() -> None:
    ((finding, _),) = majority([[seen(), seen(), seen("wrong", message="again")], [], []], 3)
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
    found = majority([[mild, other], [bad, other], [doubted, other]], 3)
    assert [(each.finding.severity, each.finding.doubt) for each in found] == [
        (Severity.CRITICAL, ""),
        (Severity.MAJOR, ""),
    ]


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
