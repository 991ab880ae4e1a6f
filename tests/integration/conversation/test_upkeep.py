"""A short chat does without what an instance looks after, unless somebody waits for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.app import open_app
from agent.settings import Settings
from storage.lifecycle.people import PeopleAdmin
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import ID, WORDS, say
from tests.support.settings import OPERATOR, run

NEVER = 3600.0
OPEN_ERASURES = "SELECT count(*) FROM erasures WHERE finished_at IS NULL"
MONTH = f"messages_{datetime.now(UTC):%Y_%m}"


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        agent_home=tmp_path,
    )


async def test_what_can_wait_begins_later(
    settings: Settings, database_url: str
) -> None:
    """Such as this month's table."""
    await run(database_url, f"DROP TABLE IF EXISTS {MONTH}")
    async with open_app(settings, {}, upkeep_after=0.1), asyncio.timeout(20):
        while not (await run(database_url, f"SELECT to_regclass('{MONTH}')"))[0][0]:
            await asyncio.sleep(0.05)


async def test_an_erasure_that_waits_goes_on_at_once(
    settings: Settings, world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await say(world, agent, WORDS, user=ID)
    await PeopleAdmin(agent.database).erase(f"test:{ID}", OPERATOR)

    async with open_app(settings, {}, upkeep_after=NEVER), asyncio.timeout(30):
        while (await run(database_url, OPEN_ERASURES))[0][0]:
            await asyncio.sleep(0.05)


async def test_a_chat_of_one_line_opens_no_engine(settings: Settings) -> None:
    async with open_app(settings, {}, upkeep_after=NEVER) as app:
        await asyncio.sleep(0)

    assert "engine" not in vars(app.stores.database)
