"""Refutation: what would block is put to the test first; what the change disproves costs no request."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import prompts
from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.judge.policy import FailOn, Verify
from kilo_review.judge.verify import is_due, parse_ruling
from tests.support.fakes.base import AFFIRMED, Failure, asks_again
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked, chats, claims_tested

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner

DENIED = '{"confirmed": false, "evidence": "callers never pass an empty list"}'


@pytest.fixture
def server(division: dict[str, Any]) -> Iterator[Ollama]:
    models = [Model("qwen2.5-coder:7b", loaded_window=8192), Model("qwen3:8b")]
    with Ollama(models=models, answer=json.dumps({"findings": [division]})) as fake:
        yield fake


@pytest.fixture
def committing(buggy: Repo, server: Ollama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    hooked = Hooked(buggy, tmp_path)
    hooked.install("pre-commit")
    monkeypatch.setenv("KILO_REVIEW_PROVIDER", "ollama")
    monkeypatch.setenv("KILO_REVIEW_BASE_URL", server.url)
    return hooked


def use(server: Ollama) -> tuple[str, ...]:
    return ("--provider", "ollama", "--base-url", server.url)


# At a real commit


def test_what_is_refuted_lets_the_commit_through_and_says_so(committing: Hooked, server: Ollama) -> None:
    server.ruling = DENIED
    done = committing.commit(check=False)
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, shown
    (line,) = [line for line in shown.splitlines() if "Division by zero" in line]
    assert line.startswith("(app.py:2: Division by zero) [refuted: callers never pass an empty list] ")
    assert "no findings: 1 hunk in 1 file reviewed by qwen2.5-coder:7b; 1 refuted; 2 requests" in shown


def test_what_is_confirmed_blocks_it(committing: Hooked, server: Ollama) -> None:
    done = committing.commit(check=False)
    assert done.returncode == 1
    assert b"[bug, blocks]" in done.stdout + done.stderr
    assert len(claims_tested(server)) == 1


@pytest.mark.parametrize("how", ["is silent", "dies", "mumbles"])
@pytest.mark.long
def test_a_verifier_that_fails_neither_holds_nor_blocks_the_commit(
    committing: Hooked, server: Ollama, how: str
) -> None:
    over = threading.Event()

    def ruling(_body: dict[str, Any]) -> str:
        if how == "is silent":
            over.wait(60)
        if how == "dies":
            raise ConnectionResetError
        return "Maybe."

    server.ruling = ruling
    done = committing.commit(check=False, KILO_REVIEW_MAX_SECONDS="3")
    over.set()
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, shown
    assert "[unverified: " in shown
    # What another time might tell is left for it; what the model mumbles, it would mumble again.
    assert bool(committing.left()) is (how != "mumbles")


@pytest.mark.long
def test_what_was_not_verified_is_put_to_the_test_at_the_next_review(committing: Hooked, server: Ollama) -> None:
    def dying(_body: dict[str, Any]) -> str:
        raise ConnectionResetError

    server.ruling = dying
    committing.commit()
    server.ruling = AFFIRMED
    asked = len(chats(server))
    committing.install("pre-push")
    committing.repo.git("init", "-q", "--bare", "../remote.git")
    committing.repo.git("remote", "add", "origin", "../remote.git")
    done = committing.push("-q", "-u", "origin", "main", check=False)
    assert done.returncode == 1
    assert b"[bug, blocks]" in done.stdout + done.stderr
    assert len(chats(server)) == asked + 1  # the first commit of the repository; the hunk is known


@pytest.mark.long
def test_a_ruling_is_remembered_with_its_code(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.ruling = DENIED
    for _ in range(2):
        report = kilo(*use(server), "--format", "json").json()
        assert [finding["status"] for finding in report["findings"]] == ["refuted"]
    assert len(claims_tested(server)) == 1
    assert kilo(*use(server), "--no-cache").code == 0
    assert len(claims_tested(server)) == 2


# Which findings, and how


@pytest.mark.parametrize(
    ("verify", "severity", "number"),
    [("blocking", "critical", 1), ("blocking", "major", 0), ("all", "minor", 1), ("off", "critical", 0)],
)
def test_only_those_are_asked_about_that_matter(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any], verify: str, severity: str, number: int
) -> None:
    server.answer = json.dumps({"findings": [division | {"severity": severity}]})
    done = kilo(*use(server), "--verify", verify)
    assert len(claims_tested(server)) == number
    assert done.code == (severity == "critical")


def test_a_clean_change_still_costs_one_request(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.answer = '{"findings": []}'
    assert kilo(*use(server), "--verify", "all", "--format", "json").json()["usage"]["requests"] == 1


def test_the_question_names_the_line_and_not_a_word_of_the_first_answer(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    report = kilo(*use(server), "--format", "json").json()
    first, second = (body["messages"] for body in server.asked("/api/chat"))
    assert first[0] == second[0]
    assert second[1]["content"].startswith(first[1]["content"])  # the server has all of that in its cache
    question = second[1]["content"].removeprefix(first[1]["content"])
    assert "the change makes line 2, `return sum(items) / len(items)`, wrong (bug)" in question
    assert division["problem"] not in question
    assert division["title"] not in question
    assert report["usage"]["requests"] == 2
    extra = sum(len(each["content"]) for each in second) / 4
    assert extra <= 700


def test_another_model_may_judge(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    done = kilo(*use(server), "--model", "qwen2.5-coder:7b", "--verify-model", "qwen3:8b", "--format", "json")
    asked = [(body["model"], asks_again(body)) for body in server.asked("/api/chat")]
    assert asked == [("qwen2.5-coder:7b", False), ("qwen3:8b", True)]
    assert done.json()["blocking"] is True


@pytest.mark.parametrize("name", ["missing:1b", "qwen3:480b-cloud"])
def test_a_judge_that_cannot_be_asked_blocks_nothing(kilo: Runner, buggy: Repo, server: Ollama, name: str) -> None:
    server.models.append(Model("qwen3:480b-cloud", remote_host="https://ollama.com:443", remote_model="qwen3:480b"))
    done = kilo(*use(server), "--model", "qwen2.5-coder:7b", "--verify-model", name, "--format", "json")
    (found,) = done.json()["findings"]
    assert (found["status"], found["blocking"]) == ("unverified", False)
    assert name.partition(":")[0] in found["reason"]
    assert not claims_tested(server)


@pytest.mark.parametrize("line", ['verify_model = "own.gguf"', 'provider = "embedded"\nverify_model = "x"'])
def test_a_repository_names_no_model_file_to_judge(kilo: Runner, buggy: Repo, line: str) -> None:
    buggy.write(".kilo-review.toml", line + "\n")
    done = kilo("--dry-run")
    assert done.code == 2
    assert "may not name a model file" in done.talk


def test_a_schema_that_is_refused_is_left_out(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.rejects_format = Failure(400, {"error": "Failed to initialize samplers: failed to parse grammar"})
    assert kilo(*use(server)).code == 1
    first, *others = ("format" in body for body in server.asked("/api/chat"))
    assert (first, set(others)) == (True, {False})


def test_each_claim_is_asked_about_once_however_often_it_stands_there(
    kilo: Runner, repo: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    gap = [f"# {n}\n" for n in range(30)]
    repo.stage("twins.txt", "".join(gap * 2))
    repo.commit("base")
    repo.stage("twins.txt", "".join([*gap[:15], "return a / b\n", *gap[15:]] * 2))
    server.answer = json.dumps({"findings": [division | {"file": "twins.txt", "code": "return a / b"}] * 2})
    report = kilo(*use(server), "--format", "json").json()
    assert [finding["line"] for finding in report["findings"]] == [16, 47]
    assert len(claims_tested(server)) == 1


def test_a_scripted_model_rules_as_its_script_says(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]}, rulings=[{"confirmed": True, "evidence": " "}])
    (found,) = kilo(*script, "--format", "json").json()["findings"]
    assert (found["status"], found["reason"]) == (
        "unverified",
        "asked again, the model affirms it, and names no case in which it goes wrong",
    )
    script = kilo.scripted({"findings": [division]}, rulings=[{"error": "no"}])
    assert kilo(*script, "--format", "json").json()["findings"][0]["status"] == "unverified"


def found(severity: Severity, status: Status = Status.ACTIVE) -> Finding:
    return Finding("a.py", 1, 1, severity, Category.BUG, "t", "m", "x = 1", status=status)


def test_what_does_not_count_needs_no_test() -> None:
    assert is_due(found(Severity.CRITICAL), Verify.BLOCKING, FailOn.CRITICAL)
    assert not is_due(found(Severity.CRITICAL), Verify.BLOCKING, FailOn.NEVER)
    for status in set(Status) - {Status.ACTIVE}:
        assert not is_due(found(Severity.CRITICAL, status), Verify.ALL, FailOn.MINOR)


@pytest.mark.parametrize(
    ("text", "confirmed"),
    [
        ('{"confirmed": true, "evidence": "x"}', True),
        ('```json\n{"confirmed": false, "evidence": ""}\n```', False),
        ('<think>{"confirmed": true}</think>{"confirmed": false, "evidence": "y"}', False),
    ],
)
def test_answers_that_can_be_read(text: str, confirmed: bool) -> None:
    assert parse_ruling(text).is_confirmed is confirmed
    assert parse_ruling("", text).is_confirmed is confirmed


@pytest.mark.parametrize(
    "text",
    [
        *("", "yes", "[]", '{"evidence": "x"}', '{"confirmed": "yes", "evidence": ""}'),
        *('{"confirmed": 1, "evidence": "x"}', '{"confirmed": true, "evidence": ["x"]}'),
        '{"confirmed": true, "evidence": "x"} or {"confirmed": false, "evidence": "x"}',
        '{"confirmed": true, "confirmed": false, "evidence": "x"}',
    ],
)
def test_answers_that_say_neither(text: str) -> None:
    with pytest.raises(BadReplyError):
        parse_ruling(text)


def test_evidence_reaches_no_terminal_as_it_is() -> None:
    assert parse_ruling(
        json.dumps({"confirmed": False, "evidence": "\x1b[2J\n\u202ex" + " y" * 999})
    ).evidence.startswith("\\x1b[2J \\u202ex")


# What the change itself disproves


def claims(**changes: str) -> dict[str, Any]:
    claim = {"file": "app.py", "line": 1, "problem": "p", "severity": "critical", "title": "t", "type": "bug"}
    return claim | changes


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (claims(code="b = old()"), None),  # that it was replaced does not prove that it was replaced by the same
        (claims(code="a = 1"), None),  # an untouched line may fail because of those around it
        (claims(code="b = new()", problem="It should be `b = new()`."), None),
        (claims(code="b = new()", fix="b = new()"), "what it proposes is what stands there"),
        (claims(code="b = new()", fix="b  =  new()"), None),
        (claims(code="b = new()", problem="It fails. Use `b = new()` instead."), None),
        (claims(code="b = new()", problem="Use `b = newer()` instead."), None),
        (claims(code="b = new()", problem="Do not use `b = new()`: it runs any code."), None),
        (claims(code="b = new()", title="The change to `b = new()` loses a"), None),
        (claims(code="check(a)"), None),  # a removed check may be the defect
        (claims(code="use(a)"), None),  # and what follows it may fail now
    ],
)
def test_only_what_contradicts_itself_is_settled_without_a_request(
    kilo: Runner, repo: Repo, server: Ollama, claim: dict[str, Any], reason: str | None
) -> None:
    middle = [f"# {n}\n" for n in range(20)]
    repo.commit("base", app__py="".join(["a = 1\n", "b = old()\n", *middle, "check(a)\n", "use(a)\n"]))
    repo.stage("app.py", "".join(["a = 1\n", "b = new()\n", *middle, "use(a)\n"]))
    server.answer = json.dumps({"findings": [claim]})
    (found,) = kilo(*use(server), "--format", "json").json()["findings"]
    assert (found["status"], found["reason"]) == ("refuted" if reason else "active", reason)
    assert len(claims_tested(server)) == (0 if reason else 1)


@pytest.mark.parametrize(
    ("claim", "is_asked"),
    [
        (claims(code="b = old()"), True),
        (claims(code="a = 1"), True),
        (claims(code="b = new()", problem="It should be `b = new()`."), True),
        (claims(code="b = new()", problem="Never use `b = new()` instead of old."), False),
        (claims(code="b = new()", problem="Use `b = new()` only where a is set."), False),
        (claims(code="check(a)"), False),
        (claims(code="use(a)"), False),
    ],
)
def test_what_speaks_against_a_finding_is_a_question_whatever_its_severity(
    kilo: Runner, repo: Repo, server: Ollama, claim: dict[str, Any], is_asked: bool
) -> None:
    middle = [f"# {n}\n" for n in range(20)]
    repo.commit("base", app__py="".join(["a = 1\n", "b = old()\n", *middle, "check(a)\n", "use(a)\n"]))
    repo.stage("app.py", "".join(["a = 1\n", "b = new()\n", *middle, "use(a)\n"]))
    server.answer = json.dumps({"findings": [claim | {"severity": "minor"}]})
    server.ruling = json.dumps({"confirmed": False, "evidence": "b = new()"})
    (found,) = kilo(*use(server), "--format", "json").json()["findings"]
    assert found["status"] == ("refuted" if is_asked else "active")
    assert len(claims_tested(server)) == int(is_asked)


# The prompt


def test_the_template_of_ones_own_must_have_its_places(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "verify.md").write_text("Is {{claim}} wrong?")
    done = kilo("--prompts", str(tmp_path / "own"), "--dry-run")
    assert (done.code, "must contain {{type}} exactly once" in done.talk) == (2, True)


def test_a_new_question_makes_old_rulings_void() -> None:
    shipped = prompts.load()
    other = shipped._replace(verify_template=shipped.verify_template + " Really?")
    assert shipped.version == other.version
    assert shipped.verify_version != other.verify_version
