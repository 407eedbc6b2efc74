"""What commands print beside reports of reviews: in CI it is published, so secrets in it are masked, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kilo_review import config
from kilo_review.report import deliver
from kilo_review.report.masking import facts_if_public, is_ci, masked_if_public

if TYPE_CHECKING:
    from pathlib import Path


def tell(text: str, output: Path | None, code: int, *, is_json: bool = False) -> int:
    """Deliver a text, or JSON, in which each text is masked by itself; the exit code."""
    environment = config.environment()
    if is_json and is_ci(environment):
        import json  # noqa: PLC0415  only where it was needed to make the text

        text = json.dumps(facts_if_public(json.loads(text), environment), indent=1)
    elif not is_json:
        text = masked_if_public(text, environment)
    return deliver.deliver(text, output, code)
