"""Tokens with which programs use the API, in the name of an operator.

A token is shown once and kept as a hash. It never may more than its operator may now, and
ends with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

from agent.control.permissions import Permission, Role, Scope, scopes_of, within
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.connecting.connection import Connection, Row
from storage.control import audit
from storage.control.audit import Author, is_name
from storage.control.changes import admit, as_json
from storage.control.operators import STATEMENTS
from storage.control.operators.outside import MARK
from storage.control.operators.tokens import hashed, new_token
from storage.postgres import Database
from storage.transaction import transaction

PREFIX = "agent_"
"""Before each token, so that people and programs that look for secrets know what it is."""

TOKEN_CHARS = len(PREFIX) + 43
"""43 characters are 32 random bytes."""

DAYS = 90
"""So long a token is good, if nobody says otherwise."""

MAX_DAYS = 366

VOUCHED = timedelta(days=7)
"""How long tokens are good after their operator signed in, where a provider alone lets them in: it
may have taken their role away, and tells nobody.
"""

TOUCH = timedelta(minutes=1)
"""Use is written down at most this often."""


class Holder(Struct, frozen=True):
    """A program that showed a token, as of now."""

    id: UUID
    """Of the token."""
    label: str
    operator: str
    scope: Scope
    role: Role
    """What it may: that of the scope or of the operator, whichever is less."""
    ends_at: datetime


class TokenView(Struct, frozen=True):
    """A token as operators see it: never the token itself."""

    id: UUID
    operator: str
    label: str
    scope: Scope
    created_at: datetime
    used_at: datetime | None
    """To the minute."""
    ends_at: datetime
    revoked_at: datetime | None


class ApiTokens:
    """Makes, finds and revokes tokens. Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
    ) -> None:
        self._database = database

    async def find(
        self,
        token: str,
    ) -> Holder | str:
        """Who holds this token; a sentence: why it is good for nothing."""
        if not token.startswith(PREFIX) or len(token) != TOKEN_CHARS:
            return NOT_ONE

        values = {"hash": hashed(token), "mark": MARK}
        async with transaction(self._database) as connection:
            found = await connection.execute(STATEMENTS["api_token"], values)
            row = found.first()
            if row is None or row.role is None:
                return UNKNOWN
            if row.revoked_at is not None:
                return f"This token was revoked at {_minute(row.revoked_at)}."
            if row.ends_at <= row.now:
                return f"This token ended at {_minute(row.ends_at)}."
            if row.vouched_at is not None and row.vouched_at + VOUCHED <= row.now:
                return RESTS.format(_minute(row.vouched_at))
            if row.used_at is None or row.now - row.used_at > TOUCH:
                touch = STATEMENTS["touch_api_token"]
                await connection.execute(touch, {"id": row.id})

        scope = Scope(row.scope)
        role = within(scope, Role(row.role))

        return Holder(row.id, row.label, row.operator, scope, role, row.ends_at)

    async def add(
        self,
        label: str,
        scope: Scope,
        author: Author,
        *,
        days: int = DAYS,
    ) -> tuple[TokenView, str]:
        """A new token of the author, and the only time that it is to be seen.

        Raises Rejected for a label that cannot be, when the author is not registered, and
        when the scope is more than the author may.
        """
        _check(label, days)
        token = PREFIX + new_token()
        async with transaction(self._database) as connection:
            role = await _role(connection, author)
            if scope not in scopes_of(role):
                raise Rejected(
                    f"{author.name} has the role {role}, and a token may never more than "
                    "its operator. Choose a lesser scope."
                )
            values = {
                "id": uuid7(),
                "hash": hashed(token),
                "operator": author.name,
                "label": label,
                "scope": scope.value,
                "days": days,
            }
            add = STATEMENTS["add_api_token"]
            made = _view((await connection.execute(add, values)).one())
            await _record(connection, author, "operator.token.add", after=made)

        return made, token

    async def list(
        self,
        operator: str | None = None,
    ) -> Sequence[TokenView]:
        """Those of an operator, or of all; the newest first, ended ones included."""
        values = {"operator": operator}
        async with transaction(self._database) as connection:
            statement = STATEMENTS["list_api_tokens"]
            rows = await connection.execute(statement, values)

            return [_view(row) for row in rows]

    async def revoke(
        self,
        token: UUID,
        author: Author,
    ) -> None:
        """From now on it is good for nothing. Another's takes the permission to manage.

        Raises Rejected when there is none with this id, also for one that is not the
        author's if they may not manage.
        """
        values = {"id": token}
        async with transaction(self._database) as connection:
            whose = STATEMENTS["operator_of_api_token"]
            operator = await connection.scalar(whose, values)
            if operator is None:
                raise Rejected(NONE)
            own = operator == author.name
            await admit(
                connection, author, Permission.SEE if own else Permission.MANAGE
            )
            revoke = STATEMENTS["revoke_api_token"]
            if await connection.scalar(revoke, values) is None:
                return

            rows = await connection.execute(
                STATEMENTS["list_api_tokens"], {"operator": operator}
            )
            views = {view.id: view for view in map(_view, rows)}
            await _record(
                connection, author, "operator.token.revoke", before=views[token]
            )


RESTS = (
    "This token rests: its operator signs in with a sign-in service, and did so last at "
    f"{{}}. It is good again for {VOUCHED.days} days once they sign in."
)
NOT_ONE = "This is no token of this API. An operator makes one on the server."
UNKNOWN = "This token is not known here. It is of another deployment, or its operator was removed."
NONE = "There is no such token."


def _check(
    label: str,
    days: int,
) -> None:
    if not is_name(label) or label != label.strip():
        raise Rejected(
            "A token's label has 1 to 100 printable characters and no blank at its ends."
        )
    if not 0 < days <= MAX_DAYS:
        raise Rejected(f"A token is good for 1 to {MAX_DAYS} days.")


async def _role(
    connection: Connection,
    author: Author,
) -> Role:
    await admit(connection, author, Permission.SEE)
    statement = STATEMENTS["role_of_operator"]
    role = await connection.scalar(statement, {"name": author.name})
    if role is None:
        raise Rejected(
            f"{author.name} is not a registered operator, and a token belongs to one.",
            Run("operators add", "registers you", target=author.name),
        )

    return Role(role)


async def _record(
    connection: Connection,
    author: Author,
    action: str,
    before: TokenView | None = None,
    after: TokenView | None = None,
) -> None:
    view = after or before
    assert view is not None
    await audit.record(
        connection,
        author,
        action,
        f"operator:{view.operator}",
        before=as_json(_facts(before)) if before else None,
        after=as_json(_facts(after)) if after else None,
        epoch=None,
    )


def _facts(view: TokenView) -> Mapping[str, str]:
    return {
        "token": str(view.id),
        "label": view.label,
        "scope": view.scope.value,
        "ends_at": view.ends_at.isoformat(),
    }


def _view(row: Row) -> TokenView:
    return TokenView(
        row.id,
        row.operator,
        row.label,
        Scope(row.scope),
        row.created_at,
        row.used_at,
        row.ends_at,
        row.revoked_at,
    )


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
