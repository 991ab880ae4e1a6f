"""`/audit`: who changed and read what, the newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.web.api.protocol.caller import Asking
from agent.web.api.protocol.paging import Page, Paging, Text, number, page
from agent.web.api.protocol.routing import needs, routes
from storage.control.audit import Entry, list_entries

router = routes("audit")


class EntryOut(BaseModel):
    """One row of the log."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: Any
    after: Any
    reason: str | None
    origin: str | None
    epoch: int | None
    hash: str = Field(
        description="Of the chain; `agent audit verify` computes it again."
    )


class Wanted(Paging):
    """Which rows."""

    subject: Text | None = Field(default=None, description="Such as flag:replies.")
    actor: Text | None = None


@router.get("/audit")
@needs(Permission.SEE)
async def list_audit(
    caller: Asking,
    asked: Annotated[Wanted, Query()],
) -> Page[EntryOut]:
    after = asked.after(number)
    rows = await list_entries(
        caller.services.stores.database,
        subject=asked.subject,
        actor=asked.actor,
        before=after[0] if after else None,
        limit=asked.limit + 1,
    )

    return page(rows, asked, lambda row: (row.id,), entry_out)


def entry_out(entry: Entry) -> EntryOut:
    return EntryOut(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        before=entry.before,
        after=entry.after,
        reason=entry.reason,
        origin=entry.origin,
        epoch=entry.epoch,
        hash=entry.hash.hex(),
    )
