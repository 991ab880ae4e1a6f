"""Where a person's commands apply: the active conversation of the chat, and the account."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from storage.connecting.connection import Connection
from storage.conversation import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction


def chat_transaction(
    database: Database,
) -> AbstractAsyncContextManager[Connection]:
    """One transaction. Raises StoreUnavailable with a sentence for people in a chat."""
    return transaction(database, StoreUnavailable.__doc__ or "")


def place_of(inbound: Inbound) -> dict[str, str]:
    """Names the chat in statements about its active conversation."""
    channel, chat, thread = inbound.address.key

    return {"channel": channel, "chat": chat, "thread": thread}


async def request_stop(connection: Connection, inbound: Inbound) -> bool:
    """Asks whoever writes an answer in this chat to stop. False: nobody does."""
    asked = STATEMENTS["stop_in_chat"]

    return (await connection.execute(asked, place_of(inbound))).first() is not None
