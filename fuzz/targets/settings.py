"""Settings: whatever stands in a file is read or refused, and the repository does not decide where code is sent."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from fuzz.strategies import damaged, hostile_text, numbers, one_of_these
from fuzz.target import property_of
from kilo_review import config
from kilo_review.config import model_options
from kilo_review.config.values import READERS
from kilo_review.core.errors import ConfigError
from kilo_review.judge.categories import Switchboard
from kilo_review.plan.patterns import ignore_list

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from kilo_review.config import Settings

TOML_WORDS = (
    *(b'base_url = "http://10.0.0.1"\n', b'api_key = "k"\n', b'prompts = "p"\n', b'profile = "p"\n', b"[profiles.p]\n"),
    *(b'provider = "scripted"\n', b'provider = "openai"\n', b'model = "m"\n', b'model = "m.gguf"\n'),
    *(b"[model]\n", b"[model.options]\n"),
    *(b"max_seconds = 1\n", b"max_seconds = inf\n", b"max_seconds = nan\n"),
    *(b'baseline = "~nobody/x"\n', b'baseline = "../x"\n'),
    *(b'exclude = ["*"]\n', b"[categories]\n", b'"a/" = { off = ["nits"] }\n', b"[tool.kilo-review]\n"),
    *(b"num_ctx = 1\n", b"[[a]]\n"),
    *(b"\xef\xbb\xbf", b'"base\\u005furl" = "x"\n', b"base-url = 1\n", b"1979-05-27T07:32:00Z", b'"""'),
    *(b"0x_1", b"verify_model = 'x.gguf'\n"),
)  # fmt: skip
PROFILE = "p"


class Files(NamedTuple):
    """What lies in the repository, and what the user has written."""

    repository: bytes
    user: bytes
    ignored: bytes = b""


def _toml(value: Any) -> str:
    """A value as TOML; texts keep what TOML can hold."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(str(key))} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, str):
        return (
            '"'
            + "".join(
                char if char.isascii() and char.isprintable() and char not in '"\\' else _escape(char) for char in value
            )
            + '"'
        )
    return str(value)


def _escape(char: str) -> str:
    return f"\\U{ord(char):08x}" if not 0xD800 <= ord(char) < 0xE000 else "\\\\"


texts = hostile_text | one_of_these(
    ("x", "http://10.0.0.1", "~nobody/x", "../x", "a\0b", "~a\0b", "/etc/passwd", "m.gguf", "critical", "en", "fr")
)
plain_values = texts | numbers | st.booleans() | st.floats() | st.lists(texts, max_size=2)
tables = st.dictionaries(
    one_of_these(
        ("name", "options", "on", "off", "num_ctx", "temperature", "stop", "api_base", "Format", "tests/", "[!")
    )
    | texts,
    plain_values
    | st.dictionaries(one_of_these(("on", "off")), st.lists(one_of_these(("bug", "nits", "x"))), max_size=2),
    max_size=3,
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "provider": st.sampled_from(["auto", "ollama", "openai", "embedded", "scripted"]),
        "fail-on": st.sampled_from(["critical", "never"]),
        "model": texts | tables,
        "exclude": st.lists(hostile_text, max_size=2),
        "max_seconds": numbers | st.floats(),
        "language": texts,
        "baseline": texts,
        "categories": tables,
        "verify_model": texts,
        "options": tables,
    },
)
SOUND = {
    "provider": ("auto", "ollama", "openai", "embedded", "scripted"),
    "fail_on": ("critical", "never"),
    "model": ("m", "m.gguf", {"name": "m", "options": {"num_ctx": 4096}}),
    "verify-model": ("m", "m.gguf"),
    "exclude": (["*.lock"], ["a/", "!b"]),
    "max_seconds": (0, 20, 0.5),
    "language": ("en", "pt-BR"),
    "baseline": ("b.json", "../b.json", "/b.json", "~/b.json"),
    "base_url": ("http://127.0.0.1:1", "http://10.0.0.1"),
    "api_key": ("k",),
    "prompts": ("p",),
    "allow_hosts": (["gpu"],),
    "allow_http_hosts": (["gpu"],),
    "options": ({"seed": 1}, {"stop": "x"}, {"lora": 1}),
    "categories": ({"a/": {"off": ["nits"]}},),
}
"""What is right by itself; in the repository not all of it is."""
sound = st.lists(one_of_these([(key, value) for key, values in SOUND.items() for value in values]), max_size=3).map(
    dict
)
any_settings = st.dictionaries(one_of_these((*READERS, "nonsense", "base-url")), plain_values | tables, max_size=4)
settings_of_any_kind = sound | sound | likely | any_settings


@st.composite
def files(draw: DrawFn) -> Files:
    """Two files of settings, and an ignore list; sometimes damaged."""
    repository, user = draw(_file()), draw(_file())
    return Files(repository, user, draw(hostile_text).encode("utf-8", "surrogatepass"))


@st.composite
def _file(draw: DrawFn) -> bytes:
    values = draw(settings_of_any_kind)
    rows = [f"{key} = {_toml(value)}\n" for key, value in values.items()]
    if draw(st.booleans()):
        rows += [
            f"[profiles.{PROFILE}]\n",
            *(f"{key} = {_toml(value)}\n" for key, value in draw(settings_of_any_kind).items()),
        ]
    data = "".join(rows).encode()
    return draw(st.just(data) | st.just(data) | damaged(data, TOML_WORDS))


def check_settings(given: Files) -> None:
    """Settings or a `ConfigError`; where code is sent, with which key and which words, is the user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        root, own = Path(folder) / "repository", Path(folder) / "config.toml"
        root.mkdir()
        own.write_bytes(given.user)
        (root / config.REPOSITORY_FILE).write_bytes(given.repository)
        (root / ".kilocodeignore").write_bytes(given.ignored)
        for profile in (None, PROFILE):
            together = _loaded(own, profile, root)
            if together is not None:
                _use(together, root)
                alone = _loaded(own, profile, None) or _loaded(own, None, None)
                if alone is not None:
                    _compare(together, alone, root)
                else:  # it names a profile that the repository has
                    _check_origin(together, given.user)


