"""What people write for the program: comments that excuse, heads of Markdown, rules, cases of the bench."""

from __future__ import annotations

import json
import re
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from fuzz.changes import NAMES
from fuzz.strategies import damaged, hostile_text, json_values, line_text, one_of_these
from fuzz.target import property_of
from kilo_review.bench import case as cases
from kilo_review.bench.case import KINDS, Case, File
from kilo_review.core import front_matter
from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Category, Finding, Severity
from kilo_review.judge import suppress
from kilo_review.plan import rules
from kilo_review.sanitize.terminal import for_terminal, one_line
from kilo_review.source.diff import decode_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn, SearchStrategy

# Comments

MARKS = ("# ", "// ", "/* ", "-- ", "; ", "<!-- ", '"', "'", "x = 1  # ", 'x = "', "", "    # ", "rem ", "REM ")
IGNORES = ("kilo-review: ignore", "KILO-REVIEW:ignore", "kilo-review:  ignore ", "kilo-review: ignored", "kilo-review")
NAMED = ("[bug]", "[bug, api]", "[]", "[nonsense]", "[BUG]", "", "[bug", "[unicode,]")
REASONS = (" because", "", " */", " because -->", ": - ", "\tbecause\x1b[2J", " \u202ebecause", " x" * 300)
COMMENT_WORDS = tuple(text.encode() for text in (*MARKS, *IGNORES, *NAMED, *REASONS) if text)


@st.composite
def sources(draw: DrawFn) -> str:
    """Files with such comments, and what resembles them."""
    parts = (MARKS, IGNORES, NAMED, REASONS)
    comment = st.tuples(*(one_of_these(part) | line_text for part in parts)).map("".join)
    whole = st.tuples(*map(one_of_these, parts)).map("".join)
    lines = draw(st.lists(whole | comment | line_text, max_size=8))
    return "\n".join(lines)


def check_ignores(text: str) -> None:
    """A comment that is honoured names what it excuses and why, and excuses it on its own line or the next."""
    lines = suppress.numbered(text)
    ignores = suppress.ignores_in(lines)
    targets = suppress.targets_of(ignores)
    for number, ignore in ignores.items():
        assert ignore.line == number
        assert lines[number][ignore.column :].lower().startswith(suppress.WORD)
        assert ignore.reason.strip() == one_line(ignore.reason)
        assert len(ignore.reason) <= suppress.LONGEST_REASON
        assert "\n" not in ignore.problem
        assert for_terminal(ignore.problem) == ignore.problem
        is_complete = bool(ignore.categories) and ignore.categories <= set(Category) and bool(ignore.reason)
        assert is_complete == (not ignore.problem)
        target = targets[number]
        assert target == number or (ignore.is_alone and target > number)
        assert all(between in ignores for between in range(number, target))
    for line in lines:
        for category in Category:
            _check_excuse(_finding(line, category), ignores, targets)


def _finding(line: int, category: Category) -> Finding:
    return Finding("a.py", line, line, Severity.MAJOR, category, "t", "m", "e")


def _check_excuse(finding: Finding, ignores: dict[int, suppress.Ignore], targets: dict[int, int]) -> None:
    found = suppress.ignores_for(finding, ignores)
    assert [bool(each.problem) for each in found] == sorted(bool(each.problem) for each in found)
    for each in found:
        assert each.problem or finding.category in each.categories
        assert each.line <= finding.line <= targets[each.line]


# Heads of Markdown, and rules

YAML = (
    *("a: 1", "globs: '*.py'", "globs: ['*.py', '!b']", "languages: [python]", "severity: major"),
    *("severity: [major]", "? [a]: b"),
    *("a: &a [*a]", "<<: *b", "!!python/object:os.system x", "a: !!int ''", "a: !!float x"),
    *("a: !!binary x", "a: !!timestamp x"),
    *("a: 2001-99-99", "%YAML 9.9", "a: !!set {b}", "a: !!omap [b: c]", "a: |\n  b", "a: >-\n b"),
    *("'a': \"\\xff\\ud800\"", "- a", "{", "a: @"),
    *("&a a: &b [*a, *a]", "!", "a: !<tag:yaml.org,2002:int> 0x", "a: !!null b", "a: !!bool b", "a: 0b"),
    *("a: 1:99:99", "...", "--- b"),
    "title: t\nlanguage: python\nwhy: w",
    "title: t\nlanguage: python\nwhy: w\nkind: bug\nfile: a.py\nlines: 1-1",
)  # fmt: skip
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine times nine times nine: four hundred million texts, if somebody spells it out."""
HEADS = (
    *YAML,
    BOMB + "severity: *i",
    BOMB + "globs: *i",
    BOMB + "title: *i\nlanguage: *i\nwhy: *i",
    "[" * 3000,
    "a: " * 2000,
)
MARKDOWN_WORDS = tuple(text.encode() for text in (*YAML, "---\n", "\n---\n", "*a", "&a", "!!", "- ", ": ", "\ufeff"))


@st.composite
def markdown(draw: DrawFn, bodies: SearchStrategy[str]) -> bytes:
    """Markdown with a head, without one, or with half of one."""
    head = draw(
        st.lists(one_of_these(HEADS) | st.dictionaries(line_text, json_values, max_size=2).map(json.dumps), max_size=2)
    )
    fence = draw(st.sampled_from(["---\n", "---\n", "---  \n", "----\n", "\ufeff---\n"]))
    text = fence + "\n".join([*head, draw(st.sampled_from(["---", "---", "..."])), draw(bodies)])
    return draw(damaged(text.encode("utf-8", "surrogatepass"), MARKDOWN_WORDS))


class Lying(NamedTuple):
    """A file in a folder of rules."""

    name: bytes
    content: bytes


rule_files = st.builds(
    Lying,
    name=(one_of_these(NAMES) | st.binary(min_size=1, max_size=9)).map(lambda name: re.sub(rb"[/\0]", b"_", name)),
    content=markdown(hostile_text),
)


def check_rule(lying: Lying) -> None:
    """A rule is readable, is sent line by line behind a gutter, and matches paths; or the file is refused."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / rules.FOLDERS[0]
        place.mkdir(parents=True)
        (place / (decode_path(lying.name) + ".md")).write_bytes(lying.content)
        try:
            book = rules.load(Path(folder))
        except ConfigError as error:
            assert len(str(error)) < 9000
            return
    for rule in book.rules:
        assert rule.name == one_line(rule.name)
        assert '"' not in rule.name
        assert len(rule.name) <= rules.LONGEST_NAME
        assert rule.text.strip()
        first, *rest = rule.block.splitlines()
        assert first == f"RULE {rule.name}"
        assert all(row.startswith("|") for row in rest), "a line of the rule poses as something else"
        assert rule.severity is None or isinstance(rule.severity, Severity)
        words: list[Any] = [*rule.globs, *rule.languages]
        assert all(isinstance(word, str) and word.strip() for word in words)
        shelf = rules.Shelf(book, len)
        assert set(shelf.chosen("a/b.py")) <= set(shelf.about("a/b.py"))
        assert len(for_terminal(rule.block)) >= len(rule.block)


