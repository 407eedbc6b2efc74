"""Posting to a real Gitea: new, again, fixed, found again, answered; with the scopes that docs/posting.md asks for."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from kilo_review import forge
from kilo_review.core.errors import RefusedPlaceError
from kilo_review.forge import gitea as client
from kilo_review.forge.base import Draft
from kilo_review.forge.client import Patience
from kilo_review.forge.diff_positions import Places
from kilo_review.judge.policy import ExitCode
from kilo_review.report.view import View
from kilo_review.source import ci_environment
from kilo_review.source.patch import parse_patch
from tests.conftest import needs
from tests.support import posting
from tests.support.fakes.base import Call, Fake, Response
from tests.support.gitea import Gitea, gitea
from tests.support.posting import finding, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kilo_review.core.finding import Finding
    from kilo_review.forge.apply import Posted
    from kilo_review.forge.base import Forge
    from kilo_review.source.diff import Diff
    from tests.conftest import Repo

SCOPES = "write:repository,write:issue,read:user"
FOUR = [finding(number) for number in range(1, 5)]


class Server(NamedTuple):
    """A Gitea with three people: who proposes, who reviews, and who answers."""

    gitea: Gitea
    author: str
    bot: str
    reader: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    binary = needs("gitea", variable="KILO_TEST_GITEA")
    with gitea(binary, tmp_path_factory.mktemp("gitea")) as started:
        for name in ("author", "bot", "reader"):
            started.user(name)
        yield Server(started, started.token("author"), started.token("bot", SCOPES), started.token("reader"))


class Request(NamedTuple):
    """A pull request on it."""

    server: Server
    repo: Repo
    name: str
    url: str

    def ask(self, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self.server.gitea.ask(token, method, f"/repos/author/{self.name}{path}", body)

    def push(self, content: str) -> None:
        self.repo.commit("change", app__py=content)
        self.pushed()

    def pushed(self) -> None:
        """Push, and wait until the server has taken notice: it does so in the background."""
        self.repo.git("push", "-q", "origin", "HEAD:feature")
        for _ in range(300):
            try:
                pulls = self.ask(self.server.author, "GET", "/pulls?state=all")
                seen = self.ask(self.server.author, "GET", "/branches/feature")["commit"]["id"]
            except urllib.error.HTTPError:
                seen, pulls = "", []
            if {seen, *(pull["head"]["sha"] for pull in pulls)} == {self.head}:
                return
            time.sleep(0.1)
        raise AssertionError("the server does not see what was pushed")

    @property
    def head(self) -> str:
        return self.repo.out("rev-parse", "HEAD")

    def diff(self) -> Diff:
        return parse_patch(self.repo.git("diff", "main", "HEAD").stdout)

    def environment(self, token: str) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITEA_ACTIONS": "true",
            "GITHUB_SERVER_URL": self.url,
            "GITHUB_REPOSITORY": f"author/{self.name}",
            "KILO_REVIEW_FORGE_TOKEN": token,
        }

    def client(self, token: str = "") -> Forge:
        environment = self.environment(token or self.server.bot)
        pipeline = ci_environment.detect(environment)._replace(is_proposal=True, number="1")
        return forge.connect(environment, pipeline, self.head)

    def post(self, findings: Sequence[Finding], most: int = 3, token: str = "") -> Posted:
        view = View(outcome(findings), ExitCode.PASS)
        return forge.post(view, self.diff(), self.client(token), most)

    def reviews(self) -> list[dict[str, Any]]:
        found = self.ask(self.server.author, "GET", "/pulls/1/reviews?limit=50")
        return [each for each in found if each["user"]["login"] == "bot"]

    def comments(self) -> list[dict[str, Any]]:
        """The reviewer's comments on lines, by line."""
        found = [
            comment
            for review in self.reviews()
            for comment in self.ask(self.server.author, "GET", f"/pulls/1/reviews/{review['id']}/comments")
        ]
        return sorted((each for each in found if each["user"]["login"] == "bot"), key=lambda each: each["position"])

    def of(self, wanted: Finding) -> dict[str, Any]:
        """The one comment on a finding."""
        (found,) = (each for each in self.comments() if wanted.fingerprint in each["body"])
        return found

    def summaries(self) -> list[str]:
        return [each["body"] for each in self.ask(self.server.author, "GET", "/issues/1/comments")]


