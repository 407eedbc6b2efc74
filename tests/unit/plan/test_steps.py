"""The steps that decide what is reviewed, at their boundaries: binary files, merges, moved places and parts."""

from __future__ import annotations

from contextlib import closing
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.deadline import Deadline
from kilo_review.core.errors import SourceError
from kilo_review.core.finding import Category, Finding, Severity
from kilo_review.core.outcome import BINARY, Entry, State
from kilo_review.plan import binary, merges
from kilo_review.plan.scope import Selection, none_of
from kilo_review.plan.syntax import Syntax
from kilo_review.review.aliases import Aliases
from kilo_review.source.diff import FileChange, Hunk, Line
from kilo_review.source.patch import parse_patch
from kilo_review.source.text_view import SNIFF_BYTES

if TYPE_CHECKING:
    from kilo_review.source.diff import Diff

TEXT, NULS = b"x = 1\n" * 50, b"x\0=\0\n" * 50
ZEROS = "0" * 40
SEEN, LEFT = (State.NOT_REVIEWED, State.SKIPPED)


def verdict(new: bytes | None, old: bytes | None = None, path: str = "a.bin", *, proposal: bool = False) -> Any:
    contents = {"new": new, "old": old}
    oids = {name: ZEROS if content is None else name for name, content in contents.items()}
    change = FileChange(path, None, "M", "100644", "100644", oids["old"], oids["new"], 0, 0, True, ())
    return binary.verdict(change, lambda oid: contents[oid] or b"", exempts_itself=not proposal)


LATE = b"a" * SNIFF_BYTES + b"\0"
EARLY = b"a" * (SNIFF_BYTES - 1) + b"\0"
MIXED = b"\0" + b"a" * 95 + b"\1" * 5
TOO_MIXED = b"\0" + b"a" * 94 + b"\1" * 6
PROPOSED = b"\0" + b"a" * 85 + b"\1" * 15
TOO_MIXED_TO_PROPOSE = b"\0" + b"a" * 84 + b"\1" * 16


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (TEXT, None, (SEEN, binary.BY_ATTRIBUTE)),
        (TEXT, TEXT, (SEEN, binary.BY_ATTRIBUTE)),
        (TEXT, NULS, (SEEN, binary.REPLACES_BINARY)),
        (None, TEXT, (SEEN, binary.BY_ATTRIBUTE)),
        (None, NULS, (LEFT, BINARY)),
        (NULS, TEXT, (SEEN, binary.BECOMES_BINARY)),
        (NULS, b"", (SEEN, binary.HOLDS_NUL)),
        (NULS, NULS, (SEEN, binary.HOLDS_NUL)),
        (LATE, None, (SEEN, binary.BY_ATTRIBUTE)),
        (EARLY, None, (SEEN, binary.HOLDS_NUL)),
        (MIXED, None, (SEEN, binary.HOLDS_NUL)),
        (TOO_MIXED, None, (LEFT, BINARY)),
        (b"\0" * 300, None, (LEFT, BINARY)),
        (b"\0" * 55 + b"a" * 45, None, (SEEN, binary.HOLDS_NUL)),
        (b"\0" * 56 + b"a" * 44, None, (LEFT, BINARY)),
        (b"\x89PNG\r\n\x1a\n\0" + TEXT, None, (LEFT, BINARY)),
        (b"BM\0" + TEXT, None, (SEEN, binary.HOLDS_NUL)),
        ((b"a" * 257 + b"ustar\0") + TEXT, None, (LEFT, BINARY)),
        ((b"a" * 256 + b"ustar\0") + TEXT, None, (SEEN, binary.HOLDS_NUL)),
        (b"\xff\xfe" + "x = 1\n".encode("utf-16-le") * 9, None, (LEFT, BINARY)),
        (b"\0" + b"\xff" * 9 + b"a" * 91, None, (LEFT, BINARY)),
    ],
)
def test_a_binary_file_is_what_it_holds(new: bytes | None, old: bytes | None, expected: object) -> None:
    assert verdict(new, old) == expected


