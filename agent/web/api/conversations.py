"""`/conversations`: finding them takes no special permission, reading words does. The last message
of one can be answered again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from agent.control.permissions import Permission
from agent.web.api.protocol.amounts import Dollars
from agent.web.api.protocol.caller import Asking, Caller
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Text,
    Why,
    moment_of,
    number,
    page,
    uuid_of,
)
from agent.web.api.protocol.problems import finding
from agent.web.api.protocol.routing import CHANGES, MISSING, TAGGED, needs, routes
from agent.web.api.protocol.versions import Expected, tag
from storage.control.targets import RuleTarget
from storage.conversation.operating.again import Press, answer_again
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
    version: int = Field(description="Moves with every message and change.")


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
    usd: Dollars | None = Field(description="null: not known.")
    latency_ms: int | None


class AgainOut(BaseModel):
    """A message that is asked once more; its answer comes later."""

    conversation: UUID
    seq: int = Field(description="Of the message: its answer has it in `answers`.")
    is_new: bool = Field(description="false: a request with this key came before.")


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Names this request: sent twice, it is carried out once.",
        pattern="^[A-Za-z0-9_-]{1,64}$",
    ),
]


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


@router.get("/conversations/{conversation}", responses=MISSING | TAGGED)
@needs(Permission.SEE)
async def get_one(
    caller: Asking, conversation: UUID, response: Response
) -> ConversationOut:
    view = await _found(caller, conversation)
    tag(response, view.version)

    return _shown(view)


@router.post(
    "/conversations/{conversation}/again",
    status_code=202,
    responses=MISSING | CHANGES,
)
@needs(Permission.CHANGE)
async def again(
    caller: Asking,
    conversation: UUID,
    sent: Why,
    version: Expected,
    key: Key = None,
) -> AgainOut:
    """The last message is answered once more, as its author asks with `/retry`. The answer
    arrives in the chat as a new message; it costs what an answer costs.
    """
    await _found(caller, conversation)
    services = caller.services
    stores, author = services.stores, caller.author(sent.reason)
    press = Press(conversation, author, key or str(uuid7()), version)
    asked = await answer_again(stores.database, stores.pipe, services.flags, press)

    return AgainOut(conversation=conversation, seq=asked.seq, is_new=asked.is_new)


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
