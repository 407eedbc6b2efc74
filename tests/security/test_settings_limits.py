"""Settings, rules, baselines and configurations that would keep a parser busy, and large ones that are honest."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import config
from kilo_review.config import project, toml
from kilo_review.core import front_matter, safe_file
from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError, DeadlineError
from kilo_review.hooks import pre_commit_config
from kilo_review.judge import baseline, categories, parse, quotes, suppress
from kilo_review.plan import patterns, rules
from kilo_review.plan.rules import Book, Rule, Shelf
from kilo_review.source import patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Runner

pytestmark = pytest.mark.timeout(120)  # against hanging alone

DEEP = ".".join(["a"] * 20_000)
SOME = ".".join(["a"] * 17)


# TOML


@pytest.mark.parametrize(
    "text",
    [
        f"{DEEP} = 1",
        f"[{DEEP}]",
        f"[[{DEEP}]]",
        f"x = {{ {DEEP} = 1 }}",
        f"x = [1, {{ {SOME} = 1 }}]",
        f"{' . '.join(['a'] * 17)} = 1",
        ".".join(['"a"'] * 17) + " = 1",
        ".".join(["'a b'"] * 17) + " = 1",
        ".".join(["'.'", '"\\".#"'] * 9) + " = 1",
        f'x = """y"""" # {SOME}\n{SOME} = 1',
        f'x = ["""y""""", {{ {SOME} = 1 }}]',
        f"x = ['''y'''', {{ {SOME} = 1 }}]",
        f'x = ["\\\\", {{ {SOME} = 1 }}]',
        f'x = ["#", {{ {SOME} = 1 }}]',
        f"x = '''\n\"\"\"\n'''\n{SOME} = 1\ny = '''\n\"\"\"\n'''",
        f'# """ \'\n{SOME} = 1\n# """ \'',
        f"a-b_1.{SOME} = 1",
    ],
)
def test_long_keys_are_refused_before_they_are_parsed(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tomllib.loads", lambda _text: pytest.fail("it was parsed"))
    (tmp_path / ".kilo-review.toml").write_text(text)
    with pytest.raises(ConfigError, match="has a key of more than 16 parts"):
        config.load({}, root=tmp_path)


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "{a=" * 5000, "x = " + "1" * 5000, "x = 1e999999x"])
def test_other_toml_that_no_parser_takes_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="is not valid TOML"):
        toml.parse(text.encode(), "'f'")


@pytest.mark.parametrize(
    "text", ["x = 0x" + "F" * 4400, "[a]\nb = [{c = 9223372036854775808}]", "x = -9223372036854775809"]
)
def test_numbers_that_are_no_numbers_of_toml_are_told(text: str) -> None:
    """Python's have no limit, and cannot be written in decimal from 4,300 digits on, as an error would."""
    with pytest.raises(ConfigError, match="it has a number of more than 64 bits in it"):
        toml.parse(text.encode(), "x.toml")


def test_the_largest_numbers_of_toml_are_read() -> None:
    text = b"a = 9223372036854775807\nb = -9223372036854775808"
    assert toml.parse(text, "x.toml") == {"a": (1 << 63) - 1, "b": -(1 << 63)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".kilo-review.toml", f"fail_on = 0x{'F' * 4000}\n"),
        (".kilo-review.toml", f"[options]\nseed = 0x{'F' * 4000}\n"),
        (".kilo-review/rules/a.md", f"---\nseverity: 0x{'F' * 4000}\n---\nNo eval.\n"),
        (".kilo-review/rules/a.md", f"---\n0x{'F' * 900}: 1\n---\nNo eval.\n"),
    ],
    ids=["a setting", "an option", "a rule", "a key of a rule"],
)
def test_a_large_number_stops_the_hook_as_any_wrong_setting_does(
    kilo: Runner, repo: Repo, name: str, text: str
) -> None:
    repo.stage(name, text)
    done = kilo("hook", "pre-commit", *kilo.scripted({"findings": []}))
    assert (done.code, "more than 64 bits" in done.talk, "Traceback" in done.talk) == (2, True, False)


def test_a_toml_file_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(ConfigError, match="is larger than 512 KiB"):
        toml.parse(b"#" * (toml.LARGEST + 1), "'f'")


@pytest.mark.parametrize(
    "text",
    [
        f"x = '{SOME}'",
        f'x = "{SOME}"',
        f'x = """\n"{SOME}"\n{SOME}\\\n"""',
        f"x = '''\n'{SOME}'\n''{SOME}'''",
        f"x = 1 # {SOME}",
        f"# {SOME}\n",
        "x = [" + "1.5, " * 200 + "]",
        "x = [" + '"a.b", ' * 200 + "]",
        "tool.a.b.c.d.e.f.g.h.i.j.k.l.m.n = 1",
        "['a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t']",
        'x = """y"""" # "\ny = 1\n',
        "x = ['''y''', \"\\\"\", '\\']",
    ],
)
def test_honest_dots_are_no_long_keys(text: str) -> None:
    assert isinstance(toml.parse(text.encode(), "'f'"), dict)


