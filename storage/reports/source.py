"""Where reports are read from, what of, and the reports themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Rejected
from agent.core.remedies import Amend
from agent.core.text import is_text
from agent.reports.forecast import DAYS, Forecast, forecast
from agent.reports.forecast import described as forecast_sentence
from agent.reports.periods import HOUR, parsed, period
from agent.reports.table import COST, Report, View, most_first, record_of
from agent.reports.usage import Line, Reach, Scope, Subject, Unit
from agent.settings import Settings
from storage.postgres import Database
from storage.reports.reading.bounded import DEADLINE
from storage.reports.reading.replica import place_of
from storage.reports.usage import UsageReader, read_usage


class Asked(Struct, frozen=True):
    """What a report is asked about; times as people write them."""

    unit: Unit | None = None
    subject: Subject | None = None
    channel: str | None = None
    model: str | None = None
    person: UUID | None = None
    since: str | None = None
    until: str | None = None


class Source(Struct, frozen=True):
    """What a report is read from: one snapshot."""

    reader: UsageReader
    reach: Reach
    scope: Scope
    notice: str = ""
    """Why it is the main database and not the replica, as sentences for operators."""


@asynccontextmanager
async def open_source(
    settings: Settings,
    database: Database,
    asked: Asked,
    deadline: float | None = DEADLINE,
) -> AsyncIterator[Source]:
    """`deadline`: in seconds; None: none. Raises Rejected for odd times, and StoreUnavailable."""
    since, until = parsed(asked.since), parsed(asked.until)
    if not is_text(asked.model or ""):
        raise Rejected("There is no such model: its name has characters of no text.")

    place = await place_of(settings, database.url)

    async with read_usage(place.url, deadline) as reader:
        reach = await reader.reach()
        begin, end = period(reach.now, since, until)
        if begin >= end:
            raise Rejected(
                "The time ends before it begins.",
                Amend("correct", ("since", "until")),
            )

        scope = Scope(
            begin,
            end,
            asked.unit,
            asked.subject,
            asked.channel,
            asked.model,
            asked.person,
        )
        yield Source(reader, reach, scope, place.notice)


async def report_of(source: Source, report: Report) -> View:
    """A report with its total and, of costs, its forecast."""
    scope = source.scope
    lines = await source.reader.lines(scope)
    if scope.by == "model":
        lines = [line for line in lines if line.subject]
    lines = most_first(lines, report.plotted)
    total = None if scope.by else await source.reader.total(scope)
    view = _view(source, report, lines, await _called(source, lines), total)
    if report is not COST:
        return view

    expected = await month_forecast(source)
    notes = [forecast_sentence(expected)] if lines else []

    return replace(view, forecast=expected, notes=notes)


async def newest_of(source: Source, report: Report, most: int) -> View:
    """At most so many lines of a report, the newest first, with the total of all."""
    found = await source.reader.newest(source.scope, most)
    # of models it would count what no model wrote
    total = None if source.scope.by == "model" else found.total
    called = await _called(source, found.shown)
    view = _view(source, report, found.shown, called, total)

    return replace(view, left_out=found.left_out)


async def variants_of(
    source: Source,
    report: Report,
    experiment: str,
    most: int,
) -> View:
    """The same by variant, of the answers with which a variant of this experiment is stored."""
    found = await source.reader.variants(experiment, source.scope, most)
    view = _view(source, report, found.shown, {}, None)

    return replace(view, left_out=found.left_out)


async def month_forecast(source: Source) -> Forecast | None:
    """Of this month, with the report's channel, model and person."""
    now = source.reach.now
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = today.replace(day=1)
    begin = max(today - timedelta(days=DAYS), _first_day(source.reach.first_hour))
    since = min(first, begin)
    scope = replace(source.scope, since=since, until=now + HOUR)

    spent = await source.reader.daily_costs(scope)
    count = max((today - begin).days, 0)
    days = [spent.get(begin + timedelta(days=n), Decimal(0)) for n in range(count)]
    month = (cost for day, cost in spent.items() if day >= first)

    return forecast(now, sum(month, Decimal(0)), days)


async def _called(source: Source, lines: Sequence[Line]) -> Mapping[str, str]:
    if source.scope.by != "person":
        return {}

    return await source.reader.names([line.subject for line in lines])


def _view(
    source: Source,
    report: Report,
    lines: Sequence[Line],
    called: Mapping[str, str],
    total: Line | None,
) -> View:
    names = [*(["period"] if source.scope.unit else []), *report.columns]

    return View(
        report.name,
        source.scope,
        source.reach.counted_until,
        names,
        [record_of(line, names, called) for line in lines],
        report.plotted,
        record_of(total, names, called) if total else None,
    )


def _first_day(hour: datetime) -> datetime:
    """The first full day: what came before a system's first message says nothing."""
    day = hour.replace(hour=0)

    return day if day == hour else day + timedelta(days=1)
