"""One connection to Redis for turns: all commands of a moment in one write, read back at once.

redis-py opens it (address, TLS, password, database). What it does for each command and each
reply would be a third of a turn's own work, so packing and parsing are hiredis alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, MasterDownError, ReadOnlyError

from storage.connecting.redis_url import RedisUrl

Command = tuple[bytes | str | int | float, ...]

CONNECT_SECONDS = 5.0
"""For the network, TLS and the password together."""

READ_BYTES = 65_536

ENDED = (RuntimeError, TypeError, AttributeError)
"""What a write to a connection raises that the server has ended: on uvloop, in asyncio of
Python 3.12 and 3.14.0, and in that of 3.13 (redis-py 4287). Others say it later, with an OSError.
"""

REPLICA = (ReadOnlyError, MasterDownError)
"""What a server says that became a replica: the second without its primary, if it is set so."""

LEAVE_SECONDS = 1.0
"""So long a connection stays with a server that became a replica."""

_NOTHING_YET = object()


class Exchange(Protocol):
    """Commands go, their replies come."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in order; a command that failed has an exception as its reply.

        Raises RedisError, OSError.
        """
        ...

    async def close(self) -> None: ...


class Nowhere:
    """Where a URL leads that cannot be used."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        raise RedisConnectionError("REDIS_URL cannot be used")

    async def close(self) -> None: ...


class RedisConnection:
    """Connects when first used, and again after whatever went wrong."""

    def __init__(self, where: RedisUrl) -> None:
        self._where = where
        self._open: PackedConnection | None = None
        self._connecting: asyncio.Task[PackedConnection] | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """See `Exchange`. Not to be called again before it returned.

        A caller that gives up leaves replies behind, so the connection is not used any more.
        """
        connection = await self._connection()
        try:
            return await connection.exchange(commands)
        except BaseException:
            self._abandon()
            raise

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._open is not None:
            await self._open.disconnect()
            self._open = None

    def _abandon(self) -> None:
        if self._open is not None:
            self._open.abandon()
            self._open = None

    async def _connection(self) -> PackedConnection:
        if self._open is not None and self._open.is_closed():
            self._abandon()
        if self._open is not None:
            return self._open

        # A caller with a short deadline does not end it: the next one finds it open.
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_retrieve)

        return await asyncio.shield(self._connecting)

    async def _connect(self) -> PackedConnection:
        kind, options = connection_class(self._where), self._where.options
        # Replies as Redis 2 gave them: names and values of a hash in turn.
        connection = kind(
            protocol=2, socket_connect_timeout=CONNECT_SECONDS, **options
        )
        try:
            await connection.open()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        else:
            self._open = connection
        finally:
            self._connecting = None

        return connection


class PackedConnection(AbstractConnection):
    """A connection of redis-py that can send and read many commands at once."""

    _replies: hiredis.Reader
    _leaves_at: float | None = None
    """It became a replica's: from then on it counts as closed."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except ENDED as error:
            raise RedisConnectionError("Connection ended.") from error

    async def can_read(self) -> bool:
        """Raises RedisError, OSError: the pool then makes the connection again. To redis-py,
        one that was reset is as good as ever.
        """
        if self.is_closed():
            raise RedisConnectionError("Connection closed by server.")

        return await super().can_read()

    async def open(self) -> None:
        """Raises RedisError, OSError."""
        await self.connect()  # type: ignore[no-untyped-call]
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=self._refusal,
            notEnoughData=_NOTHING_YET,
        )

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except REPLICA:
            self._leave_soon()
            raise

    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        self._leaves_at = None
        await super().disconnect(*args, **kwargs)

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        reader, writer, replies = self._reader, self._writer, self._replies
        if reader is None or writer is None:
            raise RedisConnectionError("Connection closed.")

        if replies.gets() is not _NOTHING_YET or await self.can_read():
            raise RedisConnectionError("An answer to nothing.")

        # its stub says that a command has one part
        packed = b"".join(map(hiredis.pack_command, commands))  # type: ignore[arg-type]
        try:
            writer.write(packed)
        except ENDED as error:
            raise RedisConnectionError("Connection ended.") from error

        found: list[Any] = []

        while True:
            while (reply := replies.gets()) is not _NOTHING_YET:
                found.append(reply)
            if len(found) == len(commands):
                return found
            if len(found) > len(commands):
                raise RedisConnectionError("More answers than commands.")

            data = await reader.read(READ_BYTES)
            if not data:
                raise RedisConnectionError("Connection closed by server.")
            replies.feed(data)

    def is_closed(self) -> bool:
        """Whether the server hung up meanwhile, something in between reset it, or it leads to a
        server that takes no writes any more.
        """
        reader = self._reader
        if reader is None or reader.at_eof() or reader.exception() is not None:
            return True

        return self._leaves_at is not None and time.monotonic() >= self._leaves_at

    def _refusal(self, said: str) -> Exception:
        error: Exception = self._parser.parse_error(said)  # type: ignore[no-untyped-call]
        if isinstance(error, REPLICA):
            self._leave_soon()

        return error

    def _leave_soon(self) -> None:
        """After a failover the address leads to another server. Not at once: it may take a moment,
        or it is a replica that was named.
        """
        if self._leaves_at is None:
            self._leaves_at = time.monotonic() + LEAVE_SECONDS

    def abandon(self) -> None:
        """Closes it without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._close()  # type: ignore[no-untyped-call]


class _Network(PackedConnection, Connection):
    pass


class _Encrypted(PackedConnection, SSLConnection):
    async def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Without TLS' goodbye: a server that hangs would not answer it, and the end would
        wait for that, and fail.
        """
        if self._writer is not None:
            self._writer.transport.abort()
        await super().disconnect(*args, **kwargs)


class _Socket(PackedConnection, UnixDomainSocketConnection):
    pass


def connection_class(where: RedisUrl) -> type[PackedConnection]:
    """For this kind of address."""
    if where.socket:
        return _Socket

    return _Encrypted if where.tls else _Network


def mapping(reply: Any) -> Mapping[bytes, bytes] | None:
    """A hash, from the reply to HGETALL: its names and values in turn. None: no hash."""
    if not isinstance(reply, list):
        return None

    return dict(zip(reply[::2], reply[1::2], strict=True))


def _retrieve(task: asyncio.Task[PackedConnection]) -> None:
    """Whoever still waits is told of an error; without this the event loop would complain."""
    if not task.cancelled():
        task.exception()
