"""What was decided once: comments in the code, the baseline, dismissals."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.judge.baseline import MOST, Known, accepted, combined, from_bytes, to_text
from kilo_review.judge.suppress import ignores_in
from kilo_review.ledger import store
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import Hooked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

BUGGY = "def mean(items):\n{above}    return sum(items) / len(items){behind}\n"
CI = {"GITHUB_EVENT_NAME": "pull_request"}


def finding(path: str, code: str, **changes: Any) -> Finding:
    facts: dict[str, Any] = {"severity": Severity.MAJOR, "category": Category.BUG, "title": "t", "message": "m"}
    return Finding(path, 1, 1, evidence=code, **(facts | changes))


def statuses(report: dict[str, Any]) -> list[str]:
    return [each["status"] for each in report["findings"]]


# Comments in the code


@pytest.mark.parametrize(
    ("above", "behind"),
    [
        ("", "  # kilo-review: ignore[bug] callers check"),
        ("    # kilo-review: ignore[bug] callers check\n", ""),
        ("    # kilo-review: ignore[security] x\n    # kilo-review: ignore[bug, api] callers check\n", ""),
        ("", "  # noqa: X1  Kilo-Review: IGNORE[Bug]: callers check"),
    ],
)
def test_a_comment_takes_its_category_out(
    kilo: Runner, repo: Repo, division: dict[str, Any], above: str, behind: str
) -> None:
    repo.stage("calc.py", BUGGY.format(above=above, behind=behind))
    report = kilo(*kilo.scripted({"findings": [division | {"file": "calc.py"}]}), "--format", "json").json()
    (found,) = report["findings"]
    assert (found["status"], report["blocking"]) == ("suppressed", False)
    assert found["reason"].endswith("callers check")
    assert report["usage"]["requests"] == 1  # nothing is asked about it


@pytest.mark.parametrize(
    ("above", "behind", "told"),
    [
        ("", "  # kilo-review: ignore[bug]", "calc.py:2: the comment kilo-review: ignore gives no reason"),
        ("", "  # kilo-review: ignore callers check", "names no category: ignore[bug] reason"),
        ("", "  # kilo-review: ignore[bugs] callers check", "names 'bugs', which is no category"),
        ("", "  # kilo-review: ignore[api] callers check", ""),
        ("    items = []  # kilo-review: ignore[bug] of this line\n", "", ""),
        ("    # kilo-review: ignore[bug] too far away\n\n", "", ""),
        ("", '; log("kilo-review: ignore[bug] in a string")', ""),
        ("", '; log("50% # kilo-review: ignore[bug] in a string")', ""),
        ("    '# kilo-review: ignore[bug] in a string'\n", "", ""),
    ],
)
def test_what_does_not_speak_of_it_leaves_it(
    kilo: Runner, repo: Repo, division: dict[str, Any], above: str, behind: str, told: str
) -> None:
    repo.stage("calc.py", BUGGY.format(above=above, behind=behind))
    done = kilo(*kilo.scripted({"findings": [division | {"file": "calc.py"}]}))
    assert done.code == 1
    assert told in done.text
    assert bool(told) is ("note: " in done.text)


def test_a_pull_request_does_not_excuse_itself(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    comment = "    # kilo-review: ignore[bug] callers check\n"
    repo.stage("calc.py", BUGGY.format(above=comment, behind=""))
    script = kilo.scripted({"findings": [division | {"file": "calc.py"}]})
    done = kilo(*script, env=CI)
    assert done.code == 1
    assert "is not honoured, since this pull request brings it in" in done.text
    assert kilo(*script).code == 0


def test_comments_that_suppress_nothing_are_told_if_that_is_wanted(kilo: Runner, repo: Repo) -> None:
    lines = "# kilo-review: ignore[bug] long gone\nx = 1\ny = 2  # kilo-review: ignore[security]\n"
    repo.stage("a.py", lines)
    script = kilo.scripted({"findings": []})
    assert "ignore" not in kilo(*script).text
    done = kilo(*script, "--report-unused")
    assert "note: a.py:1: kilo-review: ignore[bug] suppresses nothing" in done.text
    assert "note: a.py:3: kilo-review: ignore[security] gives no reason" in done.text
    repo.git("commit", "-q", "-m", "with comments")
    repo.stage("a.py", lines + "z = 3\n")  # shows both again, and changes neither
    assert "ignore" not in kilo(*script, "--report-unused").text


@pytest.mark.parametrize(
    "line",
    [
        *("# {}", "// {}", "/* {} */", " * {}", "-- {}", "; {}", "% {}", "<!-- {} -->", "{{- {} -}}", "(* {} *)"),
        *("REM {}", "dnl {}", "! {}", "/// {}", "/** {} */", ";; {}", "# noqa: {}", "{{/* {} */}}", "{{# {} #}}"),
        *(
            "<%-- {} --%>",
            "{{{{!-- {} --}}}}",
            "@* {} *@",
            "x = 1 // {}",
            "*p = 1; // {}",
            "#define X 1 // {}",
            "--i; // {}",
        ),
    ],
)
def test_comments_of_all_languages(line: str) -> None:
    text = line.format("kilo-review: ignore[bug] it is so")
    (found,) = ignores_in({7: text}).values()
    assert (found.line, found.categories, found.reason, found.problem) == (7, frozenset({"bug"}), "it is so", "")
    assert found.is_alone is ("1" not in line and "i;" not in line)


@pytest.mark.parametrize(("mark", "path"), [("'", "form.vb"), ('"', ".config/plug.vim")])
def test_a_quotation_mark_begins_a_comment_in_few_languages(mark: str, path: str) -> None:
    lines = {1: f"{mark} kilo-review: ignore[bug] it is so"}
    assert ignores_in(lines, path)[1].is_alone
    assert not ignores_in(lines, "app.py")


def test_a_word_in_the_code_is_no_comment() -> None:
    assert not ignores_in({1: "kilo-review: ignore[bug] x", 2: 'say("please kilo-review: ignore[bug] x")'})


@pytest.mark.parametrize("line", ["*p = 1;", "--i;", "#define X 1", "!x && y();"])
def test_a_comment_behind_code_speaks_of_that_line_alone(
    kilo: Runner, repo: Repo, division: dict[str, Any], line: str
) -> None:
    repo.stage("a.c", f"{line} // kilo-review: ignore[bug] of this line\nreturn a / b;\n")
    finding = division | {"file": "a.c", "code": "return a / b;"}
    assert statuses(kilo(*kilo.scripted({"findings": [finding]}), "--format", "json").json()) == ["active"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.js", "return a / b; f(`// kilo-review: ignore[bug] x`)"),
        ("a.go", 'return a / b; f("é// kilo-review: ignore[bug] x")'),
        ("a.sh", 'return a / b; f "# kilo-review: ignore[bug] x"'),
    ],
)
def test_a_string_that_looks_like_a_comment_is_none(
    kilo: Runner, repo: Repo, division: dict[str, Any], path: str, line: str
) -> None:
    repo.stage(path, line + "\n")
    finding = division | {"file": path, "code": "return a / b;"}
    assert statuses(kilo(*kilo.scripted({"findings": [finding]}), "--format", "json").json()) == ["active"]


def test_an_old_comment_excuses_no_line_that_a_pull_request_changes(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    above = "    # kilo-review: ignore[bug] callers check\n"
    repo.commit("base", calc__py=BUGGY.format(above=above, behind="").replace("len(", "count("))
    repo.stage("calc.py", BUGGY.format(above=above, behind="  # kilo-review: ignore[bug] me too"))
    script = kilo.scripted({"findings": [division | {"file": "calc.py"}]})
    report = kilo(*script, "--format", "json", env=CI).json()
    assert statuses(report) == ["active"]
    assert [note for note in report["notes"] if "is not honoured, since this pull request" in note]
    assert statuses(kilo(*script, "--format", "json").json()) == ["suppressed"]


# By path


@pytest.mark.parametrize(
    ("table", "changes", "status"),
    [
        ('"app.py" = { off = ["bug"] }', {}, "suppressed"),
        ('"*.py" = { off = ["critical"] }', {}, "suppressed"),
        ('"tests/" = { off = ["bug"] }', {}, "active"),
        ('"*.py" = { off = ["bug"] }\n"app.*" = { on = ["bug"] }', {}, "active"),
        ("", {"type": "maintainability", "severity": "minor"}, "suppressed"),
        ('"*" = { on = ["nits"] }', {"type": "maintainability", "severity": "minor"}, "active"),
        ("", {"type": "maintainability", "severity": "major"}, "active"),
    ],
)
def test_categories_and_severities_by_path(
    kilo: Runner, buggy: Repo, division: dict[str, Any], table: str, changes: dict[str, str], status: str
) -> None:
    buggy.write(".kilo-review.toml", f"[categories]\n{table}\n")
    report = kilo(*kilo.scripted({"findings": [division | changes]}), "--format", "json").json()
    assert statuses(report) == [status]


@pytest.mark.parametrize(
    "line",
    [
        "categories = 1",
        '[categories]\n"*" = 1',
        '[categories]\n"*" = { off = "bug" }',
        '[categories]\n"*" = { off = ["bugs"] }',
    ],
)
def test_a_wrong_table_is_told(kilo: Runner, buggy: Repo, line: str) -> None:
    buggy.write(".kilo-review.toml", line + "\n")
    assert kilo("--dry-run").code == 2


# The baseline


def many(number: int) -> tuple[str, list[dict[str, Any]]]:
    """A file with that many functions, each with a finding."""
    body = [f"def f{n}(a, b):\n    c{n} = a\n    return c{n} / b + {n}\n\n\n" for n in range(number)]
    claim = {"file": "old.py", "line": 1, "problem": "p", "severity": "critical", "title": "t", "type": "bug"}
    return "".join(body), [claim | {"code": f"return c{n} / b + {n}"} for n in range(number)]


@pytest.mark.long
def test_it_holds_after_lines_above_and_a_rename_that_git_sees(kilo: Runner, repo: Repo) -> None:
    content, claims = many(20)
    repo.stage("old.py", content)
    script = kilo.scripted({"findings": claims})
    done = kilo("baseline", "create", *script, "--reason", "legacy")
    assert done.code == 0, done.talk
    assert "20 accepted in" in done.talk
    assert kilo("baseline", "check").code == 0
    report = kilo(*script, "--format", "json").json()
    assert statuses(report) == ["baseline"] * 20
    repo.commit("all of it")
    moved = [each | {"file": "sub/new.py"} for each in claims]
    repo.git("rm", "-q", "old.py")
    repo.stage("sub/new.py", "# above\n" * 10 + content.replace("+ 0\n", "+ 0\n    # more\n"))
    script = kilo.scripted({"findings": [each | {"code": each["code"]} for each in moved[:1]]})
    report = kilo(*script, "--format", "json").json()
    assert statuses(report) == ["baseline"]
    assert report["blocking"] is False
    assert {each["reason"] for each in report["findings"]} == {"legacy"}
    assert kilo("baseline", "update", *script).code == 0
    entries = json.loads((repo.path / ".kilo-review/baseline.json").read_text())["findings"]
    assert sum(each["path"] == "sub/new.py" for each in entries) == 1
    assert {each["reason"] for each in entries} == {"legacy"}


def test_code_that_moves_without_git_seeing_it_is_judged_anew(kilo: Runner, repo: Repo) -> None:
    content, claims = many(3)
    repo.stage("old.py", content)
    assert kilo("baseline", "create", *kilo.scripted({"findings": claims})).code == 0
    repo.commit("all of it")
    inside = "".join(f"    {line}" if line.strip() else line for line in content.splitlines(keepends=True))
    repo.git("rm", "-q", "old.py")
    repo.stage("sub/new.py", "# above\n" * 200 + "class Moved:\n" + inside)
    script = kilo.scripted({"findings": [each | {"file": "sub/new.py"} for each in claims]})
    assert statuses(kilo(*script, "--format", "json").json()) == ["active"] * 3


def test_one_more_than_was_accepted_counts(kilo: Runner, repo: Repo) -> None:
    line = "return total_of_everything / count_of_everything\n"
    gap = "".join(f"# {n}\n" for n in range(9))
    repo.stage("a.txt", line + gap)
    claim = {"file": "a.txt", "line": 1, "problem": "p", "severity": "critical", "title": "t", "type": "bug"}
    script = kilo.scripted({"findings": [claim | {"code": line}, claim | {"code": line, "line": 11}]})
    assert kilo("baseline", "create", *script).code == 0
    assert statuses(kilo(*script, "--format", "json").json()) == ["baseline"]
    repo.stage("a.txt", line + gap + line)
    assert sorted(statuses(kilo(*script, "--format", "json").json())) == ["active", "baseline"]


OLD = "def f(a, b):\n    c = a + 1\n    return total(c) / count(b)\n"
TWICE = "def g(a, b):\n    c = a + 2\n    return total(c) / count(b)\n\n\n"


@pytest.mark.parametrize(
    ("content", "marked"),
    [
        (TWICE + OLD, {3: "active", 8: "baseline"}),  # the old one has only moved down
        (OLD + "# x\n" * 9 + TWICE, {15: "active"}),  # it was not even touched
        (OLD.replace("f(a", "renamed(a"), {3: "active"}),  # all of it is new, as far as git sees
        (TWICE + OLD.replace("f(a", "renamed(a"), {3: "active", 8: "active"}),
    ],
    ids=["above", "below", "renamed", "renamed and doubled"],
)
def test_a_new_function_does_not_take_the_place_of_an_accepted_one(
    kilo: Runner, repo: Repo, division: dict[str, Any], content: str, marked: dict[int, str]
) -> None:
    claim = division | {"file": "new.py", "code": "return total(c) / count(b)"}
    repo.stage("new.py", OLD)
    assert kilo("baseline", "create", *kilo.scripted({"findings": [claim]})).code == 0
    if 15 in marked:
        repo.commit("accepted")
    repo.stage("new.py", content)
    script = kilo.scripted({"findings": [claim | {"line": line} for line in marked]})
    found = kilo(*script, "--format", "json").json()["findings"]
    assert {each["line"]: each["status"] for each in found} == marked


def test_only_code_counts_as_there_however_it_is_spaced_and_wherever_one_stands(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    (repo.path / "sub").mkdir()
    line = b"return '\xe9' * a[0].total(b)/c^2 # \\ $x {1} +?|\n"
    repo.stage("app.py", line)
    claim = division | {"code": line.decode("utf-8", "replace").strip()}
    assert kilo("baseline", "create", *kilo.scripted({"findings": [claim]})).code == 0
    repo.commit("with the baseline, which quotes the code")
    repo.git("mv", "app.py", "other.py")
    repo.stage("other.py", b"if a:\n\t" + line.replace(b"/c", b" / c"))
    for folder in (repo.path, repo.path / "sub"):
        assert kilo("baseline", "check", cwd=folder).text == "kilo-review: 1 accepted, 0 of them gone\n"
    repo.stage("other.py", b"more = " + line)
    assert kilo("baseline", "check").code == 1
    repo.git("rm", "-q", "-f", "other.py")
    assert kilo("baseline", "check").code == 1


def test_two_equal_entries_hold_for_two(kilo: Runner, repo: Repo) -> None:
    line = "return total_of_everything / count_of_everything\n"
    repo.stage("a.txt", line + "# \n" * 9 + line)
    claim = {"file": "a.txt", "code": line, "problem": "p", "severity": "critical", "title": "t", "type": "bug"}
    script = kilo.scripted({"findings": [claim | {"line": 1}, claim | {"line": 11}]})
    assert kilo("baseline", "create", *script).code == 0
    path = repo.path / ".kilo-review/baseline.json"
    (entry,) = json.loads(path.read_text())["findings"]
    merged = {"version": 1, "findings": [entry | {"times": 1}] * 2}  # both sides of a merge have added it
    path.write_text(json.dumps(merged))
    assert statuses(kilo(*script, "--format", "json").json()) == ["baseline"] * 2


def test_what_is_accepted_does_not_block_and_what_is_not_in_the_code_is_not_accepted(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    script = kilo.scripted({"findings": [division, division | {"code": "launch_rockets(now)"}]})
    report = kilo("baseline", "create", *script, "--format", "json").json()  # compares the exit code
    assert (report["exit_code"], report["blocking"]) == (0, False)
    assert kilo("baseline", "check").text == "kilo-review: 1 accepted, 0 of them gone\n"


def test_what_is_gone_is_told_and_forgotten(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.stage("app.py", BUGGY.format(above="", behind=""))
    assert kilo("baseline", "create", *kilo.scripted({"findings": [division]})).code == 0
    repo.stage("app.py", "x = 1\n")
    done = kilo("baseline", "check")
    assert done.code == 1
    assert "app.py: bug: gone: return sum(items) / len(items)" in done.text
    assert kilo("baseline", "update", *kilo.scripted({"findings": []})).code == 0
    assert kilo("baseline", "check").text == "kilo-review: 0 accepted, 0 of them gone\n"


def test_it_is_sorted_and_every_entry_has_its_lines() -> None:
    entries = [accepted(finding(path, code), "why") for path in ("b.py", "a.py") for code in ("y = 2", "x = 1")]
    text = to_text(entries)
    assert text == to_text(reversed(entries))
    assert [row["path"] for row in json.loads(text)["findings"]] == ["a.py", "a.py", "b.py", "b.py"]
    assert text.endswith("}\n")
    assert text.count("\n") > 4 * len(entries)
    assert from_bytes(text.encode(), "x") == combined(entries)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ('<<<<<<< ours\n{"version": 1}', "it holds a merge conflict"),
        ("[]", "it has no version"),
        ('{"version": 2, "findings": []}', "has version 2, and this program reads 1"),
        ('{"version": 1}', "it has no list of findings"),
        ('{"version": 1, "findings": [{}]}', "an entry has not the keys"),
        ('{"version": 1, "findings": [1]}', "is damaged"),
    ],
)
def test_a_damaged_or_newer_file_is_no_empty_baseline(kilo: Runner, buggy: Repo, content: str, told: str) -> None:
    buggy.write(".kilo-review/baseline.json", content)
    for command in ((), ("baseline", "check"), ("baseline", "update")):
        done = kilo(*command, *kilo.scripted({"findings": []}))
        assert (done.code, told in done.talk) == (2, True), done.talk
    assert (buggy.path / ".kilo-review/baseline.json").read_text() == content


def test_wrong_values_of_an_entry() -> None:
    row = accepted(finding("a.py", "x = 1"), "why")._asdict()
    wrong_texts = ({"code": "\ud800"}, {"code": "a\0b"}, {"path": "\ud800"}, {"path": 1}, {"category": "x"})
    for wrong in (
        {"times": 0},
        {"times": MOST + 1},
        {"times": "1"},
        {"times": True},
        {"status": "active"},
        *wrong_texts,
    ):
        with pytest.raises(ConfigError, match="is damaged: ValueError"):
            from_bytes(json.dumps({"version": 1, "findings": [row | wrong]}).encode(), "x")


def test_what_is_accepted_too_often_to_be_read_again_is_written_as_often_as_can_be() -> None:
    entry = accepted(finding("a.py", "x = 1"), "why")._replace(times=MOST)
    assert from_bytes(to_text([entry, entry]).encode(), "x") == (entry,)


def test_a_file_that_is_named_must_be_there_and_the_repository_names_only_its_own(
    kilo: Runner, buggy: Repo, tmp_path: Path
) -> None:
    assert kilo("--baseline", str(tmp_path / "none.json"), *kilo.scripted()).code == 2
    buggy.write(".kilo-review.toml", 'baseline = "../outside.json"\n')
    done = kilo("--dry-run")
    assert (done.code, "must be a file of the repository" in done.talk) == (2, True)


def test_create_does_not_overwrite_and_update_does_not_create(kilo: Runner, buggy: Repo) -> None:
    script = kilo.scripted({"findings": []})
    assert kilo("baseline", "update", *script).code == 2
    assert kilo("baseline", "check", *script).code == 2
    assert kilo("baseline", "create", "mine.json", *script).code == 0
    assert kilo("baseline", "create", "mine.json", *script).code == 2
    assert json.loads((buggy.path / "mine.json").read_text()) == {"version": 1, "findings": []}


def test_nothing_is_accepted_if_nothing_was_looked_at(kilo: Runner, buggy: Repo) -> None:
    assert kilo("baseline", "create", *kilo.scripted({"error": "no"})).code == 3
    assert not (buggy.path / ".kilo-review").exists()


def test_an_untouched_line_keeps_its_entry_below_a_heading_that_changes(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    claim = division | {"file": "new.py", "code": "return total(c) / count(b)", "line": 3}
    script = kilo.scripted({"findings": [claim]})
    repo.stage("new.py", OLD)
    assert kilo("baseline", "create", *script).code == 0
    repo.commit("accepted")
    repo.stage("new.py", OLD.replace("f(a", "renamed(a"))
    assert statuses(kilo(*script, "--format", "json").json()) == ["baseline"]


def test_an_entry_holds_for_its_file_and_symbol_and_as_often_as_it_says() -> None:
    entries = [accepted(finding("a.py", "x = compute(all, the, things)", symbol=name), name) for name in ("f", "g")]
    known = Known(combined(entries), {}, lambda finding: (finding.fingerprint,))
    marked = [known.mark(finding("a.py", "x = compute(all, the, things)", symbol=name)) for name in ("g", "h", "g")]
    assert [(each.status, each.reason) for each in marked] == [
        (Status.BASELINE, "g"),
        (Status.ACTIVE, None),
        (Status.ACTIVE, None),
    ]
    assert known.mark(finding("b.py", "x = compute(all, the, things)", symbol="f")).status is Status.ACTIVE
    assert [entry.symbol for entry in known.unused] == ["f"]


# Dismissals


def identifier(done: Any) -> str:
    (line,) = [line for line in done.text.splitlines() if "Division by zero" in line]
    return str(line.rsplit(" ", 1)[1])


def test_what_was_dismissed_stays_so_in_a_file_that_git_sees_renamed(
    kilo: Runner, buggy: Repo, division: dict[str, Any]
) -> None:
    script = kilo.scripted({"findings": [division]})
    done = kilo(*script)
    assert done.code == 1
    told = kilo("dismiss", identifier(done), "--reason", "callers check")
    assert told.code == 0
    assert "undismiss" in told.text
    again = kilo(*script, "-v")
    assert again.code == 0
    assert "[dismissed: callers check]" in again.text
    buggy.git("mv", "app.py", "other.py")
    moved = kilo(*kilo.scripted({"findings": [division | {"file": "other.py"}]}), "--format", "json").json()
    assert statuses(moved) == ["dismissed"]
    assert "callers check" in kilo("dismissed").text
    buggy.git("commit", "-q", "-m", "renamed")
    buggy.stage("other.py", "def mean(items):\n    # the mean\n    return sum(items) / len(items)\n")
    script = kilo.scripted({"findings": [division | {"file": "other.py"}]})
    later = kilo(*script, "--format", "json").json()  # git sees no rename any more
    assert statuses(later) == ["dismissed"]
    rows = json.loads(kilo("dismissed", "--format", "json").stdout)["dismissed"]
    places = [(row["shared"], row["path"], row["code"]) for row in rows]
    assert places == [(False, path, "return sum(items) / len(items)") for path in ("app.py", "other.py")]
    assert json.loads(kilo("stats", "--format", "json").stdout)["dismissed"] == 2
    assert kilo("cache", "clear").code == 0  # a decision is no cache
    assert kilo("undismiss", identifier(done)).code == 0
    assert kilo("undismiss", rows[1]["fingerprint"]).code == 0
    assert kilo("dismissed").text == "kilo-review: nothing was dismissed\n"


def test_a_short_line_is_dismissed_in_its_own_function_alone(
    kilo: Runner, repo: Repo, division: dict[str, Any]
) -> None:
    repo.stage("two.py", "def f(a):\n    return a\n\n\ndef g(a):\n    a += 1\n    return a\n")  # one hunk
    claim = division | {"file": "two.py", "code": "return a"}
    script = kilo.scripted({"findings": [claim | {"line": 2}, claim | {"line": 7}]})
    first, second = kilo(*script, "--format", "json").json()["findings"]
    assert kilo("dismiss", first["fingerprint"][:8]).code == 0
    again = kilo(*script, "--format", "json").json()["findings"]
    assert sorted((each["line"], each["status"]) for each in again) == [(2, "dismissed"), (7, "active")]
    assert first["fingerprint"] != second["fingerprint"]


@pytest.mark.parametrize("shared", [(), ("--shared",)], ids=["own", "shared"])
def test_a_short_line_outside_of_any_function_is_dismissed_in_its_file_alone(
    kilo: Runner, repo: Repo, division: dict[str, Any], shared: tuple[str, ...]
) -> None:
    repo.stage("a.txt", "}\n")
    repo.stage("b.txt", "}\n")
    script = kilo.scripted({"findings": [division | {"code": "}", "file": name} for name in ("a.txt", "b.txt")]})
    first, _ = kilo(*script, "--format", "json").json()["findings"]
    assert kilo("dismiss", first["fingerprint"][:8], *shared).code == 0
    again = kilo(*script, "--format", "json").json()["findings"]
    assert [(each["path"], each["status"]) for each in again] == [("a.txt", "dismissed"), ("b.txt", "active")]


def test_it_is_shared_in_the_baseline(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    short = identifier(kilo(*script))
    done = kilo("dismiss", short, "--shared", "--reason", "callers check")
    assert "commit it" in done.text
    (entry,) = json.loads((buggy.path / ".kilo-review/baseline.json").read_text())["findings"]
    assert (entry["status"], entry["reason"]) == ("dismissed", "callers check")
    assert kilo(*script).code == 0
    assert kilo("baseline", "update", *script).code == 0
    assert "shared] callers check" in kilo("dismissed").text
    assert kilo("undismiss", short).code == 0
    assert kilo(*script).code == 1


@pytest.mark.parametrize("command", ["dismiss", "undismiss", "explain"])
@pytest.mark.parametrize("word", ["", "abc", "xyzw", "../../", "%%%%", "abcdabcd"])
def test_ids_that_are_none(kilo: Runner, buggy: Repo, command: str, word: str) -> None:
    done = kilo(command, word)
    assert done.code == 2
    assert "Traceback" not in done.talk


@pytest.mark.long
def test_a_dismissal_holds_at_push_too(
    buggy: Repo, kilo: Runner, tmp_path: Path, division: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILO_REVIEW_FAIL_ON", "critical")
    buggy.git("init", "-q", "--bare", "../remote.git")
    buggy.git("remote", "add", "origin", "../remote.git")
    buggy.git("push", "-q", "-u", "origin", "main")
    hooked = Hooked(buggy, tmp_path)
    hooked.install("pre-push")
    with Ollama(models=[Model("m:1", loaded_window=8192)], answer=json.dumps({"findings": [division]})) as server:
        monkeypatch.setenv("KILO_REVIEW_PROVIDER", "ollama")
        monkeypatch.setenv("KILO_REVIEW_BASE_URL", server.url)
        buggy.git("commit", "-q", "-m", "buggy")
        done = hooked.push("-q", check=False)
        assert done.returncode == 1
        shown = (done.stdout + done.stderr).decode()
        short = next(line for line in shown.splitlines() if "Division by zero" in line).rsplit(" ", 1)[1]
        asked = len(server.asked("/api/chat"))
        assert kilo("dismiss", short).code == 0
        assert "1 finding" not in kilo("status").text
        assert hooked.push("-q", check=False).returncode == 0
        assert len(server.asked("/api/chat")) == asked  # by the receipt
        # A receipt that was made while it was dismissed tells nothing of it after that has been taken back.
        buggy.stage("other.py", BUGGY.format(above="", behind=""))
        buggy.git("commit", "-q", "-m", "again")
        kilo("catch-up")
        assert kilo("undismiss", short).code == 0
        assert hooked.push("-q", check=False).returncode == 1


def test_without_a_ledger_a_decision_is_not_taken_for_kept(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    short = identifier(kilo(*kilo.scripted({"findings": [division]})))
    folder = buggy.path / ".git" / "kilo-review"
    for path in folder.iterdir():
        path.unlink()
    (folder / "ledger.sqlite3").mkdir()
    done = kilo("dismiss", short)
    assert done.code == 3
    assert "the ledger cannot be used" in done.talk


def test_no_cache_keeps_decisions(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    kilo("dismiss", identifier(kilo(*script)))
    assert kilo(*script, "--no-cache").code == 0


def test_a_ledger_of_version_1_is_brought_up_to_date(kilo: Runner, buggy: Repo, division: dict[str, Any]) -> None:
    script = kilo.scripted({"findings": [division]})
    kilo(*script)
    hooked = Hooked(buggy, buggy.path)
    database = sqlite3.connect(buggy.path / ".git/kilo-review/ledger.sqlite3")
    later = ("DROP TABLE shown", "DROP TABLE dismissals", "ALTER TABLE receipts DROP COLUMN answerer")
    for statement in (*later, "PRAGMA user_version = 1"):
        database.execute(statement)
    database.commit()
    database.close()
    report = kilo(*script, "--format", "json").json()
    assert report["usage"]["requests"] == 0
    assert hooked.rows("PRAGMA user_version") == [(store.VERSION,)]
    assert kilo("dismiss", report["findings"][0]["fingerprint"][:8]).code == 0
