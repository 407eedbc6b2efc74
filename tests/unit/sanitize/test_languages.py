"""Foreign text stays text in every language that it is shown in, says the parser of that language itself."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kilo_review.sanitize.html import for_html
from kilo_review.sanitize.markdown import code_block, code_span, for_markdown
from kilo_review.sanitize.terminal import for_terminal, one_line
from kilo_review.sanitize.workflow_commands import command_data, command_property, for_log
from tests.support.hostile import ALL_MARKDOWN, TEXT
from tests.support.renderers import ACTIVE, RENDERERS, RUNNERS, Page, github, obeyed

if TYPE_CHECKING:
    from collections.abc import Callable

# The terminal


def test_no_character_of_the_kinds_that_hide_or_reorder_is_left() -> None:
    visible = {"\n", "\t", *"\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"}
    for code in (code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF):
        character = chr(code)
        if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} and character not in visible:
            assert character not in for_terminal(f"a{character}b"), hex(code)


@pytest.mark.parametrize(
    "code", [0x034F, 0x115F, 0x1160, 0x17B4, 0x180B, 0x3164, 0xFE00, 0xFE0F, 0xFFA0, 0xFFFE, 0x1D159, 0xE0100, 0xE01EF]
)
def test_letters_and_marks_that_nobody_sees_are_spelled_out(code: int) -> None:
    assert for_terminal(f"admin{chr(code)}") == f"admin\\u{code:04x}" if code <= 0xFFFF else f"admin\\U{code:08x}"


def test_emoji_stay_readable() -> None:
    for text in ("\u2764\ufe0f", "\u2714\ufe0e", "1\ufe0f\u20e3", "\U0001f44d\U0001f3fd", "\U0001f1e9\U0001f1ea"):
        assert for_terminal(text) == text
    assert for_terminal("\u2764\ufe0f\ufe0f") == "\u2764\ufe0f\\ufe0f"
    assert for_terminal("1\ufe0f") == "1\\ufe0f"


# Markdown: the renderers of the forges are the judges


PLACES = (
    *(
        "{}",
        "before {} after",
        "before\n{}",
        "{}\nafter",
        "before\n\n{}\n\nafter",
        "**{}**",
        "[{}](#there)",
        "# {}",
        "## {} ##",
    ),
    *("- {}", "1. {}\n2. x", "- x\n- {}\n", "> {}", "- x\n\n  {}\n", "| a | b |\n| - | - |\n| {} | c |\n| d | {} |"),
    "<details><summary>x</summary>\n\n{}\n\n</details>",
)


@cache
def rendered(render: Callable[[str], str], place: str, plain: str) -> Page:
    return Page(render(place.replace("{}", plain)))


def check(shown: str, expected: str, plain: str, places: tuple[str, ...] = PLACES) -> None:
    """`shown` is rendered like the word `KILO`, where it is put, with `expected` for its text."""
    for render in RENDERERS:
        for place in places:
            page, model = Page(render(place.replace("{}", shown))), rendered(render, place, plain)
            assert page.tags == model.tags, (render.__name__, place)
            assert page.text == model.text.replace("KILO", expected), (render.__name__, place)


def check_nodes(shown: str) -> None:
    for node in Page(github(shown)).nodes:
        for what, pattern in ACTIVE.items():
            assert not pattern.search(node), f"{what} in {node!r}"


def check_source(shown: str) -> None:
    """What looks at the source, line by line: GitLab's `lib/gitlab/quick_actions/extractor.rb`, and many bots."""
    assert not re.search(r"^(?:/|@|fixes #\d|```)", shown, re.MULTILINE | re.IGNORECASE)
    assert for_terminal(shown) == shown


@pytest.mark.parametrize("text", ALL_MARKDOWN)
def test_hostile_text_is_shown_and_nothing_else(text: str) -> None:
    shown = for_markdown(text)
    if expected := one_line(text):
        check(shown, expected, "KILO")
    check_nodes(shown)
    check_source(shown)


def test_a_heading_takes_no_attributes_from_it() -> None:
    """Gitea's renderer, goldmark, would: `# a {#b .c}`."""
    assert for_markdown("a {#b .c}") == "a \\{\\#b .c}"


@settings(max_examples=100, deadline=None)
@given(TEXT)
@pytest.mark.long
def test_any_text_is_shown_in_markdown_and_nothing_else(text: str) -> None:
    shown = for_markdown(text)
    assert "\n" not in shown
    if expected := one_line(text):
        check(shown, expected, "KILO")
    check_nodes(shown)
    check_source(shown)


@settings(max_examples=100, deadline=None)
@given(TEXT)
@example("`").via("a span of back-quotes alone")
@example("]:")
@example("`a")
@example("a`")
@example(" `a` ")
@example(" a ")
@example("a|`b` @user")
@example("a\n\nb")
@example("|  x  |")
@pytest.mark.long
def test_any_code_stays_in_its_span(text: str) -> None:
    shown = code_span(text)
    assert "\n" not in shown
    if expected := for_terminal(text).replace("\n", " "):
        check(shown, expected, "`KILO`")
        assert "".join(Page(github(shown)).code_nodes) == expected
    else:
        assert shown == ""
    check_source(f"x {shown}")


