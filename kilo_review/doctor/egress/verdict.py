"""What is made of a watched review: proved, disproved, or nothing, since there was no review. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from kilo_review.doctor.egress.record import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kilo_review.core.outcome import Egress
    from kilo_review.doctor.egress.watch import Watched


class Verdict(StrEnum):
    """The outcome of a proof."""

    PROVED = "proved"
    DISPROVED = "disproved"
    NOT_RUN = "not_run"


class Reviewed(NamedTuple):
    """The report of the review that was watched.

    Attributes:
        outcome: `clean`, `findings`, `incomplete` or `not_reviewed`.
        provider: the kind of server that was asked; "" if there is none.
        model: what was asked; "" if there is none.
        base_url: where; None for a model that needs no server.
        requests: requests to the model.
        is_answered: whether it has answered one, in whatever words.
        receipt: where the review itself says that bytes went.
        reason: why something was not reviewed; "" if everything was.
    """

    outcome: str
    provider: str
    model: str
    base_url: str | None
    requests: int
    is_answered: bool
    receipt: tuple[Egress, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Proof:
    """One review that was watched.

    Attributes:
        watched: what was seen of it from outside.
        reviewed: what it says itself; None if it left no report.
    """

    watched: Watched
    reviewed: Reviewed | None

    @property
    def mode(self) -> str:
        """`namespace`, with the recorder inside it; or `recorder` alone."""
        return "recorder" if self.watched.refusal else "namespace"

    @property
    def verdict(self) -> Verdict:
        """A leak counts also where the review failed; a failed review without one proves nothing."""
        if self.problems:
            return Verdict.DISPROVED
        return Verdict.NOT_RUN if self.not_run else Verdict.PROVED

    @property
    def not_run(self) -> str:
        """Why there was no review to watch; "" if there was."""
        if not self.watched.record.is_begun:
            return f"the recorder did not start: {self._last_words}"
        if self.reviewed is None:
            return self._last_words
        return "" if self.reviewed.is_answered else self.reviewed.reason or "no model was asked"

    @property
    def _last_words(self) -> str:
        lines = [line for line in self.watched.talk.splitlines() if line.strip()]
        return lines[-1] if lines else f"it ended with status {self.watched.code} and said nothing"

    @property
    def problems(self) -> list[str]:
        """Whatever contradicts that nothing but loopback was reached, each as one clause."""
        return [*self._reached(), *self._unwatched(), *self._kernels(), *self._miscounted()]

    @property
    def limits(self) -> list[str]:
        """What this proof does not show, each as one clause."""
        found = []
        if self.watched.refusal:
            found.append("what git, the embedded engine and native code do: only what Python does was seen")
        else:
            found.append("that git and the engine use no unix-domain socket: no network namespace holds those back")
        if self.watched.passed or (self.watched.refusal and self.watched.record.sent()):
            found.append(
                "what a server does with what it gets: LM Studio (LM Link) or Ollama (cloud models) could pass it on"
            )
        return found

    # Each of these looks from another side

    def _reached(self) -> Iterator[str]:
        for row in self.watched.record.rows:
            if not row.is_local:
                share = ", with the change" if row.has_change else ""
                yield f"{row.place} is not loopback ({row.what}, {row.bytes_sent} bytes{share})"
        for name in self.watched.record.look_ups:
            yield f"the name {name} was looked up, and who resolves names may stand anywhere; give a numeric address"

    def _unwatched(self) -> Iterator[str]:
        for start in self.watched.record.starts:
            if start.shows_change:
                yield f"{start.program} was started with a part of the change in sight of other users"
            if self.watched.refusal and not is_own(start.program):
                yield f"{start.program} was started, and nobody saw what it did"

    def _kernels(self) -> Iterator[str]:
        counted = self.watched.counted
        if counted is None:
            return
        if counted.without_route:
            yield f"the kernel turned away {counted.without_route} attempts to reach something else than loopback"
        if counted.datagrams:
            yield f"{counted.datagrams} datagrams were sent, as one is to look up a name"
        unseen = counted.connections - self.watched.record.streams
        if unseen > 0:
            yield f"{unseen} connections were begun by something that the recorder does not see"

    def _miscounted(self) -> Iterator[str]:
        """The recorder's account of bytes, the review's own receipt, and what came through the gate."""
        sent = self.watched.record.sent()
        receipt = self.receipt()
        for place in sorted({*sent, *receipt}, key=str) if self.reviewed else ():
            one, other = sent.get(place, 0), receipt.get(place, 0)
            if one != other:
                yield f"{Row('', *place).place}: {one} bytes were sent, and the review's own receipt says {other}"
        for place, amount in self.watched.passed.items():
            if amount > sent.get(place, 0) and not self._is_encrypted:
                yield f"{Row('', *place).place}: {amount} bytes arrived, of which the recorder saw {sent.get(place, 0)}"
        is_served = self.reviewed is not None and self.reviewed.is_answered and self.reviewed.base_url
        if is_served and not any(row.has_change for row in self.watched.record.rows):
            yield "a server has answered, but the recorder did not see the change on its way there"

    def receipt(self) -> dict[tuple[str, int | None], int]:
        """The review's own account, by address and port."""
        totals: dict[tuple[str, int | None], int] = {}
        for row in self.reviewed.receipt if self.reviewed else ():
            place = (row.address, urlsplit(row.url).port)
            totals[place] = totals.get(place, 0) + row.bytes_sent
        return {place: amount for place, amount in totals.items() if amount}

    @property
    def _is_encrypted(self) -> bool:
        """Then more arrives than is sent: certificates, headers, padding."""
        return any(row.url.startswith("https:") for row in (self.reviewed.receipt if self.reviewed else ()))


def is_own(program: str) -> bool:
    """Whether a program is one that a review starts: git, or this program itself for the embedded engine."""
    return program == sys.executable or PurePath(program).name == "git"
