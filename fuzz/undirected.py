"""The search where atheris cannot be had: the same two kinds of inputs, with nothing to lead it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from fuzz.target import DRAWN, RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fuzz.target import Target

SIZES = (60, 300, 1500, 4000)
"""Bytes that decide what a strategy draws."""
MOST_DAMAGES = 4
LONGEST_CUT = 40


def search(run: Callable[[bytes], None], inputs: Iterable[bytes], seconds: float) -> None:
    """Run inputs until the time is over, and tell how many in libFuzzer's words."""
    begun = time.monotonic()
    number = 0
    for data in inputs:
        run(data)
        number += 1
        if time.monotonic() - begun >= seconds:
            break
    print(f"Done {number} runs in {time.monotonic() - begun:.0f} second(s)")
    print(f"stat::number_of_executed_units: {number}")


def inputs_of(target: Target, beginning: Iterable[bytes], seed: int) -> Iterator[bytes]:
    """What every run begins with, then what chance makes of it."""
    chance = random.Random(seed)
    yield from (known := list(beginning))
    raw = [data[1:] for data in known if not data.startswith(DRAWN)] or [b""]
    while True:
        if target.raw is None or chance.random() < 0.5:
            yield DRAWN + chance.randbytes(chance.choice(SIZES))
        else:
            yield RAW + _damaged(chance.choice(raw), target.words, chance)


def _damaged(data: bytes, words: tuple[bytes, ...], chance: random.Random) -> bytes:
    """Some bytes cut out, and words, bytes or a piece from elsewhere put there."""
    for _ in range(chance.randint(1, MOST_DAMAGES)):
        begin, other = chance.randint(0, len(data)), chance.randint(0, len(data))
        end = min(len(data), begin + chance.choice([0, 0, 1, LONGEST_CUT]))
        fillings = (b"", chance.randbytes(2), data[other : other + LONGEST_CUT], *words)
        data = data[:begin] + chance.choice(fillings) + data[end:]
    return data
