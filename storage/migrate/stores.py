"""Opens both stores, and nothing else: what commands of operators need, and an agent first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)

from msgspec import Struct
from pydantic import SecretStr

from agent.settings import Settings
from storage import migrate
from storage.embedded.servers import embedded
from storage.postgres import Database, open_database
from storage.redis import RedisPipe, greet, open_redis


class OpenStores(Struct, frozen=True):
    """The two stores, open. `described` says for people what they are."""

    database_url: str
    redis_url: str
    database: Database
    pipe: RedisPipe
    described: tuple[str, ...]


@asynccontextmanager
async def open_stores(
    settings: Settings, *, upgrade: bool = False
) -> AsyncIterator[OpenStores]:
    """Starts embedded stores where no URL is set and opens both, at this version's schema.

    Raises ConfigurationError, or SchemaError when a server's schema is another and
    `upgrade` is not given.
    """
    database_url, redis_url = (
        _plain(settings.database_url),
        _plain(settings.redis_url),
    )
    upgrade = upgrade or not database_url

    async with AsyncExitStack() as stack:
        described: tuple[str, ...] = ()
        if not (database_url and redis_url):
            own = await stack.enter_async_context(
                embedded(
                    settings.agent_home,
                    postgres=not database_url,
                    redis=not redis_url,
                )
            )
            described = own.description
            database_url = database_url or own.database_url
            redis_url = redis_url or own.redis_url

        if settings.database_url:
            database_url = await migrate.check_server(
                database_url, settings.connections, may_upgrade=upgrade
            )

        await migrate.match_schema(database_url, may_upgrade=upgrade)
        opened = _database(database_url, settings)
        database = await stack.enter_async_context(opened)
        pipe = await stack.enter_async_context(open_redis(redis_url))
        await greet(pipe)

        yield OpenStores(database.url, redis_url, database, pipe, described)


def _plain(url: SecretStr | None) -> str:
    return url.get_secret_value() if url else ""


def _database(url: str, settings: Settings) -> AbstractAsyncContextManager[Database]:
    return open_database(
        url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_overflow,
        turn_connections=settings.database_turn_connections,
    )
