"""The HTML report: one page that loads nothing, shows everything, and obeys nobody."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from kilo_review.core.finding import Severity, Status
from kilo_review.core.outcome import Entry, State
from kilo_review.core.sandbox.process import Helper
from kilo_review.judge.policy import ExitCode
from kilo_review.report.html import render
from kilo_review.report.html.code import COLORS, LONGEST_LINE, Painter, changed_parts, html_of
from kilo_review.report.html.limits import MOST_OF_A_FILE, MOST_OF_A_SKIPPED_FILE, MOST_OF_ALL
from kilo_review.sanitize.secrets import masked
from kilo_review.sanitize.terminal import printable
from tests.support.hostile import ALL_MARKDOWN, TEXT
from tests.support.pages import Element, Page, change, finding, large, page_of, reviewed, view

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

HUNK = """\
@@ -8,5 +8,4 @@ class Cart:
     # A remark.
     def mean(self):
-        if not self.items:
-            return 0
         return self.total() / len(self.items)
+        # nothing more
"""
BAD = "</script></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;\x1b[31m\u202e\u2028\ufeff\0\udcff"


def rows(page: Element) -> list[list[str]]:
    """The cells of each row of the change, without those of findings."""
    tables = [each for each in page.all("table") if "egress" not in each.classes]
    found = [row for table in tables for row in table.all("tr") if "note" not in row.classes]
    return [[cell.text for cell in row.all("td")] for row in found]


def above(page: Element, anchor: str) -> list[str]:
    """The cells of the row above a finding."""
    (article,) = [each for each in page.all("article") if each.attributes["id"] == anchor]
    row = article.parent and article.parent.parent
    assert row
    assert row.parent
    siblings = [each for each in row.parent.children if isinstance(each, Element)]
    lines = [each for each in siblings[: siblings.index(row)] if "note" not in each.classes]
    return [cell.text for cell in lines[-1].all("td")]


# The page as a whole


def test_the_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    page = page_of(view(change(("a.py", HUNK))))
    (policy,) = [meta.attributes["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes]
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.one(tag).text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_is_loaded_and_nothing_is_run_by_an_attribute() -> None:
    page = page_of(view(change(("a.py", HUNK)), finding("a.py", 10, "        return self.total() / len(self.items)")))
    for element in page.walk():
        assert element.tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset", "action", "formaction", "ping", "background"}
            assert name != "href" or value.startswith("#")
    assert not re.search(
        r"url\(|@import|fetch\(|XMLHttp|WebSocket|innerHTML|eval\(", page.one("style").text + page.one("script").text
    )


def test_the_shipped_assets_hold_nothing_that_would_end_them_early() -> None:
    text = render(view(None))
    assert text.count("</style>") == text.count("</script>") == 1
    assert "$" not in re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)


def test_every_id_is_there_once_and_every_link_leads_to_one() -> None:
    twice = [finding("a.py", line, "same") for line in (9, 10)]
    page = page_of(view(change(("a.py", HUNK)), *twice))
    ids = [each.attributes["id"] for each in page.walk() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    assert {f"f-{twice[0].short_id}", f"f-{twice[0].short_id}-2"} <= set(ids)
    for link in page.all("a"):
        assert link.attributes["href"].removeprefix("#") in ids


def test_what_is_labelled_by_something_has_it() -> None:
    page = page_of(view(change(("a.py", HUNK)), finding("a.py", 10, "x")))
    ids = {each.attributes.get("id") for each in page.walk()}
    for element in page.walk():
        assert element.attributes.get("aria-labelledby", None) in {*ids, None}
        if element.tag in {"button", "input"}:
            named = element.text or element.attributes.get("aria-label") or (element.parent and element.parent.text)
            assert named, element.attributes


# The change


def test_old_and_new_stand_side_by_side_with_their_numbers() -> None:
    assert rows(page_of(view(change(("shop/cart.py", HUNK))))) == [
        ["8", "    # A remark.", "8", "    # A remark."],
        ["9", "    def mean(self):", "9", "    def mean(self):"],
        ["10", "        if not self.items:", ""],
        ["11", "            return 0", ""],
        ["12", "        return self.total() / len(self.items)", "10", "        return self.total() / len(self.items)"],
        ["", "11", "        # nothing more"],
    ]


def test_a_new_file_needs_one_column() -> None:
    page = page_of(view(change(("a.txt", "@@ -0,0 +1,2 @@\n+one\n+two\n"))))
    assert rows(page) == [["1", "one"], ["2", "two"]]


def test_code_is_coloured_and_its_text_is_the_same() -> None:
    page = page_of(view(change(("a.py", HUNK))))
    code = page.one("main").one("tbody")
    assert ("def", {"k"}) in [(span.text, span.classes) for span in code.all("span")]
    assert "        # nothing more" in [cell.text for cell in code.all("td", "g")]


def test_what_changed_within_a_line_is_marked() -> None:
    page = page_of(view(change(("a.txt", "@@ -1 +1 @@\n-a long line of words\n+a long list of words\n"))))
    assert [mark.text for mark in page.all("mark")] == ["ne", "st"]
    assert changed_parts("abc", "xyz") is None


@pytest.mark.parametrize("name", ["a.unknown", "Makefile", "a.py", "a.html", "a.js", "a.md", "a.json", "a.abap", "a.d"])
def test_no_lexer_changes_a_line(name: str) -> None:
    lines = [
        "",
        "'''",
        "</script>",
        "\t\x0c\x1b[0m",
        "<a href='x' onclick=\"y\">",
        "/* {% %} <?php",
        "\\",
        "ü\u2028\udcff",
        "\r",
        "",
    ]
    with Painter(str) as painter:
        shown, plain = painter.paint(name, lines), painter.paint("no lexer", lines)
    assert len(shown) == len(lines)
    assert ["".join(text for _, text in line) for line in shown] == [
        "".join(text for _, text in line) for line in plain
    ]


@pytest.mark.parametrize(
    "told",
    [
        ["Keyword", "import\n"],
        ["Keyword", "import os\n\n"],
        ["Keyword", "import os\n", ""],
        ["import os\n"],
        [],
        None,
    ],
)
def test_a_lexer_that_tells_another_text_or_nothing_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, told: object
) -> None:
    monkeypatch.setattr(Helper, "ask", lambda *_: told)
    assert Painter(str).paint("a.py", ["import os"]) == [[("", "import os")]]


def test_a_lexer_that_fails_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Helper, "ask", lambda _self, request, _deadline: asked.append(request))
    painter = Painter(str)
    for name in ("a.py", "a.py", "b.py"):
        assert painter.paint(name, ["import os"]) == [[("", "import os")]]
    assert len(asked) == 2


def test_a_huge_line_is_cut_and_says_so() -> None:
    (line,) = Painter(str).paint("a.js", ["x" * 1_000_000])
    text = html_of(line)
    assert len(text) < LONGEST_LINE + 100
    assert text.endswith(" 998,000 more characters")


def test_every_colour_has_a_style() -> None:
    style = page_of(view(None)).one("style").text
    for color in COLORS.values():
        assert re.search(rf"\.{color}[ ,]", style)


def test_windows_line_ends_are_shown_only_where_they_are_the_news() -> None:
    page = page_of(view(change(("a.txt", "@@ -0,0 +1,2 @@\n+one\r\n+two\r\n"))))
    assert rows(page) == [["1", "one"], ["2", "two"]]
    page = page_of(view(change(("a.txt", "@@ -1 +1 @@\n-one\n+one\r\n"))))
    assert rows(page) == [["1", "one", "1", "one\\x0d"]]


def test_a_missing_newline_at_the_end_is_told() -> None:
    page = page_of(view(change(("a.txt", "@@ -1 +1 @@\n-one\n+one\n\\ No newline at end of file\n"))))
    assert "No newline at the end of the file" in page.one("main").text


# Findings


def test_a_finding_stands_below_its_line() -> None:
    found = finding("shop/cart.py", 10, "        return self.total() / len(self.items)")
    page = page_of(view(change(("shop/cart.py", HUNK)), found))
    assert above(page, f"f-{found.short_id}")[3] == found.evidence
    assert not page.one("article").all("pre"), "the code stands right above"


def test_a_finding_on_a_removed_line_stands_below_that() -> None:
    found = finding("shop/cart.py", 10, "        if not self.items:")
    page = page_of(view(change(("shop/cart.py", HUNK)), found))
    assert above(page, f"f-{found.short_id}")[:2] == ["10", "        if not self.items:"]
    assert page.one("main").one("tr", "was").text == "10" + found.evidence


def test_of_several_lines_the_last_has_it() -> None:
    found = finding("a.py", 9, "    def mean(self):\n        return self.total() / len(self.items)", end_line=10)
    page = page_of(view(change(("a.py", HUNK)), found))
    assert above(page, f"f-{found.short_id}")[2] == "10"


def test_an_unanchored_finding_brings_the_quotation_along() -> None:
    found = finding("a.py", 9, "made_up()", status=Status.UNANCHORED, reason="not in the change")
    article = page_of(view(change(("a.py", HUNK)), found)).one("article")
    assert article.one("pre").text == "made_up()"
    assert "not found in the change: not in the change" in article.text


@pytest.mark.parametrize("line", [0, 1, 10_000])
def test_a_finding_on_no_line_that_is_shown_is_shown_with_its_code(line: int) -> None:
    page = page_of(view(change(("a.py", HUNK)), finding("a.py", line, "elsewhere()")))
    assert page.one("article").one("pre").text == "elsewhere()"


def test_without_the_change_findings_are_shown_by_file_with_their_code() -> None:
    entries = [Entry("a.py", 8, 11, 1, 2, State.REVIEWED), Entry("b.py", 1, 2, 1, 1, State.NOT_REVIEWED, "no time")]
    found = [finding("b.py", 1, "b()"), finding("a.py", 10, "a()"), finding("c.py", 3, "c()")]
    page = page_of(view(None, *found, entries=entries))
    assert [each.one("h2").text for each in page.all("details", "file")] == ["a.py", "b.py", "c.py"]
    assert [each.text for each in page.one("main").all("pre")] == ["a()", "b()", "c()"]
    assert [each.attributes["data-state"] for each in page.all("section", "hunk")] == ["reviewed", "not_reviewed"]


def test_a_finding_tells_all_about_itself() -> None:
    found = finding(
        "a.py", 10, "x", severity=Severity.CRITICAL, rule="no-zero", reason="seen in 1234567", suggestion="fix()"
    )
    article = page_of(view(change(("a.py", HUNK)), found)).one("article")
    for words in (
        "critical",
        "Division by zero",
        "An empty list",
        "bug",
        "blocks",
        "no-zero",
        "seen in",
        "fix()",
        found.short_id,
    ):
        assert words in article.text


@pytest.mark.parametrize("status", list(Status))
def test_findings_of_every_status_are_there(status: Status) -> None:
    page = page_of(view(change(("a.py", HUNK)), finding("a.py", 10, "x", status=status, reason="so be it")))
    assert page.one("article").attributes["data-status"] == status.value
    assert "so be it" in page.one("article").text
    (switch,) = [each for each in page.all("input") if each.attributes.get("value") == status.value]
    settled = status in {Status.SUPPRESSED, Status.BASELINE, Status.DISMISSED}
    assert ("checked" in switch.attributes) is not settled


def test_code_between_backticks_looks_like_code_and_is_nothing_else() -> None:
    article = page_of(view(None, finding("a.py", 1, "x", message="Use `<b>` or `a`` b`."))).one("article")
    (message,) = article.all("p", "message")
    assert [each.text for each in message.all("code")] == ["<b>", "a", " b"]


# Coverage


def test_every_row_of_the_coverage_is_there_with_its_reason() -> None:
    diff = change(("a.py", HUNK), ("b.py", HUNK), ("c.py", HUNK), ("d.png", ""))
    states = [
        (State.REVIEWED, None),
        (State.CACHED, None),
        (State.NOT_REVIEWED, "the time was up"),
        (State.SKIPPED, "a binary file"),
    ]
    entries = [
        Entry(row.path, row.start, row.end, row.added, row.removed, state, reason, row.is_hunk)
        for row, (state, reason) in zip(reviewed(diff), states, strict=True)
    ]
    page = page_of(view(diff, entries=entries))
    hunks = page.all("section", "hunk")
    assert [each.attributes["data-state"] for each in hunks] == [state.value for state, _ in states]
    assert "not reviewed: the time was up" in hunks[2].text
    assert "skipped: a binary file" in hunks[3].text
    assert page.one("h1").text == "Not fully reviewed; no findings"
    assert "Not reviewed: 1 hunk in 1 file: the time was up" in page.one("header", "top").text


def test_what_was_skipped_as_a_whole_begins_closed() -> None:
    diff = change(("a.py", HUNK), ("poetry.lock", HUNK))
    entries = [reviewed(diff)[0], reviewed(diff, State.SKIPPED, "lock file")[1]]
    assert ["open" in each.attributes for each in page_of(view(diff, entries=entries)).all("details", "file")] == [
        True,
        False,
    ]


def test_rows_of_commits_that_are_no_hunks_of_the_whole_are_there_too() -> None:
    entries = [Entry("a.py", 1, 3, 3, 0, State.REVIEWED), Entry("a.py", 7, 8, 2, 0, State.NOT_REVIEWED, "no time")]
    page = page_of(view(change(("a.py", HUNK)), entries=entries))
    assert sorted(each.attributes["data-state"] for each in page.all("section", "hunk")) == [
        "",
        "not_reviewed",
        "reviewed",
    ]


def test_files_that_were_not_asked_about_are_counted() -> None:
    diff = change(("a.py", HUNK), ("b.py", HUNK))
    assert "1 further file changed; not asked about" in page_of(view(diff, entries=reviewed(diff)[:1])).one("main").text


def test_the_summary_says_by_whom_at_what_cost_and_what_went_where() -> None:
    top = page_of(
        view(
            change(("a.py", HUNK)),
            failure="the branch is gone",
            notes=["it was slow"],
            next_step="Start the server.",
            unremembered="the disk is full",
        )
    ).one("header", "top")
    for words in (
        *("qwen3-coder:30b", "http://127.0.0.1:11434", "on this machine", "32,768 tokens", "21,934", "3 requests"),
        *(
            "the branch is gone",
            "it was slow",
            "Start the server.",
            "the disk is full",
            "outcome: incomplete",
            "12.4 s",
        ),
    ):
        assert words in top.text


def test_a_part_of_a_change_says_which_one_it_is() -> None:
    assert "Part2 of 5" in page_of(view(change(("a.py", HUNK)), shard=(2, 5))).one("dl", "facts").text


def test_a_model_elsewhere_is_told_and_so_is_that_nothing_was_sent() -> None:
    made = view(change(("a.py", HUNK)))
    assert made.outcome.model
    made.outcome.model = made.outcome.model._replace(local=False)
    made.outcome.egress.clear()
    top = page_of(made).one("header", "top").text
    assert "not on this machine" in top
    assert "Sent: nothing" in top


@pytest.mark.parametrize(
    ("others", "headline"),
    [
        ({}, "Clean"),
        ({"interrupted": True}, "Interrupted: no findings"),
        ({"entries": [], "nothing": "nothing changed below x"}, "Nothing to review: nothing changed below x"),
        (
            {"entries": [Entry("a.py", 8, 11, 1, 2, State.PLANNED)], "dry_run": True},
            "Dry run: 1 hunk would be reviewed",
        ),
        ({"entries": [Entry("a.py", 8, 11, 1, 2, State.NOT_REVIEWED, "down")]}, "Not reviewed"),
        ({"findings": [finding("a.py", 10, "x", status=Status.UNVERIFIED)]}, "No findings, 1 that does not count"),
    ],
)
def test_the_heading_and_the_title_state_the_outcome(others: dict[str, object], headline: str) -> None:
    made = view(change(("a.py", HUNK)))
    for name, value in others.items():
        setattr(made.outcome, name, value)
    page = page_of(made)
    assert page.one("h1").text == headline
    assert page.one("title").text == f"{headline} · kilo-review"


# Limits


@pytest.mark.long
def test_five_thousand_findings_take_a_bounded_page_and_bounded_memory() -> None:
    made = large(files=50, lines=20, findings=100)
    tracemalloc.start()
    try:
        text = render(made)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text.count('class="finding ') == 5_000
    assert len(text) < 10_000_000
    assert peak < 48 * 2**20


def test_of_a_huge_file_the_beginning_is_shown_the_rest_counted_and_no_finding_lost() -> None:
    lines = MOST_OF_A_FILE + 500
    text = f"@@ -0,0 +1,{lines} @@\n" + "".join(f"+line {number}\n" for number in range(1, lines + 1))
    page = page_of(
        view(change(("a.txt", text)), finding("a.txt", 1, "line 1"), finding("a.txt", lines, f"line {lines}"))
    )
    assert len(rows(page)) == MOST_OF_A_FILE
    assert "500 further lines not shown in this report" in page.one("main").text
    assert [each.text for each in page.one("main").all("pre")] == [f"line {lines}"]


@pytest.mark.long
def test_of_a_huge_change_files_with_findings_are_shown_first_and_all_the_rest_is_counted() -> None:
    lines = MOST_OF_A_FILE
    hunk = f"@@ -0,0 +1,{lines} @@\n" + "+x\n" * lines
    diff = change(*((f"{number:02}.txt", hunk) for number in range(MOST_OF_ALL // lines + 5)))
    last = diff.files[-1].path
    page = page_of(view(diff, finding(last, 1, "x")))
    assert len(rows(page)) == MOST_OF_ALL
    assert page.one("main").text.count("1,000 further lines not shown") == 5
    assert not page.one("article").all("pre"), "its file is shown, though it is the last"
    assert len(page.all("section", "hunk")) == len(diff.files)


def test_of_a_skipped_file_little_is_shown() -> None:
    diff = change(("poetry.lock", "@@ -0,0 +1,300 @@\n" + "+x\n" * 300))
    page = page_of(view(diff, entries=reviewed(diff, State.SKIPPED, "lock file")))
    assert len(rows(page)) == MOST_OF_A_SKIPPED_FILE


# Hostile text


def hostile(text: str) -> Element:
    """A page with this text in every place that anybody but this program fills."""
    text = text or "x"  # nothing is another matter
    path = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")  # as git would tell it
    line = path.replace("\n", " ")
    diff = change((path, f"@@ -1 +1,2 @@ {line}\n-{line}\n+{line}\n+x\n"))
    found = [
        finding(
            path, 1, printable(text), title=text, message=text, suggestion=text, rule=text, reason=text, status=status
        )
        for status in (Status.ACTIVE, Status.UNANCHORED)
    ]
    made = view(
        diff, *found, entries=reviewed(diff, State.NOT_REVIEWED, text or "x"),
        failure=text, notes=[text], next_step=text, afterwards=text, unsettled=text, unremembered=text,
    )  # fmt: skip
    assert made.outcome.model
    made.outcome.model = made.outcome.model._replace(name=text, base_url=text, provider=text)
    made.outcome.egress[0].url = made.outcome.egress[0].address = text
    return page_of(made)


def skeleton(page: Element) -> list[str]:
    """Tags and attribute names, without what depends on the text's length and its colours."""
    free = {"span", "mark", "code", "pre", "p", "rect"}
    told = (f"{each.tag} {sorted(each.attributes)}" for each in page.walk() if each.tag not in free)
    return [each.replace("tr ['class']", "tr []") for each in told]  # a row may be marked as the one that is quoted


