"""A change of many files, and a server that counts how many requests are under way."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner
    from tests.support.fakes.base import Call, Failure, Fake, Response


FILES = 24
SECONDS = 0.05


@dataclass
class Gauge:
    """Counts how many requests are under way while each takes its time.

    Attributes:
        failing: what a request is answered with instead, by its number, from 1.
        meet: requests that wait for each other, so that a slow machine does not part them.
        highest: requests that were under way at once.
        begun: requests so far.
    """

    failing: Callable[[int], Response | Failure | None] = lambda _: None
    meet: int = 0
    highest: int = 0
    begun: int = 0
    seconds: float = SECONDS
    _now: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, _: Call) -> Response | Failure | None:
        with self._lock:
            self._now += 1
            self.begun += 1
            number = self.begun
            self.highest = max(self.highest, self._now)
            self._lock.notify_all()
            if not self._lock.wait_for(lambda: self.highest >= self.meet, timeout=20):
                self.meet = 0
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        return self.failing(number)


@pytest.fixture
def wide(make_repo: Callable[..., Repo]) -> Repo:
    """Many files, each of them too large to share a request with another one."""
    made = make_repo("wide")
    made.commit("first")
    for number in range(FILES):
        made.stage(f"file{number:02}.py", "".join(f"value_{number}_{line} = {line}\n" for line in range(150)))
    return made


def finding_in(body: dict[str, Any]) -> str:
    """One finding for each file that a request asks about."""
    numbers = sorted(set(re.findall(r"value_(\d+)_7 = 7", body["messages"][-1]["content"])))
    found = [
        {
            "file": f"file{int(number):02}.py",
            "line": 8,
            "problem": "It is wrong.",
            "severity": "minor",
            "title": f"Wrong {number}",
            "code": f"value_{number}_7 = 7",
            "type": "bug",
        }
        for number in numbers
    ]
    return json.dumps({"findings": found})


@pytest.fixture
def review(kilo: Runner, wide: Repo) -> Callable[..., Result]:
    def reviewed(server: Fake, provider: str, *arguments: str, form: str = "json", **environment: str) -> Result:
        words = ("--provider", provider, "--base-url", server.url, "--format", form, "--option", "num_ctx=4096")
        return kilo("staged", *words, *arguments, cwd=wide.path, env=environment)

    return reviewed


EVERY = [f"Wrong {number}" for number in range(FILES)]
