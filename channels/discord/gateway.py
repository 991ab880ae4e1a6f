"""discord.py's client, pointed at any server that speaks Discord's protocol.

It listens only to what a chat agent needs. discord.py has one module constant for the REST
base and one for the gateway. Both are overridden here for a single client. `_get_state` is
where its own sharded client puts in other parts. `request` and `ws_connect` are public
methods of its HTTP client. Nothing global changes, except the level of its loggers.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Coroutine
from functools import partial
from types import NoneType
from typing import Any, Protocol

import aiohttp
from yarl import URL

from agent.core.background import end
from agent.core.errors import ConfigurationError
from agent.settings.proxies import Proxies
from channels.connection import Connection
from channels.discord.reading.fields import digits, record, string
from channels.discord.rest import PORTAL, TOKEN_REFUSED
from channels.discord.sdk import DiscordWebSocket, HTTPClient, Route, discord
from channels.unreadable import READING, UnreadableEvents

CANCEL_AGAIN = 0.5
"""Seconds until a task that ignored its cancellation is cancelled again."""


class Listener(Protocol):
    """Receives events in Discord's order. Its methods must not block, nor raise."""

    def connected(self, client: Gateway) -> None:
        """A new session began; Discord does not repeat earlier events."""

    def received(self, kind: str, data: object) -> None:
        """An event, as Discord sent it."""


class _Parsers(dict[str, Callable[[object], None]]):
    """In place of discord.py's parsers: an event of any name goes on as it came."""

    def __init__(self, receive: Callable[[str, object], None]) -> None:
        super().__init__()
        self._receive = receive

    def __missing__(self, kind: str) -> Callable[[object], None]:
        return partial(self._receive, kind)


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
    """Hands a listener every event as Discord sent it. discord.py reads none and caches
    nothing: one field that it does not expect would end the session for everybody.

    `identify_pause` is in seconds: Discord lets a bot begin one session every 5 seconds.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        api_url: str,
        unreadable: UnreadableEvents,
        connection: Connection | None = None,
        identify_pause: float = 5.0,
    ) -> None:
        self._api_url = api_url
        self._listener = listener
        self._unreadable = unreadable
        self._identify_pause = identify_pause
        self._reach = connection or Connection("discord")
        self.me = ""
        self.portal_id = ""
        self.begun = False
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
        state: Any = super()._get_state(**options)
        state.parsers = _Parsers(self._listener.received)
        # Called with each new socket, before its first frame.
        state._update_references = self._guard  # noqa: SLF001

        return state

    async def login(self, token: str) -> None:
        """Signs in. Only two ids are read of what Discord answers.

        Raises ConnectionError when the agent's own is not among it.
        """
        me = record(await self.http.static_login(token.strip()))
        self.me, self._reach.account = digits(me, "id"), string(me, "username")
        about = record(await self.http.application_info())
        self.portal_id = digits(about, "id") or self.me
        if not self.me:
            raise ConnectionError("an answer without the agent's id")

    async def before_identify_hook(
        self, shard_id: int | None, *, initial: bool = False
    ) -> None:
        if not initial:
            await asyncio.sleep(self._identify_pause)

    def dispatch(self, event: str, /, *args: Any, **options: Any) -> None:
        """A new session is noticed by the name of its first event, whatever is in it."""
        if event == "socket_event_type" and args == ("READY",):
            self.begun = True
            self._listener.connected(self)

        if event == "disconnect":
            self._reach.lost("the connection ended")
        elif (
            event == "socket_event_type"
        ):  # READY, RESUMED, or anything that happened
            self._reach.established()

    def _guard(self, socket: DiscordWebSocket) -> None:
        """A frame that discord.py cannot read is passed over, except the first: without
        its interval there is no heartbeat.
        """
        read = socket.received_message

        async def received(frame: Any, /) -> None:
            sequence = socket.sequence
            with self._unreadable.reading("frame"):
                await read(frame)

            if type(socket.sequence) not in (int, NoneType):
                socket.sequence = sequence
            if socket._keep_alive is None:  # noqa: SLF001
                await socket.socket.close(code=4000)
                raise ConnectionError("a greeting that cannot be read")

        socket.received_message = received  # type: ignore[method-assign]


async def hold_session(gateway: Gateway, token: str) -> None:
    """Holds one session, with its resumes, until cancelled.

    Raises ConfigurationError when Discord refuses this bot, ConnectionError when it
    cannot be reached.
    """
    try:
        async with gateway:
            await until_cancelled(gateway.start(token))
    except discord.LoginFailure as error:
        raise ConfigurationError(TOKEN_REFUSED) from error
    except discord.PrivilegedIntentsRequired as error:
        raise ConfigurationError(
            "Discord hides the text of messages from this bot; switch on MESSAGE CONTENT INTENT at "
            f"{PORTAL}/{gateway.portal_id}/bot and start again."
        ) from error
    except discord.ConnectionClosed as error:
        raise _closed(error.code) from error
    except (
        discord.HTTPException,
        discord.GatewayNotFound,
        aiohttp.ClientError,
        TimeoutError,
        OSError,
        zlib.error,
        *READING,
    ) as error:
        raise ConnectionError(type(error).__name__) from error


async def until_cancelled(work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`. When cancelled, cancels it until it ends.

    discord.py connects inside `asyncio.wait_for`, which before Python 3.12 can swallow a
    cancellation (python/cpython#86296).
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        await end({task}, again=CANCEL_AGAIN)

    task.result()


def _closed(code: int) -> Exception:
    """https://docs.discord.com/developers/topics/opcodes-and-status-codes, "Gateway close
    event codes".
    """
    if code == 4004:
        return ConfigurationError(TOKEN_REFUSED)
    if code in (4010, 4011):
        return ConfigurationError(
            "This bot is in too many servers for one connection (2,500); remove it from some."
        )

    return ConnectionError(f"closed with {code}")
