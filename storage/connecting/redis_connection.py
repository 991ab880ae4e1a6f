"""One connection to Redis for turns: all commands of a moment in one write, read back at once.

redis-py opens it (address, TLS, password, database). What it does for each command and each
reply would be a third of a turn's own work, so packing and parsing are hiredis alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import hiredis
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

from storage.connecting.redis_url import RedisUrl

Command = tuple[bytes | str | int | float, ...]

CONNECT_SECONDS = 5.0
"""For the network, TLS and the password together."""

READ_BYTES = 65_536

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
        self._make = _maker(where)
        self._open: _Packed | None = None
        self._connecting: asyncio.Task[_Packed] | None = None

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

    async def _connection(self) -> _Packed:
        if self._open is not None and self._open.is_closed():
            self._abandon()
        if self._open is not None:
            return self._open

        # A caller with a short deadline does not end it: the next one finds it open.
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_retrieve)

        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Packed:
        connection = self._make()
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


class _Packed(AbstractConnection):
    """A connection of redis-py that sends and reads many commands at once."""

    _replies: hiredis.Reader

    async def open(self) -> None:
        """Raises RedisError, OSError."""
        await self.connect()  # type: ignore[no-untyped-call]
        parse_error = self._parser.parse_error
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=parse_error,
            notEnoughData=_NOTHING_YET,
        )

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        reader, writer, replies = self._reader, self._writer, self._replies
        if reader is None or writer is None:
            raise RedisConnectionError("Connection closed.")

        if replies.gets() is not _NOTHING_YET or await self.can_read():
            raise RedisConnectionError("An answer to nothing.")

        # its stub says that a command has one part
        packed = map(hiredis.pack_command, commands)  # type: ignore[arg-type]
        writer.write(b"".join(packed))
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
        """Whether the server hung up meanwhile."""
        return self._reader is None or self._reader.at_eof()

    def abandon(self) -> None:
        """Closes it without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._close()  # type: ignore[no-untyped-call]


class _Network(_Packed, Connection):
    pass


class _Encrypted(_Packed, SSLConnection):
    pass


class _Socket(_Packed, UnixDomainSocketConnection):
    pass


def mapping(reply: Any) -> Mapping[bytes, bytes] | None:
    """A hash, from the reply to HGETALL: its names and values in turn. None: no hash."""
    if not isinstance(reply, list):
        return None

    return dict(zip(reply[::2], reply[1::2], strict=True))


def _maker(where: RedisUrl) -> Callable[[], _Packed]:
    kind: type[_Packed] = _Encrypted if where.tls else _Network
    if where.socket:
        kind = _Socket
    options: Mapping[str, Any] = where.options

    # Replies as Redis 2 gave them: names and values of a hash in turn.
    return lambda: kind(protocol=2, socket_connect_timeout=CONNECT_SECONDS, **options)


def _retrieve(task: asyncio.Task[_Packed]) -> None:
    """Whoever still waits is told of an error; without this the event loop would complain."""
    if not task.cancelled():
        task.exception()
