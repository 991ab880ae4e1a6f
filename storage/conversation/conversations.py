"""Which of a chat's conversations is the active one, as commands change it.

The others stay as they are: what they still owe is answered there.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from storage.connecting.connection import Connection, Row
from storage.conversation import STATEMENTS
from storage.conversation.chat import chat_transaction, place_of
from storage.people import accounts as people
from storage.postgres import Database

ATTEMPTS = 5
"""Messages that arrive meanwhile may begin a conversation each time."""


async def begin(connection: Connection, inbound: Inbound, title: str | None) -> bool:
    """Ends the active conversation. One with a name begins at once, others with a message."""
    user = await people.account(connection, inbound) if title else None
    ended = await end(connection, inbound)
    if user is None:
        return ended is not None

    new = {**place_of(inbound), "id": uuid7(), "user": user, "title": title}
    await connection.execute(STATEMENTS["begin_named"], new)

    return True


async def go_on(connection: Connection, inbound: Inbound, conversation: UUID) -> bool:
    """Makes a conversation of this chat the active one.

    Its version moves: no window cached before is used after. Its next answer waits for the
    last one of the conversation that is left, as it would have in that one.
    """
    for _ in range(ATTEMPTS):
        left = await end(connection, inbound)
        try:
            async with connection.savepoint():
                return await _activate(connection, inbound, conversation, left)
        except asyncpg.UniqueViolationError:
            continue  # a message began a conversation in between

    raise StoreUnavailable(StoreUnavailable.__doc__ or "")


async def end(connection: Connection, inbound: Inbound) -> Row | None:
    """The conversation that was active, and its last turn; None: there was none."""
    ended = STATEMENTS["end_in_chat"]

    return (await connection.execute(ended, place_of(inbound))).first()


async def _activate(
    connection: Connection,
    inbound: Inbound,
    conversation: UUID,
    left: Row | None,
) -> bool:
    last = left.last_turn if left is not None else None
    chosen = {**place_of(inbound), "id": conversation, "last": last}
    went_on = await connection.execute(STATEMENTS["go_on_in"], chosen)

    return went_on.first() is not None


class PostgresTitles:
    """Implements agent.ports.chat.ConversationTitles."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_missing(self, conversation: UUID) -> bool:
        async with chat_transaction(self._database) as connection:
            untitled = STATEMENTS["is_untitled"]
            found = await connection.execute(untitled, {"id": conversation})

            return found.first() is not None

    async def give(self, conversation: UUID, title: str) -> None:
        named = {"id": conversation, "title": title}
        async with chat_transaction(self._database) as connection:
            await connection.execute(STATEMENTS["give_title"], named)
