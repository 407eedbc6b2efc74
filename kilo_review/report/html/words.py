"""Words for a page: foreign ones made harmless, counted ones made plural."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.sanitize.html import for_html
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from collections.abc import Callable


class Words(NamedTuple):
    """The one way of foreign text into the page.

    Attributes:
        mask: what hides secrets.
    """

    mask: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Any text, for the content of an element or an attribute in double quotes."""
        return for_html(self.mask(text))

    def line(self, text: str) -> str:
        """The same on one line."""
        return for_html(" ".join(self.mask(text).split()))

    def prose(self, text: str) -> str:
        """The same for what a model writes: code between backticks looks like code."""
        return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", self(text))


def path_words(path: str) -> str:
    """A path, for the same places. It is never masked: it is what the reader looks for."""
    return for_html(escaped_path(path))


def plural(number: int, word: str) -> str:
    """`1 file`, `2 files`; unlike in a log, with separators: `20,000 files`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
