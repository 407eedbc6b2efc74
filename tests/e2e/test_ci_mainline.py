"""What a branch is compared with where the CI system names no base: all of what was pushed is reviewed, or exit code 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.forges import ZEROS, Forge, variables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Result, Runner

GONE = "1" * 40
WHOLE = {"app.py", "new.py"}
"""What the branch `feature` changes, in two commits."""


@pytest.fixture
def forge(make_repo: Callable[..., Repo], tmp_path: Path) -> Forge:
    """A repository whose default branch is `develop`, which has gone on since `feature` left it."""
    hub = make_repo("hub", "-b", "develop")
    hub.git("config", "uploadpack.allowAnySHA1InWant", "true")
    hub.commit("base", app__py="def f(n):\n    return n\n")
    hub.git("checkout", "-q", "-b", "feature")
    hub.commit("bug", app__py="def f(n):\n    return 1 / n\n")
    hub.commit("new", new__py="x = 1\n")
    hub.git("checkout", "-q", "develop")
    return Forge(hub, tmp_path)


SYSTEMS: dict[str, Callable[[Forge, str], dict[str, str]]] = {
    "azure": lambda forge, branch: variables(
        TF_BUILD="True",
        BUILD_REASON="IndividualCI",
        BUILD_SOURCEBRANCH=f"refs/heads/{branch}",
        BUILD_SOURCEVERSION=forge.at(branch),
    ),
    "bitbucket": lambda forge, branch: variables(
        BITBUCKET_BUILD_NUMBER="1", BITBUCKET_BRANCH=branch, BITBUCKET_COMMIT=forge.at(branch)[:12]
    ),
    "jenkins": lambda forge, branch: variables(
        JENKINS_URL="http://127.0.0.1", BRANCH_NAME=branch, GIT_COMMIT=forge.at(branch)
    ),
    "buildkite": lambda forge, branch: variables(
        BUILDKITE="true", BUILDKITE_PULL_REQUEST="false", BUILDKITE_BRANCH=branch, BUILDKITE_COMMIT=forge.at(branch)
    ),
    "circleci": lambda forge, branch: variables(CIRCLECI="true", CIRCLE_BRANCH=branch, CIRCLE_SHA1=forge.at(branch)),
    "drone": lambda forge, branch: variables(
        DRONE="true", DRONE_BUILD_EVENT="push", DRONE_BRANCH=branch, DRONE_COMMIT_SHA=forge.at(branch)
    ),
    "gitlab": lambda forge, branch: variables(
        GITLAB_CI="true",
        CI_PIPELINE_SOURCE="push",
        CI_COMMIT_BRANCH=branch,
        CI_COMMIT_SHA=forge.at(branch),
        CI_COMMIT_BEFORE_SHA=ZEROS,
    ),
    "github": lambda forge, branch: forge.event(
        "push",
        {"before": ZEROS, "after": forge.at(branch), "repository": {}},
        GITHUB_REF=f"refs/heads/{branch}",
    ),
    "github, forced": lambda forge, branch: forge.event(
        "push",
        {"before": GONE, "after": forge.at(branch), "repository": {}},
        GITHUB_REF=f"refs/heads/{branch}",
    ),
    "unknown": lambda _forge, _branch: {},
}

every_system = pytest.mark.parametrize("system", SYSTEMS)
some_systems = pytest.mark.parametrize("system", ["azure", "github, forced", "gitlab", "unknown"])


def clone(forge: Forge, *, branch: str = "feature", depth: int | None = None) -> Repo:
    """As most systems make it: one branch, detached; nothing in it tells the remote's HEAD."""
    return forge.clone(f"+refs/heads/{branch}:refs/remotes/origin/{branch}", checkout=branch, depth=depth)


def run(kilo: Runner, made: Repo, environment: dict[str, str], *words: str) -> Result:
    return kilo("ci", "--dry-run", "--format", "json", *words, cwd=made.path, env=environment)


def paths(done: Result) -> set[str]:
    assert done.code == 0, done.talk
    report: dict[str, Any] = done.json()
    return {entry["path"] for entry in report["coverage"]["entries"]}


