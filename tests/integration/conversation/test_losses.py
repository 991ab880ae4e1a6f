"""Redis may be empty, stale, frozen or gone: no answer changes. Postgres may go: nothing is
lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from redis.asyncio import Redis

from agent.core.errors import StoreUnavailable
from storage.migrate import upgrade
from storage.postgres import connect, open_database
from storage.transaction import autocommit, transaction
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.fleet.invariant_queries import BROKEN
from tests.support.servers import Postgres, Valkey
from tests.support.settings import run

TURNS = 8
_CANCEL = """
SELECT bool_or(pg_cancel_backend(pid)) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND query ~ '/\\* accept \\*/'
"""


async def conversation(
    world: EngineHarness, agent: Instance, turns: int = TURNS
) -> list[tuple[tuple[str, str], ...]]:
    """What the model was shown, turn by turn."""
    for number in range(turns):
        await world.ask(agent, f"message {number}")
    return [prompt.messages for prompt in world.model.prompts]


def expected(turns: int = TURNS) -> list[tuple[tuple[str, str], ...]]:
    said = [
        pair
        for n in range(turns)
        for pair in (("user", f"message {n}"), ("assistant", f"re: message {n}"))
    ]

    return [tuple(said[: 2 * n + 1]) for n in range(turns)]


async def test_flushall_between_any_two_turns_changes_no_answer(
    database_url: str, own_redis: Valkey
) -> None:
    world = EngineHarness(database_url, own_redis.url)
    async with world.instance() as agent:
        for number in range(TURNS):
            await world.ask(agent, f"message {number}")
            own_redis.flush()

        assert [prompt.messages for prompt in world.model.prompts] == expected()


async def test_a_flood_of_flushall_changes_no_answer(
    database_url: str, own_redis: Valkey
) -> None:
    world = EngineHarness(database_url, own_redis.url)

    talking = True

    async def flush() -> None:
        async with Redis.from_url(own_redis.url) as client:
            while talking:
                await client.flushall()

    async with world.instance() as agent, asyncio.TaskGroup() as group:
        group.create_task(flush())
        prompts = await conversation(world, agent)
        talking = False

    assert prompts == expected()


async def test_redis_stopped_altogether_changes_no_answer(
    database_url: str, own_redis: Valkey
) -> None:
    world = EngineHarness(database_url, own_redis.url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        own_redis.kill()

        for number in range(1, TURNS):
            await world.ask(agent, f"message {number}")
        own_redis.start()

        assert [prompt.messages for prompt in world.model.prompts] == expected()


async def test_an_instance_starts_without_redis(
    database_url: str, own_redis: Valkey
) -> None:
    own_redis.kill()
    world = EngineHarness(database_url, own_redis.url)

    async with world.instance() as agent:
        assert await conversation(world, agent, 3) == expected(3)


async def test_a_frozen_redis_costs_its_deadline_and_then_nothing(
    database_url: str, own_redis: Valkey
) -> None:
    """After three silent answers Redis is left alone for a while instead of being waited
    for each time.
    """
    world = EngineHarness(database_url, own_redis.url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        own_redis.freeze()

        for number in range(1, TURNS):
            await world.ask(agent, f"message {number}")
        asked = agent.pipe.round_trips
        own_redis.thaw()

        assert [prompt.messages for prompt in world.model.prompts] == expected()
        assert asked <= 2 + 2 * TURNS - 3  # fewer than two a turn


async def test_a_stale_window_is_never_used(
    database_url: str, redis_url: str
) -> None:
    """Whatever an old writer puts back into Redis, its version gives it away."""
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        key = (await agent.pipe.client.keys("context:conv:*"))[0]
        old = await agent.pipe.client.get(key)

        assert isinstance(old, bytes)

        for number in range(1, TURNS):
            await world.ask(agent, f"message {number}")
            await agent.pipe.client.set(key, old)

        assert [prompt.messages for prompt in world.model.prompts] == expected()


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xff", b"[]", b"\x93\xc4\x011\x01\x90"]
)
async def test_garbage_in_redis_changes_no_answer(
    database_url: str, redis_url: str, garbage: bytes
) -> None:
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        client = agent.pipe.client

        for key in await client.keys("*"):
            await client.delete(key)
            await client.set(key, garbage)

        await world.ask(agent, "message 1")

        assert [prompt.messages for prompt in world.model.prompts] == expected(2)


@pytest.fixture
def postgres(own_postgres: Postgres) -> Iterator[Postgres]:
    yield own_postgres


@pytest.fixture
async def own_world(
    postgres: Postgres, redis_url: str
) -> AsyncIterator[EngineHarness]:
    await postgres.execute("CREATE DATABASE agent")
    await upgrade(postgres.url("agent"))
    yield EngineHarness(postgres.url("agent"), redis_url)


async def test_nothing_acknowledged_is_lost_when_postgres_is_killed(
    postgres: Postgres, own_world: EngineHarness
) -> None:
    """Messages go on arriving while it is away; each is delivered again until it is durable."""
    world = own_world
    acknowledged = 0

    async def insist(agent: Instance, number: int) -> None:
        nonlocal acknowledged
        message = world.message(f"message {number}", chat=f"chat {number % 5}")

        async with asyncio.timeout(60):
            while True:
                with suppress(StoreUnavailable):
                    await agent.engine.accept(message)
                    acknowledged += 1

                    return

    async with world.instance() as agent:
        for round_ in range(3):
            work = [
                asyncio.create_task(insist(agent, round_ * 20 + n)) for n in range(20)
            ]
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            postgres.kill()
            postgres.start()
            await asyncio.gather(*work)

        async with autocommit(agent.database) as connection, asyncio.timeout(30):
            while await connection.scalar(
                "SELECT count(*) FROM turns WHERE state = 'open'"
            ):
                pass

            rows = await connection.scalar(
                "SELECT count(*) FROM messages WHERE role = 'user'"
            )

            assert acknowledged == 60
            assert rows == 60

            for promise in (
                "a message has one row",
                "every message is covered by exactly one answer",
            ):
                broken = await connection.execute(BROKEN[promise])
                assert [] == broken, promise


async def test_a_message_that_cannot_be_stored_is_not_acknowledged(
    postgres: Postgres, own_world: EngineHarness
) -> None:
    async with own_world.instance() as agent:
        postgres.kill()
        with pytest.raises(StoreUnavailable, match="Nothing was stored"):
            await agent.engine.accept(own_world.message("hello"))
        postgres.start()


@asynccontextmanager
async def locked(
    world: EngineHarness,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Inside, nobody else can change a conversation."""
    connection = await connect(world.database_url, None)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM conversations FOR UPDATE")
    yield connection
    await transaction.rollback()
    await connection.close()


