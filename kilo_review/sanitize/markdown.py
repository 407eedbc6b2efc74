r"""For comments on GitHub, GitLab, Gitea and Forgejo: text that none of them makes anything of.

Escapes are enough for markdown itself, but not for mentions, references, emoji and links: these are looked for after
rendering, in the text of each node, where `&#64;user` and `\@user` read like `@user` (github/markup#1168,
github/cmark-gfm#181). An empty comment parts the text into two nodes. It is not seen and, unlike a space of no width,
not copied. GitLab honours the backslash as well (`Banzai::Filter::EscapedCharFilter`).
"""

from __future__ import annotations

import re

from kilo_review.sanitize.terminal import for_terminal, one_line

SEPARATOR = "<!-- -->"
LONGEST_HEX = 6
"""Forges take seven digits for the id of a commit."""

_DRAWN = re.compile(
    "actdiag|bpmn|bytefield|blockdiag|c4plantuml|d2|dbml|diagramsnet|ditaa|dot|erd|excalidraw|geojson|glql|graphviz|math"
    "|mermaid|nomnoml|nwdiag|packetdiag|pikchr|plantuml|rackdiag|seqdiag|stl|structurizr|suggestion|svgbob|symbolator|tikz|topojson"
    "|umlet|vega|vegalite|wavedrom|wireviz",
    re.IGNORECASE,
)
"""Languages of code blocks that a forge draws, or offers to apply, instead of showing the text."""

_LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+#.-]{0,29}")
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{7,}(?![0-9A-Za-z])")

_BREAKS = re.compile(
    r"""
    (?<=@)(?!\s)                  # @user, @org/team, user@host, owner/repository@id
    | (?<=\#)(?=\d|$)             # #1, org/repository#1
    | (?<=[!&])(?=\d)             # GitLab: !1 a merge request, &1 an epic
    | (?<=[~%])(?=[\w"{])         # GitLab: ~label, %milestone, %{placeholder}
    | (?<=\^)(?=alert)            # GitLab: ^alert#1
    | (?<=\$)(?!\s)               # mathematics; GitLab: $1 a snippet
    | (?<=[A-Z]-)(?=\d)           # JIRA-1
    | (?<=[A-Z][\d_]-)(?=\d)
    | (?<=[Gg][Hh]-)(?=\d)        # GH-1
    | (?<=[\[{])(?=[+-])          # GitLab: {+ an inserted +} word
    | (?<=/)(?=/)                 # https://host, //host
    | (?<=[Ww]{3})(?=\.)          # www.host
    | (?<=:)(?=[\w+-]+:)          # :emoji:
    | (?<=\[)(?=[A-Za-z_]+:)      # GitLab: [work_item:1], [epic:group/5]
    | (?<=\*)(?=iteration:)       # GitLab: *iteration:1
    """,
    re.VERBOSE,
)
_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "*_~[]{#@"},
        # As entities, for those who look at the source: tables at bars, GitLab's search for commands at back-quotes.
        **{character: f"&#{ord(character)};" for character in "\\`|$"},
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
        "\n": SEPARATOR,
    }
)
_BLOCK_START = re.compile(r"(\d{1,9})?(?=[-+=:/.)])")


def for_markdown(text: str) -> str:
    """Inline text, on one line, with white space folded: for a paragraph, a heading, a list item or a table cell."""
    return _no_block(_inline(one_line(text)))


def code_span(text: str) -> str:
    """Code within a line, also in a table; line breaks become spaces."""
    line = for_terminal(text).replace("\n", " ")
    # A bar would end a table's cell, "]:" make a link's text at a line's start its definition; a span has no escapes.
    if "|" in line or "]:" in line:
        return f"<code>{_inline(line)}</code>"
    if not line.strip(" "):
        return f"`{line}`" if line else ""
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" or line[0] == line[-1] == " " else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def code_block(text: str, language: str = "") -> str:
    """Lines of code, to stand at the left margin: within a list or a quotation the lines would leave it.

    One space stands before each line. It is not shown, as the fence has it too, and commands that GitLab and bots look
    for in the source, at the start of a line, are none: `/close`, `/lgtm`.

    Args:
        text: the code.
        language: for colours; dropped if it is not a plain word or would do more than colour.
    """
    known = _LANGUAGE.fullmatch(language) and not _DRAWN.fullmatch(language)
    shown = for_terminal(text).removesuffix("\n")
    fence = "`" * max(3, _longest_run(shown) + 1)
    opening = fence + (language if known else "")
    return "\n".join(f" {line}" for line in (opening, *shown.split("\n"), fence))


def _inline(line: str) -> str:
    """The line without meaning, except at its start. It holds no line feed, so that can mark where text is parted."""
    parted = _HEX.sub(_in_pieces, line)
    return _BREAKS.sub("\n", parted).translate(_ESCAPES)


def _in_pieces(match: re.Match[str]) -> str:
    digits = match.group()
    return "\n".join(digits[at : at + LONGEST_HEX] for at in range(0, len(digits), LONGEST_HEX))


def _no_block(line: str) -> str:
    """A line that begins no list, rule, heading, description or table, and is no command such as `/close`."""
    start = _BLOCK_START.match(line)
    return f"{line[: start.end()]}\\{line[start.end() :]}" if start else line


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
