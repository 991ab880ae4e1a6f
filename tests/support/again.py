"""An operator's process that has a message answered again: it serves no channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from storage.control.audit import Author
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.conversation.operating.again import AskedAgain, Press, answer_again
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.operators import ADA, OperatorModels
from tests.support.settings import run

Pressing = Callable[..., Awaitable[AskedAgain]]
"""Presses once: `key`, `expected` and `author` may be named."""

NEWEST = "SELECT id FROM conversations WHERE chat_id = $1 ORDER BY id DESC LIMIT 1"


@asynccontextmanager
async def operator_of(
    world: EngineHarness,
    chat: str = "ada",
) -> AsyncIterator[Pressing]:
    """For the newest conversation of a chat."""
    async with (
        open_database(world.database_url) as database,
        open_redis(world.redis_url) as pipe,
    ):
        flags = FlagAdmin(database, pipe, ValueCheck(OperatorModels(), window=150))

        async def pressed(
            key: str | None = None,
            expected: int | None = None,
            author: Author = ADA,
        ) -> AskedAgain:
            conversation = await newest(world, chat)
            press = Press(conversation, author, key or uuid4().hex, expected)

            return await answer_again(database, pipe, flags, press)

        yield pressed


async def newest(world: EngineHarness, chat: str = "ada") -> UUID:
    """The newest conversation of a chat; where there is none, one that is gone."""
    rows = await run(world.database_url, NEWEST, chat)

    return UUID(str(rows[0]["id"])) if rows else uuid4()


async def settled(world: EngineHarness) -> None:
    """Returns once no turn is open."""
    async with asyncio.timeout(15):
        while await run(world.database_url, "SELECT FROM turns WHERE state = 'open'"):
            await asyncio.sleep(0.02)


async def said(world: EngineHarness, agent: Instance, text: str = "hello") -> None:
    """Somebody writes, and has the answer."""
    await world.ask(agent, text)
    await settled(world)
