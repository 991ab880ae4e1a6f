"""What an operator does to a conversation, as a person does it with `/stop` and `/new`."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.control.permissions import Permission
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.conversation.chat import request_stop
from storage.conversation.conversations import end
from storage.conversation.operating.reading import head_of
from storage.postgres import Database
from storage.tables import Conversation
from storage.transaction import transaction


async def stop_answer(database: Database, conversation: UUID, author: Author) -> bool:
    """The answer that is being written ends with what it has. False: there is none.

    Raises Rejected. The instance that writes it sees this with its next heartbeat.
    """
    async with transaction(database) as connection:
        where = await _admitted(connection, conversation, author)
        if not await request_stop(connection, where):
            return False

        await _log(connection, "conversation.stop", conversation, author)

    return True


async def end_conversation(
    database: Database, conversation: UUID, author: Author
) -> bool:
    """The next message there begins another one. False: it had ended already.

    Raises Rejected. What is still owed is answered.
    """
    async with transaction(database) as connection:
        where = await _admitted(connection, conversation, author)
        if await end(connection, where & Conversation.is_active) is None:
            return False

        await _log(connection, "conversation.end", conversation, author)

    return True


async def _admitted(
    connection: AsyncConnection, conversation: UUID, author: Author
) -> ColumnElement[bool]:
    await admit(connection, author, Permission.CHANGE)
    await head_of(connection, conversation, texts=False)

    return Conversation.id == conversation


async def _log(
    connection: AsyncConnection, action: str, conversation: UUID, author: Author
) -> None:
    await audit.record(
        connection,
        author,
        action,
        f"conversation:{conversation}",
        before=None,
        after=None,
        epoch=None,
    )
