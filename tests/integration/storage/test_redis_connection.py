"""The connection of turns: whatever happens to it, a reply belongs to its command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import structlog
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError

from storage.connecting.redis_connection import RedisConnection
from storage.connecting.redis_url import read_redis_url
from storage.redis import open_redis
from tests.support.servers import Valkey

Serve = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(read_redis_url(url))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    calls: set[asyncio.Task[None]] = set()

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"redis://{host}:{port}"
    finally:
        server.close()
        await asyncio.gather(*calls)


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str
) -> None:
    """To the real server and back, until one side hangs up."""
    path = read_redis_url(url).options["path"]
    back, forth = await asyncio.open_unix_connection(path)

    async def pump(
        source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()
        await target.wait_closed()

    await asyncio.gather(pump(reader, forth), pump(back, writer))


async def test_replies_are_what_the_server_said(redis_url: str) -> None:
    async with connected(redis_url) as connection:
        await connection.exchange([("DEL", "h", "n")])
        replies = await connection.exchange(
            [
                ("SET", "n", 7, "EX", 60),
                ("GET", "n"),
                ("INCRBY", "n", 3),
                ("HSET", "h", "ä", b"\0\xff", "f", 1.5),
                ("HGETALL", "h"),
                ("HGET", "n", "f"),
                ("GET", "nothing"),
            ]
        )

    wrong = replies.pop(5)
    assert isinstance(wrong, ResponseError)
    assert replies == [
        b"OK",
        b"7",
        10,
        2,
        ["ä".encode(), b"\0\xff", b"f", b"1.5"],
        None,
    ]


async def test_replies_of_any_size_come_whole(redis_url: str) -> None:
    sizes = [0, 1, 65_535, 65_536, 3_000_000]
    async with connected(redis_url) as connection:
        texts = [b"x" * size for size in sizes]
        await connection.exchange(
            [("SET", f"size:{len(text)}", text, "EX", 60) for text in texts]
        )
        assert texts == await connection.exchange(
            [("GET", f"size:{size}") for size in sizes]
        )


async def test_a_reply_that_came_too_late_answers_no_other_command(
    redis_url: str,
) -> None:
    async with connected(redis_url) as connection:
        await connection.exchange([("SET", "late", "a", "EX", 60)])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.exchange([("BLPOP", "never", 1)])

        assert [b"a"] == await connection.exchange([("GET", "late")])


async def test_a_server_that_hung_up_meanwhile_is_called_again(
    redis_url: str,
) -> None:
    async with connected(redis_url) as one, connected(redis_url) as other:
        [number] = await one.exchange([("CLIENT", "ID")])
        await other.exchange([("CLIENT", "KILL", "ID", number)])
        await asyncio.sleep(0.05)

        assert [b"PONG"] == [await _ping(one)]


async def _ping(connection: RedisConnection) -> bytes:
    [reply] = await connection.exchange([("ECHO", "PONG")])

    return bytes(reply)


async def test_a_connection_that_takes_longer_than_a_deadline_is_there_for_the_next(
    redis_url: str,
) -> None:
    """Otherwise a server far away, with TLS, would never be reached."""
    calls = 0

    async def slow(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.2)
        await relay(reader, writer, redis_url)

    async with listening(slow) as url, open_redis(url) as pipe:
        assert await pipe.send(("ECHO", "a")) is None
        await asyncio.sleep(0.4)

        assert [b"b"] == await pipe.send(("ECHO", "b"))
        assert calls == 1


async def test_a_password_that_is_wrong_is_said_by_redis_py(redis_url: str) -> None:
    url = redis_url.replace("unix://", "unix://nobody:wrong@")
    async with connected(url) as connection:
        with pytest.raises(RedisError, match="invalid username"):
            await connection.exchange([("PING",)])


async def test_an_answer_to_nothing_is_given_to_nobody() -> None:
    """Some proxies write an error by themselves. All later replies would be shifted."""
    connections = 0

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        asked = 0
        while command := await _command(reader):
            is_greeting = command[0] == b"CLIENT"
            writer.write(b"+OK\r\n" if is_greeting else b"+%s\r\n" % command[1])
            asked += not is_greeting
            if (connections, asked) == (1, 1):
                await asyncio.sleep(0.02)
                writer.write(b"-ERR by itself\r\n")
        writer.close()
        await writer.wait_closed()

    async with listening(odd) as url, open_redis(url, deadline=2.0) as pipe:
        assert [b"a"] == await pipe.send(("ECHO", "a"))
        await asyncio.sleep(0.1)
        replies = [await pipe.send(("ECHO", name)) for name in "bcd"]

    assert [None, [b"c"], [b"d"]] == replies


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    parts: list[bytes] = []
    head = await reader.readline()
    for _ in range(int(head[1:] or 0)):
        size = int((await reader.readline())[1:])
        parts.append((await reader.readexactly(size + 2))[:-2])

    return parts


async def test_what_is_no_redis_is_an_error_and_no_wait() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with listening(web) as url, open_redis(url) as pipe:
        assert await pipe.send(("PING",)) is None


async def test_a_command_that_cannot_be_sent_is_no_server_that_is_away(
    redis_url: str,
) -> None:
    """None is no value of Redis: a fault of ours, which only its own sender may feel."""
    wrong: Any = ("SET", "wrong", None)
    async with open_redis(redis_url, deadline=5.0) as pipe:
        with structlog.testing.capture_logs() as logs:
            replies = await asyncio.gather(
                pipe.send(("PING",)), pipe.send(wrong), pipe.send(("ECHO", "x"))
            )

    assert [[b"PONG"], None, [b"x"]] == [*replies]
    assert ["TypeError"] == [line["error"] for line in logs]


async def test_after_a_failover_the_new_primary_is_found(
    own_redis: Valkey, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one goes on as a read-only replica, on connections that it does not end. By then the
    name in the URL leads to the other one.
    """
    monkeypatch.setattr("storage.connecting.redis_connection.LEAVE_SECONDS", 0.05)
    primary = own_redis.url

    async def lead(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await relay(reader, writer, primary)

    async with listening(lead) as url, open_redis(url, deadline=5.0) as pipe:
        assert await pipe.send(("SET", "a", "1")) == [b"OK"]
        await pipe.client.set("b", "2")
        await pipe.client.replicaof("127.0.0.1", "1")
        primary = redis_url
        assert isinstance(
            (await pipe.send(("SET", "a", "1")) or [])[0], ReadOnlyError
        )
        with pytest.raises(ReadOnlyError):
            await pipe.client.set("b", "2")
        await asyncio.sleep(0.1)

        assert await pipe.send(("SET", "a", "1", "EX", 60)) == [b"OK"]
        assert await pipe.client.set("b", "2", ex=60)


async def test_a_replica_that_says_nothing_without_its_primary_is_left_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What became of an old primary with replica-serve-stale-data no."""
    monkeypatch.setattr("storage.connecting.redis_connection.LEAVE_SECONDS", 0.05)
    said = b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answer = said
        while asked := await reader.read(65_536):
            writer.write(answer * asked.count(b"*"))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async with listening(serve) as url, open_redis(url, deadline=5.0) as pipe:
        replies = await pipe.send(("SET", "a", "1")) or []
        assert isinstance(replies[0], MasterDownError)
        with pytest.raises(MasterDownError):
            await pipe.client.set("b", "2")
        said = b"+OK\r\n"
        await asyncio.sleep(0.1)

        assert await pipe.send(("SET", "a", "1")) == [b"OK"]
        assert await pipe.client.set("b", "2")
