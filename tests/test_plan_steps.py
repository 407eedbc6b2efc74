"""The steps that decide what is reviewed, at their boundaries: binary files, merges, moved places and parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.outcome import BINARY, State
from kilo_review.plan import binary, merges
from kilo_review.source.diff import FileChange
from kilo_review.source.patch import parse_patch

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


LATE = b"a" * binary.SNIFF_BYTES + b"\0"
EARLY = b"a" * (binary.SNIFF_BYTES - 1) + b"\0"
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
        (b"....ftyp\0" + TEXT, None, (LEFT, BINARY)),
        (b"....ftyq\0" + TEXT, None, (SEEN, binary.HOLDS_NUL)),
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
        (b"\0\1\2\3" * 40, "a.py", (SEEN, binary.NAMED_AS_CODE)),
        (b"\0\1\2\3" * 40, "a.PY", (SEEN, binary.NAMED_AS_CODE)),
        (b"\0\1\2\3" * 40, "a.dat", (LEFT, BINARY)),
        (PROPOSED, "a.dat", (SEEN, binary.HOLDS_NUL)),
        (TOO_MIXED_TO_PROPOSE, "a.dat", (LEFT, BINARY)),
        (b"\xff\xfe" + "x = 1\n".encode("utf-16-le") * 9, "a.dat", (SEEN, binary.HOLDS_NUL)),
        (b"GIF89a\0" + TEXT, "a.dat", (LEFT, BINARY)),
        (b"\0" * 99, "a.dat", (LEFT, BINARY)),
    ],
)
def test_a_proposal_proves_nothing_by_a_name_or_a_few_bytes(new: bytes, path: str, expected: object) -> None:
    assert verdict(new, None, path, proposal=True) == expected


def test_a_patch_has_only_gits_word() -> None:
    assert verdict(None) == (LEFT, BINARY)
    assert verdict(None, proposal=True) == (LEFT, BINARY)
    assert verdict(None, path="a.py", proposal=True) == (SEEN, binary.NAMED_AS_CODE)


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
