"""`kilo-review init`: what is added to a configuration, and that every other byte stays."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from difflib import ndiff
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from kilo_review import config
from kilo_review.config import template
from kilo_review.config.values import READERS
from kilo_review.core.errors import ConfigError
from kilo_review.hooks import pre_commit_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Runner

ROOT = Path(__file__).parents[2]
BOTH = ("pre-commit", "pre-push")
PLAIN = """\
repos:
  - repo: https://example.invalid/hooks
    rev: v1
    hooks:
      - id: black
"""
FORMS = {
    "plain": PLAIN,
    "no indentation": "repos:\n- repo: local\n  hooks:\n  - id: x\n    name: x\n    entry: x\n    language: system\n",
    "four": "repos:\n    -   repo: local\n        hooks:\n        -   id: x\n            name: 'x'\n            entry: x\n            language: system\n",
    "comments": f"# top\n\n{PLAIN}        # about black\n\n# the end\n",
    "a key behind": f"{PLAIN}# about ci\nci:\n  autofix_prs: false\n",
    "anchors": "x: &args [--a, --b]\n" + PLAIN + "        args: *args\n",
    "flow lists": PLAIN + "        types: [python, 'text']\n        files: \"^a|b$\"\n",
    "document marks": "---\n" + PLAIN + "...\n",
    "start mark": "---\n" + PLAIN,
    "no final line end": PLAIN.rstrip("\n"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + PLAIN,
    "block scalar": PLAIN + "        entry: |\n          a\n\n          b\n\n",
    "wide": PLAIN + f"        args: [{', '.join(f'--option-{n}' for n in range(40))}]\n",
    "nothing": "",
    "comment only": "# to be filled\n",
    "no repos": "fail_fast: true\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_only_lines_are_added(form: str) -> None:
    text = FORMS[form]
    changed = pre_commit_config.added(text, BOTH)
    newline = "\r\n" if form == "CRLF" else "\n"
    rows = list(ndiff(text.split(newline), changed.split(newline)))
    assert not [row for row in rows if row.startswith("- ") and row != "- "]
    assert changed.count("\n") == changed.count(newline)
    assert pre_commit_config.missing(changed, BOTH) == []
    loaded = YAML(typ="safe").load(changed.removeprefix("\ufeff"))
    assert [hook["id"] for hook in loaded["repos"][-1]["hooks"]] == ["kilo-review", "kilo-review-push"]


@pytest.mark.parametrize(
    "text",
    [
        "repos: []\n",
        "repos: [{repo: local, hooks: []}]\n",
        "- a\n",
        "repos: yes\n",
        "repos:\n  - 3\n",
        "a: [\n",
        PLAIN + "---\n" + PLAIN,
        "repos:\n\t- repo: x\n",
        "a" * 10 + ": &x [*x]\n*y",
        "%YAML 1.9\n---\nrepos: []\n",
        "? {? {a: b} : c} : d\n",
    ],
)
def test_what_cannot_be_added_to_is_told(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pre_commit_config.added(text, BOTH)
    assert caught.value.hint


@pytest.mark.long
def test_the_real_framework_accepts_it(tmp_path: Path) -> None:
    for number, text in enumerate(FORMS.values()):
        path = tmp_path / f"{number}.yaml"
        path.write_bytes(pre_commit_config.added(text, BOTH).encode())
        if text.strip("# \n").startswith(("fail", "x:")):
            continue  # a key that the framework only warns of
        done = subprocess.run(["pre-commit", "validate-config", str(path)], capture_output=True)
        assert done.returncode == 0, done.stdout


def test_the_hooks_are_those_that_we_ship() -> None:
    shipped = YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
    (repo,) = YAML(typ="safe").load(pre_commit_config.entry(BOTH))
    for ours, theirs in zip(repo["hooks"], shipped, strict=True):
        expected = {key: value for key, value in theirs.items() if key != "description"} | {"language": "system"}
        assert ours == expected


def test_a_remote_entry_names_the_ids() -> None:
    (repo,) = YAML(typ="safe").load(pre_commit_config.entry(BOTH, "https://example.invalid/it's", "v0.1.0"))
    assert repo == {
        "repo": "https://example.invalid/it's",
        "rev": "v0.1.0",
        "hooks": [{"id": "kilo-review"}, {"id": "kilo-review-push"}],
    }


# The command


def files(repo: Repo) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in repo.path.iterdir() if path.is_file()}


def test_it_shows_first_and_writes_when_told(kilo: Runner, repo: Repo) -> None:
    before = files(repo)
    shown = kilo("init")
    assert (shown.code, "run again with --yes" in shown.text) == (0, True)
    assert "+++ .pre-commit-config.yaml" in shown.text
    assert "+++ .kilo-review.toml" in shown.text
    assert files(repo) == before
    done = kilo("init", "--yes")
    assert (done.code, "--hook-type pre-push" in done.text) == (0, True)
    assert files(repo).keys() - before.keys() == {".pre-commit-config.yaml", ".kilo-review.toml"}
    written = files(repo)
    again = kilo("init", "--yes")
    assert (again.code, "set up already" in again.text) == (0, True)
    assert files(repo) == written


@pytest.mark.long
def test_a_commit_and_a_push_through_what_was_written(
    kilo: Runner, buggy: Repo, make_repo: Callable[..., Repo], tmp_path: Path, division: dict[str, object]
) -> None:
    kilo("init", "--yes")
    script = tmp_path / "answers.json"
    script.write_text(json.dumps({"replies": [{"findings": [division]}]}))
    environment = {"KILO_REVIEW_PROVIDER": "scripted", "KILO_REVIEW_MODEL": str(script)}
    subprocess.run(["pre-commit", "install"], cwd=buggy.path, check=True, capture_output=True)
    assert (buggy.path / ".git" / "hooks" / "pre-push").exists()
    buggy.git("add", "-A")
    blocked = buggy.git("commit", "-m", "bad", check=False, env=environment)
    assert (blocked.returncode, b"Division by zero" in blocked.stdout + blocked.stderr) == (1, True)
    script.write_text('{"replies": []}')
    assert buggy.git("commit", "-m", "good", check=False, env=environment).returncode == 0
    buggy.git("remote", "add", "origin", str(make_repo("remote.git", "--bare").path))
    pushed = buggy.git("push", "origin", "main", check=False, env=environment)
    assert (pushed.returncode, b"reviewed" in pushed.stdout + pushed.stderr) == (0, True)


def test_only_what_is_missing_is_added(kilo: Runner, repo: Repo) -> None:
    assert kilo("init", "--yes", "--hook", "pre-commit").code == 0
    first = files(repo)[".pre-commit-config.yaml"].decode()
    assert "kilo-review-push" not in first
    kilo("init", "--yes")
    both = files(repo)[".pre-commit-config.yaml"].decode()
    assert both.startswith(first.rstrip("\n"))
    assert both.count("id: kilo-review\n") == both.count("id: kilo-review-push\n") == 1


@pytest.mark.parametrize("answer", ["y", "n"])
def test_somebody_at_a_terminal_is_asked(repo: Repo, answer: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "init"], cwd=repo.path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while b"Write this?" not in seen:
        seen += os.read(ours, 65536)
    os.write(ours, answer.encode() + b"\n")
    process.wait(20)
    os.close(ours)
    assert process.returncode == 0
    assert (repo.path / ".pre-commit-config.yaml").exists() is (answer == "y")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"- 1\n"])
def test_a_configuration_that_is_none_stays_as_it_is(kilo: Runner, repo: Repo, content: bytes) -> None:
    repo.write(".pre-commit-config.yaml", content)
    before = files(repo)
    done = kilo("init", "--yes")
    assert (done.code, files(repo) == before) == (2, True)
    assert done.talk.count("\n") <= 2


def test_odd_places(kilo: Runner, repo: Repo, make_repo: Callable[..., Repo], tmp_path: Path) -> None:
    outside = tmp_path / "plain"
    outside.mkdir()
    assert kilo("init", "--yes", cwd=outside).code == 2
    assert kilo("init", "--repo", "x").code == 2
    repo.write(".pre-commit-config.yml", PLAIN)
    wrong = kilo("init", "--yes")
    assert (wrong.code, "Rename it" in wrong.talk) == (2, True)
    (repo.path / ".pre-commit-config.yml").unlink()
    (tmp_path / "elsewhere.yaml").write_text(PLAIN)
    (repo.path / ".pre-commit-config.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    led_away = kilo("init", "--yes")
    assert (led_away.code, (tmp_path / "elsewhere.yaml").read_text()) == (2, PLAIN)
    (repo.path / ".pre-commit-config.yaml").unlink()
    (repo.path / ".pre-commit-config.yaml").mkdir()
    assert kilo("init", "--yes").code == 2
    linked = make_repo("linked")
    linked.write("real.yaml", PLAIN)
    (linked.path / ".pre-commit-config.yaml").symlink_to("real.yaml")
    refused = kilo("init", "--yes", cwd=linked.path)
    assert (refused.code, "Put a file in its place" in refused.talk) == (2, True)
    assert (linked.path / "real.yaml").read_text() == PLAIN


def test_hostile_text_moves_no_terminal(kilo: Runner, repo: Repo) -> None:
    repo.write(".pre-commit-config.yaml", PLAIN + "# \u202e\u200b\n")
    done = kilo("init")
    assert (done.code, "\u202e" in done.text) == (0, False)


def test_settings_that_are_there_stay_alone(kilo: Runner, repo: Repo) -> None:
    repo.write("pyproject.toml", "[tool.kilo-review]\nfail_on = 'major'\n")
    assert ".kilo-review.toml" not in kilo("init").text


def test_every_key_of_the_template_is_one_that_a_repository_may_set(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in template.TEXT.splitlines() if re.match(r'# (?:[\w"/]+ = |\[)', line)]
    (tmp_path / ".kilo-review.toml").write_text("\n".join(lines))
    config.load({}, root=tmp_path)
    keys = {line.split(" = ")[0] for line in lines if " = " in line}
    settable = set(READERS) - config.USER_ONLY - {"options"}
    assert settable <= keys | {line[1 : line.index("]")] for line in lines if line.startswith("[")}
    assert not keys & config.USER_ONLY
