"""Posting under bad conditions: what a run did not look at is not taken back, and what people wrote is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import forge
from kilo_review.core.errors import RefusedPlaceError
from kilo_review.core.finding import Category, Status
from kilo_review.core.outcome import Entry, State
from kilo_review.forge import marks
from kilo_review.forge.base import Draft, Place, Spot
from kilo_review.forge.client import Answer, Patience
from kilo_review.forge.diff_positions import Places
from kilo_review.forge.gitea import Gitea
from kilo_review.forge.plan import Writer, plan
from kilo_review.judge.policy import ExitCode
from kilo_review.report import FORMATS, renderer
from kilo_review.report.masking import mask_for, published
from kilo_review.report.view import View
from kilo_review.sanitize.markdown import SEPARATOR, for_markdown
from kilo_review.source.patch import parse_patch
from tests.support.fakes.forge import Fault, refused
from tests.support.fakes.github import FakeGitHub
from tests.support.fakes.gitlab import FakeGitLab
from tests.support.posting import connected, finding, outcome, post, the_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.finding import Finding

FIVE = [finding(number) for number in range(1, 6)]
DOWN = outcome([], state=State.NOT_REVIEWED, reason="the server is down")


def summary_of(fake: Any) -> str:
    client = connected(fake)
    try:
        return "".join(each.body for each in client.summaries())
    finally:
        client.close()


@pytest.mark.parametrize("kind", [FakeGitHub, FakeGitLab])
def test_a_run_that_saw_less_loses_nothing_of_the_summary(kind: Any) -> None:
    with kind(diff=the_diff()) as fake:
        post(fake, FIVE)
        assert all(f"zero ({number})" in summary_of(fake) for number in (4, 5))
        for _ in range(2):
            post(fake, DOWN)
            assert "not looked at in this one" in summary_of(fake)
            assert all(summary_of(fake).count(f"zero ({number})") == 1 for number in (4, 5))
        post(fake, [*FIVE[:3], FIVE[4]])
        told = summary_of(fake)
        assert ("zero (4)" in told, "zero (5)" in told, "earlier run" in told) == (False, True, False)


def test_what_has_a_word_of_its_own_now_is_not_carried_over() -> None:
    with FakeGitHub(diff=the_diff()) as fake:
        post(fake, FIVE)
        seen = outcome([FIVE[3]._replace(status=Status.DISMISSED, reason="no"), *FIVE[:3]])
        seen.failure = "a further part"
        post(fake, seen)
        assert ("zero (4)" in summary_of(fake), "zero (5)" in summary_of(fake)) == (False, True)


def test_a_name_that_a_file_had_in_between_may_be_what_was_not_looked_at() -> None:
    renamed = parse_patch(
        b"diff --git a/renamed.py b/renamed.py\nnew file mode 100644\n--- /dev/null\n+++ b/renamed.py\n@@ -0,0 +1,2 @@\n+a\n+b\n"
    )
    with FakeGitHub(diff=the_diff()) as fake:
        post(fake, FIVE[:1])
        now = outcome([])
        now.entries = [Entry("renamed.py", 1, 2, 2, 0, State.NOT_REVIEWED, "the server is down")]
        forge.post(View(now, ExitCode.NOT_REVIEWED), renamed, connected(fake), 3)
        assert len(fake.open_threads()) == 1
        now.entries = [Entry("renamed.py", 1, 2, 2, 0, State.REVIEWED)]
        forge.post(View(now, ExitCode.PASS), renamed, connected(fake), 3)
        assert not fake.open_threads()


@pytest.mark.parametrize(("status", "failures"), [(404, 0), (403, 1)])
def test_a_finding_whose_comment_cannot_be_reopened_stands_in_the_summary(status: int, failures: int) -> None:
    with FakeGitHub(diff=the_diff()) as fake:
        post(fake, FIVE[:1])
        post(fake, [])
        fake.faults.append(Fault("PATCH", "pulls/comments", refused(status, "no"), times=9))
        posted = post(fake, FIVE[:1])
        assert (len(posted.listed), len(posted.failures)) == (1, failures)
        assert "zero (1)" in summary_of(fake)


@pytest.mark.parametrize("kind", [FakeGitHub, FakeGitLab])
def test_a_settled_thread_that_was_answered_stays_as_it_is(kind: Any) -> None:
    with kind(diff=the_diff()) as fake:
        post(fake, FIVE[:1])
        post(fake, [])
        fake.reply(0, "No: by design.")
        before = fake.bodies()[0]
        posted = post(fake, FIVE[:1])
        assert (fake.bodies()[0], posted.reopened, len(posted.listed)) == (before, 0, 1)


def test_findings_on_no_line_are_counted() -> None:
    with FakeGitHub(diff=the_diff()) as fake:
        unplaced = [finding(number, status=Status.UNANCHORED, reason="not there") for number in (6, 7)]
        post(fake, [*FIVE, *unplaced])
        assert "2 that stand on no line of the change" in summary_of(fake)


def test_the_secret_that_a_finding_warns_of_is_masked_in_the_warning() -> None:
    secret = "Sup3rS3cret!x9"
    said = finding(1, evidence=f'password = "{secret}"', title=f"Hard-coded '{secret}'", message=f"`{secret}` is there")
    with FakeGitHub(diff=the_diff()) as fake:
        view = View(outcome([said]), ExitCode.BLOCKED, mask=mask_for([said], is_public=True))
        forge.post(view, the_diff(), connected(fake), 3)
        (body,) = fake.bodies()
        assert secret not in body
        assert r"Hard-coded 'Sup\[masked\]'" in body


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_server_quotes_in_its_errors_is_masked(form: str) -> None:
    secret = "AK" + "IAIOSFODNN7EXAMPLZ"
    told = outcome([finding(1, reason=f"it says {secret}")], state=State.NOT_REVIEWED, reason=f"failed ({secret})")
    told.failure, told.notes, told.next_step = f"a {secret}", [f"b {secret}"], f"c {secret}"
    mask = mask_for(told.findings, is_public=True)
    assert secret not in renderer(form)(View(published(told, mask), ExitCode.NOT_REVIEWED, mask=mask, verbosity=1))


@pytest.mark.parametrize("text", ["[work_item:1]", "[epic:group/5]", "[feature_flag:3]", "*iteration:1"])
def test_references_that_gitlab_looks_for_in_brackets_are_parted(text: str) -> None:
    sign, _, rest = for_markdown(f"see {text}").partition(SEPARATOR)
    assert sign == f"see \\{text[0]}"
    assert rest


# Gitea


class _Wire:
    """Answers as a Gitea whose user has comments of these kinds."""

    def __init__(self, reviews: list[dict[str, Any]], comments: list[dict[str, Any]], status: int = 200) -> None:
        self.reviews, self.comments, self.status = reviews, comments, status
        self.sent: list[tuple[str, str]] = []

    def send(self, method: str, path: str, *_: object, **__: object) -> Answer:
        self.sent.append((method, path.rpartition("/repos/o/r")[2]))
        return Answer(self.status if method == "POST" else 204, {}, b"{}")

    def said(self, _: Answer) -> str:
        return "no such line"

    def get(self, _: str) -> dict[str, int]:
        return {"id": 5}

    def pages(self, path: str, **_: object) -> list[dict[str, Any]]:
        return self.comments if path.endswith("/comments") else self.reviews


def gitea(wire: _Wire) -> Gitea:
    made: Any = Gitea(Place("gitea", "https://g/api/v1", "o/r", "7", "token", "a" * 40), Patience())
    made._wire = wire
    return made  # type: ignore[no-any-return]


def comment(number: int, told: Finding | None = None, **more: Any) -> dict[str, Any]:
    body = f"{marks.Mark(told.fingerprint)}\nwords" if told else "my own draft"
    return {"id": number, "path": "app.py", "position": 12, "user": {"id": 5}, "body": body, **more}


PENDING = {"id": 77, "state": "PENDING", "user": {"id": 5}, "body": "", "comments_count": 2}
DRAFT = Draft(finding(1), Spot("app.py", "app.py", 12, 12, False, None, "x"), "b")


def test_a_review_that_a_person_has_begun_is_neither_deleted_nor_sent_along() -> None:
    wire = _Wire([PENDING], [comment(900), comment(901, finding(1))])
    with pytest.raises(RefusedPlaceError, match="would be sent along"):
        gitea(wire).create([DRAFT])
    assert wire.sent == [("DELETE", "/issues/comments/901")]


def test_what_is_left_of_a_review_of_ours_is_deleted() -> None:
    wire = _Wire([PENDING], [comment(901, finding(1))])
    gitea(wire).create([DRAFT])
    assert wire.sent == [("DELETE", "/pulls/7/reviews/77"), ("POST", "/pulls/7/reviews")]


@pytest.mark.parametrize(
    ("resolver", "now", "steps"),
    [
        (9, (0,), []),
        (None, (1,), [("PATCH", "/issues/comments/1")]),
        (
            None,
            (),
            [
                ("PATCH", "/issues/comments/1"),
                ("POST", "/pulls/comments/2/resolve"),
                ("PATCH", "/issues/comments/2"),
            ],
        ),
    ],
    ids=["closed by a person", "one is gone", "both are gone"],
)
def test_a_conversation_is_closed_with_the_last_of_its_comments(
    resolver: int | None, now: Sequence[int], steps: list[tuple[str, str]]
) -> None:
    both = [finding(1), finding(1, category=Category.SECURITY, title="B")]
    closed = {"resolver": {"id": resolver}} if resolver else {}
    wire = _Wire([{"id": 1, "comments_count": 2}], [comment(1, both[0], **closed), comment(2, both[1])])
    client = gitea(wire)
    writer = Writer(lambda told, _: f"{marks.Mark(told.fingerprint)}\nwords", lambda _: "settled")
    remarks, found = client.remarks(), [both[at] for at in now]
    made = plan(found, remarks, Places(the_diff()).spot, writer, is_unseen=lambda _: False, room=3)
    for edit in made.resolve:
        client.resolve(edit.remark, edit.body)
    assert wire.sent == steps
