"""Lists of budgets read what they show, however many people there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from storage.connecting.connection import Connection
from storage.limits import budget_views
from storage.limits.budget_admin import BudgetAdmin
from storage.limits.budget_views import Key, read_views, walked
from storage.postgres import Database, open_database
from storage.redis import open_redis
from storage.transaction import transaction
from tests.support.operators import ADA
from tests.support.settings import run

COUNT = 3_000
FILL = """
WITH people AS (
    INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT id, id, 'slack', 'U' || n
    FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::int) n) made
    RETURNING id
)
INSERT INTO budget_days (scope, subject, period, day, tokens)
SELECT 'person', id::text, 'day', (now() AT TIME ZONE 'UTC')::date - age, 7
FROM people, generate_series(0, 1) age
"""
READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int
FROM pg_stat_xact_user_tables
WHERE relname IN ('users', 'budgets', 'budget_days', 'budget_reservations', 'audit_log')
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Thousands of people whose use was counted today."""
    await run(database_url, FILL, COUNT)
    await run(database_url, "VACUUM ANALYZE users")
    await run(database_url, "VACUUM ANALYZE budget_days")
    async with open_database(database_url) as opened:
        yield opened


async def rows_read(connection: Connection) -> int:
    return int(await connection.scalar(READ) or 0)


@pytest.mark.parametrize("after", [None, ("person", "8", "day")])
async def test_a_page_reads_its_own_rows(
    database: Database, after: Key | None
) -> None:
    async with transaction(database) as connection:
        found = await walked(connection, 10, after, None)
        views = await read_views(connection, found.keys, 60)
        read = await rows_read(connection)

    assert 10 == len(views) == len({view.accounts for view in views})
    assert read <= 100, read


async def test_one_budget_reads_its_own_rows(database: Database) -> None:
    async with transaction(database) as connection:
        someone = await connection.scalar("SELECT subject FROM budget_days LIMIT 1")
        before = await rows_read(connection)
        views = await read_views(connection, [("person", str(someone), "day")], 60)
        read = await rows_read(connection) - before

    assert [7] == [view.used_tokens for view in views]
    assert read <= 10, read


async def test_a_search_reads_no_more_than_its_walk(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did not come to is on the next page."""
    monkeypatch.setattr(budget_views, "WALK", 100)
    async with transaction(database) as connection:
        found = await walked(connection, 10, None, "nobody")
        read = await rows_read(connection)

    assert ([], True) == (found.keys, found.next is not None)
    assert read <= 500, read


async def test_pages_together_are_the_list(
    database: Database, redis_url: str
) -> None:
    """Each row once, in one order, with and without words."""
    async with open_redis(redis_url) as pipe:
        admin = BudgetAdmin(database, pipe)
        await admin.set("person", "*", 50, None, ADA)
        await admin.set("channel", "slack", 50, None, ADA, period="month")
    whole = [view.key for view in await admin.list()]

    assert COUNT + 2 == len(whole)
    assert whole == await _pages(admin, 700, "")
    subjects = {"slack", *await _ids(database)}
    assert [one for one in whole if one[1] in subjects] == (
        await _pages(admin, 700, "SLACK")
    )


async def _pages(admin: BudgetAdmin, most: int, words: str) -> list[Key]:
    keys: list[Key] = []
    after: Key | None = None
    while True:
        page = await admin.page(most, after=after, words=words)
        keys += [view.key for view in page.rows]
        after = page.next
        if after is None:
            return keys


async def _ids(database: Database) -> set[str]:
    rows: list[tuple[UUID]] = await run(database.url, "SELECT person_id FROM users")

    return {str(row[0]) for row in rows}
