"""Requests to model servers whose answers are server-sent events, received in a way that
always ends.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import httpx
from msgspec import Struct, field

from agent.core.errors import ConfigurationError
from agent.llm import http_errors
from agent.llm.bulkhead import CALLS, Bulkhead
from agent.llm.http_errors import Server
from agent.llm.provider import AttemptError, Patience
from agent.llm.reading.answer import Event
from agent.llm.reading.events import read_events
from agent.ports.tracing import GOES_WITH
from agent.settings import Settings
from agent.settings.proxied_transport import ProxiedTransport

IDLE_CONNECTIONS = 32
IDLE_SECONDS = 30.0
CONNECT_SECONDS = 10.0

LIMITS = httpx.Limits(
    max_connections=CALLS,
    max_keepalive_connections=IDLE_CONNECTIONS,
    keepalive_expiry=IDLE_SECONDS,
)
"""For each server."""

MOST_PORT = 65_535

RESPONSE_BYTES = 67_108_864
"""The longest response: thousands of bytes around each token of a long answer."""

LIST_BYTES = 16_777_216
"""The longest list of models that is read; OpenRouter's has about 0.5 MB."""

BROKEN = (httpx.HTTPError, ssl.SSLError)
"""What a call raises whose connection fails. What TLS says after its handshake, such as that a
certificate is wanted, httpx passes on as it is.
"""

_ERROR_BYTES = 16_384
Drain = Callable[[], float | None]


def open_wire(settings: Settings) -> Wire:
    """Makes no connection before one is needed; close it."""
    context = (
        httpx.create_ssl_context()
    )  # reads all certificates: once for all servers
    return Wire(
        settings.model_idle_timeout,
        lambda: open_client(ProxiedTransport(LIMITS, context)),
    )


def open_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """For one server; close it."""
    return httpx.AsyncClient(
        transport=transport, timeout=httpx.Timeout(None, connect=CONNECT_SECONDS)
    )


class Wire(Struct, frozen=True):
    """Requests whose answers are event streams, with a pool of connections for each provider."""

    idle: float  # seconds between two pieces of an answer
    make_client: Callable[[], httpx.AsyncClient]
    learned: dict[str, str] = field(default_factory=dict)
    """What servers call the longest answer, by model, and where they are, by the first
    address that was tried.
    """
    _bulkheads: dict[str, Bulkhead] = field(default_factory=dict)

    async def aclose(self) -> None:
        for bulkhead in self._bulkheads.values():
            await bulkhead.client.aclose()

    async def events(
        self, server: Server, body: dict[str, Any], patience: Patience, drain: Drain
    ) -> AsyncGenerator[Event]:
        """The events of one answer, until the server closes its stream.

        `drain` is asked after each event: the seconds to wait for more once the answer has
        ended, None before. Raises AttemptError. The connection is released when this
        generator is closed.
        """
        try:
            async with (
                self._asked(server, body, patience) as (response, stream),
                aclosing(read_events(response, server)) as events,
            ):
                async for event in events:
                    yield event
                    if (seconds := drain()) is not None:
                        stream.seconds = min(seconds, self.idle)
        except AttemptError:
            if drain() is None:
                raise
        except BROKEN:
            if drain() is None:
                raise http_errors.broken(server) from None

    async def fetch(self, server: Server, seconds: float) -> bytes:
        """The body of a short answer to GET. Raises AttemptError, and TimeoutError when it
        takes longer.
        """
        client = self._bulkhead(server).client
        try:
            async with asyncio.timeout(seconds):
                return await _fetched(client, server)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            raise http_errors.no_address(server) from None
        except BROKEN:
            raise http_errors.unreachable(server, may_cost=False) from None

    @asynccontextmanager
    async def _asked(
        self, server: Server, body: dict[str, Any], patience: Patience
    ) -> AsyncIterator[tuple[httpx.Response, _Bytes]]:
        bulkhead = self._bulkhead(server)
        async with bulkhead.place(server, patience.place):
            began = asyncio.get_running_loop().time()
            response = await _sent(
                bulkhead.client, server, body, patience.head or patience.first_byte
            )
            begins = asyncio.get_running_loop().time() if patience.head else began
            deadline = begins + patience.first_byte
            try:
                stream = _Bytes(
                    response, server, deadline, patience.first_byte, self.idle
                )
                if not response.is_success:
                    error = await _beginning(response)
                    raise http_errors.refused(
                        server, response.status_code, response.headers, error
                    )
                yield response, stream
            finally:
                await response.aclose()

    def _bulkhead(self, server: Server) -> Bulkhead:
        try:
            url = httpx.URL(server.url)
        except httpx.InvalidURL:
            raise http_errors.no_address(server) from None
        if (
            url.scheme not in ("http", "https")
            or not url.host
            or (url.port or 0) > MOST_PORT
        ):
            raise http_errors.no_address(server)

        name = server.provider
        if name not in self._bulkheads:
            self._bulkheads[name] = Bulkhead(name, self._client())
        return self._bulkheads[name]

    def _client(self) -> httpx.AsyncClient:
        try:
            return self.make_client()
        except ConfigurationError as error:  # a proxy's variable
            raise AttemptError(error.sentence) from None


