"""How an operator's change is made: in one transaction with its audit row and the next
epoch, then announced.

Changes of flags, experiments and channel settings run one after the other, because each
holds the epoch's row.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any

from msgspec import Struct, field

from agent.control.named_rules import PREFIX, described
from agent.control.permissions import Permission, Role, may, refusal
from agent.control.rules import KILL, PERCENTAGE
from agent.core.errors import Rejected, StoreUnavailable, VersionConflict
from agent.core.remedies import Amend, Run
from storage.connecting.connection import Connection
from storage.control import STATEMENTS, audit
from storage.control.audit import Author, Itself
from storage.control.redis_copy import announce
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction


class Change(Struct):
    """A transaction under way. As long as nothing is recorded, the epoch stays."""

    connection: Connection
    author: Author
    epoch: int
    """The epoch that this change begins."""
    entries: list[int] = field(default_factory=list)
    """Ids of its audit rows."""

    async def record(
        self,
        action: str,
        subject: str,
        *,
        before: Any,
        after: Any,
    ) -> None:
        """Adds an audit row. Nothing may be locked after it in the same transaction."""
        entry = await audit.record(
            self.connection,
            self.author,
            action,
            subject,
            before=None if before is None else as_json(before),
            after=None if after is None else as_json(after),
            epoch=self.epoch,
        )
        self.entries.append(entry)

    async def end(self) -> None:
        """Moves the epoch, if something changed."""
        if self.entries:
            statement = STATEMENTS["set_epoch"]
            await self.connection.execute(statement, {"epoch": self.epoch})


class Rehearsed(Exception):
    """The change was possible; it was taken back."""


_is_rehearsal: ContextVar[bool] = ContextVar("is_rehearsal", default=False)


async def rehearse(make: Callable[[], Awaitable[object]]) -> None:
    """Makes a change and takes it back in the same transaction, so that nobody sees it.

    Raises what the change itself would raise.
    """
    rehearsal = _is_rehearsal.set(True)
    try:
        await make()
    except Rehearsed:
        return
    finally:
        _is_rehearsal.reset(rehearsal)

    raise RuntimeError("Something was changed without a transaction of its own.")


@asynccontextmanager
async def changing(
    database: Database,
    pipe: RedisPipe,
    author: Author,
    *,
    needs: Permission = Permission.CHANGE,
) -> AsyncIterator[Change]:
    """Commits at the end and tells all instances; an error leaves everything as it was.

    Raises StoreUnavailable, and Rejected when the author lacks the permission. It is no
    error when Redis is away, or Postgres after the commit: instances see the new epoch with
    their next heartbeat.
    """
    async with transaction(database) as connection:
        change = await begun(connection, author)
        # after the lock, so that an operator who was removed meanwhile is refused
        await admit(connection, author, needs)
        yield change
        if _is_rehearsal.get():
            raise Rehearsed
        await change.end()

    if change.entries:
        with suppress(StoreUnavailable):  # "nothing was changed" would be wrong now
            await announce(database, pipe)


managing = partial(changing, needs=Permission.MANAGE)
"""The same for what only admins may change."""


async def begun(connection: Connection, author: Author) -> Change:
    """Begins a change within a larger transaction. Operators' changes use `changing`.

    Waits for the change under way. The caller must call `end`, and `announce` after the
    commit.
    """
    epoch = await connection.scalar(STATEMENTS["lock_epoch"])

    return Change(connection, author, int(epoch or 0) + 1)


async def admit(
    connection: Connection,
    author: Author,
    needs: Permission = Permission.CHANGE,
) -> None:
    """Raises Rejected when operators are registered and the author is none of them, or has
    a role without this permission.
    """
    if isinstance(author, Itself):
        return

    rows = await connection.execute(STATEMENTS["operators"])
    roles = {name: Role(role) for name, role in rows}
    if roles and author.name not in roles:
        raise Rejected(
            f"{author.name} is not a registered operator and can change nothing.",
            Amend("identify", ("actor",)),
            Run("operators list", "shows who may"),
        )
    if roles and not may(roles[author.name], needs):
        raise Rejected(refusal(author.name, roles[author.name], needs))


async def version_of(connection: Connection, subject: str) -> int:
    """The number of its last change; 0: never changed."""
    statement = STATEMENTS["version_of_subject"]
    version = await connection.scalar(statement, {"subject": subject})

    return int(version or 0)


async def expect(
    connection: Connection,
    subject: str,
    expected: int | None,
    *,
    called: str | None = None,
) -> None:
    """Raises VersionConflict, with what happened since, when the subject is no longer at the
    version that was seen.

    `called`: how the operator names it, if not by the subject's name.
    """
    if expected is None or expected == await version_of(connection, subject):
        return

    since = await audit.entries(connection, subject=subject, since=expected, limit=3)
    changes = "; ".join(
        f"{row.actor}: {difference(row.before, row.after) or row.action}"
        for row in reversed(since)
    )
    name = called or subject.partition(":")[2]

    raise VersionConflict(
        f"{name} was changed meanwhile ({changes or 'or this version never was'}). "
        "Look at it and say again."
    )


def as_json(value: Any) -> str:
    """The text of a value as it is stored."""
    return json.dumps(value, ensure_ascii=False)


async def versions(connection: Connection, kind: str) -> dict[str, int]:
    """The version of each subject of a kind that was ever changed.

    The kind is the word before a subject's first colon, as `budget`.
    """
    statement = STATEMENTS["versions_of_kind"]
    rows = await connection.execute(statement, {"kind": kind})

    return {row.subject: int(row.version) for row in rows}


async def versions_of(
    connection: Connection,
    subjects: Sequence[str],
) -> dict[str, int]:
    """The version of each of these subjects that was ever changed."""
    statement = STATEMENTS["versions_of_subjects"]
    rows = await connection.execute(statement, {"subjects": [*subjects]})

    return {row.subject: int(row.version) for row in rows}


def difference(before: Any, after: Any) -> str:
    """A change in one line, for people: the old and the new value; None: unset.

    Of a mapping, each name by itself.
    """
    if not isinstance(before, Mapping | None) or not isinstance(
        after, Mapping | None
    ):
        return f"{_shown(before)} → {_shown(after)}"

    old, new = before or {}, after or {}
    moves = (
        (name, shown_rule(old, name), shown_rule(new, name))
        for name in sorted({*old, *new})
    )

    return ", ".join(
        f"{name} {was} → {becomes}" for name, was, becomes in moves if was != becomes
    )


def shown_rule(values: Mapping[str, Any], name: str) -> str:
    """One of the values, for people.

    Of a flag's rules, a kill switch may have no value, a percentage has three parts, and a
    named rule has conditions.
    """
    value = values.get(name)
    if name.startswith(PREFIX) and isinstance(value, Mapping):
        chosen = value.get("value")
        shown = "the default" if chosen is None else _shown(chosen)

        return f"{shown} for {described(value)}"
    if name == KILL and name in values and value is None:
        return "the default"

    match value:
        case {"share": int() | float() as share, "salt": salt, "value": chosen} if (
            name == PERCENTAGE
        ):
            return f"{share:g} % (salt {salt}): {_shown(chosen)}"

    return _shown(value)


def _shown(value: Any) -> str:
    shown = "unset" if value is None else as_json(value)

    return shown if len(shown) <= 60 else shown[:59] + "…"
