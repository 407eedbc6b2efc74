"""Whether a server's refusal says that a prompt does not fit its window, by what it means: servers word it differently.

A refusal speaks of the prompt or the context, of tokens or a length, and of an excess. Limits on how much may be asked
(rate, quota) and on the answer alone (`max_tokens`) speak of tokens, too, and are told apart. Some servers say less
than that; their sentences are known as they are.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STATUSES = frozenset({200, 400, 413, 422, 500})
"""With which prompts are refused; 200 stands for an error inside a stream, 500 for servers that wrap another one."""
MOST_DIGITS = 12
"""Of a count of tokens; Python refuses to read a number of thousands of digits."""
MOST_LEVELS = 8
LONGEST_READ = 16_384
"""Characters of a failed answer that are looked at; what a server explains it explains at the beginning."""
ECHOED = frozenset({"input", "body", "prompt", "messages", "request", "url"})
"""Keys under which servers repeat the request, whose code may say anything."""

# Patterns are text, and compiled when they are first used: at a commit with nothing to review that is never.
_I = "(?is)"
_CODES = _I + (
    r"exceed_context_size|context_length_exceeded|context_window_exceeded|ContextWindowExceeded"
    r"|string_above_max_length|prompt_too_long|model_max_prompt_tokens_exceeded"
)
_CHARACTERS = _I + r"string_above_max_length"
"""Where all numbers are those of characters."""
_SUBJECT = _I + (
    r"context|prompt|\binputs?\b|\binput_|\bmessages\b|\brequest(?:ed)?\b|\bsequence[ _]length|\btoken count"
    r"|model(?:'s)? max(?:imum)?[ _]len"
)
_SIZE = _I + (
    r"\btokens\b|\btoken (?:count|limit|length)"
    r"|\b(?:context|input|prompt|sequence|model|messages?)\W{0,3}(?:\w+\W{1,3}){0,3}(?:length|size|window|limit)"
    r"|\blength of the (?:messages|prompt|input)|max_(?:seq|model|prompt|input)\w*len\w*"
    r"|\b(?:prompt|input|context|sequence) (?:is |was )?too (?:long|large|big)"
)
_EXCESS = _I + (
    r"\bexceed|\b(?:longer|greater|larger|bigger|more) than\b|\btoo (?:long|large|big|many)\b|\boverflow"
    r"|\b(?:does|do|did|will|can)(?: not|n't|not) fit\b|\breached\b|\bcontext length is only\b|\bnot enough\b"
    r"|\b(?:less|smaller|fewer|shorter) than\b|<=|>=|\d\W{0,9}> *\d|\bout of (?:context|range)\b"
    r"|\bmax(?:imum)?\b[^.]{0,60}\d|\blimit(?: is| of|:)? *\d|\breduce the (?:length|size)|\bshorten"
)
_SENTENCES = _I + (
    r"\bn_keep\b[^.]{0,30}>=? *n_ctx\b"
    r"|\b(?:message|prompt|input) (?:was|is) too long and could not be processed"
    r"|\bmax_(?:completion_)?tokens must be at least 1, got -(?:[3-9]|\d\d)"
    r"|\bprompt is longer than the context\b|\bcontext window is full\b"
)
"""LM Studio, GPT4All, vLLM (what a prompt leaves for the answer; -1 and -2 are what users write for no end), others."""
_RATE = _I + (
    r"\bper[ -]?(?:minute|min|second|sec|hour|day|month)\b|\btp[md]\b|\brp[md]\b|rate[ _-]?limit|too many requests"
    r"|\bquota|\bbilling|\bcredits?\b|\bbudget has been|\byour (?:\w+ )?(?:plan|account|subscription)\b"
    r"|\b(?:daily|hourly|weekly|monthly)\b|\bcontext (?:deadline|cancel)|\bconcurren"
)
_SECRET = _I + r"\b(?:api|access|auth\w*|bearer|jwt|csrf|security|refresh|session|hf)[ _-]?(?:key|token)s?\b"
_STOP = _I + r"\bstop[ _]?(?:sequence|string|word|token)s?\b"
_ANSWER = _I + (
    r"\bmax_(?:new_|completion_|output_)?tokens\b|\bmax_total_tokens\b|\bnum_predict\b|\bn_predict\b|\bmin_tokens\b"
    r"|\b(?:completion|output|new|generated) tokens\b"
)
_PROMPT = _I + (
    r"\b(?:input|prompt|message)s?`?\W{1,3}(?:tokens?|length)\b"
    r"|\btokens? (?:from|in|of) (?:the |your )?(?:input|prompt|messages)|\bin (?:the|your) (?:messages|prompt)"
    r"|\bprompt\b[^.]{0,30}\d|\bmessages resulted in|\breduce the length|\byou requested \d"
    r"|\b(?:input|prompt|messages)\b[^.]{0,40}\b(?:exceed|too long|too large|longer)"
)
"""Words by which a refusal that names the answer's limit speaks of the prompt as well."""

