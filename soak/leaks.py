"""What this process holds: it must not grow with the number of reviews."""

from __future__ import annotations

import ctypes
import gc
import statistics
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MIB = 1 << 20
M_ARENA_MAX = -8
MOST_GROWTH = 4.0
"""MiB of resident memory from the third quarter of a run to the last."""
MOST_OBJECTS = 0.02
"""Of the objects that the collector knows, what may be added from the third quarter to the last."""
FEWEST_MEASURES = 8


class Measure(NamedTuple):
    """One look at this process, between two reviews."""

    review: int
    descriptors: int
    threads: int
    children: int
    half_closed: int
    """Sockets in CLOSE_WAIT: the other side has closed them, this one has not."""
    mib: float
    objects: int
    ledger_mib: float


def measured(review: int, ledger: Path) -> Measure:
    gc.collect()
    _give_back_free_memory()
    process = psutil.Process()
    waiting = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_CLOSE_WAIT]
    return Measure(
        review,
        process.num_fds(),
        process.num_threads(),
        len(process.children(recursive=True)),
        len(waiting),
        process.memory_info().rss / MIB,
        len(gc.get_objects()),
        sum(path.stat().st_size for path in ledger.glob("*")) / MIB,
    )


def share_memory_among_threads() -> None:
    """One arena for all: in those of the servers' threads, free memory would add up and look like a leak.

    glibc's allocator takes this at the start; others have no such arenas.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(M_ARENA_MAX, 1)


def _give_back_free_memory() -> None:
    """What the allocator keeps for later is no leak either."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def growth(measures: Sequence[Measure], name: str) -> float:
    """The median of the last quarter beside that of the quarter before it."""
    if len(measures) < 2:
        return 0.0
    quarter = max(1, len(measures) // 4)
    values = [float(getattr(each, name)) for each in measures]
    return statistics.median(values[-quarter:]) - statistics.median(values[-2 * quarter : -quarter])


def leaks(measures: Sequence[Measure], largest_ledger: float) -> Iterator[str]:
    """What has grown that must not.

    Args:
        measures: the first after a few reviews, when everything that is loaded once is loaded.
        largest_ledger: MiB.
    """
    first, last = measures[0], measures[-1]
    for name in ("descriptors", "threads", "children", "half_closed"):
        if getattr(last, name) > getattr(first, name):
            yield f"{name}: {getattr(first, name)} after {first.review} reviews, {getattr(last, name)} at the end"
    if last.ledger_mib > largest_ledger:
        yield f"the ledger takes {last.ledger_mib:.1f} MiB of at most {largest_ledger:.1f}"
    if len(measures) < FEWEST_MEASURES:
        return
    if growth(measures, "mib") > MOST_GROWTH:
        yield f"memory: {growth(measures, 'mib'):+.1f} MiB in the last quarter"
    if growth(measures, "objects") > MOST_OBJECTS * last.objects:
        yield f"objects: {growth(measures, 'objects'):+.0f} in the last quarter"
