"""langchain-postgres' PostgresChatMessageHistory, over a pool of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langchain_core.messages import AIMessage, HumanMessage
from langchain_postgres import PostgresChatMessageHistory
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks.compare.contenders import StoreUrls, Turn, answer_to
from tests.benchmarks.compare.contenders.schema import conversation_of

TABLE = "langchain_messages"


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    async with AsyncConnectionPool(stores.postgres, max_size=20, open=False) as pool:
        async with pool.connection() as connection:
            await PostgresChatMessageHistory.acreate_tables(connection, TABLE)

        async def turn(chat: str, text: str) -> None:
            session = str(conversation_of(chat))
            async with pool.connection() as connection:
                history = PostgresChatMessageHistory(
                    TABLE, session, async_connection=connection
                )
                await history.aadd_messages([HumanMessage(text)])
                messages = await history.aget_messages()
                answer = answer_to(str(messages[-1].content))
                await history.aadd_messages([AIMessage(answer)])

        yield turn
