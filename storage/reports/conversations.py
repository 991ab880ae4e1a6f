"""Conversations as operators find and read them. Reading words is permitted and audited in the
transaction that reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import text

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.reports import STATEMENTS
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class ConversationView:
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


@dataclass(frozen=True, slots=True)
class MessageView:
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


async def list_conversations(
    database: Database,
    target: RuleTarget,
    *,
    before: UUID | None = None,
    limit: int = 50,
) -> list[ConversationView]:
    """The newest first, from the one `before` this id on.

    Raises Rejected for an unknown person or channel.
    """
    async with transaction(database) as connection:
        audience = await audience_of(connection, target)
        values = {"before": before, "channel": audience.channel, "limit": limit}
        name = "newest_conversations"
        if audience.person is not None:
            name = "conversations_of_person"
            values |= {"person": audience.person}
        rows = await connection.execute(text(STATEMENTS[name]), values)

        return [ConversationView(*row) for row in rows]


async def find_conversation(
    database: Database,
    conversation: UUID,
) -> ConversationView:
    """Raises Rejected when there is none."""
    statement = text(STATEMENTS["one_conversation"])
    async with transaction(database) as connection:
        row = (await connection.execute(statement, {"id": conversation})).first()
    if row is None:
        raise Rejected("There is no such conversation.")

    return ConversationView(*row)


async def read_messages(
    database: Database,
    view: ConversationView,
    author: Author,
    *,
    before: Place | None = None,
    limit: int = 50,
) -> Sequence[MessageView]:
    """The newest first, from the one `before` this place on. It leaves an audit row.

    Raises Rejected when the author may not read messages.
    """
    at, seq = before or (view.last_activity, 2**62)
    values = {
        "id": view.id,
        "begun": view.started_at,
        "ended": view.last_activity,
        "at": at,
        "seq": seq,
        "limit": limit,
    }
    async with transaction(database) as connection:
        await admit(connection, author, Permission.READ_MESSAGES)
        statement = text(STATEMENTS["messages_of_conversation"])
        rows = (await connection.execute(statement, values)).all()
        await audit.record(
            connection,
            author,
            "conversation.read",
            f"conversation:{view.id}",
            before=None,
            after=as_json({"messages": len(rows)}),
            epoch=None,
        )

    return [MessageView(*row) for row in rows]