def code(*numbers: int) -> str:
    before = "".join(f"line_{number}\n" for number in range(1, 10))
    return f"{before}one = 1\ntwo = 2\n{''.join(posting.CODE[number - 1] + chr(10) for number in numbers)}last = 4\n"


@pytest.fixture
def request_(server: Server, make_repo: Callable[..., Repo]) -> Request:
    """A pull request that adds the eight lines of `tests.support.posting`."""
    names = iter(range(1, 100))
    repo = make_repo("work")
    name = f"tool-{repo.path.parent.name}-{next(names)}"
    server.gitea.ask(server.author, "POST", "/user/repos", {"name": name, "default_branch": "main"})
    made = Request(server, repo, name, server.gitea.url)
    made.ask(server.author, "PUT", "/collaborators/bot", {"permission": "write"})
    repo.git(
        "remote", "add", "origin", f"{server.gitea.url.replace('://', f'://author:{server.author}@')}/author/{name}.git"
    )
    repo.commit("first", app__py=code())
    repo.git("push", "-q", "origin", "main")
    repo.git("checkout", "-q", "-b", "feature")
    made.push(code(*range(1, 9)))
    made.ask(server.author, "POST", "/pulls", {"head": "feature", "base": "main", "title": "A change"})
    return made


def test_new_again_answered_fixed_and_found_again(request_: Request) -> None:
    pull = request_
    first = pull.post(FOUR)
    assert not first.failures
    assert (len(first.created), len(first.listed)) == (3, 1)
    assert [comment["position"] for comment in pull.comments()] == [12, 13, 14]
    assert len(pull.reviews()) == 1, "three comments are one message"
    assert "app.py:15" in pull.summaries()[0]

    again = pull.post(FOUR)
    assert (len(again.created), again.kept, len(again.listed)) == (0, 3, 1)
    assert (len(pull.comments()), len(pull.summaries())) == (3, 1)

    answer = {"path": "app.py", "body": "This is meant so.", "new_position": 12}
    pull.ask(pull.server.reader, "POST", "/pulls/1/reviews", {"event": "COMMENT", "comments": [answer]})
    pull.push(code(3, 4, 5, 6, 7, 8))
    fixed = pull.post([each._replace(line=each.line - 2, end_line=each.line - 2) for each in FOUR[2:]])
    assert not fixed.failures
    assert (fixed.kept, fixed.resolved, len(fixed.created)) == (2, 1, 1)
    answered, gone, *others = (pull.of(each) for each in FOUR)
    assert gone["resolver"]["login"] == "bot"
    assert "**No longer found in" in gone["body"]
    assert answered["resolver"] is None
    assert "No longer found" not in answered["body"]
    assert [each["resolver"] for each in others] == [None, None]
    assert "Findings without a comment" not in pull.summaries()[0]

    pull.push(code(*range(1, 9)))
    back = pull.post(FOUR)
    assert not back.failures
    assert (back.reopened, len(back.created), back.resolved) == (1, 0, 0)
    assert {comment["resolver"] and comment["resolver"]["login"] for comment in pull.comments()} == {None}


def test_many_reviews_are_read_page_by_page(request_: Request) -> None:
    pull = request_
    for number in range(1, 6):
        pull.post([finding(each) for each in range(1, number + 1)], most=number)
    assert len(pull.reviews()) == 5
    assert pull.post([finding(each) for each in range(1, 6)]).kept == 5


