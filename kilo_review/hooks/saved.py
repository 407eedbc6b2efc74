"""The hooks that were there before ours: in a folder beside the hooks folder, each under its own name.

A hook may know itself by its name (a dispatcher), look for files beside itself or from its folder upwards, or be a
relative link. So the folder is at the same depth, each hook keeps its name, and what else is in the hooks folder is
linked there.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from kilo_review.core.errors import ConfigError
from kilo_review.hooks import exclusive, script
from kilo_review.sanitize.terminal import escaped_path

if TYPE_CHECKING:
    from pathlib import Path

IGNORE_ALL = b"*\n"
"""What a `.gitignore` in the folder says, where it is in a worktree."""


class SavedHooks:
    """The folder of the hooks before ours.

    Attributes:
        hooks: the hooks folder, without links in its path.
        folder: where the former hooks are.
    """

    def __init__(self, hooks: Path) -> None:
        """Name the folder; nothing is made yet.

        Args:
            hooks: the hooks folder, without links in its path.
        """
        self.hooks = hooks
        self.folder = hooks.parent / (hooks.name + script.SAVED)

    def path(self, hook: str) -> Path:
        """Return where a former hook is, or would be."""
        return self.folder / hook

    def has(self, hook: str) -> bool:
        """Tell whether there is a former hook of this name."""
        path = self.path(hook)
        return os.path.lexists(path) and not self._is_made(hook) and not is_ours(path)

    def keep(self, source: Path, hook: str) -> None:
        """Give a hook its place here, besides its own where the file system allows that.

        Raises:
            FileExistsError: there is another one.
            OSError: the folder cannot be written.
        """
        if not self.has(hook):
            self.path(hook).unlink(missing_ok=True)
        exclusive.link(source, self.path(hook))

    def prepare(self, *, is_in_worktree: bool) -> None:
        """Make the folder, as accessible as the hooks folder, and link what is beside the hooks.

        Raises:
            ConfigError: something is in the way.
            OSError: it cannot be made.
        """
        if self.folder.is_symlink() or (self.folder.exists() and not self.folder.is_dir()):
            raise ConfigError(
                f"{escaped_path(str(self.folder))} is in the way: former hooks are kept in a folder of that name",
                hint="Move it away",
            )
        if not self.folder.exists():
            self.folder.mkdir()
            self.folder.chmod(stat.S_IMODE(self.hooks.stat().st_mode))
        if is_in_worktree:
            with suppress(FileExistsError), (self.folder / ".gitignore").open("xb") as stream:
                stream.write(IGNORE_ALL)
        self._link_siblings()

    def tidy(self) -> bool:
        """Link what is beside the hooks; without former hooks, remove the folder.

        Returns:
            Whether all is as it should be: False if files of others stay in the folder.

        Raises:
            OSError: the folder cannot be written.
        """
        if not self.folder.is_dir():
            return True
        if any(self.has(hook) for hook in script.HOOKS):
            self._link_siblings()
            return True
        for name in os.listdir(self.folder):  # noqa: PTH208  names, as `_is_made` wants them
            self._remove_or_give_back(name)
        with suppress(OSError):
            self.folder.rmdir()
        return not self.folder.exists()

    def _remove_or_give_back(self, name: str) -> None:
        """Remove what we have made; a file that a former hook has written beside itself goes back with it."""
        path = self.folder / name
        if self._is_made(name) or is_ours(path):
            path.unlink()
        else:
            with suppress(FileExistsError):
                exclusive.move(path, self.hooks / name)

    def _link_siblings(self) -> None:
        wanted = {name: self._target(name) for name in os.listdir(self.hooks) if self._is_linked(name)}  # noqa: PTH208
        for name in os.listdir(self.folder):  # noqa: PTH208  names, as `_is_made` wants them
            path = self.path(name)
            if path.is_symlink() and self._is_made(name) and str(path.readlink()) != wanted.get(name):
                path.unlink()
        for name, target in wanted.items():
            with suppress(FileExistsError):
                self.path(name).symlink_to(target)

    def _is_linked(self, name: str) -> bool:
        is_left_out = name.endswith((".sample", script.SAVED)) or name.startswith(exclusive.OWN)
        return not is_left_out and not is_ours(self.hooks / name)

    def _target(self, name: str) -> str:
        """Return where the link of this name leads: to the file beside the hooks, or along a link among them."""
        path = self.hooks / name
        if path.is_symlink():
            target = os.path.normpath(self.hooks / path.readlink())
            if os.path.dirname(target) == str(self.hooks):  # noqa: PTH120  a text like the other
                return os.path.basename(target)  # noqa: PTH119  the same
        return f"../{self.hooks.name}/{name}"

    def _is_made(self, name: str) -> bool:
        """Tell whether something here is no former hook, but was made by us."""
        path = self.path(name)
        if not path.is_symlink():
            return name == ".gitignore" and path.is_file() and path.read_bytes() == IGNORE_ALL
        target = str(path.readlink())
        if target == f"../{self.hooks.name}/{name}":
            return True
        if name not in script.HOOKS:
            return "/" not in target
        beside = self.hooks / name
        return os.path.lexists(beside) and not is_ours(beside) and target == self._target(name)


def is_ours(path: Path) -> bool:
    """Tell whether a hook is one of our scripts."""
    try:
        return not path.is_symlink() and path.is_file() and script.is_ours(path.read_bytes())
    except OSError:
        return False
