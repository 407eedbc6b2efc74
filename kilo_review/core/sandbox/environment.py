"""What a helper process may see of the environment."""

from __future__ import annotations

import os

LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")
"""Some interpreters do not start without them."""


def for_loader() -> dict[str, str]:
    """Return the variables by which the system finds shared libraries; no key or token is among them."""
    return {name: os.environ[name] for name in LOADER if name in os.environ}
