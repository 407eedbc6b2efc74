"""Which reports are wanted, and where each of them goes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core import atomic_write
from kilo_review.core.errors import ConfigError, UsageError
from kilo_review.report import FORMATS
from kilo_review.source import worktree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT = "text"


class Wanted(NamedTuple):
    """One report: its format, and its file; None for standard output."""

    format: str
    path: Path | None = None


def wanted(formats: Sequence[str], outputs: Sequence[str], trees: Iterable[str | None] = ()) -> tuple[Wanted, ...]:
    """The reports that these options ask for, files first: standard output may be what breaks.

    Args:
        formats: what `--format` named; none: `text`.
        outputs: what `--output` named: `FORMAT=FILE`, or `FILE` for the one format that has no file otherwise.
        trees: see `check`.

    Raises:
        UsageError: two reports would get into each other's way.
        ConfigError: a file cannot be written.
    """
    named, plain = _told_apart(outputs)
    files = [*named]
    rest = [each for each in dict.fromkeys(formats or (DEFAULT,)) if each not in {report.format for report in named}]
    if plain:
        if len(plain) > 1 or len(rest) != 1:
            raise UsageError(
                f"--output: it is not clear which report is meant for {plain[-1]!a}",
                hint="Say so: --output FORMAT=FILE",
            )
        files.append(Wanted(rest.pop(), Path(plain[0])))
    if len(rest) > 1:
        raise UsageError(
            f"{' and '.join(rest)} cannot both go to standard output",
            hint=f"Give one of them a file: --output {rest[-1]}=FILE",
        )
    _check_files(files, trees)
    return (*files, *map(Wanted, rest))


def check(path: Path | None, trees: Iterable[str | None] = ()) -> None:
    """A wrong --output is told before the review, not after it.

    Args:
        path: of the file, if there is one.
        trees: whose files it may not be, besides those that are checked out.

    Raises:
        ConfigError: it cannot be written, or must not be.
    """
    if path is None:
        return
    try:
        atomic_write.check(path, worktree.guard(trees))
    except atomic_write.UnsafePathError as error:
        raise ConfigError(
            f"--output: {str(path)!a} may not be written ({error.strerror})",
            hint="Name a new file that git does not track, or one outside of the checkout",
        ) from None
    except OSError:
        pass  # told below in more detail, or when it is written
    if path.is_dir():
        raise ConfigError(f"--output: {str(path)!a} is a folder")
    if not path.parent.is_dir():
        raise ConfigError(f"--output: the folder {str(path.parent)!a} does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--output: {str(path)!a} may not be written")


def _told_apart(outputs: Iterable[str]) -> tuple[list[Wanted], list[str]]:
    named, plain = [], []
    for output in outputs:
        form, separator, path = output.partition("=")
        if separator and form in FORMATS:
            named.append(Wanted(form, Path(path)))
        elif separator and re.fullmatch("[a-z]+", form):
            raise UsageError(
                f"--output: {form!a} is no format",
                hint=f"There are: {', '.join(FORMATS)}; a file of that name is ./{output}",
            )
        else:
            plain.append(output)
    return named, plain


def _check_files(files: Sequence[Wanted], trees: Iterable[str | None]) -> None:
    places = [os.path.realpath(report.path or "") for report in files]
    for report, place in zip(files, places, strict=True):
        check(report.path, trees)
        if places.count(place) > 1 and (report.path is None or report.path.is_file() or not report.path.exists()):
            raise UsageError(f"--output: two reports cannot share the file {str(report.path)!a}")
