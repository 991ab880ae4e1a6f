"""An operator's search: permitted and audited in the transaction that reads."""

from __future__ import annotations

from datetime import datetime

from agent.control.permissions import Permission
from agent.core.words.search import Found, Query
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit, as_json
from storage.control.targets import RuleTarget, audience_of
from storage.postgres import Database
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