async def _sent(
    client: httpx.AsyncClient, server: Server, body: dict[str, Any], seconds: float
) -> httpx.Response:
    # Lone surrogates are no UTF-8; people can paste them.
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream",
        # what is packed comes late, and can be a thousand times larger than it looks
        "accept-encoding": "identity",
        **GOES_WITH.get(),
        **server.headers,
    }
    try:
        request = client.build_request(
            "POST", server.url, headers=headers, content=content
        )
        async with asyncio.timeout(seconds):
            return await client.send(request, stream=True)
    except TimeoutError:
        raise http_errors.late(server, seconds) from None
    except (
        httpx.InvalidURL,
        httpx.UnsupportedProtocol,
        httpx.LocalProtocolError,
        UnicodeError,
    ):
        raise http_errors.no_address(server) from None
    except BROKEN as error:
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        raise http_errors.unreachable(server, may_cost=not unsent) from None


async def _fetched(client: httpx.AsyncClient, server: Server) -> bytes:
    headers = {"accept-encoding": "identity", **server.headers}
    async with client.stream("GET", server.url, headers=headers) as response:
        body = await _beginning(response, LIST_BYTES)
        if response.is_success:
            return body
        raise http_errors.refused(
            server, response.status_code, response.headers, body
        )


class _Bytes(httpx.AsyncByteStream):
    """Stands between a response and its bytes: raises AttemptError when they stay away too
    long, or are too many.

    It sits below the event parser, so that a comment that only says "still here" counts as
    a sign of life.
    """

    def __init__(
        self,
        response: httpx.Response,
        server: Server,
        deadline: float,
        first_byte: float,
        idle: float,
    ) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self._bytes = response.stream
        self._server = server
        self._deadline = deadline  # of the first byte
        self._first_byte = first_byte
        self.seconds = idle
        response.stream = self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, count = aiter(self._bytes), 0
        try:
            async with asyncio.timeout_at(self._deadline):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise http_errors.late(self._server, self._first_byte) from None

        while chunk is not None:
            count += len(chunk)
            if count > RESPONSE_BYTES:
                raise http_errors.too_much(self._server)
            yield chunk
            try:
                async with asyncio.timeout(self.seconds):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise http_errors.silent(self._server, self.seconds) from None

    async def aclose(self) -> None:
        await self._bytes.aclose()


async def _beginning(response: httpx.Response, most: int = _ERROR_BYTES) -> bytes:
    """The first bytes of an error; what stands there matters less than the status, so it
    may break off. Or of a list.
    """
    read = bytearray()
    with suppress(AttemptError, *BROKEN):
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) >= most:
                break
    return bytes(read)
