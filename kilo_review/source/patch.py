"""A patch from standard input → the same `Diff` that git gives.

There is no file list here to check against, so what cannot be understood is an error: a coloured or combined
diff, a hunk of the wrong length, text in which no file is found. An unread patch is never "nothing changed".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import DiffMismatchError
from kilo_review.source.diff import NO_MODE, Diff, FileChange, Hunk, decode_path, scan_hunks
from kilo_review.source.prefixes import LENGTH, Prefixes, Sides, are_known, has_schemes

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_QUOTED = rb'"((?:[^"\\]|\\.)*)"'
_QUOTED_OR_OPEN = rb'"((?:[^"\\]|\\.)*)("|\\?\Z)'
"""One that is not closed takes in the rest, so no place is looked at twice."""
_EXTENDED = rb"(old mode|new mode|deleted file mode|new file mode|rename from|rename to|copy from|copy to) ([^\r\n]*)"
_SHIFT = rb"(?:[ \tX]*+|- )"
"""What `patch` takes away from every line of a diff."""
_OTHER_FORMS = {
    "normal diffs": re.compile(
        _SHIFT + rb"\d+(?:,\d+)?[acd]\d+(?:,\d+)?\s*\n" + _SHIFT + rb"[<>](?:\s|$)", re.MULTILINE
    ),
    "context diffs": re.compile(_SHIFT + rb"(?:\*{8}|\*\*\*\s+\d+(?:,\d+)?\s+\*{4})"),
    "ed scripts": re.compile(rb"\d+(?:,\d+)?[acd][ \t\r]*+(?:\n|\Z)"),
    "a diff that is indented or quoted": re.compile(rb"(?:[ \tX]++|- )@@ -\d"),
    "an encoded mail": re.compile(rb"(?i)Content-Transfer-Encoding:\s*(?!7bit|8bit|binary)"),
}
_BINARY = re.compile(rb"(?:(?:literal|delta) \d+|[A-Za-z][0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]+)?\r?(?:\n|\Z)")
"""A line of a binary patch, as git's `diff.c` writes it in base 85; a blank one ends a part."""
LONGEST_HEADER = 4096
_PLAIN_MODE = "100644"
MOST_SPACES = 64
"""In the two names of a file; more are not tried as the place where the second one begins."""


class _Section(NamedTuple):
    """One file of the patch, with its names as they stand there.

    Attributes:
        first: its `diff --git` line; b"" for a plain diff.
        old: the name behind `---`; None for /dev/null, b"" where there is no such line.
        new: the name behind `+++`, likewise.
        extended: git's further lines.
        hunks: of the file, with a name that is not final.
        is_binary: git shows no lines for it.
    """

    first: bytes
    old: bytes | None
    new: bytes | None
    extended: dict[bytes, bytes]
    hunks: list[Hunk]
    is_binary: bool


def parse_patch(data: bytes) -> Diff:
    """Parse a unified diff: git's, or plain `diff -u`.

    Raises:
        DiffMismatchError: it is coloured, combined, damaged, or holds no file although it is not empty.
    """
    _refuse_unreadable(data)
    sections: list[_Section] = []
    position = 0
    while position < len(data):
        if data.startswith(b"diff --git ", position):
            section, position = _git_section(data, position)
            sections.append(section)
        elif _plain_header(data, position):
            section, position = _plain_section(data, position)
            sections.append(section)
        elif data.startswith(b"@@ -", position):
            raise DiffMismatchError(
                "the patch holds a hunk without the two names of its file", hint="Is the patch damaged?"
            )
        else:
            _refuse_another_form(data, position)
            position = _next_line(data, position)
    if not sections and data.strip():
        raise DiffMismatchError(
            "standard input holds text but no patch",
            hint="Pipe a unified diff in: git diff --no-color | kilo-review -",
        )
    sides = [_sides(section) for section in sections]
    prefixes = Prefixes(filter(None, sides))
    names = [_names(section, each, prefixes) for section, each in zip(sections, sides, strict=True)]
    return Diff(data, tuple(_change(section, *paths) for section, paths in zip(sections, names, strict=True)))


def _refuse_another_form(data: bytes, position: int) -> None:
    """Refuse what stands between the files of a patch and is a diff for other programs, though none in this form."""
    for what, form in _OTHER_FORMS.items():
        if form.match(data, position):
            raise DiffMismatchError(
                f"the patch has {what} in it", hint="Use one unified diff, as git diff --no-color or diff -u writes it"
            )


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


def _plain_section(data: bytes, position: int) -> tuple[_Section, int]:
    second = _next_line(data, position)
    old, new = _header_name(data, position), _header_name(data, second)
    path = _shown(old, new)
    hunks, end = scan_hunks(data, _next_line(data, second), path)
    _check_end(data, end, hunks, path)
    return _Section(b"", old, new, {}, hunks, is_binary=False), end