async def cancelled(probe: asyncpg.Connection[asyncpg.Record]) -> None:
    """Returns once a statement that waited for a lock was cancelled."""
    async with asyncio.timeout(10):
        while not await probe.fetchval(_CANCEL):
            await asyncio.sleep(0)


async def test_a_statement_that_an_administrator_cancels_is_tried_again(
    database_url: str, redis_url: str
) -> None:
    """The message is not at fault: it is stored and answered."""
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        async with locked(world) as probe:
            accepting = asyncio.create_task(
                agent.engine.accept(world.message("message 1"))
            )
            await cancelled(probe)
            await cancelled(probe)

        await accepting
        await world.answered("ada", "re: message 0", "re: message 1")


async def test_a_message_is_delivered_again_when_postgres_refuses_for_a_reason_of_its_own(
    database_url: str, redis_url: str
) -> None:
    """A server's own limit on statements, or a missing table: nobody is asked to rephrase."""
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "message 0")
        message = world.message("message 1")
        await run(database_url, "ALTER TABLE turns RENAME TO turned")

        with pytest.raises(StoreUnavailable):
            await agent.engine.accept(message)
        await run(database_url, "ALTER TABLE turned RENAME TO turns")
        await agent.engine.accept(message)
        await world.answered("ada", "re: message 0", "re: message 1")


@pytest.mark.parametrize("command", ["/new", "/help"])
async def test_a_command_on_a_read_only_postgres_is_not_acknowledged(
    postgres: Postgres, own_world: EngineHarness, command: str
) -> None:
    """As after a failover. Once there is a primary, the platform delivers it again and it runs."""
    world = own_world
    message = own_world.message(command)

    async with world.instance() as agent:
        await postgres.execute(
            "ALTER DATABASE agent SET default_transaction_read_only = on"
        )
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'agent'"
        )

        with pytest.raises(StoreUnavailable, match="Nothing was stored"):
            await agent.engine.accept(message)
        await postgres.execute(
            "ALTER DATABASE agent RESET default_transaction_read_only"
        )
        await agent.engine.accept(message)
        await world.platform.until(
            lambda: world.platform.finished[message.turn_id] > 0
        )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("read_only_sql_transaction", StoreUnavailable),
        ("disk_full", StoreUnavailable),
        ("deadlock_detected", StoreUnavailable),
        ("serialization_failure", StoreUnavailable),
        ("division_by_zero", asyncpg.DivisionByZeroError),
    ],
)
async def test_what_is_no_fault_of_the_statement_is_the_stores(
    database_url: str, code: str, error: type[Exception]
) -> None:
    async with open_database(database_url) as database:
        with pytest.raises(error):
            async with transaction(database) as connection:
                await connection.execute(f"DO $$ BEGIN RAISE {code}; END $$")


async def test_a_value_that_the_driver_cannot_encode_is_no_fault_of_the_store(
    database_url: str,
) -> None:
    async with open_database(database_url) as database:
        with pytest.raises(asyncpg.DataError):
            async with transaction(database) as connection:
                await connection.execute(
                    "SELECT CAST(:number AS int)", {"number": "seven"}
                )
