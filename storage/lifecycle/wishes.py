"""What people ask for themselves, in the transaction of their command."""

from __future__ import annotations

from agent.core.messages import Inbound
from storage.connecting.connection import Connection
from storage.lifecycle import STATEMENTS, jobs
from storage.people import accounts


async def forget(connection: Connection, inbound: Inbound) -> bool:
    """Begins the erasure of the author. False: nothing is kept, or it has begun."""
    author = accounts.account_of(inbound)
    person = await connection.scalar(STATEMENTS["person_of_account"], author)
    if person is None:
        return False

    return await jobs.begin(connection, person, "person") is not None


async def consent(connection: Connection, inbound: Inbound, *, given: bool) -> bool:
    """Notes on all of the author's accounts whether their messages may train a model."""
    account = await accounts.account(connection, inbound)
    owned = await accounts.locked(connection, account)
    values = {"accounts": list(owned), "given": given}
    await connection.execute(STATEMENTS["set_consent"], values)

    return True
