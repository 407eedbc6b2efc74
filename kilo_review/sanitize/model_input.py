r"""Text of the change as a model is shown it: nothing in it poses as another line, hides, or is a control token.

Servers render the chat into one text and then look for control tokens in all of it, so `<|im_end|>` in a comment
would end our message as surely as the template's own (ggml-org/llama.cpp#24382, ollama/ollama#15931,
huggingface/transformers#29279). A blank after its first character makes ordinary text of it. Quotes are compared
without blanks, so one of either form is found; characters that nobody sees become `\u202e` and the like.
"""

from __future__ import annotations

import re

from kilo_review.sanitize.terminal import for_terminal

_ANGLE = (
    # Any vocabulary's <|im_start|>, Gemma's <|turn> and <turn|>, DeepSeek's with wide bars.
    r"[|\uff5c][^\s<>]{1,64}>|[^\s<>]{1,64}[|\uff5c]>"
    # Names without bars: SentencePiece, Gemma, Qwen, Seed, MiniMax.
    r"|/?(?:s|bos|eos|pad|unk|cls|sep|mask(?::\d+)?|sop|eop|im_start|im_end|endoftext|(?:start|begin|end)_of_\w+"
    r"|think|tools?|tool_(?:calls?|responses?)|function_calls?|image_soft_token|(?:seed|minimax):\w+"
    # StarCoder, Granite, SmolLM, CodeLlama: between files and around gaps.
    r"|fim_\w+|file_?name|file_sep|repo_?name|gh_stars|empty_output|(?:issue|jupyter|commit|pr)_\w+|PRE|SUF|MID|EOT"
    # Llama 2, Cohere, and what is kept free for later.
    r"|SYS|(?:BOS|EOS|EOP|PAD|UNK|CLS|SEP|MASK)(?:_TOKEN)?|SPECIAL_\d+|(?:unused|extra_id_|reserved_\w{0,40})\d+)>"
)
_SQUARE = (
    # Exaone's [|user|]; Mistral; GLM and Kimi.
    r"\|[^\s\[\]]{1,64}\|\]"
    r"|/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|ARGS|CALL_ID|MODEL_SETTINGS|THINK|REF"
    r"|IMG(?:_BREAK|_END)?|(?:BEGIN_)?AUDIO|PREFIX|SUFFIX|MIDDLE|control_\d+|UNUSED_TOKEN_\d+"
    r"|BOS|EOS|EOT|PAD|UNK|CLS|SEP|[gs]?MASK)\]"
    r"|e~\["  # MiniMax, with the next
)
_TOKEN = rf"(?=(<(?:{_ANGLE})|\[(?:{_SQUARE})|\]~!?b[\[\]]))."
"""The first character alone is consumed: the last one of a token may be the first one of the next."""


def inert(text: str) -> str:
    """The text without control tokens, control characters, and characters that hide or reorder others.

    Tab and line feed stay. A byte order mark at its very beginning says nothing and is left out.
    """
    return _broken(for_terminal(text.removeprefix("\ufeff")))


def restored(words: str, original: str) -> str:
    """What a model writes after it was shown `inert(original)`, with the control tokens that really stand there."""
    spans = [match.span(1) for match in re.finditer(_TOKEN, original)]
    starts = {first for first, _ in spans}
    forms = {}
    for first, end in spans:  # others may begin within this one, the last of them with its last character
        last = end - 1
        shown = "".join(re.escape(original[at]) + " ?" * (at in starts) for at in range(first, last))
        forms[f"{shown}(?={re.escape(original[last])})"] = original[first:last]
    for shown, token in forms.items():
        words = re.sub(shown, token.replace("\\", r"\\"), words)
    return words


def _broken(text: str) -> str:
    is_possible = "<" in text or "[" in text or "]" in text
    return re.sub(_TOKEN, r"\g<0> ", text) if is_possible else text
