"""From the model's words to findings: reading, anchoring, merging, blocking."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import Category, Finding, Severity, Status
from kilo_review.core.outcome import Entry, Outcome, State, Target, TargetKind
from kilo_review.judge import quotes
from kilo_review.judge.anchor import UNANCHORED, Anchored, anchor, merged
from kilo_review.judge.contradict import ALREADY_SO, REPLACED
from kilo_review.judge.parse import SEVERITIES, Claim, parse, salvage
from kilo_review.judge.policy import ExitCode, FailOn, OnUnavailable, exit_code, mark_blocking
from kilo_review.judge.remedy import parse_explanation
from kilo_review.judge.statement import LONGEST_BY_SIGNS
from kilo_review.judge.verify import parse_ruling
from kilo_review.plan.chunk import LEFT_OUT, Piece, TokenMeter, pieces_of
from kilo_review.plan.context import Context, Heading
from kilo_review.source.patch import parse_patch

ITEM = {
    "code": "x = 1",
    "file": "a.py",
    "line": 3,
    "problem": "p",
    "severity": "critical",
    "title": "t",
    "type": "bug",
}


def reply(*items: dict[str, Any]) -> str:
    return json.dumps({"findings": list(items)})


# Reading


@pytest.mark.parametrize(
    "text",
    [
        reply(ITEM),
        "\ufeff" + reply(ITEM),
        f"```json\n{reply(ITEM)}\n```",
        f"Here is what I found:\n```\n{reply(ITEM)}\n```\nGood luck!",
        f"<think>Is {{it}} wrong? []</think>{reply(ITEM)}",
        f"Is it wrong?</think>\n{reply(ITEM)}",
        json.dumps([ITEM]),
        f"Sure. {reply(ITEM)} That is all.",
        reply(ITEM | {"severity": " Critical "}),
        reply(ITEM | {"type": "BUG"}),
        reply(ITEM | {"line": "3"}),
        reply(ITEM | {"confidence": 9}),
    ],
    ids=lambda text: text[:24],
)
def test_a_readable_reply(text: str) -> None:
    assert parse(text) == [Claim("x = 1", "a.py", 3, "p", Severity.CRITICAL, "t", Category.BUG)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("No problems found.", "not JSON"),
        ("{}", "no list"),
        ('{"findings": null}', "no list"),
        ('{"findings": {}}', "no list"),
        ('{"findings": [1]}', "not an object"),
        (reply({key: value for key, value in ITEM.items() if key != "code"}), "no text 'code'"),
        (reply(ITEM | {"severity": "catastrophic"}), "unknown severity"),
        (reply(ITEM | {"type": "style"}), "unknown type"),
        (reply(ITEM | {"type": "unicode"}), "unknown type"),
        (reply(ITEM)[:-5], "not JSON"),
        ('{"findings": [], "findings": [1]}', "not JSON"),
        ('{"findings": NaN}', "not JSON"),
        ("[" * 10_000, "not JSON"),
        ("<think>Let me look at", "still thinking"),
        (reply(*[ITEM] * 51), "51 findings"),
        (f'{{"findings": []}}\n{json.dumps(ITEM)}', "beside its list"),
        (json.dumps({"findings": [], "issues": [ITEM]}), "beside its list"),
        (json.dumps({"findings": [], **ITEM}), "beside its list"),
        (json.dumps({"review": {"findings": [ITEM]}, "findings": []}), "beside its list"),
        (json.dumps({"Findings": [ITEM], "findings": []}), "beside its list"),
        ('{"findings": []} {"issue": "x", "severity": "major"}', "beside its list"),
        (f'Here: {json.dumps(ITEM)} and so {{"findings": []}}', "beside its list"),
    ],
    ids=lambda text: text[:24],
)
def test_an_unreadable_reply_is_never_clean(text: str, reason: str) -> None:
    with pytest.raises(BadReplyError, match=reason):
        parse(text)


LOOSE = {
    "a tab": ('"x\t= 1"', "x\t= 1"),
    "a tab in prose around it": ('"x\t= 1"', "x\t= 1"),
    "a line break": ('"x = 1\ny = 2"', "x = 1\ny = 2"),
    "an escape character": ('"x\x1b[2J"', "x\x1b[2J"),
    "NUL": ('"x\0y"', "x\0y"),
    "a pattern": (r'"re.match(\"\d+\.\w\", x)"', r're.match("\d+\.\w", x)'),
    "an escaped quote": (r'"x = \'a\'"', "x = 'a'"),
    "a path": (r'"open(C:\users\x41)"', r"open(C:\users\x41)"),
    "half of a code point": (r'"\u00g0 \u12"', r"\u00g0 \u12"),
    "the end of a line": ('"x = 1 + \\\ny"', "x = 1 + \\\ny"),
    "proper escapes beside them": (r'"\d\\d\"\/\u0041\t"', '\\d\\d"/A\t'),
    "commas that are text": (r'"f(a,) [b,] {c,}\d"', r"f(a,) [b,] {c,}\d"),
}
"""How a model writes a line of code, and what it says."""


@pytest.mark.parametrize(("written", "said"), LOOSE.values(), ids=LOOSE)
def test_a_quoted_line_is_read_where_json_has_no_word_for_it(written: str, said: str) -> None:
    text = reply(ITEM).replace('"x = 1"', written)
    first = Claim(said, "a.py", 3, "p", Severity.CRITICAL, "t", Category.BUG)
    for loose in (
        text,
        text.replace("]}", ",],}"),
        f"```json\n{text}\n```",
        f"Here: {text} That is all.",
        f"[] {text}",
    ):
        assert parse(loose) == [first]
    two = text.replace("}]", "}, " + json.dumps(ITEM) + ",\n]")
    assert [claim.code for claim in parse(two)] == [said, "x = 1"]
    assert salvage(two[:-8]) == [first]


@pytest.mark.parametrize(
    "text",
    [
        '{"findings": [,]}',
        '{"findings": [],,}',
        '{,"findings": []}',
        '{"findings": , }',
        '{"findings": [}]',
        '{"findings": [],',
        "{'findings': []}",
        '{"findings": [] /* none */}',
        '{"findings": [], "note": "cut',
        '{"findings": [], "note": "a\tb", "findings": [1],}',
        '{"findings": [], "note": "a\tb", "value": NaN}',
        '{"findings": [],} {"findings": [1],}',
        reply(ITEM).replace('"x = 1"', '"x = \t"1""'),
        reply(ITEM).replace('"x = 1"', '"x\t= 1", "code": "y = 1"'),
        reply(ITEM).replace('"x = 1"', '"x\t= 1" "a"'),
        reply(ITEM).replace('"x = 1"', '"C:\\"'),
        reply(ITEM).replace('"x = 1"', '"x\t= 1')[:-1],
        '{"a":' * 40 + '{"findings": [],}' + "}" * 40,
    ],
    ids=lambda text: text[:40],
)
def test_what_has_several_readings_is_not_read(text: str) -> None:
    for around in ("{}", "Here:\n{}\nThat is all."):
        with pytest.raises(BadReplyError):
            parse(around.replace("{}", text))


SCALES = {
    Severity.CRITICAL: ("critical", "blocker", "Fatal", "severe", "HIGH", "error"),
    Severity.MAJOR: ("major", "medium", "moderate", " warning", "Warn"),
    Severity.MINOR: ("minor", "low", "info", "informational", "note", "notice", "hint"),
}


def test_severities_of_other_scales_are_mapped_by_a_table() -> None:
    for severity, words in SCALES.items():
        assert {claim.severity for word in words for claim in parse(reply(ITEM | {"severity": word}))} == {severity}
    for word in ("", "none", "unknown", "highest", "not high", "error?", "critical or minor", "P1", "3"):
        with pytest.raises(BadReplyError, match="unknown severity"):
            parse(reply(ITEM | {"severity": word}))


def test_a_ruling_is_read_as_loosely_and_a_fix_never_with_two_readings() -> None:
    assert parse_ruling('{"confirmed": true, "evidence": "x\t\\d",}') == (True, "x \\d")
    fix = r'{"cause": "c", "example": "", "remove": "x\d", "write": "WRITE",}'
    assert parse_explanation(fix.replace("WRITE", "y\t\\w")).write == "y\t\\w"
    with pytest.raises(BadReplyError):
        parse_explanation(fix.replace("WRITE", r"y = \'don't\'"))


def test_the_manual_names_every_word_for_a_severity() -> None:
    text = (Path(__file__).parents[3] / "docs" / "usage.md").read_text()
    section = text.partition("## Severities")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", section)) == set(SEVERITIES)


def test_json_in_the_reasoning_counts_only_if_the_answer_is_empty() -> None:
    assert len(parse("", reasoning=reply(ITEM))) == 1
    assert parse(reply(), reasoning=reply(ITEM)) == []


def test_prose_around_a_list_does_not_hide_it() -> None:
    for text in (
        f"If the list is [] this fails: {reply(ITEM)}",
        f"```json\n{reply(ITEM)}\n```\nThat was [] wrong.",
        reply(ITEM | {"problem": "the marker </think>x = [] is split off"}),
    ):
        assert len(parse(text)) == 1
    with pytest.raises(BadReplyError, match="several lists"):
        parse(f'Normal is\n```json\n{{"findings": []}}\n```\nbut here: {reply(ITEM)}')
    with pytest.raises(BadReplyError, match="is not JSON"):
        parse(f'{reply(ITEM)[:-3]} ... or {{"findings": []}}')
    with pytest.raises(BadReplyError, match="several lists"):
        parse(f'The normal answer is {{"findings": []}}, but here is a defect:\n{reply(ITEM)}')


def test_a_line_number_that_is_none_is_none() -> None:
    for line in (None, True, "about 3", 2.5, [3]):
        assert parse(reply(ITEM | {"line": line}))[0].line is None


def test_complete_findings_of_a_cut_reply_are_kept() -> None:
    text = reply(ITEM, ITEM | {"title": "second"}, ITEM | {"title": "third"})
    assert [claim.title for claim in salvage(text[:-30])] == ["t", "second"]
    assert salvage('{"findings": [') == []
    assert salvage("nothing here") == []


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        claims = parse(text)
    except BadReplyError:
        return
    assert all(isinstance(claim, Claim) for claim in claims)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@pytest.mark.long
def test_any_json_is_read_or_refused(value: object) -> None:
    for text in (json.dumps(value), json.dumps({"findings": value})):
        try:
            claims = parse(text)
        except BadReplyError:
            continue
        assert all(isinstance(claim, Claim) for claim in claims)
        assert claims or value in ([], {"findings": []}), "what cannot be read is not clean"


# Anchoring

PATCH = b"""\
--- a/src/a.py
+++ b/src/a.py
@@ -10,6 +10,6 @@ def f(items):
 def f(items):