@every_system
def test_the_whole_branch_is_reviewed_whatever_the_default_branch_is_called(
    forge: Forge, kilo: Runner, system: str
) -> None:
    """The remote is asked for its HEAD; the clone is as shallow as can be."""
    made = clone(forge, depth=1)
    assert paths(run(kilo, made, SYSTEMS[system](forge, "feature"))) == WHOLE


@some_systems
def test_where_nothing_tells_the_default_branch_the_option_is_named(forge: Forge, kilo: Runner, system: str) -> None:
    done = run(kilo, clone(forge), SYSTEMS[system](forge, "feature"), "--no-fetch")
    assert done.code == 3
    assert done.json()["outcome"] == "not_reviewed"
    assert "--base" in done.talk


def of_clone(made: Repo) -> None:
    made.git("fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*")
    made.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")


def by_configuration(made: Repo) -> None:
    made.git("fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*")
    made.git("config", "init.defaultBranch", "develop")


def by_ancestry(made: Repo) -> None:
    made.git("fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*")


def by_another_remote(made: Repo) -> None:
    """A fork is `origin`, and has this branch alone; what is proposed to is another one."""
    made.git("remote", "add", "upstream", made.out("remote", "get-url", "origin"))
    made.git("fetch", "-q", "upstream", "+refs/heads/develop:refs/remotes/upstream/develop")
    made.git("symbolic-ref", "refs/remotes/upstream/HEAD", "refs/remotes/upstream/develop")


@pytest.mark.parametrize("prepare", [of_clone, by_configuration, by_ancestry, by_another_remote])
def test_the_branch_command_and_ci_find_the_same_without_a_fetch(
    forge: Forge, kilo: Runner, prepare: Callable[[Repo], None]
) -> None:
    made = clone(forge)
    prepare(made)
    assert paths(run(kilo, made, SYSTEMS["azure"](forge, "feature"), "--no-fetch")) == WHOLE
    assert paths(kilo("branch", "--dry-run", "--format", "json", cwd=made.path)) == WHOLE
    made.git("checkout", "-q", "-b", "feature")
    assert paths(kilo("branch", "--dry-run", "--format", "json", cwd=made.path)) == WHOLE


def test_two_branches_that_it_may_have_begun_from_are_no_answer(forge: Forge, kilo: Runner) -> None:
    forge.hub.git("branch", "other", "feature~1")
    made = clone(forge)
    by_ancestry(made)
    done = run(kilo, made, SYSTEMS["azure"](forge, "feature"), "--no-fetch")
    assert done.code == 3
    assert "--base" in done.talk
    told = kilo("branch", "--dry-run", cwd=made.path)
    assert told.code == 2
    assert "--base" in told.talk


def on_its_own(made: Repo) -> None:
    """The branch has the name that the remote knows it by."""
    made.git("checkout", "-q", "-b", "feature")


def renamed(made: Repo) -> None:
    made.git("checkout", "-q", "-b", "mine")
    made.git("branch", "-q", "--set-upstream-to=origin/feature")


def unattached(made: Repo) -> None:
    made.git("checkout", "-q", "--detach")


def unattached_on_a_branch(made: Repo) -> None:
    """As `git checkout --detach` leaves it: the branch still points there."""
    renamed(made)
    made.commit("more", more__py="x = 1\n")
    made.git("checkout", "-q", "--detach")


def unattached_beside_another(made: Repo) -> None:
    made.git("update-ref", "refs/remotes/origin/other", made.out("commit-tree", "-m", "other", "HEAD^{tree}"))


def with_identity(made: Repo) -> Repo:
    for name, value in (("user.name", "Tester"), ("user.email", "tester@example.invalid")):
        made.git("config", name, value)
    return made


@pytest.mark.parametrize("begin", [on_its_own, renamed, unattached, unattached_on_a_branch, unattached_beside_another])
@pytest.mark.long
def test_a_branch_is_not_compared_with_itself(forge: Forge, kilo: Runner, begin: Callable[[Repo], None]) -> None:
    """The bug is pushed, and the newest commit is not: the clone knows no other branch that it could have begun from."""
    made = with_identity(clone(forge))
    begin(made)
    made.commit("mine", mine__py="x = 1\n")
    told = kilo("branch", "--dry-run", cwd=made.path)
    assert told.code == 2
    assert "--base" in told.talk
    done = run(kilo, made, {"CI": "true"}, "--no-fetch")
    assert done.code == 3
    assert "--base" in done.talk
    assert paths(kilo("branch", "--dry-run", "--format", "json", "--base", forge.at("develop"), cwd=made.path)) > WHOLE
    assert paths(run(kilo, made, {"CI": "true"})) > WHOLE


