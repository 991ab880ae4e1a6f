"""A connection that ends, at whatever moment, ends in an error that everybody expects.

`agent serve` runs on uvloop where it is installed. A write to an ended connection is a
RuntimeError there, and asyncio has its own ways to say it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import structlog
from redis.exceptions import RedisError

from agent.core.errors import ServerAway, StoreUnavailable
from storage.connecting.redis_connection import RedisConnection
from storage.connecting.redis_url import read_redis_url
from storage.connecting.requirements import check_connection
from storage.postgres import open_database
from storage.redis import RedisPipe, open_redis
from storage.transaction import transaction
from tests.support.resets import reset_at_end

uvloop = pytest.importorskip("uvloop")

TIMES = 300
"""So often something is asked. Of the connections that end meanwhile, several end just before a
write.
"""

LOOPS = pytest.mark.parametrize(
    "loop",
    [
        pytest.param(uvloop.new_event_loop, id="uvloop"),
        pytest.param(asyncio.new_event_loop, id="asyncio"),
    ],
)


async def by_the_turns_pipe(pipe: RedisPipe) -> None:
    with structlog.testing.capture_logs() as logs:
        await pipe.send(("PING",))
    assert not logs


async def by_the_turns_connection(pipe: RedisPipe) -> None:
    connection = RedisConnection(read_redis_url(_url(pipe)))
    try:
        with suppress(RedisError, OSError):
            await connection.exchange([("PING",)])
    finally:
        await connection.close()


async def by_an_operators_command(pipe: RedisPipe) -> None:
    with suppress(RedisError):
        await pipe.client.set("name", "value")


async def by_a_pipeline(pipe: RedisPipe) -> None:
    async with pipe.client.pipeline(transaction=False) as commands:
        commands.publish("channel", "")
        with suppress(RedisError):
            await commands.execute()


async def by_a_listener(pipe: RedisPipe) -> None:
    async with pipe.client.pubsub() as listener:
        with suppress(RedisError):
            await listener.subscribe("channel")
            await listener.get_message(timeout=0.001)


WAYS = [
    by_the_turns_pipe,
    by_the_turns_connection,
    by_an_operators_command,
    by_a_pipeline,
    by_a_listener,
]


@LOOPS
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_ends_connections_is_away(
    way: Callable[[RedisPipe], Awaitable[None]],
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """It resets each connection: some as soon as they are made, some after the first words."""

    async def tried() -> None:
        calls = 0

        async def reset(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            nonlocal calls
            calls += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(0.0005 * (calls % 7)):
                    while said := await reader.read(65_536):
                        writer.write(b"+OK\r\n" * said.count(b"*"))
            _reset(writer)

        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, open_redis(f"redis://{host}:{port}", deadline=5.0) as pipe:
            for _ in range(TIMES):
                pipe._rests_until = 0.0  # do not leave it alone
                await way(pipe)
        assert calls

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(tried())


@pytest.mark.parametrize("said", [RuntimeError, TypeError, AttributeError])
async def test_whatever_a_write_to_an_ended_connection_raises_it_is_away(
    redis_url: str, said: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio of other versions of Python does it."""

    def ended(*_: object) -> None:
        raise said("'NoneType' object is not callable")

    async with open_redis(redis_url, deadline=5.0) as pipe:
        monkeypatch.setattr(asyncio.StreamWriter, "writelines", ended)
        monkeypatch.setattr(asyncio.StreamWriter, "write", ended)
        with pytest.raises(RedisError):
            await pipe.client.ping()
        with structlog.testing.capture_logs() as logs:
            assert await pipe.send(("PING",)) is None

    assert not logs


@pytest.mark.parametrize("ends", ["with a reset", "in peace"])
@LOOPS
def test_a_connection_that_ended_while_nobody_used_it_is_made_again(
    loop: Callable[[], asyncio.AbstractEventLoop], ends: str
) -> None:
    """A proxy in between forgets connections. Redis itself is there."""

    async def tried() -> None:
        writers: list[asyncio.StreamWriter] = []

        async def answer(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writers.append(writer)
            with suppress(OSError):
                while said := await reader.read(65_536):
                    writer.write(b"+PONG\r\n" * said.count(b"*"))

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        async with server, open_redis(f"redis://{host}:{port}", deadline=5.0) as pipe:
            for _ in range(3):
                assert await pipe.client.ping()
                assert await pipe.send(("PING",)) == [b"PONG"]
                for writer in writers:
                    _reset(writer) if ends == "with a reset" else writer.close()
                writers.clear()
                await asyncio.sleep(0.05)  # they end

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(tried())


SIGNED_IN = b"R" + struct.pack("!ii", 8, 0)  # AuthenticationOk
READY = b"Z" + struct.pack("!i", 5) + b"I"  # ReadyForQuery


# asyncpg's connection that could not be made complains when it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "said",
    [b"", READY, SIGNED_IN + READY, SIGNED_IN, b"N", b"HTTP/1.1 400 Bad Request\r\n"],
)
async def test_a_server_that_does_not_speak_as_postgres_does_is_away(
    said: bytes,
) -> None:
    """Whatever the driver makes of its first words, they say nothing about a statement."""

    async def speak(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(65_536)
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    url = f"postgresql://somebody@{host}:{port}/agent?sslmode=disable"
    async with server, open_database(url) as database:
        with pytest.raises(StoreUnavailable):
            await database.line().fetch("SELECT 1", retry=0.0)
        with pytest.raises(StoreUnavailable):
            async with transaction(database):
                pass
        with pytest.raises(ServerAway, match="No Postgres answers there"):
            await check_connection(url)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends it with RST instead of FIN."""
    reset_at_end(writer.get_extra_info("socket"))
    writer.transport.abort()


def _url(pipe: RedisPipe) -> str:
    where = pipe.client.connection_pool.connection_kwargs
    return f"redis://{where['host']}:{where['port']}"
