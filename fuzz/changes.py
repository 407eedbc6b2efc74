"""Changes as they might be: drawn, written down as git writes them, and known beforehand line by line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from fuzz.strategies import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hypothesis.strategies import DrawFn

PLAIN, LINK, NONE = b"100644", b"120000", b"000000"
OID = b"1" * 40
TRAPS = (
    *(b"", b" ", b"\r", b"-- ", b"--- a/x", b"+++ b/x", b"@@ -1 +1 @@", b"@@ -1,9 +1,9 @@ f", b"diff --git a/x b/x"),
    *(b"\\ No newline at end of file", b"\x0c", b"\xff\xfe", b"\xe2\x80\xa8", b"index 1..2 100644", b"rename from x"),
    *(b"GIT binary patch", b"Binary files a/x and b/x differ", b"def f():", b"    return 1", b"*" * 15, b"}"),
)
"""Lines that look like something else, or end where none should."""
NAMES = (
    b"a.py",
    b"b/c.js",
    b"a b",
    b" b/x",
    b"b",
    b"-",
    b'q"\\.c',
    b"\xe9",
    b"tab\there",
    b"line\nfeed",
    b"\r",
    b"a b/a b",
)


class Edit(NamedTuple):
    """One changed file.

    Attributes:
        status: git's letter; `B` is a binary file that is modified.
        old_path: where it was.
        path: where it is.
        before: its old lines, each with its end; the last may lack it.
        after: its new lines.
    """

    status: str
    old_path: bytes
    path: bytes
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]


class Row(NamedTuple):
    """One line of a hunk as it must come out."""

    kind: str
    text: bytes


@st.composite
def edits(draw: DrawFn, *, most: int = 3) -> list[Edit]:
    """Some changed files, each path once."""
    names = st.sampled_from(NAMES) | st.binary(min_size=1, max_size=8).map(_as_name)
    paths = draw(st.lists(names, min_size=1, max_size=most, unique=True))
    return [draw(_edit(path)) for path in paths]


def _as_name(raw: bytes) -> bytes:
    return raw.replace(b"\0", b"_").strip(b"/").replace(b"//", b"/") or b"_"


@st.composite
def _edit(draw: DrawFn, path: bytes) -> Edit:
    status = draw(st.sampled_from("MMMMADRTB"))
    before, after = draw(_content()), draw(_content())
    if status in "MR" and draw(st.booleans()):  # usually a change is small
        at = draw(st.integers(0, len(before)))
        after = (*before[:at], *after[:2], *before[at + draw(st.integers(0, 2)) :])
        after = tuple(line if line.endswith(b"\n") else line + b"\n" for line in after[:-1]) + after[-1:]
    if status == "A":
        before = ()
    if status == "D":
        after = ()
    return Edit(status, path + b".old" if status == "R" else path, path, before, after)


@st.composite
def _content(draw: DrawFn) -> tuple[bytes, ...]:
    hostile = [text.encode("utf-8", "surrogatepass") for text in HOSTILE if "\n" not in text and len(text) < 50]
    line = st.sampled_from([*TRAPS, *hostile]) | st.binary(max_size=6).map(lambda raw: raw.replace(b"\n", b""))
    lines = draw(st.lists(line, max_size=12))
    whole = b"\n".join(lines) + (b"\n" if draw(st.booleans()) else b"")
    return tuple(part + b"\n" for part in whole.split(b"\n")[:-1]) + (
        (last,) if (last := whole.split(b"\n")[-1]) else ()
    )


# As git writes it


def hunks_of(before: Sequence[bytes], after: Sequence[bytes], context: int) -> Iterator[tuple[bytes, list[Row]]]:
    """Each hunk's text, and its lines."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(context):
        if all(code[0] == "equal" for code in group):
            continue
        header = b"@@ -%s +%s @@ \xff heading\n" % (
            _range(group[0][1], group[-1][2]),
            _range(group[0][3], group[-1][4]),
        )
        rows: list[Row] = []
        for tag, a, b, c, d in group:
            if tag == "equal":
                rows += [Row(" ", line) for line in before[a:b]]
            else:
                rows += [Row("-", line) for line in before[a:b]] + [Row("+", line) for line in after[c:d]]
        yield header + b"".join(map(_row, rows)), [Row(row.kind, row.text.removesuffix(b"\n")) for row in rows]


