"""Settings: built-in defaults < repository < user < environment and flags; and who may set what.

The repository under review is not trusted with where its code is sent: it may shape what is reviewed and how
strictly, but not the address, the key, the program or the profile. This module reads files and `os.environ`
(with `source`, the only one that does); it knows neither git nor the network.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilo_review import options
from kilo_review.errors import ConfigError
from kilo_review.judge.policy import FailOn, OnUnavailable
from kilo_review.models import PROVIDERS
from kilo_review.models.base import ModelRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

REPOSITORY_PROVIDERS = tuple(name for name in PROVIDERS if name != "scripted")
"""A repository that chose the test double would be its own judge."""
ENVIRONMENT_PREFIX = "KILO_REVIEW_"
REPOSITORY_FILE = ".kilo-review.toml"
USER_FILE = "config.toml"
IGNORE_FILE = ".kilocodeignore"
LARGEST_REPOSITORY_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, merged.

    Attributes:
        provider: which kind of server; `auto` finds out.
        model: the server's name for the model; a path for `embedded`; None to choose.
        base_url: the server's address; None for its default.
        api_key: bearer token; never from the repository, and not for a server that the repository chose.
        options: model parameters.
        fail_on: the least severity that blocks.
        on_unavailable: what to do if the change was not, or not fully, reviewed; None for the caller's default.
        max_seconds: time limit for the whole process; None for the caller's default, 0 for none.
        base: what `branch` compares with; None to find it.
        exclude: gitignore patterns of files that are not reviewed.
        prompts: a folder of prompts that override the shipped ones.
        cache: whether answers are remembered, and earlier ones used.
    """

    provider: str = "auto"
    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fail_on: FailOn = FailOn.CRITICAL
    on_unavailable: OnUnavailable | None = None
    max_seconds: float | None = None
    base: str | None = None
    exclude: tuple[str, ...] = ()
    prompts: Path | None = None
    cache: bool = True

    def model_request(self, environment: Mapping[str, str]) -> ModelRequest:
        """What the providers need of this."""
        return ModelRequest(
            provider=self.provider,
            name=self.model,
            base_url=self.base_url,
            api_key=self.api_key,
            ollama_host=environment.get("OLLAMA_HOST") or None,
            lmstudio_key=environment.get("LM_API_TOKEN") or None,
            options=self.options,
        )


USER_ONLY = {"base_url", "api_key", "prompts", "profile", "allow_hosts"}
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
    layers = [_repository_layer(root)] if root else []
    layers.append(_user_layer(config))
    profiles: dict[str, _Layer] = {}
    for layer in layers:
        profiles |= layer.profiles
    wanted = profile or next((layer.values["profile"] for layer in layers if "profile" in layer.values), None)
    if wanted is not None:
        layers.append(_profile(wanted, profiles))
    settings = Settings()
    for layer in layers:
        settings = _merged(settings, {name: value for name, value in layer.values.items() if name != "profile"})
    given = {name: value for name, value in flags.items() if value is not None}
    if "api_key" in given:
        given |= _key("api_key", given["api_key"], f"{ENVIRONMENT_PREFIX}API_KEY")
    settings = _merged(settings, given)
    _check_embedded_model(settings, layers, flags)
    if _chosen_by_repository("provider", layers, flags) and not settings.base_url:
        settings = replace(settings, api_key=None)
    return settings


def repository_root(directory: Path, environment: Mapping[str, str]) -> Path | None:
    """The top of the worktree, found without git: a bad setting must be told even where git is missing."""
    if environment.get("GIT_WORK_TREE"):
        return Path(environment["GIT_WORK_TREE"])
    for folder in (directory, *directory.parents):
        if (folder / ".git").exists():
            return folder
    return None


