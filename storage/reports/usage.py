"""Reads what was used: closed hours as they were summed up, the open hour from messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import StoreUnavailable
from agent.reports.usage import Cohort, Latency, Line, Reach, Scope, Unit
from storage.reports import STATEMENTS
from storage.reports.reading.bounded import DEADLINE
from storage.reports.reading.snapshot import Connection, snapshot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""In place of a period where there is none, so that lines have an order."""

PLANNER = {"enable_seqscan": "off"}
"""Statistics of a young table say that an hour has a handful of messages. Each would then be
compared with every conversation.
"""


class Lines(Struct, frozen=True):
    """Some lines of a report."""

    shown: Sequence[Line]
    left_out: int
    """How many more were found."""
    total: Line | None = None
    """Of all of them."""


class UsageReader:
    """All that it reads is of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def reach(self) -> Reach:
        row = await self._connection.fetchrow(STATEMENTS["report_reach"])
        assert row is not None

        return Reach(**row)

    async def lines(self, scope: Scope) -> list[Line]:
        """One line for each period and subject in which something happened."""
        return _lines(await self._usage(scope))

    async def total(self, scope: Scope) -> Line:
        """The same in one line: people count once, however many lines they are in."""
        rows = await self._usage(scope, most=1)

        return _line(rows[0])

    async def newest(self, scope: Scope, most: int) -> Lines:
        """At most so many lines, the newest first, with the total of all that there are.

        Of one time, those with an unknown cost come first, then the dearest. Replies that no
        model wrote are in no line for a model.
        """
        rows = await self._usage(scope, most=most + 1, newest=True)
        shown = _lines(rows)

        return Lines(shown, rows[0]["found"] - len(shown), _line(rows[0]))

    async def following(
        self,
        scope: Scope,
        last: tuple[datetime | None, str] | None,
        most: int,
    ) -> list[Line]:
        """At most so many lines, the oldest first, from the one behind this period and subject."""
        period, subject = last or (None, "")
        after = None if last is None else period or EPOCH
        # what came before is not read again
        since = max(scope.since, period) if period else scope.since
        rows = await self._usage(
            replace(scope, since=since), after, subject, most=most + 1
        )

        return _lines(rows)

    async def daily_costs(self, scope: Scope) -> Mapping[datetime, Decimal]:
        """The known costs of each day on which something happened, in USD."""
        rows = await self._connection.fetch(
            STATEMENTS["daily_costs"],
            scope.since,
            scope.until,
            scope.channel,
            scope.model,
            scope.person,
        )

        return {row["day"]: row["cost_usd"] for row in rows}

    async def variants(self, experiment: str, scope: Scope, most: int) -> Lines:
        """What answers under an experiment used, by variant. It reads messages, not sums."""
        rows = await self._connection.fetch(
            STATEMENTS["usage_of_variants"],
            scope.unit,
            experiment,
            scope.since,
            scope.until,
            scope.channel,
            scope.model,
            scope.person,
            most,
        )
        found = rows[0]["found"] if rows else 0

        return Lines([*map(_line, rows)], found - len(rows))

    async def latencies(self, scope: Scope) -> list[Latency]:
        return [
            Latency(
                row["period"], row["subject"] or "", row["answers"], *row["ranks"]
            )
            for row in await self._fetch(STATEMENTS["latency"], scope)
        ]

    async def cohorts(
        self, unit: Unit, since: datetime, until: datetime, channel: str | None
    ) -> list[Cohort]:
        """As they were when hours were last summed up, oldest first."""
        rows = await self._connection.fetch(
            STATEMENTS["cohorts"], unit, since, until, channel or ""
        )
        periods: dict[datetime, list[tuple[datetime, int]]] = {}
        for row in rows:
            periods.setdefault(row["cohort"], []).append(
                (row["period"], row["people"])
            )

        return [
            Cohort(begun, found[0][1], found[1:]) for begun, found in periods.items()
        ]

    async def names(self, people: Sequence[str]) -> Mapping[str, str]:
        """What each person is called, with an account that leads to them."""
        rows = await self._connection.fetch(
            STATEMENTS["names_of_people"],
            [UUID(person) for person in people if person],
        )

        return {
            row["person"]: f"{row['name']} ({row['account']})"
            if row["name"]
            else row["account"]
            for row in rows
        }

    async def _usage(
        self,
        scope: Scope,
        after: datetime | None = None,
        subject: str = "",
        most: int | None = None,
        newest: bool = False,
    ) -> list[asyncpg.Record]:
        """The total comes first."""
        sql = STATEMENTS["usage"]

        return await self._fetch(sql, scope, after, subject, most, newest)

    async def _fetch(
        self,
        sql: str,
        scope: Scope,
        *more: Any,
    ) -> list[asyncpg.Record]:
        return await self._connection.fetch(
            sql,
            scope.unit,
            scope.by,
            scope.since,
            scope.until,
            scope.channel,
            scope.model,
            scope.person,
            *more,
        )


def _lines(rows: Sequence[asyncpg.Record]) -> list[Line]:
    """Without the total. Nothing happened: there is none."""
    return [_line(row) for row in rows if not row["is_total"]]


def _line(row: asyncpg.Record) -> Line:
    values = {
        name: value
        for name, value in row.items()
        if name not in ("is_total", "found")
    }

    return Line(**{**values, "subject": row["subject"] or ""})


@asynccontextmanager
async def read_usage(
    database_url: str,
    deadline: float | None = DEADLINE,
) -> AsyncIterator[UsageReader]:
    """One snapshot. `deadline`: in seconds; None: there is none. Raises StoreUnavailable."""
    async with snapshot(database_url, deadline, PLANNER) as connection:
        yield UsageReader(connection)


async def total_if_known(database_url: str, scope: Scope) -> Line | None:
    """For pages that stand without it. None: nobody can say at this moment."""
    try:
        async with read_usage(database_url) as usage:
            return await usage.total(scope)
    except StoreUnavailable:
        return None
