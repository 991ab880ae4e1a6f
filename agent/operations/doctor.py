"""What `agent doctor` does: tries every configured part for real and says what to mend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import asyncpg

from agent.app import build_channels, check_models, configured_channels
from agent.core.channel import Diagnosable, Finding
from agent.core.completion import Prompt
from agent.core.errors import AgentError, ConfigurationError, ModelError
from agent.llm.router import open_models
from agent.operations.connect import reach_postgres
from agent.operations.credentials import with_stored_credentials
from agent.operations.remedies import described
from agent.operations.status import check_redis, failure_sentence
from agent.ports import Channel
from agent.settings import OFFLINE, Settings
from channels.services import WITHOUT_STORES, ChannelServices
from storage import migrate
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.postgres import GONE, open_database
from storage.reports.status import try_writing

DIAGNOSIS_SECONDS = 30.0
_PAGE = "See docs/configuration.md."


async def diagnose(settings: Settings, *, only: str | None = None) -> list[Finding]:
    """Tries every configured part for real; of the channels this one only, if one is named.
    Empty: all is well.

    Postgres comes first: it holds tokens, and channels look at the chats it knows. The
    others go side by side.
    """
    postgres = await _try_postgres(settings)
    others = await asyncio.gather(
        _try_redis(settings),
        _try_model(settings),
        _try_channels(settings, only, reachable=not postgres),
    )
    return [finding for findings in (postgres, *others) for finding in findings]


async def _try_postgres(settings: Settings) -> Sequence[Finding]:
    try:
        async with reach_postgres(settings) as postgres:
            revision = await migrate.current_revision(postgres.url)
            if revision is None and postgres.embedded:
                return []
            await migrate.check_schema(postgres.url)
            await try_writing(postgres.url)
    except ConfigurationError as error:
        return [Finding("postgres", described(error), _PAGE)]
    except asyncpg.InsufficientPrivilegeError:
        problem = "This user may not write the agent's tables or make new ones."
        return [
            Finding("postgres", problem, "Grant it both, or correct DATABASE_URL.")
        ]
    except (*GONE, asyncpg.PostgresError) as error:
        return [Finding("postgres", failure_sentence("Postgres", error), _PAGE)]
    return []


async def _try_redis(settings: Settings) -> Sequence[Finding]:
    check = await check_redis(settings)
    if check.state == "slower":
        problem = "Redis does not answer: the agent works without it, slower."
        return [Finding("redis", problem, "Start it, or correct REDIS_URL.")]
    return [] if check.state == "ok" else [Finding("redis", check.text, _PAGE)]


async def _try_model(settings: Settings) -> Sequence[Finding]:
    """The shortest request there is, to the default model; of the others only whether they
    could be asked.
    """
    async with open_models(settings) as models:
        try:
            check_models(settings, models)
            if settings.model != OFFLINE:
                prompt = Prompt("", (("user", "Say ok."),))
                async with aclosing(models.stream(settings.model, prompt)) as answer:
                    await anext(
                        piece async for piece in answer if isinstance(piece, str)
                    )
        except (ConfigurationError, ModelError) as error:
            return [Finding("model", described(error), _PAGE)]
    return []


async def _try_channels(
    settings: Settings, only: str | None, *, reachable: bool
) -> Sequence[Finding]:
    """Each by itself; without the database (`reachable`) those of the settings, which then
    know no chats.
    """
    try:
        if not reachable:
            return await _try_built(settings, only, WITHOUT_STORES)
        async with _stored(settings) as (settings, services):
            return await _try_built(settings, only, services)
    except ConfigurationError as error:
        return [Finding("channels", described(error), _PAGE)]


async def _try_built(
    settings: Settings, only: str | None, services: ChannelServices
) -> Sequence[Finding]:
    built = build_channels(settings, configured_channels(settings), services)
    chosen = [channel for channel in built if only in (None, channel.name)]
    found = await asyncio.gather(*map(_try_channel, chosen))

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
        async with asyncio.timeout(DIAGNOSIS_SECONDS):
            return await channel.diagnose()
    except AgentError as error:
        return [Finding(channel.name, described(error), _PAGE)]
    except TimeoutError:
        problem = f"It did not answer within {DIAGNOSIS_SECONDS:.0f} s."
        return [Finding(channel.name, problem, "Check the network.")]
