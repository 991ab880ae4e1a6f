"""How the agent and its database are, for `agent status`, `agent doctor` and `/health/ready`."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from msgspec import Struct

from storage.connecting.requirements import not_permitted
from storage.postgres import LEASE_SECONDS, Database, connect
from storage.reports import STATEMENTS
from storage.transaction import transaction

STRAY_COUNTED = 1000
"""Of messages without a month: to count a million would take longer than a page may."""


class OpenTurns(Struct, frozen=True):
    """Messages whose answer is not delivered yet."""

    count: int
    oldest_seconds: float | None
    """Age of the oldest; None when there is none."""


class LiveInstance(Struct, frozen=True):
    """A process whose heartbeat is fresh."""

    host: str
    pid: int
    channels: Sequence[str]


class ControlInForce(Struct, frozen=True):
    """What operators set, and how far the newest change has spread."""

    epoch: int
    rules: int
    experiments: Sequence[str]
    """Names of the running ones."""
    instances: int
    """Live ones."""
    applied: int
    """Live instances that apply this epoch."""


async def ping(database: Database) -> None:
    """Returns once Postgres answered. Raises what the driver raises."""
    async with database.connection() as driver:
        await driver.execute(STATEMENTS["ping"])


async def server_version(url: str) -> str:
    """The version as Postgres writes it, also of a database without tables."""
    connection = await connect(url)
    try:
        return str(await connection.fetchval(STATEMENTS["server_version"]))
    finally:
        await connection.close()


async def try_writing(url: str) -> None:
    """Writes a row of the audit log, whose trigger writes more, and takes it back.

    Raises SchemaError for a user without the permissions, and asyncpg's errors.
    """
    connection = await connect(url)
    try:
        transaction = connection.transaction()
        await transaction.start()

        try:
            await connection.execute(STATEMENTS["try_audit_row"])
        finally:
            await transaction.rollback()
    except asyncpg.InsufficientPrivilegeError:
        raise await not_permitted(connection) from None
    finally:
        await connection.close()


async def stray_messages(database: Database) -> int:
    """Number of messages in the default partition, `STRAY_COUNTED` at most: their month had none,
    and an operator must look.
    """
    values = {"most": STRAY_COUNTED}
    async with transaction(database) as connection:
        statement = STATEMENTS["count_stray_messages"]
        found = await connection.scalar(statement, values)

    return int(found or 0)


def stray_in_words(stray: int) -> str:
    return f"{stray:,} messages{' or more' if stray == STRAY_COUNTED else ''}"


async def open_turns(database: Database) -> OpenTurns:
    async with transaction(database) as connection:
        found = await connection.execute(STATEMENTS["open_turns"])
        count, age = found.one()

    return OpenTurns(count, None if age is None else float(age))


async def live_instances(database: Database) -> Sequence[LiveInstance]:
    """The oldest first."""
    lease = {"lease": LEASE_SECONDS}
    async with transaction(database) as connection:
        rows = await connection.execute(STATEMENTS["live_instances"], lease)

    return [LiveInstance(*row) for row in rows]


async def control_in_force(database: Database) -> ControlInForce:
    lease = {"lease": LEASE_SECONDS}
    async with transaction(database) as connection:
        found = await connection.execute(STATEMENTS["control_in_force"], lease)
        row = found.one()

    return ControlInForce(
        row.epoch, row.rules, row.running or (), row.instances, row.applied
    )
