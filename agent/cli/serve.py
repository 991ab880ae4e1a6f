"""`agent serve`: every channel that has a token, side by side, until stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import structlog

from agent.app import App, ChannelBuilders, configured_channels, open_app
from agent.cli.run import WELL, spare_collections
from agent.core.background import backoff, end
from agent.core.errors import AgentError, ConfigurationError, ServerAway
from agent.logs import announce
from agent.operations.backups import backup_schedule
from agent.operations.banner import STOPS, announce_start, shown_address
from agent.operations.credentials import with_stored_credentials
from agent.operations.env_file import exposure
from agent.operations.load import watch_stores
from agent.ports import Accept, Channel
from agent.settings import ENV_FILE, Settings
from agent.web.app import web_app
from agent.web.presence import tell_channels
from agent.web.server import http_server
from agent.web.state import InstanceState, Service
from storage.connecting.requirements import check_connection

FIRST_PAUSE = 1.0
"""Seconds before the first restart of a channel; doubled up to `MAX_PAUSE`."""

MAX_PAUSE = 60.0

MAX_START_PAUSE = 5.0
"""Of a start that waits for Postgres: people wait with it."""

HEALTHY_SECONDS = 60.0
"""A channel that ran longer than this had recovered: its next pause is the first again."""

RESTART = "A changed setting needs a restart of the agent."

log = structlog.get_logger()


async def serve(
    settings: Settings,
    *,
    upgrade: bool,
    channels_of: Callable[[Settings], ChannelBuilders] = configured_channels,
) -> int:
    """Runs until cancelled. Raises ConfigurationError when no channel has a token."""
    if exposed := exposure(ENV_FILE):
        log.warning(exposed)
    state = InstanceState([Service(name) for name in channels_of(settings)])
    # HTTP is outermost: it reports health from the start until the engine is drained.
    async with http(settings, state) as address:
        await until_postgres_answers(settings, state)
        settings = await with_stored_credentials(settings)
        builders = channels_of(settings)
        if not builders:
            raise ConfigurationError(
                "No channel has a token: set DISCORD_TOKEN, TELEGRAM_TOKEN or "
                "SLACK_BOT_TOKEN, or talk here with agent chat."
            )

        state.services = [Service(name) for name in builders]
        async with (
            open_app(settings, builders, upgrade=upgrade) as app,
            backup_schedule(settings, app.stores.database_url),
            watch_stores(settings, app.stores),
            tell_channels(state, app.stores.pipe),
        ):
            announce_start(app, address)
            await _run_channels(app, state)

    return WELL


async def until_postgres_answers(
    settings: Settings,
    state: InstanceState,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Waits for a server that is away: after a power cut it may start later than the agent.

    Meanwhile the instance is not ready. Raises ConfigurationError for what waiting cannot
    mend, such as a wrong password.
    """
    if settings.database_url is None:
        return

    for pause in backoff(FIRST_PAUSE, MAX_START_PAUSE):
        try:
            await check_connection(settings.database_url.get_secret_value())
            return
        except ServerAway as error:
            state.waits_for = {"postgres": error.sentence}
            log.warning(f"{error.sentence} It is tried again in {pause:.0f} s.")
            await sleep(pause)


async def _run_channels(
    app: App,
    state: InstanceState,
) -> None:
    """Until cancelled."""
    state.run(app)
    spare_collections()
    channels = app.ports.channels
    try:
        await _side_by_side(
            supervise(channels[one.name], app.engine.accept, tell=one.tell)
            for one in state.services
        )
    finally:
        announce(STOPS)
        state.stop()


@asynccontextmanager
async def http(
    settings: Settings,
    state: InstanceState,
) -> AsyncIterator[str]:
    """The HTTP server of these settings; gives its address.

    Raises ConfigurationError when it cannot listen.
    """
    token = settings.metrics_token
    app = web_app(
        state,
        trusted_proxies=[str(one) for one in settings.trusted_proxies],
        metrics_token=token.get_secret_value() if token else "",
    )
    async with http_server(app, settings.http_host, settings.http_port) as port:
        log.info("http", host=settings.http_host, port=port)
        yield f"http://{shown_address(settings.http_host, port)}"


async def _side_by_side(services: Iterable[Awaitable[None]]) -> None:
    """Runs all of them. The first that raises ends the others."""
    tasks = [asyncio.ensure_future(service) for service in services]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(tasks)


async def supervise(
    channel: Channel,
    accept: Accept,
    *,
    tell: Callable[[str | None], None] = lambda trouble: None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Runs a channel forever. When it ends it is restarted, each time later, up to a minute.

    Why it ended is logged, once as long as it stays the same, and told; None is told when
    it starts. Nothing that happens to one channel reaches another.
    """
    pauses, logged = backoff(FIRST_PAUSE, MAX_PAUSE), ""
    while True:
        started = clock()
        tell(None)
        reason = await _run(channel, accept)
        tell(reason)

        if clock() - started > HEALTHY_SECONDS:
            pauses, logged = backoff(FIRST_PAUSE, MAX_PAUSE), ""
        pause = next(pauses)
        log.log(
            logging.DEBUG if reason == logged else logging.ERROR,
            f"{channel.name}: {reason} It is tried again in {pause:.0f} s, and then "
            "at least every minute.",
        )
        logged = reason
        await sleep(pause)


async def _run(
    channel: Channel,
    accept: Accept,
) -> str:
    """Runs the channel. Returns why it ended, as a sentence."""
    try:
        await channel.run(accept)
    except ConfigurationError as error:
        return f"{error.sentence} {RESTART}"
    except AgentError as error:
        return error.sentence
    except Exception as error:  # an SDK's own fault must not end the other channels
        log.debug("channel failed", channel=channel.name, exc_info=error)
        return f"It failed with {type(error).__name__}."

    return "It ended by itself."
