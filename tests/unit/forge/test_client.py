"""The wire to a forge: the token goes to one address, and nothing that an answer says makes us do anything."""

from __future__ import annotations

import gzip
import ssl
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from kilo_review import forge
from kilo_review.core.errors import ConfigError, ForgeError
from kilo_review.forge.client import Patience, Wire, trusted
from kilo_review.forge.gitea import Gitea
from kilo_review.forge.github import GitHub
from kilo_review.forge.gitlab import GitLab
from kilo_review.forge.pull_request import checked, place_of
from kilo_review.forge.retry import limited_for
from kilo_review.judge.policy import ExitCode
from kilo_review.report.view import View
from kilo_review.source.ci_environment import Pipeline
from tests.support.fakes.base import Call, Decoy, Fake, Response, as_json
from tests.support.fakes.clients import PROXY_VARIABLES
from tests.support.fakes.forge import OURS, Fault, with_headers
from tests.support.fakes.github import FakeGitHub
from tests.support.posting import connected, finding, outcome, post, the_diff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kilo_review.forge.base import Forge, Place

RUN = Pipeline("github", "pull_request", is_proposal=True, number="7", head="a" * 40)
SECRET = "ghp_notforanyone1234567890"


class Answers(Fake):
    """Answers everything in one way."""

    says: Callable[[Call], Response]

    def respond(self, call: Call) -> Response:
        return self.says(call)


def place(url: str, **changed: str) -> Place:
    environment = {"GITHUB_API_URL": url, "GITHUB_REPOSITORY": "org/tool", "GITHUB_TOKEN": SECRET}
    return replace(place_of(environment, RUN, ""), **changed)


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as fake:
        yield fake


def wire(fake: Fake) -> Wire:
    return Wire(
        "GitHub", place(fake.url), {"Authorization": f"Bearer {SECRET}"}, "Scopes", Patience(sleep=lambda _: None)
    )


def error_of(fake: Answers, says: Callable[[Call], Response], method: str = "GET") -> ForgeError:
    fake.says = says
    client = wire(fake)
    try:
        with pytest.raises(ForgeError) as caught:
            client.send(method, "/x")
    finally:
        client.close()
    assert SECRET not in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_a_redirect_is_an_error_and_nobody_else_gets_the_token(answers: Answers) -> None:
    with Decoy() as elsewhere:
        there = elsewhere.url
        error = error_of(answers, lambda _: with_headers(as_json({}, 302), Location=f"{there}/?t={SECRET}"))
        assert f"redirects to {there}/?t=***, which was not followed" in error.message
        assert len(answers.calls) == 1
        error_of(answers, lambda _: with_headers(as_json({}, 302), Location=f"{there}/{SECRET}\x1b[31m"))
        assert elsewhere.calls == []


def test_a_next_page_on_another_host_is_not_visited(answers: Answers) -> None:
    with Decoy() as elsewhere:
        link = f'<{elsewhere.url}/x?page=2>; rel="next"'

        def says(call: Call) -> Response:
            page = int(call.query.rpartition("page=")[2])
            return with_headers(as_json([{"id": page}]), **({"Link": link} if page < 3 else {"Link": ""}))

        answers.says = says
        client = wire(answers)
        assert client.pages("/x", size=1, parameter="limit") == [{"id": 1}, {"id": 2}, {"id": 3}]
        client.close()
        assert elsewhere.calls == []


def test_a_listing_without_an_end_ends(answers: Answers) -> None:
    answers.says = lambda _: as_json([{"id": 1}])
    client = wire(answers)
    assert client.pages("/x", size=1, parameter="limit") == [{"id": 1}]
    numbers = iter(range(10_000))
    answers.says = lambda _: as_json([{"id": next(numbers)}])
    with pytest.raises(ForgeError, match="more than 200 pages"):
        client.pages("/x", size=1, parameter="limit")
    client.close()


def test_a_total_tells_that_there_is_more(answers: Answers) -> None:
    def says(call: Call) -> Response:
        page = call.query.rpartition("page=")[2]
        return with_headers(as_json([{"id": page}]), X_Total_Count="2")

    answers.says = says
    client = wire(answers)
    assert len(client.pages("/x", size=50, parameter="limit")) == 2
    client.close()


def test_a_whole_address_on_another_host_is_refused(answers: Answers) -> None:
    client = wire(answers)
    with pytest.raises(ForgeError, match="the token was not sent there"):
        client.send("GET", "https://elsewhere.example/graphql")
    assert answers.calls == []


def test_what_was_packed_is_not_unpacked(answers: Answers) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    error = error_of(answers, lambda _: Response(200, pieces=[bomb], headers=(("Content-Encoding", "gzip"),)))
    assert "in the encoding 'gzip', which was not asked for" in error.message
    assert answers.calls[0].headers["accept-encoding"] == "identity"


def test_an_answer_without_an_end_is_cut(answers: Answers) -> None:
    piece = b"x" * (1 << 20)
    error = error_of(answers, lambda _: Response(200, pieces=[piece] * 20, is_stream=True))
    assert "an answer without an end" in error.message


