"""Text that git takes for binary, in another encoding or with single NUL bytes, shown to git as UTF-8.

Git itself compares the files as they are shown, so that hunks and the numbers of their lines are its own.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from kilo_review.source.diff import parse_diff_tree
from kilo_review.source.notebook import is_named, notebook_of

if TYPE_CHECKING:
    from kilo_review.source.diff import Diff, FileChange
    from kilo_review.source.repo import Repository

    Sides = tuple[bytes | None, bytes | None]

SNIFF_BYTES = 8000
"""git's own: a NUL in the first 8,000 bytes makes a file binary (`buffer_is_binary`)."""
LARGEST_BYTES = 16 * 1024 * 1024
REGULAR_MODES = frozenset({"100644", "100755", "000000"})
ENCODINGS = (
    *((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
"""By their byte order marks; that of UTF-32 begins with that of UTF-16."""
ASCII_RUN = rb"[\t\n\r -~]{8}"
"""Bytes that an interpreter could read as a program, in a file that is shown as text of wider characters."""
LATIN = r"[\t\n\r -\u024f\u2010-\u201f\ufeff]*\Z"
"""Text in UTF-16 that no program reads as code of single bytes: every other byte is NUL, or nearly."""
CONTROLS = r"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]"
NUL_SHARE = 0.02
"""More NULs than this are no accident."""
SHOWN_NUL = "\ufffd".encode()


def in_text(repo: Repository, diff: Diff) -> Diff:
    """Return the diff with the lines of those files that are text, though git takes them for binary."""
    pairs: dict[int, Sides] = {}
    for number, file in enumerate(diff.files):
        sides = _sides(repo, file) if file.is_binary else None
        if sides is not None:
            pairs[number] = sides
    if not pairs:
        return diff
    oids, data, counted = repo.compared(list(pairs.values()))
    offset, files = len(diff.data), list(diff.files)
    for number, (old, new), shown in zip(pairs, oids, parse_diff_tree(data, counted).files, strict=True):
        path = files[number].path
        hunks = (hunk._replace(path=path, begin=hunk.begin + offset, end=hunk.end + offset) for hunk in shown.hunks)
        files[number] = files[number]._replace(
            old_oid=old or files[number].old_oid,
            new_oid=new or files[number].new_oid,
            added=shown.added,
            removed=shown.removed,
            is_binary=False,
            hunks=tuple(hunks),
        )
    return diff._replace(data=diff.data + data, files=tuple(files))


def as_shown(path: str, content: bytes) -> bytes:
    """Return what is shown of a file: the source of a notebook, and text in another encoding that says so as UTF-8."""
    utf8 = _decoded(content) or content
    shown = notebook_of(utf8) if is_named(path) else None
    return shown.content if shown else utf8


def _sides(repo: Repository, file: FileChange) -> Sides | None:
    """Return what both sides are shown as; None if one of them is binary, or if none of them has to be shown."""
    if not {file.old_mode, file.new_mode} <= REGULAR_MODES:
        return None
    oids = [oid if oid.strip("0") else "" for oid in (file.old_oid, file.new_oid)]
    if not all(not oid or _may_be_text(repo.blob_start(oid)) for oid in oids):
        return None
    contents = [repo.blob(oid) if oid else None for oid in oids]
    marks = {_mark(content) for content in contents if content is not None}
    is_known = None not in contents and len(marks) == 1
    views = [None if content is None else _view(content, is_known=is_known) for content in contents]
    is_binary = any((content is None) != (view is None) for content, view in zip(contents, views, strict=True))
    if is_binary or views == contents or views[0] == views[1]:
        return None
    return views[0], views[1]


def _mark(content: bytes) -> bytes:
    """Return the byte order mark of an encoding that git does not know; b"" if there is none."""
    return next((mark for mark, _ in ENCODINGS if content.startswith(mark)), b"")


def _may_be_text(start: bytes) -> bool:
    return bool(_mark(start)) or start.count(0) <= NUL_SHARE * len(start)


def _view(content: bytes, *, is_known: bool) -> bytes | None:
    """Return a file as it is shown; None if it is not text.

    Args:
        content: of one side.
        is_known: whether the other side is in the same encoding; else only Latin letters are believed to be in UTF-16.
    """
    if len(content) > LARGEST_BYTES:
        return None
    if _mark(content):
        shown = _decoded(content)
        return shown if is_known or shown is None or re.match(LATIN, shown.decode()) else None
    if SHOWN_NUL in content or content.count(0) > NUL_SHARE * len(content):
        return None
    if b"\0" not in content:
        return content
    try:
        text = content.replace(b"\0", SHOWN_NUL).decode()
    except UnicodeDecodeError:
        return None
    return None if re.search(CONTROLS, text) else text.encode()


def _decoded(content: bytes) -> bytes | None:
    """Return text in UTF-16 or UTF-32 as UTF-8; None if it is something else, or could be read as something else."""
    mark = _mark(content)
    if not mark or re.search(ASCII_RUN, content):
        return None
    try:
        text = content.decode(dict(ENCODINGS)[mark])
    except UnicodeDecodeError:
        return None
    return None if re.search(CONTROLS, text) else text.encode()