TAME = skeleton(hostile("word"))


@pytest.mark.parametrize("text", [BAD, "$script", "${style}", "--><!--", "]]>", "javascript:x", *ALL_MARKDOWN])
def test_hostile_text_changes_no_tag(text: str) -> None:
    assert skeleton(hostile(text)) == TAME


@settings(max_examples=60, deadline=None)
@given(text=TEXT)
@pytest.mark.long
def test_no_text_changes_a_tag(text: str) -> None:
    assert skeleton(hostile(text)) == TAME


def test_what_would_deceive_is_shown_as_an_escape() -> None:
    page = hostile(BAD)
    body = page.one("body").text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\ufeff\ud800-\udfff]", body)
    assert "\\x1b[31m\\u202e\\u2028\\ufeff" in body
    assert "</script>" in page.one("main").one("tbody").text


def test_secrets_are_masked_in_words_and_in_code() -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"
    line = f'token = "{secret}"'
    diff = change(("a.py", f"@@ -0,0 +1 @@ {line}\n+{line}\n"))
    found = finding("a.py", 1, "gone " + line, title=line, message=line, suggestion=line, reason=line)
    text = html.unescape(render(view(diff, found, mask=masked, failure="")))
    assert "[masked]" in text
    assert secret not in text


# The program


def test_the_program_writes_the_page(kilo: Runner, buggy: Repo, division: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "review.html"
    done = kilo(
        *kilo.scripted({"findings": [division]}), "--format", "json", "--output", f"html={file}", "--format", "html"
    )
    assert done.code == ExitCode.BLOCKED
    text = file.read_text()
    assert "<h1>1 finding (1 blocking)</h1>" in text
    assert ["2", "    return sum(items) / len(items)"] in [cells[-2:] for cells in rows(Page(text).root)]
    assert json.loads(done.stdout)["findings"][0]["fingerprint"][:8] in text


def test_a_patch_is_shown_too(kilo: Runner, division: dict[str, object]) -> None:
    patch = "--- a/x.sh\n+++ b/x.sh\n@@ -1 +1 @@\n-echo one\n+echo two\n"
    done = kilo(*kilo.scripted({"findings": []}), "--format", "html", "-", stdin=patch.encode())
    assert ["1", "echo one", "1", "echo two"] in rows(Page(done.text).root)
