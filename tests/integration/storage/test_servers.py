"""The servers that tests run on keep what these tests rely on."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.servers import Postgres, Valkey, running


async def test_an_empty_database_is_empty_and_knows_letters_outside_ascii(
    empty_database_url: str,
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert await connection.fetchval("SELECT upper('äö')") == "ÄÖ"
        assert (
            await connection.fetchval(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            )
            == 0
        )
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_stat_statements") >= 0
        )
        assert await connection.fetchval("SHOW max_connections") == "200"
    finally:
        await connection.close()


async def test_a_killed_postgres_comes_back_with_its_rows(
    own_postgres: Postgres,
) -> None:
    await own_postgres.execute("CREATE TABLE kept AS SELECT 7 AS n")
    open_one = await asyncpg.connect(own_postgres.url())
    own_postgres.kill()

    with pytest.raises(
        (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)
    ):
        await open_one.fetchval("SELECT 1")

    own_postgres.start()
    connection = await asyncpg.connect(own_postgres.url())

    try:
        assert await connection.fetchval("SELECT n FROM kept") == 7
    finally:
        await connection.close()


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
async def test_a_postgres_that_is_closed_leaves_no_shared_memory(
    frozen: bool,
) -> None:
    segments = Path("/proc/sysvipc/shm")
    if not segments.exists():
        pytest.skip("the system tells of no segments")
    with running(Postgres()) as server:
        pid = str(server.pid)
        assert pid in segments.read_text().split()
        if frozen:
            server.freeze()

    assert pid not in segments.read_text().split()


async def test_a_frozen_valkey_is_silent_until_it_thaws(own_redis: Valkey) -> None:
    client = Redis.from_url(own_redis.url, socket_timeout=0.05, retry=None)
    try:
        await client.set("key", "value")
        own_redis.freeze()
        with pytest.raises(RedisTimeoutError):
            await client.get("key")
        own_redis.thaw()
        assert await client.get("key") == b"value"
    finally:
        await client.aclose()


async def test_a_killed_valkey_comes_back_empty(own_redis: Valkey) -> None:
    async with Redis.from_url(own_redis.url) as client:
        await client.set("key", "value")

    own_redis.kill()
    own_redis.start()

    async with Redis.from_url(own_redis.url) as client:
        assert await client.get("key") is None


async def test_every_test_gets_an_empty_valkey(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
        await client.set("left", "over")
    finally:
        await client.aclose()


async def test_also_the_next_one(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
    finally:
        await client.aclose()
