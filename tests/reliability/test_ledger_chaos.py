"""Eight hooks at once on one repository, killed at random moments, round after round: nothing lies, nothing is lost."""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.ledger.codec import entries_from_blob
from tests.support.fakes.base import NOTHING_FOUND
from tests.support.fakes.ollama import Model, Ollama
from tests.support.hooked import PROGRAM, by_server

if TYPE_CHECKING:
    from tests.conftest import Repo

ROUNDS = int(os.environ.get("KILO_TEST_ROUNDS", "25"))
SEED = int(os.environ.get("KILO_TEST_SEED", "0")) or random.randrange(1, 10**6)
HOOKS = 5
COMMITS = 3
KILLED = (HOOKS + COMMITS) * 3 // 4
FILES = 6
BAFFLING = 0.03
_MARK = re.compile(r"^\s*\d+ \+ (mark_\w+) ", re.MULTILINE)


class Server(Ollama):
    """Takes a moment, has no words for some hunks, and keeps the truth: which ones it answered for."""

    def __init__(self) -> None:
        super().__init__(models=[Model("qwen2.5-coder:7b", loaded_window=2100)])
        self.answered: set[str] = set()
        self.answer = self._answer_in_a_moment
        self._chance = random.Random(SEED)
        self._lock = threading.Lock()

    def _answer_in_a_moment(self, body: dict[str, Any]) -> str:
        marks = _MARK.findall(body["messages"][-1]["content"])
        with self._lock:
            delay = self._chance.random() * 0.04
        time.sleep(delay)
        if not marks or any(map(baffles, marks)):  # without a mark, it is asked to say its "?" more clearly
            return "?"
        with self._lock:
            self.answered.update(marks)
        return NOTHING_FOUND


def baffles(mark: str) -> bool:
    """Whether the model never has an answer for this hunk."""
    return random.Random(f"{SEED} {mark}").random() < BAFFLING


