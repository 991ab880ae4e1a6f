"""What a good programmer writes in an afternoon: asyncpg, two statements a turn, no group commit.

Connections are pinned, so that statements stay prepared; Redis is pipelined as in the floor.
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

PREFIX = "by_hand"
CONNECTIONS = 10


class Connections:
    """A few connections, each taken for one statement."""

    def __init__(self, free: list[asyncpg.Connection]) -> None:
        self._free: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()
        self._add = ADD.format(prefix=PREFIX)
        for connection in free:
            self._free.put_nowait(connection)

    async def begin(self, conversation: UUID) -> None:
        connection = await self._free.get()
        await connection.execute(BEGIN.format(prefix=PREFIX), conversation)
        self._free.put_nowait(connection)

    async def add(self, conversation: UUID, text: str, role: str) -> int:
        """Its seq, once it is durable."""
        connection = await self._free.get()
        rows = await connection.fetch(
            self._add, [conversation], [uuid7()], [text], role
        )
        self._free.put_nowait(connection)
        seq: int = rows[0]["seq"]

        return seq


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    pipe = await connect(stores.redis_socket)
    opened = [await asyncpg.connect(stores.postgres) for _ in range(CONNECTIONS)]
    await opened[0].execute(TABLES.format(prefix=PREFIX))
    connections = Connections(opened)
    known: dict[str, UUID] = {}

    async def begin(chat: str) -> UUID:
        known[chat] = conversation_of(chat)
        await connections.begin(known[chat])
        return known[chat]

    async def turn(chat: str, text: str) -> None:
        conversation = known.get(chat) or await begin(chat)
        _, packed = await pipe.send(*reads(PREFIX, conversation))
        seq = await connections.add(conversation, text, "user")
        window = [*window_of(packed), (seq, "user", text)]
        answer = ask_model(window)
        seq = await connections.add(conversation, answer, "assistant")
        window.append((seq, "assistant", answer))
        await pipe.send(*writes(PREFIX, conversation, window))

    try:
        yield turn
    finally:
        pipe.close()
        for connection in opened:
            await connection.close()
