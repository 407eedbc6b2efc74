"""Histories that would have a shallow clone show too little of a push, too much of a request, or another base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.forges import Forge
from tests.support.planned import files, push, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Runner

LONG = 14


def lines_of(branch: str) -> dict[str, tuple[int, int]]:
    return {f"{branch}{number}.py": (1, 0) for number in range(LONG)}


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    """`main` at 9 commits, `side` that left it five commits ago, and a long `topic`."""
    hub = make_repo("hub")
    hub.git("config", "uploadpack.allowAnySHA1InWant", "true")
    for number in range(9):
        hub.commit(f"main {number}", main__py="".join(f"line_{each} = {each}\n" for each in range(number + 1)))
    hub.git("checkout", "-q", "-b", "side", "main~5")
    hub.commit("side", side__py="s = 1\n")
    hub.git("checkout", "-q", "main")
    return Forge(hub, tmp_path)


def long(hub: Repo, branch: str) -> None:
    for number in range(LONG):
        hub.commit(f"{branch} {number}", **{f"{branch}{number}__py": "x = 1\n"})


@pytest.mark.long
def test_a_push_whose_old_tip_lies_behind_a_long_way_is_reviewed_whole(forge: Forge, kilo: Runner) -> None:
    """The old branch that was merged leads to an older common commit by a much shorter way."""
    before = forge.at("main")
    long(forge.hub, "main")
    forge.hub.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    done = run(kilo, forge.clone(checkout="main"), push(forge, before, forge.at("main"), "main"))
    assert files(done.json()) == lines_of("main") | {"side.py": (1, 0)}


@pytest.mark.long
def test_a_request_shows_nothing_of_others_though_an_older_common_commit_is_nearer(forge: Forge, kilo: Runner) -> None:
    hub = forge.hub
    hub.git("checkout", "-q", "-b", "topic")
    long(hub, "topic")
    hub.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    hub.git("checkout", "-q", "main")
    hub.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    hub.git("update-ref", "refs/pull/7/head", "topic")
    hub.git("update-ref", "refs/pull/7/merge", "topic")
    shallow = run(kilo, forge.clone(checkout="refs/pull/7/head"), forge.pull_request())
    assert files(shallow.json()) == lines_of("topic")


@pytest.mark.long
def test_a_forced_push_to_main_is_reviewed_from_where_it_left_what_main_was(forge: Forge, kilo: Runner) -> None:
    before = forge.at("main")
    forge.hub.git("branch", "old")
    forge.hub.git("reset", "-q", "--hard", "main~2")
    long(forge.hub, "main")
    environment = push(forge, before, forge.at("main"), "main")
    clone = forge.clone(checkout="main")
    assert files(run(kilo, clone, environment).json()) == lines_of("main")
    assert "was rewritten" in kilo("ci", "--dry-run", cwd=clone.path, env=environment).text


@pytest.mark.long
def test_what_cannot_be_fetched_is_not_what_was_rewritten(forge: Forge, kilo: Runner) -> None:
    before = forge.at("main")
    long(forge.hub, "main")
    clone = forge.clone(checkout="main", depth=3)
    environment = push(forge, before, forge.at("main"), "main")
    clone.git("remote", "set-url", "origin", (forge.folder / "nowhere").as_uri())
    for words in ((), ("--no-fetch",)):
        done = run(kilo, clone, environment, *words)
        assert done.code == 3
        assert "fetch-depth: 0" in done.talk


@pytest.mark.parametrize("name", ["refs/tags/origin/main", "refs/heads/origin/main"])
def test_nothing_that_is_called_like_the_base_takes_its_place(forge: Forge, kilo: Runner, name: str) -> None:
    forge.hub.git("checkout", "-q", "-b", "topic")
    forge.hub.commit("topic", topic__py="a = 1\n")
    forge.hub.git("checkout", "-q", "main")
    clone = forge.clone("+refs/heads/*:refs/remotes/origin/*", checkout="topic", depth=None)
    clone.git("update-ref", name, "HEAD")
    assert files(run(kilo, clone, {}, "--base", "origin/main").json()) == {"topic.py": (1, 0)}


@pytest.mark.long
def test_a_tag_that_is_called_like_the_base_does_not_stop_the_deepening(forge: Forge, kilo: Runner) -> None:
    hub = forge.hub
    hub.git("checkout", "-q", "-b", "topic", "main~1")
    long(hub, "topic")
    hub.git("checkout", "-q", "main")
    hub.git("tag", "main", "side")
    hub.git("update-ref", "refs/pull/7/head", "topic")
    hub.git("update-ref", "refs/pull/7/merge", "topic")
    assert files(run(kilo, forge.clone(checkout="refs/pull/7/head"), forge.pull_request()).json()) == lines_of("topic")


def test_no_attribute_of_the_change_says_how_crosswise_branches_are_merged(forge: Forge, kilo: Runner) -> None:
    """`merge=union` would keep both sides of a conflict, and so not show that a line was taken away."""
    hub = forge.hub
    hub.git("checkout", "-q", "-b", "topic")
    hub.commit("topic", topic__py="t = 1\n")
    hub.git("checkout", "-q", "main")
    hub.commit("goes on", more__py="m = 1\n")
    main, topic = forge.at("main"), forge.at("topic")
    hub.git("merge", "-q", "--no-ff", "-m", "topic into main", topic)
    hub.commit("guard", main__py="check = 1\n")
    hub.git("checkout", "-q", "topic")
    hub.git("merge", "-q", "--no-ff", "-m", "main into topic", main)
    hub.stage(".gitattributes", "*.py merge=union\n")
    hub.commit("evil", main__py="evil = 1\n")
    clone = forge.clone("+refs/heads/*:refs/remotes/origin/*", checkout="topic", depth=None)
    report = run(kilo, clone, {}, "--base", "origin/main").json()
    assert files(report)["main.py"] == (1, 9)
    assert [note for note in report["notes"] if "merged crosswise and conflict" in note]
