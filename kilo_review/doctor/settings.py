"""What is set, and where; and what of the environment could mislead other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review import doctor
from kilo_review.sanitize.terminal import one_line, shortened, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kilo_review.doctor import Check

SECRET = frozenset({"api_key"})
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
MOST_SHOWN = 60
"""Characters of a value."""


def configuration(values: Mapping[str, object], origins: Mapping[str, str]) -> Iterator[Check]:
    """Each setting that is not as built in, with the place that sets it.

    Args:
        values: of all settings.
        origins: name of a setting → where it was set.
    """
    if not origins:
        yield doctor.ok("settings", "as built in")
    for name, origin in sorted(origins.items()):
        shown = "***" if name in SECRET else _short(values.get(name))
        yield doctor.ok("settings", f"{name} = {shown} ({one_line(origin)})")


def proxies(environment: Mapping[str, str]) -> Iterator[Check]:
    """Proxies of the environment, which the program never uses."""
    found = sorted(name for name in environment if name.lower() in PROXIES and environment[name])
    if found:
        yield doctor.ok("proxies", f"{', '.join(found)}: set, and not used for a model server")


def _short(value: object) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return shortened(without_credentials(one_line(words)), MOST_SHOWN)
