"""The pipelines in `examples/`: valid for the systems they are for, safe for forks, and with options that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from ruamel.yaml import YAML

from kilo_review.cli import cli
from kilo_review.report import FORMATS
from tests.conftest import ROOT, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = ROOT / "examples"
GITHUB = sorted(EXAMPLES.glob("github-*.yml"))
ON_DEMAND = EXAMPLES / "github-on-demand.yml"
WORKFLOWS = [*GITHUB, EXAMPLES / "gitea-actions.yml"]
GITLAB = EXAMPLES / "gitlab-ci.yml"
JENKINS = EXAMPLES / "Jenkinsfile"
SHELL = EXAMPLES / "review.sh"
ALL = [*WORKFLOWS, GITLAB, JENKINS, SHELL]
FOR_GITEA = "is too old to run on GitHub Actions"
"""Gitea and Forgejo need the older action."""


every = pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def parsed(path: Path) -> dict[str, Any]:
    found = YAML(typ="safe").load(path.read_text())
    assert isinstance(found, dict)
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found = parsed(path)["jobs"]
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def scripts(path: Path) -> Iterator[str]:
    """What a shell is given."""
    if path in WORKFLOWS:
        yield from (step["run"] for step in steps(path) if "run" in step)
    elif path == GITLAB:
        job = parsed(path)["kilo-review"]
        yield from ("\n".join(job[part]) for part in ("before_script", "script", "after_script"))
    elif path == JENKINS:
        yield from (block.replace("\\\\", "\\") for block in re.findall(r"sh '''(.*?)'''", path.read_text(), re.DOTALL))
    else:
        yield path.read_text()


def calls(path: Path) -> list[list[str]]:
    """The words of each call of the program: the command, its options, other arguments."""
    found = []
    for script in scripts(path):
        for line in script.replace("\\\n", " ").splitlines():
            match = re.search(r'kilo-review"? (ci|merge)((?: .*)?)$', line.split(" || ")[0])
            if match and not line.lstrip().startswith("#"):
                found.append([match[1], *match[2].split()])
    return found


def options(path: Path) -> dict[str, list[str]]:
    """Of all calls together, each option with the words behind it."""
    found: dict[str, list[str]] = {}
    for words in calls(path):
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word.startswith("--"):
                found.setdefault(word, []).append(following.strip("\"'"))
    return found


def outputs(path: Path) -> list[str]:
    used = options(path)
    return [*used.get("--format", ()), *used.get("--output", ())]


def validated(schema: str, *paths: Path, words: tuple[str, ...] = ()) -> None:
    program = Path(sys.executable).parent / "check-jsonschema"
    command: list[str | Path] = [program, "--builtin-schema", schema, *words, *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Valid


def test_each_system_has_its_example() -> None:
    names = {path.name for path in EXAMPLES.iterdir()} - {"actionlint.yaml"}
    assert names == {path.name for path in ALL}


@every_workflow
@pytest.mark.long
def test_workflows_have_the_form_that_github_documents(path: Path) -> None:
    validated("vendor.github-workflows", path)


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.name)
@pytest.mark.long
def test_no_job_holds_the_gpu_for_ever(path: Path) -> None:
    validated("custom.github-workflows-require-timeout", path)


def test_the_gitlab_pipeline_has_the_form_that_gitlab_documents() -> None:
    validated("vendor.gitlab-ci", GITLAB, words=("--data-transform", "gitlab-ci"))


@every_workflow
def test_actionlint_finds_nothing(path: Path) -> None:
    program = needs("actionlint", variable="KILO_TEST_ACTIONLINT")
    words = [] if path in GITHUB else ["-ignore", FOR_GITEA]
    command: list[str | Path] = [program, "-no-color", "-config-file", EXAMPLES / "actionlint.yaml", *words, path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@every
def test_a_shell_can_read_every_script(path: Path) -> None:
    found = list(scripts(path))
    assert found
    for script in found:
        done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + script


def test_the_jenkinsfile_is_balanced() -> None:
    text = re.sub(r"'''.*?'''|'[^'\n]*'|//[^\n]*", "", JENKINS.read_text(), flags=re.DOTALL)
    for opening, closing in ("{}", "()", "[]"):
        assert text.count(opening) == text.count(closing)


# Safe


@every_workflow
def test_the_trigger_is_safe_for_forks_and_the_token_may_do_no_more_than_it_must(path: Path) -> None:
    workflow = parsed(path)
    assert set(workflow["on"]) == {"issue_comment" if path == ON_DEMAND else "pull_request"}
    if path in GITHUB:
        assert workflow["permissions"] == {}
        granted = [job["permissions"] for job in jobs(path).values()]
    else:
        granted = [workflow["permissions"]]
    for permissions in granted:
        writable = {name for name, level in permissions.items() if level == "write"}
        assert writable <= {"pull-requests", "security-events"}
        assert permissions["contents"] == "read"


def test_a_review_on_demand_is_for_people_who_may_write() -> None:
    """A comment starts a run of the default branch's file with a token that can write, whoever has made it."""
    workflow = parsed(ON_DEMAND)
    assert workflow["on"] == {"issue_comment": {"types": ["created"]}}
    (job,) = workflow["jobs"].values()
    allowed, part_of = '["OWNER", "MEMBER", "COLLABORATOR"]', "github.event.comment.author_association"
    assert f"&& contains(fromJSON('{allowed}'), {part_of})" in job["if"]
    assert job["if"].startswith(
        "github.event.issue.pull_request && startsWith(github.event.comment.body, '/review') &&"
    )
    assert "collaborators/$AUTHOR/permission" in job["steps"][0]["run"]
    assert "concurrency" not in workflow, "a comment that starts nothing would cancel a review"
    assert [words[0] for words in calls(ON_DEMAND)] == ["ci"]


