"""A patch from standard input → the same `Diff` that git gives.

There is no file list here to check against, so what cannot be understood is an error: a coloured or combined
diff, a hunk of the wrong length, text in which no file is found. An unread patch is never "nothing changed".
"""

from __future__ import annotations

import re

from kilo_review.errors import DiffMismatchError
from kilo_review.source.diff import NO_MODE, Diff, FileChange, Hunk, decode_path, scan_hunks

_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_QUOTED_OR_OPEN = rb'"((?:[^"\\]|\\.)*)("|\\?\Z)'
"""One that is not closed takes in the rest, so no place is looked at twice."""
_EXTENDED = rb"(old mode|new mode|deleted file mode|new file mode|rename from|rename to|copy from|copy to) ([^\r\n]*)"
LONGEST_HEADER = 4096
_PLAIN_MODE = "100644"
_PREFIXES = {
    b"a/b/",
    b"c/i/",
    b"i/w/",
    b"c/w/",
    b"o/w/",
    b"1/2/",
    b"b/a/",
    b"i/c/",
    b"w/i/",
    b"w/c/",
    b"w/o/",
    b"2/1/",
}
"""What git puts before the old and the new name; `diff.mnemonicPrefix` and `-R` included."""


def parse_patch(data: bytes) -> Diff:
    """Parse a unified diff: git's, or plain `diff -u`.

    Raises:
        DiffMismatchError: it is coloured, combined, damaged, or holds no file although it is not empty.
    """
    _refuse_unreadable(data)
    files: list[FileChange] = []
    position = 0
    while position < len(data):
        if data.startswith(b"diff --git ", position):
            change, position = _git_section(data, position)
            files.append(change)
        elif _plain_header(data, position):
            change, position = _plain_section(data, position)
            files.append(change)
        elif data.startswith(b"@@ -", position):
            raise DiffMismatchError(
                "the patch holds a hunk without the two names of its file", hint="Is the patch damaged?"
            )
        else:
            position = _next_line(data, position)
    if not files and data.strip():
        raise DiffMismatchError(
            "standard input holds text but no patch",
            hint="Pipe a unified diff in: git diff --no-color | kilo-review -",
        )
    return Diff(data, tuple(files))


def _refuse_unreadable(data: bytes) -> None:
    if re.search(rb"^(?:\x1b\[[0-9;]*m)+(?:diff |--- |@@ )", data, re.MULTILINE):
        raise DiffMismatchError("the patch is coloured", hint="Use git diff --no-color")
    if re.search(rb"^diff --(?:cc|combined) ", data, re.MULTILINE) and re.search(rb"^@@@", data, re.MULTILINE):
        raise DiffMismatchError(
            "the patch is a combined diff of a merge",
            hint="Compare two trees instead, for example git diff A B",
        )
    if re.search(rb"^\*{15}\r?\n\*\*\* \d", data, re.MULTILINE):
        raise DiffMismatchError("the patch has context diffs in it", hint="Use unified diffs: diff -u, git diff")
    if re.search(rb"^(?:\* Unmerged path |Submodule .+ [0-9a-f]{7,}\.{2,3}[0-9a-f]{7,})", data, re.MULTILINE):
        raise DiffMismatchError(
            "the patch names a file without showing its change", hint="Use git diff --submodule=short"
        )


def _check_end(data: bytes, position: int, hunks: list[Hunk], path: str) -> None:
    """What follows the last hunk must not look like more of it; `-- ` begins a mail's signature."""
    rest = data[position : position + 4]
    stray = rest.startswith((b"@@", b"+")) or (
        rest.startswith(b"-") and not rest.startswith((b"-- \n", b"-- \r", b"--- "))
    )
    if not hunks or stray:
        raise DiffMismatchError(
            f"{path!a}: a hunk does not have the length that its header states", hint="Is the patch damaged?"
        )


def _next_line(data: bytes, position: int) -> int:
    return data.find(b"\n", position) + 1 or len(data)


def _plain_header(data: bytes, position: int) -> bool:
    """`---`, `+++` and a hunk header on three lines; anything less is prose."""
    if not data.startswith(b"--- ", position):
        return False
    second = _next_line(data, position)
    return data.startswith(b"+++ ", second) and data.startswith(b"@@ ", _next_line(data, second))


def _plain_section(data: bytes, position: int) -> tuple[FileChange, int]:
    second = _next_line(data, position)
    old, new = _header_names(data, position)
    path = new or old or "?"
    hunks, end = scan_hunks(data, _next_line(data, second), path)
    _check_end(data, end, hunks, path)
    return _change(path, old, old is None, new is None, {}, hunks, is_binary=False), end


