"""Git hooks without a framework: our scripts take their places as good guests, and leave no trace."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from kilo_review.display import escaped_path
from kilo_review.errors import ConfigError, UsageError
from kilo_review.hooks import script
from kilo_review.source.git import Git
from kilo_review.source.layout import Located

HOOKS = ("pre-commit", "pre-push", "post-commit")
USUAL = ("pre-commit", "pre-push")
FORWARDED = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"),
    *("commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update"),
    *("post-receive", "post-update", "reference-transaction", "pre-auto-gc", "post-rewrite", "sendemail-validate"),
    *("post-index-change", "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit"),
)
"""Every hook of githooks(5) that does nothing by merely being there. Not so: push-to-checkout replaces what git would
do, proc-receive is asked for by its presence, fsmonitor-watchman is named by a setting."""
HUSKY = ".husky"
CURRENT, OUTDATED, ABSENT = "current", "outdated", "absent"


class Place(NamedTuple):
    """Where hooks are installed.

    Attributes:
        folder: the hooks folder that git uses.
        for_all: it counts for all repositories of the user.
        hands_over: it is our own, so each hook hands over to the repository's.
        warning: what the user should know of it, or "".
    """

    folder: Path
    for_all: bool = False
    hands_over: bool = False
    warning: str = ""


def place_here(directory: Path, hooks: tuple[str, ...]) -> Place:
    """The hooks folder of the repository around a directory.

    Raises:
        TargetError: there is none.
        UsageError: its hooks are another program's, or all repositories'.
    """
    git = Located(directory, pinned=False)
    words = ("rev-parse", "--path-format=absolute", "--git-path", "hooks", "--is-bare-repository")
    lines = os.fsdecode(git.run(*words)).split("\n")
    folder, is_bare = Path("\n".join(lines[:-2])), lines[-2] == "true"
    if is_bare and set(hooks) - {"pre-push"}:
        raise UsageError("nothing is committed in a bare repository", hint="Only a push can be: --hook pre-push")
    _refuse_shared(git, folder, hooks)
    return Place(folder, warning="" if is_bare else _warning(git, folder))


def _refuse_shared(git: Git, folder: Path, hooks: tuple[str, ...]) -> None:
    status, output = git.status("config", "--show-scope", "--get", "core.hooksPath")
    if status == 0 and output.split(b"\t")[0] in {b"global", b"system"}:
        raise UsageError(
            f"core.hooksPath is set for all your repositories, to {escaped_path(str(folder))}",
            hint="Install for all of them: kilo-review install --global",
        )
    if HUSKY in folder.parts:
        lines = "; ".join(f'kilo-review hook {hook} "$@"  in {HUSKY}/{hook}' for hook in hooks)
        raise UsageError("the hooks of this repository are husky's, which writes them anew", hint=f"Add: {lines}")


def _warning(git: Git, folder: Path) -> str:
    """A hook in the worktree may be committed, and names an interpreter of this machine."""
    top = Path(os.fsdecode(git.run("rev-parse", "--show-toplevel").removesuffix(b"\n")))
    git_dir = Path(os.fsdecode(git.run("rev-parse", "--absolute-git-dir").removesuffix(b"\n")))
    is_gits = folder.is_relative_to(git_dir) or folder.is_relative_to(top / ".git")
    if is_gits or not folder.is_relative_to(top):
        return ""
    if git.status("check-ignore", "-q", "--", str(folder / HOOKS[0]))[0] == 0:
        return ""
    return f"{escaped_path(str(folder))} is in the worktree: do not commit these hooks, they name this machine's Python"


def place_for_all(directory: Path, own_folder: Path) -> Place:
    """The hooks folder for all repositories of the user: the one that is set, or ours.

    Args:
        directory: any.
        own_folder: where ours is, or will be.
    """
    status, output = Git(directory, pinned=False).status("config", "--global", "--type=path", "--get", "core.hooksPath")
    folder = Path(os.fsdecode(output.removesuffix(b"\n"))) if status == 0 else own_folder
    return Place(folder, for_all=True, hands_over=folder == own_folder)


def install(place: Place, hooks: tuple[str, ...], directory: Path) -> list[str]:
    """Put our scripts there; hooks that are there already are kept and run first.

    Returns:
        What was done, a line each.

    Raises:
        ConfigError: something is in the way, or the folder cannot be written.
    """
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        done = [_install_one(place, hook) for hook in hooks]
        if place.hands_over:
            for hook in FORWARDED:
                if not _is_ours(place.folder / hook):
                    _write(place.folder / hook, script.forward(hook))
            Git(directory, pinned=False).run("config", "--global", "core.hooksPath", str(place.folder))
            done.append(f"core.hooksPath is {escaped_path(str(place.folder))} now, for all your repositories")
    except OSError as error:
        raise _cannot(place.folder, error) from None
    return done


def uninstall(place: Place, hooks: tuple[str, ...], directory: Path) -> list[str]:
    """Take our scripts away, and put back what was there before.

    Returns:
        What was done, a line each; none if there was nothing to do.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        done = [line for hook in hooks if (line := _uninstall_one(place, hook))]
        if place.hands_over and done:
            done += _leave_for_all(place, directory)
    except OSError as error:
        raise _cannot(place.folder, error) from None
    return done


