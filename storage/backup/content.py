"""What is in the tables, so that two databases can be compared: rows and a digest of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from storage.backup import STATEMENTS
from storage.backup.manifest import Table


def named(*parts: str) -> str:
    """An identifier of Postgres, quoted."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def digest_of(namespace: str, table: str, pepper: str) -> str:
    """A query for a table's rows and their digest. `pepper` is hexadecimal or empty."""
    query = STATEMENTS["digest_of_table"].replace("the_pepper", pepper)

    return query.replace("the_table", named(namespace, table))


async def read_tables(
    connection: asyncpg.Connection[asyncpg.Record],
    namespace: str,
    names: Sequence[str],
    pepper: str,
) -> dict[str, Table]:
    """Every table as this connection sees it."""
    tables = {}
    for name in names:
        row = await connection.fetchrow(digest_of(namespace, name, pepper))
        assert row is not None
        tables[name] = Table(row["rows"], row["digest"])

    return tables


def comparison(namespace: str, tables: Mapping[str, Table], pepper: str) -> str:
    """A script that raises `DIFFERENT` unless the tables are exactly these."""
    return "".join(
        f"DO $compare$ DECLARE found record; BEGIN {digest_of(namespace, name, pepper)} "
        f"INTO found; IF found.rows <> {int(table.rows)} OR found.digest <> '{int(table.digest)}' "
        f"THEN RAISE EXCEPTION USING ERRCODE = '{DIFFERENT}'; END IF; END $compare$;\n"
        for name, table in tables.items()
    )


DIFFERENT = "AB001"
"""The SQLSTATE of a restored table that is not as it was."""

NOT_EMPTY = "AB002"
"""The SQLSTATE of a target that somebody filled meanwhile."""
