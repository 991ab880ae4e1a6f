"""openai-agents' SQLAlchemySession: items are added for question and answer, and read once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from storage.postgres import connect
from tests.benchmarks.compare.contenders import WINDOW, StoreUrls, Turn, answer_to


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(stores.postgres, None),
        pool_size=20,
    )
    first = SQLAlchemySession("first", engine=engine, create_tables=True)
    await first.get_items()

    async def turn(chat: str, text: str) -> None:
        session = SQLAlchemySession(chat, engine=engine)
        await session.add_items([{"role": "user", "content": text}])
        items = await session.get_items(limit=WINDOW)
        answer = answer_to(str(items[-1]["content"]))
        await session.add_items([{"role": "assistant", "content": answer}])

    try:
        yield turn
    finally:
        await engine.dispose()
