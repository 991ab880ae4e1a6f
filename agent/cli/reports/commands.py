"""`agent report …`: what people used, what it cost, and who came back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from msgspec.structs import replace

from agent.cli.options import Group, Json, operating
from agent.cli.output import show_json
from agent.cli.reports import options as o
from agent.cli.reports import views
from agent.cli.reports.options import Wanted, check_files, reading
from agent.cli.run import WELL, run
from agent.reports import table
from agent.reports.periods import parsed
from agent.reports.table import Report, View
from agent.reports.usage import Subject, Unit

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.reports.source import Source

app = typer.Typer(
    cls=Group,
    help="What people used, and what it cost. All times are UTC; costs are those that were "
    "stored with each answer.",
    no_args_is_help=True,
)

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
    lambda wanted: _report(table.USAGE, None, wanted),
    "day",
)
_command(
    "cost",
    "Show what was spent, and what this month will have cost at its end.",
    lambda wanted: _report(table.COST, None, wanted),
    "day",
)
_command(
    "channels",
    "Show what was used on each channel.",
    lambda wanted: _report(table.CHANNELS, "channel", wanted),
    None,
)
_command(
    "models",
    "Show what each model answered. Replies that no model wrote are in `usage` only.",
    lambda wanted: _report(table.MODELS, "model", wanted),
    None,
)
_command(
    "people",
    "Show what each person used, on all their accounts.",
    lambda wanted: _report(table.PEOPLE, "person", wanted),
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


def _report(report: Report, subject: Subject | None, wanted: Wanted) -> NoReturn:
    async def make(source: Source) -> View:
        from storage.reports.source import report_of

        return await report_of(source, report)

    _run(report.name, subject, wanted, make)


async def _latency(source: Source) -> View:
    names = [*(["period"] if source.scope.unit else []), *LATENCY]
    records = [
        table.latency_record(line)
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
    records = table.cohort_records(cohorts)

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
