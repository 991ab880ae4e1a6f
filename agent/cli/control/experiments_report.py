"""`agent experiments report`: what each variant did for people."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from agent.cli.control.experiments_report_view import (
    control_of,
    show_report,
    split_sentence,
)
from agent.cli.options import Json, operating
from agent.cli.output import show_json
from agent.cli.run import NOT_WELL, WELL, run
from agent.reports.experiment import (
    PRIMARY,
    Comparison,
    MetricName,
    Report,
    report_of,
)
from agent.reports.statistics import Interval, Sample, need_scipy

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
            show_json(_document(found))
        else:
            show_report(found)

        return NOT_WELL if found.split.wrong else WELL

    run(show)


async def figures_of(
    settings: Settings, url: str, name: str, metric: MetricName
) -> Report:
    """The report, read from the replica where there is one, else from `url`."""
    from storage.reports.experiment_figures import experiment_figures

    need_scipy()
    source = await _replica(settings) or url

    return report_of(await experiment_figures(source, name), metric)


def _document(report: Report) -> dict[str, Any]:
    """The whole report, for programs. Shares are of 1, variances of one person; null is
    unknown.
    """
    figures, split = report.figures, report.split

    return {
        "experiment": figures.experiment.name,
        "flag": figures.experiment.flag,
        "started_at": figures.started_at.isoformat(),
        "ended_at": figures.ended_at.isoformat() if figures.ended_at else None,
        "people": {name: group.people for name, group in figures.groups.items()},
        "crossed": figures.crossed,
        "unknown_costs": {
            name: group.unknown_costs for name, group in figures.groups.items()
        },
        "error": split_sentence(split) if split.wrong else None,
        "split": {
            "expected": split.expected,
            "p_value": split.p_value,
            "deviation": split.deviation,
        },
        "detect": figures.experiment.detect,
        "confidence": report.confidence,
        "primary": report.primary.name,
        "control": control_of(report),
        "comparisons": [_compared(comparison) for comparison in report.comparisons],
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    metric = comparison.metric

    return {
        "metric": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "more_is_better": metric.more_is_better,
        "variant": comparison.variant,
        "control_sample": _sample(comparison.control),
        "variant_sample": _sample(comparison.sample),
        "difference": _known(comparison.difference),
        "relative_difference": _known(comparison.relative_difference),
        "sequential_interval": _ends(comparison.sequential),
        "sequential_interval_relative": _ends(comparison.relative),
        "fixed_interval": _ends(comparison.fixed),
        "verdict": comparison.verdict.value if comparison.verdict else None,
        "lacking_people": comparison.lacking,
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {
        "people": sample.count,
        "mean": _known(sample.mean),
        "variance": _known(sample.variance),
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None


def _known(value: float | None) -> float | None:
    """JSON has no nan."""
    return value if value is not None and isfinite(value) else None


async def _replica(settings: Settings) -> str | None:
    """Where reports are read from, if not from the main database. Raises ConfigurationError."""
    from storage.connecting.requirements import check_connection

    if settings.database_replica_url is None:
        return None

    url = settings.database_replica_url.get_secret_value()
    found = await check_connection(url, "DATABASE_REPLICA_URL", replica=True)

    return found.url
