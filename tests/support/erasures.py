"""A person who is to be erased, and where their name and words are looked for afterwards."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import force_setattr

from storage.lifecycle.erasure import Stores, work
from storage.lifecycle.people import PeopleAdmin
from storage.reports.rollup import sum_up
from storage.reports.search_index import index_now
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.servers import postgres_bin
from tests.support.settings import OPERATOR, run

NAME, ID = "Xaverine", "zz81724"
WORDS = "the violet wombat sleeps in drawer nine"


async def say(world: EngineHarness, agent: Instance, text: str, **who: str) -> None:
    message = world.message(text, **who)
    if who.get("user") == ID:
        force_setattr(message, "username", NAME)
    await agent.engine.accept(message)
    await world.platform.until(lambda: world.platform.finished[message.turn_id] > 0)


async def to_the_end(stores: Stores) -> None:
    async with asyncio.timeout(30):
        while progress := await work(stores):
            if not progress.moved:
                await asyncio.sleep(0.05)


async def erase(stores: Stores, person: str = f"test:{ID}") -> None:
    await PeopleAdmin(stores.database).erase(person, OPERATOR)
    await to_the_end(stores)


def dump(database_url: str) -> str:
    parts = urlsplit(database_url)
    done = subprocess.run(
        [f"{postgres_bin()}/pg_dump", "--data-only", parts.path.lstrip("/")],
        env={"PGHOST": parse_qs(parts.query)["host"][0], "PGUSER": "postgres"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


async def in_redis(agent: Instance) -> str:
    """Every key with its value, as Redis dumps them."""
    client = agent.pipe.client
    keys = [key async for key in client.scan_iter()]

    return "\n".join([repr(key) + repr(await client.dump(key)) for key in keys])


async def everywhere(database_url: str, agent: Instance) -> str:
    return dump(database_url) + await in_redis(agent)


async def summed_up_and_indexed(database_url: str) -> None:
    """As if all that was said had been said three hours ago."""
    for sql in (
        "UPDATE messages SET timestamp = timestamp - interval '3 hours'",
        "UPDATE conversations SET started_at = started_at - interval '3 hours'",
        "UPDATE report_state SET counted_until = counted_until - interval '9 hours'",
    ):
        await run(database_url, sql)
    await sum_up(database_url)
    await index_now(database_url, datetime.now(UTC) - timedelta(hours=9))


async def closed(database_url: str) -> None:
    """Returns once every turn has its answer."""
    async with asyncio.timeout(30):
        while await run(database_url, "SELECT FROM turns WHERE state = 'open'"):
            await asyncio.sleep(0.2)
