"""Signing in with a password and, where it is set up, a second factor."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from agent.core.errors import ConfigurationError
from storage.connecting.connection import Connection, Row
from storage.control import audit
from storage.control.audit import Author, is_name
from storage.control.credentials import Secrets
from storage.control.operators import STATEMENTS
from storage.control.operators.passwords import matches
from storage.control.operators.second_factor import takes_code, unseal
from storage.control.operators.sessions import begin_session
from storage.postgres import Database
from storage.transaction import transaction

log = structlog.get_logger()


class SignIn:
    """Checks who somebody is. Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
    ) -> None:
        self._database = database
        self._secrets = secrets

    async def is_open(self) -> bool:
        """Whether anybody could sign in: there is a password, a link or a session."""
        async with transaction(self._database) as connection:
            return bool(await connection.scalar(STATEMENTS["is_open"]))

    async def by_password(
        self, name: str, password: str, code: str, origin: str
    ) -> str | None:
        """Begins a session and returns its token; None: something of it is wrong.

        It does not say what, and takes as long for a name that there is not. No transaction
        is open while the password is hashed.
        """
        known = is_name(name)
        async with transaction(self._database) as connection:
            row = await credentials_of(connection, name) if known else None
        stored = row.password if row else None
        if not await matches(stored, password):
            return None

        async with transaction(self._database) as connection:
            row = await credentials_of(connection, name)
            if row is None or row.password != stored:
                return None
            if not await self._second(connection, name, row, code):
                return None

            session = await begin_session(connection, name, origin)
            await audit.record(
                connection,
                Author(name, origin),
                "operator.sign-in",
                f"operator:{name}",
                before=None,
                after=None,
                epoch=None,
            )

        return session

    async def _second(
        self, connection: Connection, name: str, row: Row, code: str
    ) -> bool:
        if row.totp is None:
            return True

        try:
            secret = unseal(self._secrets, name, bytes(row.totp))
        except ConfigurationError:
            log.warning("no key of ENCRYPTION_KEYS opens a second factor")
            secret = None

        return await takes_code(connection, name, secret, code, datetime.now(UTC))


async def credentials_of(
    connection: Connection,
    name: str,
) -> Row | None:
    """What an operator is known by; None: there is none of this name."""
    statement = STATEMENTS["credentials_of_operator"]

    return (await connection.execute(statement, {"name": name})).first()
