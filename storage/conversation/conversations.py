"""Which of a chat's conversations is the active one, as commands change it.

The others stay as they are: what they still owe is answered there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from storage.conversation.chat import chat_transaction, is_active
from storage.people import accounts as people
from storage.postgres import Database
from storage.tables import Conversation

ATTEMPTS = 5
"""Messages that arrive meanwhile may begin a conversation each time."""


async def begin(
    connection: AsyncConnection, inbound: Inbound, title: str | None
) -> bool:
    """Ends the active conversation. One with a name begins at once, others with a message."""
    user = await people.account(connection, inbound) if title else None
    ended = await end(connection, is_active(inbound))
    if user is None:
        return ended is not None

    channel, chat, thread = inbound.address.key
    new = insert(Conversation).values(
        id=uuid7(),
        user_id=user,
        channel_type=channel,
        chat_id=chat,
        thread_id=thread,
        title=title,
    )
    await connection.execute(
        new.on_conflict_do_update(
            index_elements=["channel_type", "chat_id", "thread_id"],
            index_where=text("is_active"),
            # a message began it meanwhile; it is of the person whose words its title is
            set_={"title": title, "user_id": user},
        )
    )

    return True


async def go_on(
    connection: AsyncConnection, inbound: Inbound, conversation: UUID
) -> bool:
    """Makes a conversation of this chat the active one.

    Its version moves: no window cached before is used after. Its next answer waits for the
    last one of the conversation that is left, as it would have in that one.
    """
    for _ in range(ATTEMPTS):
        left = await end(connection, is_active(inbound))
        try:
            async with connection.begin_nested():
                return await _activate(connection, inbound, conversation, left)
        except IntegrityError:
            continue  # a message began a conversation in between

    raise StoreUnavailable(StoreUnavailable.__doc__ or "")


async def end(
    connection: AsyncConnection,
    where: ColumnElement[bool],
) -> Any | None:
    """The conversation that was active; None: there was none."""
    ended = (
        update(Conversation)
        .where(where)
        .values(is_active=False)
        .returning(Conversation.id, Conversation.last_turn)
    )

    return (await connection.execute(ended)).first()


async def _activate(
    connection: AsyncConnection,
    inbound: Inbound,
    conversation: UUID,
    left: Any | None,
) -> bool:
    channel, chat, thread = inbound.address.key
    last = left.last_turn if left is not None else None
    chosen = (
        update(Conversation)
        .where(
            Conversation.id == conversation,
            Conversation.channel_type == channel,
            Conversation.chat_id == chat,
            Conversation.thread_id == thread,
        )
        .values(
            is_active=True,
            version=Conversation.version + 1,
            last_turn=Conversation.last_turn if last is None else last,
        )
        .returning(Conversation.id)
    )

    return (await connection.execute(chosen)).first() is not None


class PostgresTitles:
    """Implements agent.ports.chat.ConversationTitles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_missing(self, conversation: UUID) -> bool:
        untitled = select(Conversation.id).where(_untitled(conversation))
        async with chat_transaction(self._database) as connection:
            return (await connection.execute(untitled)).first() is not None

    async def give(self, conversation: UUID, title: str) -> None:
        named = (
            update(Conversation).where(_untitled(conversation)).values(title=title)
        )
        async with chat_transaction(self._database) as connection:
            await connection.execute(named)


def _untitled(conversation: UUID) -> ColumnElement[bool]:
    return (Conversation.id == conversation) & Conversation.title.is_(None)
