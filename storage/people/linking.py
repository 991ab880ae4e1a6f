"""Account linking: two accounts become one person, and the conversation goes on where the
code is used.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from storage.control.audit import Itself
from storage.control.changes import begun
from storage.people import STATEMENTS
from storage.people import accounts as people
from storage.people.inheritance import inherit
from storage.tables import Conversation, LinkCode, User

AGENT = Itself(origin="account linking")
VALID_FOR = timedelta(minutes=10)
CARRIED_MESSAGES = 20


async def offer(
    connection: AsyncConnection, user: UUID, inbound: Inbound, code: str
) -> bool:
    """Keeps a code's hash; earlier codes of this account end."""
    await connection.execute(
        delete(LinkCode).where(
            (LinkCode.user_id == user) | (LinkCode.expires_at < func.now())
        )
    )
    channel, chat, thread = inbound.address.key
    here = select(Conversation.id).where(
        Conversation.channel_type == channel,
        Conversation.chat_id == chat,
        Conversation.thread_id == thread,
        Conversation.is_active,
    )
    await connection.execute(
        insert(LinkCode).values(
            code_hash=_hash(code),
            user_id=user,
            conversation_id=here.scalar_subquery(),
            expires_at=func.now() + VALID_FOR,
        )
    )
    return True


async def accept(connection: AsyncConnection, inbound: Inbound, code: str) -> bool:
    """Joins this account to the person who offered the code. False: no such code (used,
    expired, one's own).

    Locks the epoch before people, as changes of limits do, and people in the order in which
    `accept` of turns does.
    """
    change = await begun(connection, AGENT)
    user = await people.account(connection, inbound)
    offered = (
        (LinkCode.code_hash == _hash(code))
        & (LinkCode.expires_at > func.now())
        & (LinkCode.user_id != user)
    )
    other = await connection.scalar(select(LinkCode.user_id).where(offered))
    if other is None:
        return False
    accounts = await people.locked(connection, user, other)
    used = (
        await connection.execute(
            delete(LinkCode).where(offered).returning(LinkCode.conversation_id)
        )
    ).first()
    if used is None:
        return False
    gone, (stays, preferred) = accounts[user][0], accounts[other]
    moved = []
    if gone != stays:
        moved = await inherit(connection, gone, stays)
        joining = update(User).where(User.person_id == gone)
        await connection.execute(
            joining.values(person_id=stays, preferred_model=preferred)
        )
    if used[0] is not None:
        await _carry_on(connection, used[0], user, inbound)
    for entry in moved:
        await change.record(
            entry.action, entry.subject, before=entry.before, after=entry.after
        )
    await change.end()
    return True


async def _carry_on(
    connection: AsyncConnection, source: UUID, user: UUID, inbound: Inbound
) -> None:
    channel, chat, thread = inbound.address.key
    place = {"channel": channel, "chat": chat, "thread": thread}
    await connection.execute(
        text(STATEMENTS["end_conversation"]),
        place,
    )
    await connection.execute(
        text(STATEMENTS["carry_on"]),
        {
            "source": source,
            "copy": uuid7(),
            "user": user,
            "count": CARRIED_MESSAGES,
            **place,
        },
    )


def _hash(code: str) -> bytes:
    return sha256(code.strip().upper().encode()).digest()
