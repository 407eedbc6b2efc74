"""What the documents say is true of the code."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from kilo_review import __version__, config, prompts
from kilo_review.cli import cli
from kilo_review.config import model_options
from kilo_review.config.values import READERS
from kilo_review.core.finding import Category, Severity
from kilo_review.core.outcome import State, TargetKind
from kilo_review.judge.policy import ExitCode
from kilo_review.models import PROVIDERS
from kilo_review.report import FORMATS
from tests.support.documents import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repo, Runner

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def found_command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found
    return found


def options_of(command: str) -> set[str]:
    return {name for parameter in found_command(command).params for name in parameter.opts if name.startswith("--")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configuration_examples_are_valid(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "toml")):
        example = tmp_path / f"{number}.toml"
        example.write_text(text)
        config.load({}, config=example)


def command_of(words: list[str]) -> click.Command:
    """The command that a line of a page calls, as deep as its words go; `review` if it names none."""
    command: click.Command = cli
    for word in words:
        child = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if child is None:
            break
        command = child
    return found_command("review") if command is cli else command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_is_mentioned_exists(page: Path) -> None:
    common = {"--version", "--help"}
    for code in re.findall(r"`([^`\n]*kilo-review [^`\n]*)`", page.read_text()) + blocks(page, "console"):
        for line in code.splitlines():
            match = re.search(r"(?:^|[ `])kilo-review( [^#]*)?(?:#|$)", line)
            if match and "pre-commit install" not in line:
                words = (match[1] or "").split()
                known = {name for parameter in command_of(words).params for name in parameter.opts} | common
                assert {word.partition("=")[0] for word in words if re.match("--[a-z]", word)} <= known, line


def test_usage_names_every_option_and_key() -> None:
    text = (ROOT / "docs" / "usage.md").read_text()
    for option in options_of("review") | {"--version"}:
        assert f"`{option}" in text or f"`{option}`" in text.replace(", ", "`, `"), option
    for key in READERS:
        assert re.search(rf"^\[?(?:model\.)?{key}\b|\[profiles\.\w+\.{key}\]", text, re.MULTILINE), key
    for name in model_options.SAFE:
        assert f"`{name}`" in text
    for kind in ("staged", "uncommitted", "branch", "A..B", "A...B", "-"):
        assert f"| `{kind}`" in text
    for provider in PROVIDERS:
        assert f"`{provider}`" in text


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "usage.md"], ids=lambda page: page.name)
def test_exit_codes_are_those_of_the_program(page: Path) -> None:
    rows = re.findall(r"^\| (\d+) \|", page.read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == [int(code) for code in ExitCode]


def test_help_names_the_exit_codes(kilo: Runner) -> None:
    text = " ".join(kilo("--help").text.split())
    for code in ExitCode:
        assert re.search(rf"\b{int(code)} \w", text.partition("Exit codes:")[2])


def shape(value: object) -> object:
    """Keys all the way down; lists by their first element."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None


def test_the_json_example_has_the_shape_of_a_report(kilo: Runner, buggy: Repo, division: dict[str, object]) -> None:
    (text,) = blocks(ROOT / "docs" / "json.md", "json")
    example = json.loads(text)
    report = kilo(*kilo.scripted({"findings": [division]}), "--format", "json").json()
    example["egress"] = report["egress"] = []
    assert shape(example) == shape(report)
    assert list(example) == list(report)


def test_the_json_page_names_every_word() -> None:
    text = (ROOT / "docs" / "json.md").read_text()
    for words in (Severity, Category, State, TargetKind):
        for word in words:
            assert f"`{word.value}`" in text


