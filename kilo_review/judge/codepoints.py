"""Characters by their code points: which do what, and how they are named without being shown.

Classes are text for regular expressions, which compile and keep them when a line that is not ASCII is first met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.core.finding import Severity

BIDI = r"\u202a-\u202e\u2066-\u2069"
MARKS = r"\u061c\u200e\u200f"
"""They turn nothing around; a line of right-to-left text may need them."""
SELECTORS = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"
TAGS = r"\U000e0000-\U000e007f"
FILLERS = r"\u115f\u1160\u3164\uffa0"
"""Invisible, and yet letters: a name may consist of nothing else."""
SEPARATORS = r"\u2028\u2029"
INVISIBLE = (
    r"\x80-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028\u2029\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default ignorable code points (without those of BIDI), C1 controls and line separators."""
SPACES = r"\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
PRIVATE = r"\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
RIGHT_TO_LEFT = r"\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"

MOST_NAMED = 4
LONGEST_WORD = 40


class Deceit(NamedTuple):
    """One kind of deceit on one line, in words that are harmless themselves."""

    severity: Severity
    title: str
    message: str


def named(text: str, indexes: Sequence[int]) -> str:
    """`U+200B ZERO WIDTH SPACE at character 3`, for the first few."""
    told = [f"{name_of(text[index])} at character {index + 1}" for index in indexes[:MOST_NAMED]]
    more = len(indexes) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def name_of(char: str) -> str:
    """`U+200B ZERO WIDTH SPACE`."""
    import unicodedata  # noqa: PLC0415  a table of 1 MB, not for ASCII

    kind = {"Cc": "control character", "Co": "private use"}.get(unicodedata.category(char), "unassigned")
    return f"U+{ord(char):04X} {unicodedata.name(char, kind)}"


def spelt(word: str) -> str:
    r"""A word with all that is not ASCII as `\uNNNN`, cut if it is long."""
    shown = word.encode("ascii", "backslashreplace").decode("ascii")
    return shown if len(shown) <= LONGEST_WORD else shown[: LONGEST_WORD - 3] + "..."