_N = r"(?P<n>\d{1,3}(?:,\d{3})+(?!\d)|\d+)"
_LENGTH = r"\b(?:context|model|sequence|prompt|input)(?:'s)?[ _](?:max(?:imum)?[ _])?(?:length|size|window|limit)\w*"
_PROMPT_NUMBERS = (
    rf'"n_prompt_tokens\\*"\s*:\s*{_N}',
    rf"n_keep:? *\(?{_N}",
    rf"keep the first {_N} tokens",
    rf"\b(?:input|prompt|request|messages|tokens)(?: length| tokens)? \({_N}(?: tokens?)?\)",
    rf"\(length {_N}\)",
    rf"\({_N} (?:tokens? )?in (?:the|your) (?:messages|prompt)",
    rf"\b{_N} (?:text )?(?:input|prompt) tokens",
    rf"\b{_N} `inputs` tokens",
    rf"\b{_N} tokens from the input",
    rf"\bprompt (?:contains|has|is)(?: at least| over)? {_N}(?: input| text)? tokens",
    rf"\b(?:resulted in|request contains|request has|request is)(?: over| about| at least)? {_N}(?: input)? tokens",
    rf"\btoken count \({_N}\)",
    rf"\b(?:prompt tokens|input tokens|token count|prompt length|input length|sequence length):? {_N}",
    rf"\bGiven: {_N}\b(?! *`?max)",
    rf"\bwith {_N} (?:input )?tokens",
    rf"\btoo long: {_N} tokens",
    rf"\({_N} *>=? *\d",
    rf"\binput_ids size \({_N}\)",
    rf"\bprompt_len \({_N}\)",
    rf"\b(?:context|sequence) length \(?{_N}\)? (?:is greater than|is longer than|exceeds)\b",
    rf"\brequested(?: about| a total of)? {_N} tokens",
)
_WINDOW_NUMBERS = (
    rf'"n_ctx\\*"\s*:\s*{_N}',
    rf"n_ctx:? *\(?{_N}",
    rf"\bexceeds max length \({_N}",
    rf"{_LENGTH}(?: is| of|:|=|,)*(?: only| at most| about)? *\(?{_N}",
    rf"\bcontext (?:size|length|window) \({_N}",
    rf"\bmax(?:imum)? (?:\w+ ){{0,3}}(?:length|size|window|limit)\w*(?: is| of|:|=)*(?: only)? *\(?{_N}",
    rf"\bmaximum number of (?:\w+ ){{0,3}}tokens(?: allowed)? *\(?{_N}",
    rf"\b{_N} (?:tokens? )?(?:max(?:imum)?|limit)\b",
    rf"\bless than {_N} tokens",
    rf"<= *{_N}",
    rf"[\d#](?: tokens?)?\)? *>=? *{_N}",
    rf"\b(?:allowed|greater than|longer than|larger than|exceeds?)(?: \w+){{0,3}} \(?{_N}",
    rf"\blimit(?: is| of|:)* *{_N}",
    rf"\bmax_\w*len\w*\W{{0,3}}(?:of |is )?{_N}",
    rf"\bbatch size:? {_N}",
)


class Overflow(NamedTuple):
    """What a refusal tells; None where it tells no number.

    Attributes:
        prompt: tokens of the prompt.
        window: tokens that fit.
    """

    prompt: int | None
    window: int | None


def overflow(status: int, text: str) -> Overflow | None:
    """Return what a refusal tells of a prompt that is too long; None if it is about something else.

    Args:
        status: HTTP status; 200 for an error inside a stream.
        text: the body, or the error's own text.
    """
    said = words_of(text)
    if not (re.search(_CODES, said) or (status in STATUSES and _means_it(said))):
        return None
    if re.search(_CHARACTERS, said):
        return Overflow(None, None)
    whole = said if "n_prompt_tokens" not in text else f"{text[:LONGEST_READ]} {said}"
    prompt, whole = _number(_PROMPT_NUMBERS, whole)
    window, _ = _number(_WINDOW_NUMBERS, whole)
    return Overflow(prompt, window)


def words_of(text: str) -> str:
    """All texts of an error's body but those that repeat the request, one after the other."""
    return " ".join(_texts(text, MOST_LEVELS))[:LONGEST_READ]


def _texts(value: Any, levels: int) -> Iterator[str]:  # noqa: ANN401  it is whatever the server sent
    if isinstance(value, str):
        inner = _parsed(value)
        if inner is None or not levels:
            yield value
        else:  # a server's error inside another one's
            yield from _texts(inner, levels - 1)
    elif isinstance(value, dict) and levels:
        for key, each in value.items():
            if key not in ECHOED or isinstance(each, int):
                yield from _texts(each, levels - 1)
    elif isinstance(value, (list, tuple)) and levels:
        for each in value:
            yield from _texts(each, levels - 1)


def _parsed(text: str) -> dict[str, Any] | list[Any] | None:
    stripped = text.lstrip("\ufeff").strip()
    if not stripped.startswith(("{", "[")):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return _printed(stripped)
    return value if isinstance(value, (dict, list)) else None


def _printed(text: str) -> list[Any] | None:
    """A list of objects as Python prints it: vLLM tells in this way what is wrong with a request."""
    if not text.startswith("[{'") or len(text) > LONGEST_READ:
        return None
    import ast  # noqa: PLC0415  2 ms for what is rarely seen

    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last one for many brackets
        return None
    return value if isinstance(value, list) else None


def _means_it(said: str) -> bool:
    if any(re.search(pattern, said) for pattern in (_RATE, _SECRET, _STOP)):
        return False
    if re.search(_SENTENCES, said):
        return True
    if not all(re.search(pattern, said) for pattern in (_SUBJECT, _SIZE, _EXCESS)):
        return False
    return not re.search(_ANSWER, said) or bool(re.search(_PROMPT, said))


def _number(patterns: Sequence[str], text: str) -> tuple[int | None, str]:
    """Return the first number that one of the patterns finds, and the text without it; 0 is no size of anything."""
    matches = (each for pattern in patterns for each in re.finditer(_I + pattern, text))
    found = next((each for each in matches if each["n"].strip("0,")), None)
    if found is None:
        return None, text
    start, end = found.span("n")
    digits = found["n"].replace(",", "")
    rest = text[:start] + "#" * (end - start) + text[end:]
    return (int(digits) if len(digits) <= MOST_DIGITS else None), rest
