"""Diffs and patches: what is counted is what is there, line by line, or there is an error."""

from __future__ import annotations

import re
import subprocess
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from fuzz.changes import PLAIN, TRAPS, Edit, Row, counted, counts_of, edits, halves, patch_of, raw_of
from fuzz.strategies import damaged, shuffled_lines
from fuzz.target import property_of
from kilo_review.core.errors import SourceError
from kilo_review.source.diff import Diff, Hunk, decode_path, parse_diff_tree
from kilo_review.source.patch import parse_patch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypothesis.strategies import DrawFn

PARTING = b"\xff\xff\xff\0"
"""Between counts and diff where both come as one."""
NUMBER = "9" * 5000
WORDS = (
    *(b"@@ -1,2 +1,2 @@\n", b"@@ -0,0 +1 @@\n", b"diff --git a/x b/x\n", b"--- a/x\n", b"+++ b/x\n", b"\n", b"\n+"),
    *(b"\n-", b"\n "),
    *(b"\\ No newline at end of file\n", b"rename from ", b"rename to ", b"copy to "),
    *(b"new file mode 100644\n", b"/dev/null"),
    *(b"Binary files a/x and b/x differ\n", b"GIT binary patch\n", b"literal 3\n", b"old mode 100755\n"),
    *(b"\0", b"\r\n"),
    *(b'"a/\\303"', b":100644 100644 1 2 M\0", b"1\t1\tx\0", b"-\t-\tx\0", NUMBER.encode()),
)  # fmt: skip


class Told(NamedTuple):
    """A diff, and what is known of it beforehand.

    Attributes:
        data: the diff.
        counted: git's own counts; b"" for a patch.
        edits: what it shows, if it is undamaged.
        hunks: the lines of each file, likewise.
    """

    data: bytes
    counted: bytes
    edits: tuple[Edit, ...] | None = None
    hunks: tuple[list[list[Row]], ...] = ()


@st.composite
def diff_trees(draw: DrawFn) -> Told:
    """The output of `diff-tree --raw -z -p`, and of `--numstat -z`."""
    changed, context = draw(edits()), draw(st.integers(0, 3))
    sections = [patch_of(edit, context) for edit in changed]
    counts = b"".join(counted(edit, hunks) for edit, (_, hunks) in zip(changed, sections, strict=True))
    data = b"".join([*map(raw_of, changed), b"\0", *(text for text, _ in sections)])
    whole = Told(data, counts, tuple(changed), tuple(hunks for _, hunks in sections))
    return draw(_perhaps_damaged(whole))


@st.composite
def patches(draw: DrawFn) -> Told:
    """A patch as git or `diff -u` writes it, perhaps with prose around it."""
    changed, context = [half for edit in draw(edits()) for half in halves(edit)], draw(st.integers(0, 3))
    sections = [patch_of(edit, context) for edit in changed]
    prose = draw(st.sampled_from([b"", b"", b"From: somebody\nSubject: [PATCH] a change\n\n---\n a.py | 2 +-\n"]))
    end = draw(st.sampled_from([b"", b"", b"-- \n2.47\n", b"\n"]))
    data = b"".join([prose, *(text for text, _ in sections), end])
    return draw(_perhaps_damaged(Told(data, b"", tuple(changed), tuple(hunks for _, hunks in sections))))


@st.composite
def _perhaps_damaged(draw: DrawFn, whole: Told) -> Told:
    way = draw(st.sampled_from(["whole", "damaged", "shuffled", "counts"]))
    if way == "damaged":
        return Told(draw(damaged(whole.data, (*WORDS, *TRAPS))), whole.counted)
    if way == "shuffled":
        return Told(draw(shuffled_lines(whole.data)), whole.counted)
    if way == "counts" and whole.counted:
        return Told(whole.data, draw(damaged(whole.counted, WORDS)))
    return whole


# What must be true


def check_diff_tree(told: Told) -> None:
    """The counts are git's, file by file; the lines are those of the diff."""
    try:
        diff = parse_diff_tree(told.data, told.counted)
    except SourceError:
        assert told.edits is None, "an undamaged diff is refused"
        return
    counts = list(_numstat(told.counted))
    assert sorted((file.path, file.added, file.removed) for file in diff.files) == sorted(counts)
    _check_lines(diff)
    _check_known(told, diff)