def test_every_format_is_in_the_table_and_has_a_page_or_a_section() -> None:
    text = (ROOT / "docs" / "formats.md").read_text()
    rows = re.findall(r"^\| \[?`(\w+)`(?:\]\(([^)]+)\))? \|", text, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(FORMATS)
    for name, link in rows:
        assert not link.startswith("#") or (link == f"#{name}" and f"\n## {name}\n" in text)


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"rev: v{__version__}" in (ROOT / "README.md").read_text()


def test_pages_name_no_registry_and_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"pypi\.org|crates\.io|npmjs|proxy\.golang|/root/|/home/\w|/tmp/", page.read_text()), (
            page.name
        )


def test_the_readme_picture_is_what_the_program_prints(kilo: Runner, buggy: Repo, division: dict[str, object]) -> None:
    (picture,) = [block for block in blocks(ROOT / "README.md", "text") if "git commit" in block]
    printed = kilo(*kilo.scripted({"findings": [division]})).text.splitlines()
    assert picture.splitlines()[2:6] == printed[:4]


# Prompts


def test_the_instructions_are_cheap_and_the_same_for_every_change() -> None:
    loaded = prompts.load()
    assert len(loaded.system.encode()) / 4 <= 420
    one, other = loaded.review("FILE a.py"), loaded.review("FILE b.py")
    assert one[0] == other[0]
    assert one[1].content.endswith("FILE a.py")
    assert one[1].content.removesuffix("a.py") == other[1].content.removesuffix("b.py")


def test_the_standard_change_costs_at_most_900_tokens(kilo: Runner, buggy: Repo) -> None:
    (messages,) = json.loads(kilo("--show-prompt", "--format", "json").stdout)
    assert sum(len(message["content"].encode()) for message in messages) / 4 <= 900


def test_the_prompts_speak_english_and_of_every_word_of_the_schema() -> None:
    loaded = prompts.load()
    assert loaded.system.isascii()
    item = prompts.REPLY_SCHEMA["properties"]["findings"]["items"]
    assert item["required"] == list(item["properties"]) == sorted(item["properties"])
    for name in item["required"]:
        assert f'"{name}"' in loaded.system
        assert f'"{name}"' in loaded.repair_template
    for word in (*item["properties"]["severity"]["enum"], *item["properties"]["type"]["enum"]):
        assert f'"{word}"' in loaded.system
    assert loaded.system.index('{"findings": []}') < 300


def test_prompts_can_be_overridden_and_are_checked(kilo: Runner, buggy: Repo, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "system.md").write_text("Say nothing.")
    shown = kilo("--show-prompt", "--prompts", str(folder)).text
    assert shown.startswith("--- request 1, system ---\nSay nothing.\n")
    assert prompts.load(folder).version != prompts.load().version
    (folder / "review.md").write_text("no place for it")
    done = kilo("--show-prompt", "--prompts", str(folder))
    assert (done.code, "must contain {{change}} exactly once" in done.talk) == (2, True)
    assert kilo("--prompts", str(tmp_path / "missing")).code == 2


def test_the_messages_can_be_read_by_a_program(kilo: Runner, buggy: Repo) -> None:
    requests = json.loads(kilo("--show-prompt", "--format", "json").stdout)
    assert [[message["role"] for message in request] for request in requests] == [["system", "user"]]


def test_the_wheel_carries_the_prompts() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert metadata["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["kilo_review"]
    assert {path.stem for path in prompts.SHIPPED.glob("*.md")} == set(prompts.PLACEHOLDERS)


def test_every_command_stands_in_the_manual() -> None:
    pages = "".join(page.read_text() for page in PAGES)

    def walk(command: click.Command, name: str) -> None:
        if not isinstance(command, click.Group):
            assert re.search(rf"{name}\b", pages), name
            return
        for word in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), word)
            assert child
            walk(child, f"{name} {word}")

    for name in cli.list_commands(click.Context(cli)):
        if name != "review":
            walk(found_command(name), f"kilo-review {name}")


def test_every_command_has_help() -> None:
    def walk(command: click.Command) -> None:
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.name == "help", parameter.name
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                child = command.get_command(click.Context(command), name)
                assert child
                walk(child)

    walk(cli)