-    if not items:
-        return 0
+    total = sum(items)
+    count  =  len(items)
     return total / count
     # end
 x = 1
@@ -40,3 +40,4 @@
 y = 1
+x = 1
 z = 3
 w = 4
--- a/src/b.py
+++ b/src/b.py
@@ -1,2 +0,0 @@
-gone = 1
-also_gone = 2
"""


def pieces(patch: bytes = PATCH) -> list[Piece]:
    diff = parse_patch(patch)
    context = Context(headings=(Heading(10, "def f(items)"),))
    return [
        piece
        for change in diff.files
        for hunk in change.hunks
        for piece in pieces_of(change, hunk, diff.lines(hunk), context, TokenMeter(), 4000)
    ]


def request(files: dict[str, list[str]]) -> list[Piece]:
    """Return a request with one hunk of each file, which begins in line 1 and has these rows."""
    patch = ""
    for path, rows in files.items():
        old, new = (sum(row[0] in kinds for row in rows) for kinds in (" -", " +"))
        patch += f"--- a/{path}\n+++ b/{path}\n@@ -1,{old} +1,{new} @@\n" + "".join(f"{row}\n" for row in rows)
    return pieces(patch.encode())


def place(
    code: str, line: int | None = None, file: str = "src/a.py", among: list[Piece] | None = None
) -> tuple[str, int, int, str, Status]:
    claim = Claim(code, file, line, "p", Severity.CRITICAL, "t", Category.BUG)
    ((finding, _),) = anchor([claim], among or pieces())
    return finding.path, finding.line, finding.end_line, finding.evidence, finding.status


@pytest.mark.parametrize(
    ("code", "line", "expected"),
    [
        ("    total = sum(items)", 99, 11),
        ("total = sum(items)", None, 11),
        ("count=len(items)", 12, 12),
        ("   11 +     total = sum(items)", None, 11),
        ("+    total = sum(items)", None, 11),
        ("total / count", None, 13),
        ("    if not items:", None, 11),  # removed: the line beside the gap
        ("return 0", None, 11),
        ("x = 1", 16, 41),  # a changed line wins over an unchanged one that is nearer
        ("if not items:\n        return 0", None, 11),
        ("   41 + x = 1", None, 41),
        ("   11 +     total = sum(", None, 11),
        ("sum(it", None, 11),  # the shortest part of a line
        ("x = 1\nno such line", None, 41),
    ],
)
def test_the_quote_finds_the_line(code: str, line: int | None, expected: int) -> None:
    path, found, _, _, status = place(code, line)
    assert (path, found) == ("src/a.py", expected)
    assert status is not Status.UNANCHORED


TWICE = ["+x = 1", "+y = 2", " a = 1", "+x = 1", "+y = 2"]
NEAR = ["+x = 1", " a = 1", " b = 1", "+x = 1"]
INDENTED = ["+x = 1", "+    x = 1", "+\tx = 1  "]
DECOYS = ["+// never return eval(q);", "+", "+return eval(q); // rows of the caller"]
AGAIN = ["-x = 1", "+    x = 1", " a = 1", "+        x = 1"]


@pytest.mark.parametrize(
    ("rows", "code", "line", "expected"),
    [
        (INDENTED, "x = 1", None, (1, 1)),
        (INDENTED, "    x = 1", None, (2, 2)),  # a line that is equal wins over one that is so without white space
        (INDENTED, "    x = 1  ", None, (2, 2)),
        (INDENTED, "\tx = 1", None, (3, 3)),
        (NEAR, "x = 1", None, (1, 1)),
        (NEAR, "x = 1", 2, (1, 1)),
        (NEAR, "x = 1", 3, (4, 4)),
        (NEAR, "x = 1", 99, (4, 4)),
        (TWICE, "x = 1\ny = 2", None, (1, 2)),
        (TWICE, "x = 1\ny = 2", 5, (4, 5)),
        (AGAIN, "x = 1", None, (1, 1)),  # indented anew, not the one elsewhere
        ([" a = 1", " b = 1", "-gone = 1"], "gone = 1", None, (2, 2)),  # nothing follows: the line above the gap
        (["+halt()"], "if x: halt()", None, (1, 1)),
        (["+\x0cx = 1"], "\\x0cx = 1", None, (1, 1)),  # as the model was shown it
        (["+x = 1 //\x0c\0"], "x = 1 //", None, (1, 1)),
        (DECOYS, "return eval(q);", 3, (3, 3)),  # a part of two lines: the number decides
        (["+// return", "+return eval(q); // all"], "return eval(q); // all rows", 2, (2, 2)),  # not the shorter one
        (["+x = 1", f"+call({'a, ' * 800})"], f"call({'a, ' * 800})", 2, (2, 2)),
    ],
)
def test_the_place_of_a_quote(rows: list[str], code: str, line: int | None, expected: tuple[int, int]) -> None:
    found = place(code, line, among=request({"src/a.py": rows}))
    assert (found[1:3], found[4]) == (expected, Status.ACTIVE)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (["-x = first(a) or 0", " m = 1", "+x = first(a)"], "first(a)"),  # not removed and added in one place
        (["+end()"], "if x: end()"),
        (["+", "+x = 1"], "+ "),  # a gutter without code is not a blank line
    ],
)
def test_a_quote_without_one_certain_place_is_unanchored(rows: list[str], code: str) -> None:
    assert place(code, among=request({"src/a.py": rows}))[4] is Status.UNANCHORED


def test_where_a_quote_of_many_lines_stands_is_found_out_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []
    original = quotes._runs

    def counted(*arguments: Any, **settings: Any) -> Any:
        calls.append(None)
        return original(*arguments, **settings)

    monkeypatch.setattr(quotes, "_runs", counted)
    rows = [f"+line_{number} = {number}" for number in range(100)]
    code = "\n".join(f"other_{number} = {number}" for number in range(20))
    assert place(code, among=request({"src/a.py": rows}))[4] is Status.UNANCHORED
    assert len(calls) <= 4


def test_a_part_of_a_line_that_was_removed_in_another_hunk_is_unanchored() -> None:
    hunks = b"@@ -1,2 +1 @@\n a = 1\n-x = first(a) or 0\n@@ -9 +8,2 @@\n b = 1\n+x = first(a)\n"
    assert place("first(a)", among=pieces(b"--- a/src/a.py\n+++ b/src/a.py\n" + hunks))[4] is Status.UNANCHORED


def test_removed_lines_of_a_piece_that_holds_no_other_stand_where_it_begins() -> None:
    (whole,) = request({"src/a.py": [" a = 1", " b = 1", "-gone = 1", "-gone = 2"]})
    halves = whole.halves()
    assert halves
    assert place("gone = 2", among=list(halves))[1:3] == (3, 3)


@pytest.mark.parametrize("code", ["print('don\\'t')", "print('don't')"])
def test_a_quote_is_found_with_and_without_its_escape(code: str) -> None:
    line = code.encode()
    among = pieces(b"--- a/src/a.py\n+++ b/src/a.py\n@@ -1 +1,2 @@\n x = 1\n+    " + line + b"\n")
    for quote in ("print('don\\'t')", "print('don't')"):
        assert place(quote, among=among)[1:] == (2, 2, f"    {code}", Status.ACTIVE)


MOVED = b"""\
--- a/src/a.py
+++ b/src/a.py
@@ -1,6 +1,6 @@
 a = 1
