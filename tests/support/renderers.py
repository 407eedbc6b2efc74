"""What a forge makes of Markdown, and what a CI system's runner obeys in a log."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import cmarkgfm
import comrak
from cmarkgfm.cmark import Options
from markdown_it import MarkdownIt

from kilo_review.sanitize.markdown import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Mapping


class Page(HTMLParser):
    """What a reader gets: tags, and the text of each node. Forges look for mentions in one node at a time."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[object] = []
        self.nodes: list[str] = [""]
        self.code_nodes: list[str] = []
        self._depth = 0
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return "".join(self.nodes)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag == "code"
        self.tags.append((tag, attrs))
        self.nodes.append("")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "code"
        self.tags.append(tag)
        self.nodes.append("")

    def handle_data(self, data: str) -> None:
        self.nodes[-1] += data
        if self._depth:
            self.code_nodes.append(data)

    def handle_comment(self, data: str) -> None:
        assert f"<!--{data}-->" == SEPARATOR
        self.nodes.append("")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")

    unknown_decl = handle_pi


def github(markdown: str) -> str:
    extensions = ["table", "autolink", "strikethrough", "tasklist"]
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES | Options.CMARK_OPT_GITHUB_PRE_LANG
    html = cmarkgfm.cmark.markdown_to_html_with_extensions(markdown, options=options, extensions=extensions)
    assert isinstance(html, str)
    return html


def gitlab(markdown: str) -> str:
    """With the options of GitLab's `lib/banzai/filter/markdown_engines/glfm_markdown.rb`, as far as they are bound.

    Without `escaped_char_spans`: what stops references must do so on the other forges, too.
    """
    extension, parse, render = comrak.ExtensionOptions(), comrak.ParseOptions(), comrak.RenderOptions()
    extension.alerts = extension.autolink = extension.description_lists = extension.footnotes = True
    extension.math_code = extension.math_dollars = extension.multiline_block_quotes = extension.strikethrough = True
    extension.table = extension.tasklist = extension.wikilinks_title_before_pipe = extension.cjk_friendly_emphasis = (
        True
    )
    parse.relaxed_autolinks = parse.relaxed_tasklist_matching = parse.tasklist_in_table = True
    render.unsafe_ = render.github_pre_lang = render.full_info_string = render.tasklist_classes = True
    return comrak.render_markdown(markdown, extension, parse, render)


def markdown_it(markdown: str) -> str:
    parser = MarkdownIt("gfm-like", {"html": True})
    assert parser.linkify
    parser.linkify.set({"fuzzy_link": False})  # no forge links `app.py`, though Paraguay has it
    html = parser.render(markdown)
    assert isinstance(html, str)
    return html


RENDERERS = (github, gitlab, markdown_it)


ACTIVE = {
    "a mention": re.compile(r"@\S"),
    "an issue, a merge request or an epic": re.compile(r"[#!&]\d"),
    "an issue elsewhere": re.compile(r"[A-Z][0-9_]?-[0-9]|\b[Gg][Hh]-[0-9]"),
    "a commit": re.compile(r"\b[0-9a-f]{7,64}\b", re.IGNORECASE | re.ASCII),
    "an emoji": re.compile(r":[\w+-]+:"),
    "an address": re.compile(r"\w://\S|//\w|www\.", re.IGNORECASE),
    "a label or milestone": re.compile(r'[~%][\w"{]'),
    "mathematics or a snippet": re.compile(r"\$\S"),
    "an inserted or removed word": re.compile(r"[\[{][+-]"),
    "an alert": re.compile(r"\^alert"),
}
"""As wide as what the forges look for in each text node, or wider: gjtorikian/html-pipeline `mention_filter.rb`; GitLab's
`lib/banzai/filter/references/`, `inline_diff_filter.rb`, `autolink_filter.rb`; Gitea's `modules/references/references.go`,
`modules/markup/html_commit.go`, `html_emoji.go`."""


RUNNERS: Mapping[str, tuple[str, str]] = {
    "actions/runner src/Runner.Common/ActionCommand.cs TryParseV2": (r"^\s*::.*?::", "  ::add-mask::x"),
    "actions/runner src/Runner.Common/ActionCommand.cs TryParse": (r"##\[.*?\]", "a ##[set-env name=x;]y"),
    "nektos/act pkg/runner/command.go commandPatternGA": (
        r"^::([^ ]+)( (.+))?::([^\r\n]*)[\r\n]+$",
        "::set-output name=x::y",
    ),
    "nektos/act pkg/runner/command.go commandPatternADO": (r"^##\[([^ ]+)( (.+))?\]([^\r\n]*)[\r\n]+$", "##[debug]y"),
    "gitea/runner act/runner/command.go commandPatternGA": (
        r"^::([^ ]+?)( (.+?))?::([^\r\n]*)[\r\n]*$",
        "::stop-commands::x",
    ),
    "azure-pipelines-agent Command.cs LoggingCommandPrefix": (r"##vso\[.*?\]", "a ##vso[task.complete result=Failed;]"),
    "azure-pipelines-agent, as its page shows a log": (
        r"^##\[(group|endgroup|section|warning|error|command|debug)\]",
        "##[group]x",
    ),
    "TeamCity ServiceMessage.java SERVICE_MESSAGE_START": (
        r"##teamcity\[",
        "a ##teamcity[buildStatus status='FAILURE']",
    ),
    "gitlab lib/gitlab/regex.rb build_trace_section_regex": (
        r"section_((?:start)|(?:end)):(\d+):([a-zA-Z0-9_.-]+)(\[(?:\w+=\w+)(?:, ?(?:\w+=\w+))*\])?\r\033\[0K",
        "a section_start:1:x[collapsed=true]\r\x1b[0K",
    ),
}


def obeyed(line: str) -> list[str]:
    """The runners that take the line for a command."""
    return [runner for runner, (pattern, _) in RUNNERS.items() if re.search(pattern, line + "\n")]
