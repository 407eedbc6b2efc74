"""`kilo-review bench`: the scorer by itself, readers with known habits over the shipped cases, and what is kept."""

from __future__ import annotations

import difflib
import json
import os
import re
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.bench import case as cases_of
from kilo_review.bench import report
from kilo_review.bench.run import chosen
from kilo_review.bench.score import FEWEST, Result, Share, percentile, score, verdict
from kilo_review.cli.bench import SHIPPED
from kilo_review.core.errors import ConfigError
from tests.support.fakes.base import NOTHING_FOUND, Failure
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import by_server, chats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kilo_review.bench.case import Case
    from tests.conftest import Result as Ended
    from tests.conftest import Runner

LANGUAGES = {"python", "javascript", "typescript", "go", "rust", "java", "c", "sql", "shell"}
SMALL = """\
---
title: Mean of a cart
language: python
kind: bug
file: app.py
lines: 2
why: mean([]) divides by zero
---

# app.py

```diff
 def mean(items):
-    return sum(items) / len(items) if items else 0
+    return sum(items) / len(items)
```
"""


@pytest.fixture(scope="module")
def shipped() -> list[Case]:
    return cases_of.load_all(SHIPPED)


@pytest.fixture
def server() -> Iterator[Ollama]:
    with Ollama(models=[Model("reader:1b", loaded_window=8192)]) as fake:
        yield fake


def bench(kilo: Runner, server: Ollama, *arguments: str, **settings: Any) -> Ended:
    return kilo("bench", "--provider", "ollama", "--base-url", server.url, *arguments, **settings)


def row_of(done: Ended) -> dict[str, Any]:
    assert done.code == 0, done.talk
    (row,) = json.loads(done.stdout)["models"]
    assert isinstance(row, dict)
    return row


def counts(share: dict[str, Any]) -> tuple[int, int]:
    return share["of"], share["total"]


# Readers, who know a change by its lines


def asked_about(shipped: list[Case], body: dict[str, Any]) -> Case:
    text = body["messages"][-1]["content"]
    (found,) = [
        case
        for case in shipped
        if all(f"FILE {each.path}" in text for each in case.files if each.before != each.after)
        and all(line in text for _, line in added(case)[1])
    ]
    return found


def added(case: Case) -> tuple[str, list[tuple[int, str]]]:
    """The path that matters, and the numbers and texts of the lines that the change adds to it, or makes a gap at."""
    file = next(each for each in case.files if each.path == (case.file or each.path) and each.before != each.after)
    old, new = ((side or "").splitlines() for side in (file.before, file.after))
    pieces = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    changed = [number for tag, *_, first, end in pieces if tag != "equal" for number in range(first, end)]
    if not changed:
        changed = [number - 1 for number in cases_of.changed_lines(file)]
    return file.path, [(number + 1, new[number]) for number in changed if new[number].strip()]


def finding(path: str, line: int, code: str) -> dict[str, Any]:
    words = {"problem": "It goes wrong.", "severity": "critical", "title": "It is wrong", "type": "bug"}
    return {"code": code.strip(), "file": path, "line": line, **words}


def perfect(case: Case) -> list[dict[str, Any]]:
    if case.is_clean:
        return []
    path, lines = added(case)
    return [finding(path, line, code) for line, code in lines if case.first <= line <= case.last][:1]


def crying_wolf(case: Case) -> list[dict[str, Any]]:
    path, lines = added(case)
    return [finding(path, line, code) for line, code in lines]


def misquoting(case: Case) -> list[dict[str, Any]]:
    return [finding(added(case)[0], 1, "launch(the.rockets)")]


@pytest.mark.parametrize(
    ("reader", "recall", "precision", "alarms", "astray", "says"),
    [
        (perfect, (32, 32), 1.0, (0, 32), 0.0, "fit to block"),
        (lambda _: [], (0, 32), None, (0, 32), None, "fit for neither: no findings; recall below 15%"),
        (crying_wolf, (32, 32), "low", (32, 32), 0.0, "fit for neither: precision below 50%; more than 15% of clean"),
        (misquoting, (0, 32), None, (0, 32), 1.0, "fit for neither: no findings; recall"),
    ],
    ids=["perfect", "silent", "everything", "misquoting"],
)
@pytest.mark.long
def test_readers_get_the_figures_that_they_deserve(
    kilo: Runner,
    server: Ollama,
    shipped: list[Case],
    reader: Callable[[Case], list[dict[str, Any]]],
    recall: tuple[int, int],
    precision: float | str | None,
    alarms: tuple[int, int],
    astray: float | None,
    says: str,
) -> None:
    server.answer = lambda body: json.dumps({"findings": reader(asked_about(shipped, body))})
    row = row_of(bench(kilo, server, "--format", "json"))
    assert row["model"] == "reader:1b"
    assert row["changes"] == len(shipped)
    assert counts(row["recall"]) == recall
    assert counts(row["clean_with_findings"]) == alarms
    assert row["wrong_anchors"]["value"] == astray
    assert counts(row["unanswered"]) == (0, len(shipped))
    if precision == "low":
        assert row["precision"]["value"] < 0.5
    else:
        assert row["precision"]["value"] == precision
    assert row["verdict"].startswith(says)