def state(place: Place) -> dict[str, str]:
    """How each of our hooks is: `current`, `outdated` (of another version or interpreter) or `absent`."""
    found = {}
    for hook in HOOKS:
        path = place.folder / hook
        text = script.review(hook, _interpreter(), for_all=place.for_all, hands_over=place.hands_over)
        if not _is_ours(path) or not _reviews(path):
            found[hook] = ABSENT
        else:
            found[hook] = CURRENT if path.read_bytes() == os.fsencode(text) else OUTDATED
    return found


def _install_one(place: Place, hook: str) -> str:
    path, saved = place.folder / hook, place.folder / (hook + script.SAVED)
    text = script.review(hook, _interpreter(), for_all=place.for_all, hands_over=place.hands_over)
    shown = escaped_path(str(path))
    if _is_ours(path):
        if path.read_bytes() == os.fsencode(text):
            return f"{shown} is installed already"
        _write(path, text)
        return f"{shown} is up to date again"
    if not os.path.lexists(path):
        _write(path, text)
        return f"{shown} is installed"
    if os.path.lexists(saved):
        raise ConfigError(
            f"{escaped_path(str(saved))} is in the way: the hook that is there now would be renamed to it",
            hint="Move one of the two away",
        )
    if path.is_dir():
        raise ConfigError(f"{shown} is a folder", hint="Move it away")
    path.rename(saved)
    try:
        _write(path, text)
    except OSError:
        saved.rename(path)
        raise
    return f"{shown} is installed; the hook that was there runs first ({escaped_path(saved.name)})"


def _uninstall_one(place: Place, hook: str) -> str:
    path, saved = place.folder / hook, place.folder / (hook + script.SAVED)
    shown = escaped_path(str(path))
    if not _is_ours(path):
        if os.path.lexists(saved):
            return f"{shown} is not ours any more and stays; the hook before it is {escaped_path(saved.name)}"
        return ""
    if os.path.lexists(saved):
        saved.replace(path)
        return f"{shown} is again what it was"
    if place.hands_over:
        if path.read_bytes() == script.forward(hook).encode():
            return ""
        _write(path, script.forward(hook))
    else:
        path.unlink()
    return f"{shown} is taken away"


def _leave_for_all(place: Place, directory: Path) -> list[str]:
    """When the last of our reviews is gone, the scripts that hand over are needed no more."""
    if any(_is_ours(place.folder / hook) and _reviews(place.folder / hook) for hook in HOOKS):
        return []
    git = Git(directory, pinned=False)
    git.run("config", "--global", "--unset", "core.hooksPath", ok=(0, 5))
    for hook in FORWARDED:
        if _is_ours(place.folder / hook):
            (place.folder / hook).unlink()
    if not any(place.folder.iterdir()):
        place.folder.rmdir()
    return ["core.hooksPath is unset: each repository has its own hooks again"]


def _reviews(path: Path) -> bool:
    return path.read_bytes() != script.forward(path.name).encode()


def _is_ours(path: Path) -> bool:
    try:
        return not path.is_symlink() and path.is_file() and script.is_ours(path.read_bytes())
    except OSError:
        return False


def _interpreter() -> str:
    """The Python that runs now.

    Raises:
        ConfigError: it has a name that a script cannot hold.
    """
    if not sys.executable or "\n" in sys.executable:
        raise ConfigError(f"the interpreter's path {sys.executable!a} cannot stand in a script")
    return sys.executable


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and executable."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".kilo-review-", delete=False) as stream:
        try:
            stream.write(os.fsencode(text))
            stream.flush()
            Path(stream.name).chmod(0o777 & ~_umask())
            Path(stream.name).replace(path)
        except OSError:
            Path(stream.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _cannot(folder: Path, error: OSError) -> ConfigError:
    name = escaped_path(os.fsdecode(error.filename or str(folder)))
    return ConfigError(f"{name} cannot be written ({error.strerror or error})", hint="Is the hooks folder yours?")
