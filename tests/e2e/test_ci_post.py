"""`kilo-review ci --post`: what was found, where the change is discussed; and nothing is lost where it cannot be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kilo_review.cli.options import VARIABLES
from kilo_review.forge.pull_request import VARIABLES as OF_FORGES
from kilo_review.source.change import of_repository
from kilo_review.source.repo import Repository
from kilo_review.source.target import Request
from tests.support.fakes.base import AFFIRMED, as_json
from tests.support.fakes.forge import OURS, READS, Fault
from tests.support.fakes.github import REPOSITORY, FakeGitHub
from tests.support.fakes.ollama import Model, Ollama
from tests.support.forges import Forge
from tests.support.hooked import by_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

CODE = "return sum(items) / len(items)"
FOUND = json.dumps(
    {
        "findings": [
            {
                "file": "app.py",
                "line": 2,
                "problem": "An empty list divides by zero.",
                "severity": "critical",
                "title": "Division by zero",
                "code": CODE,
                "type": "bug",
            }
        ]
    }
)


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("m:1", loaded_window=32768)], ruling=AFFIRMED, answer=FOUND) as fake:
        yield fake


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    hub = make_repo("hub")
    hub.commit("first", app__py="def mean(items):\n    return 0\n")
    hub.commit("second")
    hub.git("checkout", "-q", "-b", "topic")
    hub.commit("topic", app__py=f"def mean(items):\n    {CODE}\n")
    hub.git("checkout", "-q", "main")
    made = Forge(hub, tmp_path)
    made.propose()
    return made


@pytest.fixture
def github(forge: Forge) -> Iterator[FakeGitHub]:
    with Repository(forge.hub.path) as repo:
        diff = of_repository(repo, Request("main...topic")).diff
    with FakeGitHub(diff=diff, head=forge.at("topic")) as fake:
        yield fake


@pytest.fixture
def ci(forge: Forge, server: Ollama, github: FakeGitHub, kilo: Runner) -> Callable[..., Result]:
    def run(*arguments: str, token: str = OURS, **more: str) -> Result:
        address = {"GITHUB_API_URL": f"{github.url}/api/v3", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": token}
        environment = forge.pull_request() | by_server(server) | address | more
        return kilo("ci", "--format", "text", *arguments, cwd=forge.clone().path, env=environment)

    return run


@pytest.mark.long
def test_a_finding_is_posted_once_and_resolved_when_it_is_gone(
    ci: Callable[..., Result], github: FakeGitHub, server: Ollama, forge: Forge
) -> None:
    first = ci("--post")
    assert first.code == 1, first.talk
    assert "Division by zero" in first.text
    (thread,) = github.open_threads()
    assert "Division by zero" in github.bodies()[0]
    assert (thread["path"], thread["line"]) == ("app.py", 2)
    assert ci("--post").code == 1
    assert len(github.threads) == 1
    forge.hub.git("checkout", "-q", "topic")
    forge.hub.commit("mended", app__py="def mean(items):\n    return sum(items) / max(len(items), 1)\n")
    forge.hub.git("checkout", "-q", "main")
    forge.propose()
    github.head = forge.at("topic")
    server.answer = '{"findings": []}'
    assert ci("--post").code == 0
    assert not github.open_threads()


@pytest.mark.long
def test_merged_reports_are_posted_for_the_commit_that_they_are_of(
    ci: Callable[..., Result], kilo: Runner, github: FakeGitHub, forge: Forge, tmp_path: Path
) -> None:
    """By then the pipeline may be another one, such as one that was started for a newer commit."""
    file = tmp_path / "share.json"
    assert ci("--shard", "1/1", "--output", f"json={file}").code == 1
    reviewed = forge.at("topic")
    assert json.loads(file.read_text())["commit"] == reviewed
    forge.hub.git("checkout", "-q", "topic")
    forge.hub.commit("further", app__py=f"import os\n\ndef mean(items):\n    {CODE}\n")
    forge.hub.git("checkout", "-q", "main")
    forge.propose()
    address = {"GITHUB_API_URL": f"{github.url}/api/v3", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": OURS}
    words = ("merge", str(file), "--post", "--format", "text")
    github.head = forge.at("topic")
    late = kilo(*words, cwd=forge.clone().path, env=forge.pull_request() | address)
    assert late.code == 1
    assert f"it has moved on from {reviewed[:12]}" in late.talk
    assert not github.threads
    github.head = reviewed
    assert kilo(*words, cwd=forge.clone().path, env=forge.pull_request() | address).code == 1
    assert len(github.comments) == 1, "the summary: this clone has no lines of that commit to comment on"


def test_a_dry_run_says_what_would_be_posted_and_posts_nothing(ci: Callable[..., Result], github: FakeGitHub) -> None:
    done = ci("--post-dry-run")
    assert "would comment: " in done.talk
    assert "Division by zero" in done.talk
    assert not github.threads
    assert not github.comments


@pytest.mark.long
def test_a_forge_that_is_down_changes_neither_verdict_nor_reports(
    ci: Callable[..., Result], github: FakeGitHub, tmp_path: Path
) -> None:
    """What a fallback loses elsewhere: the findings are in the log and in every file, and the reason is told."""
    github.faults.append(Fault("POST", "", as_json({"message": "Server Error"}, 500), times=99))
    done = ci("--post", "--output", f"json={tmp_path / 'r.json'}", "--max-seconds", "60")
    assert done.code == 1
    assert "Division by zero" in done.text
    assert json.loads((tmp_path / "r.json").read_text())["findings"]
    assert "500" in done.talk
    assert OURS not in done.text + done.talk


def test_a_token_that_may_only_read_is_told(ci: Callable[..., Result], github: FakeGitHub) -> None:
    done = ci("--post", token=READS)
    assert done.code == 1
    assert "Division by zero" in done.text
    assert "pull-requests: write" in done.talk
    assert not github.threads


@pytest.mark.parametrize("missing", ["GITHUB_TOKEN", "GITHUB_REPOSITORY"])
def test_what_is_missing_is_told_before_the_review_which_goes_on(ci: Callable[..., Result], missing: str) -> None:
    done = ci("--post", **{missing: ""})
    assert done.code == 1
    assert "Division by zero" in done.text
    assert done.talk.index("nothing will be posted") < done.talk.index("asking m:1")


def test_a_push_has_nothing_to_post_to(forge: Forge, server: Ollama, github: FakeGitHub, kilo: Runner) -> None:
    facts = {"before": forge.at("topic~1"), "after": forge.at("topic")}
    environment = by_server(server) | forge.event("push", facts, GITHUB_TOKEN=OURS)
    done = kilo("ci", "--post", cwd=forge.clone(checkout="topic").path, env=environment)
    assert done.code == 1
    assert "this run is for no pull or merge request" in done.talk
    assert not github.calls


@pytest.mark.long
def test_the_shards_post_nothing_and_their_merge_posts_all(
    ci: Callable[..., Result], github: FakeGitHub, forge: Forge, kilo: Runner, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.json" for number in (1, 2)]
    for number, file in enumerate(files, 1):
        ci("--shard", f"{number}/2", "--output", f"json={file}")
    assert not github.threads
    address = {"GITHUB_API_URL": f"{github.url}/api/v3", "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_TOKEN": OURS}
    words = ("merge", *map(str, files), "--post")
    done = kilo(*words, cwd=forge.folder / "clone", env=forge.pull_request() | address)
    assert done.code == 1, done.talk
    assert [thread["path"] for thread in github.open_threads()] == ["app.py"]


def test_every_variable_of_a_pipeline_is_known_to_all_commands(kilo: Runner) -> None:
    assert set(OF_FORGES) <= VARIABLES
    settings = {"KILO_REVIEW_LEDGER": "x", "KILO_REVIEW_POST": "1", "KILO_REVIEW_FORGE_TOKEN": "x"}
    assert kilo("--dry-run", env=settings | {"KILO_REVIEW_SHARD": "1/2", "KILO_REVIEW_NO_FETCH": "1"}).talk == ""