def test_a_removed_line_of_a_deleted_file_takes_a_comment(request_: Request) -> None:
    pull = request_
    pull.repo.git("rm", "-q", "app.py")
    pull.repo.commit("gone")
    pull.pushed()
    posted = pull.post([finding(1, line=0, end_line=0, evidence="two = 2")])
    assert len(posted.created) == 1
    (comment,) = pull.comments()
    assert comment["original_position"] == 11
    assert pull.post([finding(1, line=0, end_line=0, evidence="two = 2")]).kept == 1


def test_what_is_refused_leaves_nothing_waiting(request_: Request) -> None:
    pull = request_
    spot = Places(pull.diff()).spot(FOUR[0])
    assert spot
    place = replace(pull.client().place, head="d" * 40)
    with closing(client.Gitea(place, Patience())) as wrong, pytest.raises(RefusedPlaceError):
        wrong.create([Draft(FOUR[0], spot, "text")])
    assert pull.reviews() == []
    assert len(pull.post(FOUR[:1]).created) == 1
    assert len(pull.comments()) == 1


def test_a_token_without_the_scopes_is_told_which(request_: Request) -> None:
    token = request_.server.gitea.token("bot", "read:repository,read:issue,read:user")
    posted = request_.post(FOUR, token=token)
    assert len(posted.unposted) == 4
    for failure in posted.failures:
        assert failure.startswith("the token may not do that on Gitea (403")
        assert "The token needs the scopes write:repository, write:issue and read:user" in failure


def test_a_request_that_is_closed_gets_nothing(request_: Request) -> None:
    request_.ask(request_.server.author, "PATCH", "/pulls/1", {"state": "closed"})
    assert request_.post(FOUR).nothing == "the pull or merge request is not open"


def test_a_locked_conversation_is_told(request_: Request) -> None:
    request_.ask(request_.server.author, "DELETE", "/collaborators/bot")
    request_.ask(request_.server.author, "PUT", "/issues/1/lock", {"lock_reason": "spam"})
    posted = request_.post(FOUR, most=0)
    assert len(posted.unposted) == 4
    (failure,) = posted.failures
    assert "lock" in failure


def test_a_user_who_may_only_read_marks_what_it_may_not_close(request_: Request) -> None:
    pull = request_
    pull.ask(pull.server.author, "DELETE", "/collaborators/bot")
    assert len(pull.post(FOUR[:1]).created) == 1
    posted = pull.post([])
    assert not posted.failures
    (note,) = posted.notes
    assert note.startswith("comments are marked as no longer found, but not closed: the token may not do that")
    assert "No longer found" in pull.of(FOUR[0])["body"]
    assert pull.post([]).kept == 1
    assert pull.post(FOUR[:1]).reopened == 1


class Older(Fake):
    """The same Gitea as it was before 1.26, and as Forgejo is: conversations cannot be closed."""

    behind = ""

    def respond(self, call: Call) -> Response:
        if call.path.endswith("resolve"):
            return Response(404, pieces=[b'{"message": "Not Found"}'])
        query = f"?{call.query}" if call.query else ""
        request = urllib.request.Request(
            f"{self.behind}{call.path}{query}",
            method=call.method,
            data=call.raw or None,
            headers={"Authorization": call.headers["authorization"], "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Response(answer.status, pieces=[answer.read()])
        except urllib.error.HTTPError as error:
            return Response(error.code, pieces=[error.read()])


def test_where_conversations_cannot_be_closed_an_unanswered_comment_is_deleted(request_: Request) -> None:
    with Older() as older:
        older.behind = request_.server.gitea.url
        pull = request_._replace(url=older.url)
        pull.post(FOUR[:2])
        answer = {"path": "app.py", "body": "This is meant so.", "new_position": 12}
        pull.ask(pull.server.reader, "POST", "/pulls/1/reviews", {"event": "COMMENT", "comments": [answer]})
        posted = pull.post([])
        assert not posted.failures
        assert (posted.resolved, posted.kept) == (1, 1)
        assert [comment["position"] for comment in pull.comments()] == [12]
