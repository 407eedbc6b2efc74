"""`make bench`: what the program costs, whole processes, each figure beside one measured in the same run.

Absolute times differ from machine to machine and hour to hour; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.changes import huge_change, many_hunks, reviewed_commits, standard_change, with_rules
from benchmarks.instant_server import BLOCKING, NOTHING, InstantServer
from benchmarks.slot_server import slot_server

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 5
COMMITS = 50
RULES = 50
SLOTS = 8
SLOT_SECONDS = 0.2
PROGRAM = (sys.executable, "-m", "kilo_review")
CLICK = (sys.executable, "-c", "import click")
MIB = 1024


class Cost(NamedTuple):
    """One process: wall seconds and peak memory in MiB."""

    seconds: float
    mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--lines", type=int, default=600_000, help="size of the huge change")
    arguments = parser.parse_args()
    _hermetic()
    with tempfile.TemporaryDirectory(prefix="kilo-bench-") as folder:
        start_up(Path(folder), arguments.runs)
        prompts(Path(folder))
        memory(Path(folder), arguments.runs)
        planning(Path(folder), arguments.lines)
        throughput(Path(folder))
        prefix_cache(Path(folder))


def start_up(folder: Path, runs: int) -> None:
    """The standard change against a server that answers at once, and nothing staged, beside `import click`."""
    repository = standard_change(folder / "standard")
    with InstantServer() as server:
        command = (*PROGRAM, "--provider", "ollama", "--base-url", server.url)
        report = json.loads(_output((*command, "--format", "json"), repository))
        standard, click = _paired((*command,), CLICK, repository, runs, before=lambda: _forget(repository))
        prompt_bytes = server.prompt_bytes
        chats = report["usage"]["requests"]
    subprocess.run(("git", "reset", "-q", "--hard"), cwd=repository, check=True)
    nothing, click_again = _paired(PROGRAM, CLICK, repository, runs)
    ratio, idle = _ratio(standard, click), _ratio(nothing, click_again)
    print("\nThe standard change: 2 lines in 1 file, staged; a loopback server that answers at once")
    _row("whole process", f"{_median(standard):.3f} s", f"{ratio:.2f} x import click", "at most 5, 4 if possible")
    _row("bare import click", f"{_median(click):.3f} s", "", "")
    _row("peak memory", f"{max(cost.mib for cost in standard):.1f} MiB", "", "at most 60")
    _row("chat requests", str(chats), "", "1")
    _row("prompt tokens", str(prompt_bytes // 4), "bytes / 4", "at most 900")
    _row("nothing staged", f"{_median(nothing):.3f} s", f"{idle:.2f} x import click", "at most 2.5")


def prompts(folder: Path) -> None:
    """Prompt tokens of the standard change: clean, with a finding that is put to the test, and with rules."""
    repository = standard_change(folder / "prompts")
    ruled = with_rules(folder / "ruled", RULES)
    clean, _, _ = _prompted(repository, NOTHING)
    blocking, requests, _ = _prompted(repository, BLOCKING)
    with_two, _, prompt = _prompted(ruled, NOTHING)
    sent = prompt.count("RULE rule")
    print("\nPrompt tokens of the standard change (bytes / 4), findings that would block being put to the test")
    _row("clean", str(clean), "1 request", "at most 900")
    _row("blocking", str(blocking), f"{requests} requests; {blocking - clean} more", "at most 700 more")
    _row(f"with {RULES} rules", str(with_two), f"{sent} of them sent; {with_two - clean} more", "2 sent")


def _prompted(repository: Path, answer: str) -> tuple[int, int, str]:
    """Prompt tokens of one review, its requests, and the last prompt."""
    with InstantServer(answer) as server:
        command = (*PROGRAM, "--provider", "ollama", "--base-url", server.url, "--no-cache")
        subprocess.run(command, cwd=repository, capture_output=True)
    return server.all_bytes // 4, server.chats, server.prompt


def memory(folder: Path, runs: int) -> None:
    """What was reviewed before, beside the standard change that was not: a re-run, and a push of many commits."""
    repository = standard_change(folder / "again")
    pushed, lines = reviewed_commits(folder / "pushed", COMMITS + 1)
    with InstantServer() as server:
        command = (*PROGRAM, "--provider", "ollama", "--base-url", server.url)
        standard, again = [], []
        for _ in range(runs + 1):  # the first of each is not counted
            _forget(repository)
            standard.append(_run(command, repository))
            again.append(_run(command, repository))
        _output((*PROGRAM, "catch-up", *command[3:]), pushed)
        before = server.chats
        push = (*PROGRAM, "hook", "pre-push", *command[3:], "origin", "../nowhere")
        pushes = [_run(push, pushed, stdin=lines) for _ in range(runs + 1)]
        asked = server.chats - before
    once = _median(standard[1:])
    print("\nWhat was reviewed before, beside the standard change that was not")
    _row("standard change", f"{once:.3f} s", "1 request", "")
    _row("the same again", f"{_median(again[1:]):.3f} s", f"{_median(again[1:]) / once:.2f} x that", "at most 1.2")
    pushing = _median(pushes[1:])
    _row(
        f"push of {COMMITS} commits",
        f"{pushing:.3f} s",
        f"{pushing / once:.2f} x that; {asked} requests",
        "at most 1.5, 0",
    )


def planning(folder: Path, lines: int) -> None:
    """`--dry-run` over a huge change, beside git's own patch of it."""
    repository, old, new = huge_change(folder / "huge", lines)
    git = ("git", "diff-tree", "-r", "-p", "-M", old, new)
    command = (*PROGRAM, f"{old}..{new}", "--dry-run", "--format", "json")
    counts = json.loads(_output(command, repository))["coverage"]
    total = sum(entry["added"] + entry["removed"] for entry in counts["entries"])
    planned, patch = _paired(command, git, repository, 3)
    print(f"\n--dry-run over {total:,} changed lines in {counts['files']:,} files and {counts['hunks']:,} hunks")
    _row("whole process", f"{_median(planned):.2f} s", f"{_ratio(planned, patch):.2f} x git diff-tree -p", "at most 3")
    _row("git diff-tree -p", f"{_median(patch):.2f} s", "", "")
    _row("peak memory", f"{max(cost.mib for cost in planned):.0f} MiB", "", "at most 500")


