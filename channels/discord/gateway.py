"""discord.py's client, pointed at any server that speaks Discord's protocol.

It listens only to what a chat agent needs. discord.py has one module constant for the REST
base and one for the gateway. Both are overridden here for a single client. `_get_state` is
where its own sharded client puts in other parts. `request` and `ws_connect` are public
methods of its HTTP client. Nothing global changes, except the level of its loggers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

import aiohttp
import structlog
from yarl import URL

from agent.core.errors import ConfigurationError
from agent.settings.proxies import Proxies
from channels.discord.rest import PORTAL
from channels.discord.sdk import DiscordWebSocket, HTTPClient, Route, discord

CANCEL_AGAIN = 0.5
"""Seconds until a task that ignored its cancellation is cancelled again."""

log = structlog.get_logger()


class Listener(Protocol):
    """Receives events in Discord's order. Its methods must not block."""

    def connected(self, client: discord.Client) -> None:
        """A new session began; Discord does not repeat earlier events."""

    def said(self, message: discord.Message) -> None:
        """Somebody wrote."""

    def edited(self, message: discord.Message) -> None:
        """Somebody edited a message."""

    def deleted(self, chat: str, message: str) -> None:
        """A message was deleted."""

    def reacted(
        self, reaction: discord.RawReactionActionEvent, *, given: bool
    ) -> None:
        """Somebody gave a reaction to a message, or took it away."""

    def used(self, interaction: discord.Interaction) -> None:
        """Somebody used a command."""


class _Http(HTTPClient):
    """discord.py's HTTP client with a base of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, api_url: str) -> None:
        super().__init__(loop)
        self._api_url = api_url.rstrip("/")
        self._proxies = Proxies.of_environment()

    async def request(self, route: Route, **options: Any) -> Any:
        route.url = self._api_url + route.url.removeprefix(route.BASE)
        self.proxy = self._proxies.for_url(
            route.url
        )  # read before anything is awaited
        return await super().request(route, **options)

    async def ws_connect(
        self, url: str, *, compress: int = 0
    ) -> aiohttp.ClientWebSocketResponse:
        """A new session asks the server for its gateway; a resumed one knows it."""
        target = URL(url)
        if target.host == DiscordWebSocket.DEFAULT_GATEWAY.host:
            gateway = await self.request(Route("GET", "/gateway/bot"))
            target = URL(gateway["url"]).with_query(target.query)

        self.proxy = self._proxies.for_url(str(target))
        return await super().ws_connect(str(target), compress=compress)


class Gateway(discord.Client):
    """Reports to a listener what people do; caches only guilds, channels and threads.

    `identify_pause` is in seconds: Discord lets a bot begin one session every 5 seconds.
    """

    def __init__(
        self, listener: Listener, *, api_url: str, identify_pause: float = 5.0
    ) -> None:
        self._api_url = api_url
        self._listener = listener
        self._identify_pause = identify_pause
        # discord.py logs payloads, and so the texts of messages, and tracebacks when the
        # network is lost.
        logging.getLogger("discord").setLevel(logging.CRITICAL)
        super().__init__(
            intents=discord.Intents(
                guilds=True, messages=True, message_content=True, reactions=True
            ),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
        )

    def _get_state(self, **options: Any) -> Any:
        self.http = _Http(self.loop, self._api_url)
        return super()._get_state(**options)

    async def before_identify_hook(
        self, shard_id: int | None, *, initial: bool = False
    ) -> None:
        if not initial:
            await asyncio.sleep(self._identify_pause)

    def dispatch(self, event: str, /, *args: Any, **options: Any) -> None:
        """Calls the listener at once. In a task, as discord.py does it, the cache would
        already be newer.
        """
        try:
            self._report(event, *args)
        except Exception as error:  # one bad event must not end the connection
            log.warning(
                "discord event not read", kind=event, error=type(error).__name__
            )

    def _report(self, event: str, *args: Any) -> None:
        match event:
            case "connect":
                self._listener.connected(self)
            case "message":
                self._listener.said(*args)
            case "raw_message_edit":
                # Without this time, only the preview of a link was added.
                if args[0].message.edited_at is not None:
                    self._listener.edited(args[0].message)
            case "raw_message_delete":
                self._listener.deleted(
                    str(args[0].channel_id), str(args[0].message_id)
                )
            case "raw_bulk_message_delete":
                for message in args[0].message_ids:
                    self._listener.deleted(str(args[0].channel_id), str(message))
            case "raw_reaction_add" | "raw_reaction_remove":
                self._listener.reacted(*args, given=event == "raw_reaction_add")
            case "interaction":
                self._listener.used(*args)


async def hold_session(gateway: Gateway, token: str) -> None:
    """Holds one session, with its resumes, until cancelled.

    Raises ConfigurationError when Discord refuses this bot, ConnectionError when it
    cannot be reached.
    """
    try:
        async with gateway:
            await until_cancelled(gateway.start(token))
    except discord.LoginFailure as error:
        raise token_refused() from error
    except discord.PrivilegedIntentsRequired as error:
        raise ConfigurationError(
            "Discord hides the text of messages from this bot; switch on MESSAGE CONTENT INTENT at "
            f"{PORTAL}/{gateway.application_id or ''}/bot and start again."
        ) from error
    except discord.ConnectionClosed as error:
        raise _closed(error.code) from error
    except (
        discord.HTTPException,
        discord.GatewayNotFound,
        aiohttp.ClientError,
        TimeoutError,
        OSError,
    ) as error:
        raise ConnectionError(type(error).__name__) from error


async def until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`. When cancelled, cancels it again and again until it ends.

    discord.py connects inside `asyncio.wait_for`, which before Python 3.12 can swallow a
    cancellation (python/cpython#86296).
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN)

    task.result()


def token_refused() -> ConfigurationError:
    """The error for a token that Discord does not know."""
    return ConfigurationError(
        f"DISCORD_TOKEN is wrong or was reset; make a new one at {PORTAL}, page "
        "Bot, Reset Token, and set it."
    )


def _closed(code: int) -> Exception:
    """https://docs.discord.com/developers/topics/opcodes-and-status-codes, "Gateway close
    event codes".
    """
    if code == 4004:
        return token_refused()
    if code in (4010, 4011):
        return ConfigurationError(
            "This bot is in too many servers for one connection (2,500); remove it from some."
        )

    return ConnectionError(f"closed with {code}")
