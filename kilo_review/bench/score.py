"""Results of cases → figures with their uncertainty, and a verdict in words. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kilo_review.bench.case import Case
    from kilo_review.core.outcome import Outcome

Z95 = 1.959963984540054
"""Of the normal distribution: 95 % lie within so many standard deviations."""
FEWEST = 30
"""Cases; with fewer the intervals are so wide that no model is called fit."""


MOST_UNANSWERED = 0.10
"""Of the changes; a reviewer that often does not answer is none."""


class Gate(NamedTuple):
    """What a model must reach to be fit for something (docs/bench.md says why these)."""

    precision: float
    recall: float
    alarms: float


TO_BLOCK = Gate(precision=0.75, recall=0.25, alarms=0.10)
TO_ADVISE = Gate(precision=0.50, recall=0.15, alarms=0.15)


class Result(NamedTuple):
    """What came of one case.

    Attributes:
        name: of the case.
        is_clean: whether there was nothing to find.
        hits: findings that count and stand on the bug's lines.
        others: findings that count and do not.
        wrong_anchors: findings whose quoted code is not in the change.
        refuted: findings that did not survive the test.
        failure: why the change was not, or not fully, reviewed; "" if it was.
        requests: requests to the model.
        prompt_tokens: as the server counts.
        completion_tokens: likewise.
        seconds: wall time of the review.
    """

    name: str
    is_clean: bool
    hits: int
    others: int
    wrong_anchors: int
    refuted: int
    failure: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Share(NamedTuple):
    """`of` out of `total`, with the 95 % interval (Wilson); None where there is nothing to divide by."""

    of: int
    total: int

    @property
    def value(self) -> float | None:
        """Between 0 and 1."""
        return self.of / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's score interval, which holds for few cases and near 0 and 1."""
        if not self.total:
            return None
        n, p = self.total, self.of / self.total
        middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2)) / (1 + Z95**2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one model.

    Attributes:
        model: its name.
        cases: how many were run.
        recall: buggy changes of which the bug was found, of all buggy ones.
        precision: findings that stand on a bug, of all that count.
        alarms: clean changes with any finding that counts, of all clean ones.
        wrong_anchors: findings whose quoted code is not there, of all that were made.
        unanswered: changes that were not fully reviewed, of all.
        refuted: findings that did not survive the test.
        requests: for each change, on average.
        tokens: prompt and answer tokens for each change, on average.
        median: seconds for a change.
        p95: seconds within which 95 % of the changes are done.
        reasons: why changes were not reviewed, the commonest first.
    """

    model: str
    cases: int
    recall: Share
    precision: Share
    alarms: Share
    wrong_anchors: Share
    unanswered: Share
    refuted: int
    requests: float
    tokens: float
    median: float
    p95: float
    reasons: tuple[str, ...] = ()


def judged(case: Case, outcome: Outcome, seconds: float) -> Result:
    """Hold the findings of a review against what is known of the case."""
    counted = [finding for finding in outcome.findings if finding.status is Status.ACTIVE]
    hits = [
        finding
        for finding in counted
        if not case.is_clean
        and finding.path == case.file
        and finding.line <= case.last
        and finding.end_line >= case.first
    ]
    usage = outcome.usage
    return Result(
        name=case.name,
        is_clean=case.is_clean,
        hits=len(hits),
        others=len(counted) - len(hits),
        wrong_anchors=sum(finding.status is Status.UNANCHORED for finding in outcome.findings),
        refuted=sum(finding.status in {Status.REFUTED, Status.UNVERIFIED} for finding in outcome.findings),
        failure=outcome.failure or next(iter(outcome.unreviewed_by_reason()), ""),
        requests=usage.requests,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        seconds=seconds,
    )


def score(model: str, results: Sequence[Result]) -> Score:
    """The figures over some results; of which there must be one at least."""
    buggy = [each for each in results if not each.is_clean]
    clean = [each for each in results if each.is_clean]
    hits, others = sum(each.hits for each in results), sum(each.others for each in results)
    astray, refuted = sum(each.wrong_anchors for each in results), sum(each.refuted for each in results)
    failures = [each.failure for each in results if each.failure]
    times = sorted(each.seconds for each in results)
    tokens = sum(each.prompt_tokens + each.completion_tokens for each in results)
    return Score(
        model=model,
        cases=len(results),
        recall=Share(sum(each.hits > 0 for each in buggy), len(buggy)),
        precision=Share(hits, hits + others),
        alarms=Share(sum(each.others > 0 for each in clean), len(clean)),
        wrong_anchors=Share(astray, astray + hits + others + refuted),
        unanswered=Share(len(failures), len(results)),
        refuted=refuted,
        requests=sum(each.requests for each in results) / len(results),
        tokens=tokens / len(results),
        median=percentile(times, 0.5),
        p95=percentile(times, 0.95),
        reasons=tuple(sorted(set(failures), key=lambda reason: (-failures.count(reason), reason))),
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the ordered values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def verdict(found: Score) -> str:
    """What the model is good enough for, in words."""
    if found.cases < FEWEST:
        return f"not judged: {found.cases} cases are too few (at least {FEWEST})"
    if _passes(found, TO_BLOCK):
        return "fit to block"
    if _passes(found, TO_ADVISE):
        return "fit to advise, not to block"
    return "fit for neither: " + "; ".join(_shortcomings(found, TO_ADVISE))


def _passes(found: Score, gate: Gate) -> bool:
    return not _shortcomings(found, gate)


def _shortcomings(found: Score, gate: Gate) -> list[str]:
    told = []
    if found.precision.value is None:
        told.append("no findings")
    elif found.precision.value < gate.precision:
        told.append(f"precision below {gate.precision:.0%}")
    if (found.recall.value or 0.0) < gate.recall:
        told.append(f"recall below {gate.recall:.0%}")
    if (found.alarms.value or 0.0) > gate.alarms:
        told.append(f"more than {gate.alarms:.0%} of clean changes with a finding")
    if (found.unanswered.value or 0.0) > MOST_UNANSWERED:
        told.append(f"more than {MOST_UNANSWERED:.0%} of the changes without an answer")
    return told
