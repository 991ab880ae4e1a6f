"""The composition root: the only place that wires things together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog
from redis.exceptions import AuthenticationError, RedisError
from uuid_utils.compat import uuid7

from agent.engine import Engine
from agent.errors import ConfigurationError
from agent.llm.models import open_models
from agent.ports import Channel, Models, Options, Ports
from agent.settings import Settings
from storage import migrate
from storage.cache import RedisCache
from storage.control import RedisControl
from storage.deliveries import PostgresDeliveries
from storage.desk import PostgresDesk
from storage.embedded import embedded
from storage.housekeeping import housekeeping
from storage.leases import PostgresLeases
from storage.postgres import Database, check_connection, open_database
from storage.redis import RedisPipe, open_redis
from storage.turns import LEASE_SECONDS, PostgresTurns

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stores:
    """The two stores, open. `described` says for people what they are."""

    database_url: str
    redis_url: str
    database: Database
    pipe: RedisPipe
    described: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class App:
    """One instance, wired."""

    settings: Settings
    instance: UUID
    stores: Stores
    ports: Ports
    engine: Engine


@asynccontextmanager
async def open_stores(settings: Settings, *, upgrade: bool = False) -> AsyncIterator[Stores]:
    """Starts embedded stores where no URL is set and opens both, at this version's schema.

    Raises ConfigurationError, or SchemaError when a server's schema is another and `upgrade` is not asked for.
    """
    database_url = settings.database_url.get_secret_value() if settings.database_url else ""
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    async with AsyncExitStack() as stack:
        described: tuple[str, ...] = ()
        if not (database_url and redis_url):
            own = await stack.enter_async_context(
                embedded(settings.agent_home, postgres=not database_url, redis=not redis_url)
            )
            described = own.description
        if database_url:
            await check_connection(database_url)
        await _match_schema(database_url or own.database_url, upgrade=upgrade or not database_url)
        database = await stack.enter_async_context(open_database(database_url or own.database_url))
        pipe = await stack.enter_async_context(open_redis(redis_url or own.redis_url))
        await _greet(pipe)
        yield Stores(database.url, redis_url or own.redis_url, database, pipe, described)


async def _match_schema(url: str, *, upgrade: bool) -> None:
    if upgrade and await migrate.current_revision(url) != migrate.HEAD:
        await migrate.upgrade(url)
    await migrate.check_schema(url)


async def _greet(pipe: RedisPipe) -> None:
    """A wrong password is a mistake; a Redis that is away is an ordinary day."""
    try:
        await pipe.client.ping()
    except AuthenticationError:
        raise ConfigurationError("Redis refused the password. Correct REDIS_URL.") from None
    except (RedisError, OSError):
        log.warning("Redis does not answer: going on without it, slower. Start it, or correct REDIS_URL.")


@asynccontextmanager
async def open_app(
    settings: Settings, channels: Sequence[Channel], *, upgrade: bool = False
) -> AsyncIterator[App]:
    """One instance with these channels; inside, its engine takes messages and recovers what others left."""
    instance = uuid7()
    async with open_stores(settings, upgrade=upgrade) as stores, open_models(settings) as models:
        if settings.default_model:
            models.check(settings.default_model)
        ports = await wire(
            stores.database, stores.pipe, models, channels, instance=instance, window_messages=settings.window_messages
        )
        options = Options(settings.model, settings.system_prompt, settings.max_message_chars)
        async with housekeeping(stores.database), Engine(ports, options) as engine:
            yield App(settings, instance, stores, ports, engine)


async def wire(
    database: Database,
    pipe: RedisPipe,
    models: Models,
    channels: Sequence[Channel],
    *,
    instance: UUID,
    window_messages: int = 20,
    lease: float = LEASE_SECONDS,
) -> Ports:
    """All that an engine stands on. Raises StoreUnavailable when flags and settings can not be read."""
    control = RedisControl(database, pipe)
    await control.start()
    return Ports(
        turns=PostgresTurns(database, instance, window_messages, lease=lease),
        deliveries=PostgresDeliveries(database),
        leases=PostgresLeases(database, instance, [channel.name for channel in channels], lease=lease),
        cache=RedisCache(pipe, window_messages),
        control=control,
        desk=PostgresDesk(database),
        models=models,
        channels={channel.name: channel for channel in channels},
    )