@pytest.mark.long
def test_what_the_verifier_takes_out_does_not_count(kilo: Runner, server: Ollama, shipped: list[Case]) -> None:
    server.answer = lambda body: json.dumps({"findings": crying_wolf(asked_about(shipped, body))[:1]})
    server.ruling = '{"confirmed": false, "evidence": "no such input"}'
    row = row_of(bench(kilo, server, "--format", "json", "--limit", "8"))
    assert (row["refuted"], row["requests_per_change"]) == (8, 2.0)
    assert counts(row["clean_with_findings"]) == (0, 4)
    row = row_of(bench(kilo, server, "--format", "json", "--limit", "8", "--verify", "off"))
    assert (row["refuted"], row["requests_per_change"]) == (0, 1.0)
    assert counts(row["clean_with_findings"]) == (4, 4)


# What comes with the program


def test_there_are_enough_cases_of_each_language_and_half_are_clean(shipped: list[Case]) -> None:
    assert len(shipped) >= 60
    assert {case.language for case in shipped} == LANGUAGES
    kinds = Counter((case.language.replace("typescript", "javascript"), case.is_clean) for case in shipped)
    assert set(kinds.values()) == {4}


def test_each_bug_is_on_lines_that_the_change_touches(shipped: list[Case]) -> None:
    for case in shipped:
        if not case.is_clean:
            assert any(case.first <= line <= case.last for line, _ in added(case)[1]), case.name


def test_no_case_tells_its_answer(shipped: list[Case]) -> None:
    for case in shipped:
        if not case.is_clean:
            for file in case.files:
                assert not re.search(r"(?i)\b(bug|fixme|todo|vulnerab|wrong)", file.after or ""), case.name


def test_the_cases_survive_being_written_and_read(shipped: list[Case]) -> None:
    for case in shipped:
        assert cases_of.parse(cases_of.render(case), case.name) == case


@pytest.mark.parametrize(
    "character", ["\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\ud800", "\ufeff", "\uffff"], ids=ascii
)
def test_a_title_of_any_characters_survives_being_written_and_read(character: str) -> None:
    case = cases_of.parse(SMALL, "small")._replace(title=f"a{character}b", why=f"c{character}d")
    assert cases_of.parse(cases_of.render(case), "small") == case


# The format


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("title: Mean of a cart\n", "", "has no 'title'"),
        ("kind: bug", "kind: wrong", "is no kind of bug"),
        ("file: app.py", "file: other.py", "needs `file`"),
        ("lines: 2", "lines: two", "needs `file`"),
        ("lines: 2", "lines: 3", "has no lines 3-3"),
        ("```diff", "```python", "is not followed by a block"),
        ("# app.py", "# ../app.py", "is no path of a repository"),
        ("# app.py", "# .git/config", "is no path of a repository"),
        ("# app.py", "# ./.git/config", "is no path of a repository"),
        ("# app.py", "# sub/.GIT/config", "is no path of a repository"),
        ("# app.py", "# sub//app.py", "is no path of a repository"),
        ("# app.py", "# git~1/config", "is no path of a repository"),
        ("+    return", "return", "begins with neither"),
        ("-    return sum(items) / len(items) if items else 0\n+", " ", "changes nothing"),
        ("why: mean", "why: [", "not valid YAML"),
        ("\n---\n\n", "\n\n", "has no end"),
    ],
)
def test_a_malformed_case_is_an_error(kilo: Runner, tmp_path: Path, old: str, new: str, why: str) -> None:
    assert old in SMALL
    (tmp_path / "small.md").write_text(SMALL.replace(old, new))
    with pytest.raises(ConfigError, match="the case") as caught:
        cases_of.load(tmp_path / "small.md")
    assert why in str(caught.value)
    done = kilo("bench", "--cases", str(tmp_path), *kilo.scripted({"findings": []}))
    assert (done.code, "small" in done.talk) == (2, True)


