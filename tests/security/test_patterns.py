"""Patterns and paths that would keep a matcher busy, and that patterns mean what they mean to git."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import ConfigError, DeadlineError
from kilo_review.judge.categories import Switch, Switchboard
from kilo_review.plan import patterns
from kilo_review.plan.patterns import ignore_list
from kilo_review.plan.rules import Book, Rule, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Runner

pytestmark = pytest.mark.timeout(120)  # against hanging alone

HOSTILE = {
    "stars": ("*a" * 60 + "*b", "a" * 250),
    "stars and question marks": ("*a?" * 40 + "*b", "a" * 250),
    "stars and sets": ("*[ab]?" * 20 + "*c", "a" * 250),
    "double stars": ("**/x/" * 20 + "**/y", "x/" * 100 + "z"),
    "double stars and stars": ("**/*x*/" * 16 + "**/y", "xxxx/" * 100 + "z"),
    "double stars below a folder": ("/x/" + "**/*x/x*/" * 12 + "y", "x/" * 200 + "z"),
    "a long part behind a double star": ("**/" + "?/" * 50 + "y", "x/" * 200 + "z"),
    "double stars at both ends": ("**/x/" * 12 + "**/*.y/**", "x/" * 120 + "z"),
}


def steps(work: Callable[[], object]) -> int:
    """How many calls, of Python's and of built-in functions, a piece of work makes."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(("pattern", "path"), HOSTILE.values(), ids=HOSTILE)
def test_no_pattern_takes_more_steps_than_its_length_times_the_paths(pattern: str, path: str) -> None:
    matches = ignore_list("exclude", [pattern])
    assert steps(lambda: matches(path)) < 3 * len(pattern) * len(path)


@pytest.mark.parametrize("text", ["a?b", "[a-c]x", "[!]a]", "[[:alpha:]_]?", "[b-a]", "[*+]?[{]", "?(a|b)+?"])
def test_a_part_between_two_stars_is_an_expression_of_single_characters(text: str) -> None:
    piece = patterns._Piece(list(patterns._tokens(text)))
    rest = re.sub(r"\\.|\[\^?(?:\\.|[^\]\\])*\]", "x", str(piece._expression))
    assert re.fullmatch(r"[ab|x]+", rest.replace("\\", ""))
    assert len(rest) == piece.width


def test_a_list_as_in_large_projects_costs_a_few_calls_for_each_path() -> None:
    wanted = [
        "*.pyc",
        "node_modules/",
        "/build/",
        "*.log",
        "src/gen/**",
        "**/fixtures/**/*.json",
        "docs/*.md",
        "*_pb2.py",
    ]
    paths = [f"src/part{number // 100}/module{number}.py" for number in range(1000)]
    matches = ignore_list("exclude", wanted * 6)
    assert steps(lambda: [matches(path) for path in paths]) < 1000 * len(wanted * 6) * 4


@pytest.mark.parametrize(("pattern", "path"), HOSTILE.values(), ids=HOSTILE)
def test_the_matchers_of_rules_and_categories_are_the_same(pattern: str, path: str) -> None:
    shelf = Shelf(Book((Rule("r", "r.md", "text", (pattern,)),)), len)
    board = Switchboard([Switch(pattern, off=("bug",))])
    assert steps(lambda: (shelf.about(path), board._off(path))) < 7 * len(pattern) * len(path)
    assert not shelf.about(path)


@pytest.mark.parametrize(
    "content",
    [
        "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\n",
        "**/*a/**/*a/**/*a/**/*a/**/*a/**/*a/**/*a/**/*a/**/b\n",
        "# secrets\n/secrets/\n*?a*?a*?a*?a*?a*?a*?a*?a*?a*?a*?b\n",
    ],
)
@pytest.mark.parametrize("place", [".kilocodeignore", ".kilo-review.toml", ".kilo-review/rules/r.md", "categories"])
def test_a_hostile_list_does_not_stop_a_review(kilo: Runner, repo: Repo, content: str, place: str) -> None:
    lines = ", ".join(f'"{line}"' for line in content.splitlines())
    table = "".join(f'"{line}" = {{ off = ["bug"] }}\n' for line in content.splitlines())
    whole = {".kilocodeignore": content, ".kilo-review.toml": f"exclude = [{lines}]\n"}
    whole[".kilo-review/rules/r.md"] = f"---\nglobs: [{lines}]\n---\nRule\n"
    name = ".kilo-review.toml" if place == "categories" else place
    repo.write(name, whole.get(place, f"[categories]\n{table}"))
    repo.stage("aaaa/" * 40 + "a" * 200, "x = 1\n")
    done = kilo(*kilo.scripted({"findings": []}), "--format", "json")
    assert done.code == 0, done.talk
    assert done.json()["outcome"] == "clean"


