"""One value of a configuration file → a setting, or an error that says what is wrong with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review.config import model_options
from kilo_review.config.settings import Settings
from kilo_review.core.errors import ConfigError
from kilo_review.judge import categories
from kilo_review.judge.policy import FailOn, OnNothing, OnUnavailable, Verify
from kilo_review.models import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Callable


MOST_TOKENS = 100_000
MOST_SECONDS = 10**9
"""Thirty years; TOML has whole numbers that no float can hold."""
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?|\[?[0-9A-Fa-f:.]+\]?"
_TAG = r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|\d{3}))?(?:-(?:[A-Za-z\d]{5,8}|\d[A-Za-z\d]{3}))*"


def _string(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{origin}: {name!a} must be a text")
    return {name: value}


def api_key(name: str, value: object, origin: str) -> dict[str, Any]:
    """A token that fits a header; the message does not repeat it."""
    text = str(_string(name, value, origin)[name]).strip()
    if not text or not text.isascii() or not text.isprintable():
        raise ConfigError(f"{origin}: the token holds characters that no HTTP header can hold")
    return {name: text}


def _choice(
    allowed: tuple[str, ...], build: Callable[[str], Any] = str
) -> Callable[[str, object, str], dict[str, Any]]:
    def read(name: str, value: object, origin: str) -> dict[str, Any]:
        if value not in allowed:
            raise ConfigError(f"{origin}: {name!a} must be one of {', '.join(allowed)}, not {value!a}")
        return {name: build(str(value))}

    return read


def _seconds(name: str, value: object, origin: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_SECONDS:
        raise ConfigError(f"{origin}: {name!a} must be a number of seconds, 0 for no limit")
    return {name: float(value)}


def _tokens(name: str, value: object, origin: str) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        raise ConfigError(f"{origin}: {name!a} must be a whole number of tokens up to {MOST_TOKENS}")
    return {name: value}


def language(name: str, value: object, origin: str) -> dict[str, Any]:
    """A tag such as `fr` or `pt-BR` (RFC 5646, without its grandfathered ones)."""
    if not isinstance(value, str) or not re.fullmatch(_TAG, value):
        raise ConfigError(f"{origin}: {value!a} is no language tag", hint="Such as fr, de-AT, pt-BR, zh-Hant")
    return {name: "" if value.lower() in {"en", "en-us", "en-gb"} else value}


def _flag(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise ConfigError(f"{origin}: {name!a} must be true or false")
    return {name: value}


def _patterns(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{origin}: {name!a} must be a list of patterns, as in .gitignore")
    return {name: tuple(value)}


def hosts(name: str, value: object, origin: str) -> dict[str, Any]:
    """Names or addresses of hosts, without scheme and port."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{origin}: {name!a} must be a list of host names")
    wrong = next((item for item in value if not re.fullmatch(_HOST, item)), None)
    if wrong is not None:
        raise ConfigError(f"{origin}: {name!a}: {wrong!a} is no host name", hint="Such as gpu.example or 10.0.0.5")
    return {name: tuple(value)}


def file(name: str, value: object, origin: str) -> dict[str, Any]:
    """A file or a folder; `~` is the user's home."""
    text = str(_string(name, value, origin)[name])
    if "\0" in text:
        raise ConfigError(f"{origin}: {name!a} is no path: {text!a}")
    try:
        return {name: Path(text).expanduser()}
    except RuntimeError:
        raise ConfigError(f"{origin}: {name!a} is below a home that cannot be found: {text!a}") from None


def _categories(name: str, value: object, origin: str) -> dict[str, Any]:
    return {name: categories.read(value, origin)}


def _model(name: str, value: object, origin: str) -> dict[str, Any]:
    """`model = "name"`, or a table `[model]` with `name` and `options`."""
    if not isinstance(value, dict):
        return _string(name, value, origin)
    if unknown := set(value) - {"name", "options"}:
        raise ConfigError(f"{origin}: unknown key {min(unknown)!a} in [model]", hint="There are: name, options")
    found: dict[str, Any] = {}
    if "name" in value:
        found |= _string("model", value["name"], origin)
    if "options" in value:
        found |= _options("options", value["options"], origin)
    return found


def _options(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{origin}: {name!a} must be a table of model parameters")
    for key, each in value.items():
        model_options.check(str(key), each, origin)
    return {"options": dict(value)}


READERS: dict[str, Callable[[str, object, str], dict[str, Any]]] = {
    "provider": _choice(PROVIDERS),
    "model": _model,
    "options": _options,
    "base_url": _string,
    "api_key": api_key,
    "allow_hosts": hosts,
    "allow_http_hosts": hosts,
    "ca_file": file,
    "fail_on": _choice(tuple(FailOn), FailOn),
    "on_unavailable": _choice(tuple(OnUnavailable), OnUnavailable),
    "on_nothing": _choice(tuple(OnNothing), OnNothing),
    "max_seconds": _seconds,
    "base": _string,
    "exclude": _patterns,
    "verify": _choice(tuple(Verify), Verify),
    "verify_model": _string,
    "categories": _categories,
    "baseline": file,
    "language": language,
    "rules_tokens": _tokens,
    "prompts": file,
    "cache": _flag,
    "profile": _string,
}
assert set(Settings._fields) <= set(READERS)