def test_a_branch_that_begins_from_an_unpublished_one_is_compared_with_it(forge: Forge, kilo: Runner) -> None:
    made = with_identity(clone(forge))
    made.git("checkout", "-q", "-b", "stacked")
    made.commit("mine", mine__py="x = 1\n")
    assert paths(kilo("branch", "--dry-run", "--format", "json", cwd=made.path)) == {"mine.py"}


@pytest.mark.parametrize("is_told", [False, True])
def test_unpushed_commits_of_the_default_branch_are_compared_with_the_remotes(
    forge: Forge, kilo: Runner, is_told: bool
) -> None:
    forge.hub.git("branch", "-D", "feature")
    made = with_identity(clone(forge, branch="develop"))
    made.git("checkout", "-q", "-b", "develop")
    made.commit("mine", mine__py="x = 1\n")
    if is_told:
        made.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")
    done = kilo("branch", "--dry-run", "--format", "json", cwd=made.path)
    assert done.code == (0 if is_told else 2)
    assert not is_told or paths(done) == {"mine.py"}


@some_systems
def test_of_several_commits_on_the_default_branch_the_newest_does_not_pass_for_all(
    forge: Forge, kilo: Runner, system: str
) -> None:
    forge.hub.git("merge", "-q", "--ff-only", "feature")
    made = clone(forge, branch="develop", depth=1)
    environment = SYSTEMS[system](forge, "develop")
    done = run(kilo, made, environment)
    assert done.code == 3
    assert "--base" in done.talk
    assert paths(run(kilo, made, environment, "--base", "HEAD~1")) == {"new.py"}
    assert paths(run(kilo, made, environment, "--base", forge.at("develop~2"))) == WHOLE


def by_jenkins(branch: str) -> Callable[[Forge], dict[str, str]]:
    return lambda forge: variables(JENKINS_URL="http://127.0.0.1", GIT_BRANCH=branch, GIT_COMMIT=forge.at("develop"))


def by_buildkite(branch: str) -> Callable[[Forge], dict[str, str]]:
    return lambda forge: SYSTEMS["buildkite"](forge, branch) | {"BUILDKITE_COMMIT": forge.at("develop")}


SPELT: dict[str, Callable[[Forge], dict[str, str]]] = {
    "jenkins, detached": by_jenkins("detached"),
    "jenkins, plain": by_jenkins("develop"),
    "jenkins, origin": by_jenkins("origin/develop"),
    "jenkins, another remote": by_jenkins("upstream/develop"),
    "jenkins, full": by_jenkins("refs/heads/develop"),
    "jenkins, full of the remote": by_jenkins("refs/remotes/origin/develop"),
    "jenkins, full of another remote": by_jenkins("refs/remotes/upstream/develop"),
    "jenkins, HEAD of the remote": by_jenkins("origin/HEAD"),
    "jenkins, commit": lambda forge: by_jenkins(forge.at("develop"))(forge),
    "jenkins, unknown": by_jenkins("elsewhere/develop"),
    "jenkins, no branch's name": by_jenkins("a..b"),
    "buildkite, HEAD": by_buildkite("HEAD"),
    "buildkite, full": by_buildkite("refs/heads/develop"),
}


@pytest.mark.parametrize("spelling", SPELT)
@pytest.mark.parametrize("words", [(), ("--no-fetch",)])
def test_a_build_of_the_default_branch_is_told_however_it_is_spelt(
    forge: Forge, kilo: Runner, spelling: str, words: tuple[str, ...]
) -> None:
    forge.hub.git("merge", "-q", "--ff-only", "feature")
    made = clone(forge, branch="develop")
    of_clone(made)
    made.git("remote", "add", "upstream", made.out("remote", "get-url", "origin"))
    made.git("fetch", "-q", "upstream", "+refs/heads/develop:refs/remotes/upstream/develop")
    done = run(kilo, made, SPELT[spelling](forge), *words)
    assert done.code == 3, done.text
    assert "--base" in done.talk


