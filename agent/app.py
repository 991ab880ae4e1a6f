"""The composition root: the only place that wires things together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from pydantic import SecretStr
from redis.exceptions import AuthenticationError, RedisError
from uuid_utils.compat import uuid7

from agent.control.flags import ENABLE_SLASH_COMMANDS
from agent.control.openfeature import DOMAIN, OpenFeatureFlags, provide
from agent.control.rules import Audience
from agent.conversation.engine import Engine
from agent.core.errors import ConfigurationError, UnknownModel
from agent.core.limits import PER_PERSON, Limit
from agent.core.options import Options
from agent.llm.cost_bound import worst_case
from agent.llm.router import open_models
from agent.ports import Channel, LanguageModels, Ports
from agent.settings import Settings
from storage import migrate
from storage.control import disk_copy
from storage.control.experiments import ExperimentAdmin
from storage.control.live import RedisControl, follow_changes
from storage.control.schedule import ExperimentSchedule, run_schedule
from storage.conversation.cache import RedisCache
from storage.conversation.commands import PostgresChatCommands
from storage.conversation.deliveries import PostgresDeliveries
from storage.conversation.edits import PostgresEdits
from storage.conversation.housekeeping import housekeeping
from storage.conversation.last_accepted import PostgresBacklog
from storage.conversation.leases import PostgresLeases
from storage.conversation.records import PostgresChatRecords
from storage.conversation.turns import PostgresTurns
from storage.conversation.votes import PostgresVotes
from storage.embedded.servers import embedded
from storage.limits.budgets import PostgresBudgets, WorstCase
from storage.limits.limiter import RedisLimiter
from storage.limits.send_pace import RedisPace
from storage.postgres import LEASE_SECONDS, Database, check_connection, open_database
from storage.redis import RedisPipe, open_redis

if TYPE_CHECKING:
    from channels.pacing import Rate, SharedPace

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OpenStores:
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
    stores: OpenStores
    ports: Ports
    engine: Engine


@asynccontextmanager
async def open_stores(
    settings: Settings, *, upgrade: bool = False
) -> AsyncIterator[OpenStores]:
    """Starts embedded stores where no URL is set and opens both, at this version's schema.

    Raises ConfigurationError, or SchemaError when a server's schema is another and
    `upgrade` is not given.
    """
    database_url = (
        settings.database_url.get_secret_value() if settings.database_url else ""
    )
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
    async with AsyncExitStack() as stack:
        described: tuple[str, ...] = ()
        if not (database_url and redis_url):
            own = await stack.enter_async_context(
                embedded(
                    settings.agent_home, postgres=not database_url, redis=not redis_url
                )
            )
            described = own.description
        if database_url:
            await check_connection(database_url)
        await _match_schema(
            database_url or own.database_url, upgrade=upgrade or not database_url
        )
        database = await stack.enter_async_context(
            open_database(database_url or own.database_url)
        )
        pipe = await stack.enter_async_context(open_redis(redis_url or own.redis_url))
        await _greet(pipe)
        yield OpenStores(
            database.url, redis_url or own.redis_url, database, pipe, described
        )


async def _match_schema(url: str, *, upgrade: bool) -> None:
    if upgrade and await migrate.current_revision(url) != migrate.HEAD:
        await migrate.upgrade(url)
    await migrate.check_schema(url)


async def _greet(pipe: RedisPipe) -> None:
    """A wrong password is a mistake; a Redis that is away is an ordinary day."""
    try:
        await pipe.client.ping()
    except AuthenticationError:
        raise ConfigurationError(
            "Redis refused the password. Correct REDIS_URL."
        ) from None
    except (RedisError, OSError):
        log.warning(
            "Redis does not answer: going on without it, slower. Start it, or correct REDIS_URL."
        )


@asynccontextmanager
async def open_app(
    settings: Settings, channels: Sequence[Channel], *, upgrade: bool = False
) -> AsyncIterator[App]:
    """One instance with these channels; inside, its engine takes messages and recovers what
    others left.
    """
    instance = uuid7()
    async with open_models(settings) as models, AsyncExitStack() as stack:
        check_models(settings, models)
        stores = await stack.enter_async_context(open_stores(settings, upgrade=upgrade))
        ports = await wire(
            stores.database,
            stores.pipe,
            models,
            channels,
            instance=instance,
            window_messages=settings.window_messages,
            per_person=PER_PERSON,
            worst=partial(
                worst_case, models=settings.models, fallbacks=settings.fallback_models
            ),
            home=settings.agent_home,
            domain=DOMAIN,
        )
        options = Options(
            settings.model, settings.system_prompt, settings.max_message_chars
        )
        plans = ExperimentSchedule(
            stores.database, ExperimentAdmin(stores.database, stores.pipe, models)
        )
        news = follow_changes(stores.pipe, ports.control_updates)
        async with (
            housekeeping(stores.database),
            run_schedule(plans),
            news,
            Engine(ports, options) as engine,
        ):
            yield App(settings, instance, stores, ports, engine)


def check_models(settings: Settings, models: LanguageModels) -> None:
    """Raises ConfigurationError when a setting names a model that can not be asked."""
    for setting, names in (
        ("DEFAULT_MODEL", [settings.model]),
        ("FALLBACK_MODELS", settings.fallback_models),
    ):
        for name in names:
            try:
                models.check(name)
            except UnknownModel as error:
                raise ConfigurationError(f"{setting}: {error.sentence}") from error


class Backdrop:
    """What channels ask of the stores. They are made before the stores are open; until then
    there is no answer.
    """

    def __init__(self) -> None:
        self._stores: OpenStores | None = None
        self._backlog: PostgresBacklog | None = None

    def open(self, stores: OpenStores) -> None:
        """From now on the stores answer."""
        self._stores = stores
        self.read(stores.database)

    def read(self, database: Database) -> None:
        """From now on it is known where each chat was left."""
        self._backlog = PostgresBacklog(database)

    async def last_accepted(self, channel: str) -> Mapping[str, str]:
        """Implements agent.ports.LastAccepted."""
        return await self._backlog(channel) if self._backlog else {}

    def pace(self, channel: str, token: SecretStr) -> SharedPace:
        """The pace that all instances of this bot keep together."""
        return _Pace(
            self,
            f"{channel}:{sha256(token.get_secret_value().encode()).hexdigest()[:12]}",
        )

    @property
    def pipe(self) -> RedisPipe | None:
        return self._stores.pipe if self._stores else None


@dataclass(frozen=True, slots=True)
class _Pace:
    """Implements channels.pacing.SharedPace once Redis is there; until then each instance
    paces alone.
    """

    behind: Backdrop
    bot: str

    async def reserve(self, key: str, rate: Rate) -> float:
        pipe = self.behind.pipe
        return await RedisPace(pipe, self.bot).reserve(key, rate) if pipe else 0.0

    async def penalise(self, key: str, seconds: float) -> None:
        if pipe := self.behind.pipe:
            await RedisPace(pipe, self.bot).penalise(key, seconds)


def configured_channels(
    settings: Settings, behind: Backdrop | None = None
) -> list[Channel]:
    """Every channel that has a token. Their SDKs are imported only then.

    Without `behind` they pace alone and know no chats. Raises ConfigurationError when one
    can not be made.
    """
    builders = (_discord, _telegram, _slack)
    return [
        channel
        for build in builders
        if (channel := build(settings, behind)) is not None
    ]


def _discord(settings: Settings, behind: Backdrop | None) -> Channel | None:
    if settings.discord_token is None:
        return None
    from channels.discord.channel import Discord
    from channels.pacing import Governor, Rate

    shared = behind.pace("discord", settings.discord_token) if behind else None
    return Discord(
        token=settings.discord_token.get_secret_value(),
        governor=Governor(
            bot=Rate(50, 1), shared=shared
        ),  # discord.com/developers/docs/topics/rate-limits, global
        api_url=settings.discord_api_url,
        public_url=settings.public_url,
        public_key=settings.discord_public_key,
        slash_commands=_slash_commands("discord"),
        last_accepted=behind.last_accepted if behind else None,
    )


def _telegram(settings: Settings, behind: Backdrop | None) -> Channel | None:
    if settings.telegram_token is None:
        return None
    from channels.pacing import Governor
    from channels.telegram.channel import BOT_RATE, CHAT_RATE, Telegram

    shared = behind.pace("telegram", settings.telegram_token) if behind else None
    return Telegram(
        token=settings.telegram_token.get_secret_value(),
        governor=Governor(chat=CHAT_RATE, bot=BOT_RATE, shared=shared),
        slash_commands=_slash_commands("telegram"),
        api_url=settings.telegram_api_url,
        public_url=settings.public_url,
        last_accepted=behind.last_accepted if behind else None,
    )


def _slack(settings: Settings, behind: Backdrop | None) -> Channel | None:
    if settings.slack_bot_token is None:
        return None
    from channels.pacing import Governor, Rate
    from channels.slack.channel import Slack

    shared = behind.pace("slack", settings.slack_bot_token) if behind else None
    return Slack(
        bot_token=settings.slack_bot_token.get_secret_value(),
        # about one message a second and channel, in short bursts:
        # docs.slack.dev/apis/web-api/rate-limits
        governor=Governor(chat=Rate(5, 5), shared=shared),
        slash_commands=_slash_commands("slack"),
        app_token=_revealed(settings.slack_app_token),
        signing_secret=_revealed(settings.slack_signing_secret),
        api_url=settings.slack_api_url,
        public_url=settings.public_url,
        last_accepted=behind.last_accepted if behind else None,
    )


def _slash_commands(channel: str, domain: str = DOMAIN) -> Callable[[], bool]:
    """Whether this channel offers commands now: a channel is made before there are flags,
    and asks again and again.
    """
    flags, who = OpenFeatureFlags(domain), Audience(channel=channel)
    return lambda: flags.value(ENABLE_SLASH_COMMANDS, who)


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


async def wire(
    database: Database,
    pipe: RedisPipe,
    models: LanguageModels,
    channels: Sequence[Channel],
    *,
    instance: UUID,
    window_messages: int = 20,
    lease: float = LEASE_SECONDS,
    per_person: Limit | None = None,
    worst: WorstCase = worst_case,
    home: Path | None = None,
    domain: str | None = None,
) -> Ports:
    """All that an engine stands on. Flags are kept in the folder `home`, too; OpenFeature
    knows them by `domain`.
    """
    control = RedisControl(database, pipe, home / disk_copy.FILE if home else None)
    await control.start()
    domain = domain or str(instance)
    provide(control, domain)
    limiter = RedisLimiter(database, pipe, control, per_person)
    leases = PostgresLeases(
        database, instance, [channel.name for channel in channels], lease=lease
    )

    return Ports(
        turns=PostgresTurns(database, instance, window_messages, lease=lease),
        deliveries=PostgresDeliveries(database),
        leases=leases,
        recovery=leases,
        cache=RedisCache(pipe, window_messages, limiter),
        commands=PostgresChatCommands(database, pipe),
        records=PostgresChatRecords(database),
        edits=PostgresEdits(database),
        votes=PostgresVotes(database),
        control=control,
        control_updates=control,
        models=models,
        channels={channel.name: channel for channel in channels},
        limiter=limiter,
        budgets=PostgresBudgets(database, control, worst),
        flags=OpenFeatureFlags(domain),
    )
