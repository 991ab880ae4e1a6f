"""Reads what was used: closed hours as they were summed up, the open hour from messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import asyncpg

from agent.reports.usage import Cohort, Latency, Line, Reach, Scope, Unit
from storage.reports import STATEMENTS
from storage.reports.reading.bounded import DEADLINE
from storage.reports.reading.snapshot import Connection, snapshot


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
        rows = await self._fetch(STATEMENTS["usage"], scope)

        return [Line(**{**row, "subject": row["subject"] or ""}) for row in rows]

    async def variants(self, experiment: str, scope: Scope) -> list[Line]:
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
        )

        return [Line(**row) for row in rows]

    async def total(self, scope: Scope) -> Line:
        """The same in one line: people count once, however many lines they are in."""
        whole = Scope(
            scope.since,
            scope.until,
            channel=scope.channel,
            model=scope.model,
            person=scope.person,
        )

        return next(iter(await self.lines(whole)), Line())

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

    async def _fetch(self, sql: str, scope: Scope) -> list[asyncpg.Record]:
        return await self._connection.fetch(
            sql,
            scope.unit,
            scope.by,
            scope.since,
            scope.until,
            scope.channel,
            scope.model,
            scope.person,
        )


@asynccontextmanager
async def read_usage(
    database_url: str,
    deadline: float | None = DEADLINE,
) -> AsyncIterator[UsageReader]:
    """One snapshot. `deadline`: in seconds; None: there is none. Raises StoreUnavailable."""
    async with snapshot(database_url, deadline) as connection:
        yield UsageReader(connection)
