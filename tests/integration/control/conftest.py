"""What tests of operators' changes share: operators' processes, and the shared server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from storage.control.experiments.admin import ExperimentAdmin
from storage.control.flags import FlagAdmin
from tests.support.operators import experimenter, operator
from tests.support.servers import Postgres


@pytest.fixture
async def flags(database_url: str, redis_url: str) -> AsyncIterator[FlagAdmin]:
    async with operator(database_url, redis_url) as flags:
        yield flags


@pytest.fixture
async def experiments(
    database_url: str,
    redis_url: str,
) -> AsyncIterator[ExperimentAdmin]:
    async with experimenter(database_url, redis_url) as experiments:
        yield experiments


@pytest.fixture
def postgres(_postgres: Postgres) -> Postgres:
    return _postgres