def check_patch(told: Told) -> None:
    """A patch that is not empty has files, and their lines are those of the patch."""
    try:
        diff = parse_patch(told.data)
    except SourceError:
        assert told.edits is None, "an undamaged patch is refused"
        return
    assert diff.files or not told.data.strip()
    _check_lines(diff)
    _check_known(told, diff)


def check_against_git(told: Told) -> None:
    """Where `git apply` reads a patch, we count what it counts: no line of it goes unread."""
    try:
        diff = parse_patch(told.data)
    except SourceError:
        return
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ("git", "apply", "--numstat", "-z", "--unsafe-paths"),
            check=False,
            cwd=folder,
            input=told.data,
            capture_output=True,
        )
    if done.returncode:
        return
    theirs = list(_numstat(done.stdout))
    assert sum(file.added for file in diff.files) == sum(added for _, added, _ in theirs)
    assert sum(file.removed for file in diff.files) == sum(removed for _, _, removed in theirs)


def _numstat(data: bytes) -> Iterable[tuple[str, int, int]]:
    """Git's counts, read in another way than the program does."""
    for match in re.finditer(rb"([^\t\0]*)\t([^\t]*)\t(?:\0[^\0]*\0([^\0]*)|([^\0]*))\0", data):
        path = match[4] if match[4] is not None else match[3]
        figures = (0, 0) if match[1] == b"-" else (int(match[1]), int(match[2]))
        yield decode_path(path), *figures


def _check_lines(diff: Diff) -> None:
    end = 0
    for file in diff.files:
        assert file.added == sum(hunk.added for hunk in file.hunks)
        assert file.removed == sum(hunk.removed for hunk in file.hunks)
        for hunk in file.hunks:
            assert end <= hunk.begin < hunk.end <= len(diff.data), "two hunks share a line"
            end = hunk.end
            try:
                lines = diff.lines(hunk)
            except SourceError:
                continue
            _check_hunk(diff.data[hunk.begin : hunk.end], hunk, [Row(each.kind, _bytes(each.text)) for each in lines])
            old = [line.old for line in lines if line.kind != "+"]
            new = [line.new for line in lines if line.kind != "-"]
            assert old == list(range(hunk.old_start, hunk.old_start + hunk.old_length))
            assert new == list(range(hunk.new_start, hunk.new_start + hunk.new_length))


def _check_hunk(data: bytes, hunk: Hunk, lines: list[Row]) -> None:
    """The lines are those of the diff, in order and to the byte."""
    rows = data.removesuffix(b"\n").split(b"\n")[1:]
    shown = [Row(chr(row[0]), row[1:]) if row[:1] in {b"+", b"-", b" "} else Row(" ", row) for row in rows]
    assert lines == [row for row, raw in zip(shown, rows, strict=True) if not raw.startswith(b"\\")]
    kinds = [line.kind for line in lines]
    assert (kinds.count("+"), kinds.count("-")) == (hunk.added, hunk.removed)


def _check_known(told: Told, diff: Diff) -> None:
    """An undamaged diff comes out as it was drawn."""
    if told.edits is None:
        return
    assert len(diff.files) == len(told.edits)
    for file, edit, hunks in zip(diff.files, told.edits, told.hunks, strict=True):
        assert _bytes(file.path) == edit.path
        assert _bytes(file.old_path or "") == (edit.old_path if edit.status == "R" else b"")
        assert (file.added, file.removed) == counts_of(hunks)
        shown = [[Row(line.kind, _bytes(line.text)) for line in diff.lines(hunk)] for hunk in file.hunks]
        assert shown == hunks


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _told(raw: bytes) -> Told:
    counts, _, data = raw.partition(PARTING)
    return Told(data, counts)


ONE = b"diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@ f\n a\n-b\n+c\n"
RECORD = b":%s %s 1 2 M\0x\0\0" % (PLAIN, PLAIN)
TARGETS = {
    "diff-tree": property_of(
        check_diff_tree,
        diff_trees(),
        read=_told,
        seeds=(b"1\t1\tx\0" + PARTING + RECORD + ONE,),
        words=WORDS,
    ),
    "patch": property_of(check_patch, patches(), read=lambda raw: Told(raw, b""), seeds=(ONE,), words=WORDS),
    "patch-git": property_of(check_against_git, patches(), read=lambda raw: Told(raw, b""), seeds=(ONE,), words=WORDS),
}
