"""Every scenario runs once on each channel that is not left out of it (see `left_out.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.channels import DRIVERS
from tests.conformance.driver import Driver
from tests.conformance.left_out import LEFT_OUT
from tests.conformance.stage import Stage


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A scenario that names `driver` or `stage` runs on all its channels."""
    if "driver" in metafunc.fixturenames:
        left_out = LEFT_OUT.get(metafunc.function.__name__, {})
        metafunc.parametrize("channel_name", [name for name in DRIVERS if name not in left_out])


@pytest.fixture
async def driver(channel_name: str) -> AsyncIterator[Driver]:
    """The channel's platform, running."""
    made = DRIVERS[channel_name]()
    async with made.start():
        yield made


@pytest.fixture
def stage(driver: Driver, database_url: str, redis_url: str) -> Stage:
    """One platform and both stores; agents are started by the scenario."""
    return Stage(database_url, redis_url, [driver])