@pytest.mark.parametrize("spelling", ["jenkins, detached", "buildkite, HEAD"])
def test_a_build_of_an_earlier_commit_of_the_default_branch_is_not_called_clean(
    forge: Forge, kilo: Runner, spelling: str
) -> None:
    """Two pushes in a row: the first build starts when the second one has landed."""
    forge.hub.git("merge", "-q", "--ff-only", "feature")
    environment = SPELT[spelling](forge)
    made = clone(forge, branch="develop", depth=1)
    forge.hub.commit("second", second__py="x = 1\n")
    assert run(kilo, made, environment).code == 3


@pytest.mark.parametrize("branch", ["topic", "upstream/topic"])
@pytest.mark.long
def test_a_branch_without_a_commit_of_its_own_brings_nothing_new(forge: Forge, kilo: Runner, branch: str) -> None:
    """It is named, and the remote has it."""
    forge.hub.git("branch", branch, "develop")
    environment = by_jenkins(f"origin/{branch}")(forge)
    made = clone(forge, branch=branch, depth=1)
    made.git("remote", "add", "upstream", "/nowhere")
    assert paths(run(kilo, made, environment)) == set()
    assert paths(run(kilo, forge.clone(checkout="develop"), environment)) == set()


@some_systems
@pytest.mark.long
def test_a_repository_of_one_commit_is_reviewed_whole(forge: Forge, kilo: Runner, system: str) -> None:
    forge.hub.git("branch", "-D", "feature")
    made = clone(forge, branch="develop", depth=1)
    assert paths(run(kilo, made, SYSTEMS[system](forge, "develop"))) == {"app.py"}


@pytest.mark.parametrize(
    "environment",
    [
        {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule", "GITHUB_REF": "refs/heads/develop"},
        {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "develop"},
        {"TF_BUILD": "True", "BUILD_REASON": "Schedule", "BUILD_SOURCEBRANCH": "refs/heads/develop"},
        {"CI": "woodpecker", "CI_PIPELINE_EVENT": "cron", "CI_COMMIT_BRANCH": "develop"},
    ],
)
@pytest.mark.long
def test_a_scheduled_run_of_the_default_branch_is_its_newest_commit(
    forge: Forge, kilo: Runner, environment: dict[str, str]
) -> None:
    forge.hub.git("merge", "-q", "--ff-only", "feature")
    made = clone(forge, branch="develop", depth=1)
    assert paths(run(kilo, made, environment)) == {"new.py"}


@pytest.mark.long
def test_a_tag_on_the_default_branch_brings_nothing_new(forge: Forge, kilo: Runner) -> None:
    forge.hub.git("tag", "v1", "develop")
    environment = forge.event(
        "push",
        {"before": ZEROS, "after": forge.at("v1"), "repository": {"default_branch": "develop"}},
        GITHUB_REF="refs/tags/v1",
    )
    made = clone(forge, branch="develop")
    assert paths(run(kilo, made, environment)) == set()


@pytest.mark.long
def test_the_first_build_of_a_jenkins_branch_and_the_next_one(forge: Forge, kilo: Runner) -> None:
    made = clone(forge)
    environment = SYSTEMS["jenkins"](forge, "feature")
    assert paths(run(kilo, made, environment)) == WHOLE
    environment["GIT_PREVIOUS_SUCCESSFUL_COMMIT"] = forge.at("feature~1")
    assert paths(run(kilo, made, environment)) == {"new.py"}


def test_a_second_run_for_the_same_commit_is_not_nothing(forge: Forge, kilo: Runner) -> None:
    """Woodpecker tells the commit of the last run, whatever came of that."""
    head = forge.at("feature")
    environment = variables(
        CI="woodpecker",
        CI_PIPELINE_EVENT="push",
        CI_COMMIT_BRANCH="feature",
        CI_COMMIT_SHA=head,
        CI_PREV_COMMIT_SHA=head,
        CI_REPO_DEFAULT_BRANCH="develop",
    )
    assert paths(run(kilo, clone(forge), environment)) == WHOLE
