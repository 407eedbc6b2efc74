"""What hostile text, JSON and bytes are made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

T = TypeVar("T")

HOSTILE = (
    *("\0", "\x1b[2J\x1b]0;t\x07", "\r", "\r\n", "\n\n", "\t", "\x0b\x0c\x1c\x85", "\u2028\u2029", "\ufeff"),
    *("\ud800", "\udce9"),
    *("\u202e\u2066", "\u200b", "\U000e0041", "\U0010ffff", "é", "\\", '"', "'", "`", "```", "```diff", " " * 40),
    *("9" * 5000, "[" * 1100, '{"a":' * 1100, "-1", "NaN", "null", "</think>"),
    *("<think>", "kilo-review: ignore[bug] because"),
    *("../..", "/dev/null", ".git/config", "~nobody", "a b/c", "*", "[!", "%s%n{0}", "$(id)", "--- a"),
    *("+++ b", "@@ -1 +1 @@"),
)  # fmt: skip
"""What has broken readers before, here and elsewhere."""
MOST_DAMAGES = 3


def one_of_these(values: Sequence[T]) -> SearchStrategy[T]:
    """One of some values; unlike `sampled_from`, it does not spell them all out when it is shown."""
    return st.integers(0, len(values) - 1).map(lambda at: values[at])


any_text = st.text(st.characters(exclude_categories=()), max_size=40)
hostile_text: SearchStrategy[str] = st.one_of(
    any_text,
    st.text("ab \n\t(){}[]\"'`:,.-+#/\\", max_size=60),
    one_of_these(HOSTILE),
    st.lists(any_text | one_of_these(HOSTILE), max_size=3).map("".join),
)
line_text = hostile_text.map(lambda text: text.replace("\n", " "))
numbers = st.integers(-3, 99) | st.integers(-(10**400), 10**400)
json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | hostile_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def damaged(draw: DrawFn, whole: bytes, words: tuple[bytes, ...]) -> bytes:
    """Bytes with a few places cut out, repeated, overwritten or filled in; or as they are."""
    data = whole
    for _ in range(draw(st.integers(0, MOST_DAMAGES))):
        begin, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        end = min(end, begin + draw(st.sampled_from([0, 1, 3, 20, len(data)])))
        fillings = [b"", data[begin:end] * 2, data[end : end + 20], *words]
        filling = draw(one_of_these(fillings) | st.binary(max_size=4))
        data = data[:begin] + filling + data[end:]
    return data


@st.composite
def shuffled_lines(draw: DrawFn, whole: bytes) -> bytes:
    """The same with whole lines lost, repeated or exchanged, or with other numbers in them."""
    lines = whole.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, MOST_DAMAGES))):
        if not lines:
            break
        one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        act = draw(st.sampled_from(["drop", "repeat", "exchange", "number"]))
        if act == "drop":
            del lines[one]
        elif act == "repeat":
            lines.insert(other, lines[one])
        elif act == "exchange":
            lines[one], lines[other] = lines[other], lines[one]
        else:
            number = draw(st.integers(0, 12).map(str) | st.just("9" * 5000)).encode()
            lines[one] = re.sub(rb"\d+", number, lines[one], count=1)
    return b"".join(lines)
