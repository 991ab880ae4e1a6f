"""The rows of erasures: asking for one, working at one, and what is left of one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from storage.connecting.connection import Connection
from storage.lifecycle import STATEMENTS

STEPS: tuple[str, ...] = (
    "messages",
    "turns",
    "settings",
    "audit",
    "people",
    "redis",
    "settle",
    "done",
)
"""In this order; `settle` may begin again with the first."""


class Account(Struct, frozen=True):
    """One of the person's accounts."""

    id: UUID
    channel: str
    name: str
    """The platform's id of it."""


class Job(Struct):
    """A person who is being erased, and how far it is."""

    id: UUID
    person: UUID
    step: str
    requested_by: str
    accounts: list[Account]
    names: list[str]
    places: list[tuple[str, str, bool]]
    """Channel and chat, and whether it is the person's own."""
    conversations: list[UUID]
    turns_until: datetime | None
    messages: int
    idle: float
    """Seconds since somebody last worked at it."""

    @property
    def account_ids(self) -> list[UUID]:
        return [account.id for account in self.accounts]

    def go_on(self) -> None:
        """To the next step."""
        self.step = STEPS[STEPS.index(self.step) + 1]


class ErasureView(Struct, frozen=True):
    """An erasure as an operator sees it. It names nobody."""

    id: UUID
    step: str
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    messages: int


async def begin(
    connection: Connection, person: UUID, requested_by: str
) -> UUID | None:
    """Asks for an erasure. None: there is nobody, or it is under way already."""
    values = {"person": person, "requested_by": requested_by}
    made = await connection.scalar(STATEMENTS["begin_erasure"], values)

    return None if made is None else UUID(str(made))


async def under_way(connection: Connection, person: UUID) -> bool:
    """Whether this person is being erased."""
    statement = STATEMENTS["erasure_of_person"]

    return (
        await connection.execute(statement, {"person": person})
    ).first() is not None


async def listed(connection: Connection, limit: int = 50) -> list[ErasureView]:
    """The newest first."""
    statement = STATEMENTS["erasures"]
    rows = await connection.execute(statement, {"limit": limit})

    return [ErasureView(*row) for row in rows]


async def receipts(connection: Connection) -> list[str]:
    """Of all that is finished: hashes of accounts' ids."""
    rows = await connection.scalars(STATEMENTS["receipts"])

    return sorted(rows)


async def next_job(connection: Connection) -> Job | None:
    """Locks the oldest job that no other instance works at."""
    row = (await connection.execute(STATEMENTS["next_erasure"])).first()

    return None if row is None else _job(row)


def _job(row: Any) -> Job:
    accounts = [Account(UUID(one[0]), one[1], one[2]) for one in row.accounts]
    places = [(one[0], one[1], bool(one[2])) for one in row.places]

    return Job(
        row.id,
        row.person_id,
        row.step,
        row.requested_by,
        accounts,
        list(row.names),
        places,
        list(row.conversations),
        row.turns_until,
        row.messages,
        row.idle,
    )


async def keep(connection: Connection, job: Job) -> None:
    """Notes how far it is, in the transaction of the work."""
    values = {
        "id": job.id,
        "step": job.step,
        "names": job.names,
        "places": msgspec.json.encode(job.places).decode(),
        "conversations": job.conversations,
        "turns_until": job.turns_until,
        "messages": job.messages,
    }
    await connection.execute(STATEMENTS["keep_erasure"], values)


async def finish(connection: Connection, job: Job) -> list[str]:
    """Takes everything out of the row that names somebody. Returns its receipts."""
    statement = STATEMENTS["finish_erasure"]
    found = await connection.scalar(statement, {"id": job.id})
    job.step = "done"

    return list(found or ())