def ignore_lists(settings: Settings, root: Path | None) -> dict[str, tuple[str, ...]]:
    """Ignore lists by the name that the coverage shows.

    Raises:
        ConfigError: the ignore file is there and cannot be read; files that it protects must not be sent.
    """
    lists = {"exclude": settings.exclude}
    if root is not None and (root / IGNORE_FILE).exists():
        try:
            lists[IGNORE_FILE] = tuple(_repository_bytes(root / IGNORE_FILE).decode("utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise ConfigError(f"{IGNORE_FILE} is not UTF-8: {error}") from None
    return {name: patterns for name, patterns in lists.items() if patterns}


# One source


@dataclass(frozen=True, slots=True)
class _Layer:
    origin: str
    values: dict[str, Any] = field(default_factory=dict)
    profiles: dict[str, _Layer] = field(default_factory=dict)
    is_repository: bool = False


def _repository_layer(root: Path) -> _Layer:
    own = root / REPOSITORY_FILE
    if own.exists():
        return _layer(_toml_in(_repository_bytes(own), own), str(own), is_repository=True)
    pyproject = root / "pyproject.toml"
    if not pyproject.exists():
        return _Layer("repository", is_repository=True)
    data = _repository_bytes(pyproject)
    if b"kilo-review" not in data:
        return _Layer("repository", is_repository=True)  # 5 ms of TOML that most need not pay
    tool = _toml_in(data, pyproject).get("tool", {})
    table = tool.get("kilo-review", {}) if isinstance(tool, dict) else {}
    return _layer(table, f"[tool.kilo-review] in {pyproject}", is_repository=True)


def _user_layer(config: Path | None) -> _Layer:
    if config is not None:
        if not config.is_file():
            raise ConfigError(f"the configuration file {str(config)!a} does not exist")
        return _layer(_toml(config), str(config))
    folder = user_folder()
    path = folder / USER_FILE if folder else None
    return _layer(_toml(path), str(path)) if path and path.is_file() else _Layer("user")


def user_folder() -> Path | None:
    """Where this user's settings are kept; None for a user without a home."""
    from platformdirs import user_config_path  # noqa: PLC0415

    try:
        path = user_config_path("kilo-review")
    except RuntimeError:
        return None
    # Without a home some versions answer `~/.config`, which would be a folder of the repository.
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
        if name not in _READERS or (is_profile and name == "profile"):
            raise ConfigError(f"{origin}: unknown key {key!a}", hint=_suggestion(name))
        if is_repository and name in USER_ONLY:
            raise ConfigError(
                f"{origin}: the repository may not set {key!a}, which decides where code is sent or how it is judged",
                hint=f"Set it in your own configuration, or as {ENVIRONMENT_PREFIX}{name.upper()}",
            )
        values |= _READERS[name](name, value, origin)
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
    foreign = [name for name in layer.values.get("options", {}) if name not in options.SAFE]
    if foreign:
        raise ConfigError(
            f"{layer.origin}: the repository may not set the model option {foreign[0]!a}",
            hint="Set it in your own configuration or with --option",
        )


def _check_embedded_model(settings: Settings, layers: list[_Layer], flags: Mapping[str, Any]) -> None:
    """A model file is parsed by native code: a repository must not choose one, least of all one of its own."""
    from_repository = _chosen_by_repository("model", layers, flags)
    if from_repository and settings.model and (settings.model.endswith(".gguf") or settings.provider == "embedded"):
        raise ConfigError(
            "the repository may not name a model file",
            hint=f"Name it in your own configuration, or as {ENVIRONMENT_PREFIX}MODEL",
        )


def _chosen_by_repository(name: str, layers: list[_Layer], flags: Mapping[str, Any]) -> bool:
    source = next((layer for layer in reversed(layers) if name in layer.values), None)
    return flags.get(name) is None and source is not None and source.is_repository


def _merged(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Later values win; options are merged one by one and exclusions add up."""
    changed = dict(values)
    if "options" in changed:
        changed["options"] = {**settings.options, **changed["options"]}
    if "exclude" in changed:
        changed["exclude"] = (*settings.exclude, *changed["exclude"])
    return replace(settings, **changed)


# Reading values


def _string(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{origin}: {name!a} must be a text")
    return {name: value}


def _key(name: str, value: object, origin: str) -> dict[str, Any]:
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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigError(f"{origin}: {name!a} must be a number of seconds, 0 for no limit")
    return {name: float(value)}


def _flag(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise ConfigError(f"{origin}: {name!a} must be true or false")
    return {name: value}


def _patterns(name: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{origin}: {name!a} must be a list of patterns, as in .gitignore")
    return {name: tuple(value)}


def _folder(name: str, value: object, origin: str) -> dict[str, Any]:
    return {name: Path(_string(name, value, origin)[name]).expanduser()}


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
        options.check(str(key), each, origin)
    return {"options": dict(value)}


_READERS: dict[str, Callable[[str, object, str], dict[str, Any]]] = {
    "provider": _choice(PROVIDERS),
    "model": _model,
    "options": _options,
    "base_url": _string,
    "api_key": _key,
    "fail_on": _choice(tuple(FailOn), FailOn),
    "on_unavailable": _choice(tuple(OnUnavailable), OnUnavailable),
    "max_seconds": _seconds,
    "base": _string,
    "exclude": _patterns,
    "prompts": _folder,
    "cache": _flag,
    "profile": _string,
}
assert {each.name for each in fields(Settings)} <= set(_READERS)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ""."""
    from difflib import get_close_matches  # noqa: PLC0415  for messages alone

    return next(iter(get_close_matches(name, sorted(known), n=1)), "")


def _suggestion(name: str) -> str:
    known = sorted({*_READERS, "profiles"})
    meant = nearest(name, known)
    return f"Did you mean {meant!a}?" if meant else f"There are: {', '.join(known)}"


# Files


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{str(path)!a} cannot be read: {error.strerror or error}") from None


def _repository_bytes(path: Path) -> bytes:
    """A file of the repository, which may be anything: a link to a device must not hang, prompt or fill memory.

    A link to another file beside or below it is followed; one that leads out of there is not.
    """
    real = os.path.realpath(path)
    inside = Path(real).is_relative_to(os.path.realpath(path.parent))
    try:
        descriptor = os.open(real if inside else path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!a} cannot be read: {error.strerror}", hint="It must be a file, not a link"
        ) from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ConfigError(f"{str(path)!a} is not a regular file")
        data = stream.read(LARGEST_REPOSITORY_FILE + 1)
    if len(data) > LARGEST_REPOSITORY_FILE:
        raise ConfigError(f"{str(path)!a} is larger than {LARGEST_REPOSITORY_FILE >> 20} MiB")
    return data


def _toml(path: Path) -> dict[str, Any]:
    return _toml_in(_bytes(path), path)


def _toml_in(data: bytes, path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415  only where there is a file to read

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{str(path)!a} is not valid TOML: {error}") from None


def environment() -> Mapping[str, str]:
    """The process's environment; other modules get it handed to them."""
    return os.environ


def unknown_variables(names: Mapping[str, str], known: set[str]) -> list[str]:
    """Variables that look like ours and are not: probably misspelt."""
    return sorted(name for name in names if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
