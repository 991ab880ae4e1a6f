"""What people ask for themselves, in the transaction of their command."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.messages import Inbound
from storage.lifecycle import STATEMENTS, jobs
from storage.people import accounts
from storage.tables import User


async def forget(connection: AsyncConnection, inbound: Inbound) -> bool:
    """Begins the erasure of the author. False: nothing is kept, or it has begun."""
    person = await connection.scalar(
        select(User.person_id).where(
            User.channel_type == inbound.address.channel,
            User.channel_user_id == inbound.user_id,
        )
    )
    if person is None:
        return False

    return await jobs.begin(connection, person, "person") is not None


async def consent(
    connection: AsyncConnection, inbound: Inbound, *, given: bool
) -> bool:
    """Notes on all of the author's accounts whether their messages may train a model."""
    account = await accounts.account(connection, inbound)
    owned = await accounts.locked(connection, account)
    values = {"accounts": list(owned), "given": given}
    await connection.execute(text(STATEMENTS["set_consent"]), values)

    return True
