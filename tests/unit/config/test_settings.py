"""Settings: where they come from, who may set what, and what is said when they are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kilo_review import config
from kilo_review.config import model_options
from kilo_review.core.errors import ConfigError
from kilo_review.judge.policy import FailOn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner


def load(tmp_path: Path, repository: str = "", user: str = "", pyproject: str = "", **flags: Any) -> config.Settings:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    if repository:
        (root / ".kilo-review.toml").write_text(repository)
    if pyproject:
        (root / "pyproject.toml").write_text(pyproject)
    own = tmp_path / "user.toml"
    own.write_text(user)
    profile = flags.pop("profile", None)
    return config.load(flags, config=own, profile=profile, root=root)


def test_later_sources_win(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        repository='model = "repository"\nfail_on = "minor"\nprovider = "ollama"\nmax_seconds = 5',
        user='model = "user"\nprovider = "lmstudio"\nmax_seconds = 7.5',
        provider="openai",
    )
    assert (settings.provider, settings.model, settings.fail_on, settings.max_seconds) == (
        "openai",
        "user",
        FailOn.MINOR,
        7.5,
    )


def test_exclusions_add_up_and_options_are_merged_one_by_one(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        repository='exclude = ["*.sql"]\n[model.options]\ntemperature = 0.5\nnum_ctx = 4096',
        user='exclude = ["*.md"]\n[model.options]\nnum_ctx = 16384',
        exclude=("*.txt",),
        options={"seed": 1},
    )
    assert settings.exclude == ("*.sql", "*.md", "*.txt")
    assert settings.options == {"temperature": 0.5, "num_ctx": 16384, "seed": 1}


def test_pyproject_is_read_and_the_own_file_wins(tmp_path: Path) -> None:
    table = '[tool.kilo-review]\nmodel = "pyproject"\nfail-on = "major"\n'
    assert load(tmp_path, pyproject=table).model == "pyproject"
    assert load(tmp_path, pyproject=table).fail_on is FailOn.MAJOR
    assert load(tmp_path, pyproject=table, repository='model = "own"').model == "own"


def test_a_pyproject_of_others_costs_nothing_and_may_be_broken(tmp_path: Path) -> None:
    assert load(tmp_path, pyproject="[tool.other\n") == config.Settings()


PROFILE = """
[profiles.big]
provider = "lmstudio"
model = "large"
max_seconds = 90
[profiles.big.options]
num_ctx = 32768
"""


def test_a_profile_holds_settings_together(tmp_path: Path) -> None:
    settings = load(tmp_path, user='model = "small"\n' + PROFILE, profile="big")
    assert (settings.provider, settings.model, settings.max_seconds) == ("lmstudio", "large", 90)
    assert settings.options == {"num_ctx": 32768}
    assert load(tmp_path, user='model = "small"\n' + PROFILE, profile="big", model="flag").model == "flag"
    assert load(tmp_path, user='profile = "big"\n' + PROFILE).model == "large"


@pytest.mark.parametrize(
    ("where", "text", "message"),
    [
        ("user", 'modle = "x"', "unknown key 'modle'. Did you mean 'model'?"),
        ("user", "zzz = 1", "unknown key 'zzz'. There are: allow_hosts, allow_http_hosts, api_key, base"),
        ("user", "model = 3", "'model' must be a text"),
        ("user", '[model]\nnam = "x"', "unknown key 'nam' in [model]. There are: name, options"),
        ("user", 'fail_on = "bad"', "must be one of critical, major, minor, never, not 'bad'"),
        ("user", 'provider = "openia"', "must be one of auto, ollama"),
        ("user", "max_seconds = -1", "must be a number of seconds"),
        ("user", "max_seconds = true", "must be a number of seconds"),
        ("user", 'max_seconds = "20"', "must be a number of seconds"),
        ("user", "max_seconds = inf", "must be a number of seconds"),
        ("user", f"max_seconds = {'9' * 18}", "must be a number of seconds"),
        ("user", f"max_seconds = {'9' * 400}", "has a number of more than 64 bits"),
        ("user", 'baseline = "~no-such-user/b.json"', "is below a home that cannot be found"),
        ("user", 'baseline = "b\\u0000.json"', "is no path: 'b\\x00.json'"),
        ("user", 'baseline = "~b\\u0000/b.json"', "is no path"),
        ("user", 'exclude = "*.py"', "must be a list of patterns"),
        ("user", "[model.options]\nnum_ctx = 1.5", "'num_ctx' must be a whole number, not 1.5"),
        ("user", "[model.options]\nnum_ctx = true", "'num_ctx' must be a whole number, not True"),
        ("user", '[model.options]\ntemperature = "hot"', "'temperature' must be a whole number or a number"),
        ("user", '[model.options]\nmodel = "x"', "'model' is decided by kilo-review itself"),
        ("user", '[model.options]\napi_base = "x"', "'api_base' is decided by kilo-review itself"),
        ("user", "profiles = 3", "`profiles` must be a table of tables"),
        ("user", '[profiles.a]\nprofile = "b"', "unknown key 'profile'"),
        ("user", "x = [", "is not valid TOML"),
        ("repository", 'base_url = "http://127.0.0.1:1"', "the repository may not set 'base_url'"),
        ("repository", 'base-url = "http://127.0.0.1:1"', "the repository may not set 'base-url'"),
        ("repository", 'api_key = "x"', "the repository may not set 'api_key'"),
        ("repository", 'allow_hosts = ["10.0.0.5"]', "the repository may not set 'allow_hosts'"),
        ("repository", 'allow_http_hosts = ["10.0.0.5"]', "the repository may not set 'allow_http_hosts'"),
        ("repository", '[profiles.a]\nallow-hosts = ["x"]', "the repository may not set 'allow-hosts'"),
        ("user", 'allow_hosts = "gpu"', "'allow_hosts' must be a list of host names"),
        ("user", 'allow_hosts = ["http://gpu:80"]', "'http://gpu:80' is no host name"),
        ("user", 'allow_hosts = ["*"]', "'*' is no host name"),
        ("repository", 'prompts = "p"', "the repository may not set 'prompts'"),
        ("repository", 'profile = "p"', "the repository may not set 'profile'"),
        ("repository", 'provider = "scripted"', "the repository may not set the provider to 'scripted'"),
        ("repository", '[profiles.a]\nbase_url = "x"', "the repository may not set 'base_url'"),
        ("repository", '[profiles.a]\nbaseline = "../b"', "the baseline must be a file of the repository, not '../b'"),
        ("repository", '[profiles.a]\nbaseline = "/b"', "the baseline must be a file of the repository, not '/b'"),
        ("repository", "[model.options]\nlora = 1", "the repository may not set the model option 'lora'"),
        ("repository", 'model = "./evil.gguf"', "the repository may not name a model file"),
        ("repository", 'provider = "embedded"\nmodel = "x"', "the repository may not name a model file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, where: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **{where: text})
    assert message in str(caught.value)


def test_a_baseline_in_a_profile_of_the_repository_lies_in_the_repository(tmp_path: Path) -> None:
    settings = load(tmp_path, repository='[profiles.a]\nbaseline = "b.json"', profile="a")
    assert settings.baseline == tmp_path / "root" / "b.json"


def test_a_model_file_from_the_repository_is_refused_whatever_the_provider_becomes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="may not name a model file"):
        load(tmp_path, repository='model = "x"', provider="embedded")
    assert load(tmp_path, repository='model = "x"', provider="embedded", model="mine.gguf").model == "mine.gguf"


def test_a_missing_profile_or_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no profile 'huge'\. There are: big"):
        load(tmp_path, user=PROFILE, profile="huge")
    with pytest.raises(ConfigError, match="None is defined"):
        load(tmp_path, profile="huge")
    with pytest.raises(ConfigError, match="does not exist"):
        config.load({}, config=tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num_ctx=16384", ("num_ctx", 16384)),
        ("temperature=0.2", ("temperature", 0.2)),
        ("think=false", ("think", False)),
        ("keep_alive=30m", ("keep_alive", "30m")),
        ("keep_alive=-1", ("keep_alive", -1)),
        ("mirostat=2", ("mirostat", 2)),
        ("stop=a=b", ("stop", "a=b")),
        ("stop=[INST]", ("stop", "[INST]")),
        ("stop=[/INST", ("stop", "[/INST")),
        ("stop={", ("stop", "{")),
        ('stop="[\\"a"', ("stop", '["a')),
        ('stop=["###", "<end>"]', ("stop", ["###", "<end>"])),
        ('stop="###"', ("stop", "###")),
        ("min_tokens=null", ("min_tokens", None)),
        (
            'chat_template_kwargs={"enable_thinking": false}',
            ("chat_template_kwargs", {"enable_thinking": False}),
        ),
        ('logit_bias={"50256": -100}', ("logit_bias", {"50256": -100})),
        ("reasoning_effort=none", ("reasoning_effort", "none")),
    ],
)
def test_options_of_the_command_line(text: str, expected: tuple[str, Any]) -> None:
    assert model_options.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("num_ctx", "=1", "num_ctx=many", "num_ctx=0", "seed=1.5", "stream=false", "MODEL=x"),
        *("temperature=nan", "temperature=inf", "temperature=NaN", "top_p=-Infinity"),
        *("chat_template_kwargs={enable_thinking:false}", "chat_template_kwargs=false", "chat_template_kwargs=[]"),
        *('stop=["a"', 'stop= [ "a", ', 'stop={"a"', 'keep_alive=["5m"', 'think=["low"'),
        *("logit_bias={", 'logit_bias={"a": NaN}', "extra=[1,", "deep=" + "[" * 100_000),
        'fallbacks=["gpt-4"]',
        'extra_body={"temperature": 1}',
        'chat_template_kwargs={"deep": [{"API_BASE": "http://192.0.2.1"}]}',
    ],
    ids=lambda text: text[:40],
)
def test_bad_options_of_the_command_line(text: str) -> None:
    with pytest.raises(ConfigError):
        model_options.parse(text)


def test_a_list_that_is_not_closed_is_told_with_its_own_example() -> None:
    with pytest.raises(ConfigError, match="the value of 'stop' is not JSON") as caught:
        model_options.parse('stop=["a"')
    assert "'stop=[" in caught.value.hint


# Through the program


def test_each_option_has_its_variable(kilo: Runner, buggy: Repo) -> None:
    done = kilo(env={"KILO_REVIEW_PROVIDER": "scripted", "KILO_REVIEW_FORMAT": "json"})
    assert done.json()["model"]["provider"] == "scripted"
    environment = {"KILO_REVIEW_PROVIDER": "ollama", "KILO_REVIEW_BASE_URL": "http://127.0.0.1:9"}
    assert kilo(env=environment).code == 3
    assert kilo("--provider", "scripted", env=environment).code == 0


def test_a_misspelt_variable_is_mentioned(kilo: Runner) -> None:
    assert "KILO_REVIEW_MODLE means nothing" in kilo(env={"KILO_REVIEW_MODLE": "x"}).talk
    assert "means nothing" not in kilo(env={"KILO_REVIEW_API_KEY": "x", "KILO_REVIEW_MAX_SECONDS": "9"}).talk


def test_the_users_file_is_found(kilo: Runner, buggy: Repo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "kilo-review"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('provider = "scripted"\n')
    assert kilo("--format", "json").json()["model"]["provider"] == "scripted"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("--fail-on", "bad"),
        ("--max-seconds", "x"),
        ("--option", "x"),
        ("--dry-run", "--show-prompt"),
        ("a", "b"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(kilo: Runner, arguments: tuple[str, ...]) -> None:
    done = kilo(*arguments)
    assert done.code == 2
    assert done.talk
    assert not done.text


def test_a_setting_of_the_repository_is_checked_also_in_a_subfolder(kilo: Runner, buggy: Repo) -> None:
    buggy.write(".kilo-review.toml", 'base_url = "http://127.0.0.1:1"\n')
    (buggy.path / "sub").mkdir()
    done = kilo(cwd=buggy.path / "sub")
    assert done.code == 2
    assert "the repository may not set 'base_url'" in done.talk


def test_bad_settings_are_told_even_without_git(kilo: Runner, buggy: Repo) -> None:
    buggy.write(".kilo-review.toml", "modell = 1\n")
    done = kilo(env={"PATH": "/nonexistent"})
    assert done.code == 2
    assert "unknown key 'modell'" in done.talk


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "/dev/fd/0", "/etc/passwd"])
@pytest.mark.parametrize("name", [".kilocodeignore", ".kilo-review.toml", "pyproject.toml"])
def test_a_link_is_no_setting_of_the_repository(kilo: Runner, buggy: Repo, name: str, target: str) -> None:
    (buggy.path / name).symlink_to(target)
    done = kilo("--dry-run")
    assert done.code == 2
    assert "cannot be read" in done.talk


def test_an_ignore_file_may_begin_with_a_byte_order_mark(kilo: Runner, buggy: Repo) -> None:
    buggy.write(".kilocodeignore", b"\xef\xbb\xbfapp.py\n")
    assert "would be reviewed" not in kilo("--dry-run").text.replace("nothing would be reviewed", "")


def test_a_broken_pattern_is_told(kilo: Runner, buggy: Repo) -> None:
    done = kilo("--dry-run", "--exclude", "!")
    assert (done.code, "Traceback" in done.talk) == (2, False)


def test_a_key_goes_to_no_server_that_the_repository_chose(tmp_path: Path) -> None:
    assert load(tmp_path, repository='provider = "openai"', user='api_key = "secret"').api_key is None
    named = 'api_key = "secret"\nbase_url = "http://127.0.0.1:1"'
    assert load(tmp_path, repository='provider = "openai"', user=named).api_key == "secret"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, api_key="sekret\u00e9")
    assert "sekret" not in str(caught.value)


def test_a_link_to_a_file_of_the_repository_is_followed(kilo: Runner, buggy: Repo) -> None:
    buggy.write("settings/review.toml", 'exclude = ["app.py"]\n')
    (buggy.path / ".kilo-review.toml").symlink_to("settings/review.toml")
    assert "matched by exclude" in kilo("--dry-run").text


@pytest.mark.parametrize(
    "name", [".kilocodeignore", ".kilo-review.toml", "pyproject.toml", ".kilo-review/baseline.json"]
)
def test_a_folder_in_the_place_of_a_file_is_told(kilo: Runner, repo: Repo, name: str) -> None:
    (repo.path / name).mkdir(parents=True)
    done = kilo("--dry-run")
    assert (done.code, "is not a regular file" in done.talk) == (2, True), done.talk
