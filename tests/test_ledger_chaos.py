"""Eight hooks at once on one repository, killed at random moments, round after round: nothing lies, nothing is lost."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from kilo_review.ledger.codec import entries_from_blob
from tests.fakes.base import NOTHING_FOUND
from tests.fakes.ollama import Model, Ollama
from tests.hooked import by_server

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Repo

ROUNDS = int(os.environ.get("KILO_TEST_ROUNDS", "50"))
AT_ONCE = 8
FILES = 6


def everything(repo: Repo) -> dict[str, Any]:
    """Hashes of all files of the user, and of the index as git reads it."""
    files = {
        str(path.relative_to(repo.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(repo.path.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }
    index = hashlib.sha256((repo.path / ".git" / "index").read_bytes()).hexdigest()
    return files | {"index": index, "entries": repo.git("ls-files", "-s").stdout}


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kilo_review", "hook", "pre-commit"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_eight_hooks_at_once_are_killed_at_random(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    truth: set[str] = set()
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> str:
        """Takes a moment, and writes down which marks the question held."""
        time.sleep(chance.random() * 0.05)
        with lock:
            truth.update(word for word in body["messages"][-1]["content"].split() if word.startswith("mark_"))
        return NOTHING_FOUND

    monkeypatch.setenv("KILO_REVIEW_MAX_SECONDS", "20")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    repo.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"))
    counts = {"rounds": ROUNDS, "runs": 0, "killed": 0}
    begin = time.monotonic()
    with Ollama(models=[Model("qwen2.5-coder:7b", loaded_window=2100)], answer=answer) as server:
        for name, value in by_server(server).items():
            monkeypatch.setenv(name, value)
        for round_number in range(ROUNDS):
            for number in range(FILES):
                mark = f"mark_{round_number}_{number}"
                repo.stage(f"m{number}.py", f"{mark} = 1\n" + f"value = {round_number}\n" * 40)
            repo.write("m0.py", f"unstaged_{round_number} = 1\n")
            (tmp_path / "linked" / "l.py").write_text(f"mark_{round_number}_linked = 1\n")
            subprocess.run(["git", "add", "-A"], cwd=tmp_path / "linked", check=True)
            for folder in (repo.path, tmp_path / "linked"):  # so that the trees can be read when they are checked
                subprocess.run(["git", "write-tree"], cwd=folder, check=True, capture_output=True)
            before = everything(repo)
            running = [start(repo.path if n % 4 else tmp_path / "linked") for n in range(AT_ONCE)]
            counts["runs"] += len(running)
            chance.shuffle(running)
            for process in running[: AT_ONCE * 3 // 4]:
                time.sleep(chance.random() * 0.12)
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    counts["killed"] += 1
            for process in running:
                process.wait(60)
            assert everything(repo) == before, f"seed {seed}"
            check(repo, truth, seed)
    counts["receipts"], counts["verdicts"], counts["unreviewed"] = check(repo, truth, seed)
    counts["seconds"] = round(time.monotonic() - begin)
    counts["temporary folders left by killed runs"] = len(list((tmp_path / "tmp").iterdir()))
    sys.stdout.write(f"{counts}\n")
    record_property("chaos", counts)
    assert counts["killed"] > ROUNDS
    assert counts["receipts"] > 0


def check(repo: Repo, truth: set[str], seed: int) -> tuple[int, int, int]:
    """The ledger opens, is whole, and no receipt claims a hunk that the server did not answer for."""
    path = repo.path / ".git" / "kilo-review" / "ledger.sqlite3"
    if not path.exists():
        return 0, 0, 0
    database = sqlite3.connect(path, timeout=10)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), f"seed {seed}"
    receipts = database.execute("SELECT head, entries FROM receipts").fetchall()
    for head, blob in receipts:
        for entry in entries_from_blob(blob):
            words = set(repo.out("show", f"{head}:{entry.path}").split())
            marks = {word for word in words if word.startswith("mark_")}
            assert marks, entry
            assert marks <= truth, f"seed {seed}"
    verdicts, unreviewed = (
        database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("verdicts", "unreviewed")
    )
    assert not path.with_name(path.name + ".damaged").exists()
    database.close()
    return len(receipts), verdicts, unreviewed
