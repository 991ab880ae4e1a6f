"""Sessions of operators for whom a provider of identities vouches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from agent.control.permissions import Role
from agent.core.errors import StoreUnavailable
from storage.connecting.connection import Connection
from storage.control import audit
from storage.control.audit import Author
from storage.control.changes import Change, begun
from storage.control.operators import STATEMENTS
from storage.control.operators.given import Given, Got
from storage.control.operators.sessions import begin_session
from storage.control.redis_copy import announce
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

MARK = ", OpenID Connect"
"""The end of the origin of each session that began so. Nothing else ends an origin."""


def is_outside(origin: str) -> bool:
    """Whether a session of this origin began at a provider."""
    return origin.endswith(MARK)


class OutsideSignIn:
    """Raises StoreUnavailable."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
    ) -> None:
        self._database = database
        self._pipe = pipe

    async def begin(
        self,
        name: str,
        role: Role | None,
        origin: str,
        *,
        any_case: bool = False,
    ) -> str | None:
        """Begins a session and returns its token; None: there is no such operator.

        `role`: what the provider gives; somebody new is registered with it. None: the one
        that is registered. `any_case`: `name` is in lower case, and an operator's may differ
        in that. Raises Rejected when no admin would be left.
        """
        origin, given = origin + MARK, None
        async with transaction(self._database) as connection:
            before = await _roles(connection)
            found = _alike(name, before) if any_case else [name]
            if len(found) > 1:
                return None

            name = next(iter(found), name)
            author = Author(name, origin)
            if role is not None and role != before.get(name):
                given = await _give(connection, author, role)
            elif name not in before:
                return None

            session = await begin_session(connection, name, origin)
            if given is not None:
                await given.record()
            await _record(connection, author)

        if given is not None:
            with suppress(StoreUnavailable):
                await announce(self._database, self._pipe)

        return session


class _Registered(Struct, frozen=True):
    """Somebody new, or with another role than before."""

    change: Change
    got: Got
    before: Sequence[str]

    async def record(self) -> None:
        """Writes the log. Nothing may be locked after it."""
        name = self.change.author.name
        if name in self.before:
            await self.got.record(self.change, name)
        else:
            await self.change.record(
                "operator.add",
                f"operator:{name}",
                before=self.before,
                after=sorted([*self.before, name]),
            )
        await self.change.end()


async def _record(
    connection: Connection,
    author: Author,
) -> None:
    await audit.record(
        connection,
        author,
        "operator.sign-in",
        f"operator:{author.name}",
        before=None,
        after=None,
        epoch=None,
    )


def _alike(
    name: str,
    operators: Collection[str],
) -> Sequence[str]:
    """Operators of this name; those that differ in capitals only if none has it exactly."""
    if name in operators:
        return [name]

    return [one for one in operators if one.lower() == name]


async def _roles(connection: Connection) -> Mapping[str, Role]:
    rows = await connection.execute(STATEMENTS["list_operators"])

    return {row.name: Role(row.role) for row in rows}


async def _give(
    connection: Connection,
    author: Author,
    role: Role,
) -> _Registered:
    """Waits for the change under way, as all changes do."""
    change = await begun(connection, author)
    before = sorted(await _roles(connection))
    if author.name not in before:
        statement = STATEMENTS["add_operator"]
        await connection.execute(statement, {"name": author.name})
    got = await Given(role).give(connection, author.name)

    return _Registered(change, got, before)
