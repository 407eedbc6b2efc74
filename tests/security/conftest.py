"""What several kinds of hostile changes need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.proposals import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Repo, Runner


@pytest.fixture
def proposal(kilo: Runner, make_repo: Callable[..., Repo], tmp_path: Path) -> Proposal:
    """A proposal on a base that has nothing yet."""
    return Proposal(kilo, make_repo("hub"), tmp_path)
