"""The usual service: ORM objects, a session for each request, history read from the table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import BigInteger, Text, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from storage.postgres import connect
from tests.benchmarks.compare.contenders import WINDOW, StoreUrls, Turn, answer_to
from tests.benchmarks.compare.contenders.schema import conversation_of


class Base(DeclarativeBase):
    """Tables of this design."""


class Conversation(Base):
    __tablename__ = "orm_conversations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=0)


class Message(Base):
    __tablename__ = "orm_messages"

    conversation: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False
    )
    id: Mapped[UUID]
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)


async def add(session: AsyncSession, chat: str, role: str, text: str) -> None:
    """Stores a message."""
    identifier = conversation_of(chat)
    conversation = await session.get(Conversation, identifier, with_for_update=True)
    if conversation is None:
        conversation = Conversation(id=identifier, version=0)
        session.add(conversation)
    conversation.version += 1
    session.add(
        Message(
            conversation=identifier,
            seq=conversation.version,
            id=uuid7(),
            role=role,
            content=text,
        )
    )
    await session.commit()


async def history(session: AsyncSession, chat: str) -> list[Message]:
    """The window, oldest first."""
    newest = (
        select(Message)
        .where(Message.conversation == conversation_of(chat))
        .order_by(Message.seq.desc())
        .limit(WINDOW)
    )
    return [*reversed((await session.scalars(newest)).all())]


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(stores.postgres, None),
        pool_size=20,
    )
    sessions = async_sessionmaker(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)

    async def turn(chat: str, text: str) -> None:
        async with sessions() as session:
            await add(session, chat, "user", text)
            window = await history(session, chat)
            await add(session, chat, "assistant", answer_to(window[-1].content))

    try:
        yield turn
    finally:
        await engine.dispose()
