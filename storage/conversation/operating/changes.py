"""What an operator does to a conversation, as a person does it with `/stop` and `/new`."""

from __future__ import annotations

from uuid import UUID

from agent.control.permissions import Permission
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.conversation.operating import STATEMENTS
from storage.conversation.operating.reading import head_of
from storage.postgres import Database
from storage.transaction import transaction


async def stop_answer(database: Database, conversation: UUID, author: Author) -> bool:
    """The answer that is being written ends with what it has. False: there is none.

    Raises Rejected. The instance that writes it sees this with its next heartbeat.
    """
    async with transaction(database) as connection:
        await _admit(connection, conversation, author)
        asked = STATEMENTS["stop_by_operator"]
        if await connection.scalar(asked, {"id": conversation}) is None:
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
        await _admit(connection, conversation, author)
        ended = STATEMENTS["end_by_operator"]
        if await connection.scalar(ended, {"id": conversation}) is None:
            return False

        await _log(connection, "conversation.end", conversation, author)

    return True


async def _admit(connection: Connection, conversation: UUID, author: Author) -> None:
    await admit(connection, author, Permission.CHANGE)
    await head_of(connection, conversation, texts=False)


async def _log(
    connection: Connection, action: str, conversation: UUID, author: Author
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
