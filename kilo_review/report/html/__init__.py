"""The report as one page of HTML: the change side by side, findings in place, and nothing that is loaded from anywhere.

Whatever comes from outside goes through `Words` or `Painter`, into the content of an element or an attribute in double
quotes. The page's policy allows exactly the style and the script that lie beside this file, by their digests: no other
style, script, image, font or address, and no `style=` or `on…=` attribute either.
"""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from kilo_review.report.html.arrange import arrange
from kilo_review.report.html.code import Painter
from kilo_review.report.html.files import Sections, others
from kilo_review.report.html.findings import Articles, anchors
from kilo_review.report.html.summary import filters, headline, summary
from kilo_review.report.html.words import Words
from kilo_review.sanitize.html import for_html

if TYPE_CHECKING:
    from kilo_review.report.view import View

POLICY = (
    "default-src 'none'; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'"
)


def render(view: View) -> str:
    """The page. All of it can be read without its script, which only filters, searches and moves about."""
    words = Words(view.mask)
    diff = view.diff()
    files = arrange(view.outcome, diff)
    articles = Articles(words, anchors(finding for file in files for finding in file.findings))
    with Painter(view.mask) as painter:
        sections = Sections(words, articles, painter, diff, files)
        shown = list(map(sections.section, range(len(files))))
    style, script = _asset("page.css"), _asset("page.js")
    return Template(_asset("page.html")).substitute(
        policy=POLICY.format(style=_digest(style), script=_digest(script)),
        title=for_html(headline(view.outcome)),
        style=style,
        script=script,
        summary=summary(view, words),
        filters=filters(view.outcome),
        files="\n".join(shown) + others(files, diff),
        index="\n".join(map(sections.entry, range(len(files)))),
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a policy knows an inline style or script by."""
    import base64  # noqa: PLC0415  with hashlib, 3 ms that only a page needs
    import hashlib  # noqa: PLC0415

    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
