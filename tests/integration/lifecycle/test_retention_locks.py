"""No turn waits for a month that is dropped: not for its locks, nor for the instance that asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from storage.connecting.connection import Connection
from storage.lifecycle import retention
from storage.lifecycle.retention import retain
from storage.postgres import Database, connect, open_database
from tests.support.settings import run

NOW = datetime(2026, 7, 15, tzinfo=UTC)
LONGEST_WAIT = "100ms"
MONTH = "messages_2026_01"

WRITE = """
INSERT INTO messages (conversation_id, seq, id, role, content)
VALUES (gen_random_uuid(), 1, gen_random_uuid(), 'user', 'hello')
"""
# As an edit of a message does.
FORGET = "DELETE FROM search_messages WHERE conversation_id = gen_random_uuid()"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    bounds = "FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-02-01 00:00+00')"
    await run(database_url, f"CREATE TABLE {MONTH} PARTITION OF messages {bounds}")
    await run(database_url, "SELECT make_search_partitions()")
    async with open_database(database_url) as opened:
        yield opened


async def tables(url: str) -> list[str]:
    found = await run(
        url, f"SELECT relname FROM pg_class WHERE relname ~ '^(search_)?{MONTH}$'"
    )

    return [row[0] for row in found]


def count_waits(url: str, refused: list[str]) -> None:
    """In a loop of its own, as another instance: which statements would have waited too long."""

    async def write() -> None:
        connection = await connect(url)
        await connection.execute(f"SET lock_timeout = '{LONGEST_WAIT}'")
        for sql in (WRITE, FORGET):
            try:
                await connection.execute(sql)
            except asyncpg.LockNotAvailableError:
                refused.append(sql)
        await connection.close()

    asyncio.run(write())


async def test_an_instance_that_is_busy_while_it_drops_holds_nobody_up(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop stands still after each statement; another instance writes meanwhile."""
    refused: list[str] = []
    stood_still: list[str] = []

    scalar = Connection.scalar

    async def stand_still(
        self: Connection, statement: str, values: Any = None
    ) -> Any:
        found = await scalar(self, statement, values)
        if "advisory" in statement:
            other = threading.Thread(target=count_waits, args=(database_url, refused))
            other.start()
            other.join()
            stood_still.append(statement)

        return found

    monkeypatch.setattr(Connection, "scalar", stand_still)
    await retain(database, 90, NOW)

    assert len(stood_still) >= 3
    assert [] == refused
    assert [] == await tables(database_url)


async def test_a_drop_that_meets_an_open_turn_gives_way_to_the_turns_behind_it(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.01)
    turn = await connect(database_url)
    await turn.execute(f"BEGIN; {WRITE}")
    writer = await connect(database_url)
    await writer.execute("SET lock_timeout = '1s'")
    dropping = asyncio.create_task(retain(database, 90, NOW))
    for _ in range(20):
        await writer.execute(WRITE)
        await asyncio.sleep(0.005)

    assert not dropping.done()
    await turn.execute("COMMIT")
    await dropping
    await asyncio.gather(turn.close(), writer.close())
    assert [] == await tables(database_url)


async def test_words_that_are_read_keep_their_month_until_nobody_reads_them(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search under way: the messages are out of the table, and the rest follows later."""
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.001)
    search = await connect(database_url)
    await search.execute("BEGIN; SELECT count(*) FROM search_messages")
    await retain(database, 90, NOW)
    [attached] = await run(
        database_url,
        f"SELECT relispartition FROM pg_class WHERE relname = '{MONTH}'",
    )
    await search.execute("COMMIT")
    await search.close()
    await retain(database, 90, NOW)

    assert not attached[0]
    assert [] == await tables(database_url)