def test_a_connection_that_breaks_is_told(answers: Answers) -> None:
    error = error_of(answers, lambda _: Response(200, pieces=[b"x"], is_stream=True, ending="cut"))
    assert "the connection to GitHub broke" in error.message
    assert len(answers.calls) == 4


def test_what_is_written_is_not_written_again_after_a_broken_connection(answers: Answers) -> None:
    error_of(answers, lambda _: Response(200, pieces=[b"x"], is_stream=True, ending="cut"), method="POST")
    assert len(answers.calls) == 1


def test_proxies_of_the_environment_see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Decoy() as proxy, FakeGitHub(diff=the_diff()) as fake:
        for name in PROXY_VARIABLES:
            monkeypatch.setenv(name, proxy.url)
        assert len(post(fake, [finding(1)]).created) == 1
        assert proxy.calls == []


def test_something_else_than_the_interface_is_told(answers: Answers) -> None:
    answers.says = lambda _: Response(200, "text/html", [b"<html>Sign in</html>"])
    for system in ("github", "gitlab", "gitea"):
        environment = {
            "KILO_REVIEW_FORGE": system,
            "KILO_REVIEW_FORGE_URL": answers.url,
            "KILO_REVIEW_FORGE_REPOSITORY": "org/tool",
            "KILO_REVIEW_FORGE_TOKEN": SECRET,
        }
        client = forge.connect(environment, RUN, patience=Patience(sleep=lambda _: None))
        posted = forge.post(View(outcome([finding(1)]), ExitCode.PASS), the_diff(), client)
        assert len(posted.unposted) == 1
        (failure,) = posted.failures
        assert ("no pull request 7" if system == "github" else "with something else than an object") in failure
        assert posted.nothing == ""


def test_the_token_is_not_shown(answers: Answers) -> None:
    with FakeGitHub(diff=the_diff()) as fake:
        client = connected(fake)
        assert OURS not in repr(client.place)
        assert OURS not in repr(vars(client))
        fake.faults.append(Fault("POST", "", as_json({"message": f"bad {OURS}"}, 400), times=99))
        posted = post(fake, [finding(1)])
        assert posted.failures
        assert OURS not in repr(posted)


def test_a_certificate_of_nobody_is_refused(tmp_path: Path, answers: Answers) -> None:
    client = Wire("GitHub", place("https://127.0.0.1:9", authority=str(tmp_path / "none.pem")), {}, "Scopes")
    with pytest.raises(ForgeError, match=r"the certificates .* cannot be read"):
        client.send("GET", "/x")


@pytest.mark.long
def test_an_authority_of_ones_own_is_believed_beside_the_usual_ones(tmp_path: Path) -> None:
    authority, file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    with Answers(tls=server_side) as answers:
        answers.says = lambda _: as_json({"ok": 1})
        there = place(answers.url.replace("http://127.0.0.1", "https://localhost"), authority=str(file))
        with closing(Wire("GitHub", there, {}, "Scopes")) as client:
            assert client.send("GET", "/x").json() == {"ok": 1}
        stranger = Wire("GitHub", replace(there, authority=""), {}, "Scopes")
        with closing(stranger), pytest.raises(ForgeError, match="certificate"):
            stranger.send("GET", "/x")
    context = trusted(there)
    assert isinstance(context, ssl.SSLContext)
    assert len(context.get_ca_certs()) > 1


# Where, and with which token


