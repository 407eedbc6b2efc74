"""Settings: built-in defaults < repository < user < environment and flags; and who may set what.

The repository under review is not trusted with where its code is sent: it may shape what is reviewed and how
strictly, but not the address, the key, the program or the profile. This module reads files and `os.environ`
(with `source`, the only one that does); it knows neither git nor the network.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.config import model_options, toml
from kilo_review.config.project import baseline, baseline_path, ignore_lists, is_pull_request, repository_root
from kilo_review.config.settings import Settings
from kilo_review.config.values import READERS, api_key
from kilo_review.core import safe_file
from kilo_review.core.errors import ConfigError
from kilo_review.models import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = [
    "Settings",
    "baseline",
    "baseline_path",
    "cache_folder",
    "environment",
    "ignore_lists",
    "is_pull_request",
    "load",
    "nearest",
    "origins",
    "repository_root",
    "unknown_variables",
    "user_folder",
]
REPOSITORY_PROVIDERS = tuple(name for name in PROVIDERS if name != "scripted")
"""A repository that chose the test double would be its own judge."""
ENVIRONMENT_PREFIX = "KILO_REVIEW_"
REPOSITORY_FILE = ".kilo-review.toml"
USER_FILE = "config.toml"


USER_ONLY = {"base_url", "api_key", "prompts", "profile", "allow_hosts", "allow_http_hosts", "ca_file"}
"""Keys that the repository may not set."""


def load(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    profile: str | None = None,
    root: Path | None = None,
) -> Settings:
    """Merge all sources.

    Args:
        flags: settings from the command line and the environment; None values are not set.
        config: the user's configuration file, instead of the one in the platform's folder.
        profile: the profile to use; None for the one that the user's file names.
        root: top of the repository under review, or None if there is none.

    Raises:
        ConfigError: a file cannot be read, or holds an unknown key, a wrong type or a forbidden setting.
    """
    layers = _layers(config, profile, root)
    settings = Settings()
    for layer in layers:
        settings = _merged(settings, {name: value for name, value in layer.values.items() if name != "profile"})
    given = {name: value for name, value in flags.items() if value is not None}
    if "api_key" in given:
        given |= api_key("api_key", given["api_key"], f"{ENVIRONMENT_PREFIX}API_KEY")
    settings = _merged(settings, given)
    _check_embedded_model(settings, layers, flags)
    if _chosen_by_repository("provider", layers, flags) and not settings.base_url:
        settings = settings._replace(api_key=None)
    return settings


def origins(*, config: Path | None = None, profile: str | None = None, root: Path | None = None) -> dict[str, str]:
    """By name, which file decides a setting that a file sets; arguments and errors as of `load`."""
    return {name: layer.origin for layer in _layers(config, profile, root) for name in layer.values}


def _layers(config: Path | None, profile: str | None, root: Path | None) -> list[_Layer]:
    """Every file's settings, in rising order."""
    layers = [_in_repository(_repository_layer(root), root)] if root else []
    layers.append(_user_layer(config))
    profiles: dict[str, _Layer] = {}
    for layer in layers:
        profiles |= layer.profiles
    wanted = profile or next((layer.values["profile"] for layer in layers if "profile" in layer.values), None)
    if wanted is not None:
        layers.append(_profile(wanted, profiles))
    return layers


# One source


class _Layer(NamedTuple):
    origin: str
    values: dict[str, Any]
    profiles: dict[str, _Layer]
    is_repository: bool = False


def _repository_layer(root: Path) -> _Layer:
    own = root / REPOSITORY_FILE
    if own.exists():
        return _layer(toml.parse(safe_file.read_bytes(own), ascii(str(own))), str(own), is_repository=True)
    pyproject = root / "pyproject.toml"
    if not pyproject.exists():
        return _Layer("repository", {}, {}, is_repository=True)
    data = safe_file.read_bytes(pyproject)
    if b"kilo-review" not in data:
        return _Layer("repository", {}, {}, is_repository=True)  # 5 ms of TOML that most need not pay
    tool = toml.parse(data, ascii(str(pyproject))).get("tool", {})
    table = tool.get("kilo-review", {}) if isinstance(tool, dict) else {}
    return _layer(table, f"[tool.kilo-review] in {pyproject}", is_repository=True)


def _user_layer(config: Path | None) -> _Layer:
    if config is not None:
        if not config.is_file():
            raise ConfigError(f"the configuration file {str(config)!a} does not exist")
        return _layer(_toml(config), str(config))
    folder = user_folder()
    path = folder / USER_FILE if folder else None
    return _layer(_toml(path), str(path)) if path and path.is_file() else _Layer("user", {}, {})


def user_folder() -> Path | None:
    """Where this user's settings are kept; None for a user without a home."""
    from platformdirs import user_config_path  # noqa: PLC0415

    if environment().get("HOME") == "":  # git takes that for the root folder, and others for the home of the account
        return None
    try:
        path = user_config_path("kilo-review")
    except RuntimeError:
        return None
    # Without a home some versions answer `~/.config`, which would be a folder of the repository.
    return path if path.is_absolute() else None


