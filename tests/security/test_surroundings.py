"""A change to what is around a function, which voids what was decided about a line in it."""

from __future__ import annotations

from difflib import ndiff
from typing import TYPE_CHECKING

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.judge.surroundings import ChangedLine, Surroundings
from kilo_review.plan.syntax import Syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

C = "int size;\n\nint other(void)\n{\n  return 1;\n}\n\nint rows(char *q)\n{\n  return run(q);\n}\n\nint third(void)\n{\n  return 3;\n}\n"
JS = "const size = 1;\nfunction other() {\n  return 1;\n}\nfunction rows(q) {\n  return run(q);\n}\nfunction third() {\n  return 3;\n}\n"
PY = "import os\n\n\ndef other():\n    return 1\n\n\ndef rows(q):\n    return run(q)\n\n\nsize = 1\n"
RUBY = "def other\n  1\nend\n\ndef rows(q)\n  run(q)\nend\n\ndef third\n  3\nend\n"
CLASSES = "class Other:\n    size = 1\n\n    def get(self):\n        return 1\n\n\nclass Rows:\n    def get(self, q):\n        return run(q)\n"
CELLS = "import os\n\ndef rows(q):\n    return run(q)\n\nsize = 1\n"
ROUTE = 'app.post(\n  "/sql",\n  requireAdmin,\n  handler,\n);\n'
APP = "app = FastAPI(\n    dependencies=[Depends(admin)],\n)\n"
RUST = "fn other() -> i32 {\n    1\n}\n\nfn rows(q: &str) {\n    run(q)\n}\n"
PHP = "<?php\nfunction other() {\n  return 1;\n}\n\nfunction rows($q) {\n  run(q);\n}\n"
GO = 'package main\n\nimport "db"\n\nfunc other() int {\n\treturn 1\n}\n\nfunc rows(q string) {\n\trun(q)\n}\n'
JAVA = "import good.*;\n\nclass A {\n  void rows(String q) {\n    run(q);\n  }\n}\n"
SHELL = "A=1\n\nrows() {\n  run(q)\n}\n".replace("run(q)", "run -q; : 'run(q)'")


def around(content: str, old: str, new: str) -> str:
    """Put lines around the function `rows`: `old` stands before a text, and `new` after it."""
    begin, end = old.split("|")
    first, last = new.split("|")
    return content.replace(begin, first + begin, 1).replace(end, end + last, 1)


@pytest.fixture
def syntax() -> Iterator[Syntax]:
    syntax = Syntax(Deadline(None))
    yield syntax
    syntax.close()


def is_reached(syntax: Syntax, path: str, base: str, changed: str) -> bool:
    """Tell whether the change reaches the function that holds `run(q)`, seen from either side."""
    sides = []
    rows = list(ndiff(base.split("\n"), changed.split("\n")))
    for text, sign in ((base, "-"), (changed, "+")):
        own = [row for row in rows if row[0] in f" {sign}"]
        lines = [ChangedLine(number, row[2:]) for number, row in enumerate(own, start=1) if row[0] == sign]
        outline = syntax.outline(path, text)
        assert outline
        scopes = syntax.scopes(path, text, 1 + text[: text.index("run(q)")].count("\n"))
        assert scopes
        sides.append(Surroundings(path, text, outline, lines, lambda: None).reach(scopes))
    return any(sides)


def with_third(base: str, heading: str, body: str = "    return 3\n") -> str:
    return f"{base}\n\n{heading}\n{body}"


PY_INT = "def other():\n    return 1\n\n\ndef rows(q):\n    return run(q), int(q)\n".replace(
    "run(q), int", "int(run(q)), int"
)
TYPED = "def other():\n    return 1\n\n\ndef rows(q: int) -> int:\n    return run(q)\n"
JS_REQUIRE = "function other() {\n  return 1;\n}\nfunction rows(q) {\n  require('x');\n  return run(q);\n}\n"
RUBY_TYPE = "def other\n  1\nend\n\ndef rows(q)\n  run(q)\n  self.type\nend\n"
PHP_CALL = PHP.replace("  run(q);", "  run(q);\n  htmlspecialchars($q);")
SWIFT = "func rows(q: String) {\n  if q == a {\n    run(q)\n  }\n}\n"
CPP = "int rows(T q)\n{\n  if (q == a)\n    run(q);\n  return 1;\n}\n"

