"""Where a person's commands apply: the active conversation of the chat, and the account."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from sqlalchemy import ColumnElement, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from storage.postgres import Database
from storage.tables import Conversation, MessageRow, User
from storage.transaction import transaction


def chat_transaction(
    database: Database,
) -> AbstractAsyncContextManager[AsyncConnection]:
    """One transaction. Raises StoreUnavailable with a sentence for people in a chat."""
    return transaction(database, StoreUnavailable.__doc__ or "")


def is_active(inbound: Inbound) -> ColumnElement[bool]:
    """Selects the active conversation of this chat."""
    channel, chat, thread = inbound.address.key

    return (
        (Conversation.channel_type == channel)
        & (Conversation.chat_id == chat)
        & (Conversation.thread_id == thread)
        & Conversation.is_active
    )


def is_account(inbound: Inbound) -> ColumnElement[bool]:
    """Selects the row of the person's account."""
    is_channel = User.channel_type == inbound.address.channel
    return is_channel & (User.channel_user_id == inbound.user_id)


def within_lifetime() -> ColumnElement[bool]:
    """Limits messages to the time of their conversation, so that few partitions are read."""
    return MessageRow.timestamp.between(
        Conversation.started_at, Conversation.last_activity
    )


async def request_stop(
    connection: AsyncConnection, where: ColumnElement[bool]
) -> bool:
    """Asks whoever writes an answer there to stop. False: nobody does."""
    asked = (
        update(Conversation)
        .where(where, Conversation.answering.is_not(None))
        .values(stopping=Conversation.answering)
        .returning(Conversation.id)
    )

    return (await connection.execute(asked)).first() is not None