@pytest.mark.parametrize(
    ("environment", "system", "api", "repository"),
    [
        ({"GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "t"}, "github", "https://api.github.com", "a/b"),
        (
            {"GITHUB_API_URL": "https://ghe.example/api/v3", "GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "t"},
            *("github", "https://ghe.example/api/v3", "a/b"),
        ),
        (
            {"GITHUB_SERVER_URL": "https://git.example/", "GITHUB_REPOSITORY": "a/b", "GITEA_TOKEN": "t"},
            *("gitea", "https://git.example/api/v1", "a/b"),
        ),
        (
            {"GITHUB_API_URL": "https://git.example/x/api/v1", "GITHUB_REPOSITORY": "a/b", "FORGEJO_TOKEN": "t"},
            *("gitea", "https://git.example/x/api/v1", "a/b"),
        ),
        (
            {"CI_API_V4_URL": "https://lab.example/api/v4", "CI_PROJECT_ID": "5", "GITLAB_TOKEN": "t"},
            *("gitlab", "https://lab.example/api/v4", "5"),
        ),
        (
            {
                "CI_API_V4_URL": "https://lab.example/api/v4",
                "CI_PROJECT_ID": "5",
                "CI_MERGE_REQUEST_PROJECT_ID": "6",
                "KILO_REVIEW_FORGE_TOKEN": "t",
            },
            *("gitlab", "https://lab.example/api/v4", "6"),
        ),
        (
            {"CI_FORGE_TYPE": "forgejo", "CI_FORGE_URL": "https://cb.example", "CI_REPO": "a/b", "GITEA_TOKEN": "t"},
            *("woodpecker", "https://cb.example/api/v1", "a/b"),
        ),
        (
            {
                "KILO_REVIEW_FORGE": "github",
                "KILO_REVIEW_FORGE_URL": "https://github.com",
                "KILO_REVIEW_FORGE_REPOSITORY": "a/b",
                "GITHUB_TOKEN": "t",
            },
            *("jenkins", "https://api.github.com", "a/b"),
        ),
    ],
)
def test_each_system_says_where(environment: dict[str, str], system: str, api: str, repository: str) -> None:
    found = place_of(environment, RUN._replace(system=system), "h")
    assert (found.api, found.repository, found.token, found.number, found.head) == (api, repository, "t", "7", "h")


def test_our_own_variable_comes_first() -> None:
    environment = {"GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "other", "KILO_REVIEW_FORGE_TOKEN": "ours\n"}
    assert place_of(environment, RUN, "").token == "ours"


@pytest.mark.parametrize(
    ("environment", "changed", "told"),
    [
        ({}, {}, "there is no token to post with. Give the job one in KILO_REVIEW_FORGE_TOKEN or GITHUB_TOKEN"),
        ({"CI_JOB_TOKEN": "t"}, {"system": "gitlab"}, "CI_JOB_TOKEN, which GitLab gives to each job, may not write"),
        ({"GITHUB_TOKEN": "a b"}, {}, "holds characters that no token has"),
        ({"GITHUB_TOKEN": "t"}, {"number": ""}, "for no pull or merge request"),
        ({"GITHUB_TOKEN": "t"}, {"number": "7/../8"}, "for no pull or merge request"),
        ({"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": "../x?y"}, {}, "is no repository"),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "http://ghe.example"}, {}, "is not https, so the token was not sent"),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "https://u:p@ghe.example"}, {}, "has more in it than host and path"),
        ({"GITHUB_TOKEN": "t", "GITHUB_API_URL": "ftp://ghe.example"}, {}, "has more in it than host and path"),
        ({"GITHUB_TOKEN": "t"}, {"system": "jenkins"}, "nothing tells which forge to post to from jenkins"),
        ({"GITHUB_TOKEN": "t"}, {"system": ""}, "nothing tells which forge to post to. Set KILO_REVIEW_FORGE"),
        ({"KILO_REVIEW_FORGE": "sourcehut"}, {}, "'sourcehut' is no forge that can be posted to"),
    ],
)
def test_what_is_missing_is_told_before_the_review(
    environment: dict[str, str], changed: dict[str, Any], told: str
) -> None:
    usual = {
        "GITHUB_REPOSITORY": "a/b",
        "CI_API_V4_URL": "https://lab.example/api/v4",
        "CI_PROJECT_ID": "5",
    }
    with pytest.raises(ConfigError) as caught:
        forge.connect(usual | environment, RUN._replace(**changed))
    assert told in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:3000/api", "http://localhost/x", "http://[::1]:1/", "https://x.example"]
)
def test_addresses_that_a_token_may_go_to(url: str) -> None:
    assert checked(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["", "x", "http://10.0.0.1", "http://localhost.evil.example", "https://x/?a", "https://x/#a", "https://[x"]
)
def test_addresses_that_it_may_not_go_to(url: str) -> None:
    with pytest.raises(ConfigError):
        checked(url)


# Waits


@pytest.mark.parametrize(
    ("status", "headers", "said", "seconds"),
    [
        (200, {"retry-after": "5"}, "", None),
        (403, {}, "Resource not accessible by integration", None),
        (403, {"x-ratelimit-remaining": "17", "x-ratelimit-reset": "2000"}, "no", None),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, "API rate limit exceeded", 31),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "900"}, "API rate limit exceeded", 1),
        (403, {"x-ratelimit-remaining": "0"}, "", 60),
        (429, {"retry-after": "Thu, 01 Jan 1970 00:17:20 GMT"}, "", 40),
        (429, {"retry-after": "soon"}, "", 60),
        (429, {"retry-after": "-5"}, "", 60),
        (422, {}, "Validation Failed: was submitted too quickly", 60),
        (422, {}, "Validation Failed", None),
    ],
)
def test_when_a_limit_is_one(status: int, headers: dict[str, str], said: str, seconds: float | None) -> None:
    assert limited_for(status, headers, said, 1000.0) == seconds


def test_all_waits_together_have_an_end() -> None:
    waits: list[float] = []
    patience = Patience(10, waits.append)
    assert [patience.wait(each) for each in (6, 5, 4, 1)] == [True, False, True, False]
    assert waits == [6, 4]


def test_every_forge_can_do_what_is_asked_of_one() -> None:
    classes: list[type[Forge]] = [GitHub, GitLab, Gitea]  # the type checker compares
    assert [each.__name__ for each in classes] == list(forge.FORGES.values())


def test_posting_loads_nothing_before_it_is_wanted() -> None:
    code = (
        "import sys, kilo_review.forge; print([m for m in ('httpx', 'kilo_review.forge.github') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
