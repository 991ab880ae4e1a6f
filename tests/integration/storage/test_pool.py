"""Connections of the pool: whoever asks gets one that answers, and leaves none behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from agent.core.errors import StoreUnavailable
from storage.connecting import postgres
from storage.postgres import Database, open_database
from storage.transaction import autocommit, transaction
from tests.support.servers import Postgres

END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
AT_ONCE = 4


@pytest.fixture
async def database(own_postgres: Postgres) -> AsyncIterator[Database]:
    async with open_database(own_postgres.url()) as opened:
        await asyncio.gather(*[asked(opened) for _ in range(AT_ONCE)])
        yield opened


async def asked(database: Database) -> int:
    """By an operator, while others ask, too."""
    async with transaction(database) as connection:
        await connection.execute("SELECT pg_sleep(0.05)")
        return int(await connection.scalar("SELECT 7"))


async def asked_alone(database: Database) -> int:
    async with autocommit(database) as connection:
        return int(await connection.scalar("SELECT 7"))


async def test_nobody_gets_a_connection_that_was_ended_meanwhile(
    database: Database, own_postgres: Postgres
) -> None:
    """At once, when the driver has read only half of the news."""
    for _ in range(5):
        await own_postgres.execute(END_ALL)
        assert 7 == await asked(database)
        await own_postgres.execute(END_ALL)
        assert 7 == await asked_alone(database)
        await own_postgres.execute(END_ALL)
        async with database.connection() as driver:
            assert 7 == await driver.fetchval("SELECT 7")


async def test_nobody_gets_a_connection_to_a_server_that_was_restarted(
    database: Database, own_postgres: Postgres
) -> None:
    own_postgres.kill()
    own_postgres.start()
    found = await asyncio.gather(*[asked(database) for _ in range(AT_ONCE)])
    assert [7] * AT_ONCE == found

    own_postgres.kill()
    own_postgres.start()
    assert 7 == await asked_alone(database)


async def test_a_pinned_connection_that_was_ended_meanwhile_is_made_again(
    database: Database, own_postgres: Postgres
) -> None:
    line = database.line()
    for _ in range(5):
        assert 7 == (await line.fetch("SELECT 7"))[0][0]
        await own_postgres.execute(END_ALL)


async def test_who_is_cancelled_does_not_wait_for_a_server_that_hangs(
    database: Database, own_postgres: Postgres
) -> None:
    begun = time.monotonic()
    for ask in (asked, asked_alone):
        own_postgres.freeze()
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask(database)
        finally:
            own_postgres.thaw()
        assert 7 == await ask(database)

    assert time.monotonic() - begun < 5


async def test_who_is_cancelled_between_statements_does_not_wait_either(
    database: Database, own_postgres: Postgres
) -> None:
    begun = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2), transaction(database):
                own_postgres.freeze()
                await asyncio.sleep(5)
    finally:
        own_postgres.thaw()

    assert time.monotonic() - begun < 3
    assert 7 == await asked(database)


async def test_what_was_cancelled_is_taken_back_and_ends_at_the_server(
    database: Database, own_postgres: Postgres
) -> None:
    await own_postgres.execute("CREATE TABLE kept (n integer)")

    async def write() -> None:
        async with transaction(database) as connection:
            await connection.execute("INSERT INTO kept VALUES (1)")
            await connection.execute("SELECT pg_sleep(60)")

    for _ in range(3):
        task = asyncio.create_task(write())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async with transaction(database) as connection:
        assert 0 == await connection.scalar("SELECT count(*) FROM kept")
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)'"
        )
        assert 0 == await connection.scalar(busy)
    assert database.pool.get_size() == database.pool.get_idle_size()


async def test_who_is_cancelled_at_any_moment_leaves_nothing_to_be_told(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """As asyncpg says of a transaction that it finds in a connection that comes back."""
    for step in range(40):
        tasks = [asyncio.create_task(asked(database)) for _ in range(AT_ONCE)]
        for _ in range(step):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert 7 == await asked(database)
    assert [] == caplog.records


async def test_an_error_in_a_transaction_is_told_though_the_server_is_gone(
    database: Database, own_postgres: Postgres
) -> None:
    with pytest.raises(LookupError, match="what it is"):
        async with transaction(database):
            own_postgres.kill()
            raise LookupError("what it is")


async def test_who_waits_in_vain_for_others_hears_of_no_server_that_is_away(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "POOL_SECONDS", 0.1)
    async with (
        open_database(own_postgres.url(), pool_size=1, max_overflow=0) as database,
        transaction(database),
    ):
        with pytest.raises(StoreUnavailable, match=r"All .* in use") as raised:
            await asked(database)

    assert "DATABASE_POOL_SIZE" in raised.value.sentence


async def test_a_savepoint_takes_back_what_was_done_inside(
    database: Database, own_postgres: Postgres
) -> None:
    await own_postgres.execute("CREATE TABLE kept (n integer UNIQUE)")
    insert = "INSERT INTO kept VALUES (:n)"
    async with transaction(database) as connection:
        await connection.execute(insert, {"n": 1})
        with pytest.raises(asyncpg.UniqueViolationError):
            async with connection.savepoint():
                await connection.execute(insert, {"n": 2})
                await connection.execute(insert, {"n": 1})
        await connection.execute(insert, {"n": 3})

    async with transaction(database) as connection:
        kept = await connection.scalars("SELECT n FROM kept ORDER BY n")
    assert [1, 3] == kept


async def test_who_asks_just_after_a_change_of_the_schema_hears_that(
    database: Database, own_postgres: Postgres
) -> None:
    """The driver knows how rows of a statement looked before. It asks again the next time."""
    await own_postgres.execute("CREATE TABLE seen AS SELECT 7 AS n")

    async def read() -> list[object]:
        async with transaction(database) as connection:
            return list(await connection.execute("SELECT * FROM seen"))

    assert 1 == len(await read())
    await own_postgres.execute("ALTER TABLE seen ALTER n TYPE text")
    with pytest.raises(StoreUnavailable, match="schema was changed"):
        await read()
    assert 1 == len(await read())
