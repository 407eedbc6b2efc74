"""The why of one finding, the input that shows it, and a fix: asked for only now, since asking earlier misleads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core import safe_file
from kilo_review.core.errors import ConfigError, UsageError
from kilo_review.core.finding import fold
from kilo_review.core.outcome import Usage
from kilo_review.judge.remedy import Explanation, patch
from kilo_review.models.base import DEFAULT_WINDOW
from kilo_review.plan.chunk import TokenMeter, budget
from kilo_review.review.model_client import Asker
from kilo_review.sanitize.model_input import inert, restored
from kilo_review.sanitize.terminal import one_line, printable
from kilo_review.source.text_view import as_shown

if TYPE_CHECKING:
    from pathlib import Path

    from kilo_review.core.finding import Finding
    from kilo_review.review.request import Job, Watch
    from kilo_review.review.session import Session

LINES_AROUND = 60
"""Shown before and after the line, if the window allows."""
LARGEST_FILE = 8 << 20
NOT_PLACED = "the model gives none that can be placed in the file"
SHOWN_OTHERWISE = "the file is shown otherwise than it is written: a notebook, or text in another encoding"
REFUSED = "git does not accept the one that the model gives"


class Explained(NamedTuple):
    """What there is to say about a finding.

    Attributes:
        text: the model's words.
        patch: the fix, which `git apply --check` accepts; b"" if there is none.
        why_none: why not.
    """

    text: Explanation
    patch: bytes
    why_none: str


def run(job: Job, finding: Finding, watch: Watch, session: Session) -> Explained:
    """Ask about a finding, in the file as it is in the working tree.

    Raises:
        UsageError: its code is not there any more.
        ModelError: the model could not be asked, or its answer cannot be read.
    """
    content = _content(session.repository.top(), os.fsdecode(finding.path.encode("utf-8", "surrogateescape")))
    shown_file = as_shown(finding.path, content)
    lines = shown_file.decode("utf-8", "replace").split("\n")
    line = _line_of(finding, lines)
    if line is None:
        raise UsageError(
            f"the code of this finding is not in {finding.path!a} any more", hint="Review it again: kilo-review"
        )
    model = session.model(job.model)
    meter = TokenMeter()
    asker = Asker(model, job.prompts, job.deadline, Usage(), meter)
    fixed = meter.estimate(job.prompts.explain_template) + meter.estimate(finding.title + finding.message)
    shown = _shown(lines, line, budget(model.info.window or DEFAULT_WINDOW, fixed), meter)
    watch.model_chosen(model.info)
    claim = inert(one_line(f"{finding.title}. {finding.message}"))
    found = _as_in(asker.explanation(job.prompts.explain(shown, line, claim)), "\n".join(lines))
    if shown_file != content:
        return Explained(found, b"", SHOWN_OTHERWISE)
    fix = patch(finding.path, content, found, line)
    if not fix:
        return Explained(found, b"", NOT_PLACED)
    is_accepted = session.repository.accepts(fix)
    return Explained(found, fix if is_accepted else b"", "" if is_accepted else REFUSED)


def _as_in(found: Explanation, text: str) -> Explanation:
    """The model's words with the control tokens of the file, which it was shown otherwise."""
    return Explanation(*(restored(words, text) for words in found))


def _content(top: Path, path: str) -> bytes:
    """The file, but for one that a link has taken the place of, or of a folder above it."""
    try:
        return safe_file.read_bytes(top / path, within=top, largest=LARGEST_FILE)
    except ConfigError as error:
        raise UsageError(f"the file of this finding: {error.message}", hint="Review it again: kilo-review") from None


def _line_of(finding: Finding, lines: list[str]) -> int | None:
    """The line that has the finding's code now, the nearest to where it was."""
    wanted = fold(finding.code)
    places = [number for number, text in enumerate(lines, 1) if wanted and fold(printable(text)) == wanted]
    if places:
        return min(places, key=lambda number: abs(number - finding.line))
    return None


def _shown(lines: list[str], line: int, room: int, meter: TokenMeter) -> str:
    """Numbered lines around one, as many as fit."""
    around = LINES_AROUND
    while True:
        first, last = max(1, line - around), min(len(lines), line + around)
        rows = enumerate(lines[first - 1 : last], first)
        text = "\n".join(f"{number:>4}   {inert(row.rstrip())}".rstrip() for number, row in rows)
        if meter.estimate(text) <= room or around <= 1:
            return text
        around //= 2
