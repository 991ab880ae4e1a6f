"""Redis behind one rule: nobody waits long, and no answer is an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from storage import redis as redis_module
from storage.connecting.redis_connection import Command
from storage.redis import FAILURES, REST_SECONDS, RedisPipe


async def test_replies_come_in_the_order_of_the_commands(pipe: RedisPipe) -> None:
    assert await pipe.send(("SET", "a", 1), ("GET", "a"), ("GET", "b")) == [
        b"OK",
        b"1",
        None,
    ]


async def test_all_that_send_in_one_tick_share_a_round_trip(pipe: RedisPipe) -> None:
    replies = await asyncio.gather(
        *(pipe.send(("SET", key, key), ("GET", key)) for key in "abc")
    )

    assert replies == [[b"OK", b"a"], [b"OK", b"b"], [b"OK", b"c"]]
    assert pipe.round_trips == 1


async def test_a_command_that_fails_spoils_no_other(pipe: RedisPipe) -> None:
    await pipe.send(("SET", "text", "x"))
    replies = await pipe.send(("HGET", "text", "field"), ("GET", "text"))

    assert replies is not None
    assert isinstance(replies[0], Exception)
    assert replies[1] == b"x"


async def test_a_dead_server_is_no_answer(
    pipe: RedisPipe, server: FakeServer
) -> None:
    server.connected = False
    assert await pipe.send(("GET", "a")) is None


class Stuck:
    """A server that took the commands and never answers."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        await asyncio.Event().wait()
        return []

    async def close(self) -> None: ...


async def test_a_server_that_is_silent_past_the_deadline_is_no_answer(
    client: FakeRedis,
) -> None:
    pipe = RedisPipe(Stuck(), client, deadline=0.001)
    assert await pipe.send(("GET", "a")) is None


class Odd:
    """What it says to one command, no client library documents."""

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        if ("GET", "odd") in commands:
            raise RuntimeError("the handler is closed")
        return [b"1"] * len(commands)

    async def close(self) -> None: ...


async def test_an_error_that_nobody_expects_is_no_answer_and_is_logged(
    client: FakeRedis,
) -> None:
    pipe = RedisPipe(Odd(), client)
    with structlog.testing.capture_logs() as logs:
        replies = await asyncio.gather(
            *(pipe.send(("GET", name)) for name in ("even", "odd", "three"))
        )

    assert replies == [[b"1"], None, [b"1"]]
    assert [line["error"] for line in logs] == ["RuntimeError"]


class Clock:
    """Stands where the module looks for the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(redis_module, "time", clock)
    return clock


async def test_after_failures_in_a_row_the_server_is_left_alone_for_a_while(
    pipe: RedisPipe,
    server: FakeServer,
    clock: Clock,
) -> None:
    server.connected = False

    for _ in range(FAILURES + 2):
        assert await pipe.send(("GET", "a")) is None

    assert pipe.round_trips == FAILURES
    assert not pipe.available

    server.connected = True

    assert await pipe.send(("GET", "a")) is None

    clock.now += REST_SECONDS

    assert pipe.available
    assert await pipe.send(("GET", "a")) == [None]


async def test_failures_that_are_not_in_a_row_change_nothing(
    pipe: RedisPipe,
    server: FakeServer,
    clock: Clock,
) -> None:
    for _ in range(FAILURES):
        server.connected = False

        for _ in range(FAILURES - 1):
            await pipe.send(("GET", "a"))

        server.connected = True

        assert await pipe.send(("GET", "a")) == [None]


async def test_one_failure_after_a_rest_begins_the_next_rest(
    pipe: RedisPipe,
    server: FakeServer,
    clock: Clock,
) -> None:
    server.connected = False

    for _ in range(FAILURES):
        await pipe.send(("GET", "a"))

    clock.now += REST_SECONDS
    await pipe.send(("GET", "a"))

    assert not pipe.available
