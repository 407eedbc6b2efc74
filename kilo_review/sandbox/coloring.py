"""In the helper process: code → tokens with their kinds, by Pygments. The only module that imports it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

OPENS_FILES = True
"""Each lexer is imported when it is first needed."""


def ready() -> Callable[[dict[str, Any]], object]:
    """Load the library, and return what answers requests."""
    import pygments.lexers  # noqa: F401, PLC0415  40 ms, for those who want a page

    return answer


def answer(request: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the kind of each token, as in `Name.Function`, and its text; nothing for an unknown kind of file."""
    lexer = _lexer_for(request["name"])
    return [(".".join(kind), value) for kind, value in lexer.get_tokens(request["text"])] if lexer else []


@lru_cache(maxsize=64)
def _lexer_for(name: str) -> Any:  # noqa: ANN401
    from pygments.lexers import get_lexer_for_filename  # noqa: PLC0415  as above
    from pygments.util import ClassNotFound  # noqa: PLC0415

    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
