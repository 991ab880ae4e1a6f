"""One shared HTTP client, and a way to receive server-sent events through it that always ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from agent.llm import http_errors
from agent.llm.http_errors import Server
from agent.llm.provider import AttemptError
from agent.settings import Settings

# answers in progress at once, per process; further ones wait within their first-byte limit
_CONNECTIONS = 256
_IDLE_CONNECTIONS = 32
_IDLE_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_DRAIN_SECONDS = (
    0.25  # after the last event: reading to the end lets the connection be used again
)
_ERROR_BYTES = 16_384

IsLast = Callable[[ServerSentEvent], bool]


def open_wire(settings: Settings) -> Wire:
    """A wire with a client of its own; close it."""
    client = httpx.AsyncClient(
        limits=httpx.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
        ),
        timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
    )
    return Wire(client, settings.model_first_byte_timeout, settings.model_idle_timeout)


@dataclass(frozen=True, slots=True)
class Wire:
    """Requests whose answers are event streams. Limits are seconds until the first byte,
    and between two.
    """

    client: httpx.AsyncClient
    first_byte: float
    idle: float
    learned: dict[str, str] = field(default_factory=dict)
    """What servers call the longest answer, by model, where it is not what was tried first."""

    async def aclose(self) -> None:
        await self.client.aclose()

    async def events(
        self, server: Server, body: dict[str, Any], is_last: IsLast
    ) -> AsyncGenerator[ServerSentEvent]:
        """The events of one answer. Returns after the last one, or where the server closed
        its stream.

        Raises AttemptError. The connection is released when this generator is closed.
        """
        ended = False
        try:
            async with (
                self._asked(server, body) as (response, patience),
                aclosing(EventSource(response).aiter_sse()) as events,
            ):
                async for event in events:
                    yield event
                    if is_last(event):
                        ended, patience.seconds = True, _DRAIN_SECONDS
        except AttemptError:
            if not ended:
                raise
        except SSEError:
            raise http_errors.no_stream(server) from None
        except httpx.HTTPError:
            if not ended:
                raise http_errors.broken(server) from None

    @asynccontextmanager
    async def _asked(
        self, server: Server, body: dict[str, Any]
    ) -> AsyncIterator[tuple[httpx.Response, _Patience]]:
        deadline = asyncio.get_running_loop().time() + self.first_byte
        response = await self._sent(server, body, deadline)
        try:
            patience = _Patience(response, server, deadline, self)
            if response.status_code != httpx.codes.OK:
                error = await _beginning(response)
                raise http_errors.refused(
                    server, response.status_code, response.headers, error
                )
            yield response, patience
        finally:
            await response.aclose()

    async def _sent(
        self, server: Server, body: dict[str, Any], deadline: float
    ) -> httpx.Response:
        # Lone surrogates are no UTF-8; people can paste them.
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            **server.headers,
        }
        try:
            request = self.client.build_request(
                "POST", server.url, headers=headers, content=content
            )
            async with asyncio.timeout_at(deadline):
                return await self.client.send(request, stream=True)
        except TimeoutError:
            raise http_errors.late(server, self.first_byte) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            raise http_errors.no_address(server) from None
        except httpx.HTTPError as error:
            unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise http_errors.unreachable(server, may_cost=not unsent) from None


class _Patience(httpx.AsyncByteStream):
    """Stands between a response and its bytes: raises AttemptError when they stay away too long.

    It sits below the event parser, so that a comment that only says "still here" counts as
    a sign of life.
    """

    def __init__(
        self,
        response: httpx.Response,
        server: Server,
        first_deadline: float,
        wire: Wire,
    ) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._bytes = response.stream
        self._server = server
        self._first_deadline = first_deadline
        self._first_byte = wire.first_byte
        self.seconds = wire.idle
        response.stream = self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._bytes)
        try:
            async with asyncio.timeout_at(self._first_deadline):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise http_errors.late(self._server, self._first_byte) from None
        while chunk is not None:
            yield chunk
            try:
                async with asyncio.timeout(self.seconds):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise http_errors.silent(self._server, self.seconds) from None

    async def aclose(self) -> None:
        await self._bytes.aclose()


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of an error; what stands there matters less than the status, so it
    may break off.
    """
    read = bytearray()
    with suppress(AttemptError, httpx.HTTPError):
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) >= _ERROR_BYTES:
                break
    return bytes(read)
