"""People and their accounts, outside turns. A person's accounts are locked in the order in
which turns lock them.
"""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from storage.connecting.connection import Connection
from storage.people import STATEMENTS


def account_of(inbound: Inbound) -> dict[str, str]:
    """Names the person's account in statements about its row."""
    return {"channel": inbound.address.channel, "account": inbound.user_id}


async def account(connection: Connection, inbound: Inbound) -> UUID:
    """The row of the author's account, made if it is new. An existing one is not locked."""
    place = account_of(inbound)
    new = {**place, "id": uuid7(), "username": inbound.username}
    row: UUID | None = None
    while row is None:  # one that was there may be erased before it is found
        await connection.execute(STATEMENTS["add_account"], new)
        row = await connection.scalar(STATEMENTS["find_account"], place)

    return row


async def locked(
    connection: Connection,
    *accounts: UUID,
) -> dict[UUID, tuple[UUID, str | None]]:
    """Locks all accounts of these accounts' owners: person and preferred model by account."""
    values = {"accounts": list(accounts)}
    rows = await connection.execute(STATEMENTS["lock_accounts"], values)

    return {row[0]: (row[1], row[2]) for row in rows}
