"""A short chat does without what an instance looks after, unless somebody waits for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent import app as app_module
from agent.app import open_app
from agent.settings import Settings
from storage.lifecycle.people import PeopleAdmin
from storage.postgres import TURN_CONNECTIONS
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import ID, WORDS, say
from tests.support.settings import OPERATOR, run

NEVER = 3600.0
SETTLING = "SELECT FROM erasures WHERE step = 'settle'"

TODAY = datetime.now(UTC)
MONTH = f"messages_{TODAY:%Y_%m}"
NEXT_MONTH = f"messages_{TODAY.replace(day=1) + timedelta(days=32):%Y_%m}"
NEGLECTED = (
    "UPDATE report_state SET counted_until = now() - interval '2 days'",
    "UPDATE search_state SET indexed_until = now() - interval '2 days'",
    f"DROP TABLE {NEXT_MONTH}",
)
ALL_DONE = f"""
SELECT (SELECT counted_until FROM report_state) > now() - interval '1 day'
   AND (SELECT indexed_until FROM search_state) > now() - interval '1 day'
   AND to_regclass('{NEXT_MONTH}') IS NOT NULL
"""


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        agent_home=tmp_path,
    )


async def month_is_made(database_url: str) -> None:
    while not (await run(database_url, f"SELECT to_regclass('{MONTH}')"))[0][0]:
        await asyncio.sleep(0.05)


async def test_what_can_wait_begins_later(
    settings: Settings, database_url: str
) -> None:
    """Such as this month's table."""
    await run(database_url, f"DROP TABLE IF EXISTS {MONTH}")
    async with open_app(settings, {}, upkeep_after=0.1), asyncio.timeout(20):
        await month_is_made(database_url)


async def test_what_fails_to_begin_is_begun_again(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a chat of days would look after nothing, and nobody would know."""
    failures = [ImportError("a file is missing"), RuntimeError("no more threads")]
    import_rest = app_module._import_rest

    def fails_at_first() -> None:
        if failures:
            raise failures.pop()
        import_rest()

    monkeypatch.setattr(app_module, "_import_rest", fails_at_first)
    await run(database_url, f"DROP TABLE IF EXISTS {MONTH}")
    with capture_logs() as logged:
        async with open_app(settings, {}, upkeep_after=0.1), asyncio.timeout(20):
            await month_is_made(database_url)

    assert ["RuntimeError", "ImportError"] == [
        line["error"] for line in logged if "upkeep" in line["event"]
    ]


async def test_an_erasure_that_waits_goes_on_at_once(
    settings: Settings, world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await say(world, agent, WORDS, user=ID)
    await PeopleAdmin(agent.database).erase(f"test:{ID}", OPERATOR)

    async with open_app(settings, {}, upkeep_after=NEVER), asyncio.timeout(30):
        while not await run(database_url, SETTLING):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("neglected", NEGLECTED)
async def test_what_nobody_did_for_long_is_done_at_once(
    settings: Settings, database_url: str, neglected: str
) -> None:
    """Where all chats are short, as those of a script are, nobody else does it."""
    await run(database_url, neglected)
    async with open_app(settings, {}, upkeep_after=NEVER), asyncio.timeout(20):
        while not (await run(database_url, ALL_DONE))[0][0]:
            await asyncio.sleep(0.05)


async def test_a_chat_that_cannot_ask_what_waits_begins(
    settings: Settings, database_url: str
) -> None:
    """Its flags are the last known ones when Postgres went away a moment ago. Then all of it
    begins at once.
    """
    await run(database_url, f"DROP TABLE IF EXISTS {MONTH}")
    await run(database_url, "ALTER TABLE erasures RENAME TO elsewhere")
    async with open_app(settings, {}, upkeep_after=NEVER), asyncio.timeout(20):
        await month_is_made(database_url)


async def test_a_connection_is_left_for_system_prompts(settings: Settings) -> None:
    """Else they would share the one of the heartbeat."""
    async with open_app(settings, {}, upkeep_after=NEVER) as app:
        assert TURN_CONNECTIONS - 1 == len(app.stores.database._lines)
