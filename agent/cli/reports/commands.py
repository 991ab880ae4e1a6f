"""`agent report …`: what people used, what it cost, and who came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from agent.cli.options import Group, Json, operating
from agent.cli.output import show_json
from agent.cli.reports import options as o
from agent.cli.reports import views
from agent.cli.reports.options import Source, Wanted, check_files, reading
from agent.cli.reports.views import View
from agent.cli.run import WELL, run
from agent.reports.forecast import DAYS, Forecast, forecast
from agent.reports.periods import HOUR, parsed
from agent.reports.usage import Subject, Unit

if TYPE_CHECKING:
    from agent.settings import Settings

app = typer.Typer(
    cls=Group,
    help="What people used, and what it cost. All times are UTC; costs are those that were "
    "stored with each answer.",
    no_args_is_help=True,
)

USED = ("prompt_tokens", "cached_tokens", "tokens", "cost_usd", "unpriced")
THUMBS = ("thumbs_up", "thumbs_down")
USAGE = ("people", "messages", "answers", "failures", "retries", *USED, *THUMBS)
COST = ("answers", "estimated", *USED)
MODELS = ("model", "answers", "failures", *USED, *THUMBS)
PEOPLE = ("name", "person", "messages", "answers", *USED)
LATENCY = ("model", "answers", "p50", "p90", "p95", "p99", "longest")
RETENTION = ("begun", "period", "people", "share")

NOT_COUNTED = (
    "People who came back are counted every hour by a running agent; `agent report rebuild` "
    "counts now."
)

Cohorts = Annotated[
    Literal["week", "month"],
    typer.Option("--by", help="How long a cohort's period is."),
]


def _command(
    name: str, help_: str, show: Callable[[Wanted], None], by: Unit | None
) -> None:
    """A report with the options that all but the one on retention share."""

    def command(
        by: o.By = by,
        channel: o.Channel = None,
        model: o.Model = None,
        person: o.Person = None,
        since: o.Since = None,
        until: o.Until = None,
        csv: o.Csv = None,
        parquet: o.Parquet = None,
        plot: o.Plot = None,
        as_json: Json = False,
    ) -> None:
        show(
            Wanted(
                by, channel, model, person, since, until, csv, parquet, plot, as_json
            )
        )

    app.command(name, help=help_)(command)


_command(
    "usage",
    "Show people, messages, answers, tokens, costs and thumbs.",
    lambda wanted: _report("usage", USAGE, None, "messages", wanted),
    "day",
)
_command(
    "cost",
    "Show what was spent, and what this month will have cost at its end.",
    lambda wanted: _report("cost", COST, None, "cost_usd", wanted),
    "day",
)
_command(
    "models",
    "Show what each model answered. Replies that no model wrote are in `usage` only.",
    lambda wanted: _report("models", MODELS, "model", "answers", wanted),
    None,
)
_command(
    "people",
    "Show what each person used, on all their accounts.",
    lambda wanted: _report("people", PEOPLE, "person", "messages", wanted),
    None,
)
_command(
    "latency",
    "Show how long answers took, in ms. Percentiles are exact, of the nearest rank.",
    lambda wanted: _run("latency", "model", wanted, _latency),
    None,
)


@app.command()
def retention(
    by: Cohorts = "month",
    channel: o.Channel = None,
    since: o.Since = None,
    until: o.Until = None,
    csv: o.Csv = None,
    parquet: o.Parquet = None,
    plot: o.Plot = None,
    as_json: Json = False,
) -> None:
    """Show how many of those who first wrote in a week or month wrote again later."""
    wanted = Wanted(
        by, channel, None, None, since, until, csv, parquet, plot, as_json
    )
    _run("retention", None, wanted, _retention)


@app.command()
def rebuild(since: o.Since = None, as_json: Json = False) -> None:
    """Sum up all closed hours again, from the oldest message or --since on. Meanwhile reports
    read messages, and take longer.
    """

    async def work(settings: Settings) -> int:
        from storage.reports.rollup import sum_up_again

        first = parsed(since)
        async with operating(settings) as (stores, _):
            begun = await sum_up_again(stores.database.url, first)
        if as_json:
            show_json({"since": begun.isoformat()})
        else:
            typer.echo(
                f"All hours since {begun:%Y-%m-%d %H:%M} UTC are summed up again. Those of "
                "which retention deleted messages stay as they were."
            )

        return WELL

    run(work)


def _report(
    name: str,
    columns: Sequence[str],
    subject: Subject | None,
    plotted: str,
    wanted: Wanted,
) -> NoReturn:
    async def make(source: Source) -> View:
        scope = source.scope
        lines = await source.reader.lines(scope)
        if subject == "model":
            lines = [line for line in lines if line.subject]
        lines = views.most_first(lines, plotted)
        called = (
            await source.reader.names([line.subject for line in lines])
            if subject == "person"
            else {}
        )
        names = [*(["period"] if scope.unit else []), *columns]
        total = None if subject else await source.reader.total(scope)
        expected = await _forecast(source) if name == "cost" else None

        return View(
            name,
            scope,
            source.reach.counted_until,
            names,
            [views.record_of(line, names, called) for line in lines],
            plotted,
            views.record_of(total, names, called) if total else None,
            expected,
            _forecast_notes(expected) if name == "cost" and lines else (),
        )

    _run(name, subject, wanted, make)


async def _latency(source: Source) -> View:
    names = [*(["period"] if source.scope.unit else []), *LATENCY]
    records = [
        views.latency_record(line)
        for line in await source.reader.latencies(source.scope)
    ]

    return View(
        "latency", source.scope, source.reach.counted_until, names, records, "p95"
    )


async def _retention(source: Source) -> View:
    scope, unit = source.scope, source.scope.unit
    assert unit is not None
    cohorts = await source.reader.cohorts(
        unit, scope.since, scope.until, scope.channel
    )
    at = source.reach.cohorts_at
    note = f"As of {at:%Y-%m-%d %H:%M} UTC." if at else NOT_COUNTED
    records = views.cohort_records(cohorts)

    return View(
        "retention",
        scope,
        source.reach.counted_until,
        RETENTION,
        records,
        "people",
        notes=(note,),
    )


def _run(
    name: str,
    subject: Subject | None,
    wanted: Wanted,
    make: Callable[[Source], Awaitable[View]],
) -> NoReturn:
    check_files(wanted)
    if name == "retention" and wanted.since is None:
        wanted = replace(wanted, since="2000-01-01")

    async def work(settings: Settings) -> int:
        async with reading(settings, wanted, subject) as source:
            view = await make(source)
        views.show(view, wanted)

        return WELL

    run(work)


async def _forecast(source: Source) -> Forecast | None:
    """Of this month, with the report's channel, model and person."""
    now = source.reach.now
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = max(today - timedelta(days=DAYS), _first_day(source.reach.first_hour))
    scope = replace(source.scope, until=now + HOUR, by=None)
    daily = await source.reader.lines(replace(scope, since=begin, unit="day"))
    spent = {line.period: line.cost_usd for line in daily}
    count = max((today - begin).days, 0)
    days = [spent.get(begin + timedelta(days=n), Decimal(0)) for n in range(count)]
    month = await source.reader.total(replace(scope, since=today.replace(day=1)))

    return forecast(now, month.cost_usd, days)


def _first_day(hour: datetime) -> datetime:
    """The first full day: what came before a system's first message says nothing."""
    day = hour.replace(hour=0)

    return day if day == hour else day + timedelta(days=1)


def _forecast_notes(found: Forecast | None) -> list[str]:
    if found is None:
        return ["No forecast yet: it takes seven full days."]

    return [
        f"This month so far: ${found.so_far:.2f}. At its end: ${found.expected:.2f} "
        f"(95 %: ${found.low:.2f} to ${found.high:.2f}), by the last {found.days} days. "
        "Replies of unknown price are not in it."
    ]