@every_workflow
def test_the_head_is_read_and_never_run(path: Path) -> None:
    for step in steps(path):
        if "checkout" in step.get("uses", ""):
            assert step["with"] == {"fetch-depth": 0, "persist-credentials": False}
    text = path.read_text()
    for script in scripts(path):
        assert "${{" not in script  # what somebody else writes, such as a title, would become a part of the script
    assert text.index("Install kilo-review") < text.index("actions/checkout")


@every
def test_nothing_is_installed_from_the_change_and_python_starts_isolated(path: Path) -> None:
    for script in scripts(path):
        installed = re.findall(r"\binstall\b.*", script)
        assert all(line.startswith('install --quiet "git+https://example.org/') for line in installed)
        assert not re.search(r"python3? (?!-I)", script)


@every
def test_the_comments_tell_what_is_safe(path: Path) -> None:
    head = path.read_text()[:1800].lower()
    assert re.search(r"fork|executed|see: github-service-container", head)


@every
def test_no_file_of_the_change_is_taken_for_a_report(path: Path) -> None:
    """It lies outside of the checkout, or what the checkout has there is removed before."""
    removed = {name for script in scripts(path) for line in re.findall(r"rm -rf (.*)", script) for name in line.split()}
    for word in options(path)["--output"]:
        file = word.partition("=")[2]
        assert file.startswith(("$RUNNER_TEMP/", "$reports/")) or file in removed


# As the manual says


@every
def test_the_server_is_waited_for_and_warmed_with_the_window_of_the_review(path: Path) -> None:
    text = path.read_text()
    for words in calls(path):
        if words[0] == "ci":
            assert int(options(path)["--wait-for-server"][0]) == 300
            assert re.search(r"num_ctx=\$(\w+)", " ".join(words))
    (reviewed,) = set(re.findall(r"num_ctx=\$(\w+)", text))
    (warmed,) = set(re.findall(r'num_ctx\\+": \$(\w+)', text))
    assert reviewed == warmed
    assert text.index("/api/generate") < text.index("--wait-for-server")


@every
def test_the_ledger_is_kept_and_the_reports_go_where_the_system_shows_them(path: Path) -> None:
    used = options(path)
    assert "--ledger" in used
    if path in GITHUB and path != ON_DEMAND:  # an upload is for the commit that started the run
        assert any("codeql-action/upload-sarif@v" in step.get("uses", "") for step in steps(path))
    if path in WORKFLOWS:
        assert any("actions/cache@v" in step.get("uses", "") for step in steps(path))
    if path == GITLAB:
        report = parsed(path)["kilo-review"]["artifacts"]["reports"]["codequality"]
        assert f"gitlab={report}" in used["--output"]
        assert used["--ledger"][0] in parsed(path)["kilo-review"]["cache"]["paths"][0]
    if path != SHELL:
        assert "--post" in used


def test_the_shares_of_the_matrix_are_all_of_them_and_one_job_joins_them() -> None:
    path = EXAMPLES / "github-matrix.yml"
    shares = jobs(path)["share"]["strategy"]["matrix"]["share"]
    (shard,) = options(path)["--shard"]
    assert shard == f"$SHARE/{len(shares)}"
    assert shares == list(range(1, len(shares) + 1))
    assert jobs(path)["report"]["needs"] == "share"
    assert [words[0] for words in calls(path)] == ["ci", "merge"]


@every
def test_every_option_and_format_exists(path: Path) -> None:
    missing = {form for word in outputs(path) if (form := word.partition("=")[0]) not in FORMATS}
    for command, *words in calls(path):
        found = cli.get_command(click.Context(cli), command)
        known = {name for parameter in found.params for name in parameter.opts} if found else set()
        missing |= {word for word in words if word.startswith("--")} - known
    assert not missing
