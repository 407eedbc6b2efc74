"""Whatever interrupts an install or comes between its steps, the user's hook is there afterwards, and runs once."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.core.errors import KiloReviewError
from kilo_review.hooks import exclusive, install
from kilo_review.hooks.place import Place
from kilo_review.hooks.script import HOOKS, MARKER, SAVED
from tests.support.foreign import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Repo

CALLS = ("link", "rename", "replace", "unlink", "mkdir", "rmdir", "symlink", "chmod", "open", "fsync")
"""How files are changed; each is a step."""
MOST_STEPS = 200


class Killed(BaseException):
    """The process ends here: from now on it does nothing."""


class Steps:
    """Counts the changes of files, and does something before one of them."""

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        self.at = at
        self.do = do
        self.count = 0
        self.is_on = False

    def called(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or (name == "open" and not arguments[1] & os.O_CREAT):
            return
        self.count += 1
        if self.count >= self.at:
            self.do()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with steps(n, do):` does something before each step from the n-th."""
    current: list[Steps] = []

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any, **named: Any) -> Any:
            for each in current:
                each.called(name, arguments)
            return original(*arguments, **named)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(name))

    @contextmanager
    def started(at: int, do: Callable[[], None]) -> Iterator[Steps]:
        made = Steps(at, do)
        current.append(made)
        made.is_on = True
        try:
            yield made
        finally:
            made.is_on = False
            current.remove(made)

    return started


def install_here(repo: Repo) -> list[str]:
    return install.install(Place(repo.path / ".git" / "hooks"), ("pre-commit",), repo.path)


def uninstall_here(repo: Repo) -> list[str]:
    return install.uninstall(Place(repo.path / ".git" / "hooks"), HOOKS, repo.path)


