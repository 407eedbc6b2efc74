"""`kilo-review init`: the pre-commit framework's configuration and our own settings, shown before they are written."""

from __future__ import annotations

import os
import sys
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT
from kilo_review.config import template
from kilo_review.core.errors import ConfigError, TargetError, UsageError
from kilo_review.hooks import pre_commit_config
from kilo_review.judge.policy import ExitCode
from kilo_review.report import deliver
from kilo_review.report.progress import say
from kilo_review.sanitize.terminal import for_terminal

MISSPELT = ".pre-commit-config.yml"
TYPES_STEP = "Then: pre-commit install --hook-type pre-commit --hook-type pre-push"


class Change(NamedTuple):
    """A file to write: its path, what it holds now (None: nothing) and what it shall hold."""

    path: Path
    before: str | None
    after: str


@click.command("init", context_settings=CONTEXT)
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--repo", metavar="URL", help="Take the hooks from this clone, not from the installed program.")
@click.option("--rev", metavar="REVISION", help="A revision of it.")
@click.option(
    "--hook",
    "hooks",
    type=click.Choice(tuple(pre_commit_config.IDS)),
    multiple=True,
    help="Which hook; repeatable. [default: both]",
)
def init_command(yes: bool, repo: str | None, rev: str | None, hooks: tuple[str, ...]) -> int:
    """Set up the pre-commit framework for this repository; shows the difference first."""
    if bool(repo) != bool(rev):
        raise UsageError("--repo and --rev belong together", hint="kilo-review init --repo URL --rev v0.1.0")
    root = _root()
    changes = [
        change
        for change in (_framework(root, hooks or tuple(pre_commit_config.IDS), repo, rev), _settings(root))
        if change is not None
    ]
    if not changes:
        click.echo("kilo-review is set up already; nothing was changed")
        return ExitCode.PASS
    for change in changes:
        click.echo(_difference(root, change), nl=False)
    if not (yes or _is_consented()):
        click.echo("nothing was written; run again with --yes")
        return ExitCode.PASS
    for change in changes:
        _write(change)
    click.echo(TYPES_STEP)
    return ExitCode.PASS


def _write(change: Change) -> None:
    try:
        deliver.write(change.path, change.after.encode())
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{change.path.name} cannot be written ({reason})", hint="It is as it was") from None
    click.echo(f"{change.path.name} is written")


def _root() -> Path:
    root = config.repository_root(Path.cwd(), config.environment())
    if root is None:
        raise TargetError("this is not a git repository with a worktree", hint="Change into one, or: git init")
    return root


def _framework(root: Path, hooks: tuple[str, ...], repo: str | None, rev: str | None) -> Change | None:
    path = root / pre_commit_config.NAME
    if (root / MISSPELT).exists() and not path.exists():
        raise ConfigError(
            f"there is {MISSPELT}, which pre-commit does not read", hint=f"Rename it to {pre_commit_config.NAME}"
        )
    if (root / "prek.toml").exists():
        say(f"kilo-review: there is a prek.toml, which prek prefers to {pre_commit_config.NAME}")
    before = _text(root, path)
    wanted = pre_commit_config.missing(before or "", hooks)
    return Change(path, before, pre_commit_config.added(before or "", wanted, repo, rev)) if wanted else None


def _settings(root: Path) -> Change | None:
    """Our settings file, unless the repository has settings already."""
    pyproject = _text(root, root / "pyproject.toml") or ""
    if os.path.lexists(root / template.NAME) or "[tool.kilo-review" in pyproject:
        return None
    return Change(root / template.NAME, None, template.TEXT)


def _text(root: Path, path: Path) -> str | None:
    """A file's text; None where there is none.

    Raises:
        ConfigError: it cannot be read, is no text, or is a link.
    """
    if not os.path.lexists(path):
        return None
    if path.is_symlink() and path.name == pre_commit_config.NAME:
        raise ConfigError(f"{path.name} is a link, which may lead anywhere", hint="Put a file in its place")
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{path.name} is a link that leads out of the worktree", hint="Edit what it leads to")
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8: {error}") from None


def _difference(root: Path, change: Change) -> str:
    name = change.path.relative_to(root).as_posix()
    old = (change.before or "").splitlines()
    rows = unified_diff(old, change.after.splitlines(), name if change.before else "/dev/null", name, lineterm="")
    return "".join(for_terminal(row.rstrip("\r")) + "\n" for row in rows)


def _is_consented() -> bool:
    """Whether somebody at a terminal says yes; nobody is asked where there is none."""
    return sys.stdin.isatty() and sys.stdout.isatty() and click.confirm("Write this?", default=False)