@settings(max_examples=100, deadline=None)
@given(TEXT, st.sampled_from(["", "python", "c++"]))
@example("```\n/close\n", "")
@example("````suggestion\nevil\n````\n@user", "python")
@example("~~~\n\n\n    a\n\tb\n", "")
@example("", "")
@example("\n", "")
@example("`\0``\0`", "")
def test_any_code_stays_in_its_block(text: str, language: str) -> None:
    shown = code_block(text, language)
    expected = for_terminal(text).removesuffix("\n")
    check(
        shown,
        expected,
        f"```{language}\nKILO\n```",
        ("{}", "before\n\n{}\n\nafter", "before\n{}\nafter", "# a\n{}\n- b"),
    )
    check_source(shown)


DRAWN = "suggestion Suggestion suggestion:-0+1 mermaid math plantuml json:table geojson dot"


@pytest.mark.parametrize(
    "language", [*DRAWN.split(" "), "a b", "a`b", "a\nb", "-x", "{.py}", "x" * 31, "é", "py\x1b", "<b>"]
)
def test_a_language_that_does_more_than_colour_is_dropped(language: str) -> None:
    assert code_block("x", language) == code_block("x")


def test_only_what_must_be_is_escaped() -> None:
    assert for_markdown("A user's list, of 12 (at most): x = 1; is it so? Yes! 50% - fine.") == (
        "A user's list, of 12 (at most): x = 1; is it so? Yes! 50% - fine."
    )
    assert for_markdown("feedback on snake_case") == "feedback on snake\\_case"
    assert code_span("a[0] == b") == "`a[0] == b`"
    assert code_block("a\nb\n", "py") == " ```py\n a\n b\n ```"


@pytest.mark.parametrize("text", ["@pytest.fixture", "http://127.0.0.1", "#1", "deadbeef01"])
def test_nothing_is_copied_that_is_not_seen(text: str) -> None:
    """Invisible separators would be found in shells and editors."""
    for shown in (for_markdown(text), code_span(text), code_span(f"{text}|"), code_block(text)):
        assert not re.search(
            "[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]|&(?:zwnj|zwj|ZeroWidthSpace|#8203|#x200b);", shown
        )


# HTML


class Element(HTMLParser):
    """One `<p title="…">…</p>`."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.events: list[object] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.events.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.events.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.events.append(data)

    def handle_decl(self, decl: str) -> None:
        self.events.append(decl)

    handle_pi = unknown_decl = handle_comment


@settings(deadline=None)
@given(TEXT)
@example('"><script>alert(1)</script>')
@example("' onmouseover='alert(1)")
@example("</p><!-- <![CDATA[ <?x")
@example("&lt;b&gt; &#60; &amp;amp;")
@example("a\n\tb\r\x00\u202e")
def test_any_text_is_shown_in_html_and_nothing_else(text: str) -> None:
    element = Element(f'<p title="{for_html(text)}">{for_html(text)}</p>')
    assert element.events == [("p", [("title", for_terminal(text))]), "p"]
    assert element.text == for_terminal(text)


# Logs of CI systems


@pytest.mark.parametrize("runner", RUNNERS)
def test_each_runner_obeys_its_command_and_not_what_we_show_of_it(runner: str) -> None:
    command = RUNNERS[runner][1]
    assert runner in obeyed(command)
    assert obeyed(for_log(command)) == []
    assert "\\" in for_log(command)


@given(TEXT)
@example("\u00a0\u3000::error::x")
@example("###[error]x")
@example("a\n::error::x\n\n  ::warning::y")
@example("##VSO[x]")
def test_no_runner_obeys_any_line(text: str) -> None:
    shown = for_log(text)
    assert [obeyed(line) for line in re.split("[\r\n]", shown) if obeyed(line)] == []
    assert for_log(shown) == shown
    assert shown.replace("\\", "") == for_terminal(text).replace("\\", "")


def test_a_log_stays_as_it_is_where_it_can() -> None:
    for text in (
        "std::vector<int> x;",
        "#[derive(Debug)]",
        "## [heading]",
        "a: ::b",
        "app.py:1: x",
        "\tindented\n\nline",
    ):
        assert for_log(text) == text
    assert for_log("::error::x") == "\\::error::x"
    assert for_log("##vso[task.complete]") == "##vso\\[task.complete]"


UNESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
"""In the order of actions/runner `ActionCommand.cs`."""


def unescaped(text: str, *tokens: str) -> str:
    for replacement, token in UNESCAPES:
        text = text.replace(replacement, token) if token in tokens else text
    return text


@given(TEXT)
@example("%0A%25%250A,:")
def test_a_workflow_command_says_what_it_was_given(text: str) -> None:
    data, value = command_data(text), command_property(text)
    assert unescaped(data, "\r", "\n", "%") == unescaped(value, "\r", "\n", ":", ",", "%") == for_terminal(text)
    line = f"::error file={value},line=1::{data}"
    assert "\n" not in line
    command = re.fullmatch(r"::(\S+) (.*?)::(.*)", line)
    assert command
    assert command[3] == data
    assert command[2].split(",") == [f"file={value}", "line=1"]


@pytest.mark.parametrize(
    "function", [for_terminal, for_markdown, code_span, code_block, for_html, command_data, for_log]
)
def test_every_language_begins_with_what_a_terminal_needs(function: Callable[[str], str]) -> None:
    shown = function("a\x1b[2J\u202e\u200b\u3164\x00\ud83d\udc80")
    assert for_terminal(shown) == shown
    assert "x1b" in shown
    shown.encode()