@pytest.fixture
def hooks(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(exclusive, "MAX_WAIT", 0.0)
    monkeypatch.setattr(install, "refuse_committed", lambda *_: None)  # git is asked elsewhere
    monkeypatch.setattr(install, "_interpreter", lambda: "/bin/true")  # each review passes, and costs nothing
    folder = repo.path / ".git" / "hooks"
    folder.mkdir(exist_ok=True)
    return folder


def plain(hooks: Path) -> None:
    script(hooks / "pre-commit", 'case ${0##*/} in pre-commit) echo theirs >>"$RUNS" ;; esac')


def nothing(hooks: Path) -> None:
    """No hook is there."""


def linked(hooks: Path) -> None:
    script(hooks / "dispatcher", 'case ${0##*/} in pre-commit) echo theirs >>"$RUNS" ;; esac')
    (hooks / "pre-commit").symlink_to("dispatcher")


def renamed(hooks: Path) -> None:
    """As a former version has installed itself."""
    script(hooks / f"pre-commit{SAVED}", 'echo theirs >>"$RUNS"')
    script(hooks / "pre-commit", f'{MARKER}, version 1\n[ ! -x "$0{SAVED}" ] || exec "$0{SAVED}" "$@"')


KINDS = [plain, linked, renamed]


def runs(hooks: Path) -> list[str]:
    """Run the hook as git does; what it and the hooks before it have noted."""
    noted = hooks.parent / "runs"
    noted.unlink(missing_ok=True)
    path = hooks / "pre-commit"
    if os.access(path, os.X_OK):
        subprocess.run([path], cwd=hooks.parent.parent, env=os.environ | {"RUNS": str(noted)}, check=True)
    return noted.read_text().split() if noted.exists() else []


def holds(hooks: Path, text: str) -> list[Path]:
    """Where a hook with that text is now, by all its names."""
    found = []
    for path in [*hooks.rglob("*"), *(hooks.parent / f"hooks{SAVED}").rglob("*")]:
        is_theirs = path.is_symlink() and str(path.readlink()) == "dispatcher"
        with suppress(OSError):
            is_theirs |= not path.is_symlink() and path.is_file() and text in path.read_text()
        if is_theirs:
            found.append(path)
    return found


def picture(hooks: Path) -> dict[str, object]:
    """What the folder of hooks and its neighbours hold."""
    folders = (hooks, hooks.parent / f"hooks{SAVED}")
    return {
        str(path): (path.lstat().st_mode, str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for folder in folders
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def is_installed(hooks: Path) -> bool:
    path = hooks / "pre-commit"
    return path.is_file() and not path.is_symlink() and MARKER in path.read_text()


def prepared(repo: Repo, hooks: Path, make: Callable[[Path], None], action: str) -> Callable[[], object]:
    make(hooks)
    if action == "install":
        return lambda: install_here(repo)
    if make is not renamed:
        install_here(repo)
    return lambda: uninstall_here(repo)


def steps_of(run: Callable[[int], bool]) -> int:
    """Run with a disturbance at each step in turn, until there is no such step; how many there are."""
    for at in range(1, MOST_STEPS):
        if not run(at):
            return at - 1
    raise AssertionError("it does not end")


@pytest.fixture
def fresh(hooks: Path) -> Callable[[], None]:
    """Empties the folder of hooks."""

    def empty() -> None:
        for folder in (hooks, hooks.parent / f"hooks{SAVED}"):
            shutil.rmtree(folder, ignore_errors=True)
        hooks.mkdir()

    return empty


@pytest.mark.parametrize("has_links", [True, False])
@pytest.mark.parametrize("heal", [install_here, uninstall_here])
@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("make", KINDS, ids=lambda each: each.__name__)
def test_killed_between_any_two_steps(
    repo: Repo,
    hooks: Path,
    steps: Any,
    fresh: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    action: str,
    heal: Callable[[Repo], object],
    has_links: bool,
) -> None:
    def killed() -> None:
        raise Killed

    if not has_links:
        without_hard_links(monkeypatch)

    def run(at: int) -> bool:
        fresh()
        act = prepared(repo, hooks, make, action)
        with steps(at, killed) as made, suppress(Killed):
            act()
        assert holds(hooks, "theirs"), f"lost at step {at}"
        assert len(runs(hooks)) <= 1, f"twice at step {at}"
        heal(repo)
        assert runs(hooks) == ["theirs"], f"not healed at step {at}"
        assert is_installed(hooks) is (heal is install_here)
        uninstall_here(repo)
        assert runs(hooks) == ["theirs"]
        left = {path.name for path in hooks.iterdir()}
        assert left <= {"pre-commit", "dispatcher"}
        assert not (hooks.parent / f"hooks{SAVED}").exists()
        return bool(made.count >= at)

    assert steps_of(run) > 5


def without_hard_links(monkeypatch: pytest.MonkeyPatch, number: int = errno.EPERM) -> None:
    def refused(*arguments: Any, **named: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refused)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPERM])
@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("make", KINDS, ids=lambda each: each.__name__)
def test_any_system_call_fails(
    repo: Repo,
    hooks: Path,
    steps: Any,
    fresh: Callable[[], None],
    make: Callable[[Path], None],
    action: str,
    number: int,
) -> None:
    """Only one fails, and the rest goes on: whether it was an error is said, and the hook runs once."""

    def run(at: int) -> bool:
        fresh()
        act = prepared(repo, hooks, make, action)

        def fail_once() -> None:
            if made.count == at:
                raise OSError(number, os.strerror(number))

        with steps(at, fail_once) as made, suppress(KiloReviewError):
            act()
        assert runs(hooks) == ["theirs"], f"at step {at}"
        install_here(repo)
        assert (runs(hooks), is_installed(hooks)) == (["theirs"], True), f"at step {at}"
        uninstall_here(repo)
        assert runs(hooks) == ["theirs"], f"at step {at}"
        assert {path.name for path in hooks.iterdir()} <= {"pre-commit", "dispatcher"}
        return bool(made.count >= at)

    assert steps_of(run) > 5


@pytest.mark.parametrize("number", sorted(exclusive.NO_HARD_LINKS))
@pytest.mark.parametrize("make", KINDS, ids=lambda each: each.__name__)
def test_a_file_system_without_hard_links(
    repo: Repo, hooks: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], number: int
) -> None:
    without_hard_links(monkeypatch, number)
    make(hooks)
    install_here(repo)
    assert (runs(hooks), is_installed(hooks)) == (["theirs"], True)
    uninstall_here(repo)
    assert (runs(hooks), is_installed(hooks)) == (["theirs"], False)


