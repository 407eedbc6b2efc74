"""Hermetic by default: own HOME, no configuration of the user's, no network but loopback; git is real."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pytest

from kilo_review.models.embedded import is_installed, packaged_model
from tests.support import zygote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.here import Program

ROOT = Path(__file__).parent.parent
LONGEST_RUN = 280
"""Seconds; a watchdog against hanging."""
IN_CI = bool(os.environ.get("CI"))
"""Whether whatever the suite needs is here: asked before the tests' own environment forgets it."""
FOREIGN_VARIABLES = (
    *("GIT_", "KILO_REVIEW_", "PRE_COMMIT", "OLLAMA_", "LM_API_TOKEN", "SKIP", "NO_COLOR"),
    *("CI", "GITHUB_", "GITEA_", "FORGEJO_", "GITLAB_", "BITBUCKET_", "BUILD_", "SYSTEM_", "TF_BUILD", "JENKINS_"),
    *("BUILDKITE", "CHANGE_", "CIRCLE", "DRONE", "GERRIT_", "bbprb", "ghprb", "gitee", "gitlab", "pullRequestId"),
)
STARTED_BY_GIT = frozenset({
    *("test_at_commit.py", "test_at_push.py", "test_catch_up.py", "test_decisions.py", "test_prove_local.py"),
})  # fmt: skip
"""Tests of code that hardly runs but where git or a namespace has started it: there that is measured, too."""
IS_FURTHER_ROW = pytest.StashKey[bool]()
"""Whether a test runs the function of an earlier one with other parameters."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
GIT_CONFIG = """\
[user]
    name = Tester
    email = tester@example.invalid
[init]
    defaultBranch = main
[commit]
    gpgSign = false
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options by which a run of the suite differs from another."""
    parser.addoption(
        "--brief", action="store_true", help="run each test with the first of its parameters, and none that takes long"
    )
    parser.addoption("--shuffle", metavar="SEED", help="run the tests in an order of its own for each seed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Shuffle, and leave out what `--brief` leaves out: further rows of tables, and tests marked as long."""
    if seed := config.getoption("--shuffle"):
        random.Random(seed).shuffle(items)  # each worker must get the same order
    first: dict[tuple[Path, str], pytest.Item] = {}
    brief: dict[tuple[Path, str], pytest.Item] = {}
    for item in items:
        name = item.path, getattr(item, "originalname", item.name)
        item.stash[IS_FURTHER_ROW] = first.setdefault(name, item) is not item
        if item.get_closest_marker("long") is None:
            brief.setdefault(name, item)
    if config.getoption("--brief"):
        kept = list(brief.values())
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept


