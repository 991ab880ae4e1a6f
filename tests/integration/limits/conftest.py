"""What tests of budgets share: an instance, and two people."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.budgets import ADA, BOB, Shop, shop
from tests.support.settings import run


@pytest.fixture
async def spenders(database_url: str) -> None:
    await run(
        database_url,
        "INSERT INTO users (id, person_id, channel_type, channel_user_id)"
        " VALUES ($1, $1, 'test', 'ada'), ($2, $2, 'test', 'bob')",
        ADA,
        BOB,
    )
    await run(
        database_url,
        "INSERT INTO channel_configs (id, channel_type) VALUES (gen_random_uuid(), 'test')",
    )


@pytest.fixture
async def open_shop(
    database_url: str,
    redis_url: str,
    spenders: None,
) -> AsyncIterator[Shop]:
    async with shop(database_url, redis_url) as one:
        yield one
