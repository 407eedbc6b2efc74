"""Where a report goes: standard output or a file, whole or not at all, and never lost."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from kilo_review.display import for_terminal
from kilo_review.errors import ConfigError
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say


def check(path: Path | None) -> None:
    """A wrong --output is told before the review, not after it."""
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"--output: {str(path)!a} is a folder")
    if not path.parent.is_dir():
        raise ConfigError(f"--output: the folder {str(path.parent)!a} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--output: {str(path)!a} may not be written")


def deliver(text: str, output: Path | None, code: int) -> int:
    """Write the report. If the file cannot be written, the report goes to standard output: nothing is lost."""
    text = text if not text or text.endswith("\n") else text + "\n"
    if output is None:
        return _print(text, code)
    try:
        write(output, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        what = f"{for_terminal(str(output))} cannot be written ({error.strerror or error})"
        say(f"kilo-review: {what}; the report follows on standard output")
        return _print(text, code) or ExitCode.USAGE
    return code


def write(path: Path, data: bytes) -> None:
    """Whole or not at all: a regular file is replaced only when its new content is on disk.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    path = Path(os.path.realpath(path))  # a link stays, what it leads to is replaced
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a pipe or a device
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".kilo-review-", delete=False) as stream:
        try:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
            Path(stream.name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
            Path(stream.name).replace(path)
        except OSError:
            Path(stream.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


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
