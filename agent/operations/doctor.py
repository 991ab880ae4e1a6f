"""What `agent doctor` does: tries every configured part for real and says what to mend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from agent.app import CHANNELS, build_channels, configured_channels
from agent.core.channel import Diagnosable, Finding, unanswered
from agent.core.errors import (
    AgentError,
    ConfigurationError,
    SchemaError,
)
from agent.operations.backups import impossible
from agent.operations.connect import Postgres, reach_postgres
from agent.operations.credentials import with_stored_credentials
from agent.operations.providers import model_findings
from agent.operations.proxies import proxy_findings
from agent.operations.remedies import described
from agent.operations.status import check_redis, failure_sentence
from agent.ports import Channel
from agent.settings import Settings
from channels.services import WITHOUT_STORES, ChannelServices
from storage import migrate
from storage.backup.kept import overdue
from storage.control.flag_rules import longest_conversation
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.postgres import GONE, open_database
from storage.redis import open_redis
from storage.reports.channels import unreadable_events, unreadable_sentence
from storage.reports.status import live_instances, try_writing

DIAGNOSIS_SECONDS = 9.5
"""For everything together: someone waits, and what hangs is a finding."""

STORE_SECONDS = 4.0
"""Of these, for a Postgres server; the channels come after it."""

_PAGE = "See docs/configuration.md."

_POOLER = (
    "DATABASE_URL leads to a pooler in transaction mode. The agent works there, with more "
    "round trips; backups need Postgres itself, and its number of connections is not seen."
)
_SAY_SO = (
    "Add pooled=true to DATABASE_URL, so that this need not be found out at each start. "
    "Give agent backup create Postgres' own URL with --from."
)


async def diagnose(
    settings: Settings,
    *,
    only: str | None = None,
) -> list[Finding]:
    """Tries every configured part for real; of the channels this one only, if one is named.
    Empty: all is well.

    Postgres comes first: it holds tokens, and channels look at the chats it knows. The
    others go side by side.
    """
    started = asyncio.get_running_loop().time()
    end = started + DIAGNOSIS_SECONDS
    # an embedded one may still have to be made, and does not hang
    patience = STORE_SECONDS if settings.database_url else 4 * DIAGNOSIS_SECONDS
    postgres = await _in_time("postgres", _try_postgres(settings), started + patience)
    others = await asyncio.gather(
        _in_time("redis", _try_redis(settings), end),
        _in_time("model", model_findings(settings), end),
        _try_channels(settings, only, reachable=not postgres, end=end),
        _in_time("redis", _unreadable(settings), end),
    )
    parts = (list(proxy_findings(settings)), postgres, *others)

    return [finding for findings in parts for finding in findings]


async def _in_time(
    part: str,
    findings: Awaitable[Sequence[Finding]],
    end: float,
) -> Sequence[Finding]:
    try:
        async with asyncio.timeout_at(end):
            return await findings
    except TimeoutError:
        return [unanswered(part)]


async def _unreadable(settings: Settings) -> Sequence[Finding]:
    """What running instances could not read lately. Without Redis nobody remembers."""
    if not settings.redis_url:
        return []

    async with open_redis(settings.redis_url.get_secret_value()) as pipe:
        found = {name: await unreadable_events(pipe, name) for name in CHANNELS}

    return [
        Finding(name, unreadable_sentence(kinds), "The log has a line for each.")
        for name, kinds in found.items()
        if kinds
    ]


async def _try_postgres(settings: Settings) -> Sequence[Finding]:
    try:
        async with reach_postgres(settings) as postgres:
            revision = await migrate.current_revision(postgres.url)
            if revision is None and postgres.embedded:
                return []
            try:
                await migrate.check_schema(postgres.url)
            except SchemaError as error:
                return [
                    Finding("postgres", described(error), "See docs/database.md.")
                ]

            await try_writing(postgres.url)
            return [finding async for finding in _for_later(postgres, settings)]
    except ConfigurationError as error:
        return [Finding("postgres", described(error), _PAGE)]
    except (*GONE, asyncpg.PostgresError) as error:
        return [Finding("postgres", failure_sentence("Postgres", error), _PAGE)]


async def _for_later(
    postgres: Postgres, settings: Settings
) -> AsyncIterator[Finding]:
    """What goes well today, and not any more next month or with more instances."""
    async with open_database(postgres.url) as database:
        instances = len(await live_instances(database))
        longest = await longest_conversation(database)

    if longest > settings.window_messages:
        yield Finding(
            "flags",
            f"max_conversation_length is set to {longest}, but the model is never shown "
            f"more than WINDOW_MESSAGES, which is {settings.window_messages}.",
            "Raise WINDOW_MESSAGES, or lower the flag.",
        )
    if trouble := await impossible(settings, postgres.url):
        yield Finding("backups", trouble, "See docs/backups.md.")
    elif late := overdue(settings):
        yield Finding("backups", late, "See docs/backups.md.")
    if postgres.found is None:
        return

    if postgres.url != _given(settings):
        yield Finding("postgres", _POOLER, _SAY_SO, urgent=False)
    if not postgres.found.may_create:
        yield Finding(
            "postgres",
            postgres.found.may_not_create,
            "Until then next months share one table.",
        )
    if crowded := postgres.found.crowded(settings.connections, max(1, instances)):
        yield Finding("postgres", crowded, _PAGE)


def _given(settings: Settings) -> str:
    return settings.database_url.get_secret_value() if settings.database_url else ""


async def _try_redis(settings: Settings) -> Sequence[Finding]:
    check = await check_redis(settings, thoroughly=True)
    return [] if check.state == "ok" else [Finding("redis", check.text, _PAGE)]


async def _try_channels(
    settings: Settings,
    only: str | None,
    *,
    reachable: bool,
    end: float,
) -> Sequence[Finding]:
    """Each by itself; without the database (`reachable`) those of the settings, which then
    know no chats.
    """
    try:
        if not reachable:
            return await _try_built(settings, only, WITHOUT_STORES, end)
        async with _stored(settings) as (complete, services):
            return await _try_built(complete, only, services, end)
    except ConfigurationError as error:
        return [Finding("channels", described(error), _PAGE)]


async def _try_built(
    settings: Settings,
    only: str | None,
    services: ChannelServices,
    end: float,
) -> Sequence[Finding]:
    built = build_channels(settings, configured_channels(settings), services)
    chosen = [channel for channel in built if only in (None, channel.name)]
    found = await asyncio.gather(
        *(_in_time(one.name, _try_channel(one), end) for one in chosen)
    )

    return [finding for findings in found for finding in findings]


@asynccontextmanager
async def _stored(
    settings: Settings,
) -> AsyncIterator[tuple[Settings, ChannelServices]]:
    """The settings with what is stored, and what the database knows of chats, if it has
    tables.
    """
    async with reach_postgres(settings) as postgres:
        if await migrate.current_revision(postgres.url) is None:
            yield settings, WITHOUT_STORES
            return

        async with open_database(postgres.url) as database:
            settings = await with_stored_credentials(settings)
            yield (
                settings,
                ChannelServices(last_accepted=PostgresLastAccepted(database)),
            )


async def _try_channel(channel: Channel) -> Sequence[Finding]:
    if not isinstance(channel, Diagnosable):
        return []

    try:
        return await channel.diagnose()
    except AgentError as error:
        return [Finding(channel.name, described(error), _PAGE)]
