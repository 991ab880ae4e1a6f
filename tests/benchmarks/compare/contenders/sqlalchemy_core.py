"""The same turn through SQLAlchemy Core and redis-py, a transaction for each message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, Uuid, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from uuid_utils.compat import uuid7

from storage.postgres import connect
from tests.benchmarks.compare.contenders import StoreUrls, Turn
from tests.benchmarks.compare.contenders.schema import (
    ask_model,
    conversation_of,
    reads,
    window_of,
    writes,
)

PREFIX = "core"

_metadata = MetaData()
conversations = Table(
    "core_conversations",
    _metadata,
    Column("id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
messages = Table(
    "core_messages",
    _metadata,
    Column("conversation", Uuid, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
)


async def add(engine: AsyncEngine, chat: str, role: str, text: str) -> int:
    """Stores a message; its seq."""
    conversation = conversation_of(chat)
    async with engine.begin() as connection:
        seq: int | None = await connection.scalar(
            update(conversations)
            .where(conversations.c.id == conversation)
            .values(version=conversations.c.version + 1)
            .returning(conversations.c.version)
        )
        if seq is None:
            seq = 1
            new = insert(conversations).values(id=conversation, version=seq)
            await connection.execute(new)
        row = {"conversation": conversation, "seq": seq, "id": uuid7()}
        await connection.execute(
            insert(messages).values(**row, role=role, content=text)
        )

    return seq


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(stores.postgres, None),
        pool_size=20,
    )
    pool = BlockingConnectionPool.from_url(stores.redis, max_connections=50)
    redis = Redis(connection_pool=pool)
    async with engine.begin() as connection:
        await connection.run_sync(_metadata.create_all)

    async def send(*commands: tuple[object, ...]) -> list[bytes | None]:
        async with redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies: list[bytes | None] = await pipe.execute()
            return replies

    async def turn(chat: str, text: str) -> None:
        conversation = conversation_of(chat)
        _, packed = await send(*reads(PREFIX, conversation))
        seq = await add(engine, chat, "user", text)
        window = [*window_of(packed), (seq, "user", text)]
        answer = ask_model(window)
        seq = await add(engine, chat, "assistant", answer)
        window.append((seq, "assistant", answer))
        await send(*writes(PREFIX, conversation, window))

    try:
        yield turn
    finally:
        await redis.aclose()
        await engine.dispose()
