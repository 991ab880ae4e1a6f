"""Agents for this folder are forked from one process, which has imported everything once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.harness.processes import Nursery
from tests.chaos.harness.processes import nursery as new_nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks agents."""
    with new_nursery() as made:
        yield made
