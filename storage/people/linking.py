"""Account linking: two accounts become one person, and the conversation goes on where the
code is used.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from storage.connecting.connection import Connection
from storage.control.audit import Itself
from storage.control.changes import begun
from storage.people import STATEMENTS
from storage.people import accounts as people
from storage.people.inheritance import Moved, inherit

AGENT = Itself(origin="account linking")
VALID_FOR = timedelta(minutes=10)
"""How long a code can be used."""
CARRIED_MESSAGES = 20
"""As many as a window holds."""


async def offer(
    connection: Connection,
    user: UUID,
    inbound: Inbound,
    code: str,
) -> bool:
    """Keeps a code's hash; earlier codes of this account end."""
    await connection.execute(STATEMENTS["end_codes"], {"user": user})

    channel, chat, thread = inbound.address.key
    values = {
        "hash": _hash(code),
        "user": user,
        "channel": channel,
        "chat": chat,
        "thread": thread,
        "seconds": VALID_FOR.total_seconds(),
    }
    await connection.execute(STATEMENTS["keep_code"], values)

    return True


async def accept(
    connection: Connection,
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
    offered = {"hash": _hash(code), "user": user}

    other = await connection.scalar(STATEMENTS["offered_by"], offered)
    if other is None:
        return False

    accounts = await people.locked(connection, user, other)
    use = STATEMENTS["use_code"]
    used = (await connection.execute(use, offered)).first()
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
    connection: Connection,
    gone: UUID,
    stays: UUID,
    preferred: str | None,
) -> list[Moved]:
    """Makes two people one; for the log, what operators had set for the one who joins."""
    if gone == stays:
        return []

    moved = await inherit(connection, gone, stays)
    values = {"gone": gone, "stays": stays, "preferred": preferred}
    await connection.execute(STATEMENTS["join_accounts"], values)

    return moved


async def _carry_on(
    connection: Connection,
    source: UUID,
    user: UUID,
    inbound: Inbound,
) -> None:
    channel, chat, thread = inbound.address.key
    place = {"channel": channel, "chat": chat, "thread": thread}
    await connection.execute(STATEMENTS["end_conversation"], place)

    values = {
        "source": source,
        "copy": uuid7(),
        "user": user,
        "count": CARRIED_MESSAGES,
    }
    await connection.execute(STATEMENTS["carry_on"], {**values, **place})


def _hash(code: str) -> bytes:
    return sha256(code.strip().upper().encode()).digest()
