"""Sessions of operators in the console. They live in Postgres, so all instances know them and
what ends one ends it everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

from agent.control.permissions import Role
from storage.connecting.connection import Connection
from storage.control.operators import STATEMENTS
from storage.control.operators.tokens import hashed, new_token
from storage.postgres import Database
from storage.transaction import transaction

IDLE_SECONDS = 60 * 60
"""A session that nobody uses ends after an hour."""

LONGEST_SECONDS = 12 * 60 * 60
"""Any session ends after a working day."""

TOUCH = timedelta(minutes=1)
"""Use is written down at most this often."""


TOKEN_DAYS_KEPT = 30
"""So long after its end a token of a program is still listed."""


class Session(Struct, frozen=True):
    """Somebody who is signed in, as of now."""

    id: UUID
    operator: str
    role: Role
    csrf: str
    now: datetime


class SessionView(Struct, frozen=True):
    """A session as its operator sees it."""

    id: UUID
    origin: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime


class Sessions:
    """Begins, finds and ends sessions. Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
    ) -> None:
        self._database = database

    async def find(
        self,
        token: str,
        *,
        active: bool = True,
    ) -> Session | None:
        """The session of this token, unless it ended or its operator was removed.

        `active`: this is use by a person, which keeps the session from idling out.
        """
        values = {"hash": hashed(token), "idle": IDLE_SECONDS}
        async with transaction(self._database) as connection:
            found = await connection.execute(STATEMENTS["session"], values)
            row = found.first()
            if row is None or row.role is None:
                return None
            if active and row.now - row.seen_at > TOUCH:
                touch = STATEMENTS["touch_session"]
                await connection.execute(touch, {"id": row.id})

        return Session(row.id, row.operator, Role(row.role), row.csrf, row.now)

    async def list(
        self,
        operator: str,
    ) -> Sequence[SessionView]:
        """Those of an operator, the one used last first."""
        values = {"operator": operator, "idle": IDLE_SECONDS}
        async with transaction(self._database) as connection:
            statement = STATEMENTS["sessions_of_operator"]
            rows = await connection.execute(statement, values)

            return [SessionView(*row) for row in rows]

    async def end(
        self, operator: str, *, only: UUID | None = None, but: UUID | None = None
    ) -> None:
        """Ends sessions of an operator: all, only one, or all but one."""
        async with transaction(self._database) as connection:
            await end_sessions(connection, operator, only=only, but=but)


async def begin_session(connection: Connection, operator: str, origin: str) -> str:
    """A new session; returns its token, which nothing else knows."""
    token = new_token()
    values = {
        "id": uuid7(),
        "hash": hashed(token),
        "operator": operator,
        "csrf": new_token(),
        "origin": origin,
        "idle": IDLE_SECONDS,
        "longest": LONGEST_SECONDS,
    }
    await connection.execute(STATEMENTS["add_session"], values)

    return token


async def end_sessions(
    connection: Connection,
    operator: str,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
) -> None:
    """Within a larger transaction."""
    values = {"operator": operator, "only": only, "but": but}
    await connection.execute(STATEMENTS["end_sessions"], values)


async def forget_ended(connection: Connection) -> None:
    """Removes what lets nobody in any more: sessions, links, and tokens after a while."""
    values = {"idle": IDLE_SECONDS, "days": TOKEN_DAYS_KEPT}
    await connection.execute(STATEMENTS["forget_ended"], values)
