"""The floor: what a turn costs that is durable and has a window, and promises nothing else.

Two Redis round trips and two Postgres statements, all of them shared by the turns that wait at
one moment. No dedupe, no claim, no limits, flags, budgets, recovery, streaming or metrics.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from tests.benchmarks.compare.contenders import StoreUrls, Turn
from tests.benchmarks.compare.contenders.pipelined import connect
from tests.benchmarks.compare.contenders.schema import (
    ADD,
    BEGIN,
    TABLES,
    ask_model,
    conversation_of,
    reads,
    window_of,
    writes,
)

PREFIX = "floor"

Item = tuple[UUID, UUID, str]
"""Conversation, id and text of a message."""


class Group:
    """Group commit: one statement at a time, the next carries all that came meanwhile."""

    def __init__(self, connection: asyncpg.Connection, role: str) -> None:
        self._connection = connection
        self._role = role
        self._waiting: list[tuple[Item, asyncio.Future[int]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> int:
        """Its seq, once it is durable."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())

        return await future

    async def _flush(self) -> None:
        statement = await self._connection.prepare(ADD.format(prefix=PREFIX))
        await asyncio.sleep(0)
        while self._waiting:
            entries, self._waiting = self._waiting, []
            columns = zip(*(item for item, _ in entries), strict=True)
            rows = await statement.fetch(*map(list, columns), self._role)
            found = {row["conversation"]: row["seq"] for row in rows}
            for (conversation, _, _), future in entries:
                future.set_result(found[conversation])
        self._flusher = None


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    pipe = await connect(stores.redis_socket)
    first = await asyncpg.connect(stores.postgres)
    second = await asyncpg.connect(stores.postgres)
    await first.execute(TABLES.format(prefix=PREFIX))
    questions, answers = Group(first, "user"), Group(second, "assistant")
    known: dict[str, UUID] = {}

    async def begin(chat: str) -> UUID:
        known[chat] = conversation_of(chat)
        async with beginning:
            await third.execute(BEGIN.format(prefix=PREFIX), known[chat])
        return known[chat]

    async def turn(chat: str, text: str) -> None:
        conversation = known.get(chat) or await begin(chat)
        _, packed = await pipe.send(*reads(PREFIX, conversation))
        seq = await questions.add((conversation, uuid7(), text))
        window = [*window_of(packed), (seq, "user", text)]
        answer = ask_model(window)
        seq = await answers.add((conversation, uuid7(), answer))
        window.append((seq, "assistant", answer))
        await pipe.send(*writes(PREFIX, conversation, window))

    third, beginning = await asyncpg.connect(stores.postgres), asyncio.Lock()
    try:
        yield turn
    finally:
        pipe.close()
        for connection in (first, second, third):
            await connection.close()
