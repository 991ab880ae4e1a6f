"""Conversations as operators find and read them. `storage/conversation/operating/search.py`
asks who may, and writes down who did.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from msgspec import Struct

from storage.connecting.connection import Connection
from storage.reports import STATEMENTS


class ConversationView(Struct, frozen=True):
    """A conversation, without a word of it."""

    id: UUID
    person: UUID
    """Who began it."""
    channel: str
    chat: str
    thread: str
    model: str | None
    """The one that somebody chose there."""
    started_at: datetime
    last_activity: datetime
    is_active: bool
    waits: bool
    """For an answer."""
    version: int


class MessageView(Struct, frozen=True):
    """A message, with its words."""

    id: UUID
    at: datetime
    seq: int
    role: str
    text: str
    author: str | None
    """An account, as `channel:id`; None: the agent."""
    answers: int | None
    """Of an answer: `seq` of the last message that it covers."""
    model: str | None
    prompt_tokens: int | None
    tokens: int | None
    usd: Decimal | None
    latency_ms: int | None


Place = tuple[datetime, int]
"""Where a message stands: its time and `seq`."""


async def newest_conversations(
    connection: Connection,
    *,
    person: UUID | None,
    channel: str | None,
    before: UUID | None,
    limit: int,
) -> list[ConversationView]:
    """The newest first, from the one `before` this id on."""
    values = {"before": before, "channel": channel, "limit": limit}
    statement = STATEMENTS["conversations_by_id"]
    if person is not None:
        statement = STATEMENTS["conversations_of_person_by_id"]
        values |= {"person": person}
    rows = await connection.execute(statement, values)

    return [ConversationView(*row) for row in rows]


async def conversation(
    connection: Connection,
    number: UUID,
) -> ConversationView | None:
    statement = STATEMENTS["one_conversation"]
    row = (await connection.execute(statement, {"id": number})).first()

    return None if row is None else ConversationView(*row)


async def messages(
    connection: Connection,
    view: ConversationView,
    *,
    before: Place | None,
    limit: int,
) -> list[MessageView]:
    """The newest first, from the one `before` this place on."""
    at, seq = before or (view.last_activity, 2**62)
    values = {
        "id": view.id,
        "begun": view.started_at,
        "ended": view.last_activity,
        "at": at,
        "seq": seq,
        "limit": limit,
    }
    statement = STATEMENTS["messages_by_seq"]
    rows = await connection.execute(statement, values)

    return [MessageView(*row) for row in rows]
