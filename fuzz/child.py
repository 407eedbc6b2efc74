"""One target in a process of its own, under atheris where that is installed: `atheris.Fuzz` never returns."""

from __future__ import annotations

import argparse
import random
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fuzz import undirected
from fuzz.findings import Findings
from fuzz.target import DRAWN, RAW
from fuzz.targets import load

if TYPE_CHECKING:
    from fuzz.target import Target

SLOWEST_SECONDS = 20
LARGEST_MIB = 3072
LONGEST_INPUT = 8192
LONGEST_WORD = 60
"""libFuzzer's own limit is 64."""
DRAWN_INPUTS = 24
STARTED = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--undirected", action="store_true", help="without atheris, even if it is there")
    given = parser.parse_args()
    directed = find_spec("atheris") is not None and not given.undirected
    (_search if directed else _search_undirected)(given.name, given.folder, given.seconds, given.seed)


def _search_undirected(name: str, folder: Path, seconds: int, seed: int) -> None:
    target = load(name)
    begin(folder / "corpus", target, seed)
    beginning = [path.read_bytes() for path in sorted((folder / "corpus").iterdir())]
    undirected.search(Findings(target, folder), undirected.inputs_of(target, beginning, seed), _left(seconds))


def _search(name: str, folder: Path, seconds: int, seed: int) -> None:
    import atheris  # noqa: PLC0415  it is not everywhere

    with atheris.instrument_imports(include=["kilo_review"]):
        target = load(name)
    corpus = folder / "corpus"
    begin(corpus, target, seed)
    words = folder / "words"
    words.write_text("".join(dictionary(target)) or "#\n")
    options = [
        *(f"-max_total_time={_left(seconds)}", f"-seed={seed}", f"-dict={words}", f"-artifact_prefix={folder}/"),
        *(f"-timeout={SLOWEST_SECONDS}", f"-rss_limit_mb={LARGEST_MIB}", f"-max_len={LONGEST_INPUT}"),
        *("-report_slow_units=1000", "-len_control=0", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], Findings(target, folder))
    atheris.Fuzz()


def _left(seconds: int) -> int:
    return max(1, seconds - int(time.monotonic() - STARTED))


def begin(corpus: Path, target: Target, seed: int) -> None:
    """Put into the corpus what every run begins with."""
    corpus.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    drawn = [DRAWN + chance.randbytes(chance.choice(undirected.SIZES)) for _ in range(DRAWN_INPUTS)]
    for number, data in enumerate([*(RAW + given for given in target.seeds), *drawn]):
        (corpus / f"begin-{number:02}").write_bytes(data)


def dictionary(target: Target) -> list[str]:
    """The target's words in libFuzzer's form."""
    short = [word for word in target.words if 0 < len(word) <= LONGEST_WORD]
    return ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in short]


if __name__ == "__main__":
    main()
