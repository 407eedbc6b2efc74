"""For pages of HTML: text stays text, in an element and between double quotes alike."""

from __future__ import annotations

from html import escape

from kilo_review.sanitize.terminal import for_terminal


def for_html(text: str) -> str:
    """For the content of an element or an attribute in double quotes.

    Not for a script, a style, an event handler, a comment or an address: there, escaping is not enough. And not for
    HTML within markdown: forges look for mentions and links in that, too; `markdown.for_markdown` stops them.
    """
    return escape(for_terminal(text), quote=True)
