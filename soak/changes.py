"""A real repository whose staged change is another one in each review; every changed line has a mark of its own.

By its mark a line is known wherever it turns up: in git's own diff, in a prompt, in a finding.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

MARK = re.compile(r"\bkw_\d+_\d+\b")
FILES = ("app/cart.py", "app/queue.go", "lib/n\u00e4ive name.js", "notes.txt", "core/engine.rs", "web/form.ts")
BLOCKS = 5
BLOCK_LINES = 14
EDITED_LINE = 6
"""Of a block: far enough from those of its neighbours for a hunk of its own."""
MOST_HUNKS = 12
DECEPTIVE = "\u202e"
LONG_LINE = 8000
"""Characters, more than a narrow window has room for."""
DIFF = (
    *("-c", "core.quotePath=false", "diff", "--cached", "-U3", "--inter-hunk-context=0", "-M50%", "--no-color"),
    *("--no-ext-diff", "--diff-algorithm=histogram", "--indent-heuristic", "--src-prefix=a/", "--dst-prefix=b/"),
)
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")


class Hunk(NamedTuple):
    """One hunk as git tells it: its place on the new side, and the marks of its changed lines."""

    path: str
    start: int
    end: int
    marks: frozenset[str]
    is_long: bool = False
    """It has a line that no narrow window has room for."""
    deceptive: frozenset[str] = frozenset()
    """Marks of added lines that show a reader something else than the compiler gets."""

    def with_line(self, line: str) -> Hunk:
        """The same, with another changed line."""
        marks = set(MARK.findall(line))
        deceptive = marks if line.startswith("+") and DECEPTIVE in line else set()
        return self._replace(
            marks=self.marks | marks,
            is_long=self.is_long or len(line) > LONG_LINE,
            deceptive=self.deceptive | deceptive,
        )


@dataclass
class Workshop:
    """One repository. An episode is a few reviews of changes on the same base."""

    folder: Path
    _episode: int = -1
    _count: int = 0
    _base: dict[str, list[list[str]]] = field(default_factory=dict)
    _edits: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)
    _added: dict[str, list[str]] = field(default_factory=dict)

    def create(self) -> None:
        self.folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        for name, value in (("user.name", "Soak"), ("user.email", "soak@example.invalid"), ("gc.auto", "0")):
            self.git("config", name, value)

    def git(self, *arguments: str) -> str:
        done = subprocess.run(("git", *arguments), cwd=self.folder, check=True, capture_output=True)
        return done.stdout.decode()

    def begin(self, episode: int, chance: Random) -> None:
        """A new base, recorded; nothing is staged."""
        self._episode, self._count = episode, 0
        self._forget()
        files = chance.sample(FILES, chance.randint(2, len(FILES)))
        self._base = {path: [self._block(chance, number) for number in range(BLOCKS)] for path in files}
        self._write()
        self.git("commit", "-q", "--no-verify", "--allow-empty", "-m", f"episode {episode}")

    def alter(self, chance: Random) -> None:
        """Stage another change; about half of the hunks stay as they were."""
        if chance.random() < 0.3:
            self._forget()
        for place in list(self._edits):
            if chance.random() < 0.4:
                del self._edits[place]
        places = [(path, number) for path in self._base for number in range(BLOCKS)]
        wanted = chance.choice((1, 1, 2, 3, 4, 6, 9, MOST_HUNKS))
        for place in chance.sample(places, min(wanted, len(places))):
            if len(self._edits) < MOST_HUNKS:
                self._edits[place] = self._edited(chance, *place)
        self._alter_files(chance)
        self._write()

    def hunks(self) -> list[Hunk]:
        """What is staged, by git's word alone."""
        found: list[Hunk] = []
        path = old = ""
        for line in self.git(*DIFF).split("\n"):
            if line.startswith("--- "):
                old = line[4:].rstrip("\t")
            elif line.startswith("+++ "):
                new = line[4:].rstrip("\t")
                path = (old if new == "/dev/null" else new)[2:]
            elif match := _HUNK.match(line):
                start, length = int(match[1]), int(match[2] or 1)
                found.append(Hunk(path, start, start + max(length - 1, 0), frozenset()))
            elif found and line[:1] in {"+", "-"}:
                found[-1] = found[-1].with_line(line)
        return found

    # Content

    def _alter_files(self, chance: Random) -> None:
        if chance.random() < 0.12:
            self._added = {f"app/new_{self._count}.py": self._lines(chance, chance.randint(1, 30))}
        if chance.random() < 0.08:
            self._deleted = {chance.choice(sorted(self._base))}

    def _forget(self) -> None:
        self._edits, self._deleted, self._added = {}, set(), {}

    def _write(self) -> None:
        for old in (path for path in self.folder.rglob("*") if path.is_file()):
            if ".git" not in old.relative_to(self.folder).parts:
                old.unlink()
        for path, lines in self._content().items():
            place = self.folder / path
            place.parent.mkdir(exist_ok=True)
            place.write_text("\n".join(lines) + "\n")
        self.git("add", "-A")

    def _content(self) -> dict[str, list[str]]:
        kept = {path: blocks for path, blocks in self._base.items() if path not in self._deleted}
        found = dict(self._added)
        for path, blocks in kept.items():
            edited = (self._edits.get((path, number), block) for number, block in enumerate(blocks))
            found[path] = [line for block in edited for line in block]
        return found

    def _block(self, chance: Random, number: int) -> list[str]:
        return [f"def block_{number}(items):", *self._lines(chance, BLOCK_LINES - 2), ""]

    def _edited(self, chance: Random, path: str, number: int) -> list[str]:
        """A block with lines replaced, inserted or removed in its middle."""
        block = self._base[path][number]
        removed = chance.choice((0, 1, 1, 2))
        added = chance.choice((0, 1, 1, 2, 5, 20)) if removed else chance.choice((1, 2, 5, 20, 150))
        new = self._lines(chance, added)
        if chance.random() < 0.02:
            new.append(self._line(chance) + "  # " + "".join(chance.choices("abcdefgh ", k=LONG_LINE)))
        if chance.random() < 0.02:
            new.append(self._line(chance) + f"  # {DECEPTIVE}checked")
        return [*block[:EDITED_LINE], *new, *block[EDITED_LINE + removed :]]

    def _lines(self, chance: Random, number: int) -> list[str]:
        return [self._line(chance) for _ in range(number)]

    def _line(self, chance: Random) -> str:
        self._count += 1
        remark = chance.choice(("", "", "  # gr\u00f6\u00dfer als \U0001f600", "  // \u8a08\u7b97"))
        return f"    kw_{self._episode}_{self._count} = compute({chance.randint(0, 99)}) / share{remark}"
