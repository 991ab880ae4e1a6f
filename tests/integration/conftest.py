"""What many of these tests stand on. A file that needs another one of the same name has its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.serving import Platforms, three_platforms
from tests.world import Instance, World


@pytest.fixture
def world(database_url: str, redis_url: str) -> World:
    return World(database_url, redis_url)


@pytest.fixture
async def agent(world: World) -> AsyncIterator[Instance]:
    async with world.instance() as instance:
        yield instance


@pytest.fixture
async def platforms() -> AsyncIterator[Platforms]:
    async with three_platforms() as running:
        yield running
