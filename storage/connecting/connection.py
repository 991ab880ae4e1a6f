"""A connection for what operators, commands and reports ask: statements with `:name`
parameters, over asyncpg.

SQLAlchemy describes the tables and migrates them. To run handwritten SQL through it would
cost a third of a short command's time in imports, and four times the client's work for each
transaction.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Driver: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
)
Values: TypeAlias = Mapping[str, Any]

NAMED = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
"""A parameter in a statement."""

_SMALL = 2**31
"""An integer from here on is no `integer` of Postgres."""

_TYPES: Mapping[type, str] = {
    str: "varchar",
    bool: "boolean",
    int: "integer",
    float: "float",
    Decimal: "numeric",
    bytes: "bytea",
    date: "date",
    timedelta: "interval",
}
"""What a value is to Postgres, which cannot tell from every statement."""


class Row(asyncpg.Record):
    """A row whose columns are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Rows(list[Row]):
    """The rows that a statement returned."""

    def first(self) -> Row | None:
        """The first; None: there is none."""
        return self[0] if self else None

    def one(self) -> Row:
        """The only one."""
        (row,) = self

        return row


class Connection:
    """Runs statements. Which transaction they are part of is the caller's to say."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    async def execute(self, statement: str, values: Values | None = None) -> Rows:
        """The rows that it returns, if any."""
        sql, arguments = bound(statement, values or {})

        return Rows(await self.driver.fetch(sql, *arguments, record_class=Row))

    async def scalar(self, statement: str, values: Values | None = None) -> Any:
        """The first value of the first row; None: there is no row."""
        sql, arguments = bound(statement, values or {})

        return await self.driver.fetchval(sql, *arguments)

    async def scalars(
        self, statement: str, values: Values | None = None
    ) -> list[Any]:
        """The first value of each row."""
        return [row[0] for row in await self.execute(statement, values)]

    async def count(self, statement: str, values: Values | None = None) -> int:
        """How many rows it changed."""
        sql, arguments = bound(statement, values or {})
        status = await self.driver.execute(sql, *arguments)

        return int(status.rpartition(" ")[2])  # as in `DELETE 5`

    async def pages(
        self, statement: str, values: Values, size: int
    ) -> AsyncGenerator[list[Row]]:
        """All rows, so many in memory at a time. Only inside a transaction."""
        sql, arguments = bound(statement, values)
        cursor = await self.driver.cursor(sql, *arguments, record_class=Row)
        while page := await cursor.fetch(size):
            yield page

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        """Inside, an error takes back only what was done inside."""
        return self.driver.transaction()


def bound(statement: str, values: Values) -> tuple[str, list[Any]]:
    """A statement with `:name` parameters as Postgres takes it, and their values in order.

    The same name is one parameter. `\\:` is a colon.
    """
    sql, names = _numbered(
        statement, tuple([(name, _type_of(value)) for name, value in values.items()])
    )

    return sql, [values[name] for name in names]


@lru_cache(maxsize=1024)
def _numbered(
    statement: str, types: tuple[tuple[str, str], ...]
) -> tuple[str, tuple[str, ...]]:
    casts, numbers = dict(types), dict[str, int]()

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        return f"${numbers.setdefault(name, len(numbers) + 1)}{casts[name]}"

    sql = NAMED.sub(numbered, statement).replace("\\:", ":")

    return sql, tuple(numbers)


def _type_of(value: object) -> str:
    """A cast for the value; "": Postgres tells its type from the statement."""
    if isinstance(value, UUID):
        return "::uuid"
    if type(value) is datetime:
        return "::timestamptz" if value.tzinfo else "::timestamp"
    if type(value) is int and not -_SMALL <= value < _SMALL:
        return "::bigint"

    name = _TYPES.get(type(value))

    return f"::{name}" if name else ""
