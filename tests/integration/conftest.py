"""What many of these tests stand on. A file that needs another one of the same name has its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.serving import Platforms, three_platforms
from tests.support.warm import Warm


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Runs commands quickly."""
    process = Warm()
    yield process
    process.close()


@pytest.fixture
def machine(tmp_path: Path, database_url: str, redis_url: str, warm: Warm) -> Machine:
    """A machine with two servers."""
    return Machine(
        tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url}, warm
    )


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url)


@pytest.fixture
async def agent(world: EngineHarness) -> AsyncIterator[Instance]:
    async with world.instance() as instance:
        yield instance


@pytest.fixture
async def platforms() -> AsyncIterator[Platforms]:
    async with three_platforms() as running:
        yield running
