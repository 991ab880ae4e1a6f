"""`agent experiments report`: what each variant did for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

from agent.cli.control.experiments_report_view import show_report
from agent.cli.options import Json, operating
from agent.cli.output import show_json
from agent.cli.run import NOT_WELL, WELL, run
from agent.reports.experiment import PRIMARY, MetricName
from agent.reports.experiment_document import document_of

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
        from storage.reports.experiment_figures import experiment_report

        async with operating(settings) as (stores, _):
            found = await experiment_report(
                settings, stores.database.url, name, metric, deadline=None
            )
        if as_json:
            show_json(document_of(found))
        else:
            show_report(found)

        return NOT_WELL if found.split.wrong else WELL

    run(show)
