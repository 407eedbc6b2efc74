"""What the tests of posting share: a change, findings in it, and how to post them to a fake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kilo_review import forge
from kilo_review.core.finding import Category, Finding, Severity
from kilo_review.core.outcome import Entry, ModelInfo, Outcome, State, Target, TargetKind
from kilo_review.forge.client import Patience
from kilo_review.judge.policy import ExitCode
from kilo_review.report.view import View
from kilo_review.source.ci_environment import Pipeline
from kilo_review.source.patch import parse_patch
from tests.support.fakes.forge import BASE, HEAD, OURS
from tests.support.fakes.github import FakeGitHub
from tests.support.fakes.gitlab import FakeGitLab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.forge.apply import Posted
    from kilo_review.forge.base import Forge
    from kilo_review.source.diff import Diff

FakeOf = type[FakeGitHub] | type[FakeGitLab]
AnyFake = FakeGitHub | FakeGitLab
CODE = tuple(f"value_{number} = total / count_{number}" for number in range(1, 9))
PATCH = (
    "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -10,4 +10,11 @@ def mean():\n"
    " one = 1\n two = 2\n-old = 3\n" + "".join(f"+{line}\n" for line in CODE) + " last = 4\n"
)
FIRST_ADDED = 12
NOW = 1_800_000_000
"""Seconds since 1970, for those who wait."""


def the_diff() -> Diff:
    """`app.py`, where lines 12 to 19 are new, and 10, 11 and 20 stand around them."""
    return parse_patch(PATCH.encode())


def finding(number: int = 1, severity: Severity = Severity.MAJOR, **changed: Any) -> Finding:
    """A finding on the NUMBERth added line."""
    line = FIRST_ADDED + number - 1
    made = Finding(
        path="app.py",
        line=line,
        end_line=line,
        severity=severity,
        category=Category.BUG,
        title=f"Division by zero ({number})",
        message=f"If count_{number} is 0 this fails.",
        evidence=CODE[number - 1],
    )
    return made._replace(**changed)


def outcome(findings: Sequence[Finding], *, state: State = State.REVIEWED, reason: str | None = None) -> Outcome:
    """A review of `app.py` that found this."""
    entry = Entry("app.py", 10, 20, 8, 1, state, reason)
    model = ModelInfo("scripted", "test-model", None, 8192)
    return Outcome(Target(TargetKind.BRANCH, BASE, HEAD), model, list(findings), [entry])


def connected(fake: AnyFake, token: str = OURS, *, head: str = "", waits: list[float] | None = None) -> Forge:
    """The real client of a fake, as in a CI run of it; it notes its waits instead of waiting."""
    noted: list[float] = [] if waits is None else waits
    patience = Patience(sleep=noted.append, now=lambda: NOW)
    pipeline = Pipeline("github", "pull_request", is_proposal=True, number="7", base=BASE, head=head or HEAD)
    if isinstance(fake, FakeGitHub):
        address = {"GITHUB_API_URL": f"{fake.url}/api/v3", "GITHUB_REPOSITORY": "org/tool", "GITHUB_TOKEN": token}
        return forge.connect(address, pipeline, patience=patience)
    address = {"CI_API_V4_URL": f"{fake.url}/api/v4", "CI_PROJECT_ID": "42", "GITLAB_TOKEN": token}
    return forge.connect(address, pipeline._replace(system="gitlab"), patience=patience)


def post(
    fake: AnyFake,
    findings: Sequence[Finding] | Outcome,
    most: int = 3,
    *,
    token: str = OURS,
    waits: list[float] | None = None,
    **viewed: Any,
) -> Posted:
    """Post findings, or an outcome, to a fake."""
    found = findings if isinstance(findings, Outcome) else outcome(findings)
    client = connected(fake, token, waits=waits)
    return forge.post(View(found, ExitCode.PASS, **viewed), the_diff(), client, most)
