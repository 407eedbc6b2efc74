"""What git is in the middle of: a merge, a rebase, a commit that amends."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.source.repo import Repository

SEQUENCES = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert",
}
"""Files in the git directory, and what they are the sign of (git's builtin/commit.c, wt-status.c)."""
MOST_ANCESTORS = 16
"""A hook is a few processes below `git commit`: a shell, a framework, its launcher."""
PS_SECONDS = 1.0
_AMEND = r"--am(?:e|en|end)?\Z"
_SHORT_WITH_VALUE = r"-[A-Za-z]*[mFcCt]\Z"
LONG_WITH_VALUE = frozenset({
    *("--message", "--file", "--author", "--date", "--template", "--reuse-message", "--reedit-message"),
    *("--fixup", "--squash", "--cleanup", "--pathspec-from-file", "--trailer"),
})  # fmt: skip
_HEX = r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z"


def sequence(repo: Repository) -> str:
    """Which sequence of commits is being replayed, such as "a rebase"; "" if none is."""
    return next((word for name, word in SEQUENCES.items() if (repo.layout.git_dir / name).exists()), "")


def merge_heads(repo: Repository) -> list[str]:
    """The commits that are being merged into HEAD; none if no merge is under way."""
    try:
        lines = (repo.layout.git_dir / "MERGE_HEAD").read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []
    return [line for line in lines if re.match(_HEX, line)]


def is_amend() -> bool:
    """Whether the `git commit` that started this process amends. Git tells its hooks nothing of it.

    So the words of the processes above are looked at. Where the system does not show them the answer is no, and
    the amended commit as a whole is reviewed at push.
    """
    for words in _ancestors(os.getppid()):
        if Path(words[0]).name in {"git", "git.exe"} and "commit" in words[1:]:
            return amends(words[words.index("commit") + 1 :])
        if Path(words[0]).name == "git-commit":
            return amends(words[1:])
    return False


def amends(arguments: Sequence[str]) -> bool:
    """Whether the arguments of `git commit` say --amend, in any form that git takes."""
    found, position = False, 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            break
        if re.match(_AMEND, word):
            found = True
        elif word == "--no-amend":
            found = False
        has_value = word in LONG_WITH_VALUE or re.match(_SHORT_WITH_VALUE, word)
        position += 2 if has_value else 1
    return found


def _ancestors(pid: int) -> Iterator[list[str]]:
    """The command lines of this process's ancestors, the nearest first."""
    for _ in range(MOST_ANCESTORS):
        if pid <= 1:
            return
        try:
            words, pid = _process(pid)
        except (OSError, ValueError, subprocess.SubprocessError):
            return
        if words and words[0]:
            yield words


def _process(pid: int) -> tuple[list[str], int]:
    """A process's command line and its parent."""
    folder = Path("/proc") / str(pid)
    if not folder.parent.joinpath("self").exists():
        return _process_by_ps(pid)
    words = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")[:-1]
    # `pid (name) state parent`, where the name may hold anything.
    after_name = (folder / "stat").read_bytes().rpartition(b")")[2].split()
    return words, int(after_name[1])


def _process_by_ps(pid: int) -> tuple[list[str], int]:
    """The same on systems without /proc; words with blanks fall apart, which hardly matters here."""
    command = ["/bin/ps", "-o", "ppid=,command=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, timeout=PS_SECONDS, check=True)  # noqa: S603  fixed words
    parent, *words = os.fsdecode(done.stdout).split()
    return words, int(parent)
