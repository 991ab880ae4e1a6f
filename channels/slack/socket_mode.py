"""Socket Mode: Slack's events over websockets that the agent opens.

Here connections overlap, an envelope is acknowledged where it came from, and a wrong token
ends `run`; docs/decisions.md says why Slack's own client is not used. The protocol:
https://docs.slack.dev/apis/events-api/using-socket-mode
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any

import aiohttp

from agent.core.background import backoff, end
from agent.core.errors import ConfigurationError
from channels.connection import Connection
from channels.fields import mapping, text
from channels.pacing import RateLimited
from channels.slack.api import APPS_PAGE, ApiError, SlackApi
from channels.slack.sign_in import raise_if_final
from channels.unreadable import READING, UnreadableEvents, unnoted

Handle = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]
"""Takes an envelope's payload. What it returns goes with the acknowledgement; None: do not
acknowledge.
"""

_HELLO_S = 10.0
_HEARTBEAT_S = 20.0  # finds dead connections
_LASTING_S = 60.0  # a connection that lasted this long was no failure
_MAX_PAUSE_S = 30.0

_UNNOTED = UnreadableEvents("slack", unnoted)

_log = logging.getLogger(__name__)


class SocketMode:
    """Keeps a connection to Slack, and a second one while the first is being replaced."""

    def __init__(
        self,
        api: SlackApi,
        handle: Handle,
        *,
        connected: Callable[[], None],
        connection: Connection | None = None,
        unreadable: UnreadableEvents = _UNNOTED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`api` holds the app-level token. `connected` is called after a gap, in which events
        may have been missed.
        """
        self._api = api
        self._handle = handle
        self._connected = connected
        self._connection = connection or Connection("slack")
        self._unreadable = unreadable
        self._sleep = sleep
        self._pauses: Iterator[float] | None = None  # since the first failure
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Runs until cancelled. Raises ConfigurationError when Slack does not let this app in."""
        overlaps = False
        try:
            async with self._api.session() as session:
                while True:
                    socket = await self._open(session)
                    if not overlaps:
                        self._connected()

                    leaving: asyncio.Future[bool] = (
                        asyncio.get_running_loop().create_future()
                    )
                    self._start(self._read(socket, leaving))
                    overlaps = await leaving
                    if not overlaps:
                        self._connection.lost("the connection ended")
        finally:
            await self._stop()

    async def _open(
        self, session: aiohttp.ClientSession
    ) -> aiohttp.ClientWebSocketResponse:
        while True:
            await self._back_off()
            try:
                url = (await self._api.call("apps.connections.open"))["url"]
                socket = await session.ws_connect(
                    str(url),
                    proxy=self._api.proxy_for(str(url)),
                    heartbeat=_HEARTBEAT_S,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1),
                )
                async with asyncio.timeout(_HELLO_S):
                    await socket.receive_json()
            except RateLimited as limit:
                await self._sleep(limit.retry_after)
            except ApiError as error:
                raise_if_final(error)
                self._connection.lost(error.sentence)
            except (
                aiohttp.ClientError,
                TimeoutError,
                OSError,
                *READING,
            ) as error:
                self._connection.lost(type(error).__name__)
            else:
                self._connection.established()
                return socket

    async def _back_off(self) -> None:
        if self._pauses is None:
            self._pauses = backoff(1.0, _MAX_PAUSE_S, spread=True)
        else:
            await self._sleep(next(self._pauses))

    async def _read(
        self, socket: aiohttp.ClientWebSocketResponse, leaving: asyncio.Future[bool]
    ) -> None:
        """Reads until the connection ends, some time after Slack asked to replace it."""
        began = time.monotonic()
        try:
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    with self._unreadable.reading("frame"):
                        self._received(socket, _envelope(frame.data), leaving)
        finally:
            if time.monotonic() - began > _LASTING_S:
                self._pauses = None

            if not leaving.done():
                leaving.set_result(False)

            await socket.close()

    def _received(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        envelope: Mapping[str, Any],
        leaving: asyncio.Future[bool],
    ) -> None:
        if envelope.get("type") == "disconnect":
            if not leaving.done():
                self._leave(str(envelope.get("reason")), leaving)
        elif text(envelope, "envelope_id"):
            self._start(self._take(socket, envelope))

    def _leave(self, reason: str, leaving: asyncio.Future[bool]) -> None:
        if reason == "link_disabled":
            leaving.set_exception(
                ConfigurationError(
                    f"Socket Mode was switched off: turn it on at {APPS_PAGE}, Socket Mode."
                )
            )
            return

        if reason in ("warning", "refresh_requested"):
            self._pauses = None  # Slack asked for the next connection: no failure

        leaving.set_result(True)

    async def _take(
        self, socket: aiohttp.ClientWebSocketResponse, envelope: Mapping[str, Any]
    ) -> None:
        answer = await self._handle(mapping(envelope, "payload"))
        if answer is None:
            return  # Slack sends it again after 3 s

        payload = (
            {"payload": answer}
            if answer and envelope.get("accepts_response_payload")
            else {}
        )
        try:
            await socket.send_json(
                {"envelope_id": envelope["envelope_id"], **payload}
            )
        except (ConnectionError, aiohttp.ClientError):
            _log.info(
                "Socket Mode: a connection closed before its acknowledgement; "
                "Slack sends that event again"
            )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        await end(self._tasks)


def _envelope(frame: str) -> Mapping[str, Any]:
    """The frame. Raises ValueError when it is no JSON, TypeError when it is no
    object."""
    envelope = json.loads(frame)
    if not isinstance(envelope, Mapping):
        raise TypeError("a frame of another form")

    return envelope
