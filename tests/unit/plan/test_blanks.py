"""Hunks in which only blanks change are skipped where blanks mean nothing, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kilo_review.plan.blanks import ONLY_BLANKS
from tests.support.here import run_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo

    States = Callable[[str, str, str], list[tuple[str, str | None]]]

C = "int f(int a)\n{\n    if (a)\n        return 1;\n    return 0;\n}\n"
SKIPPED = [("skipped", ONLY_BLANKS)]
REVIEWED = [("reviewed", None)]


@pytest.fixture
def states(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> States:  # fmt: skip
    """What becomes of the hunks of a file that is changed."""
    monkeypatch.chdir(repo.path)

    def of(name: str, before: str, after: str) -> list[tuple[str, str | None]]:
        repo.stage(name, before)
        repo.commit("before")
        repo.stage(name, after)
        report = run_here(capsysbinary, "--provider", "scripted", "--format", "json", "--no-cache").json()
        return [(row["state"], row["reason"]) for row in report["coverage"]["entries"]]

    return of


BLANKS_ALONE = {
    "indentation": ("a.c", C, C.replace("    ", "\t")),
    "line ends": ("a.c", C, C.replace("\n", "\r\n")),
    "trailing blanks": ("a.go", "package a\n\nvar a = 1  \n", "package a\n\nvar a = 1\n"),
    "a blank line": ("a.rs", "fn a() {}\n  \nfn b() {}\n", "fn a() {}\n\nfn b() {}\n"),
    "beside a string": ("a.js", "f();\n  g(`a\nb`);\n", "f();\ng(`a\nb`);\n"),
    "in a comment": ("A.java", "class A {\n/*\n a\n*/\n}\n", "class A {\n/*\n  a\n*/\n}\n"),
}


@pytest.mark.parametrize("case", BLANKS_ALONE.values(), ids=BLANKS_ALONE)
@pytest.mark.parametrize("is_proposal", [False, True])
def test_blanks_are_skipped(
    states: States, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str], *, is_proposal: bool
) -> None:
    if is_proposal:
        monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    assert states(*case) == SKIPPED


MEANINGFUL = {
    "indentation counts": ("a.py", "if a:\n    b()\n    c()\n", "if a:\n    b()\nc()\n"),
    "a settings file": ("a.yaml", "a:\n  b: 1\n  c: 1\n", "a:\n  b: 1\nc: 1\n"),
    "a script": ("a.sh", "cat <<E\n a\nE\n", "cat <<E\na\nE\n"),
    "a script's line ends": ("a.sh", "echo a\n", "echo a\r\n"),
    "a template": ("a.js", "f(`a\n  b`);\n", "f(`a\n b`);\n"),
    "the end of a line in a template": ("a.ts", "f(`a \nb`);\n", "f(`a\nb`);\n"),
    "line ends in a raw string": ("a.go", "package a\n\nvar a = `a\nb`\n", "package a\n\nvar a = `a\r\nb`\n"),
    "a text block": ("A.java", 'class A { String a = """\n  a\n  """; }\n', 'class A { String a = """\n  a\n"""; }\n'),
    "a raw string": ("a.rs", 'const A: &str = r"a\n b";\n', 'const A: &str = r"a\nb";\n'),
    "a raw string of C++": ("a.cpp", 'auto a = R"(a\n b)";\n', 'auto a = R"(a\nb)";\n'),
    "a string of C#": ("a.cs", 'class A { string a = @"a\n b"; }\n', 'class A { string a = @"a\nb"; }\n'),
    "a string with code in it": (
        "a.cs",
        'class A { string a = $@"{1}\n b"; }\n',
        'class A { string a = $@"{1}\nb"; }\n',
    ),
    "a string of Kotlin": ("a.kt", 'val a = """a\n b"""\n', 'val a = """a\nb"""\n'),
    "a string of Swift": ("a.swift", 'let a = """\n a\n  b\n """\n', 'let a = """\n a\n b\n """\n'),
    "a string in a macro": ("a.rs", 'fn f() { p!("a\n b"); }\n', 'fn f() { p!("a\nb"); }\n'),
    "a text in a template": ("a.js", "f(`${g(1)}\n  b`);\n", "f(`${g(1)}\n b`);\n"),
    "a continued line": ("a.c", '#define A "a\\\n  b"\n', '#define A "a\\\nb"\n'),
    "a line continued by a trigraph": ("a.c", "// admin??/ \na();\n", "// admin??/\na();\n"),
    "the line after a trigraph": ("a.cpp", '#define A "a??/\n  b"\n', '#define A "a??/\nb"\n'),
    "a blank after the sign": ("a.c", "#define A a \\\n  b\n", "#define A a \\ \n  b\n"),
    "a blank between words": ("a.c", "int ab;\n", "int a b;\n"),
    "blanks in a string": ("a.c", 'char *a = "a b";\n', 'char *a = "a  b";\n'),
    "a string that begins in what a directive leaves out": (
        "a.cs",
        'class A {\n#if false\n/*\n#endif\n  string a = @"\n b\n";\n#if false\n*/\n#endif\n}\n',
        'class A {\n#if false\n/*\n#endif\n  string a = @"\nb\n";\n#if false\n*/\n#endif\n}\n',
    ),
    "a string behind an escaped end of a comment": (
        "A.java",
        'class A {\n  /* \\u002a/ String a = """\n    a\n      b\n    """; /* */\n}\n',
        'class A {\n  /* \\u002a/ String a = """\n    a\n    b\n    """; /* */\n}\n',
    ),
    "a comment that is compared with an output": (
        "a_test.go",
        "package a\n\nfunc ExampleF() {\n\tf()\n\t/* Output:\n\ta\n\t  b\n\t*/\n}\n",
        "package a\n\nfunc ExampleF() {\n\tf()\n\t/* Output:\n\ta\n\tb\n\t*/\n}\n",
    ),
    "a comment that is run": (
        "a.rs",
        '/**\n```\nassert_eq!("\n  a", x());\n```\n*/\nfn b() {}\n',
        '/**\n```\nassert_eq!("\na", x());\n```\n*/\nfn b() {}\n',
    ),
    "a moved line": ("a.c", "a();\nb();\n", "b();\n a();\n"),
    "a line that is joined": ("a.js", "function f() {\n  return\n  1\n}\n", "function f() {\n  return 1\n}\n"),
    "a directive": ("a.go", "package a\n\n //go:generate x\n", "package a\n\n//go:generate x\n"),
    "a file that cannot be parsed": ("a.c", "int f( {\n a;\n", "int f( {\na;\n"),
    "an unknown language": ("a.xyz", "a\n b\n", "a\nb\n"),
    "another blank": ("a.c", "int a;\n", "\u00a0int a;\n"),
    "a started program": ("a.js", "#!/usr/bin/env node\na();\n", "#!/usr/bin/env node\r\na();\r\n"),
}


@pytest.mark.parametrize("case", MEANINGFUL.values(), ids=MEANINGFUL)
def test_blanks_that_may_mean_something_are_reviewed(states: States, case: tuple[str, str, str]) -> None:
    assert states(*case) == REVIEWED


def test_other_hunks_of_the_file_are_reviewed(states: States) -> None:
    middle = "".join(f"int g{number};\n" for number in range(20))
    assert states("a.c", C + middle + "int h = 1;\n", C.replace("    ", "\t") + middle + "int h = 2;\n") == [
        ("reviewed", None),
        ("skipped", ONLY_BLANKS),
    ]