# The deadline


@pytest.fixture
def over() -> Deadline:
    return Deadline(1e-9)


def test_a_matcher_looks_at_the_deadline(over: Deadline) -> None:
    with pytest.raises(DeadlineError):
        ignore_list("exclude", ["*.x"], over)("a.y")


class Counting(Deadline):
    """A deadline that passes when it was looked at so often."""

    __slots__ = ()
    looks = 0

    def cap(self, timeout: float) -> float:
        type(self).looks += 1
        if type(self).looks > 5:
            raise DeadlineError("over")
        return timeout


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ([f"*x{number}" for number in range(1000)], "a"),
        ([f"*x{number}/" for number in range(1000)], "a/b"),
        ([f"/*x{number}/y" for number in range(1000)], "a/b"),
        (["**/x/y"], "x/" * 200 + "z"),
    ],
    ids=["names", "folders", "from the top", "deep"],
)
def test_it_looks_at_it_in_the_middle_of_one_path(wanted: list[str], path: str) -> None:
    Counting.looks = 0
    with pytest.raises(DeadlineError):
        ignore_list("exclude", wanted, Counting())(path)


def test_rules_are_chosen_within_the_time(over: Deadline) -> None:
    with pytest.raises(DeadlineError):
        Shelf(Book((Rule("r", "r.md", "text"),)), len, over).about("a.py")


def test_what_is_switched_off_stays_so_when_the_time_is_over() -> None:
    assert Switchboard([Switch("*.py", off=("bug",))])._off("a.py") == {"nits", "bug"}


