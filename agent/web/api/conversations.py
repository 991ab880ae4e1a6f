"""`/conversations`: finding them takes no special permission, reading words does."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Text,
    moment_of,
    number,
    page,
    uuid_of,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import MISSING, needs, routes
from storage.control.targets import RuleTarget
from storage.conversation.operating.search import (
    find_conversation,
    list_conversations,
    read_messages,
)
from storage.reports.conversations import ConversationView, MessageView

router = routes("conversations")


class ConversationOut(BaseModel):
    """A conversation, without a word of it."""

    id: UUID
    person: UUID = Field(description="Who began it.")
    channel: str
    chat: str
    thread: str
    model: str | None = Field(description="The one that somebody chose there.")
    started_at: datetime
    last_activity: datetime
    is_active: bool
    waits: bool = Field(description="For an answer.")


class MessageOut(BaseModel):
    """A message, with its words."""

    id: UUID
    at: datetime
    seq: int
    role: str
    text: str
    author: str | None = Field(description="An account; null: the agent.")
    answers: int | None = Field(description="`seq` of the last message it covers.")
    model: str | None
    prompt_tokens: int | None
    tokens: int | None
    usd: Decimal | None = Field(description="null: not known.")
    latency_ms: int | None


class Wanted(Paging):
    """Which conversations."""

    person: Text | None = Field(default=None, description="channel:id, or an id.")
    channel: Text | None = None


@router.get("/conversations")
@needs(Permission.SEE)
async def list_all(
    caller: Asking,
    asked: Annotated[Wanted, Query()],
) -> Page[ConversationOut]:
    """Those that began last first."""
    after = asked.after(uuid_of)
    rows = await list_conversations(
        caller.services.stores.database,
        RuleTarget(asked.person, asked.channel),
        before=after[0] if after else None,
        limit=asked.limit + 1,
    )

    return page(rows, asked, lambda row: (row.id,), _shown)


@router.get("/conversations/{conversation}", responses=MISSING)
@needs(Permission.SEE)
async def get_one(caller: Asking, conversation: UUID) -> ConversationOut:
    return _shown(await _found(caller, conversation))


@router.get("/conversations/{conversation}/messages", responses=MISSING)
@needs(Permission.READ_MESSAGES)
async def list_messages(
    caller: Asking,
    conversation: UUID,
    asked: Annotated[Paging, Query()],
) -> Page[MessageOut]:
    """The newest first. Each page that is read is a row of the audit log."""
    after = asked.after(moment_of, number)
    view = await _found(caller, conversation)
    rows = await read_messages(
        caller.services.stores.database,
        view,
        caller.author(),
        before=None if after is None else (after[0], after[1]),
        limit=asked.limit + 1,
    )

    return page(rows, asked, lambda row: (row.at.isoformat(), row.seq), _message)


async def _found(
    caller: Caller,
    conversation: UUID,
) -> ConversationView:
    async with finding():
        return await find_conversation(caller.services.stores.database, conversation)


def _shown(view: ConversationView) -> ConversationOut:
    return ConversationOut.model_validate(view, from_attributes=True)


def _message(view: MessageView) -> MessageOut:
    return MessageOut.model_validate(view, from_attributes=True)
