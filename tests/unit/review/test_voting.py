"""Several answers about each chunk: what most of them say counts, and nothing that one of them said is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes.base import NOTHING_FOUND, asks_again
from tests.support.fakes.ollama import Model, Ollama

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.conftest import Repo, Result, Runner


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=8192)]) as fake:
        yield fake


@pytest.fixture
def vote(kilo: Runner, buggy: Repo, server: Ollama) -> Callable[..., Result]:
    """A review with three votes, or as many as are named; the answers, in order."""

    def voted(*answers: str, votes: int = 3) -> Result:
        waiting = list(answers)
        server.answer = lambda _body: waiting.pop(0)
        arguments = ("--provider", "ollama", "--base-url", server.url, "--votes", str(votes), "--format", "json")
        return kilo(*arguments)

    return voted


def saying(*findings: dict[str, Any]) -> str:
    return json.dumps({"findings": findings})


def first_answers(server: Ollama) -> Sequence[dict[str, Any]]:
    return [body for body in server.asked("/api/chat") if not asks_again(body)]


def test_what_most_answers_see_counts(vote: Callable[..., Result], division: dict[str, Any]) -> None:
    reworded = division | {"title": "It may divide by zero", "line": 1}
    done = vote(saying(division), NOTHING_FOUND, saying(reworded))
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["title"]) == (1, "active", division["title"])


def test_what_few_see_is_kept_and_does_not_count(
    vote: Callable[..., Result], server: Ollama, division: dict[str, Any]
) -> None:
    done = vote(saying(division), NOTHING_FOUND, NOTHING_FOUND)
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["reason"]) == (0, "refuted", "seen in 1 of 3 answers")
    assert [asks_again(body) for body in server.asked("/api/chat")] == [False, False, False]


def test_answers_that_class_a_defect_differently_have_seen_the_same(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    done = vote(saying(division), saying(division | {"type": "security"}), saying(division | {"type": "api"}))
    assert [found["status"] for found in done.json()["findings"]] == ["active"]


def test_of_two_defects_of_one_line_each_has_its_own_votes(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    other = division | {
        "title": "Wrong tenant",
        "problem": "The tenant of the items is not checked.",
        "type": "security",
    }
    done = vote(saying(division, other), saying(other), saying(other, division | {"title": "It may divide by zero"}))
    assert {found["title"]: found["status"] for found in done.json()["findings"]} == {
        "Division by zero": "active",
        "Wrong tenant": "active",
    }


def test_no_more_answers_are_asked_for_than_can_change_anything(
    vote: Callable[..., Result], server: Ollama, division: dict[str, Any]
) -> None:
    vote(NOTHING_FOUND, NOTHING_FOUND)
    assert len(first_answers(server)) == 2


def test_of_five_votes_three_that_agree_are_enough(
    vote: Callable[..., Result], server: Ollama, division: dict[str, Any]
) -> None:
    assert vote(*[saying(division)] * 3, votes=5).code == 1
    assert len(first_answers(server)) == 3


def test_seeds_and_temperature_differ_and_the_first_answer_is_that_of_a_plain_review(
    vote: Callable[..., Result], server: Ollama, division: dict[str, Any]
) -> None:
    vote(saying(division), NOTHING_FOUND, saying(division))
    asked = [(body["options"]["seed"], body["options"]["temperature"]) for body in first_answers(server)]
    assert asked == [(7, 0), (8, 0.4), (9, 0.4)]
    assert {body["options"]["num_ctx"] for body in server.asked("/api/chat")} == {8192}


def test_hunks_come_in_another_order_each_time(kilo: Runner, repo: Repo, server: Ollama) -> None:
    for name in "abc":
        repo.stage(f"{name}.py", f"{name} = 1\n")
    kilo("--provider", "ollama", "--base-url", server.url, "--votes", "5")
    orders = [
        [line for line in body["messages"][1]["content"].splitlines() if line.startswith("FILE")]
        for body in first_answers(server)
    ]
    assert [order[0][5] for order in orders] == ["a", "b", "c"]
    assert len({frozenset(order) for order in orders}) == 1


def test_an_answer_that_cannot_be_read_has_no_vote_and_nothing_is_lost(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    nonsense = ["Hm."] * 3  # each is asked for again twice
    done = vote(saying(division), *nonsense, *nonsense)
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["reason"]) == (
        0,
        "unverified",
        "seen in 1 of 1 answer that could be read",
    )


def test_an_answer_that_repeats_the_instructions_is_no_vote(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    parroted = division | {"title": "The defect in at most ten words."}
    done = vote(saying(parroted), saying(division), saying(division))
    (found,) = done.json()["findings"]
    assert (done.code, found["status"], found["title"]) == (1, "active", division["title"])


def test_most_answers_must_see_it_in_words_of_their_own(vote: Callable[..., Result], division: dict[str, Any]) -> None:
    repeated = "One or two sentences: the situation, and what then goes wrong"
    parroted = saying(division | {"title": "The defect in at most ten words.", "problem": repeated})
    found, parrot = vote(saying(division), parroted, parroted).json()["findings"]
    assert (found["status"], found["reason"]) == ("refuted", "seen in 1 of 3 answers")
    assert (parrot["title"], parrot["status"]) == ("The defect in at most ten words.", "refuted")


def test_where_most_answers_see_something_else_each_all_of_it_counts(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    other = {"type": "performance", "title": "Slow query", "problem": "It reads the whole table each time."}
    third = {"type": "security", "title": "Injection", "problem": "Input becomes code unchecked."}
    found = vote(*(saying(division | answer) for answer in ({}, other, third))).json()["findings"]
    assert {each["title"]: each["status"] for each in found} == dict.fromkeys(
        ("Division by zero", "Slow query", "Injection"), "active"
    )


def test_what_most_answers_see_is_not_lost_beside_another_defect_of_the_line(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    other = {"type": "performance", "title": "Slow query", "problem": "It reads the whole table each time."}
    for answers in ([other, {}, {}], [{}, other, {}], [{}, {}, other]):
        found = vote(*(saying(division | answer) for answer in answers)).json()["findings"]
        assert {each["title"]: each["status"] for each in found} in (
            {"Division by zero": "active"},  # the third answer was not needed
            {"Division by zero": "active", "Slow query": "refuted"},
        )


def test_a_first_answer_that_cannot_be_read_does_not_stand_for_the_others(
    vote: Callable[..., Result], division: dict[str, Any]
) -> None:
    done = vote(*["Hm."] * 3, saying(division), saying(division))
    assert [found["status"] for found in done.json()["findings"]] == ["active"]


def test_without_an_answer_that_can_be_read_nothing_was_reviewed(vote: Callable[..., Result]) -> None:
    done = vote(*["Hm."] * 9)
    assert (done.code, done.json()["outcome"]) == (3, "not_reviewed")


@pytest.mark.long
def test_what_was_seen_before_the_server_died_is_not_lost(
    kilo: Runner, buggy: Repo, server: Ollama, division: dict[str, Any]
) -> None:
    def dying(_body: dict[str, Any]) -> str:
        if len(first_answers(server)) > 1:
            raise ConnectionResetError
        return saying(division)

    server.answer = dying
    done = kilo("--provider", "ollama", "--base-url", server.url, "--votes", "3", "--format", "json")
    report = done.json()
    assert (done.code, report["coverage"]["not_reviewed"]) == (3, 1)
    assert [(found["status"], found["blocking"]) for found in report["findings"]] == [("unverified", False)]


def test_a_vote_is_remembered_apart_from_a_single_answer(
    vote: Callable[..., Result], kilo: Runner, server: Ollama, division: dict[str, Any]
) -> None:
    vote(saying(division), NOTHING_FOUND, NOTHING_FOUND)
    vote()
    asked = len(first_answers(server))
    server.answer = saying(division)
    assert kilo("--provider", "ollama", "--base-url", server.url).code == 1
    assert (asked, len(first_answers(server))) == (3, 4)


def test_lines_of_an_emptied_file_are_told_apart_though_they_have_no_number(
    vote: Callable[..., Result], repo: Repo, division: dict[str, Any]
) -> None:
    repo.stage("app.py", "")
    quotes = ["def mean(items):", "return sum(items) / len(items)", "if not items:"]
    done = vote(*(saying(division | {"code": quote}) for quote in quotes))
    told = [(found["line"], found["status"], found["evidence"].strip()) for found in done.json()["findings"]]
    assert sorted(told) == sorted((0, "refuted", quote) for quote in quotes)
    assert done.code == 0


@pytest.mark.parametrize("votes", ["2", "0", "x"])
def test_only_odd_numbers_have_a_majority(kilo: Runner, buggy: Repo, votes: str) -> None:
    assert kilo("--votes", votes).code == 2


def test_hooks_do_not_vote(kilo: Runner, buggy: Repo, server: Ollama) -> None:
    assert kilo("hook", "pre-commit", "--votes", "3").code == 2
    kilo("hook", "pre-commit", "--provider", "ollama", "--base-url", server.url, env={"KILO_REVIEW_VOTES": "3"})
    assert len(first_answers(server)) == 1


def test_a_bench_measures_the_vote(kilo: Runner, server: Ollama) -> None:
    kilo("bench", "--provider", "ollama", "--base-url", server.url, "--limit", "2", "--votes", "3")
    assert len(first_answers(server)) == 4
