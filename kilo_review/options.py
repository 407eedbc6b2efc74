"""Model parameters that users may set: `--option NAME=VALUE`, `[model.options]`. Which, and of what type."""

from __future__ import annotations

from typing import Any

from kilo_review.errors import ConfigError

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
THINKING_LEVELS = ("low", "medium", "high", "max")
RESERVED = frozenset({
    *("model", "messages", "prompt", "stream", "stream_options", "format", "response_format", "truncate", "tools"),
    *("api_base", "base_url", "api_key", "api_version", "headers", "extra_headers", "organization", "user"),
})  # fmt: skip
"""What the program itself decides, and what would make a proxy send the change elsewhere."""


def parse(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` from the command line → a checked model parameter.

    Raises:
        ConfigError: it has no `=`, is reserved, or has the wrong type.
    """
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"{text!a} is not of the form NAME=VALUE", hint="For example: --option temperature=0.2")
    parsed: Any = value
    for read in (int, float, _boolean):
        try:
            parsed = read(value)
        except ValueError:
            continue
        break
    check(name, parsed, "--option")
    return name, parsed


def check(name: str, value: object, origin: str) -> None:
    """Check one parameter.

    Raises:
        ConfigError: it is reserved or has the wrong type; the message begins with `origin`.
    """
    if name.lower() in RESERVED:
        raise ConfigError(f"{origin}: the model option {name!a} is decided by kilo-review itself")
    types = SAFE.get(name)
    if types is None:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        words = " or ".join(
            {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list"}[t]
            for t in types
        )
        raise ConfigError(f"{origin}: the model option {name!a} must be {words}, not {value!a}")
    if name == "think" and isinstance(value, str) and value not in THINKING_LEVELS:
        raise ConfigError(
            f"{origin}: the model option 'think' must be true, false or one of {', '.join(THINKING_LEVELS)}"
        )
    if name == "num_ctx" and isinstance(value, int) and value < 1:
        raise ConfigError(f"{origin}: the model option 'num_ctx' must be at least 1")


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"
