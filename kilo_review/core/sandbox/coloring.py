"""In the helper process: code → tokens with their kinds, by Pygments. The only module that imports it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENS_FILES = True
"""Each lexer is imported when it is first needed."""


def ready() -> None:
    """Load the library."""
    import pygments.lexers  # noqa: F401, PLC0415  40 ms, for those who want a page


def answer(request: list[str]) -> Iterator[str]:
    """Answer one request, a file's name and a text: the kind of each token, as in `Name.Function`, and its text.

    There is none for an unknown kind of file.
    """
    name, text = request
    lexer = _lexer_for(name)
    for kind, value in lexer.get_tokens(text) if lexer else ():
        yield ".".join(kind)
        yield value


@lru_cache(maxsize=64)
def _lexer_for(name: str) -> Any:  # noqa: ANN401
    from pygments.lexers import get_lexer_for_filename  # noqa: PLC0415  as above
    from pygments.util import ClassNotFound  # noqa: PLC0415

    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
