"""`agent experiments report`: what each variant did for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from agent.cli.control.experiments_report_view import show_report
from agent.cli.options import Json, operating
from agent.cli.output import show_json
from agent.cli.run import NOT_WELL, WELL, run
from agent.reports.experiment import (
    PRIMARY,
    MetricName,
    Report,
    report_of,
)
from agent.reports.experiment_document import document_of
from agent.reports.statistics import need_scipy

if TYPE_CHECKING:
    from agent.settings import Settings


Name = Annotated[
    str, typer.Argument(help="The experiment; `agent experiments list` shows all.")
]
METRICS: tuple[str, ...] = get_args(MetricName)

Primary = Annotated[
    MetricName,
    typer.Option(
        "--metric",
        metavar="<name>",
        help=f"What decides; the others are side effects. One of {', '.join(METRICS)}.",
    ),
]


def report(name: Name, metric: Primary = PRIMARY, as_json: Json = False) -> None:
    """Compare the variants of an experiment. Look as often as you like. Exit status 1 when
    the split is wrong.
    """

    async def show(settings: Settings) -> int:
        async with operating(settings) as (stores, _):
            found = await figures_of(settings, stores.database.url, name, metric)
        if as_json:
            show_json(document_of(found))
        else:
            show_report(found)

        return NOT_WELL if found.split.wrong else WELL

    run(show)


async def figures_of(
    settings: Settings, url: str, name: str, metric: MetricName
) -> Report:
    """The report, read from the replica where there is one, else from `url`."""
    from storage.reports.experiment_figures import experiment_figures
    from storage.reports.source import replica_url

    need_scipy()
    source = await replica_url(settings) or url

    return report_of(await experiment_figures(source, name), metric)
