"""The embedded default: real Postgres and real Valkey in `AGENT_HOME`, for one machine.

Each server has a folder, and in it two lock files. `users` is held shared by every process
that uses the server: whoever leaves last, and can therefore lock it alone, stops the
server. `turn` is held alone while somebody starts, looks for or stops it. The system frees
both when a process dies, so `kill -9` leaves at most a running server, which the next start
finds and uses.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import structlog

from agent.core.errors import AgentError, ConfigurationError
from storage.embedded.process import until

log = structlog.get_logger(__name__)

LOCK_SECONDS = (
    90.0  # longer than a first start in another process (START_SECONDS of the servers)
)
LEAVE_SECONDS = 5.0
RESTART_SECONDS = 1.0  # between two attempts to bring a dead server back


@dataclass(frozen=True, slots=True)
class EmbeddedUrls:
    """Where the stores are. A store that was not asked for has the URL ""."""

    database_url: str
    redis_url: str
    description: tuple[str, ...]  # one line a store, for `agent status`


class EmbeddedServer(Protocol):
    """One server in a folder. The caller sees to it that only one process at a time starts
    or stops it.
    """

    folder: Path

    @property
    def url(self) -> str:
        """Where it is. Known once it runs."""

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
        """Ends it, whoever started it."""


@contextlib.asynccontextmanager
async def embedded(
    home: Path, *, postgres: bool = True, redis: bool = True
) -> AsyncIterator[EmbeddedUrls]:
    """Runs the asked-for stores in `home`, shared with other processes of this machine.

    A server that dies meanwhile is started again. Raises ConfigurationError when the folder
    can not be used, a server does not start, or none is installed.
    """
    home = _absolute(home)
    async with contextlib.AsyncExitStack() as stack:
        cache = await stack.enter_async_context(_valkey(home)) if redis else None
        database = (
            await stack.enter_async_context(_postgres(home)) if postgres else None
        )
        yield EmbeddedUrls(
            database_url=database.url if database else "",
            redis_url=cache.url if cache else "",
            description=tuple(
                server.description for server in (database, cache) if server
            ),
        )


def _absolute(home: Path) -> Path:
    return home.expanduser().absolute()


def _postgres(home: Path) -> contextlib.AbstractAsyncContextManager[EmbeddedServer]:
    if sys.platform == "win32":
        raise ConfigurationError(
            "The embedded Postgres does not run on Windows: set DATABASE_URL, or use WSL."
        )
    from storage.embedded.postgres import EmbeddedPostgres

    return _shared(EmbeddedPostgres(home / "postgres"))


def _valkey(home: Path) -> contextlib.AbstractAsyncContextManager[EmbeddedServer]:
    from storage.embedded.valkey import EmbeddedValkey, FakeValkey, valkey_server

    binary = valkey_server()
    return (
        _shared(EmbeddedValkey(home / "valkey", binary))
        if binary
        else _own(FakeValkey(home))
    )


@contextlib.asynccontextmanager
async def _own(server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    """A server inside this process is nobody else's."""
    await server.ensure()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def _shared(server: EmbeddedServer) -> AsyncIterator[EmbeddedServer]:
    users = _open_locks(server.folder)
    with users:
        async with _turn(server):
            _lock(users, alone=False)
            with _sentences(server.folder):
                await server.ensure()
        keeper = asyncio.create_task(_keep(server), name=f"keeps {server.folder.name}")
        try:
            yield server
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            await _leave(server, users)


async def _leave(server: EmbeddedServer, users: IO[bytes]) -> None:
    """The last one out stops the server."""
    try:
        async with _turn(server, LEAVE_SECONDS):
            with (
                users
            ):  # freed before the turn is: whoever comes next must get it at once
                await (server.stop() if _lock(users, alone=True) else server.leave())
    except ConfigurationError:  # somebody is starting it: it is wanted
        await server.leave()
    except OSError:  # its folder was removed
        await server.stop()


async def _keep(server: EmbeddedServer) -> None:
    """Brings the server back whenever it dies."""
    while True:
        await server.gone()
        log.warning("embedded_server_lost", folder=str(server.folder))
        while True:
            if await _brought_back(server):
                break
            await asyncio.sleep(RESTART_SECONDS)


async def _brought_back(server: EmbeddedServer) -> bool:
    try:
        async with _turn(server):
            with _sentences(server.folder):
                await server.ensure()
    except AgentError as error:
        log.warning("embedded_server_not_back", reason=error.sentence)
        return False
    return True


@contextlib.asynccontextmanager
async def _turn(
    server: EmbeddedServer, seconds: float = LOCK_SECONDS
) -> AsyncIterator[None]:
    """Starting and stopping is done by one process at a time."""
    with (server.folder / "turn").open("ab") as file:
        try:
            async with asyncio.timeout(seconds):
                await until(lambda: _lock(file, alone=True))
        except TimeoutError as error:
            raise ConfigurationError(
                f"Another process has been starting or stopping the server in {server.folder} for "
                f"{seconds:.0f} s: end it and start again."
            ) from error
        yield


def _open_locks(folder: Path) -> IO[bytes]:
    with _sentences(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "turn").touch(mode=0o600)
        return (folder / "users").open("ab")


def _lock(file: IO[bytes], *, alone: bool) -> bool:
    """Whether the lock was to be had. It ends with the file, and so with the process."""
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """What the file system refuses, as a sentence that names the setting."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{folder} can not be used ({reason}): set AGENT_HOME to a folder "
            "that this user can write to, "
            "with room on its disk."
        ) from error
