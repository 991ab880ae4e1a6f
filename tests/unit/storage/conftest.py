"""A Redis inside the process, which a test may take away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from storage.connecting.redis_connection import Command
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
    return RedisPipe(Fake(client), client, deadline=5)


class Fake:
    """A `storage.connecting.redis_connection.Exchange` with the server inside the process."""

    def __init__(self, client: FakeRedis) -> None:
        self._client = client

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Replies as they are on the wire, not as redis-py's client reads them."""
        pool: Any = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            return [await _reply(connection, command) for command in commands]
        finally:
            await pool.release(connection)

    async def close(self) -> None:
        await self._client.aclose()


async def _reply(connection: AbstractConnection, command: Command) -> Any:
    await connection.send_command(*command)
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
