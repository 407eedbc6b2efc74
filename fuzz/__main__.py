"""`make fuzz`: every target for its share of the time; how many inputs it ran, and what it found."""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from fuzz.findings import NOTHING, described, last_line
from fuzz.targets import PLACES, load

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "fuzz"
FAST = Path("/dev/shm")
SECONDS = 60
GRACE_SECONDS = 90
"""To start, and to end an input that takes too long."""
ARTIFACTS = ("crash-*", "timeout-*", "oom-*")
FOUND, INTERRUPTED = 1, 130


class Result(NamedTuple):
    """What came of one target.

    Attributes:
        name: of the target.
        executions: inputs run.
        seconds: that it took.
        corpus: inputs that brought new coverage, those of earlier runs included.
        features: what libFuzzer counts as coverage: edges, and how often they were passed.
        findings: files, each with its exception.
    """

    name: str
    executions: int
    seconds: float
    corpus: int
    features: int
    findings: tuple[tuple[Path, str], ...]


def main() -> int:
    given = _arguments()
    if given.list:
        for name in PLACES:
            print(f"  {name:<14} {_oracle(name)}")
        return 0
    if given.replay:
        told = described(load(given.replay.resolve().parent.name), given.replay.read_bytes())
        print(told)
        return 0 if told.endswith(f"{NOTHING}\n") else FOUND
    if find_spec("atheris") is None:
        print("atheris is not installed (make fuzz does that where it can be had): chance alone leads the search\n")
    names = list(dict.fromkeys(given.target)) or list(PLACES)
    seed = given.seed or random.randrange(1, 2**31)
    share = max(1, given.seconds // len(names))
    print(f"{_several(len(names), 'target')}, {share} s each; seed {seed}; inputs and findings in {_shown(CACHE)}\n")
    return fuzz(names, share, seed, *(("--undirected",) if given.undirected else ()))


def fuzz(names: list[str], share: int, seed: int, *more: str) -> int:
    """Run the targets one after the other, with more options for the child; the exit code."""
    print(f"  {'target':<14} {'executions':>11} {'a second':>9} {'corpus':>7} {'features':>9} {'findings':>9}")
    results: list[Result] = []
    try:
        for name in names:
            results.append(run(name, CACHE / name, share, seed, *more))
            _row(results[-1])
    except KeyboardInterrupt:
        print("\ninterrupted")
        return INTERRUPTED
    findings = [found for result in results for found in result.findings]
    total = sum(result.executions for result in results)
    print(f"\n{total:,} executions, {_several(len(findings), 'finding') if findings else 'no findings'}")
    for path, told in findings:
        print(f"  {_shown(path)}: {told}")
    if findings:
        print("  one again: python -m fuzz --replay FILE")
    return FOUND if findings else 0


def run(name: str, folder: Path, seconds: int, seed: int, *more: str) -> Result:
    """Run one target in a child, and read what it left."""
    _make_room(folder)
    limits = ("--seconds", str(seconds), "--seed", str(seed))
    command = (sys.executable, "-m", "fuzz.child", name, str(folder), *limits, *more)
    log = folder / "log"
    place = FAST if os.access(FAST, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="kilo-fuzz-", dir=place) as scratch, log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=_hermetic(Path(scratch)), stdout=output, stderr=output)
        try:
            code: int | None = process.wait(seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.kill()
            process.wait()
    return read_log(name, folder, log.read_text(errors="replace"), seconds, code)


def read_log(name: str, folder: Path, log: str, seconds: int, code: int | None) -> Result:
    """What libFuzzer says of itself, and the files that lie there."""
    runs = re.findall(r"^stat::number_of_executed_units:\s*(\d+)|^#(\d+)\s", log, re.MULTILINE)
    state = re.findall(r" ft: (\d+) corp: (\d+)/", log)
    executions = int(next(filter(None, runs[-1]))) if runs else 0
    features, corpus = (int(number) for number in state[-1]) if state else (0, len(list(folder.glob("corpus/*"))))
    took = re.search(r"^Done \d+ runs in (\d+) second", log, re.MULTILINE)
    found = [
        (path, last_line(path.with_suffix(".txt").read_text()))
        for path in sorted(folder.glob("finding-*"))
        if not path.suffix
    ]
    found += [
        (path, f"libFuzzer stopped at it: {path.name.partition('-')[0]}")
        for pattern in ARTIFACTS
        for path in folder.glob(pattern)
    ]
    if not found and (code != 0 or not executions):
        end = "was killed, since it did not end" if code is None else f"ended with {code}"
        found = [(folder / "log", f"the fuzzer itself {end}: {last_line(log)}")]
    return Result(name, executions, float(took[1]) if took else seconds, corpus, features, tuple(found))


def _make_room(folder: Path) -> None:
    """Findings of earlier runs become inputs of this one, which finds them again if they are still there."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for pattern in ("finding-*", *ARTIFACTS):
        for path in folder.glob(pattern):
            if path.suffix == ".txt":
                path.unlink()
            else:
                path.replace(corpus / path.name)


def _hermetic(scratch: Path) -> dict[str, str]:
    """No configuration of the user's, and a folder in memory for what is written on the way."""
    foreign = ("GIT_", "KILO_REVIEW_", "OLLAMA_", "COVERAGE", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(scratch), "TMPDIR": str(scratch)}
    return kept | own | {"PYTHONPATH": str(ROOT)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for all targets together")
    parser.add_argument(
        "--target", action="append", default=[], choices=PLACES, metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the mutations; the corpus of earlier runs counts as well"
    )
    parser.add_argument("--undirected", action="store_true", help="without atheris, even if it is there")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="tell what an input stands for and what comes of it"
    )
    return parser.parse_args()


def _oracle(name: str) -> str:
    return load(name).oracle


def _row(result: Result) -> None:
    pace = f"{result.executions / max(result.seconds, 1):,.0f}"
    figures = f"{result.executions:>11,} {pace:>9} {result.corpus:>7,} {result.features:>9,} {len(result.findings):>9}"
    print(f"  {result.name:<14} {figures}", flush=True)


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