def _range(begin: int, end: int) -> bytes:
    length = end - begin
    if length == 1:
        return b"%d" % (begin + 1)
    return b"%d,%d" % (begin + (length > 0), length)


def _row(row: Row) -> bytes:
    end = b"" if row.text.endswith(b"\n") else b"\n\\ No newline at end of file\n"
    return row.kind.encode() + row.text + end


def patch_of(edit: Edit, context: int) -> tuple[bytes, list[list[Row]]]:
    """The sections of one file, and the lines of its hunks."""
    if edit.status == "T":
        (first, one), (second, other) = (patch_of(half, context) for half in halves(edit))
        return first + second, one + other
    old, new = quoted(b"a/" + edit.old_path), quoted(b"b/" + edit.path)
    text = [b"diff --git %s %s\n" % (old, new)]
    if edit.status in "AD":
        text.append(b"%s file mode 100644\n" % (b"new" if edit.status == "A" else b"deleted"))
    if edit.status == "R":
        text.append(b"rename from %s\nrename to %s\n" % (quoted(edit.old_path), quoted(edit.path)))
    text.append(b"index 1111111..2222222%s\n" % (b" 100644" if edit.status in "MB" else b""))
    if edit.status == "B":
        return b"".join([*text, b"Binary files %s and %s differ\n" % (old, new)]), []
    hunks = list(hunks_of(edit.before, edit.after, context))
    if hunks:
        text.append(b"--- %s\n" % (b"/dev/null" if edit.status == "A" else _tabbed(old)))
        text.append(b"+++ %s\n" % (b"/dev/null" if edit.status == "D" else _tabbed(new)))
    return b"".join([*text, *(hunk for hunk, _ in hunks)]), [rows for _, rows in hunks]


def halves(edit: Edit) -> list[Edit]:
    """A file that becomes a link is shown as one deleted and one added."""
    if edit.status != "T":
        return [edit]
    return [edit._replace(status="D", after=()), edit._replace(status="A", before=())]


def quoted(name: bytes) -> bytes:
    """A name as git writes it: in quotes if anything in it is unusual."""
    if all(0x20 <= byte < 0x7F and byte not in b'"\\' for byte in name):
        return name
    escapes = {0x22: b'\\"', 0x5C: b"\\\\", 0x09: b"\\t", 0x0A: b"\\n"}
    shown = (escapes.get(byte) or (bytes([byte]) if 0x20 <= byte < 0x7F else b"\\%03o" % byte) for byte in name)
    return b'"%s"' % b"".join(shown)


def _tabbed(name: bytes) -> bytes:
    """Git ends a name with a blank in it by a tab, for GNU patch."""
    return name + b"\t" if b" " in name else name


def counts_of(hunks: list[list[Row]]) -> tuple[int, int]:
    """Lines added and removed."""
    kinds = [row.kind for rows in hunks for row in rows]
    return kinds.count("+"), kinds.count("-")


def raw_of(edit: Edit) -> bytes:
    """The file's raw record."""
    old = NONE if edit.status == "A" else PLAIN
    new = {"D": NONE, "T": LINK}.get(edit.status, PLAIN)
    status = {"B": b"M", "R": b"R087"}.get(edit.status, edit.status.encode())
    names = edit.old_path + b"\0" + edit.path if edit.status == "R" else edit.path
    return b":%s %s %s %s %s\0%s\0" % (old, new, OID, OID, status, names)


def counted(edit: Edit, hunks: list[list[Row]]) -> bytes:
    """The file's line of `--numstat -z`."""
    figures = b"-\t-" if edit.status == "B" else b"%d\t%d" % counts_of(hunks)
    names = b"\0" + edit.old_path + b"\0" + edit.path if edit.status == "R" else edit.path
    return figures + b"\t" + names + b"\0"
