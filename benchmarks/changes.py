"""The changes that are measured, made anew for each run."""

from __future__ import annotations

import subprocess
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = ("-c", "user.name=Bench", "-c", "user.email=bench@example.invalid")
FILES = 900
COMMON_LINES = ("", "", "    }", "    return None", "        continue", "    else:", '    """', "import os")
"""Lines that stand everywhere, as in real code: they are what makes git look for the right match."""


def standard_change(folder: Path) -> Path:
    """2 lines in 1 file, staged."""
    before = "class Cart:\n    def __init__(self, items):\n        self.items = items\n\n    def mean(self):\n"
    _init(folder)
    (folder / "cart.py").write_text(before + "        return sum(self.items)\n")
    _git(folder, "add", "-A")
    _git(folder, *IDENTITY, "commit", "-qm", "first")
    (folder / "cart.py").write_text(
        before + "        total = sum(self.items)\n        return total / len(self.items)\n"
    )
    _git(folder, "add", "-A")
    return folder


def reviewed_commits(folder: Path, number: int) -> tuple[Path, Path]:
    """A repository with so many commits that its remote lacks, and what git tells a pre-push hook of them."""
    _init(folder)
    for count in range(number):
        (folder / f"module{count}.py").write_text(f"def area(width):\n    return width * {count}\n")
        _git(folder, "add", "-A")
        _git(folder, *IDENTITY, "commit", "-qm", f"commit {count}")
        if count == 0:
            _git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    ids = subprocess.run(
        ("git", "rev-parse", "HEAD", "refs/remotes/origin/main"), cwd=folder, check=True, capture_output=True, text=True
    ).stdout.split()
    lines = folder.with_suffix(".stdin")
    lines.write_text(f"refs/heads/main {ids[0]} refs/heads/main {ids[1]}\n")
    return folder, lines


def with_rules(folder: Path, number: int) -> Path:
    """The standard change in a project with so many rules, of which two are about it."""
    standard_change(folder)
    rules = folder / ".kilo-review" / "rules"
    rules.mkdir(parents=True)
    for count in range(number):
        about = '["cart.py"]' if count < 2 else f'["module{count}/**/*.ts"]'
        text = f"Money is a whole number of cents, never a float; see ADR {count}.\n" * 3
        (rules / f"rule{count:02}.md").write_text(f"---\nglobs: {about}\n---\n{text}")
    return folder


def huge_change(folder: Path, lines: int) -> tuple[Path, str, str]:
    """A repository and two commits between which about `lines` lines differ, in thousands of hunks."""
    _init(folder)
    per_file = lines // FILES
    old = _commit(folder, per_file, changed=False)
    new = _commit(folder, per_file, changed=True)
    return folder, old, new


def many_hunks(folder: Path, number: int, *, lines: int) -> Path:
    """A repository where so many hunks are staged, each with so many new lines."""
    _init(folder)
    per_file = 50 if number > 1000 else 1
    old = "".join(f"kept_{line} = {line}\n" * 10 for line in range(per_file))
    for count in range(number // per_file):
        (folder / f"module{count:04}.py").write_text(old)
    _git(folder, "add", "-A")
    _git(folder, *IDENTITY, "commit", "-qm", "before")
    for count in range(number // per_file):
        new = ("".join(f"added_{count}_{at}_{line} = {line}\n" for line in range(lines)) for at in range(per_file))
        text = "".join(f"kept_{at} = {at}\n" * 10 + each for at, each in enumerate(new))
        (folder / f"module{count:04}.py").write_text(text)
    _git(folder, "add", "-A")
    return folder


def _commit(folder: Path, lines: int, *, changed: bool) -> str:
    for number in range(FILES):
        path = folder / f"package{number % 30}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        old, new = _versions(number, lines)
        path.write_text("\n".join(new if changed else old) + "\n")
    _git(folder, "add", "-A")
    _git(folder, *IDENTITY, "commit", "-qm", "changed" if changed else "first")
    return subprocess.run(
        ("git", "rev-parse", "HEAD"), cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _versions(number: int, wanted: int) -> tuple[list[str], list[str]]:
    """Two versions of a file, `wanted` changed lines apart: insertions, removals and rewritten lines, mixed."""
    random = Random(number)  # the same change on every machine
    old: list[str] = []
    new: list[str] = []
    changed = 0
    while changed < wanted:
        same = [_line(random) for _ in range(random.randint(8, 60))]
        removed = [_line(random) for _ in range(random.choice((0, 1, 2, 5, 30)))]
        added = [_line(random) for _ in range(random.choice((0, 1, 3, 8, 60)))]
        old += same + removed
        new += same + added
        changed += len(removed) + len(added)
    return old, new


def _line(random: Random) -> str:
    if random.random() < 0.3:
        return random.choice(COMMON_LINES)
    return f"    value_{random.randint(0, 999)} = compute({random.randint(0, 99)}, other_{random.randint(0, 99)})"


def _init(folder: Path) -> None:
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(("git", *arguments), cwd=folder, check=True, stdout=subprocess.DEVNULL)
