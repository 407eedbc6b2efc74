"""One target under atheris, in a process of its own: `atheris.Fuzz` never returns."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from fuzz.findings import Findings
from fuzz.target import DRAWN, RAW, Target
from fuzz.targets import load

SLOWEST_SECONDS = 20
LARGEST_MIB = 3072
LONGEST_INPUT = 8192
LONGEST_WORD = 60
"""libFuzzer's own limit is 64."""
DRAWN_INPUTS = 24
STARTED = time.monotonic()


def main() -> None:
    import atheris  # noqa: PLC0415  the suite imports this module's neighbours without it

    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    with atheris.instrument_imports(include=["kilo_review"]):
        target = load(given.name)
    corpus = given.folder / "corpus"
    begin(corpus, target, given.seed)
    words = given.folder / "words"
    words.write_text("".join(dictionary(target)) or "#\n")
    left = max(1, given.seconds - int(time.monotonic() - STARTED))
    options = [
        *(f"-max_total_time={left}", f"-seed={given.seed}", f"-dict={words}", f"-artifact_prefix={given.folder}/"),
        *(f"-timeout={SLOWEST_SECONDS}", f"-rss_limit_mb={LARGEST_MIB}", f"-max_len={LONGEST_INPUT}"),
        *("-report_slow_units=1000", "-len_control=0", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], str(corpus), *options], Findings(target, given.folder))
    atheris.Fuzz()


def begin(corpus: Path, target: Target, seed: int) -> None:
    """Put into the corpus what every run begins with."""
    corpus.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    drawn = [DRAWN + chance.randbytes(chance.choice([60, 300, 1500, 4000])) for _ in range(DRAWN_INPUTS)]
    for number, data in enumerate([*(RAW + given for given in target.seeds), *drawn]):
        (corpus / f"begin-{number:02}").write_bytes(data)


def dictionary(target: Target) -> list[str]:
    """The target's words in libFuzzer's form."""
    short = [word for word in target.words if 0 < len(word) <= LONGEST_WORD]
    return ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in short]


if __name__ == "__main__":
    main()