def test_a_large_pyproject_is_read(tmp_path: Path) -> None:
    sources = '"a/b.c.d", ' * 10
    tables = "".join(
        f"[tool.some.plugin.group-{number}.options]\nsources = [{sources}]\nurl = 'https://x.y.z/{number}'\n"
        for number in range(800)
    )
    text = f"{tables}\n[tool.kilo-review]\nexclude = ['*.x']\n"
    assert len(text) > 140_000
    (tmp_path / "pyproject.toml").write_text(text)
    assert config.load({}, root=tmp_path).exclude == ("*.x",)


def test_a_large_pyproject_that_has_nothing_of_ours_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{DEEP} = 1\n" + "#" * toml.LARGEST)
    assert config.load({}, root=tmp_path).exclude == ()


@pytest.mark.parametrize("name", [".kilo-review.toml", "pyproject.toml"])
def test_a_hook_stops_for_such_a_file(kilo: Runner, repo: Repo, name: str) -> None:
    repo.write(name, f"[tool.kilo-review]\n[{DEEP}]\n" if name == "pyproject.toml" else f"{DEEP} = 1")
    repo.stage("a.py", "x = 1\n")
    done = kilo("hook", "pre-commit", *kilo.scripted({"findings": []}))
    assert done.code == 2, done.talk
    assert "has a key of more than 16 parts" in done.talk
    assert "is stopped" in done.talk


def test_categories_are_counted() -> None:
    table = "".join(f'"a{number}" = {{ off = ["bug"] }}\n' for number in range(201))
    with pytest.raises(ConfigError, match="`categories` holds 201 patterns; 200 are the limit"):
        _loaded(f"[categories]\n{table}")


def _loaded(text: str) -> object:
    return config._layer(toml.parse(text.encode(), "f"), "f", is_repository=True)


# The baseline


def rows(number: int) -> bytes:
    row = {"path": "", "category": "bug", "code": "x", "symbol": "", "status": "baseline", "times": 1, "reason": ""}
    return json.dumps({"version": 1, "findings": [row | {"fingerprint": f"{at:x}"} for at in range(number)]}).encode()


def test_a_baseline_has_a_limit_and_large_ones_are_read() -> None:
    assert len(baseline.from_bytes(rows(5000), "f")) == 5000
    with pytest.raises(ConfigError, match="the baseline f has 20001 entries; 20000 are the limit"):
        baseline.from_bytes(rows(20_001), "f")


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"version": ' + "1" * 5000 + "}", '{"version": 1e999}', "[]", "1e999"]
)
def test_a_baseline_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="the baseline f"):
        baseline.from_bytes(text.encode(), "f")


# Rules


def heads(root: Path, number: int, head: str = "", body: str = "x") -> None:
    (root / ".kilo-review" / "rules").mkdir(parents=True)
    for at in range(number):
        (root / ".kilo-review" / "rules" / f"r{at:03}.md").write_text(f"---\nglobs: '*.py'\n{head}---\n{body}\n")


def test_many_small_rules_are_read(tmp_path: Path) -> None:
    heads(tmp_path, 200)
    assert len(rules.load(tmp_path).rules) == 200


@pytest.mark.parametrize(("number", "head", "body"), [(12, "# x\n" * 2000, "x"), (10, "", "x" * 300_000)])
def test_rules_have_a_limit_together(tmp_path: Path, number: int, head: str, body: str) -> None:
    heads(tmp_path, number, head, body)
    with pytest.raises(ConfigError, match=re.escape("the rules are too large: 2 MiB, and 64 KiB of heads")):
        rules.load(tmp_path)


def test_rules_are_read_within_the_time(tmp_path: Path) -> None:
    heads(tmp_path, 1)
    with pytest.raises(DeadlineError):
        rules.load(tmp_path, deadline=Deadline(1e-9))


def test_a_long_rule_is_prepared_once_for_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(line: str) -> str:
        asked.append(line)
        return line

    monkeypatch.setattr(rules, "inert", note)
    shelf = Shelf(Book((Rule("r", "AGENTS.md", "x\n" * 9 + "x"),), tokens=10**6), len)
    for number in range(50):
        assert shelf.chosen(f"{number}.py")
    assert len(asked) == 10


# The configuration of pre-commit


MERGES = "a: &a {x: 1}\n" + "".join(
    f"b{at}: &b{at}\n  <<: [{', '.join([f'*b{at - 1}' if at else '*a'] * 9)}]\n" for at in range(8)
)
ALIASES = "a: &a [x]\n" + "".join(
    f"b{at}: &b{at} [{', '.join([f'*b{at - 1}' if at else '*a'] * 9)}]\n" for at in range(8)
)


