"""People and their accounts, outside turns. A person's accounts are locked in the order in
which turns lock them.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from storage.tables import User


async def account(connection: AsyncConnection, inbound: Inbound) -> UUID:
    """The row of the author's account, made if it is new. An existing one is not locked."""
    new, channel = uuid7(), inbound.address.channel
    row = insert(User).values(
        id=new,
        person_id=new,
        channel_type=channel,
        channel_user_id=inbound.user_id,
        username=inbound.username,
    )
    await connection.execute(row.on_conflict_do_nothing(constraint="users_account"))

    mine = select(User.id).where(
        User.channel_type == channel, User.channel_user_id == inbound.user_id
    )

    return (await connection.execute(mine)).scalar_one()


async def locked(
    connection: AsyncConnection,
    *accounts: UUID,
) -> dict[UUID, tuple[UUID, str | None]]:
    """Locks all accounts of these accounts' owners: person and preferred model by account."""
    people = select(User.person_id).where(User.id.in_(accounts))
    rows = select(User.id, User.person_id, User.preferred_model).where(
        User.person_id.in_(people)
    )
    ordered = rows.order_by(User.channel_type, User.channel_user_id).with_for_update()

    return {row[0]: (row[1], row[2]) for row in await connection.execute(ordered)}
