"""Files that git shows no lines of: binary by their content, or text that NUL bytes or an attribute hide.

Text in UTF-16, and text with few NUL bytes, does not come here: see `source/text_view.py`.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kilo_review.core.outcome import BINARY, State
from kilo_review.source.text_view import SNIFF_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kilo_review.source.diff import FileChange

REPLACES_BINARY = "a text file that takes the place of a binary one"
BY_ATTRIBUTE = "a text file that git attributes (-diff or binary) hide as binary"
BECOMES_BINARY = "a text file that the change makes binary: it holds NUL bytes now"
NO_TEXT = "text in UTF-16 or UTF-32 that the change makes unreadable as such, or only encodes anew"
NAMED_LIKE_CODE = "a binary file that is named like a program"
HOLDS_NUL = "text with NUL bytes, which git takes for binary"
MAY_BE_CODE = "a binary file that may be a program"
EXECUTABLE = "100755"
TEXT_SHARE = 0.95
"""Share of a file's bytes, NULs aside, that must be text for it to be text with a few NULs."""
PROPOSED_TEXT_SHARE = 0.85
"""The same in a proposal, which may mix bytes in to pass for binary."""
NUL_SHARE = 0.55
"""In UTF-16 every second byte may be a NUL; a file with more of them is a table of numbers or a hole."""
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
TEXT_BYTES = bytes(sorted({9, 10, 12, 13, *range(0x20, 0x7F), *range(0x80, 0x100)}))
MAGIC = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0\0\1\0", b"II*\0", b"MM\0*", b"PK\3\4", b"\x1f\x8b"),
    *(b"\xfd7zXZ\0", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"\x7fELF", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe"),
    *(b"\xce\xfa\xed\xfe", b"\0asm", b"SQLite format 3\0", b"\0\1\0\0", b"\xd0\xcf\x11\xe0", b"\x93NUMPY"),
    *(b"\xde\x12\x04\x95", b"\x80\4", b"\x80\5", b"\x1aE\xdf\xa3", b"\0\0\0\1Bud1", b"\x89HDF\r\n"),
)
"""What well-known binary formats begin with, as far as no text does (the file utility's database has them all)."""
MAGIC_WITHIN = ((257, b"ustar\0"),)
DATA = frozenset({
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".bmp", ".ico", ".icns", ".tif", ".tiff", ".psd", ".heic"),
    *(".mp3", ".ogg", ".oga", ".opus", ".wav", ".flac", ".m4a", ".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi"),
    *(".woff", ".woff2", ".ttf", ".otf", ".eot", ".pdf", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".tar"),
    *(".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".sqlite", ".sqlite3", ".db", ".npy", ".npz"),
    *(".parquet", ".h5", ".hdf5", ".onnx", ".gguf", ".safetensors", ".mo", ".glb", ".stl", ".blend"),
})  # fmt: skip
"""Endings of what is looked at or listened to, and not run."""
CODE = frozenset({
    *(".py", ".pyi", ".pyx", ".js", ".mjs", ".cjs", ".jsx", ".mts", ".cts", ".tsx", ".vue", ".svelte", ".astro"),
    *(".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".inl", ".m", ".mm", ".cs", ".java", ".kt", ".kts"),
    *(".go", ".rs", ".swift", ".scala", ".sc", ".groovy", ".gradle", ".clj", ".cljs", ".erl", ".ex", ".exs", ".hs"),
    *(".rb", ".php", ".phtml", ".pl", ".pm", ".lua", ".r", ".jl", ".dart", ".zig", ".nim", ".sol", ".vb", ".vbs"),
    *(".sh", ".bash", ".zsh", ".fish", ".ksh", ".ps1", ".psm1", ".bat", ".cmd", ".awk", ".tcl", ".sql", ".cmake"),
    *(".mk", ".tf", ".hcl", ".nix", ".bzl", ".star", ".yml", ".yaml", ".json", ".json5", ".toml", ".ini", ".cfg"),
    *(".xml", ".html", ".htm", ".xhtml", ".css", ".scss", ".less", ".sass", ".proto", ".graphql", ".ts", ".conf"),
    *(".erb", ".ejs", ".hbs", ".jinja", ".j2", ".twig", ".jsp", ".aspx", ".cshtml", ".asm", ".s", ".ipynb", ".env"),
})  # fmt: skip
"""Endings of what is run, built or interpreted."""


def verdict(change: FileChange, read: Callable[[str], bytes], *, exempts_itself: bool) -> tuple[State, str]:
    """Return the state and the reason of a file that git takes for binary.

    A file is skipped if what it becomes (or, when deleted, what it was) is binary by its content. What is or was text
    is not reviewed, and so never a part of a clean outcome.

    Args:
        change: the file.
        read: blob id → the beginning of its content.
        exempts_itself: False in a proposal, whose contents and names prove nothing.
    """
    sides = [read(oid) for oid in (change.new_oid, change.old_oid) if oid.strip("0")]
    if not sides:  # a patch has no contents to look into; its author may have had any text shown as binary
        return _proposed(change, b"")
    are_binary = [b"\0" in content[:SNIFF_BYTES] for content in sides]
    if not are_binary[0]:
        return State.NOT_REVIEWED, REPLACES_BINARY if any(are_binary) else BY_ATTRIBUTE
    if not change.new_oid.strip("0"):
        holds_code = not exempts_itself and (
            PurePosixPath(change.path).suffix.lower() in CODE or _is_text(sides[0], PROPOSED_TEXT_SHARE)
        )
        return (State.NOT_REVIEWED, HOLDS_NUL) if holds_code else (State.SKIPPED, BINARY)
    if not all(are_binary) and sides[1:] != [b""]:
        return State.NOT_REVIEWED, BECOMES_BINARY
    return _of_user(change, sides) if exempts_itself else _proposed(change, sides[0])


def _of_user(change: FileChange, sides: Sequence[bytes]) -> tuple[State, str]:
    """Return the verdict on a file that is binary now and was so, or is new, in a change that is not a proposal."""
    is_utf16 = sides[0].startswith(BYTE_ORDER_MARKS)
    if is_utf16 and sides[1:] and sides[1].startswith(BYTE_ORDER_MARKS):
        return State.NOT_REVIEWED, NO_TEXT
    if PurePosixPath(change.path).suffix.lower() in CODE and not _has_magic(sides[0]):
        return State.NOT_REVIEWED, NAMED_LIKE_CODE
    holds_text = not _has_magic(sides[0]) and _is_text(sides[0], TEXT_SHARE) and _nul_share(sides[0]) <= NUL_SHARE
    return (State.NOT_REVIEWED, HOLDS_NUL) if holds_text and not is_utf16 else (State.SKIPPED, BINARY)


def _proposed(change: FileChange, content: bytes) -> tuple[State, str]:
    """Return the verdict on a file that a proposal brings: nothing that may be a program is skipped."""
    is_executable = change.new_mode == EXECUTABLE or content.startswith(b"#!")
    if is_executable or PurePosixPath(change.path).suffix.lower() not in DATA:
        return State.NOT_REVIEWED, MAY_BE_CODE
    if not _has_magic(content) and _is_text(content, PROPOSED_TEXT_SHARE):
        return State.NOT_REVIEWED, HOLDS_NUL
    return State.SKIPPED, BINARY


def _has_magic(content: bytes) -> bool:
    within = any(content[at : at + len(word)] == word for at, word in MAGIC_WITHIN)
    return within or content.startswith(MAGIC)


def _nul_share(content: bytes) -> float:
    return content.count(0) / max(1, len(content))


def _is_text(content: bytes, share: float) -> bool:
    """Tell whether this share of the bytes that are no NULs belongs to UTF-8 text."""
    rest = content.replace(b"\0", b"")
    if not rest:
        return False
    controls = len(rest.translate(None, TEXT_BYTES))
    undecodable = rest.decode("utf-8", "replace").count("\ufffd")
    return controls + undecodable <= (1 - share) * len(rest)
