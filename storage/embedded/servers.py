"""The embedded default: real Postgres and real Valkey in `AGENT_HOME`, for one machine.

Each server has a folder, and in it two lock files. Every process that uses the server
holds `users` as a shared lock. The last one to leave can lock it alone, and then stops the
server. A process that starts, finds or stops the server holds `turn` alone. The system
frees both when a process dies, so `kill -9` leaves at most a running server, which the next
start finds and uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Protocol

import structlog
from msgspec import Struct

from agent.core.background import run_in_background, to_its_end
from agent.core.errors import AgentError, ConfigurationError
from storage.embedded.locks import lock, open_locks, sentences, turn

log = structlog.get_logger(__name__)

LEAVE_SECONDS = 5.0
"""How long a process that leaves waits for its turn to stop the server."""

RESTART_SECONDS = 1.0
"""Between two attempts to restart a dead server."""


class EmbeddedUrls(Struct, frozen=True):
    """The addresses of the stores. A store that was not asked for has the URL ""."""

    database_url: str
    redis_url: str
    description: tuple[str, ...]
    """One line for each store, for `agent status`."""


class EmbeddedServer(Protocol):
    """One server in a folder.

    The caller ensures that only one process at a time starts or stops it.
    """

    folder: Path

    @property
    def url(self) -> str:
        """Its address. Known once it runs."""

    @property
    def description(self) -> str:
        """What it is, for people. Known once it runs."""

    async def ensure(self) -> None:
        """Finds it running or starts it. Raises ConfigurationError."""

    async def gone(self) -> None:
        """Returns when it has died."""

    async def leave(self) -> None:
        """Lets go of it; it runs on."""

    async def stop(self) -> None:
        """Ends it, also if another process started it."""


@contextlib.asynccontextmanager
async def embedded(
    home: Path,
    *,
    postgres: bool = True,
    redis: bool = True,
) -> AsyncIterator[EmbeddedUrls]:
    """Runs the named stores in `home`, shared with other processes of this machine.

    A server that dies meanwhile is restarted. Raises ConfigurationError when the folder
    cannot be used, a server does not start, or none is installed.
    """
    home = _absolute(home)

    async with contextlib.AsyncExitStack() as stack:
        cache = database = None
        if redis:
            cache = await stack.enter_async_context(_valkey(home))
        if postgres:
            database = await stack.enter_async_context(_postgres(home))

        yield EmbeddedUrls(
            database_url=database.url if database else "",
            redis_url=cache.url if cache else "",
            description=tuple(
                server.description for server in (database, cache) if server
            ),
        )


def starting(home: Path) -> contextlib.AbstractAsyncContextManager[None]:
    """Inside, the embedded Postgres starts by itself, while this process imports what will use
    it. What goes wrong is for `embedded` to say.
    """
    return run_in_background(_hold_postgres, _absolute(home))


async def _hold_postgres(home: Path) -> None:
    with contextlib.suppress(AgentError):
        async with _started(_postgres_in(home)):
            await asyncio.Event().wait()


def _absolute(home: Path) -> Path:
    return home.expanduser().absolute()


def check_system() -> None:
    """Raises ConfigurationError where an embedded Postgres cannot run."""
    if sys.platform == "win32":
        raise ConfigurationError(
            "The embedded Postgres does not run on Windows: set DATABASE_URL, or use WSL."
        )


def _postgres(home: Path) -> contextlib.AbstractAsyncContextManager[EmbeddedServer]:
    return _shared(_postgres_in(home))


def _postgres_in(home: Path) -> EmbeddedServer:
    check_system()
    from storage.embedded.postgres import EmbeddedPostgres

    return EmbeddedPostgres(home / "postgres")


def _valkey(home: Path) -> contextlib.AbstractAsyncContextManager[EmbeddedServer]:
    from storage.embedded.valkey import EmbeddedValkey, FakeValkey, valkey_server

    binary = valkey_server()
    if binary is None:
        return _own(FakeValkey(home))

    return _shared(EmbeddedValkey(home / "valkey", binary))


@contextlib.asynccontextmanager
async def _own(server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    """A server inside this process, which no other process uses."""
    await server.ensure()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def _shared(server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    async with _started(server), run_in_background(_keep, server):
        yield server


@contextlib.asynccontextmanager
async def _started(server: EmbeddedServer) -> AsyncIterator[None]:
    """Inside it runs, unless it dies: no process stops it."""
    users = open_locks(server.folder)

    with users:
        with sentences(server.folder):
            async with turn(server.folder):
                lock(users, alone=False)
                await server.ensure()

        try:
            yield
        finally:
            # who is cut short kills the server
            await to_its_end(_leave(server, users))


async def _leave(server: EmbeddedServer, users: IO[bytes]) -> None:
    """The last process to leave stops the server."""
    try:
        async with turn(server.folder, LEAVE_SECONDS):
            # freed before the turn is, so that the next process gets it at once
            with users:
                await (server.stop() if lock(users, alone=True) else server.leave())
    except ConfigurationError:  # another process is starting it, so it is needed
        await server.leave()
    except OSError:  # its folder was removed
        await server.stop()


async def _keep(server: EmbeddedServer) -> None:
    """Restarts the server whenever it dies."""
    while True:
        await server.gone()
        log.warning("embedded_server_lost", folder=str(server.folder))

        while True:
            if await _restarted(server):
                break
            await asyncio.sleep(RESTART_SECONDS)


async def _restarted(server: EmbeddedServer) -> bool:
    try:
        with sentences(server.folder):
            async with turn(server.folder):
                await server.ensure()
    except AgentError as error:
        log.warning("embedded_server_not_back", reason=error.sentence)
        return False

    return True
