"""What operators do with their own account: password, second factor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.connecting.connection import Connection, Row
from storage.control import audit
from storage.control.audit import Author
from storage.control.credentials import Secrets
from storage.control.operators import STATEMENTS
from storage.control.operators.outside import is_outside
from storage.control.operators.passwords import (
    check_password,
    hash_password,
    matches,
)
from storage.control.operators.second_factor import (
    hashed_code,
    new_recovery_codes,
    seal,
    step_of,
)
from storage.control.operators.sessions import end_sessions
from storage.control.operators.sign_in import credentials_of
from storage.postgres import Database
from storage.transaction import transaction

LINK_ONLY = (
    "You have no password, and came here by OpenID Connect. A first password takes a link "
    "of an admin."
)
WRONG = "The password that you have now is wrong. Nothing was changed."


class AccountView(Struct, frozen=True):
    """How an operator is known."""

    is_registered: bool
    has_password: bool
    has_factor: bool
    codes: int
    """Recovery codes that were not used yet."""
    needs_link: bool = False
    """They have no password, and this session may not set the first one."""


class OperatorAccount:
    """The account of one operator. Each change asks for the password that they have, ends
    their other sessions, and is in the audit log. Raises StoreUnavailable.
    """

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        author: Author,
        session: UUID,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._author = author
        self._session = session

    async def view(self) -> AccountView:
        row = await self._row()
        if row is None:
            return AccountView(False, False, False, 0)

        return AccountView(
            True,
            row.password is not None,
            row.totp is not None,
            len(row.recovery),
            await self._needs_link(row),
        )

    async def change_password(self, current: str, new: str) -> None:
        """Raises Rejected for a wrong or a weak password."""
        name = self._author.name
        check_password(name, new)
        await self._check(current)
        values = {"name": name, "password": await hash_password(new)}

        await self._change(STATEMENTS["set_password"], values, "operator.password")

    async def set_factor(self, current: str, secret: str, code: str) -> list[str]:
        """From now on a code of the app is asked for. Returns the recovery codes, which are
        shown this once.

        Raises Rejected for a wrong password or code.
        """
        await self._check(current)
        step = step_of(secret, code, datetime.now(UTC))
        if step is None:
            raise Rejected(
                "This code is not the app's. Its clock may be wrong; give the next one."
            )

        name, codes = self._author.name, new_recovery_codes()
        values = {
            "name": name,
            "totp": seal(self._secrets, name, secret),
            "step": step,
            "recovery": [hashed_code(each) for each in codes],
        }
        await self._change(
            STATEMENTS["set_second_factor"], values, "operator.factor-on"
        )

        return codes

    async def remove_factor(self, current: str) -> None:
        """From now on the password alone is enough. Raises Rejected for a wrong one."""
        await self._check(current)
        values: dict[str, Any] = {
            "name": self._author.name,
            "totp": None,
            "step": None,
            "recovery": [],
        }

        await self._change(
            STATEMENTS["set_second_factor"], values, "operator.factor-off"
        )

    async def _row(self) -> Row | None:
        async with transaction(self._database) as connection:
            return await credentials_of(connection, self._author.name)

    async def _needs_link(self, row: Row) -> bool:
        """Only a link sets the first password of somebody whom a provider let in: else they
        would have a way in that the provider cannot close.
        """
        if row.password is not None:
            return False

        statement = STATEMENTS["origin_of_session"]
        async with transaction(self._database) as connection:
            origin = await connection.scalar(statement, {"id": self._session})

        return origin is None or is_outside(origin)

    async def _check(self, current: str) -> None:
        """The password of now. Somebody without one came by a link of this machine."""
        row = await self._row()
        if row is None:
            raise Rejected(
                "You are not registered, so there is nothing to keep.",
                Run("operators add", "registers you", target=self._author.name),
            )
        if await self._needs_link(row):
            raise Rejected(
                LINK_ONLY,
                Run("operators link", "makes one", target=self._author.name),
            )
        if row.password is not None and not await matches(row.password, current):
            raise Rejected(WRONG)

    async def _change(
        self,
        statement: str,
        values: dict[str, Any],
        action: str,
    ) -> None:
        async with transaction(self._database) as connection:
            await connection.execute(statement, values)
            name = self._author.name
            await end_sessions(connection, name, but=self._session)
            await _record(connection, self._author, action)


async def _record(
    connection: Connection,
    author: Author,
    action: str,
) -> None:
    await audit.record(
        connection,
        author,
        action,
        f"operator:{author.name}",
        before=None,
        after=None,
        epoch=None,
    )