def test_folders_without_cases_are_errors(kilo: Runner, tmp_path: Path) -> None:
    for folder, why in ((tmp_path / "none", "does not exist"), (tmp_path, "there are no cases")):
        done = kilo("bench", "--cases", str(folder), *kilo.scripted({"findings": []}))
        assert (done.code, why in done.talk) == (2, True)
    (tmp_path / "odd.md").write_bytes(b"\xff")
    assert kilo("bench", "--cases", str(tmp_path), *kilo.scripted()).code == 2


def test_a_removal_is_placed_beside_the_gap() -> None:
    lines = cases_of.changed_lines(cases_of.File("a", "a", "one\ntwo\nthree\n", "one\nthree\n"))
    assert lines == (1, 2)
    assert cases_of.changed_lines(cases_of.File("a", "a", "one\n", None)) == (1, 1)


def test_a_limit_takes_as_many_clean_ones_and_all_languages(shipped: list[Case]) -> None:
    few = chosen(shipped, 16)
    assert sum(case.is_clean for case in few) == 8
    assert len({(case.language, case.is_clean) for case in few}) >= 14
    assert chosen(shipped, 1000) == shipped
    assert sum(case.is_clean for case in chosen(shipped, 1)) == 0


# Figures


def result(name: str = "x", **facts: Any) -> Result:
    blank = Result(name, True, 0, 0, 0, 0, "", 1, 500, 10, 1.0)
    return blank._replace(**facts)


@pytest.mark.parametrize(
    ("of", "total", "low", "high"),
    # Wilson without continuity correction, as in Newcombe 1998, table I, and for no successes 1 / (1 + n / z^2).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_the_literature(of: int, total: int, low: float, high: float) -> None:
    interval = Share(of, total).interval
    assert interval
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_nothing_out_of_nothing_is_no_share() -> None:
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, None)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 21)], 0.95) == 19.0
    assert percentile([7.0], 0.95) == 7.0


def sheet(hits: int, bugs: int, alarms: int, clean: int, failures: int = 0) -> list[Result]:
    return [
        *(result(is_clean=False, hits=int(at < hits)) for at in range(bugs)),
        *(result(others=int(at < alarms)) for at in range(clean - failures)),
        *(result(failure="not answered in time") for _ in range(failures)),
    ]


@pytest.mark.parametrize(
    ("results", "says"),
    [
        (sheet(10, 32, 3, 32), "fit to block"),
        (sheet(10, 32, 4, 32), "fit to advise, not to block"),
        (sheet(7, 32, 0, 32), "fit to advise, not to block"),
        (sheet(30, 32, 5, 32), "fit for neither: more than 15% of clean changes with a finding"),
        (sheet(4, 32, 0, 32), "fit for neither: recall below 15%"),
        (sheet(5, 32, 6, 64), "fit for neither: precision below 50%"),
        (sheet(32, 32, 0, 32, failures=7), "fit for neither: more than 10% of the changes without an answer"),
        (sheet(14, 14, 0, FEWEST - 15), "not judged: 29 cases are too few (at least 30)"),
    ],
)
def test_verdicts(results: list[Result], says: str) -> None:
    assert verdict(score("m", results)) == says


def test_the_page_escapes_what_a_model_is_called() -> None:
    name = "<script>alert(1)</script>\x1b[2J"
    text = report.page([score(name, sheet(10, 32, 3, 32)), score("other", sheet(1, 3, 0, 0))])
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text
    assert text.count("<circle") == 1
    assert "http" not in text
    assert report.text([]) == "kilo-review bench: nothing was run\n"


# A run


@pytest.mark.long
def test_the_table_compares_models(kilo: Runner, server: Ollama) -> None:
    server.models.append(Model("other:2b", loaded_window=8192))
    done = bench(kilo, server, "--model", "reader:1b", "--model", "other:2b", "--limit", "4", "--model", "none:3b")
    assert done.code == 0, done.talk
    assert re.search(r"^ +reader:1b +other:2b$", done.text, re.MULTILINE)
    assert re.search(r"^clean changes with a finding +0% \(0-66\), 0/2 +0% \(0-66\), 0/2$", done.text, re.MULTILINE)
    assert "reader:1b: not judged: 4 cases are too few (at least 30)" in done.text
    assert "fit to block: precision at least 75%, recall at least 25%" in done.text
    assert "kilo-review: none:3b: " in done.talk
    assert "of 4 changes, about " in done.talk
    assert bench(kilo, server, "--model", "none:3b", "--model", "none:4b").code == 3


