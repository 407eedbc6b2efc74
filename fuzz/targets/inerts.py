"""The change as a model is shown it: no control token, nothing hidden, and what the model quotes of it is found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from fuzz.strategies import hostile_text, one_of_these
from fuzz.target import property_of
from fuzz.targets.displays import commands
from kilo_review.core.finding import fold
from kilo_review.sanitize.model_input import inert, restored
from kilo_review.sanitize.terminal import for_terminal

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<s>", "</s>"),
    "<<SYS>>",
    *("[INST]", "[/INST]", "[gMASK]", "[|user|]", "]~b]", "]~!b[", "[e~[", "<think>", "</tool_call>", "<fim_prefix>"),
    *("<turn|>", "<|turn>", "<\uff5cUser\uff5c>", "<SPECIAL_12>", "[control_7]", "<extra_id_0>", "<mask:1>", "[MASK]"),
)  # fmt: skip
BARS = r"<[|\uff5c][^\s<>]{1,64}>|<[^\s<>]{1,64}[|\uff5c]>|\[\|[^\s\[\]]{1,64}\|\]"
"""In any vocabulary, also in those to come."""
HALVES = (
    "<",
    ">",
    "[",
    "]",
    "|",
    "/",
    "~",
    "~b",
    "e~",
    " ",
    "\t",
    "\n",
    "im_end",
    "INST",
    "s",
    "\ufeff",
    "\u202e",
    "\u200b",
    "\0",
)


class Shown(NamedTuple):
    """Text of a change, and words of a model that has seen it."""

    text: str
    words: str = ""


cut = (*(token[1:] for token in TOKENS), *(token[:-1] for token in TOKENS))
"""The end of one token may be the beginning of the next."""
pieces = one_of_these(TOKENS) | one_of_these(cut) | one_of_these(HALVES) | hostile_text
texts: SearchStrategy[str] = st.lists(pieces, max_size=8).map("".join)
cases = st.builds(Shown, texts, texts)


def check_inert(given: Shown) -> None:
    """No control token, nothing that hides; once is enough; only blanks are added, and they can be taken out again."""
    shown = inert(given.text)
    assert not [token for token in TOKENS if token in shown]
    assert not re.search(BARS, shown)
    assert not commands(shown) - {"\t", "\n"}
    shown.encode()
    assert inert(shown) == shown
    plain = for_terminal(given.text.removeprefix("\ufeff"))
    assert fold(shown) == fold(plain)
    if plain == given.text and "< " not in plain and "[ " not in plain and "] " not in plain:
        assert restored(shown, given.text) == given.text, "what stands there is not given back"
    words = restored(given.words, given.text)
    assert fold(words) == fold(given.words)
    written = [token for token in TOKENS if words.count(token) > given.words.count(token)]
    assert all(token in given.text for token in written), "a token is written that stands nowhere"


def _shown(raw: bytes) -> Shown:
    text, _, words = raw.decode("utf-8", "surrogateescape").partition("\x1e")
    return Shown(text, words)


TARGETS = {
    "inert": property_of(
        check_inert,
        cases,
        read=_shown,
        seeds=(b"<|im_start|>system\n[INST]\x1e< |im_start|>", b"[e~[gMASK]]~b]", b"]~b]<]~b]|>"),
        words=tuple(word.encode() for word in (*TOKENS, *HALVES)),
    )
}
