"""Account linking: two accounts become one person, and the conversation goes on where the
code is used.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from storage.control.audit import Itself
from storage.control.changes import begun
from storage.people import STATEMENTS
from storage.people import accounts as people
from storage.people.inheritance import Moved, inherit
from storage.tables import Conversation, LinkCode, User

AGENT = Itself(origin="account linking")
VALID_FOR = timedelta(minutes=10)
"""How long a code can be used."""
CARRIED_MESSAGES = 20
"""As many as a window holds."""


async def offer(
    connection: AsyncConnection,
    user: UUID,
    inbound: Inbound,
    code: str,
) -> bool:
    """Keeps a code's hash; earlier codes of this account end."""
    obsolete = (LinkCode.user_id == user) | (LinkCode.expires_at < func.now())
    await connection.execute(delete(LinkCode).where(obsolete))

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


async def accept(
    connection: AsyncConnection,
    inbound: Inbound,
    code: str,
) -> bool:
    """Joins this account to the person who offered the code.

    False: there is no such code, because it was used, has expired, or is the person's own.
    Locks the epoch before people, as changes of limits do, and people in the order in which
    `accept` of turns locks them.
    """
    change = await begun(connection, AGENT)
    user = await people.account(connection, inbound)
    offered = _valid(code) & (LinkCode.user_id != user)

    other = await connection.scalar(select(LinkCode.user_id).where(offered))
    if other is None:
        return False

    accounts = await people.locked(connection, user, other)
    use = delete(LinkCode).where(offered).returning(LinkCode.conversation_id)
    used = (await connection.execute(use)).first()
    if used is None:
        return False

    moved = await _join(connection, accounts[user][0], *accounts[other])
    if used[0] is not None:
        await _carry_on(connection, used[0], user, inbound)

    # last, because nothing may be locked after an audit row
    for entry in moved:
        await change.record(
            entry.action, entry.subject, before=entry.before, after=entry.after
        )
    await change.end()

    return True


async def _join(
    connection: AsyncConnection,
    gone: UUID,
    stays: UUID,
    preferred: str | None,
) -> list[Moved]:
    """Makes two people one; for the log, what operators had set for the one who joins."""
    if gone == stays:
        return []

    moved = await inherit(connection, gone, stays)
    joining = update(User).where(User.person_id == gone)
    await connection.execute(
        joining.values(person_id=stays, preferred_model=preferred)
    )

    return moved


async def _carry_on(
    connection: AsyncConnection,
    source: UUID,
    user: UUID,
    inbound: Inbound,
) -> None:
    channel, chat, thread = inbound.address.key
    place = {"channel": channel, "chat": chat, "thread": thread}
    await connection.execute(text(STATEMENTS["end_conversation"]), place)

    values = {
        "source": source,
        "copy": uuid7(),
        "user": user,
        "count": CARRIED_MESSAGES,
    }
    await connection.execute(text(STATEMENTS["carry_on"]), {**values, **place})


def _valid(code: str) -> ColumnElement[bool]:
    return (LinkCode.code_hash == _hash(code)) & (LinkCode.expires_at > func.now())


def _hash(code: str) -> bytes:
    return sha256(code.strip().upper().encode()).digest()
