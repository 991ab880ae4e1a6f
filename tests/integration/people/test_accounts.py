"""Accounts, as commands find them."""

from __future__ import annotations

from agent.core.messages import Address, Said
from storage.connecting.connection import Connection, Rows, Values
from storage.people.accounts import account
from storage.postgres import open_database
from storage.transaction import transaction

HELLO = Said(Address("telegram", "42"), "7", "1", "hello")


class Erased(Connection):
    """Somebody else erases the account as soon as it was seen to be there."""

    erased = False

    async def execute(self, statement: str, values: Values | None = None) -> Rows:
        rows = await super().execute(statement, values)
        if not self.erased:
            self.erased = True
            await self.driver.execute("DELETE FROM users")

        return rows


async def test_one_that_is_erased_in_that_moment_is_made_again(
    database_url: str,
) -> None:
    async with open_database(database_url) as database:
        async with transaction(database) as connection:
            before = await account(connection, HELLO)
            assert before == await account(connection, HELLO)
        async with transaction(database) as connection:
            after = await account(Erased(connection.driver), HELLO)
            assert after == await account(connection, HELLO)

    assert before != after
