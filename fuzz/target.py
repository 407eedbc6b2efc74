"""What is fuzzed: one property of one reader, told once; hypothesis draws inputs for it, and so does atheris.

An input comes in one of two ways. *Drawn*: a strategy makes something well-formed and damages it, since random bytes
never get past a header. *Raw*: the bytes themselves, which lets libFuzzer compare and splice them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import get_state_machine_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import SearchStrategy

    Test = Callable[[], None]
    Run = Callable[[bytes], None]

T = TypeVar("T")

EXAMPLES = 30
"""Inputs that the suite draws for each target."""
STEPS = 30
"""Of one run of a state machine."""
DRAWN, RAW = b"\1", b"\0"
"""What the first byte of an input says of the rest."""


class Target(NamedTuple):
    """One property that holds whatever is read.

    Attributes:
        oracle: the property in one sentence.
        build: the property as a hypothesis test, with these settings.
        raw: the same for bytes as they are; None where bytes alone never get anywhere.
        seeds: raw inputs to begin with: what is well-formed, and what was found.
        words: what inputs are made of, for libFuzzer's dictionary.
    """

    oracle: str
    build: Callable[[settings], Test]
    raw: Run | None = None
    seeds: tuple[bytes, ...] = ()
    words: tuple[bytes, ...] = ()

    def test(self, **changed: Any) -> Test:
        """A hypothesis test that draws inputs; settings may be changed."""
        usual: dict[str, Any] = {
            "max_examples": EXAMPLES,
            "stateful_step_count": STEPS,
            "deadline": None,
            "suppress_health_check": list(HealthCheck),
        }
        return self.build(settings(**(usual | changed)))

    def run(self, **changed: Any) -> Run:
        """A function that holds one input against the property; what it raises is a finding."""
        drawn: Any = self.test(database=None, **changed)
        draw: Run = drawn.hypothesis.fuzz_one_input
        raw = self.raw

        def run(data: bytes) -> None:
            if raw is not None and not data.startswith(DRAWN):
                raw(data[1:])
            else:
                draw(data[1:])

        return run


def property_of(
    check: Callable[[T], None],
    strategy: SearchStrategy[T],
    *,
    read: Callable[[bytes], T] | None = None,
    seeds: tuple[bytes, ...] = (),
    words: tuple[bytes, ...] = (),
) -> Target:
    """A target from a check of one value.

    Args:
        check: raises for a value that breaks the property.
        strategy: draws values.
        read: makes a value of raw bytes; None where that is pointless.
        seeds: see `Target`.
        words: see `Target`.
    """

    def build(chosen: settings) -> Test:
        @chosen
        @given(strategy)
        def test(value: T) -> None:
            check(value)

        return test

    raw = (lambda data: check(read(data))) if read else None
    return Target(_sentence(check), build, raw, seeds, words)


def machine_of(machine: type[RuleBasedStateMachine]) -> Target:
    """A target from a state machine, whose rules are drawn one after the other."""
    return Target(_sentence(machine), lambda chosen: get_state_machine_test(machine, settings=chosen))


def _sentence(described: object) -> str:
    return (described.__doc__ or "").partition("\n")[0]
