"""Reads a file of the repository, which may be anything: a link to a device must not hang, prompt or fill memory.

Also what a parser makes of one may be anything.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from kilo_review.core.errors import ConfigError

LARGEST = 1 << 20
"""Bytes."""
LARGEST_NUMBER = 1 << 63
"""As TOML has it. Python's numbers have no limit, and refuse to be written in decimal from 4,300 digits on."""
GIT = ".git"
"""What lies below may hold passwords of remotes."""


def read_bytes(path: Path, *, within: Path | None = None, largest: int = LARGEST) -> bytes:
    """A regular file's content.

    A link to another file in a folder is followed; one that leads out of there, or to what git keeps, is not.

    Args:
        path: of the file.
        within: the folder; None for the one that the file lies in.
        largest: bytes that it may have.

    Raises:
        ConfigError: it cannot be read, leads elsewhere, is not a regular file, or is too large.
    """
    real, folder = Path(os.path.realpath(path)), os.path.realpath(within or path.parent)
    if not real.is_relative_to(folder) or GIT in real.relative_to(folder).parts:
        raise ConfigError(f"{str(path)!a} cannot be read: it leads elsewhere", hint="It must be a file, not a link")
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!a} cannot be read: {error.strerror}", hint="It must be a file, not a link"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a folder can be opened, but makes no stream
        os.close(descriptor)
        raise ConfigError(f"{str(path)!a} is not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise ConfigError(f"{str(path)!a} is larger than {largest >> 20} MiB")
    return data


def has_large_number(value: Any) -> bool:  # noqa: ANN401  whatever a parser returns
    """Tell whether a number that no program means is somewhere in a parsed value, keys included."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, int) and not -LARGEST_NUMBER <= each < LARGEST_NUMBER:
            return True
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            left += each
    return False
