"""Posting to a GitHub and a GitLab that remember: nothing is lost, nothing is said twice, and people's words stay."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from cmarkgfm import github_flavored_markdown_to_html
from cmarkgfm.cmark import Options
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kilo_review import forge
from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import Entry, State
from kilo_review.forge.base import Spot
from kilo_review.forge.body import is_clean
from kilo_review.judge.policy import ExitCode
from kilo_review.report.view import View
from kilo_review.sanitize.markdown import SEPARATOR
from kilo_review.sanitize.secrets import masked
from tests.support.fakes.forge import OURS, READS, THEIRS, Fault, refused, with_headers
from tests.support.fakes.github import FakeGitHub
from tests.support.fakes.gitlab import FakeGitLab
from tests.support.posting import NOW, AnyFake, FakeOf, connected, finding, outcome, post, the_diff
from tests.support.renderers import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.forge.apply import Posted

KINDS = (FakeGitHub, FakeGitLab)
FIVE = [finding(number) for number in range(1, 6)]
LEFT = "more than what is left of 120 s"
MAKES_COMMENTS = {FakeGitHub: "/reviews", FakeGitLab: "/discussions"}
MAKES_SUMMARY = {FakeGitHub: "/issues/7/comments", FakeGitLab: "/notes"}


@pytest.fixture(params=KINDS, ids=["github", "gitlab"])
def fake(request: pytest.FixtureRequest) -> Iterator[AnyFake]:
    with request.param(diff=the_diff()) as there:
        yield there


def where(posted: Posted) -> list[str]:
    """The fingerprint of each finding, once for each place where it can be read."""
    told = posted.plan.told if posted.plan else ()
    return sorted(each.fingerprint for each in (*posted.created, *told, *posted.listed, *posted.unposted))


def all_of(findings: Sequence[Finding]) -> list[str]:
    return sorted(each.fingerprint for each in findings)


def fails(fake: AnyFake, places: dict[Any, str], response: Any, times: int = 9, method: str = "POST") -> None:
    fake.faults.append(Fault(method, places[type(fake)], response, times))


# Nothing is lost


def test_posting_that_fails_half_way_loses_nothing(fake: AnyFake) -> None:
    no = refused(403, "Resource not accessible by integration")
    fake.faults += [
        Fault("POST", "Division by zero (2)**", refused(422, "Unprocessable Entity")),
        Fault("POST", "Division by zero (3)**", no, times=9),
    ]
    fails(fake, MAKES_SUMMARY, no)
    posted = post(fake, FIVE)
    assert where(posted) == all_of(FIVE)
    assert [each.title for each in posted.unposted]
    assert any("may not" in failure and "needs" in failure for failure in posted.failures)
    fake.faults.clear()
    again = post(fake, FIVE)
    assert where(again) == all_of(FIVE)
    assert not again.unposted
    assert not again.failures
    assert len(fake.bodies()) == len(set(fake.bodies()))


@pytest.mark.parametrize("kind", KINDS, ids=["github", "gitlab"])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.long
def test_whatever_fails_each_finding_is_accounted_for_once_and_the_next_run_mends_it(
    kind: FakeOf, data: st.DataObject
) -> None:
    faults = st.builds(
        Fault,
        st.sampled_from(["POST", "GET", "PATCH", "PUT"]),
        st.sampled_from(["", "/reviews", "/discussions", "notes", "comments", "graphql", "user", "(2)", "(3)"]),
        st.sampled_from([refused(status, "no") for status in (400, 401, 403, 404, 422, 500, 502, 503)]),
        st.integers(1, 5),
        st.booleans(),
    )
    with kind(diff=the_diff()) as there:
        post(there, FIVE[: data.draw(st.integers(0, 5))])
        there.faults = data.draw(st.lists(faults, max_size=4))
        posted = post(there, FIVE)
        assert where(posted) == all_of(FIVE)
        there.faults.clear()
        mended = post(there, FIVE)
        assert where(mended) == all_of(FIVE)
        assert not mended.unposted
        assert not post(there, FIVE).created


def test_an_answer_that_gets_lost_does_not_make_comments_twice(fake: AnyFake) -> None:
    fake.faults.append(Fault("POST", MAKES_COMMENTS[type(fake)], refused(502, "Bad Gateway"), is_done=True))
    posted = post(fake, FIVE[:3])
    assert len(posted.created) == len(fake.bodies()) == 3
    assert not posted.failures


def test_of_two_comments_on_the_same_code_the_one_that_got_lost_is_made_again(fake: AnyFake) -> None:
    fake.faults.append(Fault("POST", '"new_line": 15', refused(502, "Bad Gateway")))
    fake.faults.append(Fault("POST", '"line": 15', refused(502, "Bad Gateway")))
    posted = post(fake, [finding(1), finding(1, line=15, end_line=15)])
    assert len(posted.created) == len(fake.bodies()) == 2
    assert not posted.failures


def test_a_summary_whose_answer_gets_lost_is_not_made_twice(fake: AnyFake) -> None:
    fake.faults.append(Fault("POST", MAKES_SUMMARY[type(fake)], refused(502, "Bad Gateway"), is_done=True))
    posted = post(fake, FIVE)
    assert len(posted.listed) == 2
    assert len(fake.comments) == 1


def test_a_forge_that_is_down_costs_one_sentence(fake: AnyFake) -> None:
    for method in ("GET", "POST"):
        fake.faults.append(Fault(method, "", refused(502, "Bad Gateway"), times=99))
    waits: list[float] = []
    posted = post(fake, FIVE, waits=waits)
    assert where(posted) == all_of(FIVE)
    assert posted.failures == [f"{posted.forge} keeps failing (502). Run the job again later"]
    assert waits == [1.0, 2.0, 4.0]
    assert f"posted to {posted.forge}: nothing new; 5 could not be posted" in posted.sentence


def test_nobody_there_costs_one_sentence_too(fake: AnyFake) -> None:
    client = connected(fake)
    fake.__exit__(None, None, None)
    try:
        posted = forge.post(View(outcome(FIVE), ExitCode.PASS), the_diff(), client)
    finally:
        fake.__enter__()
    assert len(posted.unposted) == 5
    (failure,) = posted.failures
    assert re.match(rf"cannot connect to {posted.forge} at http://127.0.0.1:\d+/api/v\d \(.*refused", failure)


# The story: new, again, fixed, found again


def test_a_second_run_says_nothing_new(fake: AnyFake) -> None:
    first = post(fake, FIVE)
    assert (len(first.created), len(first.listed)) == (3, 2)
    before = len(fake.writes())
    again = post(fake, FIVE)
    assert (len(again.created), again.kept, len(again.listed)) == (0, 3, 2)
    assert len(fake.writes()) == before
    assert len(fake.comments) == 1


def test_what_was_fixed_is_resolved_and_what_comes_back_is_reopened(fake: AnyFake) -> None:
    post(fake, FIVE[:3])
    fixed = post(fake, FIVE[1:3])
    assert (fixed.resolved, fixed.kept) == (1, 2)
    assert len(fake.open_threads()) == 2
    assert "**No longer found in `aaaaaaaaaaaa`.**" in fake.bodies()[0]
    assert post(fake, FIVE[1:3]).kept == 3
    back = post(fake, FIVE[:3])
    assert (back.reopened, len(back.created)) == (1, 0)
    assert len(fake.open_threads()) == 3
    assert "No longer found" not in fake.bodies()[0]


def test_a_thread_with_a_reply_is_kept_when_its_finding_is_gone_and_when_it_is_reworded(fake: AnyFake) -> None:
    post(fake, FIVE[:2])
    fake.reply(0, "This is meant so.")
    body = fake.bodies()[0]
    reworded = post(fake, [finding(1, message="Other words."), FIVE[1]])
    assert (reworded.kept, reworded.updated) == (2, 0)
    gone = post(fake, [])
    assert (gone.kept, gone.resolved) == (1, 1)
    assert len(fake.open_threads()) == 1
    assert fake.bodies()[0] == body


def test_a_reworded_finding_changes_its_comment_in_place(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    assert post(fake, [finding(1, message="Other words.")]).updated == 1
    assert "Other words." in fake.bodies()[0]


def test_a_thread_that_a_person_closed_stays_closed(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    if isinstance(fake, FakeGitHub):
        fake.threads[0]["isResolved"] = True
    else:
        fake.threads[0]["notes"][0]["resolved"] = True
    assert post(fake, FIVE[:1]).kept == 1
    assert not fake.open_threads()


def test_a_thread_that_a_person_opened_again_stays_open(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    post(fake, [])
    if isinstance(fake, FakeGitHub):
        fake.threads[0]["isResolved"] = False
    else:
        fake.threads[0]["notes"][0]["resolved"] = False
    assert post(fake, []).kept == 1
    assert len(fake.open_threads()) == 1


@pytest.mark.parametrize("state", [State.NOT_REVIEWED, State.SKIPPED, State.PLANNED])
def test_what_was_not_looked_at_is_not_resolved(fake: AnyFake, state: State) -> None:
    post(fake, FIVE[:2])
    posted = post(fake, outcome([], state=state, reason="the time limit passed"))
    assert (posted.resolved, posted.kept) == (0, 2)
    assert len(fake.open_threads()) == 2


def test_a_shard_knows_a_part_alone_and_resolves_nothing(fake: AnyFake) -> None:
    post(fake, FIVE[:2])
    share = outcome([])
    share.shard = (2, 4)
    assert post(fake, share).kept == 2


def test_a_report_that_was_tampered_with_cannot_write_marks(fake: AnyFake) -> None:
    forged = finding(1, known_as="x --> <b>@everyone</b> <!-- kilo-review: summary f 9 -->")
    assert len(post(fake, [forged, finding(2, line=500, known_as="@everyone")]).created) == 1
    for text in (*fake.bodies(), fake.comments[0]["body"]):
        assert "everyone" not in text
        assert text.count("-->") == 1
    assert post(fake, [forged]).kept == 1


@pytest.mark.parametrize("broken", ["failure", "interrupted"])
def test_a_run_that_did_not_see_everything_resolves_nothing(fake: AnyFake, broken: str) -> None:
    post(fake, FIVE[:2])
    partial = outcome([])
    setattr(partial, broken, broken == "interrupted" or "a part could not be listed")
    assert post(fake, partial).resolved == 0
    assert "reviewed" in fake.comments[0]["body"]


@pytest.mark.parametrize("status", [Status.UNVERIFIED, Status.UNANCHORED])
def test_a_doubtful_finding_neither_makes_a_comment_nor_takes_one_back(fake: AnyFake, status: Status) -> None:
    post(fake, FIVE[:1])
    posted = post(fake, [finding(1, status=status, reason="busy"), finding(2, status=status, reason="busy")])
    assert (len(posted.created), posted.resolved, posted.kept) == (0, 0, 1)


@pytest.mark.parametrize("status", [Status.DISMISSED, Status.SUPPRESSED, Status.BASELINE, Status.REFUTED])
def test_a_finding_that_somebody_took_out_of_the_count_is_resolved(fake: AnyFake, status: Status) -> None:
    post(fake, FIVE[:1])
    assert post(fake, [finding(1, status=status, reason="why")]).resolved == 1


def test_the_same_code_twice_has_two_comments(fake: AnyFake) -> None:
    twice = [finding(1), finding(1, line=15, end_line=15)]
    assert len({each.fingerprint for each in twice}) == 1
    assert len(post(fake, twice).created) == 2
    assert post(fake, twice).kept == 2
    assert post(fake, twice[1:]).resolved == 1
    assert len(fake.open_threads()) == 1


# Whose comments, and which


def test_a_mark_in_the_comment_of_somebody_else_means_nothing(fake: AnyFake) -> None:
    post(fake, FIVE[:2], token=THEIRS)
    theirs = fake.bodies()
    posted = post(fake, FIVE[:1])
    assert (len(posted.created), posted.kept, posted.resolved) == (1, 0, 0)
    assert fake.bodies()[:2] == theirs


def test_a_mark_further_down_in_a_comment_of_our_user_means_nothing(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    mark = fake.bodies()[0].split("\n")[0]
    echo = f"You wrote:\n{mark}"
    if isinstance(fake, FakeGitHub):
        fake.threads[0]["comments"][0]["body"] = echo
    else:
        fake.threads[0]["notes"][0]["body"] = echo
    assert len(post(fake, FIVE[:1]).created) == 1
    assert fake.bodies()[0] == echo


def test_the_worst_come_first_and_the_rest_stands_in_the_summary(fake: AnyFake) -> None:
    severities = [Severity.MINOR, Severity.CRITICAL, Severity.MAJOR, Severity.CRITICAL]
    found = [finding(number, severity) for number, severity in enumerate(severities, 1)]
    found[0] = finding(1, Severity.MINOR, blocking=True)
    posted = post(fake, found, most=2)
    assert [each.line for each in posted.created] == [12, 13]
    assert [each.line for each in posted.listed] == [15, 14]
    assert "app.py:15" in fake.comments[0]["body"]


def test_a_new_commit_makes_room_for_more_comments_and_a_second_run_does_not(fake: AnyFake) -> None:
    post(fake, FIVE)
    fake.head = "c" * 40
    client = connected(fake, head=fake.head)
    view = View(outcome(FIVE), ExitCode.PASS)
    assert len(forge.post(view, the_diff(), client).created) == 2
    assert len(forge.post(view, the_diff(), client).created) == 0


def test_lines_outside_of_the_diff_and_odd_paths_go_to_the_summary(fake: AnyFake) -> None:
    odd = [
        finding(1, line=300, end_line=300),
        finding(2, path="other.py"),
        finding(3, path="b\udcffd.py"),
        finding(4, line=0, end_line=0),
    ]
    posted = post(fake, odd, most=9)
    assert not posted.created
    assert len(posted.listed) == 4
    assert "b\\xffd.py:14" in fake.comments[0]["body"]


def test_an_unchanged_line_beside_the_change_takes_a_comment(fake: AnyFake) -> None:
    posted = post(
        fake, [finding(1, line=11, end_line=11, evidence="two = 2"), finding(2, line=20, evidence="last = 4")]
    )
    assert len(posted.created) == 2
    assert not posted.listed


def test_a_line_that_the_forge_refuses_goes_to_the_summary_and_the_others_stay(fake: AnyFake) -> None:
    fake.faults.append(Fault("POST", "Division by zero (2)**", refused(422, "line must be part of the diff"), times=9))
    posted = post(fake, FIVE[:3])
    assert [each.line for each in posted.created] == [12, 14]
    assert [each.line for each in posted.listed] == [13]
    assert posted.notes == [f"{posted.forge} takes no comment there (line must be part of the diff)"]
    assert not posted.failures


def test_three_comments_are_one_message_on_github() -> None:
    with FakeGitHub(diff=the_diff()) as fake:
        post(fake, FIVE[:3])
        assert (fake.reviews, len(fake.threads)) == (1, 3)


def test_a_clean_review_says_nothing_where_nothing_was_said_before(fake: AnyFake) -> None:
    assert (
        post(fake, []).sentence == f"posted to {('GitHub' if isinstance(fake, FakeGitHub) else 'GitLab')}: nothing new"
    )
    assert not fake.writes()
    post(fake, FIVE)
    post(fake, [])
    assert "### kilo-review: no findings" in fake.comments[0]["body"]


def test_what_was_not_reviewed_stands_in_the_summary(fake: AnyFake) -> None:
    post(fake, outcome([], state=State.NOT_REVIEWED, reason="the model did not answer"))
    body = fake.comments[0]["body"]
    assert "### kilo-review: not reviewed" in body
    assert "- 1 hunk in 1 file: the model did not answer\n  - `app.py:10-20`" in body


def test_two_summaries_become_one(fake: AnyFake) -> None:
    post(fake, FIVE)
    body = fake.comments[0]["body"]
    with closing(connected(fake)) as client:
        client.summarise(body, None)
    assert len(fake.comments) == 2
    post(fake, FIVE[:4])
    assert len(fake.comments) == 1


def test_a_summary_that_somebody_deletes_meanwhile_is_made_anew(fake: AnyFake) -> None:
    post(fake, FIVE)
    missing = refused(404, "Not Found")
    fake.faults += [Fault("PATCH", "/issues/comments/", missing), Fault("PUT", "merge_requests/7/notes/", missing)]
    posted = post(fake, FIVE[:4])
    assert len(posted.listed) == 1
    assert len(fake.comments) == 2
    assert not posted.failures


def test_a_dry_run_changes_nothing(fake: AnyFake) -> None:
    client = connected(fake)
    posted = forge.post(View(outcome(FIVE), ExitCode.PASS), the_diff(), client, dry_run=True)
    assert posted.plan
    assert len(posted.plan.create) == 3
    assert not fake.writes()


# What the forge says no to


def test_a_token_that_only_reads_is_told_what_it_lacks(fake: AnyFake) -> None:
    posted = post(fake, FIVE, token=READS)
    assert len(posted.unposted) == 5
    (failure,) = posted.failures
    assert re.search(r"the token may not do that on Git.*403.*needs", failure)
    assert READS not in failure


def test_a_token_that_is_unknown_is_told_so(fake: AnyFake) -> None:
    posted = post(fake, FIVE, token="unknown-token")
    (failure,) = posted.failures
    assert "does not accept the token (401" in failure
    assert "unknown-token" not in failure


def test_a_token_that_the_forge_repeats_is_not_shown(fake: AnyFake) -> None:
    for method in ("GET", "POST"):
        fake.faults.append(Fault(method, "", refused(418, f"what is {OURS}\u202e\x1b[31m?"), times=9))
    (failure,) = post(fake, FIVE).failures
    assert "what is ***\\u202e\\x1b[31m?" in failure
    assert OURS not in failure


def test_a_locked_conversation_is_told_and_the_findings_come_back(fake: AnyFake) -> None:
    fake.locked = True
    posted = post(fake, FIVE)
    assert len(posted.unposted) == 5
    (failure,) = posted.failures
    assert "is locked" in failure


def test_a_request_that_is_closed_gets_nothing(fake: AnyFake) -> None:
    fake.is_open = False
    posted = post(fake, FIVE)
    assert posted.sentence == f"nothing was posted to {posted.forge}: the pull or merge request is not open"
    assert len(posted.unposted) == 5
    assert not fake.writes()


def test_a_run_of_an_old_commit_gets_out_of_the_way(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    fake.head = "c" * 40
    before = len(fake.writes())
    posted = post(fake, [])
    assert posted.nothing == "it has moved on from aaaaaaaaaaaa to cccccccccccc, whose own run posts"
    assert len(fake.writes()) == before


def test_a_token_that_may_not_close_threads_marks_them(fake: AnyFake) -> None:
    post(fake, FIVE[:2])
    if isinstance(fake, FakeGitHub):
        fake.contents_write = False
    else:
        fake.may_resolve = False
    posted = post(fake, FIVE[:1])
    assert posted.resolved == 1
    assert len(posted.notes) == 1
    assert "No longer found" in fake.bodies()[1]
    if isinstance(fake, FakeGitHub):
        assert fake.minimized == {fake.threads[1]["comments"][0]["id"]}
    assert post(fake, FIVE[:1]).kept == 2
    assert post(fake, FIVE[:2]).reopened == 1
    assert "No longer found" not in fake.bodies()[1]


def test_a_comment_that_somebody_deletes_meanwhile_is_no_failure(fake: AnyFake) -> None:
    post(fake, FIVE[:1])
    for method in ("PATCH", "PUT"):
        fake.faults.append(Fault(method, "", refused(404, "Not Found"), times=9))
    posted = post(fake, [])
    assert not posted.failures


# Limits


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (with_headers(refused(429, "slow down"), Retry_After="7"), 7),
        (with_headers(refused(403, "You have exceeded a secondary rate limit"), Retry_After="9"), 9),
        (refused(403, "You have exceeded a secondary rate limit. Please wait"), 60),
        (
            with_headers(refused(429, "API rate limit exceeded"), X_RateLimit_Remaining="0", X_RateLimit_Reset="RESET"),
            31,
        ),
        (with_headers(refused(429, "limit"), RateLimit_Remaining="0", RateLimit_Reset="RESET"), 31),
        (refused(422, "was submitted too quickly"), 60),
    ],
)
def test_a_limit_is_waited_for(fake: AnyFake, response: Any, seconds: float) -> None:
    reset = str(NOW + 30)
    headers = {name: value.replace("RESET", reset) for name, value in response.headers}
    fails(fake, MAKES_COMMENTS, with_headers(response, **headers), times=1)
    waits: list[float] = []
    posted = post(fake, FIVE[:2], waits=waits)
    assert len(posted.created) == 2
    assert waits == [seconds]
    assert not posted.failures


def test_a_limit_that_lasts_too_long_is_told(fake: AnyFake) -> None:
    fails(fake, MAKES_COMMENTS, with_headers(refused(429, "slow down"), Retry_After="3600"))
    waits: list[float] = []
    posted = post(fake, FIVE[:2], waits=waits)
    assert waits == []
    assert posted.failures == [
        f"{posted.forge} limits how much may be asked (429) and wants 3600 s of waiting, {LEFT}. Run the job again later"
    ]
    assert len(posted.listed) == 2  # the summary is another kind of comment, and went through


def test_many_comments_are_read_page_by_page(fake: AnyFake) -> None:
    found = [finding(number) for number in range(1, 9)]
    fake.page = 1
    assert len(post(fake, found, most=8).created) == 8
    assert post(fake, found, most=8).kept == 8


def test_a_summary_keeps_the_length_that_the_forge_allows() -> None:
    found = [finding(1, line=300 + n, title="x" * 120, message="@everyone " * 100) for n in range(400)]
    with FakeGitHub(diff=the_diff()) as fake:
        posted = post(fake, found)
        body = fake.comments[0]["body"]
        assert not posted.failures
        assert 60_000 < len(body) <= 65_536
        shown = body.count("app.py:")
        assert f"and {400 - shown} more findings that do not fit here" in body


def test_thousands_of_hunks_that_were_not_reviewed_fit_too() -> None:
    missing = outcome([finding(1, line=900)])
    missing.entries = [Entry(f"f{n}.py", 1, 9, 9, 0, State.NOT_REVIEWED, f"reason {n}") for n in range(3000)]
    with FakeGitHub(diff=the_diff()) as fake:
        assert not post(fake, missing).failures
        assert len(fake.comments[0]["body"]) <= 65_536


# What is said


def test_words_of_the_model_are_text_and_secrets_are_masked(fake: AnyFake) -> None:
    key = "AKIAZ3MZQ7R4WXYTLKPD"
    words = "@everyone see https://evil.example /close <img src=x> ![](http://x) #1"
    hostile = [finding(1, title=f"{words} {key}", message=f"/merge\n{words} {key}"), finding(2, line=400, title=key)]
    post(fake, hostile, mask=masked)
    (remark,), (summary,) = fake.bodies(), fake.comments
    for text in (remark, summary["body"]):
        assert key not in text
        assert "AKIA\\[masked\\]" in text
        assert not re.search(r"@everyone|https://|<img|^/", text, re.MULTILINE)


def test_a_clean_replacement_is_a_suggestion_that_can_be_applied(fake: AnyFake) -> None:
    several = finding(
        1, end_line=13, evidence="\n".join(finding(n).evidence for n in (1, 2)), suggestion="a = 1\n```\n"
    )
    post(fake, [several, finding(4, suggestion="    value = 1")])
    one, two = sorted(fake.bodies(), key=lambda body: "a = 1" not in body)
    info = ("suggestion", "suggestion") if isinstance(fake, FakeGitHub) else ("suggestion:-1+0", "suggestion:-0+0")
    assert f"\n````{info[0]}\na = 1\n```\n````\n" in one
    assert f"\n```{info[1]}\n    value = 1\n```\n" in two


@pytest.mark.parametrize(
    "changed",
    [
        {"suggestion": "x = 1", "evidence": "value_1 = total"},  # not the whole line
        {"suggestion": "x = 1", "end_line": 13},  # not exactly these lines
        {"suggestion": "x = 'a\u202eb'"},
        {"suggestion": "x = 1\r\n\x1b[0m"},
        {"suggestion": "x = 1\n/close"},
        {"suggestion": "@dependabot merge"},
        {"suggestion": "KEY = 'AKIAZ3MZQ7R4WXYTLKPD'"},
    ],
)
def test_what_is_no_clean_replacement_cannot_be_applied(fake: AnyFake, changed: dict[str, Any]) -> None:
    post(fake, [finding(1, **changed)], mask=masked)
    assert "suggestion" not in fake.bodies()[0]
    assert "AKIAZ3MZQ7R4WXYTLKPD" not in fake.bodies()[0]
    assert not re.search(r"^[/@]", fake.bodies()[0], re.MULTILINE)


def test_a_file_with_other_line_ends_takes_no_suggestion() -> None:
    spot = Spot("app.py", "app.py", 12, 12, False, None, "value = 1\r")
    assert not is_clean("value = 2", finding(1, evidence="value = 1\r"), spot)
    assert is_clean("value = 2", finding(1, evidence="value = 1"), spot._replace(text="value = 1"))


@pytest.mark.parametrize(
    "words", ["@everyone", "[x](https://evil.example)", "<script>", "![](x)", "`a` | b", "- a\n\n# b"]
)
def test_a_comment_is_rendered_as_text_and_its_mark_is_not_seen(fake: AnyFake, words: str) -> None:
    post(fake, [finding(1, title=words, message=words, rule=words), finding(2, path=f"{words}.py", title=words)])
    for body in (fake.bodies()[0], fake.comments[0]["body"]):
        html = github_flavored_markdown_to_html(body, options=Options.CMARK_OPT_UNSAFE)
        page = Page(html.replace(body.split("\n")[0], SEPARATOR))
        names = {tag[0] for tag in page.tags if isinstance(tag, tuple)}
        assert names <= {"p", "strong", "sub", "h3", "ul", "li", "code"}
        assert " ".join(words.split()) in page.text
        assert "kilo-review:" not in page.text.replace("kilo-review: 2 findings", "")
