"""Sixty reviews of `make soak`: nothing lies, nothing leaks; and it would notice if something did."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from soak.leaks import Measure, leaks
from soak.plan import LIBRARY, plan_of
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

STORM = ("--seed", "11", "--temper", "0.4")
UNTIMED = ("--seed", "3", "--temper", "0.4", "--untimed")
GULLIBLE = """
import kilo_review.review.model_client
from kilo_review.core.errors import BadReplyError

strict = kilo_review.review.model_client.parse

def gullible(*answer):
    try:
        return strict(*answer)
    except BadReplyError:
        return []

kilo_review.review.model_client.parse = gullible
"""
"""The sabotage: what cannot be read is taken for "no findings"."""


def soak(*arguments: str, sabotage: str = "") -> tuple[int, str]:
    code = f"{sabotage}\nimport soak.__main__\nsoak.__main__.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.long
def test_sixty_reviews_against_servers_that_fail_at_random() -> None:
    code, said = soak("--reviews", "60", *STORM)
    assert code == 0, said
    assert "60 reviews in" in said
    assert "seed 11: no violations" in said


@pytest.mark.long
def test_a_program_that_takes_nonsense_for_clean_is_found_out_and_each_review_can_be_had_again() -> None:
    """Without a time limit, so that how far a review comes does not depend on the machine."""
    assert soak("--reviews", "20", *UNTIMED)[0] == 0
    code, said = soak("--reviews", "20", *UNTIMED, sabotage=GULLIBLE)
    assert code == 1
    assert f"python -m soak {' '.join(UNTIMED)} --only NUMBER" in said
    told = violations(said)
    assert len(told) > 1
    for number, lines in told.items():
        code, said = soak(*UNTIMED, "--only", number, sabotage=GULLIBLE)
        assert (code, violations(said)[number]) == (1, lines)


def violations(said: str) -> dict[str, list[str]]:
    """What was found in which review."""
    told: dict[str, list[str]] = {}
    for number, what in re.findall(r"^  review (\d+): (.*)", said, re.MULTILINE):
        told.setdefault(number, []).append(what)
    assert all("what was looked at was answered: " in " ".join(lines) for lines in told.values())
    return told


def test_a_plan_follows_from_the_seed_and_the_number_alone() -> None:
    plans = [plan_of(5, number) for number in range(400)]
    assert plans == [plan_of(5, number) for number in range(400)]
    assert plans != [plan_of(6, number) for number in range(400)]
    assert sum(plan.how != LIBRARY for plan in plans) == 20
    assert {plan.votes for plan in plans} == {1, 3}
    assert {plan.seconds for plan in plans} >= {0.5, None}


def measures(**grown: float) -> Sequence[Measure]:
    still = Measure(20, descriptors=8, threads=3, children=0, half_closed=0, mib=50, objects=40_000, ledger_mib=0.1)
    values = still._asdict()
    return [
        still._replace(review=100 * at, **{name: values[name] + by * at for name, by in grown.items()})
        for at in range(20)
    ]


def test_what_grows_with_the_number_of_reviews_is_a_leak() -> None:
    assert list(leaks(measures(), 4.0)) == []
    assert list(leaks(measures(mib=0.1, objects=3, ledger_mib=0.05), 4.0)) == []
    for name, by in (("descriptors", 1), ("threads", 1), ("children", 1), ("half_closed", 1)):
        assert name in next(leaks(measures(**{name: by}), 4.0))
    assert "memory: " in next(leaks(measures(mib=1.0), 4.0))
    assert "objects: " in next(leaks(measures(objects=1000), 4.0))
    assert "the ledger takes " in next(leaks(measures(ledger_mib=0.5), 4.0))