def test_a_page_goes_into_a_file(kilo: Runner, server: Ollama, tmp_path: Path) -> None:
    done = bench(kilo, server, "--limit", "2", "--format", "html", "--output", str(tmp_path / "bench.html"), "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "bench.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.long
def test_what_was_measured_is_not_asked_again(kilo: Runner, server: Ollama) -> None:
    first = row_of(bench(kilo, server, "--limit", "6", "--format", "json"))
    asked = len(chats(server))
    assert asked == 6
    assert row_of(bench(kilo, server, "--limit", "6", "--format", "json")) == first
    assert len(chats(server)) == asked
    row_of(bench(kilo, server, "--limit", "8", "--format", "json"))
    assert len(chats(server)) == asked + 2
    row_of(bench(kilo, server, "--limit", "8", "--format", "json", "--option", "temperature=0.5"))
    assert len(chats(server)) == asked + 10
    row_of(bench(kilo, server, "--limit", "8", "--format", "json", "--fresh"))
    assert len(chats(server)) == asked + 18


@pytest.mark.long
def test_results_that_cannot_be_kept_are_said(kilo: Runner, server: Ollama) -> None:
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "kilo-review"
    cache.mkdir(parents=True)
    (cache / "bench").write_text("in the way")
    done = bench(kilo, server, "--limit", "2")
    assert (done.code, "could not be kept: " in done.talk) == (0, True)


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.long
def test_ctrl_c_keeps_what_is_done(kilo: Runner, server: Ollama, jobs: str) -> None:
    enough, done, lock = threading.Event(), threading.Event(), threading.Lock()
    asked: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> str:
        with lock:
            asked.append(body)
            is_late = len(asked) > 5
        if is_late:
            enough.set()
            done.wait(20)
        return NOTHING_FOUND

    server.answer = answer
    process = kilo.started("bench", "--jobs", jobs, "--format", "json", env=by_server(server))
    assert enough.wait(60)
    process.send_signal(signal.SIGINT)
    output, talk = process.communicate(timeout=20)
    done.set()
    assert process.returncode == 130, talk
    assert "what was done is kept" in talk.decode()
    (row,) = json.loads(output)["models"]
    assert 3 <= row["changes"] <= 5
    server.answer = NOTHING_FOUND
    before = len(chats(server))
    assert row_of(bench(kilo, server, "--format", "json", "--jobs", jobs))["changes"] == 64
    assert len(chats(server)) - before == 64 - row["changes"]


@pytest.mark.long
def test_several_at_once_have_the_same_figures(kilo: Runner, server: Ollama, shipped: list[Case]) -> None:
    server.answer = lambda body: json.dumps({"findings": perfect(asked_about(shipped, body))})
    row = row_of(bench(kilo, server, "--limit", "20", "--jobs", "4", "--format", "json"))
    assert (counts(row["recall"]), counts(row["clean_with_findings"])) == ((10, 10), (0, 10))


@pytest.mark.long
def test_a_server_that_fails_ends_the_run_soon(kilo: Runner, server: Ollama) -> None:
    server.failure = Failure(500, {"error": "llama runner process has terminated"})
    done = bench(kilo, server)
    assert done.code == 3
    assert "the model does not answer: " in done.talk
    assert "What was done is kept" in done.talk
    assert len(chats(server)) < 12


def test_replies_that_cannot_be_read_are_counted(kilo: Runner, server: Ollama) -> None:
    server.answer = "I would rather not say."
    done = bench(kilo, server, "--limit", "4", "--format", "json")
    row = row_of(done)
    assert counts(row["unanswered"]) == (4, 4)
    assert row["reasons"]


@pytest.mark.long
def test_it_needs_no_repository_and_heeds_none(kilo: Runner, server: Ollama, tmp_path: Path) -> None:
    assert bench(kilo, server, "--limit", "2", cwd=tmp_path).code == 0
    (kilo.directory / ".kilo-review.toml").write_text('exclude = ["*"]\n')
    assert row_of(bench(kilo, server, "--limit", "2", "--format", "json", "--fresh"))["requests_per_change"] == 1.0
