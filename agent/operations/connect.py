"""The stores of these settings, for commands that look at them: a server, or the embedded one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from agent.settings import Settings
from storage.connecting.requirements import Found, check_connection
from storage.embedded.servers import embedded


class Postgres(Struct, frozen=True):
    """A database that was reached."""

    url: str
    embedded: str = ""  # what the embedded one is, for people
    found: Found | None = None  # what was asked of a server


@asynccontextmanager
async def reach_postgres(settings: Settings) -> AsyncIterator[Postgres]:
    """The database of these settings, whatever its schema. Raises ConfigurationError."""
    if settings.database_url:
        found = await check_connection(settings.database_url.get_secret_value())
        yield Postgres(found.url, found=found)
    else:
        async with embedded(settings.agent_home, redis=False) as own:
            yield Postgres(own.database_url, own.description[0])


@asynccontextmanager
async def reach_redis(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Its URL and, when it is embedded, what it is."""
    if settings.redis_url:
        yield settings.redis_url.get_secret_value(), ""
    else:
        async with embedded(settings.agent_home, postgres=False) as own:
            yield own.redis_url, own.description[0]
