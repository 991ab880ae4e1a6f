"""agno's AsyncPostgresDb: a session is read, and written with its new run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from time import time

from agno.db.base import SessionType
from agno.db.postgres import AsyncPostgresDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.session import AgentSession
from sqlalchemy.ext.asyncio import create_async_engine

from storage.postgres import connect
from tests.benchmarks.compare.contenders import WINDOW, StoreUrls, Turn, answer_to


def now() -> int:
    """Seconds, as agno keeps them."""
    return int(time())


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(stores.postgres, None),
        pool_size=20,
    )
    db, numbers = AsyncPostgresDb(db_engine=engine, db_schema="agno"), count()
    await db.upsert_session(AgentSession("first", agent_id="agent", created_at=now()))

    async def turn(chat: str, text: str) -> None:
        found = await db.get_session(chat, SessionType.AGENT, runs_limit=WINDOW // 2)
        session = found or AgentSession(chat, agent_id="agent", created_at=now())
        number = next(numbers)
        run = RunOutput(
            run_id=f"{chat} {number}",
            agent_id="agent",
            session_id=chat,
            messages=[
                Message(role="user", content=text),
                Message(role="assistant", content=answer_to(text)),
            ],
        )
        await db.upsert_session(session)
        await db.upsert_run(run, chat, run_index=number)

    try:
        yield turn
    finally:
        await engine.dispose()