JS_NAME = (
    "let NAME = safe;\nfunction other() {\n  return 1;\n}\nfunction rows(q) {\n  run(q);\n  return f(q, NAME);\n}\n"
)
JS_METHOD = (
    "class A {\n  other() {\n    return 1;\n  }\n\n  rows(q) {\n    run(q);\n    this.delete(q);\n  }\n}\n".replace(
        "run(q)", "'run(q)'"
    )
)
PY_MAP = "def other():\n    return 1\n\n\ndef rows(q):\n    return 'run(q)', map(int, q)\n"
C_RUN = "static int other(void)\n{\n  return 1;\n}\n\nstatic int rows(char *q)\n{\n  return run(q);\n}\n"
CS_RUN = "class A {\n  int Other() {\n    return 1;\n  }\n\n  int Rows(int q) {\n    return run(q);\n  }\n}\n"


def set_in_other(base: str, line: str) -> str:
    return base.replace("return 1;", f"{line} return 1;")


def beside_rows(base: str, method: str) -> str:
    """Put a method before the other one of a class in braces."""
    return base.replace("class A {\n", f"class A {{\n{method}\n", 1)


REACHING = {
    **{
        f"a variable {name}": ("a.js", (base := JS_NAME.replace("NAME", name)), set_in_other(base, f"{name} = evil;"))
        for name in ("type", "match", "string", "number", "any", "$")
    },
    "a method with a reserved name": ("a.js", JS_METHOD, set_in_other(JS_METHOD, "this.delete = evil;")),
    "a type that is handed on": ("a.py", PY_MAP, with_third(PY_MAP, "def int(t):")),
    "a type that both have": ("a.py", TYPED, with_third(TYPED, "def third(t: int) -> int:")),
    "a name with a long escape": ("a.cs", CS_RUN, set_in_other(CS_RUN, "r\\U00000075n = evil;")),
    "a name with a character that is not seen": ("a.cs", CS_RUN, set_in_other(CS_RUN, "ru\\u200dn = evil;")),
    "a name over two lines": ("a.c", C_RUN, set_in_other(C_RUN, "ru\\\nn = evil;")),
    "what an object is called on one line": (
        *("a.cs", CS_RUN),
        beside_rows(CS_RUN, "  [Pure] public System.String ToString() { return evil; }"),
    ),
    "a method whose name is a text": ("a.js", JS_METHOD, beside_rows(JS_METHOD, "  'toString'() { return evil; }")),
    "a comparison of Ruby": ("a.rb", RUBY, RUBY + "\ndef eql?(o)\n  3\nend\n"),
    "an operator on a line of its own": ("a.rb", RUBY, RUBY + "\ndef\n==(o)\n  3\nend\n"),
    "what a package of Go begins with": ("a.go", GO, GO + "\nfunc init() {\n\tevil()\n}\n"),
    "another meaning of division": ("a.py", PY_MAP, "from __future__ import division\n" + PY_MAP),
    "a type that is called": ("a.py", PY_INT, with_third(PY_INT, "def int(t):")),
    "an import of such a type": ("a.py", PY_INT, "from lib import int\n" + PY_INT),
    "a word of other languages": ("a.js", JS_REQUIRE, JS_REQUIRE + "function require(p) {\n  return 3;\n}\n"),
    "a word that is a method": ("a.rb", RUBY_TYPE, RUBY_TYPE + "\ndef type\n  3\nend\n"),
    "a name in capitals": ("a.php", PHP_CALL, PHP_CALL + "\nfunction HtmlSpecialChars($t) {\n  return $t;\n}\n"),
    "an operator": ("a.swift", SWIFT, SWIFT + "\nfunc == (a: S, b: S) -> Bool {\n  return true\n}\n"),
    "an operator of C++": ("a.cpp", CPP, CPP + "\nbool operator==(T a, S b)\n{\n  return true;\n}\n"),
    "a method that is called unnamed": (
        "a.py",
        CLASSES,
        CLASSES.replace("    def get(self):", "    def __eq__(self, o):", 1),
    ),
    "what makes a text of an object": (
        "a.php",
        PHP,
        PHP + "class U {\n  function __toString() {\n    return 'x';\n  }\n}\n",
    ),
    "a method by which objects are compared": (
        "a.java",
        JAVA,
        JAVA.replace("  void rows", "  public boolean equals(Object o) {\n    return true;\n  }\n\n  void rows"),
    ),
    "a method of JavaScript that is called unnamed": (
        "a.js",
        JS,
        JS + "class U {\n  toString() {\n    return 3;\n  }\n}\n",
    ),
    "a method of Ruby that is called unnamed": ("a.rb", RUBY, RUBY + "\ndef to_s\n  3\nend\n"),
    "the methods of a trait": ("a.rs", RUST, "use evil::Ext;\n" + RUST),
    "a comment to the compiler": ("a.rb", RUBY, "# a\n# b\n# frozen_string_literal: true\n" + RUBY),
    "a pragma": ("a.jsx", "// a\n// b\n" + JS[17:], "// a\n// b\n/** @jsx raw */\n" + JS[17:]),
    "conditional": ("a.c", C, around(C, "int rows|run(q);\n}\n", "#ifdef NEVER\n|#endif\n")),
    "macro": ("a.c", C, C.replace("int size;\n", "int size;\n#define run exit\n")),
    "an include": ("a.c", C, C.replace("int size;", '#include "evil.h"\nint size;')),
    "a directive in another function": ("a.c", C, C.replace("  return 1;", "#if 0\n  return 1;\n#endif")),
    "a directive behind a comment": ("a.c", C, C.replace("  return 1;", "/**/ #define run exit\n  return 1;")),
    "a digraph": ("a.c", C, C.replace("  return 1;", "%:define run exit\n  return 1;")),
    "a trigraph": ("a.cpp", C, C.replace("  return 1;", "??=define run exit\n  return 1;")),
    "a branch": ("a.js", JS, around(JS, "function rows|run(q);\n}\n", "if (size) {\n|}\n")),
    "a branch behind a definition": ("a.js", JS, around(JS, "function rows|3;\n}", "const x = 1; if (guest) {\n| }")),
    "a try": ("a.js", JS, around(JS, "function other|3;\n}\n", "try {\n|} catch { size; }\n")),
    "replaced below": ("a.js", JS, JS + "rows = adminOnly(rows);\n"),
    "replaced on the last line of another": ("a.js", JS, JS + "function fourth() { return 3; } run = eval;\n"),
    "replaced on the first line of another": ("a.js", JS, JS + "run = eval; function fourth() {\n  return 3;\n}\n"),
    "replaced in another function": ("a.js", JS, JS.replace("return 3;", "rows = null;")),
    "what it calls": ("a.js", JS, JS.replace("const size = 1;", "const run = eval;")),
    "a second statement": ("a.js", JS, JS.replace("const size = 1;", "const size = 2; eval(source);")),
    "an argument of its route": ("a.js", JS + ROUTE, JS + ROUTE.replace("  requireAdmin,\n", "")),
    "a function of what it calls": ("a.js", JS, JS + "function run(q) {\n  return 4;\n}\n"),
    "a namespace": ("a.js", JS, 'import * as all from "evil";\n' + JS),
    "a decorator below": ("a.py", PY, PY + "rows = admin_only(rows)\n"),
    "an import of what it calls": ("a.py", PY, PY.replace("import os\n", "import os\nfrom mine import run\n")),
    "an import of everything": ("a.py", PY, PY.replace("import os\n", "import os\nfrom mine import *\n")),
    "a new caller": ("a.py", PY, PY.replace("    return 1", "    return rows(input())")),
    "a name of the file, set in another": ("a.py", PY, PY.replace("    return 1", "    global run\n    return 1")),
    "a definition": ("a.py", PY, PY.replace("size = 1", "size = 2")),
    "a keyword": ("a.py", PY + "app.guard(\n    login=True\n)\n", PY + "app.guard(\n    login=False\n)\n"),
    "what it calls, set in another": ("a.js", "let run;\n" + JS, "let run;\n" + JS.replace("return 1;", "run = eval;")),
    "a tuple": ("a.py", PY, PY.replace("return 1", "run, other = eval, 1")),
    "a step": ("a.js", JS, JS.replace("return 1;", "run++;")),
    "a loop": ("a.js", JS, JS.replace("return 1;", "for (run of all) {}")),
    "an escape": ("a.js", JS, JS.replace("return 1;", "r\\u0075n = eval;")),
    "a wide letter": ("a.py", PY, PY.replace("return 1", "\uff52un = eval")),
    "an entry": ("a.js", JS, JS.replace("return 1;", "globalThis['run'] = eval;")),
    "a global of PHP": ("a.php", PHP, PHP.replace("return 1;", "$GLOBALS['run'] = 'system';")),
    "a global of Ruby": ("a.rb", RUBY, RUBY.replace("  1\n", "  $run = 1\n")),
    "a global of a shell": ("a.sh", SHELL + "other() {\n  A=1\n}\n", SHELL + "other() {\n  run=eval\n}\n"),
    "a variable of a package": ("a.go", GO, GO.replace("return 1", "run = evil")),
    "a module's attribute": ("a.py", PY, PY.replace("return 1", "sys.modules[__name__].run = eval")),
    "a carriage return": ("a.py", PY, PY.replace("return 1", "return 1 # one\rrun = eval")),
    "the end of the program": ("a.py", PY, PY.replace("import os\n", "import os\nraise SystemExit\n")),
    "a coding": ("a.py", PY.replace("import os\n\n\n", ""), "# coding: utf-7\n" + PY.replace("import os\n\n\n", "")),
    "a keyword argument": ("a.py", PY + APP, PY + APP.replace("    dependencies=[Depends(admin)],\n", "")),
    "a decorator of its class": ("a.py", CLASSES, CLASSES.replace("class Rows", "@anonymous\nclass Rows")),
    "private": ("a.rb", RUBY, RUBY.replace("def rows", "private\n\ndef rows")),
    "public": ("a.rb", "private\n\n" + RUBY, RUBY),
    "private behind another": ("a.rb", RUBY.replace("end\n\ndef rows", "end; private\n\ndef rows"), RUBY),
    "a required file": ("a.rb", RUBY, "A = 1; require './evil'\n" + RUBY),
    "a cell not run": ("a.py", CELLS, "%%script false\n" + CELLS),
    "an attribute of the file": ("a.rs", RUST, "#![cfg(any())]\n" + RUST),
    "a namespace of Rust": ("a.rs", RUST, "use evil::*;\n" + RUST),
    "a package of Go": ("a.go", GO, GO.replace('"db"', '"evil"')),
    "a namespace of Java": ("a.java", JAVA, JAVA.replace("import good.*;", "import evil.*;")),
    "a folder of a shell": ("a.sh", SHELL, SHELL.replace("A=1", "A=1; cd /")),
    "a path of a shell": ("a.sh", SHELL, SHELL.replace("A=1", "PATH=.")),
}
HARMLESS = {
    "a type that only one has": ("a.py", TYPED, with_third(TYPED, "def third(t: str) -> str:")),
    "a comment above another function": (
        "a.js",
        JS,
        JS.replace("function third", "// the last of them\nfunction third"),
    ),
    "the making of another class": (
        "a.py",
        CLASSES,
        CLASSES.replace("        return 1\n", "        return 1\n\n    def __init__(self):\n        self.x = 1\n", 1),
    ),
    "another function": ("a.c", C, C.replace("return 3;", "return 4;")),
    "before it": ("a.js", JS, JS.replace("return 1;", "return 2;")),
    "a comment above another": ("a.js", JS, JS.replace("function third", "// the third\nfunction third")),
    "a new function": ("a.js", JS, JS + "\nfunction fourth() {\n  return 4;\n}\n"),
    "a new function for others": ("a.js", JS, JS + "\nexport async function fourth() {\n  return 4;\n}\n"),
    "an import": ("a.py", PY, PY.replace("import os", "import os, sys")),
    "a named import": ("a.js", JS, 'import { first, second as other2 } from "./mine";\n' + JS),
    "a class of Java": ("a.java", JAVA, JAVA.replace("import good.*;", "import good.*;\nimport java.util.List;")),
    "a decorator of another": ("a.py", PY, PY.replace("def other():", "@cache\ndef other():")),
    "a blank line": ("a.py", PY, PY.replace("\n\n\nsize", "\n\n\n\nsize")),
    "another class": ("a.py", CLASSES, CLASSES.replace("return 1", "return 2")),
    "Ruby": ("a.rb", RUBY, RUBY.replace("  3", "  4")),
}


@pytest.mark.parametrize(("path", "base", "changed"), REACHING.values(), ids=REACHING)
def test_a_change_around_a_function_reaches_it(syntax: Syntax, path: str, base: str, changed: str) -> None:
    assert is_reached(syntax, path, base, changed)


@pytest.mark.parametrize(("path", "base", "changed"), HARMLESS.values(), ids=HARMLESS)
def test_a_change_to_other_code_does_not_reach_it(syntax: Syntax, path: str, base: str, changed: str) -> None:
    assert base != changed
    assert not is_reached(syntax, path, base, changed)
