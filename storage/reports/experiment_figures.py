"""What Postgres knows of an experiment, one row for each person: memory grows with people,
never with messages.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import asyncpg
import msgspec

from agent.control.experiments import Experiment, read_experiment
from agent.core.errors import Rejected
from agent.core.text import shown_name
from agent.reports.experiment import (
    METRICS,
    Figures,
    Group,
    MetricName,
    Report,
    report_of,
)
from agent.reports.statistics import need_scipy
from agent.settings import Settings
from storage.reports import STATEMENTS
from storage.reports.reading.bounded import DEADLINE
from storage.reports.reading.replica import place_of
from storage.reports.reading.snapshot import snapshot

AT_ONCE = 5_000
"""People fetched in one round trip."""


async def experiment_report(
    settings: Settings,
    url: str,
    name: str,
    metric: MetricName,
    deadline: float | None = DEADLINE,
) -> Report:
    """The report, read where all reports are read. It is reckoned beside the event loop.

    Raises what `experiment_figures` raises, and ConfigurationError without scipy.
    """
    need_scipy()
    place = await place_of(settings, url)
    figures = await experiment_figures(place.url, name, deadline)

    return await asyncio.to_thread(report_of, figures, metric)


async def experiment_figures(
    database_url: str,
    name: str,
    deadline: float | None = DEADLINE,
) -> Figures:
    """What is known of an experiment until now, or until it ended, in one snapshot.

    `deadline`: in seconds; None: there is none. Raises Rejected when there is no such experiment
    or it cannot be reported, and StoreUnavailable.
    """
    async with snapshot(database_url, deadline) as connection:
        return await _figures(connection, name)


async def _figures(
    connection: asyncpg.Connection[asyncpg.Record],
    name: str,
) -> Figures:
    row = await connection.fetchrow(STATEMENTS["experiment_definition"], name)
    if row is None:
        started = await connection.fetch(STATEMENTS["started_experiments"])
        raise _unknown(name, [known["name"] for known in started])

    experiment = _started(name, row)
    groups = {variant.name: Group() for variant in experiment.variants}
    until: datetime = row["ended_at"] or row["now"]
    crossed = 0
    # By itself a cursor names its statement, which a pooler does not keep.
    statement = await connection.prepare(STATEMENTS["people_of_experiment"])
    people = statement.cursor(
        name,
        row["started_at"],
        until,
        sorted(experiment.channels),
        prefetch=AT_ONCE,
        timeout=None,
    )
    async for person in people:
        if person["variant"] is None:
            crossed += 1
        else:
            _add(groups[person["variant"]], person)

    return Figures(experiment, row["started_at"], row["ended_at"], groups, crossed)


def _started(name: str, row: asyncpg.Record) -> Experiment:
    """The experiment of this row. Raises Rejected when it cannot be reported."""
    if row["started_at"] is None:
        raise Rejected(
            f"The experiment {name} has not started yet: there is nothing to report."
        )

    try:
        return read_experiment(name, msgspec.json.decode(row["definition"]))
    except ValueError:
        raise Rejected(
            f"The experiment {name} is of another version: this one cannot read it."
        ) from None


def _add(group: Group, person: asyncpg.Record) -> None:
    group.people += 1
    group.unknown_costs += person["unknown_costs"]

    for name in METRICS:
        if (value := person[name]) is not None:
            group.values[name].append(value)


def _unknown(name: str, known: list[str]) -> Rejected:
    there_are = (
        f"There are: {', '.join(known)}." if known else "None was ever started."
    )

    return Rejected(f"There is no experiment {shown_name(name)}. {there_are}")
