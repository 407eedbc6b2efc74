"""When an answer is worth another try, and after how long: pure, so that the one who asks keeps the clock.

GitHub: 403 or 429 with `Retry-After`, or with `x-ratelimit-remaining: 0` and `x-ratelimit-reset`; a secondary limit
may come with neither, and then a minute is to be waited at least (its page "Rate limits for the REST API"). GitLab:
429 with `Retry-After` and `RateLimit-Reset`. Comments that come too fast are refused by GitHub with 422 as well.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUSY_SECONDS = (1.0, 2.0, 4.0)
"""Before the second, third and fourth try at a server that fails."""
LIMITED_SECONDS = 60.0
"""Where a limit is hit and the answer does not say for how long."""
LIMIT_WORDS = ("secondary rate limit", "rate limit exceeded", "abuse detection", "submitted too quickly")
TOO_MANY = 429
FORBIDDEN = (403, 422)
FAILING = (500, 502, 503, 504)


def limited_for(status: int, headers: Mapping[str, str], said: str, now: float) -> float | None:
    """Seconds to wait before the next request, if this one came too soon; else None.

    Args:
        status: of the answer.
        headers: of the answer, names in lower case.
        said: the answer's message.
        now: seconds since 1970.
    """
    after = _retry_after(headers.get("retry-after", ""), now)
    exhausted = "0" in {headers.get("x-ratelimit-remaining"), headers.get("ratelimit-remaining")}
    is_limit = status == TOO_MANY or (
        status in FORBIDDEN and (after is not None or exhausted or any(words in said.lower() for words in LIMIT_WORDS))
    )
    if not is_limit:
        return None
    if after is not None:
        return after
    reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
    if exhausted and reset.isascii() and reset.isdecimal():
        return max(0.0, float(reset) - now) + 1
    return LIMITED_SECONDS


def _retry_after(value: str, now: float) -> float | None:
    """Seconds, or a date."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now) if text else None
    except ValueError:
        return None
