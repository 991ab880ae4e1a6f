"""Invariant 7: no transaction and no lock is held while a model or a platform is awaited."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tests.support.engine_harness import EngineHarness, PlatformReply

CHATS = [f"chat {number}" for number in range(20)]
HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND xact_start < clock_timestamp() - interval '300 ms'
"""
LOOKS = 5
PAUSE_SECONDS = 0.2


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url)


async def held(database_url: str) -> int:
    """How many transactions were seen that are older than any statement of ours takes."""
    connection = await asyncpg.connect(database_url)
    try:
        seen = 0
        for _ in range(LOOKS):
            await asyncio.sleep(PAUSE_SECONDS)
            seen += await connection.fetchval(HELD)
        return seen
    finally:
        await connection.close()


async def test_nothing_is_held_while_models_are_awaited(
    world: EngineHarness, database_url: str
) -> None:
    async with world.instance() as agent:
        world.model.hold()
        for chat in CHATS:
            await agent.engine.accept(world.message("one", chat=chat))
        async with asyncio.timeout(15):
            while len(world.model.prompts) < len(CHATS):
                await asyncio.sleep(0.01)

        assert await held(database_url) == 0

        world.model.release()
        for chat in CHATS:
            await world.answered(chat, "re: one")


async def test_nothing_is_held_while_platforms_are_awaited(
    world: EngineHarness, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, goes_on, sends = PlatformReply.finish, asyncio.Event(), []

    async def slow(self: PlatformReply, text: str) -> object:
        sends.append(text)
        await goes_on.wait()

        return await finish(self, text)

    monkeypatch.setattr(PlatformReply, "finish", slow)
    async with world.instance() as agent:
        for chat in CHATS:
            await agent.engine.accept(world.message("one", chat=chat))
        async with asyncio.timeout(15):
            while len(sends) < len(CHATS):
                await asyncio.sleep(0.01)

        assert await held(database_url) == 0

        goes_on.set()
        for chat in CHATS:
            await world.answered(chat, "re: one")


async def test_a_transaction_that_is_held_is_seen(database_url: str) -> None:
    """The look itself works."""
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT 1")

            assert await held(database_url) > 0
    finally:
        await connection.close()
