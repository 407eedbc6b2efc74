"""How commits stand, as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kilo_review.sanitize.terminal import escaped_path, one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kilo_review.review.commit_status import Standing

OID_DIGITS = 12
LONGEST_SUBJECT = 50


def text_of(found: Sequence[Standing], off: str = "") -> str:
    """One line for each commit, its findings below it, and the next step.

    Args:
        found: the commits.
        off: why the ledger cannot be read, if it cannot.
    """
    return "\n".join(_lines(found, off)) + "\n"


def _lines(found: Sequence[Standing], off: str) -> Iterator[str]:
    if off:
        yield f"kilo-review: nothing is known of earlier reviews: {one_line(off)}"
    for each in found:
        subject = one_line(each.commit.subject)
        subject = shortened(subject, LONGEST_SUBJECT)
        yield f"{each.commit.oid[:OID_DIGITS]} {subject:<{LONGEST_SUBJECT}}  {_word(each)}"
        for finding in each.findings:
            blocks = ", blocks" if finding.blocking else ""
            place = f"{escaped_path(finding.path)}:{finding.line}"
            yield f"    {place}: {finding.severity}: {one_line(finding.title)} [{finding.category}{blocks}]"
    yield from _summary(found)


def _word(each: Standing) -> str:
    if each.word == "findings":
        blocking = sum(finding.blocking for finding in each.findings)
        number = len(each.findings)
        return f"{number} finding{'s' * (number > 1)}" + (f", {blocking} blocking" if blocking else "")
    if each.word == "empty":
        return "nothing changed"
    if each.word == "reviewed":
        return "reviewed" + (f" {each.reason}" if each.reason else "")
    hunks = f" {each.hunks} hunk{'s' * (each.hunks > 1)}:" if each.hunks else ""
    return f"not reviewed:{hunks} {one_line(each.reason)}" + (" (pushed already)" if each.is_pushed else "")


def _summary(found: Sequence[Standing]) -> Iterator[str]:
    if not found:
        yield "kilo-review: every commit is at the remote, and none was left out"
        return
    left = sum(each.word == "not_reviewed" for each in found)
    commits = f"{len(found)} commit{'s' * (len(found) > 1)}"
    if left:
        is_possible = any(each.word == "not_reviewed" and not each.is_final for each in found)
        step = "; next: kilo-review catch-up" if is_possible else "; look at what is left yourself (git show COMMIT)"
        yield f"kilo-review: {left} of {commits} not reviewed{step}"
    else:
        yield f"kilo-review: {commits}, all reviewed"


def json_of(found: Sequence[Standing]) -> str:
    """One object with a row for each commit, the oldest first."""
    rows = [
        {
            "commit": each.commit.oid,
            "subject": each.commit.subject,
            "state": each.word,
            "reason": each.reason or None,
            "hunks_left": each.hunks,
            "findings": len(each.findings),
            "blocking": sum(finding.blocking for finding in each.findings),
            "pushed": each.is_pushed,
        }
        for each in found
    ]
    return json.dumps({"version": 1, "commits": rows}, indent=1)