@pytest.fixture(autouse=True)
def hermetic(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment that every test starts from; children inherit it."""
    is_long = request.node.get_closest_marker("long") is not None and request.path.name not in STARTED_BY_GIT
    if (request.node.stash[IS_FURTHER_ROW] or is_long) and zygote.COVERAGE in os.environ:
        # Measuring takes as long as the program itself, and the first row of a table has run the same lines. In a long
        # test, what git and shells start is not measured either, for which coverage itself would be started each time.
        if zygote.IS_POSSIBLE:
            zygote.Zygote.of_this_process()  # which takes from here how to measure the others
        measure = os.environ[zygote.COVERAGE]
        monkeypatch.delenv(zygote.COVERAGE)
        if not request.node.stash[IS_FURTHER_ROW]:
            monkeypatch.setattr(Runner, "measured", {zygote.COVERAGE: measure})
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GIT_CONFIG)
    for name in list(os.environ):
        if name.startswith(FOREIGN_VARIABLES) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches beyond this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not ipaddress.ip_address(address[0]).is_loopback:
            raise AssertionError(f"a test wanted to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@dataclass
class Repo:
    """A scratch repository, driven by the real git."""

    path: Path

    def git(self, *arguments: str | bytes, check: bool = True, **settings: Any) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | settings.pop("env", {})
        return subprocess.run(
            ["git", *arguments], cwd=self.path, check=check, capture_output=True, env=environment, **settings
        )

    def out(self, *arguments: str) -> str:
        return self.git(*arguments).stdout.decode().strip()

    def write(self, name: str | bytes, content: str | bytes) -> Path:
        path = self.path / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def stage(self, name: str | bytes, content: str | bytes) -> Path:
        path = self.write(name, content)
        self.git("add", "-f", "--", name)
        return path

    def commit(self, message: str = "change", **files: str) -> str:
        """Commit the given files (a dot in a name is written as two underscores) and what is staged."""
        for name, content in files.items():
            self.stage(name.replace("__", "."), content)
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.out("rev-parse", "HEAD")


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for repositories that are built once, and copied by each test that needs one."""
    return tmp_path_factory.mktemp("templates")


def copied(template: Path, path: Path, build: Callable[[Repo], object]) -> Repo:
    """Copy a repository, which is built when it is first asked for.

    Args:
        template: where it is kept.
        path: where the copy is to be.
        build: what is done in an empty repository.
    """
    if not template.exists():
        made = Repo(template.with_suffix(".new"))
        made.path.mkdir()
        made.git("init", "-q")
        build(made)
        made.path.rename(template)
    shutil.copytree(template, path, symlinks=True, dirs_exist_ok=True)
    copy = Repo(path)
    if (path / ".git" / "index").exists():
        copy.git("update-index", "-q", "--refresh")  # it knows the files of the template
    return copy


@pytest.fixture
def make_repo(tmp_path: Path, templates: Path) -> Callable[..., Repo]:
    """Make further repositories: a name, and arguments for `git init`."""

    def make(name: str = "repo", *arguments: str) -> Repo:
        path = tmp_path / name
        if not arguments:
            return copied(templates / "empty", path, lambda _: None)
        path.mkdir(parents=True)
        repo = Repo(path)
        repo.git("init", "-q", *arguments)
        return repo

    return make


@pytest.fixture
def repo(tmp_path: Path, templates: Path) -> Repo:
    """A repository with one commit: `app.py`, a function."""
    first = "def mean(items):\n    if not items:\n        return 0\n    return sum(items) / len(items)\n"
    return copied(templates / "first", tmp_path / "repo", lambda made: made.commit("first", app__py=first))


@dataclass
class Result:
    """How one run of the program ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def talk(self) -> str:
        return self.stderr.decode()

    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        assert parsed["exit_code"] == self.code
        return parsed


class Runner:
    """Runs the program as its users do, as a process: one that is forked where nothing depends on how it starts.

    Attributes:
        measured: the variable that has coverage measured in what it runs, where the environment does without.
    """

    measured: ClassVar[Mapping[str, str]] = {}

    def __init__(self, directory: Path, script: Path) -> None:
        self.directory = directory
        self.script = script

    def __call__(
        self,
        *arguments: str | bytes,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        **settings: Any,
    ) -> Result:
        environment = {**os.environ, **self.measured, **(env or {})}
        if not settings and zygote.IS_POSSIBLE and not any(name.startswith(zygote.STARTING) for name in env or ()):
            words = [os.fsdecode(argument) for argument in arguments]
            runs = zygote.Zygote.of_this_process()
            return Result(*runs.run(words, cwd or self.directory, environment, stdin, LONGEST_RUN))
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        if stdin is None:
            settings["stdin"] = subprocess.DEVNULL
        else:
            settings["input"] = stdin
        done = subprocess.run(
            [sys.executable, "-m", "kilo_review", *arguments],
            cwd=cwd or self.directory,
            env=environment,
            timeout=LONGEST_RUN,
            **settings,
        )
        return Result(done.returncode, done.stdout or b"", done.stderr or b"")

    def started(self, *arguments: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """The program, under way, and heeding Ctrl-C."""
        return subprocess.Popen(
            [sys.executable, "-m", "kilo_review", *arguments],
            cwd=self.directory,
            env={**os.environ, **self.measured, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=heed_interrupts,
        )

    def scripted(
        self, *replies: dict[str, Any], window: int = 8192, rulings: Sequence[dict[str, Any]] = ()
    ) -> tuple[str, ...]:
        """Options that make the shipped test double answer so."""
        self.script.write_text(json.dumps({"window": window, "replies": list(replies), "rulings": list(rulings)}))
        return ("--provider", "scripted", "--model", str(self.script))


@pytest.fixture
def kilo(repo: Repo, tmp_path: Path) -> Runner:
    """The program, run in `repo`."""
    return Runner(repo.path, tmp_path / "script.json")


@pytest.fixture
def program(repo: Repo, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Program:
    """The program, run in `repo` and in this process."""
    from tests.support.here import Program  # noqa: PLC0415  it is made of parts of this module

    monkeypatch.chdir(repo.path)
    return Program(monkeypatch, capsysbinary)


@pytest.fixture
def division() -> dict[str, Any]:
    """A critical finding on the division in `app.py`, in the model's own form."""
    return {
        "code": "return sum(items) / len(items)",
        "file": "app.py",
        "line": 2,
        "problem": "An empty list divides by zero.",
        "severity": "critical",
        "title": "Division by zero",
        "type": "bug",
    }


@pytest.fixture
def buggy(repo: Repo) -> Repo:
    """`repo` with a staged change that removes the check for an empty list."""
    repo.stage("app.py", "def mean(items):\n    return sum(items) / len(items)\n")
    return repo


def heed_interrupts() -> None:
    """For `preexec_fn`: a background job of a shell, as CI may be, starts with Ctrl-C switched off."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def needs(tool: str, *, variable: str = "") -> str:
    """The path of an external part; where it is missing the test is skipped, except in CI, where that is a failure."""
    found = os.environ.get(variable) if variable else None
    found = found or shutil.which(tool)
    return found or absent(f"{tool} is not installed (.ci/run has it)")


def absent(reason: str) -> NoReturn:
    """Skip the test, since something that it needs is not here; in CI, where all of it is, that is a failure."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)


def manager(tool: str) -> str:
    """The path of a hook manager from npm; skipped or failed like `needs`."""
    folder = os.environ.get("KILO_TEST_MANAGERS", "")
    found = shutil.which(tool, path=folder) if folder else None
    return found or needs(tool)


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The demonstration model's file."""
    found = packaged_model()
    if not is_installed() or found is None:
        absent("the embedded engine or its model is not installed (make test installs both)")
    return found