@pytest.mark.parametrize(
    "text",
    [
        f"{MERGES}repos: []\n",
        f"{ALIASES}repos: []\n",
        "repos: &r [*r]\n",
        "repos: " + "[" * 3000 + "]" * 3000,
        "repos: " + "{a: " * 3000,
        "- " * 20_000 + "x",
        "? " * 20_000 + "x",
        "repos: []\n#" + "x" * (128 << 10),
        "repos: [" + "a," * 21_000 + "]",
    ],
    ids=["merges", "aliases", "within itself", "lists", "mappings", "dashes", "keys", "size", "values"],
)
def test_a_configuration_that_would_take_minutes_is_refused(text: str) -> None:
    for work in (
        lambda: pre_commit_config.missing(text, ["pre-commit"]),
        lambda: pre_commit_config.added(text, ["pre-commit"]),
    ):
        with pytest.raises(ConfigError, match="is too large") as caught:
            work()
        assert "by hand" in caught.value.hint


def test_init_tells_it(kilo: Runner, repo: Repo) -> None:
    repo.write(".pre-commit-config.yaml", f"{MERGES}repos: []\n")
    done = kilo("init", "--yes")
    assert (done.code, "is too large" in done.talk) == (2, True), done.talk


@pytest.mark.long
def test_a_large_configuration_with_aliases_is_taken() -> None:
    hook = "  - id: {0}\n    files: ^(src/[a-z]+/[^/]*|[{{]x)$\n    additional_dependencies: *deps\n    <<: *common\n"
    text = "x: &deps [a==1, b==2]\ny: &common {language: python, args: [--a, '--b=[']}\nrepos:\n" + "".join(
        f"- repo: https://example.org/{number}\n  rev: v1\n  hooks:\n{hook.format(number)}" for number in range(60)
    )
    assert pre_commit_config.missing(text, ["pre-commit"]) == ["pre-commit"]
    assert "kilo-review" in pre_commit_config.added(text, ["pre-commit"])


# Text of the change and of the model


def quickest(work: Callable[[], object]) -> float:
    def once() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return min(once() for _ in range(5))


@pytest.mark.parametrize(
    "work",
    [
        lambda size: re.sub(suppress._CLOSERS, "", " " * size + "x"),
        lambda size: re.sub(quotes.GUTTER, "", " " * size + "x"),
        lambda size: re.sub(parse._THINKING, "", " " * size + "</think"),
        lambda size: list(patch._ways_to_part(b'\\"' * size)),
        lambda size: toml._has_long_key("." * 20 + '\n"""\\' * size),
        lambda size: toml._has_long_key("." * 20 + "a" * size),
        lambda size: toml._has_long_key("." * 20 + "a \t" * size),
        lambda size: toml._has_long_key("." * 20 + '"\\' * size),
    ],
    ids=["closers", "gutter", "thinking", "names", "strings", "word", "blanks", "quotes"],
)
def test_an_expression_is_as_fast_on_long_text_as_on_short(work: Callable[[int], object]) -> None:
    short, long = quickest(lambda: work(2000)), quickest(lambda: work(32_000))
    assert long < 80 * max(short, 2e-5)  # sixteen times for a linear one, 256 times for a square


def test_an_ignore_comment_with_blanks_behind_it_is_read_as_ever() -> None:
    found: dict[int, Any] = suppress.ignores_in(
        {1: "/* kilo-review: ignore[bug] known   */   ", 2: "# kilo-review: ignore[bug] x"}
    )
    assert [(each.reason, each.problem) for each in found.values()] == [("known", ""), ("x", "")]


def test_the_documentation_names_the_limits() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs" / "usage.md").read_text().split())
    for words in (
        f"| {toml.LARGEST >> 10} KiB, {toml.MOST_PARTS} parts in a dotted key |",
        f"{patterns.MOST_PATTERNS:,} patterns; in each {patterns.LONGEST_PATTERN:,} characters, {patterns.MOST_WILDCARDS} of",
        f"and {patterns.MOST_SLASHES} slashes |",
        f"({patterns.LONGEST_PATH:,} characters, {patterns.MOST_NAMES} names)",
        f"| {categories.MOST_SWITCHES} patterns |",
        f"{rules.MOST_FILES} files; {safe_file.LARGEST >> 20} MiB each, {rules.MOST_SIZE >> 20} MiB together",
        f"heads {front_matter.LONGEST >> 10} KiB each, {rules.LONGEST_HEADS >> 10} KiB together |",
        f"| {project.LARGEST_BASELINE >> 20} MiB, {baseline.MOST_ENTRIES:,} entries |",
        f"| {pre_commit_config.LONGEST >> 10} KiB, {pre_commit_config.DEEPEST} levels, {pre_commit_config.MOST_NODES:,} values",
    ):
        assert words in page