def throughput(folder: Path) -> None:
    """Many hunks, one in each request, against 8 slots of 200 ms; and very many, several in each, for the memory."""
    print(f"\nA loopback server that works on {SLOTS} requests at once, {SLOT_SECONDS} s for each (--jobs auto)")
    repository = many_hunks(folder / "many", 400, lines=190)
    with slot_server(SLOTS, SLOT_SECONDS) as url:
        command = (*PROGRAM, "--provider", "openai", "--base-url", url, "--no-cache")
        requests = json.loads(_output((*command, "--format", "json"), repository))["usage"]["requests"]
        cost = _run(command, repository)
    ideal = requests * SLOT_SECONDS / SLOTS
    _row(
        "400 hunks",
        f"{cost.seconds:.2f} s",
        f"{requests} requests; {cost.seconds / ideal:.2f} x the ideal",
        "at most 1.15",
    )
    repository = many_hunks(folder / "very-many", 10_000, lines=3)
    with slot_server(SLOTS, 0.0) as url:
        command = (*PROGRAM, "--provider", "openai", "--base-url", url, "--no-cache")
        requests = json.loads(_output((*command, "--format", "json"), repository))["usage"]["requests"]
        cost = _run(command, repository)
    _row("10,000 hunks", f"{cost.mib:.0f} MiB", f"{requests} requests in {cost.seconds:.1f} s", "at most 200 MiB")


def prefix_cache(folder: Path) -> None:
    """Several requests of one review to a real llama.cpp server: how much of the prompt is not read again."""
    repository = folder / "chunks"
    shutil.copytree(folder / "standard", repository)
    for number in range(3):
        (repository / f"m{number}.py").write_text("def area(width, height):\n    return width * height\n\n\n" * 40)
    subprocess.run(("git", "add", "-A"), cwd=repository, check=True)
    command = (*PROGRAM, "--provider", "embedded", "--option", "num_ctx=2048", "--option", "num_predict=48")
    done = subprocess.run((*command, "--format", "json"), cwd=repository, capture_output=True)
    print("\nPrefix cache of a real llama.cpp server (embedded engine), several requests in one review")
    if not done.stdout:
        print(f"  not measured: {done.stderr.decode().strip()}")
        return
    report = json.loads(done.stdout)
    usage = report["usage"]
    if not usage["requests"]:
        print(f"  not measured: {report['coverage']['entries'][0]['reason']}")
        return
    share = usage["cached_prompt_tokens"] / max(usage["prompt_tokens"], 1)
    _row("requests", str(usage["requests"]), "", "")
    _row(
        "prompt tokens", str(usage["prompt_tokens"]), f"{usage['cached_prompt_tokens']} of them cached", f"{share:.0%}"
    )


def _hermetic() -> None:
    """No configuration of the user's, and compiled modules as an installed program has them."""
    for name in list(os.environ):
        if name.startswith(("GIT_", "KILO_REVIEW_", "OLLAMA_", "PYTHONDONTWRITE", "PYTHONUNBUFFERED", "COVERAGE")):
            del os.environ[name]
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["XDG_CONFIG_HOME"] = os.devnull
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)


def _output(command: tuple[str, ...], folder: Path) -> bytes:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout


def _forget(repository: Path) -> None:
    """As if nothing had ever been reviewed here."""
    shutil.rmtree(repository / ".git" / "kilo-review", ignore_errors=True)


def _paired(
    one: tuple[str, ...],
    other: tuple[str, ...],
    folder: Path,
    runs: int,
    before: Callable[[], None] = lambda: None,
) -> tuple[list[Cost], list[Cost]]:
    """Both commands in turn, so that a machine that slows down slows both; one uncounted run each first."""
    pairs = []
    for _ in range(runs + 1):
        before()
        pairs.append((_run(one, folder), _run(other, folder)))
    return [first for first, _ in pairs[1:]], [second for _, second in pairs[1:]]


def _run(command: tuple[str, ...], folder: Path, stdin: Path | None = None) -> Cost:
    with (stdin or Path(os.devnull)).open("rb") as source:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(seconds, usage.ru_maxrss / MIB)


def _median(costs: list[Cost]) -> float:
    return statistics.median(cost.seconds for cost in costs)


def _ratio(one: list[Cost], other: list[Cost]) -> float:
    return _median(one) / _median(other)


def _row(name: str, figure: str, remark: str, wanted: str) -> None:
    print(f"  {name:<20} {figure:>12}   {remark:<28} {wanted}")


if __name__ == "__main__":
    main()
