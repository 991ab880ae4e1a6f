"""What operators search and read: permitted and audited in the transaction that reads."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.words.search import Found, Query
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
from storage.reports.conversations import (
    ConversationView,
    MessageView,
    Place,
    conversation,
    messages,
    newest_conversations,
)
from storage.reports.search import search_everything
from storage.transaction import transaction


async def search_audited(
    database: Database,
    author: Author,
    query: Query,
    target: RuleTarget,
    *,
    since: datetime | None = None,
) -> list[Found]:
    """Raises Rejected when the author is no operator, or for an unknown person or channel.

    The audit log does not keep the words: they may name somebody, and it is kept when that
    person is forgotten.
    """
    async with transaction(database) as connection:
        await admit(connection, author, Permission.READ_MESSAGES)
        audience = await audience_of(connection, target)
        found = await search_everything(
            connection,
            query,
            person=audience.person,
            channel=audience.channel,
            since=since,
        )
        subject = f"person:{audience.person}" if audience.person else "messages"
        kept = {
            "channel": audience.channel,
            "since": since.isoformat() if since else None,
            "found": len(found),
        }
        await audit.record(
            connection,
            author,
            "search",
            subject,
            before=None,
            after=as_json(kept),
            epoch=None,
        )

    return found


async def list_conversations(
    database: Database,
    target: RuleTarget,
    *,
    before: UUID | None = None,
    limit: int = 50,
) -> list[ConversationView]:
    """The newest first, from the one `before` this id on; no word of them.

    Raises Rejected for an unknown person or channel.
    """
    async with transaction(database) as connection:
        audience = await audience_of(connection, target)

        return await newest_conversations(
            connection,
            person=audience.person,
            channel=audience.channel,
            before=before,
            limit=limit,
        )


async def find_conversation(
    database: Database,
    number: UUID,
) -> ConversationView:
    """Raises Rejected when there is none."""
    async with transaction(database) as connection:
        found = await conversation(connection, number)
    if found is None:
        raise Rejected("There is no such conversation.")

    return found


async def read_messages(
    database: Database,
    view: ConversationView,
    author: Author,
    *,
    before: Place | None = None,
    limit: int = 50,
) -> list[MessageView]:
    """The newest first, from the one `before` this place on. It leaves an audit row.

    Raises Rejected when the author may not read messages.
    """
    async with transaction(database) as connection:
        await admit(connection, author, Permission.READ_MESSAGES)
        found = await messages(connection, view, before=before, limit=limit)
        await audit.record(
            connection,
            author,
            "conversation.read",
            f"conversation:{view.id}",
            before=None,
            after=as_json({"messages": len(found)}),
            epoch=None,
        )

    return found
