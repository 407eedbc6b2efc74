"""One finding as an article of the page, with an address of its own."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.core.finding import Status
from kilo_review.report.html.words import path_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kilo_review.core.finding import Finding
    from kilo_review.report.html.words import Words

STATUSES = {
    Status.SUPPRESSED: "suppressed",
    Status.BASELINE: "in the baseline",
    Status.DISMISSED: "dismissed",
    Status.REFUTED: "refuted",
    Status.UNVERIFIED: "unverified",
    Status.UNANCHORED: "not found in the change",
}


class Articles(NamedTuple):
    """Makes the articles.

    Attributes:
        words: what foreign text goes through.
        anchors: finding, by its identity → the name of its place in the page.
    """

    words: Words
    anchors: dict[int, str]

    def article(self, finding: Finding, *, is_quoted: bool) -> str:
        """The finding.

        Args:
            finding: what is shown.
            is_quoted: whether the code that it quotes stands right above.
        """
        anchor = self.anchors[id(finding)]
        return (
            f'<article class="finding {finding.severity}" id="{anchor}" tabindex="-1" aria-labelledby="t{anchor}"'
            f' data-severity="{finding.severity}" data-status="{finding.status}">'
            f'<h3 id="t{anchor}"><span class="severity">{finding.severity}</span>'
            f" <span>{self.words.prose(finding.title)}</span></h3>"
            f'<p class="meta">{" · ".join(self._facts(finding, anchor))}</p>{self._reason(finding)}'
            f'<p class="message" dir="auto">{self.words.prose(finding.message)}</p>'
            f"{'' if is_quoted else self._code('The model quotes' if is_lost(finding) else '', finding.evidence)}"
            f"{self._code('Suggested instead', finding.suggestion) if finding.suggestion else ''}</article>"
        )

    def link(self, finding: Finding) -> str:
        """Its line in the list of files."""
        return (
            f'<li><a href="#{self.anchors[id(finding)]}" class="{finding.severity} {finding.status}">'
            f"{self.words.line(finding.title) or 'Untitled'}</a></li>"
        )

    def _facts(self, finding: Finding, anchor: str) -> list[str]:
        facts = [f"<span>{place(finding)}</span>", finding.category.value]
        if finding.rule:
            facts.append(f"rule {self.words.line(finding.rule)}")
        if finding.blocking:
            facts.append('<strong class="blocks">blocks</strong>')
        return [*facts, f'<a href="#{anchor}" title="Address of this finding"><code>{finding.short_id}</code></a>']

    def _reason(self, finding: Finding) -> str:
        reason = self.words.line(finding.reason or "")
        if finding.status is Status.ACTIVE:
            return f'<p class="reason">{reason}</p>' if reason else ""
        status = STATUSES[finding.status]
        return f'<p class="reason"><strong>{status}</strong>{f": {reason}" if reason else ""}</p>'

    def _code(self, label: str, code: str) -> str:
        caption = f'<p class="label">{label}</p>' if label else ""
        return f'{caption}<pre tabindex="0"><code>{self.words(dedent(code))}</code></pre>' if code.strip() else ""


def is_lost(finding: Finding) -> bool:
    """Whether its code is the model's quotation, and not read from the change."""
    return finding.status is Status.UNANCHORED


def place(finding: Finding) -> str:
    """Path and lines."""
    lines = f":{finding.line}" if finding.line else ""
    lines += f"&ndash;{finding.end_line}" if finding.end_line > finding.line else ""
    return path_words(finding.path) + lines


def anchors(findings: Iterable[Finding]) -> dict[int, str]:
    """A name for each finding, by its identity: `f-` and its id, with a number where equal code has it twice."""
    names: dict[int, str] = {}
    seen: dict[str, int] = {}
    for finding in findings:
        short = finding.short_id
        seen[short] = seen.get(short, 0) + 1
        names[id(finding)] = f"f-{short}" if seen[short] == 1 else f"f-{short}-{seen[short]}"
    return names
