"""A model's fix → a patch that applies, or none: the quoted lines are found as findings are, and replaced."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.errors import BadReplyError
from kilo_review.core.finding import fold
from kilo_review.judge.parse import object_with
from kilo_review.sanitize.terminal import for_terminal, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 2000
FIELDS = ("cause", "example", "remove", "write")


class Explanation(NamedTuple):
    """What the model says about one finding.

    Attributes:
        cause: why the code is wrong, or why it is right after all.
        example: an input with which it goes wrong, or "".
        remove: lines to be replaced, or "".
        write: what takes their place.
    """

    cause: str
    example: str
    remove: str
    write: str


def parse_explanation(text: str, reasoning: str = "") -> Explanation:
    """Read the answer.

    Raises:
        BadReplyError: it has not the form.
    """
    found = object_with("cause", text if text.strip() else reasoning, is_code=True)
    values = [found.get(name, "") for name in FIELDS]
    texts = [printable(value) for value in values if isinstance(value, str)]
    if len(texts) != len(FIELDS) or not texts[0][:LONGEST].strip():
        raise BadReplyError("the model's answer explains nothing")
    cause, example, remove, write = texts
    if max(len(remove), len(write)) > LONGEST:
        remove = write = ""  # half of a fix is none
    return Explanation(cause[:LONGEST], example[:LONGEST], remove.strip("\n"), write.strip("\n"))


def patch(path: str, content: bytes, explanation: Explanation, line: int) -> bytes:
    """The fix as a patch with one file; b"" if there is none that can be placed.

    Args:
        path: of the file.
        content: the file as it is now.
        explanation: with the lines to replace.
        line: where the finding is, which decides between equal places.
    """
    if not explanation.remove.strip() or for_terminal(explanation.write) != explanation.write:
        return b""  # nothing to replace; or characters that nobody would see
    try:
        old = re.findall(r"[^\n]*\n|[^\n]+", content.decode("utf-8"))
    except UnicodeDecodeError:
        return b""
    wanted = [row for row in explanation.remove.split("\n") if row.strip()]
    places = [at for at in range(len(old) - len(wanted) + 1) if _matches(old[at : at + len(wanted)], wanted)]
    if not places:
        return b""
    at = min(places, key=lambda place: abs(place + 1 - line))
    ending = "\r\n" if old[at].endswith("\r\n") else "\n"
    shift = _indent(old[at]), _indent(wanted[0])
    written = [_shifted(row, shift) + ending for row in explanation.write.split("\n")] if explanation.write else []
    new = [*old[:at], *written, *old[at + len(wanted) :]]
    if new == old or any("\n" in row.rstrip("\r\n") for row in new):
        return b""
    return _rendered(path, old, new)


def _matches(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(fold(line) == fold(quote) for line, quote in zip(lines, wanted, strict=True))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _shifted(row: str, shift: tuple[str, str]) -> str:
    """A line of the fix at the indentation of the file, where the model quoted at another one."""
    real, quoted = shift
    if real == quoted or not row.strip() or not row.startswith(quoted):
        return row
    return real + row.removeprefix(quoted)


def _rendered(path: str, old: Sequence[str], new: Sequence[str]) -> bytes:
    names = (_quoted(f"a/{path}"), _quoted(f"b/{path}"))
    import difflib  # noqa: PLC0415  only `explain` needs it

    rows = (
        row if row.endswith("\n") else f"{row}\n\\ No newline at end of file\n"
        for row in difflib.unified_diff(old, new, *names)
    )
    return "".join(rows).encode("utf-8", "surrogateescape")


def _quoted(path: str) -> str:
    """A path as git writes it in a patch: quoted like a C string if it holds anything unusual."""
    raw = path.encode("utf-8", "surrogateescape")
    if all(0x20 < byte < 0x7F and byte not in b'"\\' for byte in raw):  # noqa: PLR2004  printable ASCII
        return path
    escapes = {0x22: '\\"', 0x5C: "\\\\"}
    return '"' + "".join(escapes.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\{b:03o}") for b in raw) + '"'  # noqa: PLR2004