class Pack:
    """The runs of one round: hooks by themselves and hooks of real commits, each known by its process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hooks: list[subprocess.Popen[bytes]] = []
        self.commits: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, trees: list[Repo], order: random.Random) -> None:
        begun = [("hook", order.choice(trees)) for _ in range(HOOKS)] + [("commit", tree) for tree in trees]
        order.shuffle(begun)
        for kind, tree in begun:
            if kind == "hook":
                command = [sys.executable, "-m", "kilo_review", "hook", "pre-commit"]
                self.hooks.append(self._started(command, tree))
            else:
                self.commits[tree.path.name] = self._started(["git", "commit", "-q", "-m", "change"], tree)

    def _started(self, command: list[str], tree: Repo) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=tree.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self, victim: int | str) -> bool:
        """Kill a hook, or the hook below a commit; git itself is left to find that out."""
        if isinstance(victim, int):
            process = self.hooks[victim]
            if process.poll() is not None:
                return False
            process.kill()
            return True
        try:
            pid = int((self.folder / victim).read_text())
            parent = re.search(r"^PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            if not parent or int(parent[1]) != self.commits[victim].pid:
                return False
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):  # it has not begun, or has ended
            return False
        return True

    def wait(self) -> list[str]:
        """Where commits were made."""
        for process in self.hooks:
            process.wait(60)
        made = [name for name, process in self.commits.items() if process.wait(60) == 0]
        for told in self.folder.iterdir():
            told.unlink()
        return made


def everything(tree: Repo) -> dict[str, Any]:
    """Hashes of all files of the user, and the entries of the index."""
    files = {
        str(path.relative_to(tree.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tree.path.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(tree.path).parts
    }
    return files | {"entries": tree.git("ls-files", "-s").stdout}


def prepare(tree: Repo, round_number: int) -> None:
    """Several files staged, some of them edited further, and a file that git does not know."""
    name = tree.path.name
    for number in range(FILES if name == "repo" else 2):
        mark = f"mark_{name}_{round_number}_{number}"
        tree.write(f"m{number}.py", f"{mark} = 1\n" + f"value = {round_number}\n" * 40)
    tree.git("add", "--", *(f"m{number}.py" for number in range(FILES if name == "repo" else 2)))
    tree.write("m0.py", f"unstaged_{round_number} = 1\n")
    tree.write("unknown.txt", f"{round_number}\n")
    tree.git("write-tree")  # so that the tree can be read when its receipt is looked at


@pytest.mark.long
def test_eight_hooks_at_once_are_killed_at_random(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    chance, told, temporary = random.Random(SEED), tmp_path / "told", tmp_path / "tmp"
    told.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    script = repo.path / ".git" / "hooks" / "pre-commit"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\necho $$ >"{told}/$(basename "$PWD")"\nexec {PROGRAM} hook pre-commit\n')
    script.chmod(0o755)
    trees = [repo]
    for name in ("left", "right"):
        repo.git("worktree", "add", "-q", "-b", name, str(tmp_path / name))
        trees.append(replace(repo, path=tmp_path / name))
    counts, begin = Counter(rounds=ROUNDS), time.monotonic()
    with Server() as server:
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        for round_number in range(ROUNDS):
            for tree in trees:
                prepare(tree, round_number)
            before = [everything(tree) for tree in trees]
            heads = {tree.path.name: tree.out("rev-parse", "HEAD") for tree in trees}
            pack = Pack(told)
            pack.start(trees, chance)
            killed = 0
            for victim in chance.sample([*range(HOOKS), *heads], KILLED):
                time.sleep(chance.random() * 0.15)
                killed += pack.kill(victim)
            made = pack.wait()
            counts.update(runs=HOOKS + COMMITS, kills=killed, commits=len(made))
            where = f"seed {SEED}, round {round_number}"
            assert [everything(tree) for tree in trees] == before, where
            for tree in trees:  # git has a hook that was killed for one that refuses
                is_same = tree.out("rev-parse", "HEAD") == heads[tree.path.name]
                assert is_same is (tree.path.name not in made), where
                if not is_same:  # what a hook lets pass is on record: as reviewed, or as not reviewed
                    assert tuple(tree.out("rev-parse", "HEAD^^{tree}", "HEAD^{tree}").split()) in on_record(repo), where
            found = check(repo, server.answered, where)
            counts["folders left by the killed"] = len(list(temporary.iterdir()))
            assert counts["folders left by the killed"] <= counts["kills"], where  # others leave nothing
            assert not list((repo.path / ".git").rglob("index.lock")), where
    counts.update(found, seconds=round(time.monotonic() - begin))
    sys.stdout.write(f"seed {SEED}: {dict(counts)}\n")
    record_property("chaos", dict(counts))
    assert counts["kills"] > ROUNDS
    assert counts["commits"]
    assert counts["receipts"]


def opened(repo: Repo) -> sqlite3.Connection:
    return sqlite3.connect(repo.path / ".git" / "kilo-review" / "ledger.sqlite3", timeout=10)


def on_record(repo: Repo) -> set[tuple[str, str]]:
    """Every change of which the ledger says something."""
    database = opened(repo)
    found = database.execute("SELECT base, head FROM receipts UNION SELECT base, head FROM unreviewed").fetchall()
    database.close()
    return set(found)


def check(repo: Repo, answered: set[str], where: str) -> dict[str, int]:
    """The ledger opens and is whole; no receipt claims a hunk that nobody answered for, no verdict has no answer."""
    path = repo.path / ".git" / "kilo-review" / "ledger.sqlite3"
    if not path.exists():
        return {}
    database = opened(repo)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), where
    receipts = database.execute("SELECT head, entries FROM receipts").fetchall()
    for head, blob in receipts:
        entries = entries_from_blob(blob)
        assert {entry.state for entry in entries} <= {"reviewed", "cached"}, where
        for entry in entries:
            (mark,) = re.findall(r"^mark_\w+", repo.out("show", f"{head}:{entry.path}"), re.MULTILINE)
            assert mark in answered, f"{where}: {mark}"
    verdicts, unreviewed = (
        database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("verdicts", "unreviewed")
    )
    database.close()
    assert verdicts <= len(answered), where
    assert not path.with_name(path.name + ".damaged").exists(), where
    return {"receipts": len(receipts), "verdicts": verdicts, "unreviewed": unreviewed}