SECOND = {"install": install_here, "uninstall": uninstall_here}


@pytest.mark.parametrize("lock", ["works", "is not there"])
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("make", KINDS, ids=lambda each: each.__name__)
def test_another_run_between_any_two_steps(
    repo: Repo,
    hooks: Path,
    steps: Any,
    fresh: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path], None],
    action: str,
    second: str,
    lock: str,
) -> None:
    if lock == "is not there":
        without_locks(monkeypatch)

    def run(at: int) -> bool:
        fresh()
        act = prepared(repo, hooks, make, action)
        said: list[str] = []

        def other() -> None:
            if made.is_on:
                made.is_on = False
                try:
                    SECOND[second](repo)
                except KiloReviewError as error:
                    said.append(error.message)

        with steps(at, other) as made:
            try:
                act()
            except KiloReviewError as error:
                said.append(error.message)
        is_reached = made.count >= at
        assert holds(hooks, "theirs"), f"lost at step {at}: {said}"
        assert runs(hooks) == ["theirs"], f"at step {at}: {said}"
        install_here(repo)
        assert (runs(hooks), is_installed(hooks)) == (["theirs"], True), f"at step {at}: {said}"
        uninstall_here(repo)
        assert (runs(hooks), is_installed(hooks)) == (["theirs"], False), f"at step {at}: {said}"
        return bool(is_reached)

    assert steps_of(run) > 5


@pytest.mark.parametrize("how", ["over it", "away and anew"])
@pytest.mark.parametrize("action", ["install", "uninstall"])
@pytest.mark.parametrize("make", [*KINDS, nothing], ids=lambda each: each.__name__)
def test_another_program_writes_the_hook_between_any_two_steps(
    repo: Repo,
    hooks: Path,
    steps: Any,
    fresh: Callable[[], None],
    make: Callable[[Path], None],
    action: str,
    how: str,
) -> None:
    """Its hook is never lost; that of the user is, only where the other program itself overwrites it."""

    def run(at: int) -> bool:
        fresh()
        act = prepared(repo, hooks, make, action)

        def other() -> None:
            made.is_on = False
            path = hooks / "pre-commit"
            if how == "over it":
                script(hooks / "theirs.tmp", 'echo second >>"$RUNS"').replace(path)
            elif not os.path.lexists(path):
                script(path, 'echo second >>"$RUNS"')
            else:
                path.rename(hooks / "pre-commit.legacy")
                script(path, 'echo second >>"$RUNS"; "$0.legacy"')

        with steps(at, other) as made, suppress(KiloReviewError):
            act()
        is_reached = made.count >= at
        if is_reached:
            assert holds(hooks, "second"), f"lost at step {at}"
            assert "second" in runs(hooks) or not os.path.lexists(hooks / "pre-commit"), f"off at step {at}"
        if make is not nothing and how == "away and anew":
            assert holds(hooks, "theirs"), f"lost at step {at}"
        return bool(is_reached)

    assert steps_of(run) > (2 if make is nothing and action == "uninstall" else 4)


@pytest.mark.long
def test_many_at_once(repo: Repo, hooks: Path, kilo: Any) -> None:
    plain(hooks)
    before = picture(hooks)
    started = [
        kilo.started(*words, env={})
        for words in (("install",), ("uninstall",), ("install",), ("install", "--hook", "pre-push"))
    ]
    for each in started:
        each.communicate(timeout=100)
    assert holds(hooks, "theirs")
    assert runs(hooks) == ["theirs"]
    assert kilo("uninstall").code == 0
    assert picture(hooks) == before


