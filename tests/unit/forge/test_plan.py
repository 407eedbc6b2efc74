"""The plan: pure, so that it can be tried on thousands of situations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from kilo_review.core.finding import Finding, Severity, Status
from kilo_review.forge import marks
from kilo_review.forge.base import Remark, Spot
from kilo_review.forge.diff_positions import Places
from kilo_review.forge.marks import Mark
from kilo_review.forge.plan import DOUBTFUL, Plan, Writer, plan
from kilo_review.forge.text import of_plan
from kilo_review.source.patch import parse_patch
from tests.support.posting import finding, the_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

PATHS = ("app.py", "b.py", "gone.py")
WRITER = Writer(
    lambda found, _spot: f"{Mark(found.fingerprint)}\n{found.message}",
    lambda remark: f"{Mark(remark.fingerprint, is_settled=True)}\ngone",
)

findings = st.builds(
    finding,
    st.integers(1, 4),
    st.sampled_from(Severity),
    path=st.sampled_from(PATHS[:2]),
    line=st.integers(1, 30),
    end_line=st.integers(30, 40),
    message=st.sampled_from(["one", "other"]),
    status=st.sampled_from([Status.ACTIVE] * 4 + [Status.UNVERIFIED, Status.UNANCHORED, Status.DISMISSED]),
    blocking=st.booleans(),
)
remarks = st.builds(
    lambda found, **facts: Remark(
        fingerprint=found.fingerprint, path=found.path, line=found.line, body=WRITER.write(found, None), **facts
    ),
    findings,
    id=st.uuids().map(str),
    is_resolved=st.booleans(),
    is_settled=st.booleans(),
    has_reply=st.booleans(),
)
situations = st.tuples(st.lists(findings, max_size=8), st.lists(remarks, max_size=8), st.integers(-1, 5))


def placeable(found: Finding) -> Spot | None:
    return None if found.line % 5 == 0 else Spot(found.path, found.path, found.line, found.line, False, None, "")


def is_unseen(remark: Remark) -> bool:
    return remark.path == "b.py"


def planned(found: Sequence[Finding], there: Sequence[Remark], room: int) -> Plan:
    return plan(found, there, placeable, WRITER, is_unseen=is_unseen, room=room)


def carried_out(done: Plan) -> list[Remark]:
    """What is on the forge afterwards."""
    made = [
        Remark(f"new-{at}", each.finding.fingerprint, each.spot.path, each.spot.line, False, False, False, each.body)
        for at, each in enumerate(done.create)
    ]
    changed = [edit.remark._replace(body=edit.body) for edit in done.update]
    opened = [edit.remark._replace(body=edit.body, is_resolved=False, is_settled=False) for edit in done.reopen]
    closed = [edit.remark._replace(body=edit.body, is_resolved=True, is_settled=True) for edit in done.resolve]
    return [*done.keep, *made, *changed, *opened, *closed]


@settings(max_examples=100)
@given(situations)
def test_after_a_plan_there_is_nothing_left_to_do(situation: tuple[list[Finding], list[Remark], int]) -> None:
    found, there, room = situation
    first = planned(found, there, room)
    second = planned(found, carried_out(first), max(room, 0) - len(first.create))
    assert second.is_all_keep
    assert len(second.rest) == len(first.rest)


@settings(max_examples=100)
@given(situations)
def test_each_finding_and_each_comment_has_one_fate(situation: tuple[list[Finding], list[Remark], int]) -> None:
    found, there, room = situation
    done = planned(found, there, room)
    fates = [*(draft.finding for draft in done.create), *done.told, *done.rest]
    assert sorted(map(id, fates)) == sorted(id(each) for each in found if each.status is Status.ACTIVE)
    edits = [edit.remark for edit in (*done.update, *done.reopen, *done.resolve)]
    assert sorted(each.id for each in (*done.keep, *edits)) == sorted(each.id for each in there)


@settings(max_examples=100)
@given(situations)
def test_what_people_said_and_what_was_not_seen_is_left_alone(
    situation: tuple[list[Finding], list[Remark], int],
) -> None:
    found, there, room = situation
    done = planned(found, there, room)
    doubtful = {each.fingerprint for each in found if each.status in DOUBTFUL}
    for edit in done.resolve:
        assert not edit.remark.has_reply
        assert not edit.remark.is_resolved
        assert not is_unseen(edit.remark)
        assert edit.remark.fingerprint not in doubtful
    for edit in done.update:
        assert not edit.remark.has_reply
        assert not edit.remark.is_resolved
    assert all(edit.remark.is_settled for edit in done.reopen)


@settings(max_examples=100)
@given(situations)
def test_no_more_comments_than_there_is_room_for_and_the_worst_first(
    situation: tuple[list[Finding], list[Remark], int],
) -> None:
    found, there, room = situation
    done = planned(found, there, room)
    assert len(done.create) <= max(room, 0)
    order = [(not draft.finding.blocking, draft.finding.severity.rank) for draft in done.create]
    assert order == sorted(order)
    answered = {each.fingerprint for each in there if each.is_settled and each.has_reply}
    left_out = [each for each in done.rest if placeable(each) and each.fingerprint not in answered]
    if left_out and done.create:
        assert min((not each.blocking, each.severity.rank) for each in left_out) >= order[-1]
    assert not left_out or len(done.create) == max(room, 0)


def test_of_two_places_with_the_same_code_each_has_the_nearer_comment() -> None:
    one, two = finding(1, line=10, end_line=10), finding(1, line=50, end_line=50)
    there = [
        Remark(name, one.fingerprint, "app.py", line, False, False, False, WRITER.write(one, None))
        for name, line in (("late", 51), ("early", 9))
    ]
    assert [each.id for each in planned([two], there, 3).keep] == ["late"]
    assert [edit.remark.id for edit in planned([two], there, 3).resolve] == ["early"]
    assert planned([one, two], there, 3).is_all_keep


def test_a_plan_as_text_says_what_would_be_done_and_no_ci_system_obeys_it() -> None:
    hostile = finding(1, title="##[error]x\n::error::y\x1b[31m", path="a\n::b.py")
    old = Remark("1", "f" * 32, "app.py", 3, False, False, False, "")
    answered = Remark("2", "e" * 32, "app.py", 4, False, False, True, "")
    text = of_plan(planned([hostile, finding(4)], [old, answered], 1))
    assert text == (
        "would comment: a\\n::b.py:12: major: ##\\[error]x ::error::y\\x1b[31m [bug] "
        f"{hostile.short_id}\n"
        "would resolve: app.py:3: ffffffff\n"
        "would keep: app.py:4: eeeeeeee (answered)\n"
        f"would list in the summary: app.py:15: major: Division by zero (4) [bug] {finding(4).short_id}\n"
    )
    assert of_plan(Plan()) == "would post nothing\n"


# Marks, and lines


def test_a_mark_is_read_where_it_was_written_and_nowhere_else() -> None:
    mark = Mark("0" * 32)
    assert marks.of_remark(f"{mark}\nwords") == mark
    assert marks.of_remark(f"{replace_settled(mark)}\r\nwords") == Mark("0" * 32, is_settled=True)
    for wrong in (f" {mark}", f"x\n{mark}", str(mark).upper(), str(mark).replace("0", "g"), ""):
        assert marks.of_remark(wrong) is None
    assert marks.of_summary("<!-- kilo-review: summary abc 3 -->") == ("abc", 3)
    assert marks.of_summary(str(mark)) is None


def replace_settled(mark: Mark) -> Mark:
    return mark._replace(is_settled=True)


def test_lines_of_a_finding_are_those_that_a_forge_shows() -> None:
    places = Places(the_diff())
    spot = places.spot(finding(1, end_line=14))
    assert spot
    assert (spot.start, spot.line, spot.old_line, spot.is_left) == (12, 14, None, False)
    unchanged = places.spot(finding(1, line=20, end_line=25))
    assert unchanged
    assert (unchanged.line, unchanged.old_line) == (20, 13)
    assert places.spot(finding(1, line=21)) is None
    assert places.spot(finding(1, path="other.py")) is None
    assert Places(None).spot(finding(1)) is None


def test_more_context_than_a_forge_shows_takes_no_comment() -> None:
    far = "".join(f" line {number}\n" for number in range(1, 10))
    patch = f"--- a/app.py\n+++ b/app.py\n@@ -1,9 +1,10 @@\n{far}+new\n"
    places = Places(parse_patch(patch.encode()))
    assert places.spot(finding(1, line=6)) is None
    assert places.spot(finding(1, line=7))
    assert places.spot(finding(1, line=10))


def test_a_removed_line_of_a_deleted_file_is_found_on_the_old_side() -> None:
    patch = "diff --git a/app.py b/app.py\ndeleted file mode 100644\n--- a/app.py\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b = 1\n"
    places = Places(parse_patch(patch.encode()))
    gone = finding(1, line=0, end_line=0, evidence="b = 1")
    spot = places.spot(gone)
    assert spot
    assert (spot.line, spot.is_left) == (2, True)
    assert places.spot(gone._replace(evidence="c = 1")) is None


def test_a_renamed_file_has_both_names() -> None:
    patch = (
        "diff --git a/old.py b/app.py\nsimilarity index 90%\nrename from old.py\nrename to app.py\n"
        "--- a/old.py\n+++ b/app.py\n@@ -1 +1 @@\n-a\n+b\n"
    )
    places = Places(parse_patch(patch.encode()))
    assert places.old_paths("app.py") == {"app.py", "old.py"}
    spot = places.spot(finding(1, line=1, end_line=1))
    assert spot
    assert (spot.path, spot.old_path) == ("app.py", "old.py")
