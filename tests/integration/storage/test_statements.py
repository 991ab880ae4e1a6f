"""Every statement is one that Postgres can prepare over this version's tables."""

from __future__ import annotations

import asyncpg
import pytest

from storage.connecting.connection import NAMED, bound
from storage.connecting.statements import read_statements
from storage.postgres import connect

NOT_PREPARED = {"try_table", "queries"}
"""Postgres prepares no CREATE TABLE; `agent doctor` runs it in a test of its own. `queries` reads
an extension that not every database has; `agent db queries` has a test with it.
"""


def as_the_driver_sees_it(sql: str) -> str:
    """With `$1`, `$2` … for each `:name`, as in every transaction."""
    return sql if "$1" in sql else bound(sql, dict.fromkeys(NAMED.findall(sql)))[0]


async def error_of(
    connection: asyncpg.Connection[asyncpg.Record],
    sql: str,
) -> str | None:
    try:
        await connection.prepare(as_the_driver_sees_it(sql))
    except asyncpg.PostgresError as error:
        return str(error)

    return None


@pytest.mark.parametrize(
    "room",
    [
        *("conversation", "conversation.operating", "people", "limits", "control"),
        *("control.operators", "reports"),
    ],
)
async def test_postgres_prepares_each(database_url: str, room: str) -> None:
    connection = await connect(database_url)

    try:
        errors = {
            name: await error_of(connection, sql)
            for name, sql in read_statements(f"storage.{room}").items()
            if name not in NOT_PREPARED
        }
    finally:
        await connection.close()

    assert errors
    assert {} == {name: error for name, error in errors.items() if error}
