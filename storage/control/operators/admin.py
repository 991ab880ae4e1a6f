"""The operators who may change what the agent does. While none is registered, anybody who
can reach the database may, under any name.

`storage.control.changes` checks this in the transaction of every change. It prevents
mistakes, and the audit log names a known operator. Only Postgres's own permissions keep out
people who can write the database directly.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from agent.control.permissions import Role
from agent.core.errors import Conflict, Rejected
from agent.core.text import did_you_mean
from storage.connecting.connection import Connection
from storage.control.audit import Author, is_name
from storage.control.changes import Change, managing
from storage.control.operators import STATEMENTS
from storage.control.operators.given import Given
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


class OperatorView(Struct, frozen=True):
    """A registered operator."""

    name: str
    added_at: datetime
    role: Role
    signs_in: bool
    """Whether they have a password for the console."""


class Registration(Struct, frozen=True):
    """The registered operators before a change and after it."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    role: Role | None = None
    """The role that was given; None: it stays, or is admin for somebody new."""
    link: str | None = None
    """The token of a one-time link to set a password, if one was asked for."""
    changed: bool = True
    """Whether anything of them is another now."""


class OperatorAdmin:
    """Adds and removes operators.

    `consequence` is the sentence that an operator should agree to first; it is passed back
    as `agreed`.
    """

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
    ) -> None:
        self._database = database
        self._pipe = pipe

    async def list(self) -> list[OperatorView]:
        """All operators by name; none: everybody may change everything."""
        async with transaction(self._database) as connection:
            rows = await connection.execute(STATEMENTS["list_operators"])

            return [
                OperatorView(row.name, row.added_at, Role(row.role), row.signs_in)
                for row in rows
            ]

    async def consequence(
        self,
        name: str,
        author: Author,
        *,
        registered: bool,
    ) -> str | None:
        """What to consider before this operator is added (`registered`) or removed.

        None: nothing. Raises Rejected for what cannot be a name.
        """
        if registered:
            _check_name(name)

        async with transaction(self._database) as connection:
            before = await _names(connection)
        after = _after(before, name, registered=registered)

        return consequence(before, after, author.name)

    async def add(
        self,
        name: str,
        author: Author,
        *,
        role: Role | None = None,
        link: bool = False,
        agreed: str | None = None,
    ) -> Registration:
        """From now on this name may do what the role may, and only registered names may.

        `role` None: as it is, and admin for somebody new. `link`: with one to set a
        password. Raises Rejected, and Conflict when the operators were changed meanwhile.
        """
        _check_name(name)
        given = Given(role, link)

        return await self._change(name, author, agreed, given, registered=True)

    async def remove(
        self,
        name: str,
        author: Author,
        *,
        agreed: str | None = None,
    ) -> Registration:
        """From now on this name may make no changes.

        Raises Rejected when it is not registered, and Conflict when the operators were
        changed meanwhile.
        """
        return await self._change(name, author, agreed, Given(), registered=False)

    async def _change(
        self,
        name: str,
        author: Author,
        agreed: str | None,
        given: Given,
        *,
        registered: bool,
    ) -> Registration:
        async with managing(self._database, self._pipe, author) as change:
            before = await _names(change.connection)
            after = _after(before, name, registered=registered)
            if not registered and after == before:
                raise Rejected(
                    f"There is no such operator.{did_you_mean(name, before)} "
                    f"There are: {', '.join(before) or 'none'}."
                )

            sentence = consequence(before, after, author.name)
            if sentence not in (None, agreed):
                raise Conflict(
                    f"The operators were changed meanwhile. {sentence} "
                    "Say again if you want that."
                )
            if after != before:
                await _write(change, name, registered=registered)
            got = await given.give(change.connection, name)
            if after != before:
                action = "operator.add" if registered else "operator.remove"
                subject = f"operator:{name}"
                await change.record(action, subject, before=before, after=after)
            await got.record(change, name)

        changed = after != before or got.before is not None

        return Registration(before, after, given.role, got.link, changed=changed)


def consequence(
    before: Collection[str],
    after: Collection[str],
    actor: str,
) -> str | None:
    """What an operator should know before this change, as a sentence."""
    if before and not after:
        return (
            "Then no operator is left: anybody who can reach the database may "
            "change everything, under any name."
        )

    may_change_now = not before or actor in before
    if after and actor not in after and may_change_now:
        return f"Then {actor} can change nothing: only {', '.join(after)} can."

    return None


async def _write(
    change: Change,
    name: str,
    *,
    registered: bool,
) -> None:
    sql = STATEMENTS["add_operator" if registered else "remove_operator"]
    await change.connection.execute(sql, {"name": name})


def _check_name(name: str) -> None:
    if not is_name(name) or name != name.strip():
        raise Rejected(
            "An operator's name has 1 to 100 printable characters and no blank at its "
            "ends. Correct it."
        )


async def _names(connection: Connection) -> tuple[str, ...]:
    names = await connection.scalars(STATEMENTS["list_operators"])

    return tuple(sorted(names))


def _after(
    before: tuple[str, ...],
    name: str,
    *,
    registered: bool,
) -> tuple[str, ...]:
    others = {*before} - {name}

    return tuple(sorted(others | {name} if registered else others))
