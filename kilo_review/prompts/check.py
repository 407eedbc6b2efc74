"""What is wrong with prompts of one's own: no place for the change, an answer of another form, too many tokens."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from kilo_review.prompts import EXPLAIN_SCHEMA, PLACEHOLDERS, REPLY_SCHEMA, VERIFY_SCHEMA, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FORMS: dict[tuple[str, ...], dict[str, Any]] = {
    ("system", "review"): REPLY_SCHEMA["properties"]["findings"]["items"],
    ("repair",): REPLY_SCHEMA["properties"]["findings"]["items"],
    ("verify",): VERIFY_SCHEMA,
    ("explain",): EXPLAIN_SCHEMA,
}
"""Prompts that together must describe a form of answer: the server does not show it to the model."""
BUDGETS = {"system": 560, "review": 40, "repair": 220, "verify": 280, "rules": 120, "language": 60, "explain": 280}
"""Tokens of each prompt, at three bytes a token; each request pays for them, and long instructions cost recall."""


class Problem(NamedTuple):
    """One remark; `is_wrong` if a review with it would go astray."""

    place: str
    what: str
    is_wrong: bool = True


def problems(folder: Path | None, tokens: Callable[[str], int]) -> Iterator[Problem]:
    """What is wrong with the prompts of a folder, or with the shipped ones.

    Args:
        folder: with prompts of one's own, which have been loaded once.
        tokens: how many a text takes.
    """
    if folder is not None:
        yield from _strangers(folder)
    texts = {name: path_of(name, folder).read_text(encoding="utf-8") for name in PLACEHOLDERS}
    for names, form in FORMS.items():
        text = "\n".join(texts[name] for name in names)
        for word in _words_of(form):
            if f'"{word}"' not in text:
                yield Problem(str(path_of(names[0], folder)), f'the answer\'s "{word}" is not described')
    for name, budget in BUDGETS.items():
        spent = tokens(texts[name])
        if spent > budget:
            yield Problem(str(path_of(name, folder)), f"about {spent} tokens, more than {budget}", is_wrong=False)


def _strangers(folder: Path) -> Iterator[Problem]:
    """Files that no prompt is read from: probably misspelt."""
    for path in sorted(folder.glob("*.md")):
        if path.stem not in PLACEHOLDERS:
            meant = get_close_matches(path.stem, PLACEHOLDERS, n=1)
            step = f"did you mean {meant[0]}.md?" if meant else f"there are: {', '.join(PLACEHOLDERS)}"
            yield Problem(str(path), f"no prompt has this name; {step}", is_wrong=bool(meant))


def _words_of(form: dict[str, Any]) -> Iterator[str]:
    """The names of an object's fields, and the words that are allowed in them."""
    for name, field in form["properties"].items():
        yield name
        yield from field.get("enum", ())
