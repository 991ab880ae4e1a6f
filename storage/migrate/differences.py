"""What differs between the tables in the code and those in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.migrate.running import sqlalchemy_connection

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def differences(database_url: str) -> list[str]:
    """What differs between the tables in the code and in the database, for people; empty
    when they agree.
    """
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from storage.tables import Base

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": no_partition}
        )
        return [
            _described(difference)
            for difference in compare_metadata(context, Base.metadata)
        ]

    async with sqlalchemy_connection(database_url) as connection:
        return await connection.run_sync(compare)


def _described(difference: Any) -> str:
    """Alembic's tuple, or list of tuples for what it calls a modification, as words."""
    kind, *about = difference[0] if isinstance(difference, list) else difference
    verb, _, what = kind.partition("_")
    if verb == "modify":
        _, table, column, *_ = about
        return f"{table}.{column} has another {what.replace('_', ' ')}"

    where = (
        "is missing in the database" if verb == "add" else "is in the database only"
    )
    if what == "column":
        _, table, column = about
        return f"column {table}.{column.name} {where}"

    return f"{what.replace('_', ' ')} {about[0].name} {where}"


def no_partition(name: str | None, kind: str, _parents: object) -> bool:
    """For Alembic's `include_name`: partitions of messages, and of their words, are made by the
    month, not by migrations.
    """
    is_partition = name is not None and name.startswith(
        ("messages_", "search_messages_")
    )

    return not (kind == "table" and is_partition)
