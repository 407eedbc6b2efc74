"""Model parameters that users may set: `--option NAME=VALUE`, `[model.options]`. Which, and of what type."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from kilo_review.core.errors import ConfigError

SAFE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("num_ctx", "num_predict", "seed", "top_k", "repeat_last_n", "num_batch", "num_thread", "num_gpu"),
        (int,),
    ),
    **dict.fromkeys(
        (
            "temperature",
            "top_p",
            "min_p",
            "typical_p",
            "repeat_penalty",
            "presence_penalty",
            "frequency_penalty",
        ),
        (int, float),
    ),
    "keep_alive": (int, str),
    "think": (bool, str),
    "stop": (str, list),
}
"""Model parameters whose type is known; the repository may set these and no others."""
OBJECTS = frozenset({"chat_template_kwargs"})
"""Parameters that are objects, which only the user may set."""
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "an object",
}
THINKING_LEVELS = ("low", "medium", "high", "max")
ELSEWHERE = frozenset({
    *("api_base", "base_url", "api_key", "api_version", "headers", "extra_headers", "extra_body", "extra_query"),
    *("fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "disable_fallbacks"),
    *("model_list", "litellm_params", "user_config", "custom_llm_provider", "mcp_servers", "web_search_options"),
})  # fmt: skip
"""What would make a proxy send the change elsewhere, also inside of another parameter."""
RESERVED = ELSEWHERE | {
    *("model", "messages", "prompt", "stream", "stream_options", "format", "response_format", "truncate", "tools"),
    *("organization", "user", "functions", "function_call", "tool_choice"),
}
"""What the program itself decides, and the above."""

_BEGINS_AS_JSON = r"\s*[\[{]"
_BEGINS_AS_TEXTS = r"\s*[\[{]\s*\""
"""As JSON with texts in it; what begins with a bracket alone may be a text, such as `stop=[INST]`."""
_JSON_HINT = "Quote it for the shell, and its names: --option 'chat_template_kwargs={\"enable_thinking\": false}'"
_JSON_HINTS = {"stop": 'Close the list, and quote it for the shell: --option \'stop=["END", "###"]\''}


def parse(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` from the command line → a checked model parameter.

    Raises:
        ConfigError: it has no `=`, is reserved, or has the wrong type.
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"{text!a} is not of the form NAME=VALUE", hint="For example: --option temperature=0.2")
    parsed = _value(value)
    if isinstance(parsed, str) and re.match(_BEGINS_AS_TEXTS if name in SAFE else _BEGINS_AS_JSON, value):
        raise ConfigError(f"--option: the value of {name!a} is not JSON", hint=_JSON_HINTS.get(name, _JSON_HINT))
    check(name, parsed, "--option")
    return name, parsed


def _value(text: str) -> Any:  # noqa: ANN401  it is any JSON value
    """A value as it is meant: a number, true or false, JSON; else the text itself."""
    for read in (int, _finite, _boolean, _json):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return text


def check(name: str, value: object, origin: str) -> None:
    """Check one parameter.

    Raises:
        ConfigError: it is reserved or has the wrong type; the message begins with `origin`.
    """
    if name.lower() in RESERVED:
        raise ConfigError(f"{origin}: the model option {name!a} is decided by kilo-review itself")
    if (inner := _elsewhere_in(value)) is not None:
        raise ConfigError(f"{origin}: {inner!a} in the model option {name!a} is decided by kilo-review itself")
    types = (dict,) if name in OBJECTS else SAFE.get(name)
    if types is None:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        words = " or ".join(WORDS[each] for each in types)
        raise ConfigError(f"{origin}: the model option {name!a} must be {words}, not {value!a}")
    if name == "think" and isinstance(value, str) and value not in THINKING_LEVELS:
        raise ConfigError(
            f"{origin}: the model option 'think' must be true, false or one of {', '.join(THINKING_LEVELS)}"
        )
    if name == "num_ctx" and isinstance(value, int) and value < 1:
        raise ConfigError(f"{origin}: the model option 'num_ctx' must be at least 1")


def _elsewhere_in(value: object) -> str | None:
    """The name of what would make a proxy send the change elsewhere, anywhere in a value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if found := next((key for key in each if str(key).lower() in ELSEWHERE), None):
                return str(found)
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    return None


def _json(text: str) -> Any:  # noqa: ANN401  it is any JSON value
    """JSON without NaN and infinities, which no server reads."""
    return json.loads(text, parse_constant=_no_number)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _no_number(text)
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"