def cache_folder() -> Path | None:
    """Where this user's results are kept that can be had again; None for a user without a home."""
    from platformdirs import user_cache_path  # noqa: PLC0415

    try:
        path = user_cache_path("kilo-review")
    except RuntimeError:
        return None
    return path if path.is_absolute() else None


def _layer(table: object, origin: str, *, is_repository: bool = False, is_profile: bool = False) -> _Layer:
    if not isinstance(table, dict):
        raise ConfigError(f"{origin}: expected a table of settings")
    values: dict[str, Any] = {}
    profiles: dict[str, _Layer] = {}
    for key, value in table.items():
        name = str(key).replace("-", "_")
        if name == "profiles" and not is_profile:
            profiles = _profiles(value, origin, is_repository=is_repository)
            continue
        if name not in READERS or (is_profile and name == "profile"):
            raise ConfigError(f"{origin}: unknown key {key!a}", hint=_suggestion(name))
        if is_repository and name in USER_ONLY:
            raise ConfigError(
                f"{origin}: the repository may not set {key!a}, which decides where code is sent or how it is judged",
                hint=f"Set it in your own configuration, or as {ENVIRONMENT_PREFIX}{name.upper()}",
            )
        values |= READERS[name](name, value, origin)
    layer = _Layer(origin, values, profiles, is_repository)
    if is_repository:
        _check_repository(layer)
    return layer


def _profiles(value: object, origin: str, *, is_repository: bool) -> dict[str, _Layer]:
    if not isinstance(value, dict):
        raise ConfigError(f"{origin}: `profiles` must be a table of tables")
    return {
        str(name): _layer(table, f"{origin}, profile {name!a}", is_repository=is_repository, is_profile=True)
        for name, table in value.items()
    }


def _profile(name: str, profiles: Mapping[str, _Layer]) -> _Layer:
    if name not in profiles:
        known = (
            f"There are: {', '.join(sorted(profiles))}"
            if profiles
            else "None is defined; write a table [profiles.NAME]"
        )
        raise ConfigError(f"there is no profile {name!a}", hint=known)
    return profiles[name]


def _check_repository(layer: _Layer) -> None:
    provider = layer.values.get("provider")
    if provider is not None and provider not in REPOSITORY_PROVIDERS:
        raise ConfigError(f"{layer.origin}: the repository may not set the provider to {provider!a}")
    foreign = [name for name in layer.values.get("options", {}) if name not in model_options.SAFE]
    if foreign:
        raise ConfigError(
            f"{layer.origin}: the repository may not set the model option {foreign[0]!a}",
            hint="Set it in your own configuration or with --option",
        )


def _check_embedded_model(settings: Settings, layers: list[_Layer], flags: Mapping[str, Any]) -> None:
    """A model file is parsed by native code: a repository must not choose one, least of all one of its own."""
    for key, name in (("model", settings.model), ("verify_model", settings.verify_model)):
        if not name or not _chosen_by_repository(key, layers, flags):
            continue
        if name.endswith(".gguf") or settings.provider == "embedded":
            raise ConfigError(
                "the repository may not name a model file",
                hint=f"Name it in your own configuration, or as {ENVIRONMENT_PREFIX}{key.upper()}",
            )


def _in_repository(layer: _Layer, root: Path) -> _Layer:
    """Paths that the repository names, be it in a profile, are its own."""
    for each in (layer, *layer.profiles.values()):
        named = each.values.get("baseline")
        if named is not None:
            if named.is_absolute() or ".." in named.parts:
                raise ConfigError(f"{each.origin}: the baseline must be a file of the repository, not {str(named)!a}")
            each.values["baseline"] = root / named
    return layer


def _chosen_by_repository(name: str, layers: list[_Layer], flags: Mapping[str, Any]) -> bool:
    source = next((layer for layer in reversed(layers) if name in layer.values), None)
    return flags.get(name) is None and source is not None and source.is_repository


def _merged(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Later values win; options are merged one by one and exclusions add up."""
    changed = dict(values)
    if "options" in changed:
        changed["options"] = {**settings.options, **changed["options"]}
    if "categories" in changed:
        changed["categories"] = (*settings.categories, *changed["categories"])
    if "exclude" in changed:
        changed["exclude"] = (*settings.exclude, *changed["exclude"])
    return settings._replace(**changed)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ""."""
    from difflib import get_close_matches  # noqa: PLC0415  for messages alone

    return next(iter(get_close_matches(name, sorted(known), n=1)), "")


def _suggestion(name: str) -> str:
    known = sorted({*READERS, "profiles"})
    meant = nearest(name, known)
    return f"Did you mean {meant!a}?" if meant else f"There are: {', '.join(known)}"


# Files


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{str(path)!a} cannot be read: {error.strerror or error}") from None


def _toml(path: Path) -> dict[str, Any]:
    return toml.parse(_bytes(path), ascii(str(path)))


def environment() -> Mapping[str, str]:
    """The process's environment; other modules get it handed to them."""
    return os.environ


def unknown_variables(names: Mapping[str, str], known: set[str]) -> list[str]:
    """Variables that look like ours and are not: probably misspelt."""
    return sorted(name for name in names if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