def _git_section(data: bytes, position: int) -> tuple[_Section, int]:
    """A `diff --git` section: names from its `---`/`+++` or extended lines, else from its first line."""
    first = data[position : _next_line(data, position)]
    extended: dict[bytes, bytes] = {}
    hunks: list[Hunk] = []
    is_binary = False
    old: bytes | None = b""
    new: bytes | None = b""
    position = _next_line(data, position)
    while position < len(data) and not data.startswith(b"diff --git ", position):
        if _plain_header(data, position):
            second = _next_line(data, position)
            old, new = _header_name(data, position), _header_name(data, second)
            path = _shown(old, new)
            hunks, position = scan_hunks(data, _next_line(data, second), path)
            _check_end(data, position, hunks, path)
            break
        if data.startswith(b"--- ", position):
            raise DiffMismatchError("a file's names are not followed by a hunk", hint="Is the patch complete?")
        if match := re.match(rb"index [0-9a-f]+\.\.[0-9a-f]+ ([0-7]{6})", data[position : position + LONGEST_HEADER]):
            extended[b"old mode"] = extended[b"new mode"] = match.group(1)
        if match := re.match(_EXTENDED, data[position : position + LONGEST_HEADER]):
            extended[match.group(1)] = match.group(2)
        elif data.startswith((b"Binary files ", b"GIT binary patch"), position):
            is_binary = True
        elif not data.startswith((b"index ", b"similarity ", b"dissimilarity "), position) and not (
            is_binary and _BINARY.match(data, position)
        ):
            break
        position = _next_line(data, position)
    return _Section(first, old, new, extended, hunks, is_binary), position


def _change(section: _Section, old_path: str | None, path: str) -> FileChange:
    extended = section.extended
    is_new = section.old is None or b"new file mode" in extended
    is_gone = section.new is None or b"deleted file mode" in extended
    new_mode = (extended.get(b"new file mode") or extended.get(b"new mode") or _PLAIN_MODE.encode()).decode(
        "ascii", "replace"
    )
    old_mode = (extended.get(b"deleted file mode") or extended.get(b"old mode") or _PLAIN_MODE.encode()).decode(
        "ascii", "replace"
    )
    renamed = old_path if old_path not in (None, path) and not is_new else None
    hunks = tuple(hunk._replace(path=path) for hunk in section.hunks)
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
        is_binary=section.is_binary and not hunks,
        hunks=hunks,
    )


# Names


def _sides(section: _Section) -> Sides | None:
    """The two names of a file with their prefixes; None where they cannot be told apart, or git did not write them."""
    was, becomes = _moved(section.extended, b"from"), _moved(section.extended, b"to")
    if section.old and section.new:
        if section.first or has_schemes(section.old, section.new):
            return Sides(section.old, section.new, was, becomes)
        return None
    found = _parted(section, was, becomes)
    return Sides(*found, was, becomes, is_one_file=was is None) if found else None


def _parted(section: _Section, was: bytes | None, becomes: bytes | None) -> tuple[bytes, bytes] | None:
    """The two names of a `diff --git` line: where they end as other lines say, or else most alike."""
    pairs = [
        (old, new)
        for old, new in _ways_to_part(section.first.removeprefix(b"diff --git ").rstrip(b"\r\n"))
        if (not section.old or old == section.old)
        and (not section.new or new == section.new)
        and (was is None or old.endswith(was))
        and (becomes is None or new.endswith(becomes))
    ]
    if was is None:
        return max(pairs, key=lambda pair: Sides(*pair).ending, default=None)
    return pairs[0] if len(pairs) == 1 else None


def _ways_to_part(names: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each way to read two names, of which git quotes those that need it."""
    if first := re.match(rb"(?:%s) (?=.)" % _QUOTED, names):
        yield _unquoted(first.group(1)), _maybe_unquoted(names[first.end() :])
        return
    if names.endswith(b'"'):
        found = re.findall(_QUOTED_OR_OPEN, names)
        if [end for _, end in found] == [b'"']:
            yield names[: names.index(b'"')].removesuffix(b" "), _unquoted(found[0][0])
        return
    if names.count(b" ") <= MOST_SPACES:
        for space in re.finditer(rb"(?<=.) (?=.)", names):
            yield names[: space.start()], names[space.end() :]
    else:
        yield _halves(names)


def _names(section: _Section, sides: Sides | None, prefixes: Prefixes) -> tuple[str | None, str]:
    """Old and new path, without prefixes; the old one is None where the patch does not tell it."""
    was, becomes = _moved(section.extended, b"from"), _moved(section.extended, b"to")
    if sides is None:
        length = LENGTH if are_known(section.old, section.new) and (section.old or section.new) else 0
        old = section.old[length:] if section.old else None
        new = section.new[length:] if section.new else None
    else:
        of_old, of_new = prefixes.lengths(sides)
        old, new = sides.old[of_old:], sides.new[of_new:]
    path = becomes or new or old or _halves(section.first.removeprefix(b"diff --git ").rstrip(b"\r\n"))[1]
    before = was or (old if section.old else None)
    return (decode_path(before) if before else None), decode_path(path) or "?"


def _shown(old: bytes | None, new: bytes | None) -> str:
    """A name for messages, before all of the patch has been read."""
    name = new or old or b"?"
    return decode_path(name[LENGTH:] if are_known(old, new) else name)


def _halves(names: bytes) -> tuple[bytes, bytes]:
    """Two names of the same length."""
    middle = (len(names) - 1) // 2
    return names[:middle], names[middle + 1 :]


def _header_name(data: bytes, position: int) -> bytes | None:
    line = data[position + 4 : _next_line(data, position)].rstrip(b"\r\n")
    quoted = re.match(_QUOTED, line)
    name = _unquoted(quoted.group(1)) if quoted else line.split(b"\t", 1)[0]
    return None if name == b"/dev/null" else name


def _moved(extended: dict[bytes, bytes], side: bytes) -> bytes | None:
    """The name on a rename's or a copy's line."""
    name = extended.get(b"rename " + side) or extended.get(b"copy " + side)
    return _maybe_unquoted(name) if name else None


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
