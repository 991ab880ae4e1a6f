"""A Redis inside the process, which a test may take away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from storage.redis import RedisPipe


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[FakeRedis]:
    client = FakeRedis(server=server)
    yield client
    await client.aclose()


@pytest.fixture
def pipe(client: FakeRedis) -> RedisPipe:
    return RedisPipe(client, deadline=5)