@pytest.mark.parametrize(
    ("new", "path", "expected"),
    [
        (b"\0\1\2\3" * 40, "a.py", (SEEN, binary.MAY_BE_CODE)),
        (b"\0\1\2\3" * 40, "a", (SEEN, binary.MAY_BE_CODE)),
        (b"\0\1\2\3" * 40, "a.PNG", (LEFT, BINARY)),
        (b"#!\0\1\2\3" * 40, "a.png", (SEEN, binary.MAY_BE_CODE)),
        (PROPOSED, "a.png", (SEEN, binary.HOLDS_NUL)),
        (TOO_MIXED_TO_PROPOSE, "a.png", (LEFT, BINARY)),
        (b"\xff\xfe" + "x = 1\n".encode("utf-16-le") * 9, "a.png", (SEEN, binary.HOLDS_NUL)),
        (b"GIF89a\0" + TEXT, "a.png", (SEEN, binary.HOLDS_NUL)),
        (b"\x89PNG\r\n\x1a\n\0" + TEXT, "a.png", (LEFT, BINARY)),
        (b"\0" * 99, "a.png", (LEFT, BINARY)),
    ],
)
def test_a_proposal_proves_nothing_by_a_name_or_a_few_bytes(new: bytes, path: str, expected: object) -> None:
    assert verdict(new, None, path, proposal=True) == expected


def test_a_patch_has_only_gits_word() -> None:
    for is_proposal in (False, True):
        assert verdict(None, path="a.png", proposal=is_proposal) == (LEFT, BINARY)
        assert verdict(None, path="a.py", proposal=is_proposal) == (SEEN, binary.MAY_BE_CODE)


# Merges


def patch(*hunks: str, path: str = "f") -> Diff:
    return parse_patch(f"--- a/{path}\n+++ b/{path}\n{''.join(hunks)}".encode())


ADDS = "@@ -1,2 +1,3 @@\n a\n+b\n c\n"
"""Adds line 2."""
REMOVES = "@@ -1,3 +1,2 @@\n a\n-x\n c\n"
"""Takes away what stood between lines 1 and 2."""


def is_inherited(diff: Diff, *others: Diff) -> bool:
    (hunk,) = diff.files[0].hunks
    return merges.inherited(diff, others)(hunk)


FAR = "@@ -50,2 +50,3 @@\n a\n+b\n c\n"


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (ADDS, FAR, True),
        (ADDS, ADDS, False),
        (REMOVES, REMOVES, False),
        (REMOVES, FAR, True),
        (ADDS, "@@ -2,2 +2,3 @@\n b\n+c\n d\n", False),  # the line right below: they meet
        (ADDS, "@@ -3,2 +3,3 @@\n c\n+d\n e\n", True),
        ("@@ -3,2 +3,3 @@\n c\n+d\n e\n", ADDS, True),
        (ADDS, "@@ -2,3 +2,2 @@\n b\n-x\n c\n", False),  # what stood right below it
        (ADDS, "@@ -3,3 +3,2 @@\n c\n-x\n d\n", True),
        ("@@ -1,1 +1,2 @@\n a\n+b\n", "@@ -1,1 +1,2 @@\n a\n+b\n", False),  # at the end of the hunk
        ("@@ -1,1 +1,4 @@\n a\n+b\n+c\n+d\n", "@@ -1,1 +1,2 @@\n a\n+b\n", False),  # the first line of three
        ("@@ -1,1 +1,4 @@\n a\n+b\n+c\n+d\n", "@@ -3,1 +3,2 @@\n c\n+d\n", False),  # the last of them
        ("@@ -1,4 +1,5 @@\n-a\n+A\n b\n c\n+n\n d\n", "@@ -4,1 +4,2 @@\n+n\n d\n", False),  # one of two runs
    ],
)
def test_a_hunk_is_inherited_where_the_other_parent_has_all_of_it(own: str, other: str, expected: bool) -> None:
    assert is_inherited(patch(own), patch(other)) is expected


def test_one_parent_that_has_it_is_enough_and_a_file_that_does_not_differ_is_had() -> None:
    own = patch(ADDS)
    assert is_inherited(own, patch(ADDS, path="g"))
    assert is_inherited(own, patch(ADDS), patch(FAR))
    assert is_inherited(own, patch(FAR), patch(ADDS))
    assert not is_inherited(own, patch(ADDS), patch(ADDS))
    assert not is_inherited(own)


