"""Where a report goes: standard output or a file, whole or not at all, and never lost."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from kilo_review.core import atomic_write
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say
from kilo_review.sanitize.terminal import for_terminal
from kilo_review.source import worktree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def deliver(text: str, output: Path | None, code: int, trees: Iterable[str | None] = ()) -> int:
    """Write the report. If the file cannot be written, the report goes to standard output: nothing is lost.

    Args:
        text: the report.
        output: its file; None for standard output.
        code: the exit code so far.
        trees: whose files no report may stand in for, besides those that are checked out.

    Returns:
        The exit code.
    """
    text = text if not text or text.endswith("\n") else text + "\n"
    if output is None:
        return _print(text, code)
    try:
        atomic_write.write(output, text.encode("utf-8", "backslashreplace"), worktree.guard(trees))
    except OSError as error:
        what = f"{for_terminal(str(output))} cannot be written ({error.strerror or error})"
        say(f"kilo-review: {what}; the report follows on standard output")
        return _print(text, code) or ExitCode.USAGE
    return code


def write(path: Path, data: bytes) -> None:
    """Write a file that the user has named for this command, also one that git tracks; see `atomic_write.write`.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    atomic_write.write(path, data, worktree.guard(), replaces_tracked=True, makes_folders=True)


def _print(text: str, code: int) -> int:
    """Write to standard output. A reader that went away is no failure; a full disk is."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        _silence(sys.stdout)
        say(f"kilo-review: standard output cannot be written ({error.strerror or error})")
        return code or ExitCode.USAGE
    return code


def _silence(stream: Any) -> None:  # noqa: ANN401
    """So that the interpreter's last flush does not fail again."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), stream.fileno())
