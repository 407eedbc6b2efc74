"""The words that a model is given: what they cost, what stands before the change, and prompts of one's own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import prompts
from kilo_review.plan.chunk import TokenMeter
from kilo_review.prompts.check import BUDGETS, problems
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import chats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repo, Runner


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as fake:
        yield fake


def use(server: Ollama) -> tuple[str, ...]:
    return ("--provider", "ollama", "--base-url", server.url)


def shipped(name: str) -> str:
    return prompts.path_of(name).read_text(encoding="utf-8")


# Ours


@pytest.mark.parametrize("name", prompts.PLACEHOLDERS)
def test_each_part_keeps_to_its_budget(name: str) -> None:
    assert TokenMeter().estimate(shipped(name)) <= BUDGETS[name]


@pytest.mark.parametrize("name", prompts.PLACEHOLDERS)
def test_instructions_are_plain_english(name: str) -> None:
    text = shipped(name)
    assert text.isascii()
    words = re.findall(r"[a-z]+", text.lower())
    common = {"the", "a", "of", "is", "to", "it", "in", "and", "or", "that", "with", "as", "if", "be", "this", "change"}
    assert sum(word in common for word in words) / len(words) > 0.15


@pytest.mark.parametrize("name", prompts.PLACEHOLDERS)
def test_no_example_invites_to_be_repeated(name: str) -> None:
    # The only answer that is written out in full is that there is nothing.
    for start in re.finditer(r"\{\s*\"", shipped(name)):
        assert re.match(r'\{"findings": \[(?:\]|\.\.\.\])\}', shipped(name)[start.start() :]), name


def test_the_answers_form_is_described_and_all_is_well_with_them() -> None:
    assert list(problems(None, TokenMeter().estimate)) == []


def test_requests_of_one_review_begin_alike_and_nothing_of_the_change_stands_there(
    kilo: Runner, repo: Repo, server: Ollama
) -> None:
    for number in range(3):
        repo.stage(f"m{number}.py", "".join(f"secret_{number}_{line} = {line}\n" for line in range(400)))
    kilo(*use(server))
    asked = [body["messages"] for body in server.asked("/api/chat")]
    assert len(asked) > 1
    assert len({json.dumps(messages[0]) for messages in asked}) == 1
    before = {messages[1]["content"].partition("FILE m")[0] for messages in asked}
    assert len(before) == 1
    for text in (asked[0][0]["content"], *before):
        assert "secret_" not in text
        assert "m0.py" not in text


# What a small model says after us


REPEATED = "One or two sentences: the situation, and what then goes wrong"
PARROTED = {
    "code": "return sum(items) / len(items)",
    "file": "app.py",
    "line": 2,
    "problem": "It divides by zero.",
    "severity": "critical",
    "title": "The defect in at most ten words.",
    "type": "bug",
}


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"title": "Division", "problem": REPEATED},
    ],
    ids=["title", "problem"],
)
def test_a_finding_that_is_partly_in_the_words_of_the_instructions_is_asked_about_whatever_its_severity(
    kilo: Runner, buggy: Repo, server: Ollama, words: dict[str, Any]
) -> None:
    server.answer = json.dumps({"findings": [PARROTED | words | {"severity": "minor"}]})
    server.ruling = json.dumps({"confirmed": False, "evidence": "callers check"})
    done = kilo(*use(server), "--format", "json")
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["reason"]) == (0, "refuted", "callers check")
    assert done.json()["usage"]["requests"] == 2


def test_a_finding_in_the_words_of_the_instructions_does_not_count(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    server.answer = json.dumps({"findings": [PARROTED | {"problem": REPEATED}]})
    done = kilo(*use(server), "--format", "json")
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["reason"]) == (0, "refuted", "it repeats the instructions")
    assert done.json()["usage"]["requests"] == 1


def test_what_is_rescued_of_a_cut_answer_is_held_against_them_too(kilo: Runner, buggy: Repo) -> None:
    text = json.dumps({"findings": [PARROTED | {"problem": REPEATED, "rule": "any at all"}]})[:-2]
    done = kilo(*kilo.scripted({"text": text, "cut": True}), "--format", "json")
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["reason"]) == (3, "refuted", "it repeats the instructions")


def test_a_ruling_in_the_words_of_the_question_confirms_nothing(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    server.answer = json.dumps({"findings": [division]})
    server.ruling = json.dumps({"confirmed": True, "evidence": "that input and what then goes wrong"})
    done = kilo(*use(server), "--format", "json")
    assert (done.code, done.json()["findings"][0]["status"]) == (0, "unverified")


def test_an_explanation_in_the_words_of_the_question_explains_nothing(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    short = kilo(*kilo.scripted({"findings": [division]}), "--format", "json").json()["findings"][0]["fingerprint"][:8]
    cause = "In one to three sentences, why this code is wrong"
    done = kilo("explain", short, *kilo.scripted({"text": json.dumps({"cause": cause})}))
    assert done.code == 3
    assert "explains nothing: it repeats the instructions" in done.talk


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("the defect in at most ten words", True),
        ("DEFECT in at most ten words", True),
        ("gives a wrong result", False),
        ("leaks a resource", False),
        ("wrong result, crash, data loss", False),
        ("Wrong in a case that will happen", True),
        ("", False),
        ("at most ten", False),
        ("Division by zero if the list is empty", False),
    ],
)
def test_what_is_a_repetition(text: str, repeats: bool) -> None:
    assert prompts.load().repeats(text) is repeats


# One's own


def test_the_list_tells_what_is_ones_own_and_what_each_costs(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "review.md").write_text("Look:\n\n{{change}}\n")
    lines = kilo("prompts", "--prompts", str(own)).text.splitlines()
    assert [line.partition(":")[0] for line in lines] == [*prompts.PLACEHOLDERS, "kilo-review"]
    assert lines[0].startswith("system: shipped; about ")
    assert lines[1] == f"review: {own / 'review.md'}; about 7 tokens; {{{{change}}}}"
    assert lines[-1].startswith("kilo-review: version ")


def test_what_is_exported_can_be_used_as_it_is(kilo: Runner, buggy: Repo, server: Ollama, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert kilo("prompts", "export", str(folder)).code == 0
    assert kilo("prompts", "check", str(folder)).text.endswith("mine: all is well\n")
    kilo(*use(server))
    kilo(*use(server), "--prompts", str(folder))
    assert len(chats(server)) == 1  # the same words: what was answered is known
    done = kilo("prompts", "export", str(folder))
    assert (done.code, "is there already" in done.talk) == (2, True)


def test_a_folder_that_cannot_be_written_is_said(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = kilo("prompts", "export", str(tmp_path / "file" / "x"))
    assert (done.code, "cannot be written: " in done.talk) == (2, True)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("system.md", "You review. Say what is wrong.", 'the answer\'s "code" is not described'),
        ("verify.md", '{{claim}} {{type}} "confirmed"', 'the answer\'s "evidence" is not described'),
        ("sytem.md", "x", "no prompt has this name; did you mean system.md?"),
    ],
)
def test_what_would_lead_a_review_astray_is_told(
    kilo: Runner, repo: Repo, tmp_path: Path, name: str, text: str, told: str
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text(text)
    done = kilo("prompts", "check", str(tmp_path / "own"))
    assert done.code == 2
    assert told in done.text


def test_a_costly_prompt_is_noted_and_a_foreign_file_too(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "review.md").write_text("Look closely. " * 50 + "{{change}}")
    (tmp_path / "own" / "NOTES.md").write_text("mine")
    done = kilo("prompts", "check", "--prompts", str(tmp_path / "own"))
    assert done.code == 0
    assert "review.md: note: about 237 tokens, more than 40" in done.text
    assert "NOTES.md: note: no prompt has this name; there are: system, " in done.text


def test_a_prompt_without_its_place_is_an_error_everywhere(kilo: Runner, repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "review.md").write_text("Look.")
    for words in (("prompts",), ("prompts", "check"), ("prompts", "show", "review"), ("--dry-run",)):
        done = kilo(*words, "--prompts", str(tmp_path / "own"))
        assert (done.code, "must contain {{change}} exactly once" in done.talk) == (2, True), words


def test_a_prompt_is_shown_as_it_is_used(kilo: Runner, repo: Repo) -> None:
    assert kilo("prompts", "show", "verify").text.strip() == shipped("verify").strip()
    assert all(f"--- {name} ---" in kilo("prompts", "show").text for name in prompts.PLACEHOLDERS)
