"""The HTTP server: uvicorn inside a loop that is not its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from starlette.types import ASGIApp
from uvicorn import Config, Server

from agent.core.errors import ConfigurationError
from agent.web.connections import IDLE_SECONDS, PatientProtocol

GOODBYE_SECONDS = 2
"""So long the end waits for requests that are being answered."""

_BACKLOG = 2048


@asynccontextmanager
async def http_server(app: ASGIApp, host: str, port: int) -> AsyncIterator[int]:
    """Serves meanwhile; gives the port it listens on. Raises ConfigurationError when it can
    not listen.
    """
    listener = await _bind(host, port)
    server = _EmbeddedServer(_config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    up = asyncio.create_task(server.up.wait())
    try:
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        yield listener.getsockname()[1]
    finally:
        up.cancel()
        server.should_exit = True
        await task
        listener.close()


class _EmbeddedServer(Server):
    """Leaves signals to the program around it, and says when it is up."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _config(app: ASGIApp) -> Config:
    return Config(
        app,
        http=PatientProtocol,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )


async def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; uvicorn would end the process when it cannot have one."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        family, address = found[0][0], found[0][4]
        return socket.create_server(
            (address[0], address[1]), family=family, backlog=_BACKLOG
        )
    except (
        OSError,
        ValueError,
    ) as error:  # the latter for what cannot be a host's name
        reason = getattr(error, "strerror", None) or "no host is called so"
        raise ConfigurationError(
            f"Nothing can listen at {host}, port {port} ({reason}). "
            "Correct HTTP_HOST and HTTP_PORT, or end the program that listens there."
        ) from error