def _loaded(own: Path, profile: str | None, root: Path | None) -> Settings | None:
    try:
        return config.load({}, config=own, profile=profile, root=root)
    except ConfigError as error:
        assert str(error).isprintable()
        return None


def _use(settings: Settings, root: Path) -> None:
    """What a review does with them at once."""
    try:
        config.baseline(settings, root)
        for name, patterns in config.ignore_lists(settings, root).items():
            ignore_list(name, patterns)("a/b.py")
        Switchboard(settings.categories)
    except ConfigError:
        pass
    settings.model_request({})
    settings.verify_request({})
    assert settings.max_seconds is None or 0 <= settings.max_seconds < float("inf")


def _compare(together: Settings, alone: Settings, root: Path) -> None:
    assert together.base_url == alone.base_url
    assert together.prompts == alone.prompts
    assert (together.allow_hosts, together.allow_http_hosts) == (alone.allow_hosts, alone.allow_http_hosts)
    assert together.api_key in {alone.api_key, None}
    assert together.provider != "scripted" or alone.provider == "scripted"
    if together.baseline != alone.baseline:
        assert together.baseline is not None
        assert together.baseline.is_relative_to(root)
        assert ".." not in together.baseline.parts
    for name in together.options:
        assert name in alone.options or name in model_options.SAFE
    for mine, theirs in ((together.model, alone.model), (together.verify_model, alone.verify_model)):
        if mine != theirs:
            assert mine is not None
            assert not mine.endswith(".gguf")
            assert together.provider != "embedded"


def _check_origin(settings: Settings, user: bytes) -> None:
    written = repr(tomllib.loads(user.decode("utf-8-sig")))
    for value in (settings.base_url, settings.api_key):
        assert value is None or repr(value) in written
    assert settings.provider != "scripted" or "scripted" in written
    assert settings.prompts is None or "prompts" in written


def _files(raw: bytes) -> Files:
    parts = raw.split(b"\0#\0")
    return Files(*[*parts, b"", b""][:3])


TARGETS: dict[str, Any] = {
    "settings": property_of(
        check_settings,
        files(),
        read=_files,
        seeds=(
            b'provider = "openai"\n[profiles.p]\n\0#\0base_url = "http://[::1]"\nprofile = "p"\n\0#\0*.lock\n',
            b'exclude = ["a"]\n[categories]\n"tests/" = { off = ["minor"] }\n\0#\0api_key = "k"\n',
        ),
        words=TOML_WORDS,
    ),
}
