"""What breaks a property: kept once for each place where it breaks, made small, and told in words."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import traceback
from typing import TYPE_CHECKING

from hypothesis import Verbosity

from fuzz.target import DRAWN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fuzz.target import Target

NOTHING = "nothing is wrong with it"
SHRINKING_SECONDS = 5.0
OURS = ("/kilo_review/", "/fuzz/targets/")
LONGEST_LINE = 160


class Findings:
    """Runs inputs, and keeps the first that breaks something in its own way."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._run = target.run()
        self._known: set[str] = set()

    def __call__(self, data: bytes) -> None:
        """Run one input; never raises, so that the search goes on."""
        mark = self.mark_of(data)
        if mark and mark not in self._known:
            self._known.add(mark)
            self._keep(shrunk(data, lambda shorter: self.mark_of(shorter) == mark), mark)

    def mark_of(self, data: bytes) -> str:
        """What an input breaks and where; "" if it breaks nothing."""
        try:
            self._run(data)
        except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if any(part in frame.filename for part in OURS)]
            place = (own or frames)[-1]
            return f"{type(error).__name__} {place.filename}:{place.lineno}"
        return ""

    def _keep(self, data: bytes, mark: str) -> None:
        path = self._folder / f"finding-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(described(self._target, data), encoding="utf-8", errors="backslashreplace")


def described(target: Target, data: bytes) -> str:
    """The values that an input stands for, and what comes of them."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        if target.raw is not None and not data.startswith(DRAWN):
            print(f"raw: {data[1:]!r}\n")
        try:
            target.run(verbosity=Verbosity.debug)(data)
        except Exception:  # noqa: BLE001  the same as above
            print(traceback.format_exc())
        else:
            print(NOTHING)
    return told.getvalue()


def shrunk(data: bytes, is_same: Callable[[bytes], bool], seconds: float = SHRINKING_SECONDS) -> bytes:
    """Fewer bytes that do the same: halves, quarters and so on are left out wherever that goes."""
    end = time.monotonic() + seconds
    size = len(data) // 2
    while size:
        at = 1  # the first byte says how the others are read
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + size :]
            if is_same(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def last_line(told: str) -> str:
    """The exception of a description, on one line."""
    lines = [line for line in told.splitlines() if line.strip()]
    raised = [line for line in lines if line[:1].isalpha() and ("Error" in line.split(":")[0] or "Exception" in line)]
    return (raised or lines or ["?"])[-1][:LONGEST_LINE]
