"""`kilo-review install` and `kilo-review uninstall`: git hooks without a framework."""

from __future__ import annotations

from pathlib import Path

import click

from kilo_review import config
from kilo_review.cli.options import CONTEXT
from kilo_review.cli.tell import tell
from kilo_review.core import atomic_write
from kilo_review.core.errors import ConfigError
from kilo_review.hooks import install, script
from kilo_review.hooks.place import Place, place_for_all, place_here
from kilo_review.judge.policy import ExitCode
from kilo_review.report.progress import say
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.source import worktree

FOR_ALL = click.option("--global", "for_all", is_flag=True, help="For all your repositories, by core.hooksPath.")


def _place(hooks: tuple[str, ...], *, for_all: bool) -> Place:
    if not for_all:
        return place_here(Path.cwd(), hooks)
    folder = config.user_folder()
    if folder is None:
        raise ConfigError("there is no home folder to keep hooks in", hint="Set HOME")
    settings = Path(config.environment().get("GIT_CONFIG_GLOBAL") or folder)
    if settings.exists() and not (settings.is_file() or settings == folder):  # git would put a file in its place
        raise ConfigError(
            f"GIT_CONFIG_GLOBAL is {escaped_path(str(settings))}, which keeps no settings",
            hint="Unset it, or name a file",
        )
    return place_for_all(Path.cwd(), folder / "hooks")


def _refuse_links(folder: Path) -> None:
    """Raise if a link of the checkout, which a change can bring, leads to the hooks folder."""
    try:
        atomic_write.make_folders(folder, worktree.guard())
    except atomic_write.UnsafePathError as error:
        raise ConfigError(
            f"hooks may not be put into {str(folder)!a} ({error.strerror})",
            hint="Have core.hooksPath name the folder that the link leads to",
        ) from None
    except OSError:
        pass  # the installer comes to the same end, and has the words for it


@click.command("install", context_settings=CONTEXT)
@click.option(
    "--hook",
    "hooks",
    type=click.Choice(script.HOOKS),
    multiple=True,
    help="Which hook; repeatable. [default: pre-commit, pre-push]",
)
@FOR_ALL
def install_command(hooks: tuple[str, ...], for_all: bool) -> int:
    """Install git hooks; those that are there already are kept and run first."""
    chosen = hooks or install.USUAL
    place = _place(chosen, for_all=for_all)
    spelled = None if for_all else worktree.hooks_folder(Path.cwd())
    _refuse_links(spelled or place.folder)
    done = install.install(place, chosen, Path.cwd())
    if place.warning:
        say(f"kilo-review: {place.warning}")
    flag = " --global" if for_all else ""
    done.append(f"Try it: git commit. Take it away: kilo-review uninstall{flag}")
    return tell("\n".join(done), None, ExitCode.PASS)


@click.command("uninstall", context_settings=CONTEXT)
@click.option(
    "--hook", "hooks", type=click.Choice(script.HOOKS), multiple=True, help="Which hook; repeatable. [default: all]"
)
@FOR_ALL
def uninstall_command(hooks: tuple[str, ...], for_all: bool) -> int:
    """Take our git hooks away, and put back what was there before."""
    chosen = hooks or script.HOOKS
    place = _place(("pre-push",), for_all=for_all)
    done = install.uninstall(place, chosen, Path.cwd()) or ["there is no hook of ours"]
    return tell("\n".join(done), None, ExitCode.PASS)