def _git_section(data: bytes, position: int) -> tuple[FileChange, int]:
    """A `diff --git` section: names from its `---`/`+++` or extended lines, else from its first line."""
    first = data[position : _next_line(data, position)]
    extended: dict[bytes, bytes] = {}
    hunks: list[Hunk] = []
    is_binary = False
    old: str | None = ""
    new: str | None = ""
    position = _next_line(data, position)
    while position < len(data) and not data.startswith(b"diff --git ", position):
        if _plain_header(data, position):
            old, new = _header_names(data, position, has_prefixes=_same_halves(first) is None)
            hunks, position = scan_hunks(data, _next_line(data, _next_line(data, position)), new or old or "?")
            _check_end(data, position, hunks, new or old or "?")
            break
        if data.startswith(b"--- ", position):
            raise DiffMismatchError("a file's names are not followed by a hunk", hint="Is the patch complete?")
        if match := re.match(rb"index [0-9a-f]+\.\.[0-9a-f]+ ([0-7]{6})", data[position : position + LONGEST_HEADER]):
            extended[b"old mode"] = extended[b"new mode"] = match.group(1)
        if match := re.match(_EXTENDED, data[position : position + LONGEST_HEADER]):
            extended[match.group(1)] = match.group(2)
        elif data.startswith((b"Binary files ", b"GIT binary patch"), position):
            is_binary = True
        elif not data.startswith((b"index ", b"similarity ", b"dissimilarity "), position) and not is_binary:
            break
        position = _next_line(data, position)
    path = _extended_path(extended) or new or old or _first_line_path(first)
    was = _extended_path(extended, b"from") or old or None
    change = _change(path, was, old is None, new is None, extended, hunks, is_binary=is_binary)
    return change, position


def _change(
    path: str,
    old_path: str | None,
    is_new: bool,
    is_gone: bool,
    extended: dict[bytes, bytes],
    hunks: list[Hunk],
    *,
    is_binary: bool,
) -> FileChange:
    is_new = is_new or b"new file mode" in extended
    is_gone = is_gone or b"deleted file mode" in extended
    new_mode = (extended.get(b"new file mode") or extended.get(b"new mode") or _PLAIN_MODE.encode()).decode(
        "ascii", "replace"
    )
    old_mode = (extended.get(b"deleted file mode") or extended.get(b"old mode") or _PLAIN_MODE.encode()).decode(
        "ascii", "replace"
    )
    renamed = old_path if old_path not in (None, path) and not is_new else None
    return FileChange(
        path=path,
        old_path=renamed,
        status="A" if is_new else "D" if is_gone else ("C" if b"copy to" in extended else "R") if renamed else "M",
        old_mode=NO_MODE if is_new else old_mode,
        new_mode=NO_MODE if is_gone else new_mode,
        old_oid="",
        new_oid="",
        added=sum(hunk.added for hunk in hunks),
        removed=sum(hunk.removed for hunk in hunks),
        is_binary=is_binary and not hunks,
        hunks=tuple(hunks),
    )


def _same_halves(line: bytes) -> bytes | None:
    """The name on `diff --git X X`: two equal halves mean that there are no prefixes."""
    names = line.removeprefix(b"diff --git ").rstrip(b"\r\n")
    middle = len(names) // 2
    return names[:middle] if names[:middle] == names[middle + 1 :] else None


def _header_names(data: bytes, position: int, *, has_prefixes: bool = True) -> tuple[str | None, str | None]:
    """Old and new name from the `---` and `+++` lines, without git's prefixes; None for /dev/null."""
    old, new = _header_name(data, position), _header_name(data, _next_line(data, position))
    if has_prefixes and _are_prefixes(old, new):
        old, new = old and old[2:], new and new[2:]
    return (decode_path(old) if old else None), (decode_path(new) if new else None)


def _header_name(data: bytes, position: int) -> bytes | None:
    line = data[position + 4 : _next_line(data, position)].rstrip(b"\r\n")
    quoted = re.match(_QUOTED, line)
    name = _unquoted(quoted.group(1)) if quoted else line.split(b"\t", 1)[0]
    return None if name == b"/dev/null" else name


def _extended_path(extended: dict[bytes, bytes], side: bytes = b"to") -> str | None:
    name = extended.get(b"rename " + side) or extended.get(b"copy " + side)
    return decode_path(_maybe_unquoted(name)) if name else None


def _first_line_path(line: bytes) -> str:
    """The new name on `diff --git a/X b/X`, which is only ambiguous if X changed: then a rename line tells."""
    if (whole := _same_halves(line)) is not None:
        return decode_path(_maybe_unquoted(whole))
    names = line.removeprefix(b"diff --git ").rstrip(b"\r\n")
    found = re.findall(_QUOTED_OR_OPEN, names) if names.endswith(b'"') else []
    quotes = [name for name, end in found if end == b'"']
    name = _unquoted(quotes[-1]) if quotes else names[(len(names) - 1) // 2 + 1 :]
    return decode_path(name[2:] if name[1:2] == b"/" else name) or "?"


def _maybe_unquoted(name: bytes) -> bytes:
    quoted = re.match(_QUOTED, name)
    return _unquoted(quoted.group(1)) if quoted else name


def _unquoted(text: bytes) -> bytes:
    """Undo git's C quoting: octal bytes and the usual escapes."""

    def byte(match: re.Match[bytes]) -> bytes:
        code = match.group(1)
        value = int(code, 8) & 0xFF if b"0" <= code[:1] <= b"7" else _ESCAPES.get(code, code[0])
        return bytes([value])

    return re.sub(rb"\\([0-7]{1,3}|.)", byte, text)


def _are_prefixes(old: bytes | None, new: bytes | None) -> bool:
    """Whether both names, or the one that is there, begin as a known pair does."""
    return any((old or pair[:2])[:2] + (new or pair[2:])[:2] == pair for pair in _PREFIXES)
