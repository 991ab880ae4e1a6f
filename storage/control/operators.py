"""Who may change what the agent does. As long as nobody is registered: whoever can reach
the database, under any name.

`storage.control.changes` asks for it in the transaction of every change. It keeps people
from mistakes and makes the audit log name somebody known; who can write the database
directly is kept out by Postgres's own rights alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.core.errors import Conflict, Rejected
from storage.control import STATEMENTS
from storage.control.audit import Author, is_name
from storage.control.changes import changing
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


@dataclass(frozen=True, slots=True)
class OperatorView:
    """A registered operator."""

    name: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """Who was registered before a change, and who is after it."""

    before: tuple[str, ...]
    after: tuple[str, ...]


class OperatorAdmin:
    """Adds and removes operators. What should be agreed to first is told by `consequence`
    and said back as `agreed`.
    """

    def __init__(self, database: Database, pipe: RedisPipe) -> None:
        self._database = database
        self._pipe = pipe

    async def list(self) -> list[OperatorView]:
        """All operators by name; none: everybody may change everything."""
        async with transaction(self._database) as connection:
            return [
                OperatorView(*row)
                for row in await connection.execute(text(STATEMENTS["operators"]))
            ]

    async def consequence(
        self, name: str, author: Author, *, registered: bool
    ) -> str | None:
        """What whoever adds (`registered`) or removes this operator may not have thought
        of. None: nothing.

        Raises Rejected for what can be nobody's name.
        """
        if registered:
            _check_name(name)
        async with transaction(self._database) as connection:
            before = await _names(connection)
        return consequence(
            before, _after(before, name, registered=registered), author.name
        )

    async def add(
        self, name: str, author: Author, *, agreed: str | None = None
    ) -> Registration:
        """From now on this name may make changes, and only registered names may. Raises
        Rejected, Conflict.
        """
        _check_name(name)
        return await self._change(name, author, agreed, registered=True)

    async def remove(
        self, name: str, author: Author, *, agreed: str | None = None
    ) -> Registration:
        """This name may make no changes any more. Raises Rejected when it is not
        registered, Conflict.
        """
        return await self._change(name, author, agreed, registered=False)

    async def _change(
        self, name: str, author: Author, agreed: str | None, *, registered: bool
    ) -> Registration:
        async with changing(self._database, self._pipe, author) as change:
            before = await _names(change.connection)
            after = _after(before, name, registered=registered)
            if not registered and after == before:
                raise Rejected(
                    f"There is no such operator. There are: {', '.join(before) or 'none'}."
                )
            told = consequence(before, after, author.name)
            if told not in (None, agreed):
                raise Conflict(
                    f"The operators were changed meanwhile. {told} Say again if you want that."
                )
            if after != before:
                await change.connection.execute(
                    text(
                        STATEMENTS["add_operator" if registered else "remove_operator"]
                    ),
                    {"name": name},
                )
                action = "operator.add" if registered else "operator.remove"
                await change.record(
                    action, f"operator:{name}", before=before, after=after
                )
        return Registration(before, after)


def consequence(
    before: Collection[str], after: Collection[str], actor: str
) -> str | None:
    """What the one who makes this change should know first, as a sentence."""
    if before and not after:
        return (
            "No operator is left then: whoever can reach the database may "
            "change everything, under any name."
        )
    if after and actor not in after and (not before or actor in before):
        return f"{actor} can change nothing any more then: only {', '.join(after)} can."
    return None


def _check_name(name: str) -> None:
    if not is_name(name) or name != name.strip():
        raise Rejected(
            "An operator's name has 1 to 100 printable characters and no blank "
            "at its ends. Correct it."
        )


async def _names(connection: AsyncConnection) -> tuple[str, ...]:
    return tuple(
        sorted((await connection.scalars(text(STATEMENTS["operators"]))).all())
    )


def _after(before: tuple[str, ...], name: str, *, registered: bool) -> tuple[str, ...]:
    rest = {*before} - {name}
    return tuple(sorted(rest | {name} if registered else rest))
