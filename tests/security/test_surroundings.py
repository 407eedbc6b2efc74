"""A change to what is around a function, which voids what was decided about a line in it."""

from __future__ import annotations

from difflib import ndiff
from typing import TYPE_CHECKING

import pytest

from kilo_review.deadline import Deadline
from kilo_review.judge.surroundings import ChangedLine, Surroundings
from kilo_review.plan.syntax import Syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

C = "int size;\n\nint other(void)\n{\n  return 1;\n}\n\nint rows(char *q)\n{\n  return run(q);\n}\n\nint third(void)\n{\n  return 3;\n}\n"
JS = "const size = 1;\nfunction other() {\n  return 1;\n}\nfunction rows(q) {\n  return run(q);\n}\nfunction third() {\n  return 3;\n}\n"
PY = "import os\n\n\ndef other():\n    return 1\n\n\ndef rows(q):\n    return run(q)\n\n\nsize = 1\n"
RUBY = "def other\n  1\nend\n\ndef rows(q)\n  run(q)\nend\n\ndef third\n  3\nend\n"
CLASSES = "class Other:\n    size = 1\n\n    def get(self):\n        return 1\n\n\nclass Rows:\n    def get(self, q):\n        return run(q)\n"
LONG_IMPORT = "from os import (\n    path,\n"
CELLS = "import os\n\ndef rows(q):\n    return run(q)\n\nsize = 1\n"


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


@pytest.mark.parametrize(
    ("path", "base", "changed"),
    [
        ("a.c", C, around(C, "int rows|run(q);\n}\n", "#ifdef NEVER\n|#endif\n")),
        ("a.c", C, C.replace("int size;\n", "int size;\n#define run exit\n")),
        ("a.c", C, C.replace("  return 1;", "#if 0\n  return 1;\n#endif")),
        ("a.js", JS, around(JS, "function rows|run(q);\n}\n", "if (size) {\n|}\n")),
        ("a.js", JS, around(JS, "function other|3;\n}\n", "try {\n|} catch { size; }\n")),
        ("a.js", JS, JS + "rows = adminOnly(rows);\n"),
        ("a.js", JS, JS.replace("return 3;", "rows = null;")),
        ("a.js", JS, JS.replace("const size = 1;", "const run = eval;")),
        ("a.py", PY, PY + "rows = admin_only(rows)\n"),
        ("a.py", PY, PY.replace("import os\n", "import os\nfrom mine import run\n")),
        ("a.py", PY, PY.replace("    return 1", "    return rows(input())")),
        ("a.py", PY, PY.replace("import os\n", "import os\nraise SystemExit\n")),
        ("a.py", CLASSES, CLASSES.replace("class Rows", "@anonymous\nclass Rows")),
        ("a.rb", RUBY, RUBY.replace("def rows", "private\n\ndef rows")),
        ("a.rb", "private\n\n" + RUBY, RUBY),
        ("a.py", CELLS, "%%script false\n" + CELLS),
    ],
    ids=[
        *("conditional", "macro", "a directive in another function", "branch", "try", "replaced below"),
        *("replaced in another function", "what it calls", "a decorator below", "import of what it calls"),
        *("a new caller", "the end of the program", "a decorator of its class", "private", "public", "a cell not run"),
    ],
)
def test_a_change_around_a_function_reaches_it(syntax: Syntax, path: str, base: str, changed: str) -> None:
    assert is_reached(syntax, path, base, changed)


@pytest.mark.parametrize(
    ("path", "base", "changed"),
    [
        ("a.c", C, C.replace("int size;", "#include <stdio.h>\nint size;")),
        ("a.c", C, C.replace("return 3;", "return 4;")),
        ("a.js", JS, JS.replace("return 1;", "return 2;")),
        ("a.js", JS, JS.replace("function third", "// the third\nfunction third")),
        ("a.js", JS, JS + "\nfunction fourth() {\n  return 4;\n}\n"),
        ("a.py", PY, PY.replace("import os", "import os, sys")),
        ("a.py", LONG_IMPORT + ")\n" + PY, LONG_IMPORT + "    sep,\n)\n" + PY),
        ("a.py", PY, PY.replace("size = 1", "size = 2")),
        ("a.py", PY, PY.replace("def other():", "@cache\ndef other():")),
        ("a.py", PY, PY.replace("\n\n\nsize", "\n\n\n\nsize")),
        ("a.py", CLASSES, CLASSES.replace("return 1", "return 2")),
        ("a.rb", RUBY, RUBY.replace("  3", "  4")),
    ],
    ids=[
        *("an include", "another function", "before it", "a comment above another", "a new function", "an import"),
        *("an import in brackets", "a definition", "a decorator of another", "a blank line", "another class", "Ruby"),
    ],
)
def test_a_change_to_other_code_does_not_reach_it(syntax: Syntax, path: str, base: str, changed: str) -> None:
    assert base != changed
    assert not is_reached(syntax, path, base, changed)