def test_a_file_that_differs_without_lines_is_not_inherited() -> None:
    mode = parse_patch(b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\n")
    assert mode.files[0].path == "f"
    assert not is_inherited(patch(ADDS), mode)


# Moved places


OLD = "def f(a):\n    b = 1\n    c = 2\n    d = 3\n    d = 3\n"
MOVED = b"""\
diff --git a/old.py b/new.py
similarity index 80%
rename from old.py
rename to new.py
--- a/old.py
+++ b/new.py
@@ -1,5 +1,6 @@
-def f(a):
+def g(a):
     b = 1
-    c = 2
+    c = 3
     d = 3
     d = 3
+    b = 1
"""


class Moved:
    """A change whose contents are at hand, or are not any more."""

    def __init__(self, *, is_late: bool = False, patch: bytes = MOVED, new: str = "", old: str = OLD) -> None:
        self.diff = parse_patch(patch)
        self.is_late = is_late
        self.old = old
        self.new = new or OLD.replace("f(a)", "g(a)").replace("c = 2", "c = 3") + "    b = 1\n"

    def lines(self, _: FileChange, hunk: Hunk) -> list[Line]:
        return self.diff.lines(hunk)

    def old_content(self, file: FileChange) -> bytes:
        assert file in self.diff.files
        if self.is_late:
            raise SourceError("the time is used up")
        return self.old.encode("utf-8", "surrogateescape")

    def new_content(self, file: FileChange) -> bytes:
        assert file in self.diff.files
        return self.new.encode("utf-8", "surrogateescape")


def edited(old: str, new: str, path: str = "f.py") -> Moved:
    """Return the change of one file, with three lines around each part of it."""
    rows = unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return Moved(patch="".join(rows).encode("utf-8", "surrogateescape"), new=new, old=old)


def at(line: int, evidence: str, path: str = "new.py", symbol: str = "def g(a)", **more: Any) -> Finding:
    return Finding(path, line, line, Severity.MAJOR, Category.BUG, "t", "m", evidence, symbol=symbol, **more)


def aliases(change: Any, finding: Finding, *, is_proposal: bool = False) -> tuple[str, ...]:
    with closing(Syntax(Deadline())) as syntax:
        return tuple(Aliases(change, syntax, is_proposal=is_proposal)(finding))


def test_a_place_is_known_by_its_old_file_and_its_old_heading() -> None:
    untouched = at(2, "    b = 1")
    own = untouched.fingerprint
    renamed = untouched._replace(path="old.py").fingerprint
    below = untouched._replace(path="old.py", symbol="def f(a)").fingerprint
    assert aliases(Moved(), untouched) == (own, renamed, below)
    changed = at(3, "    c = 3")
    assert aliases(Moved(), changed) == (changed.fingerprint, changed._replace(path="old.py").fingerprint)
    copied = Moved(patch=MOVED.replace(b"rename", b"copy"))
    assert aliases(copied, untouched) == (own, below)
    assert aliases(copied, changed) == (changed.fingerprint,)


def test_what_is_not_in_the_change_is_known_by_its_own_name_alone() -> None:
    other = at(2, "    b = 1", path="other.py")
    assert aliases(Moved(), other) == (other.fingerprint,)
    assert aliases(None, other) == (other.fingerprint,)
    outside = at(99, "    b = 1")
    assert aliases(Moved(), outside) == (outside.fingerprint, outside._replace(path="old.py").fingerprint)


READ = "0" * 32
"""The fingerprint of a finding that was read from a report."""


def test_a_finding_of_a_report_is_known_by_its_earlier_places_as_well() -> None:
    finding = at(2, "    b = 1", known_as=READ)
    own = finding._replace(known_as="")
    earlier = own._replace(path="old.py"), own._replace(path="old.py", symbol="def f(a)")
    assert aliases(Moved(), finding) == (READ, *(each.fingerprint for each in earlier))
    assert aliases(Moved(), own) == (own.fingerprint, *(each.fingerprint for each in earlier))


BESIDE = b"""--- a/f.py
+++ b/f.py
@@ -1,6 +1,6 @@
 def f(a):
     b = 1
     return b
~
-import m1
+import m2
 y = 3
""".replace(b"~", b" ")
AROUND = "def f(a):\n    b = 1\n    return b\n\nimport m{}\ny = 3\n"


def test_a_proposal_is_excused_in_functions_that_it_does_not_touch() -> None:
    change = Moved(patch=BESIDE, new=AROUND.format(2), old=AROUND.format(1))
    finding = at(2, "    b = 1", path="f.py", symbol="def f(a)")
    assert aliases(change, finding, is_proposal=True) == (finding.fingerprint,)
    for other in (
        at(5, "import m2", path="f.py", symbol=""),
        at(6, "y = 3", path="f.py", symbol=""),  # in no function: what it does depends on all of the file
        finding._replace(is_removed=True),
        finding._replace(end_line=6),
        finding._replace(line=99, end_line=99),
        finding._replace(path="other.py"),
    ):
        assert aliases(change, other, is_proposal=True) == (), other
    assert aliases(None, finding, is_proposal=True) == ()
    assert aliases(change, finding._replace(known_as=READ), is_proposal=True) == (finding.fingerprint,)


def test_in_a_proposal_a_renamed_file_has_its_old_name() -> None:
    heads = b"diff --git a/e.py b/f.py\nsimilarity index 80%\nrename from e.py\nrename to f.py\n"
    change = Moved(patch=heads + BESIDE.replace(b"a/f.py", b"a/e.py"), new=AROUND.format(2), old=AROUND.format(1))
    finding = at(2, "    b = 1", path="f.py", symbol="def f(a)")
    assert aliases(change, finding, is_proposal=True) == (finding._replace(path="e.py").fingerprint,)


PLAIN = "def f(a):\n    b = 1\n    return b\n"
SHORT = "def f(a):\n    return a\n"
METHODS = "class Rows:\n    kind = A\n\n    def f(self):\n        b = 1\n\n    def g(self):\n        return A\n"
INNER = "class Rows:\n    def f(self):\n        b = 1\n\n    class Options:\n        kind = A\n"
OUTER = "def g(a):\n    c = A\n\n    def f(a):\n        b = 1\n\n    return f\n"
RUST = "fn f() {\n    b = 1;\n}\n"


TOUCHES = {
    "in a function above": (f"def g(a):\n    return 1\n\n{PLAIN}", f"def g(a):\n    return 2\n\n{PLAIN}", 5, True),
    "above a decorator and a blank line": (f"import x\n\n@route\n{PLAIN}", f"import y\n\n@route\n{PLAIN}", 4, True),
    "right above a decorator": (f"import x\n@route\n{PLAIN}", f"import y\n@route\n{PLAIN}", 4, True),
    "beside bytes that are not UTF-8": (f"# \udcff\nimport x\n\n{PLAIN}", f"# \udcff\nimport y\n\n{PLAIN}", 5, True),
    "removed above a blank line": (f"x = 1\nimport y\n\n{PLAIN}", f"x = 1\n\n{PLAIN}", 4, True),
    "removed first line": (f"import x\n\n{PLAIN}", f"\n{PLAIN}", 3, True),
    "removed decorator": (f"@route\n{PLAIN}", PLAIN, 2, False),
    "removed check": (PLAIN.replace("    b", "    check(a)\n    b"), PLAIN, 2, False),
    "removed last statement": (f"{PLAIN}    audit(b)\n\nx = 1\n", f"{PLAIN}\nx = 1\n", 2, False),
    "below the hunk's first line": (f"{SHORT}\nimport x\n", f"{SHORT}\nimport y\n", 1, True),
    "above the hunk's last line": (f"import x\n\n{SHORT}", f"import y\n\n{SHORT}", 4, True),
    "another method": (METHODS, METHODS.replace("return A", "return B"), 5, True),
    "class": (METHODS, METHODS.replace("kind = A", "kind = B"), 5, False),
    "removed from the class": (METHODS.replace("    def g", "    x = A\n\n    def g"), METHODS, 5, False),
    "inner class": (INNER, INNER.replace("A", "B"), 3, False),
    "outer function": (OUTER, OUTER.replace("A", "B"), 5, False),
}
"""The old and the new file, the line of the finding, and whether its function is untouched."""


@pytest.mark.parametrize(("old", "new", "line", "is_untouched"), TOUCHES.values(), ids=TOUCHES)
def test_which_changes_touch_the_function_of_a_line(old: str, new: str, line: int, is_untouched: bool) -> None:
    finding = at(line, new.splitlines()[line - 1], path="f.py", symbol="def f(a)")
    assert aliases(edited(old, new), finding, is_proposal=True) == (finding.fingerprint,) * is_untouched


def test_a_proposal_is_not_excused_where_it_takes_a_function_out_of_its_type() -> None:
    finding = at(3, "    b = 1;", path="f.rs", symbol="fn f()")
    change = edited(f"impl A {{\n\n{RUST}\n}}\n", f"\n{RUST}\n", path="f.rs")
    assert aliases(change, finding, is_proposal=True) == ()


@pytest.mark.parametrize(
    "new",
    [
        AROUND.replace("return b", "return a"),
        AROUND.replace("    b = 1\n", "    a = 2\n    b = 1\n"),
        AROUND.replace("f(a)", "f(a, c)"),
        "@route\n" + AROUND,
        "# why\n" + AROUND,
    ],
    ids=["below", "above", "heading", "decorator", "comment"],
)
def test_a_proposal_is_not_excused_in_functions_that_it_touches(new: str) -> None:
    new, old = new.format(1), AROUND.format(1)
    rows = [*(f"-{row}" for row in old.splitlines()[:3]), *(f"+{row}" for row in new.splitlines()[:-3])]
    kept = {row[1:] for row in rows if row[0] == "-"} & {row[1:] for row in rows if row[0] == "+"}
    body = [row for row in rows if row[0] == "-" and row[1:] not in kept]
    body += [f" {row[1:]}" if row[1:] in kept else row for row in rows if row[0] == "+"]
    patch = "--- a/f.py\n+++ b/f.py\n" + f"@@ -1,3 +1,{len(new.splitlines()) - 3} @@\n" + "\n".join(body) + "\n"
    line = new.splitlines().index("    b = 1") + 1
    change = Moved(patch=patch.encode(), new=new, old=old)
    heading = next(row for row in new.splitlines() if row.startswith("def")).rstrip(":")
    assert aliases(change, at(line, "    b = 1", path="f.py", symbol=heading), is_proposal=True) == ()


def test_where_the_time_is_used_up_a_proposal_is_excused_by_nothing() -> None:
    finding = at(2, "    b = 1")
    assert aliases(Moved(is_late=True), finding) == (finding.fingerprint,)
    assert aliases(Moved(is_late=True), finding, is_proposal=True) == ()
    late = Moved(is_late=True, patch=BESIDE, new=AROUND.format(2))
    finding = finding._replace(path="f.py")
    assert aliases(late, finding) == (finding.fingerprint,)
    assert aliases(late, finding, is_proposal=True) == ()


# Parts


def chosen(*sizes: int) -> Selection:
    hunks = "".join(f"@@ -{100 * at + 1},0 +{100 * at + 1},1 @@\n+{'x' * size}\n" for at, size in enumerate(sizes))
    (change,) = patch(hunks).files
    left_out = (Entry("b", 0, 0, 0, 0, State.SKIPPED, "why", is_hunk=False),)
    return Selection(tuple((change, hunk) for hunk in change.hunks), left_out)


@pytest.mark.parametrize("sizes", [(9,) * 12, (1, 900, 1, 1), (900, 1, 1, 1), (5,)])
@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_all_parts_together_are_the_whole_and_no_hunk_is_in_two(sizes: tuple[int, ...], of: int) -> None:
    whole = chosen(*sizes)
    parts = [whole.shard(index, of) for index in range(1, of + 1)]
    assert tuple(each for part in parts for each in part.chosen) == whole.chosen
    assert [part.left_out for part in parts] == [whole.left_out, *[()] * (of - 1)]
    assert len({part.division for part in parts}) == 1
    if sizes and len(set(sizes)) == 1 and len(sizes) % of == 0:
        assert {len(part.chosen) for part in parts} == {len(sizes) // of}


def test_parts_of_different_selections_are_not_of_one_division() -> None:
    whole = chosen(9, 9, 9)
    assert len(whole.shard(1, 2).division) == 16
    assert whole.shard(1, 2).division != chosen(9, 9).shard(1, 2).division
    assert whole.shard(1, 2).division != chosen(9, 9, 10).shard(1, 2).division


def test_what_is_left_out_later_has_its_rows_too() -> None:
    whole = chosen(9, 9, 9)
    second = whole.chosen[1][1]
    fewer = whole.without(lambda hunk: hunk is second, "because")
    assert fewer.chosen == (whole.chosen[0], whole.chosen[2])
    assert fewer.left_out == (*whole.left_out, Entry("f", 101, 101, 1, 0, State.SKIPPED, "because"))
    assert none_of([whole.chosen[0][0]], "all").left_out == tuple(
        Entry("f", line, line, 1, 0, State.SKIPPED, "all") for line in (1, 101, 201)
    )
    assert none_of([whole.chosen[0][0]], "all").chosen == ()