def check_head(content: bytes) -> None:
    """A head is a mapping with texts as names, and nothing of the text below it is lost."""
    text = content.decode("utf-8", "replace")
    try:
        head, body = front_matter.split(text, "x")
    except ConfigError as error:
        assert len(str(error)) < 9000
        return
    assert {type(name) for name in head} <= {str}
    assert sum(1 for _ in islice(_leaves(head), front_matter.LONGEST)) < front_matter.LONGEST, (
        "a head grows when it is read"
    )
    if not text.lstrip("\ufeff").startswith(front_matter.FENCE):
        assert (head, body) == ({}, text)
    assert "".join(body.split()) in "".join(text.split())


def _leaves(value: object) -> Iterator[object]:
    """Everything that is in a value, as often as it would be shown."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    yield value
    for each in inner:
        yield from _leaves(each)


# Cases


@st.composite
def written_cases(draw: DrawFn) -> tuple[str, Case | None]:
    """Cases as `bench mine` writes them, by hand, and damaged."""
    files = tuple(draw(st.lists(_files(), min_size=1, max_size=2, unique_by=lambda file: file.path)))
    title, why = (" ".join(draw(line_text)[:150].split()) or "t" for _ in range(2))
    case = Case("n", title, "python", why, files)
    if draw(st.booleans()) and files[0].after:
        last = draw(st.integers(1, len(files[0].after.splitlines())))
        case = case._replace(kind=draw(st.sampled_from(KINDS)), file=files[0].path, first=1, last=last)
    text = cases.render(case)
    if draw(st.booleans()):
        return text, case
    return draw(damaged(text.encode("utf-8", "surrogatepass"), (b"```diff\n", b"# a -> b\n", b"lines: 9-1\n"))).decode(
        "utf-8", "replace"
    ), None


@st.composite
def _files(draw: DrawFn) -> File:
    """As `bench mine` takes them: lines that end in line feeds and hold no other line end."""
    line = one_of_these(("x = 1", "", "```", "````diff", "# a.py", "---", "+x", "-y", " z")) | line_text
    before, after = (
        "".join(
            f"{each}\n" for each in draw(st.lists(line, min_size=1, max_size=4)) if each.splitlines() in ([], [each])
        )
        for _ in range(2)
    )
    path = draw(one_of_these(("a.py", "b/c.py", "d e.py", "é.py")))
    return File(path, path, before or None, (after if after != before else after + "more\n") or None)


def check_case(told: tuple[str, Case | None]) -> None:
    """A case that is written reads as it was; one that is read and written again, too."""
    text, written = told
    try:
        case = cases.parse(text, "n")
    except ConfigError as error:
        assert written is None, f"what was written cannot be read: {error}"
        assert len(str(error)) < 9000
        return
    assert written is None or case == written
    assert case.is_clean or any(file.path == case.file for file in case.files)
    assert cases.parse(cases.render(case), "n") == case


ONE = (
    "---\ntitle: t\nlanguage: python\nwhy: w\nkind: bug\nfile: a.py\nlines: 1\n---\n\n"
    "# b.py -> a.py\n\n```diff\n-x\n+y\n```\n"
)


def _text(raw: bytes) -> tuple[str, None]:
    return raw.decode("utf-8", "replace"), None


TARGETS: dict[str, Any] = {
    "ignore": property_of(
        check_ignores,
        sources(),
        read=lambda raw: raw.decode("utf-8", "surrogateescape"),
        seeds=(b"x = 1  # kilo-review: ignore[bug] because\n",),
        words=COMMENT_WORDS,
    ),
    "head": property_of(
        check_head,
        markdown(hostile_text),
        read=bytes,
        seeds=tuple(f"---\n{head}\n---\ntext\n".encode() for head in HEADS),
        words=MARKDOWN_WORDS,
    ),
    "rule": property_of(
        check_rule,
        rule_files,
        read=lambda raw: Lying(b"a", raw),
        seeds=tuple(f"---\n{head}\n---\ntext\n".encode() for head in HEADS),
        words=MARKDOWN_WORDS,
    ),
    "case": property_of(
        check_case,
        written_cases() | markdown(st.just(ONE.partition("---\n\n")[2])).map(_text),
        read=_text,
        seeds=(ONE.encode(),),
        words=(*MARKDOWN_WORDS, b"```diff\n", b"# a -> b\n", b"\n+", b"\n-"),
    ),
}