@pytest.mark.parametrize("lock", ["works", "is not there"])
def test_a_second_one_says_that_another_is_at_work(
    repo: Repo, hooks: Path, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    if lock == "is not there":
        without_locks(monkeypatch)
    with exclusive.locked(hooks), pytest.raises(KiloReviewError, match="is at work in") as caught:
        install_here(repo)
    assert "again when the other has ended" in caught.value.hint
    assert ("If there is none, remove" in caught.value.hint) is (lock != "works")
    assert not is_installed(hooks)
    install_here(repo)
    assert is_installed(hooks)
    assert not list(hooks.glob(f"{exclusive.OWN}*"))


def test_the_folder_is_removed_while_another_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `uninstall --global` does with ours: the lock of the one that waits is in the new folder."""
    folder = tmp_path / "hooks"
    original = fcntl.flock
    calls = []

    def removed(descriptor: int, operation: int) -> None:
        calls.append(operation)
        if len(calls) == 1:
            (folder / f"{exclusive.OWN}.lock").unlink()
            folder.rmdir()
        original(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed)
    with exclusive.locked(folder):
        assert (len(calls), [path.name for path in folder.iterdir()]) == (2, [f"{exclusive.OWN}.lock"])
    assert not list(folder.iterdir())


def test_a_planted_link_instead_of_the_folder_is_refused(repo: Repo, hooks: Path, tmp_path: Path) -> None:
    plain(hooks)
    (tmp_path / "elsewhere").mkdir()
    (hooks.parent / f"hooks{SAVED}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KiloReviewError, match="is in the way"):
        install_here(repo)
    assert runs(hooks) == ["theirs"]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_two_hooks_that_cannot_both_be_kept_are(repo: Repo, hooks: Path) -> None:
    plain(hooks)
    install_here(repo)
    script(hooks / "pre-commit", 'echo second >>"$RUNS"')
    with pytest.raises(KiloReviewError, match="is in the way"):
        install_here(repo)
    assert (runs(hooks), len(holds(hooks, "theirs"))) == (["second"], 1)
    assert any("stays" in line for line in uninstall_here(repo))
    assert (runs(hooks), len(holds(hooks, "theirs"))) == (["second"], 1)
    (hooks / "pre-commit").unlink()
    assert any("again what it was" in line for line in uninstall_here(repo))
    assert runs(hooks) == ["theirs"]


def test_a_hook_that_was_left_aside_and_replaced_is_not_overwritten(repo: Repo, hooks: Path) -> None:
    plain(hooks)
    script(hooks / f"{exclusive.OWN}-abc" / "pre-commit", 'echo aside >>"$RUNS"')
    for act in (install_here, uninstall_here):
        with pytest.raises(KiloReviewError, match="interrupted run has left the hook"):
            act(repo)
        assert (runs(hooks), len(holds(hooks, "aside"))) == (["theirs"], 1)
    (hooks / "pre-commit").unlink()
    install_here(repo)
    assert (runs(hooks), is_installed(hooks)) == (["aside"], True)


def test_the_folder_is_open_to_those_to_whom_the_hooks_are(repo: Repo, hooks: Path) -> None:
    plain(hooks)
    hooks.chmod(0o2775)
    current = os.umask(0o077)
    try:
        install_here(repo)
    finally:
        os.umask(current)
    assert (hooks.parent / f"hooks{SAVED}").stat().st_mode & 0o7777 == 0o2775


def test_nothing_to_uninstall_writes_nothing(repo: Repo, hooks: Path, steps: Any) -> None:
    with steps(1, lambda: None) as made:
        assert uninstall_here(repo) == []
    assert made.count == 0