-x = first(a) / b or 0
+if a:
+    x = first(a) / b or 0
 b = 2
-lock.release()
 c = 3
-y = second(a) / b or 0
+y = second(a) / b
@@ -20,2 +20,3 @@
 d = 4
+lock.release()
 e = 5
"""


@pytest.mark.parametrize(
    ("code", "line", "expected"),
    [
        ("x = first(a) / b or 0", 3, 3),
        ("x = first(a) / b or 0", None, 3),
        ("    x = first(a) / b or 0", 2, 3),
        ("second(a) / b", 6, 6),  # a part of a line, before and after
        ("y = second(a) / b or 0", None, 6),  # that is what was replaced, which proves nothing
        ("lock.release()", 4, 5),  # removed here, added in another hunk: the number says which of the two is meant
        ("lock.release()", 22, 21),
        ("- lock.release()", 22, 5),  # the sign says which of the two is meant
        ("   4 - lock.release()", None, 5),
        ("+ lock.release()", 4, 21),
    ],
)
def test_code_that_was_indented_anew_is_still_there(code: str, line: int | None, expected: int) -> None:
    found = place(code, line, among=pieces(MOVED))
    assert (found[1], found[4]) == (expected, Status.ACTIVE)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("total = add(items)\n    count  =  len(items)\n    return total / count", (12, 13)),
        ("total = sum(items)\ncount = number(items)\nreturn total / count", (11, 11)),
        ("for item in items:\n    count = len(items)", (12, 12)),
        ("for item in items:\nx = 1", None),  # that line stands twice
        ("for item in items:\n)", None),
    ],
)
def test_a_quote_that_is_wrong_in_part_stands_where_most_of_it_does(
    code: str, expected: tuple[int, int] | None
) -> None:  # fmt: skip
    _, first, last, _, status = place(code)
    assert (None if status is Status.UNANCHORED else (first, last)) == expected


def test_evidence_is_the_code_and_not_the_models_words() -> None:
    assert place("count=len(items)")[3] == "    count  =  len(items)"


def test_a_quote_of_several_lines_spans_them() -> None:
    assert place("total = sum(items)\ncount = len(items)")[1:3] == (11, 12)
    assert place("total = sum(items)\nsomething else")[1:3] == (11, 11)
    assert place("total = sum(items)\r\ncount = len(items)")[1:3] == (11, 12)


def test_a_blank_line_in_a_quote_is_found_with_and_without_its_gutter() -> None:
    among = pieces(b"--- a/src/a.py\n+++ b/src/a.py\n@@ -0,0 +1,3 @@\n+    x = 1\n+\n+    y = 2\n")
    for quote in ("x = 1\n\ny = 2", "   1 +     x = 1\n   2 +\n   3 +     y = 2"):
        assert place(quote, among=among)[1:3] == (1, 3)


@pytest.mark.parametrize("code", ["import os", "", "   ", "=", "items", "1", "sum(i"])
def test_what_is_not_there_is_unanchored(code: str) -> None:
    assert place(code)[4] is Status.UNANCHORED


@pytest.mark.parametrize("file", ["src/a.py", "a.py", "/work/src/a.py", "`src/a.py`", "FILE src/a.py", "wrong.py", ""])
def test_the_file_may_be_named_loosely(file: str) -> None:
    assert place("total = sum(items)", file=file)[0] == "src/a.py"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("src/b.py", "src/b.py"),
        (" src/b.py ", "src/b.py"),
        ("b.py", "src/b.py"),
        ("/work/src/b.py", "src/b.py"),
        ("`src/b.py`", "src/b.py"),
        ("'src/b.py'", "src/b.py"),
        ("FILE src/b.py", "src/b.py"),
        ("src/b.py (new file)", "src/b.py"),
        ("LATEX", "docs/LATEX"),
        ("src/c.py", "src/a.py"),
        ("", "src/a.py"),
        ("main.py", "src/a.py"),  # there are two: each file is looked through
    ],
)
def test_the_named_file_decides_between_equal_lines(name: str, expected: str) -> None:
    files = ("src/a.py", "src/b.py", "docs/LATEX", "one/main.py", "two/main.py")
    among = request({file: ["+total = sum(items)"] for file in files})
    assert place("total = sum(items)", file=name, among=among)[0] == expected


@pytest.mark.parametrize(
    ("others", "code", "expected"),
    [
        ([["+run(1)"]], "run(1)", "0.py"),
        ([["+go(1)"]], "go(1)", None),  # too short to be found in a file that was not named
        ([[" run(1)", "+x = 1"]], "run(1)", "0.py"),
        ([[" run(1)", "+x = 1"], ["+run(1)"]], "run(1)", "1.py"),  # an added line wins
        ([["+run(1)"], ["+run(1)"]], "run(1)", None),
        ([[" run(1)", "+x = 1"], [" run(1)", "+x = 1"]], "run(1)", None),
    ],
)
def test_a_quote_is_found_in_another_file_if_it_stands_in_one_place(
    others: list[list[str]], code: str, expected: str | None
) -> None:
    among = request({"src/a.py": ["+y = 2"], **{f"{number}.py": rows for number, rows in enumerate(others)}})
    found = place(code, among=among)
    assert (found[0], found[4]) == ((expected, Status.ACTIVE) if expected else ("src/a.py", Status.UNANCHORED))


def test_a_note_of_the_prompt_behind_the_path_is_no_part_of_it() -> None:
    assert place("gone = 1", file="src/b.py (deleted file)")[0] == "src/b.py"


def test_in_a_deleted_file_there_is_no_line() -> None:
    assert place("gone = 1", file="src/b.py")[:3] == ("src/b.py", 0, 0)


def test_an_unanchored_finding_keeps_a_line_inside_of_its_hunk() -> None:
    assert place("nonsense", line=42)[1] == 42
    assert place("nonsense", line=4000)[1] == 40
    assert place("nonsense", line=15)[1] == 15
    assert place("nonsense", line=17)[1] == 10  # the nearest hunk
    adjacent = pieces(b"--- a/src/a.py\n+++ b/src/a.py\n@@ -1 +1 @@\n-a\n+b\n@@ -2 +2 @@\n-c\n+d\n")
    assert place("nonsense", line=2, among=adjacent)[1] == 2
    both = request({"src/a.py": ["+b"] * 3, "src/b.py": ["+b"] * 9})
    assert place("nonsense", line=3, file="wrong.py", among=both)[0] == "src/a.py"  # the first that has the line


CLAIM = Claim(
    "total = sum(items)\ncount = len(items)", "src/a.py", 11, "pr\0", Severity.MAJOR, "ti\0", Category.API, rule="R"
)
PLACED = Finding(
    *("src/a.py", 11, 12, Severity.MAJOR, Category.API, "ti", "pr", "    total = sum(items)\n    count  =  len(items)"),
    symbol="def f(items)",
    rule="R",
)
GONE = "    if not items:\n        return 0"
AT_GAP = {"end_line": 11, "evidence": GONE, "is_removed": True}
LOST = {"symbol": "", "status": Status.UNANCHORED, "reason": UNANCHORED}


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ({}, {}),
        ({"doubt": "why"}, {"doubt": "why"}),
        ({"objection": "no"}, {"status": Status.REFUTED, "reason": "no"}),
        ({"fix": CLAIM.code}, {}),  # it differs from the code in white space
        ({"fix": PLACED.evidence}, {"status": Status.REFUTED, "reason": ALREADY_SO}),
        ({"code": GONE}, AT_GAP | {"doubt": REPLACED}),
        ({"code": GONE, "doubt": "why"}, AT_GAP | {"doubt": "why"}),
        ({"code": "no\0ne"}, LOST | {"end_line": 11, "evidence": "none"}),
        (
            {"code": LEFT_OUT},
            LOST | {"end_line": 11, "evidence": LEFT_OUT},  # nothing is left out there
        ),
    ],
)
def test_a_finding_has_all_that_the_claim_and_the_hunk_tell(claimed: dict[str, Any], expected: dict[str, Any]) -> None:
    among = pieces()
    assert anchor([CLAIM._replace(**claimed)], among) == [Anchored(PLACED._replace(**expected), among[0].hunk)]


@pytest.mark.parametrize(
    ("rows", "rest"),
    [
        (["+x = 1", "+y = 2"], []),
        (["+X = run(a)", "+y = 2"], []),
        (["+run(X", "+    , b)", "+y = 2"], ["    , b)"]),
        (["+run(", "+    a,  ", "+    b", "+)", "+y = 2"], ["    a,", "    b", ")"]),
        (["+run(", "+    f(", "+        a", "+    )", "+)", "+y = 2"], ["    f(", "        a", "    )", ")"]),
        (["+x = a +  ", "+    b", "+y = 2"], ["    b"]),
        (["+x = a", "+    .b()", "+y = 2"], ["    .b()"]),
        (["+run(", "-    a)", "     b)", "+y = 2"], ["    b)"]),
        (["-run(", "+go(", "-    a)", "+    b)"], ["    a)"]),
        (["+run(", *["+    a,"] * 30], ["    a,"] * (LONGEST_BY_SIGNS - 1)),
    ],
)
def test_the_rest_of_a_statement_is_told_with_its_first_line(rows: list[str], rest: list[str]) -> None:
    claim = CLAIM._replace(code=rows[0][1:])
    ((finding, _),) = anchor([claim], request({"src/a.py": rows}))
    assert (finding.evidence, finding.rest) == (claim.code, "\n".join(rest))


def test_duplicates_are_merged_and_the_worst_stays() -> None:
    minor = Claim("total = sum(items)", "src/a.py", 11, "p", Severity.MINOR, "one", Category.BUG)
    critical = minor._replace(severity=Severity.CRITICAL, title="One.", line=None)
    other = minor._replace(category=Category.SECURITY)
    more = minor._replace(title="two")
    findings = merged(each.finding for each in anchor([minor, critical, other, more], pieces()))
    told = [(finding.title, finding.category) for finding in findings]
    assert told == [("One.", "bug"), ("one", "security"), ("two", "bug")]
    longer = critical._replace(code="total = sum(items)\ncount = len(items)")
    findings = merged(each.finding for each in anchor([minor, longer], pieces()))
    assert [finding.severity for finding in findings] == [Severity.CRITICAL]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a < b is wrong", "a > b is wrong", 2),
        ("The index is -1", "The index is 1", 2),
        ("x += 1", "x -= 1", 2),
        ("`x` is null.", "x is null", 1),
        ("Wrong: 'x' is null!", "wrong x is null", 1),
        ("it fails (always)", "it fails (always).", 1),
        ("a.b fails", "a b fails", 2),
        ("a may be None", "A may be None", 1),  # the beginning of a sentence
        ("the value a is None", "the value A is None", 2),
    ],
)
def test_findings_that_differ_in_an_operator_are_two(one: str, other: str, expected: int) -> None:
    claim = Claim("total = sum(items)", "src/a.py", 11, "p", Severity.MINOR, one, Category.BUG)
    found = anchor([claim, claim._replace(title=other)], pieces())
    assert len(merged(each.finding for each in found)) == expected


@given(st.text(), st.text(), st.none() | st.integers())
def test_no_claim_breaks_the_anchoring(code: str, file: str, line: int | None) -> None:
    ((finding, _),) = anchor([Claim(code, file, line, "p", Severity.MINOR, "t", Category.BUG)], pieces())
    assert finding.path in {"src/a.py", "src/b.py"}


def test_the_fingerprint_survives_drift_and_rewording() -> None:
    one = Finding("a.py", 3, 3, Severity.MAJOR, Category.BUG, "t", "m", "if x:  # one", "def f(a)")
    moved = Finding("a.py", 90, 90, Severity.MINOR, Category.BUG, "other", "words", "if x:  # one ", "def  f(a)")
    assert one.fingerprint == moved.fingerprint
    others: tuple[dict[str, Any], ...] = (
        *({"path": "b.py"}, {"category": Category.API}, {"evidence": "if y:  # one"}, {"symbol": "def g(a)"}),
        *({"evidence": "if x:  #  one"}, {"evidence": "    if x:  # one"}, {"is_removed": True}),
    )
    for different in others:
        assert one._replace(**different).fingerprint != one.fingerprint


def test_indentation_is_a_part_of_the_fingerprint_where_the_language_heeds_it() -> None:
    def named(path: str, evidence: str) -> str:
        return Finding(path, 3, 3, Severity.MAJOR, Category.BUG, "t", "m", evidence).fingerprint

    assert named("a.c", "x = 1;") == named("a.c", "\t\tx = 1;")
    assert named("a.py", "x = 1") != named("a.py", "    x = 1")
    assert named("sub/Makefile", "x = 1") != named("sub/Makefile", "\tx = 1")


# Policy


def finding(severity: Severity, status: Status = Status.ACTIVE) -> Finding:
    return Finding("a.py", 1, 1, severity, Category.BUG, "t", "m", "e", status=status)


@pytest.mark.parametrize(
    ("fail_on", "blocked"),
    [
        (FailOn.CRITICAL, {Severity.CRITICAL}),
        (FailOn.MAJOR, {Severity.CRITICAL, Severity.MAJOR}),
        (FailOn.MINOR, set(Severity)),
        (FailOn.NEVER, set()),
    ],
)
def test_what_blocks(fail_on: FailOn, blocked: set[Severity]) -> None:
    marked = mark_blocking([finding(severity) for severity in reversed(Severity)], fail_on)
    assert [each.severity for each in marked] == list(Severity)
    assert {each.severity for each in marked if each.blocking} == blocked


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ACTIVE])
def test_only_an_active_finding_blocks(status: Status) -> None:
    (marked,) = mark_blocking([finding(Severity.CRITICAL, status)], FailOn.MINOR)
    assert not marked.blocking


def outcome(*states: State, blocking: bool = False) -> Outcome:
    made = Outcome(Target(TargetKind.STAGED, "b", "h"))
    made.entries = [Entry("a", 1, 1, 1, 0, state, "because") for state in states]
    if blocking:
        made.findings = mark_blocking([finding(Severity.CRITICAL)], FailOn.CRITICAL)
    return made


@pytest.mark.parametrize(
    ("made", "word", "blocking_code", "allowing_code"),
    [
        (outcome(), "clean", 0, 0),
        (outcome(State.REVIEWED), "clean", 0, 0),
        (outcome(State.SKIPPED), "not_reviewed", 0, 0),
        (outcome(State.CACHED, State.SKIPPED), "clean", 0, 0),
        (outcome(State.REVIEWED, State.NOT_REVIEWED), "incomplete", 3, 0),
        (outcome(State.NOT_REVIEWED), "not_reviewed", 3, 0),
        (outcome(State.NOT_REVIEWED, State.SKIPPED), "not_reviewed", 3, 0),
        (outcome(State.REVIEWED, blocking=True), "findings", 1, 1),
        (outcome(State.REVIEWED, State.NOT_REVIEWED, blocking=True), "incomplete", 1, 1),
    ],
)
def test_outcome_and_exit_code(made: Outcome, word: str, blocking_code: int, allowing_code: int) -> None:
    assert made.word == word
    assert exit_code(made, OnUnavailable.BLOCK) == ExitCode(blocking_code)
    assert exit_code(made, OnUnavailable.ALLOW) == ExitCode(allowing_code)


def test_an_interruption_is_the_exit_code_of_the_report_too() -> None:
    made = outcome(State.REVIEWED, State.NOT_REVIEWED, blocking=True)
    made.interrupted = True
    assert int(exit_code(made, OnUnavailable.ALLOW)) == 130


def test_a_row_that_was_not_looked_at_needs_a_reason() -> None:
    for state in (State.SKIPPED, State.NOT_REVIEWED):
        with pytest.raises(ValueError, match="needs a reason"):
            Entry("a", 1, 1, 1, 0, state)


def test_of_several_parts_what_counts_is_not_hidden_by_what_does_not() -> None:
    target = Target(TargetKind.COMMIT, "b", "h")
    finding = Finding("a.py", 1, 1, Severity.MAJOR, Category.BUG, "t", "m", "e")
    mended = finding._replace(status=Status.SUPPRESSED)
    parts = [Outcome(target, findings=[each]) for each in (mended, finding, finding)]
    assert Outcome.joined(parts).findings == [mended, finding]
