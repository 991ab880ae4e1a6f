"""One-time links: to set a password, or to sign in once from the machine that runs the agent.

Looking at a link does not use it up: programs that preview links in chats look, too.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.core.remedies import Run
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import admit
from storage.control.operators import STATEMENTS
from storage.control.operators.passwords import check_password, hash_password
from storage.control.operators.sessions import begin_session, end_sessions
from storage.control.operators.tokens import hashed, new_token
from storage.postgres import Database
from storage.transaction import transaction

Purpose = Literal["password", "sign-in"]

SECONDS: dict[Purpose, int] = {"password": 24 * 60 * 60, "sign-in": 5 * 60}
"""How long each kind of link is good."""


class Invitation(Struct, frozen=True):
    """A link that is still good."""

    operator: str
    purpose: Purpose


class Invitations:
    """Makes links and takes them. Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
    ) -> None:
        self._database = database

    async def invite(
        self,
        name: str,
        author: Author,
    ) -> str:
        """A link's token, with which this operator sets a password. Older ones end.

        Raises Rejected when there is no such operator, or the author may not.
        """
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.MANAGE)
            await _check_registered(connection, name)
            token = await add_invitation(connection, name, "password")
            await _record(connection, author, "operator.link", name)

        return token

    async def admit_once(
        self,
        author: Author,
    ) -> str:
        """A link's token, with which the author signs in once. For the command line alone:
        it asks for no password.
        """
        async with transaction(self._database) as connection:
            await admit(connection, author, Permission.SEE)

            return await add_invitation(connection, author.name, "sign-in")

    async def look(
        self,
        token: str,
    ) -> Invitation | None:
        """What a link is for; None: it was used, it is too old, or it never was."""
        statement = STATEMENTS["invitation"]
        async with transaction(self._database) as connection:
            found = await connection.execute(statement, {"hash": hashed(token)})
            row = found.first()

        return None if row is None else Invitation(row.operator, row.purpose)

    async def set_password(
        self, token: str, name: str, password: str, origin: str
    ) -> str:
        """Sets the password of `name`, whose link this is, ends their sessions, and begins
        one; returns its token.

        Raises Rejected for a password that is too easy, and for a link that was used.
        """
        check_password(name, password)
        stored = await hash_password(password)
        author = Author(name, origin)

        async with transaction(self._database) as connection:
            await _use(connection, token, name, "password")
            values = {"name": name, "password": stored}
            statement = STATEMENTS["set_password"]
            if await connection.scalar(statement, values) is None:
                raise _used()
            await end_sessions(connection, name)
            session = await begin_session(connection, name, origin)
            await _record(connection, author, "operator.password", name)

        return session

    async def sign_in(
        self,
        token: str,
        name: str,
        origin: str,
    ) -> str:
        """Begins a session of `name`, whose link this is; returns its token.

        Raises Rejected for a link that was used.
        """
        author = Author(name, origin)
        async with transaction(self._database) as connection:
            await _use(connection, token, name, "sign-in")
            session = await begin_session(connection, name, origin)
            await _record(connection, author, "operator.sign-in", name)

        return session


async def add_invitation(connection: Connection, name: str, purpose: Purpose) -> str:
    """A link's token, within a larger transaction. Older links of this kind end."""
    token = new_token()
    values = {
        "hash": hashed(token),
        "operator": name,
        "purpose": purpose,
        "seconds": SECONDS[purpose],
    }
    await connection.execute(STATEMENTS["add_invitation"], values)

    return token


async def _use(
    connection: Connection, token: str, name: str, purpose: Purpose
) -> None:
    values = {"hash": hashed(token), "purpose": purpose}
    statement = STATEMENTS["use_invitation"]

    if await connection.scalar(statement, values) != name:
        raise _used()


async def _check_registered(
    connection: Connection,
    name: str,
) -> None:
    names = await connection.scalars(STATEMENTS["list_operators"])
    if name not in names:
        raise Rejected(
            "There is no such operator.",
            Run("operators add", "registers them", target=name),
        )


def _used() -> Rejected:
    return Rejected(
        "This link is not good any more: it was used, or its time is over.",
        Run("operators link", "makes another", target="NAME"),
    )


async def _record(
    connection: Connection, author: Author, action: str, name: str
) -> None:
    subject = f"operator:{name}"
    await audit.record(
        connection, author, action, subject, before=None, after=None, epoch=None
    )
