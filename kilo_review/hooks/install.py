"""Install and uninstall git hooks without a framework, preserving existing ones."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kilo_review.core.errors import ConfigError, KiloReviewError
from kilo_review.hooks import exclusive, script
from kilo_review.hooks.place import refuse_committed
from kilo_review.hooks.saved import SavedHooks, is_ours
from kilo_review.hooks.script import HOOKS
from kilo_review.sanitize.terminal import escaped_path
from kilo_review.source.git import Git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kilo_review.hooks.place import Place

USUAL = ("pre-commit", "pre-push")
FORWARDED = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"),
    *("commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update"),
    *("post-receive", "post-update", "reference-transaction", "pre-auto-gc", "post-rewrite", "sendemail-validate"),
    *("post-index-change", "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit"),
)
"""Every hook of githooks(5) that does nothing by merely being there. Not so: push-to-checkout replaces what git would
do, proc-receive is asked for by its presence, fsmonitor-watchman is named by a setting."""
CURRENT, OUTDATED, ABSENT = "current", "outdated", "absent"


def install(place: Place, hooks: tuple[str, ...], directory: Path) -> list[str]:
    """Put our scripts there; hooks that are there already are kept and run first.

    Returns:
        What was done, a line each.

    Raises:
        UsageError: the hooks are part of the repository.
        ConfigError: something is in the way, or the folder cannot be written.
    """
    refuse_committed(place, hooks)
    try:
        with _Folder(place).at_work() as folder:
            done = [folder.install(hook) for hook in hooks]
            if place.hands_over:
                done += folder.hand_over()
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
    folder = _Folder(place)
    if not folder.has_ours():
        return []
    try:
        with folder.at_work():
            done = [line for hook in hooks if (line := folder.uninstall(hook))]
            if place.hands_over and done:
                done += folder.leave_for_all(directory)
        done += folder.remainder()
        if place.hands_over and done:
            with suppress(OSError):  # it is not empty
                place.folder.rmdir()
    except OSError as error:
        raise _cannot(place.folder, error) from None
    return done


def state(place: Place) -> dict[str, str]:
    """Return how each of our hooks is: `current`, `outdated` (of another version or interpreter) or `absent`."""
    found, folder = {}, _Folder(place)
    for hook in HOOKS:
        path = place.folder / hook
        if not is_ours(path) or not _reviews(path):
            found[hook] = ABSENT
        else:
            found[hook] = CURRENT if path.read_bytes() == folder.text(hook) else OUTDATED
    return found


class _Folder:
    """The hooks folder and the hooks before ours, during one install or uninstall."""

    def __init__(self, place: Place) -> None:
        self._at = place
        self._hooks = place.folder.resolve()
        self._saved = SavedHooks(self._hooks)
        self._work = self._hooks

    @contextmanager
    def at_work(self) -> Iterator[_Folder]:
        """Keep others out, and first put back what an interrupted run has left."""
        with exclusive.locked(self._hooks):
            exclusive.recover(self._hooks, is_needless=self._is_needless)
            try:
                with exclusive.work_folder(self._hooks) as self._work:
                    yield self
            except (KiloReviewError, OSError):
                with suppress(OSError):  # the error is the news
                    self._saved.tidy()
                raise
            self._saved.tidy()

    def text(self, hook: str) -> bytes:
        """Return our script."""
        place = self._at
        return os.fsencode(
            script.review(hook, _interpreter(), self._hooks.name, for_all=place.for_all, hands_over=place.hands_over)
        )

    def has_ours(self) -> bool:
        """Tell whether there is anything to take away or to put back."""
        return (
            self._saved.folder.exists()
            or any(is_ours(self._hooks / hook) or os.path.lexists(self._old(hook)) for hook in HOOKS)
            or any(self._hooks.glob(f"{exclusive.OWN}*"))
        )

    def install(self, hook: str) -> str:
        """Put our script in its place; the hook that is there is kept, and called by it."""
        path, shown = self._hooks / hook, self._shown(hook)
        if path.is_dir():
            raise ConfigError(f"{shown} is a folder", hint="Move it away")
        text = self.text(hook)
        self._adopt(hook)
        if is_ours(path):
            line = self._update(path, text)
        elif os.path.lexists(path):
            self._install_over(path, self._new(text))
            line = f"{shown} is installed"
        else:
            exclusive.move_new(self._new(text), path)
            line = f"{shown} is installed"
        self._drop(self._old(hook), self._saved.path(hook))
        if not line.endswith("is installed") or not self._saved.has(hook):
            return line
        return f"{line}; the hook that was there runs first ({self._shown_saved(hook)})"

    def _update(self, path: Path, text: bytes) -> str:
        if path.read_bytes() == text:
            return f"{self._shown(path.name)} is installed already"
        exclusive.swap(path, self._new(text), self._work, is_expected=is_ours)
        return f"{self._shown(path.name)} is up to date again"

    def _install_over(self, path: Path, new: Path) -> None:
        hook, saved = path.name, self._saved.path(path.name)
        if self._saved.has(hook) and not exclusive.is_same(saved, path):
            raise ConfigError(
                f"{self._shown_saved(hook)} is in the way: the hook that is there now would be moved to it",
                hint="Move one of the two away",
            )
        self._saved.prepare(is_in_worktree=self._at.top is not None)
        is_kept = is_done = False
        try:
            if not exclusive.is_same(saved, path):  # else an interrupted run has done this
                self._saved.keep(path, hook)
                is_kept = True
            if os.path.lexists(path):
                exclusive.swap(path, new, self._work, is_expected=lambda aside: exclusive.is_same(aside, saved))
            else:  # no second name could be had
                exclusive.move_new(new, path)
            is_done = True
        finally:
            if not is_done and not os.path.lexists(path):
                exclusive.put_back(saved, path)
            elif not is_done and is_kept:
                self._drop(saved, path)

    def uninstall(self, hook: str) -> str:
        """Take our script away, and put back the hook that was there before."""
        self._adopt(hook)
        path = self._hooks / hook
        if not os.path.lexists(path):
            line = self._restore(hook) if self._saved.has(hook) else ""
        elif is_ours(path):
            line = self._take_away(path)
        else:
            self._drop(self._saved.path(hook), path)  # an interrupted install has left it
            line = ""
            if self._saved.has(hook):
                line = (
                    f"{self._shown(hook)} is not ours any more and stays; "
                    f"the hook before it is {self._shown_saved(hook)}"
                )
        self._drop(self._old(hook), path)
        return line

    def _restore(self, hook: str) -> str:
        exclusive.move(self._saved.path(hook), self._hooks / hook)
        return f"{self._shown(hook)} is again what it was"

    def _take_away(self, path: Path) -> str:
        hook = path.name
        if self._saved.has(hook):
            exclusive.swap(path, self._saved.path(hook), self._work, is_expected=is_ours)
            return f"{self._shown(hook)} is again what it was"
        forward = script.forward(hook).encode() if self._at.hands_over else None
        if path.read_bytes() == forward:
            return ""
        new = None if forward is None else self._new(forward)
        exclusive.swap(path, new, self._work, is_expected=is_ours)
        return f"{self._shown(hook)} is taken away"

    def remainder(self) -> list[str]:
        """Tell what stays of the folder of former hooks, though none of ours is left."""
        folder = self._saved.folder
        if not folder.is_dir() or any(is_ours(self._hooks / hook) or self._saved.has(hook) for hook in HOOKS):
            return []
        return [f"{escaped_path(str(folder))} stays: it has files that also exist beside the hooks"]

    def hand_over(self) -> list[str]:
        """Put scripts that hand over to the repository's own hooks where no hook is.

        Returns:
            A line for each hook of the user's that stays.
        """
        kept = []
        for hook in FORWARDED:
            path = self._hooks / hook
            if not os.path.lexists(path):
                exclusive.move_new(self._new(script.forward(hook).encode()), path)
            elif not is_ours(path):
                kept.append(f"{self._shown(hook)} is not ours and stays; it runs instead of the repository's own")
        return kept

    def leave_for_all(self, directory: Path) -> list[str]:
        """Remove the scripts that hand over, when the last of our reviews is gone."""
        if any(is_ours(self._hooks / hook) and _reviews(self._hooks / hook) for hook in HOOKS):
            return []
        present = [hook for hook in FORWARDED if os.path.lexists(self._hooks / hook)]
        theirs = [hook for hook in present if not is_ours(self._hooks / hook)]
        if theirs:
            return [f"core.hooksPath stays set, for hooks there that are not ours: {', '.join(theirs)}"]
        Git(directory, pinned=False).run("config", "--global", "--unset", "core.hooksPath", ok=(0, 5))
        for hook in present:
            exclusive.swap(self._hooks / hook, None, self._work, is_expected=is_ours)
        return ["core.hooksPath is unset: each repository has its own hooks again"]

    def _adopt(self, hook: str) -> None:
        """Take over a former hook from where an earlier version kept it: beside ours, with another name."""
        if os.path.lexists(self._old(hook)) and not self._saved.has(hook):
            self._saved.prepare(is_in_worktree=self._at.top is not None)
            self._saved.keep(self._old(hook), hook)

    def _old(self, hook: str) -> Path:
        return self._hooks / (hook + script.SAVED)

    @staticmethod
    def _drop(second: Path, first: Path) -> None:
        """Remove the second name of a file."""
        if exclusive.is_same(second, first):
            second.unlink()

    def _is_needless(self, aside: Path) -> bool:
        others = (self._hooks / aside.name, self._saved.path(aside.name))
        return is_ours(aside) or any(exclusive.is_same(aside, other) for other in others)

    def _new(self, text: bytes) -> Path:
        """Write a script, executable, into our own folder."""
        path = self._work / "new"
        with path.open("wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        path.chmod(0o777 & ~_umask())
        return path

    def _shown(self, hook: str) -> str:
        return escaped_path(str(self._at.folder / hook))

    def _shown_saved(self, hook: str) -> str:
        return escaped_path(f"{self._saved.folder.name}/{hook}")


def _reviews(path: Path) -> bool:
    return path.read_bytes() != script.forward(path.name).encode()


def _interpreter() -> str:
    """Return the Python that runs now.

    Raises:
        ConfigError: it has a name that a script cannot hold.
    """
    if not sys.executable or "\n" in sys.executable:
        raise ConfigError(f"the interpreter's path {sys.executable!a} cannot stand in a script")
    return sys.executable


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _cannot(folder: Path, error: OSError) -> ConfigError:
    name = escaped_path(os.fsdecode(error.filename or str(folder)))
    if folder.is_char_device():
        return ConfigError(
            f"core.hooksPath is {escaped_path(str(folder))}, which is no folder: hooks are switched off",
            hint="Unset it: git config --unset core.hooksPath",
        )
    return ConfigError(f"{name} cannot be written ({error.strerror or error})", hint="Is the hooks folder yours?")