# Limits


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a"] * (patterns.MOST_PATTERNS + 1), "5001 patterns; 5000 are the limit"),
        (["a" * (patterns.LONGEST_PATTERN + 1)], "a pattern of 1025 characters; 1024 are the limit"),
        (["*a" * 129], "more than 128 wildcards"),
        (["[a]" * 129], "more than 128 wildcards"),
        (["a/" * 66 + "b"], "more than 64 slashes"),
        (["a[b"], "can match no path: 'a[b': its bracket [ is not closed"),
        (["a[[:nothing:]]"], "[:nothing:] is no class of characters"),
        (["a\\"], "it ends with a backslash"),
        (["!"], "a name in it is empty"),
        (["/"], "a name in it is empty"),
        (["a//b"], "a name in it is empty"),
        (["./secret.py"], "paths begin at the top of the repository"),
        (["../secret.py"], "paths begin at the top of the repository"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_list_that_cannot_be_used_is_refused_and_not_passed_over(lines: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        ignore_list("exclude", lines)
    assert str(caught.value).startswith("exclude holds ")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", ["./secret.py\n", "a[b\n", "x\n" * 6000], ids=["dot", "bracket", "many"])
def test_a_hook_stops_for_such_a_list(kilo: Runner, repo: Repo, content: str) -> None:
    repo.write(".kilocodeignore", content)
    repo.stage("secret.py", "x = 1\n")
    done = kilo("hook", "pre-commit", *kilo.scripted({"findings": []}))
    assert done.code == 2, done.talk
    assert "is stopped" in done.talk
    assert ".kilocodeignore holds" in done.talk


def test_lists_as_large_as_real_ones_are_taken() -> None:
    names = [f"/data/set-{number}/*.csv" for number in range(4000)]
    matches = ignore_list("exclude", [*names, "[0-9a-f]" * 64 + ".bin", "/" + "d/" * 40 + "x"])
    assert matches("data/set-3999/x.csv")
    assert matches("0f" * 32 + ".bin")
    assert not matches("data/set-4000/x.csv")


@pytest.mark.parametrize("path", ["d/" * 300 + "f.py", "/".join(["d" * 250] * 20) + ".py"], ids=["deep", "long"])
def test_a_path_that_is_too_long_for_lists_is_not_reviewed(kilo: Runner, repo: Repo, path: str) -> None:
    oid = repo.git("hash-object", "-w", "--stdin", input=b"x = 1\n").stdout.decode().strip()
    repo.git("update-index", "--add", "--index-info", input=f"100644 {oid}\t{path}\n".encode())
    repo.stage("app.py", "y = 1\n")
    done = kilo(*kilo.scripted({"findings": []}), "--format", "json")
    assert done.code == 3, done.talk
    rows = {row["path"]: row for row in done.json()["coverage"]["entries"]}
    assert (rows["app.py"]["state"], rows[path]["state"]) == ("reviewed", "not_reviewed")
    assert rows[path]["reason"] == "its path is too long or too deep to be held against ignore lists"


# As git does


PARTS = ["a", "b", "ab", "*", "?", "**", "/", "/", "/", "[ab]", "[!a]", "[^]]", "[]a]", "[a-]", "[[:alpha:]]", "[b-a]", "[", "]",
         "\\*", "\\a", "\\", " ", "\\ ", "#", "!", ".", "**/", "/**"]  # fmt: skip
LINES = st.builds(
    lambda mark, parts, end: mark + "".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=7),
    st.sampled_from(["", "", "/"]),
)
NAMES = st.text("ab.*] -#!\\", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
HALF_A_DOUBLE_STAR = r"(?<=[^/!])\*\*|\*\*(?=[^/*])|\\/"
"""Git takes `a**/b` for `a` and then `**/b`, against its own documentation, which is followed here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("patterns")
    subprocess.run(["git", "init", "-q"], cwd=made, check=True)
    return made


def by_git(folder: Path, lines: list[str], paths: list[str]) -> dict[str, tuple[bool, str]]:
    """Whether git ignores these paths, and by which pattern."""
    (folder / "list").write_text("\n".join(lines) + "\n")
    told = subprocess.run(
        [
            "git",
            "-c",
            f"core.excludesFile={folder / 'list'}",
            "check-ignore",
            "--no-index",
            "--stdin",
            "-z",
            "-v",
            "-n",
        ],
        cwd=folder,
        input="\0".join(paths).encode(),
        capture_output=True,
    )
    assert told.returncode in {0, 1}, told.stderr
    words = told.stdout.decode().split("\0")[:-1]
    rows = [words[at : at + 4] for at in range(0, len(words), 4)]
    return {path: (bool(source) and not line.startswith("!"), line) for source, _, line, path in rows}


@settings(max_examples=250, deadline=None)
@given(lines=st.lists(LINES, min_size=1, max_size=4), paths=st.lists(PATHS, min_size=10, max_size=30, unique=True))
@pytest.mark.long
def test_patterns_mean_what_they_mean_to_git(folder: Path, lines: list[str], paths: list[str]) -> None:
    assume(not any(re.search(HALF_A_DOUBLE_STAR, line) for line in lines))
    usable: list[str] = []
    for line in lines:
        try:
            ignore_list("exclude", [line])
        except ConfigError:
            assert not any(by for _, by in by_git(folder, [line], paths).values())
        else:
            usable.append(line)
    matches = ignore_list("exclude", usable)
    own = {path: bool(matches(path)) for path in paths}
    assert own == {path: is_ignored for path, (is_ignored, _) in by_git(folder, usable, paths).items()}


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        (["*.py", "!keep.py"], "a/keep.py", False),
        (["!keep.py", "*.py"], "a/keep.py", True),
        (["/build/", "!/build/keep.py"], "build/keep.py", True),  # nothing below an excluded folder comes back
        (["/build/*", "!/build/keep.py"], "build/keep.py", False),
        (["build/"], "build", False),
        (["build/"], "src/build/x", True),
        (["/build"], "src/build", False),
        (["src/gen"], "lib/src/gen", False),
        (["src/**/x.py"], "src/x.py", True),
        (["src/**/x.py"], "src/a/b/x.py", True),
        (["src/**"], "src/a/b", True),
        (["a**/x"], "ab/x", True),
        (["a**/x"], "ab/c/x", False),
        (["?.txt"], "é.txt", True),  # a character, not a byte
        (["[à-é].txt"], "ç.txt", True),
        (["*.txt"], "a\nb.txt", True),
        (["b\udce9*"], "b\udce9.txt", True),
        (["a\\ ", "  "], "a ", True),
        (["\\#x", "# y"], "#x", True),
        (["# y"], "# y", False),
        ([], "a", False),
    ],
)
def test_what_patterns_are_used_for(lines: list[str], path: str, expected: bool) -> None:
    assert bool(ignore_list("exclude", lines)(path)) == expected


def test_the_order_of_paths_does_not_matter() -> None:
    lines = ["/a/*/x/", "!/a/b/x/", "**/c", "!d.py", "*.py"]
    paths = ["a/b/x/1", "a/c/1", "a/b/x/2", "e", "a/e/x/d.py", "a/b/c", "a/b/x/d.py", "a/b/x/1"]
    together = ignore_list("exclude", lines)
    assert [together(path) for path in paths] == [ignore_list("exclude", lines)(path) for path in paths]


def test_lines_end_where_git_says(kilo: Runner, repo: Repo, division: dict[str, Any]) -> None:
    repo.write(".kilocodeignore", "a\u2028b.py\r\nc.py\r\n")
    for name in ("a\u2028b.py", "c.py", "b.py"):
        repo.stage(name, "x = 1\n")
    rows = kilo(*kilo.scripted({"findings": []}), "--format", "json").json()["coverage"]["entries"]
    assert {row["path"] for row in rows if row["state"] == "skipped"} == {"a\u2028b.py", "c.py"}
