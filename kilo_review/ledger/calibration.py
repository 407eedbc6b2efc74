"""How fast a model answers here, as it was measured."""

from __future__ import annotations

from typing import NamedTuple

HALF = 0.5
"""Weight of the newest measurement of a speed: the machine of today counts."""


class Calibration(NamedTuple):
    """What is known of a model's speed and tokenizer; 0 where nothing is known.

    Attributes:
        tokens_per_byte: the highest ratio seen.
        reading: prompt tokens a second.
        writing: answer tokens a second.
        answer: tokens of a usual answer.
    """

    tokens_per_byte: float = 0.0
    reading: float = 0.0
    writing: float = 0.0
    answer: float = 0.0

    def seconds(self, prompt_tokens: int) -> float:
        """How long one request will probably take; 0 if nothing is known."""
        reading = prompt_tokens / self.reading if self.reading else 0.0
        return reading + (self.answer / self.writing if self.writing else 0.0)

    def tokens_within(self, seconds: float) -> int | None:
        """Prompt tokens that fit a time; None if nothing is known."""
        if not self.reading:
            return None
        return max(0, int((seconds - self.seconds(0)) * self.reading))

    def mixed(self, new: Calibration) -> Calibration:
        """This one, corrected by a newer measurement."""
        return Calibration(
            max(self.tokens_per_byte, new.tokens_per_byte),
            *(
                _mixed(old, fresh)
                for old, fresh in (
                    (self.reading, new.reading),
                    (self.writing, new.writing),
                    (self.answer, new.answer),
                )
            ),
        )


def _mixed(old: float, new: float) -> float:
    return HALF * old + HALF * new if old and new else old or new
