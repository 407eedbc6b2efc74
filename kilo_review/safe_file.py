"""Reads a file of the repository, which may be anything: a link to a device must not hang, prompt or fill memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kilo_review.errors import ConfigError

LARGEST = 1 << 20
"""Bytes."""


def read_bytes(path: Path, *, largest: int = LARGEST) -> bytes:
    """A regular file's content.

    A link to another file beside or below it is followed; one that leads out of there is not.

    Raises:
        ConfigError: it cannot be read, is not a regular file, or is too large.
    """
    real = os.path.realpath(path)
    inside = Path(real).is_relative_to(os.path.realpath(path.parent))
    try:
        descriptor = os.open(real if inside else path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!a} cannot be read: {error.strerror}", hint="It must be a file, not a link"
        ) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ConfigError(f"{str(path)!a} is not a regular file")
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise ConfigError(f"{str(path)!a} is larger than {largest >> 20} MiB")
    return data
