"""The composition root: the only place that wires things together.

The stores are opened first, then the channels are built, then the engine starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from uuid import UUID

import structlog
from msgspec import Struct
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from agent.control.flags import ENABLE_SLASH_COMMANDS, KEEP_EARLIER_TEXTS
from agent.control.openfeature import DOMAIN, HookedFlags, provide
from agent.control.rules import Audience
from agent.conversation.engine import Engine
from agent.core.background import backoff, run_in_background
from agent.core.imports import on_demand
from agent.core.limits import PER_PERSON, Limit
from agent.core.options import Options
from agent.llm.catalog import check_models, with_default_model
from agent.llm.prices.bound import worst_case
from agent.llm.router import ModelRouter, open_models
from agent.ports import Channel, Flags, LanguageModels, Ports
from agent.ports.chat import ChatCommands, ChatRecords
from agent.settings import Settings
from agent.telemetry import traced
from channels.services import ChannelServices, ModelNames, names_of, no_names
from storage.control import disk_copy
from storage.control.live import RedisControl, follow_changes
from storage.conversation.cache import RedisCache
from storage.conversation.deliveries import PostgresDeliveries
from storage.conversation.edits import PostgresEdits
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.conversation.leases import PostgresLeases
from storage.conversation.turns import PostgresTurns
from storage.conversation.votes import PostgresVotes
from storage.lifecycle import upkeep_is_due
from storage.limits.budgets import PostgresBudgets, WorstCase
from storage.limits.limiter import RedisLimiter
from storage.limits.noted import Noted
from storage.limits.send_pace import RedisPace
from storage.migrate.stores import OpenStores, open_stores
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import RedisPipe
from storage.reports.channels import RedisUnreadable

CHANNELS: Mapping[str, str] = {
    "discord": "discord_token",
    "telegram": "telegram_token",
    "slack": "slack_bot_token",
}
"""The channels of `agent serve`, and the setting that switches each of them on."""

NOT_FOR_TURNS = (
    "storage.conversation.commands",
    "storage.conversation.records",
    "storage.conversation.upkeep",
)
"""Modules that a turn does without."""

RETRY_SECONDS = 3600.0
"""Pause at most until what failed to begin is begun again."""

ChannelBuilder = Callable[[Settings, ChannelServices], Channel | None]
"""`build` of `channels/<name>/channel.py`; None: the settings do not ask for this channel."""

ChannelBuilders = Mapping[str, ChannelBuilder]
"""By the name of the channel that each one builds."""

log = structlog.get_logger()


class App(Struct, frozen=True):
    """One instance, wired."""

    settings: Settings
    instance: UUID
    stores: OpenStores
    ports: Ports
    engine: Engine


@asynccontextmanager
async def open_app(
    settings: Settings,
    builders: ChannelBuilders,
    *,
    upgrade: bool = False,
    upkeep_after: float = 0,
) -> AsyncIterator[App]:
    """One instance with these channels; inside, its engine takes messages and recovers what
    others left.

    `upkeep_after`: how many seconds later it looks after the rest, unless that is due.
    """
    instance = uuid7()

    async with open_models(settings) as models, AsyncExitStack() as stack:
        settings = await with_default_model(settings, models)
        check_models(settings, models)
        stores = await stack.enter_async_context(
            open_stores(settings, upgrade=upgrade)
        )
        noted = Noted()
        ports = await _wire_settings(
            settings, stores, models, builders, instance, noted
        )
        look_after = partial(_upkeep, settings, stores, models, noted)
        if upkeep_after and not await upkeep_is_due(stores.database_url):
            look_after = partial(run_in_background, _later, upkeep_after, look_after)

        async with (
            look_after(),
            follow_changes(stores.pipe, ports.control_updates),
            traced(ports, settings, instance) as watched,
            Engine(watched, options_of(settings)) as engine,
        ):
            models.specs.start(settings.model)  # in a thread; nobody waits for it
            yield App(settings, instance, stores, ports, engine)


@asynccontextmanager
async def _upkeep(
    settings: Settings, stores: OpenStores, models: LanguageModels, noted: Noted
) -> AsyncIterator[None]:
    _import_rest()
    from storage.conversation.upkeep import upkeep

    async with upkeep(settings, stores.database, stores.pipe, models, noted):
        yield


def _import_rest() -> None:
    for name in NOT_FOR_TURNS:
        import_module(name)


async def _later(
    seconds: float, look_after: Callable[[], AbstractAsyncContextManager[None]]
) -> None:
    for pause in backoff(seconds, RETRY_SECONDS):
        await asyncio.sleep(pause)
        try:
            # in a thread: a person types meanwhile
            await asyncio.to_thread(_import_rest)
            async with look_after():
                await asyncio.Event().wait()
        # whatever it is: a chat may last for days
        except Exception as error:
            log.exception(
                "upkeep did not begin; it is tried again", error=type(error).__name__
            )


def options_of(settings: Settings) -> Options:
    """What the engine needs of them."""
    return Options(
        settings.model,
        settings.system_prompt,
        settings.max_message_chars,
        delivery_seconds=3600 * settings.delivery_hours,
    )


def configured_channels(settings: Settings) -> ChannelBuilders:
    """A builder for every channel that has a token. Only their SDKs are imported."""
    return {
        name: import_module(f"channels.{name}.channel").build
        for name, token in CHANNELS.items()
        if getattr(settings, token) is not None
    }


def build_channels(
    settings: Settings, builders: ChannelBuilders, services: ChannelServices
) -> list[Channel]:
    """Raises ConfigurationError when one cannot be built."""
    built = (build(settings, services) for build in builders.values())
    return [channel for channel in built if channel is not None]


def channel_services(
    database: Database, pipe: RedisPipe, flags: Flags, names: ModelNames = no_names
) -> ChannelServices:
    """What channels may ask of an instance with these stores and flags."""

    def slash_commands(channel: str) -> bool:
        return flags.value(ENABLE_SLASH_COMMANDS, Audience(channel=channel))

    def shared_pace(channel: str, token: SecretStr) -> RedisPace:
        bot = sha256(token.get_secret_value().encode()).hexdigest()[:12]
        return RedisPace(pipe, f"{channel}:{bot}")

    return ChannelServices(
        slash_commands=slash_commands,
        model_names=names,
        last_accepted=PostgresLastAccepted(database),
        note_unreadable=RedisUnreadable(pipe).note,
        shared_pace=shared_pace,
    )


def _keeps_earlier_texts(flags: Flags, channel: str) -> bool:
    return flags.value(KEEP_EARLIER_TEXTS, Audience(channel=channel))


async def _wire_settings(
    settings: Settings,
    stores: OpenStores,
    models: ModelRouter,
    builders: ChannelBuilders,
    instance: UUID,
    noted: Noted,
) -> Ports:
    return await wire(
        stores.database,
        stores.pipe,
        models,
        partial(build_channels, settings, builders),
        instance=instance,
        window_messages=settings.window_messages,
        per_person=PER_PERSON,
        worst=partial(
            worst_case, models=models.specs, fallbacks=settings.fallback_models
        ),
        home=settings.agent_home,
        domain=DOMAIN,
        noted=noted,
    )


async def wire(
    database: Database,
    pipe: RedisPipe,
    models: LanguageModels,
    channels_of: Callable[[ChannelServices], Sequence[Channel]],
    *,
    instance: UUID,
    noted: Noted,
    window_messages: int = 20,
    lease: float = LEASE_SECONDS,
    per_person: Limit | None = None,
    worst: WorstCase = worst_case,
    home: Path | None = None,
    domain: str | None = None,
) -> Ports:
    """All that an engine stands on. `home` has a copy of the flags, `domain` names them."""
    control = await _open_control(database, pipe, home, noted)
    flags = _provided(control, domain or str(instance))
    services = channel_services(database, pipe, flags, names_of(models, control))
    by_name = {channel.name: channel for channel in channels_of(services)}
    leases = PostgresLeases(database, instance, [*by_name], lease=lease)
    limiter = RedisLimiter(database, pipe, control, per_person)
    return Ports(
        turns=PostgresTurns(database, instance, window_messages, lease=lease),
        deliveries=PostgresDeliveries(database),
        leases=leases,
        recovery=leases,
        cache=RedisCache(pipe, window_messages, limiter, lambda: control.lineage),
        commands=on_demand(lambda: _commands(database, pipe)),
        records=on_demand(lambda: _records(database)),
        edits=PostgresEdits(database, partial(_keeps_earlier_texts, flags)),
        votes=PostgresVotes(database),
        control=control,
        control_updates=control,
        models=models,
        channels=by_name,
        limiter=limiter,
        budgets=_budgets(database, control, worst, noted, models),
        flags=flags,
    )


def _commands(database: Database, pipe: RedisPipe) -> ChatCommands:
    from storage.conversation.commands import PostgresChatCommands

    return PostgresChatCommands(database, pipe)


def _records(database: Database) -> ChatRecords:
    from storage.conversation.records import PostgresChatRecords

    return PostgresChatRecords(database)


def _budgets(
    database: Database,
    control: RedisControl,
    worst: WorstCase,
    noted: Noted,
    models: LanguageModels,
) -> PostgresBudgets:
    learn = models.learn if isinstance(models, ModelRouter) else None

    return PostgresBudgets(database, control, worst, noted.touched, learn)


async def _open_control(
    database: Database, pipe: RedisPipe, home: Path | None, noted: Noted
) -> RedisControl:
    """What operators set, read once; `home` is the folder of its copy on disk."""
    file = home / disk_copy.FILE if home else None
    control = RedisControl(database, pipe, file, noted.uses)
    await control.start()

    return control


def _provided(control: RedisControl, domain: str) -> HookedFlags:
    """The agent's own flags. Other code finds the same ones by OpenFeature's `domain`."""
    provide(control, domain)
    return HookedFlags(control, domain)
