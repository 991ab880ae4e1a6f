"""`agent experiments report`: what each variant did for people, for a screen and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import Json, operating
from agent.cli.output import show_json, show_table
from agent.cli.run import NOT_WELL, WELL, run
from agent.reports.experiment import (
    MIN_PEOPLE,
    PRIMARY,
    Comparison,
    Metric,
    MetricName,
    Report,
    ReportVerdict,
    Split,
    report_of,
)
from agent.reports.statistics import Interval, Sample, need_scipy

if TYPE_CHECKING:
    from agent.settings import Settings


def report(
    name: Annotated[
        str, typer.Argument(help="The experiment; `agent experiments list` shows all.")
    ],
    metric: Annotated[
        MetricName,
        typer.Option("--metric", help="What decides; the others are side effects."),
    ] = PRIMARY,
    as_json: Json = False,
) -> None:
    """Compare the variants of an experiment. Look as often as you like. Exit status 1 when
    the split is wrong.
    """

    async def show(settings: Settings) -> int:
        from storage.reports.experiment_figures import experiment_figures

        need_scipy()
        async with operating(settings) as (stores, _):
            url = await _replica(settings) or stores.database.url
            found = report_of(await experiment_figures(url, name), metric)
        if as_json:
            show_json(_document(found))
        else:
            _show(found)
        return NOT_WELL if found.split.wrong else WELL

    run(show)


def _document(report: Report) -> dict[str, Any]:
    """All of it, for programs. Shares are of 1, variances of one person, null is what
    nobody knows.
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
        "control": _control(report),
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
    from storage.postgres import check_connection

    if settings.database_replica_url is None:
        return None
    url = settings.database_replica_url.get_secret_value()
    await check_connection(url, "DATABASE_REPLICA_URL", replica=True)
    return url


def _show(report: Report) -> None:
    if report.split.wrong:
        typer.echo(f"ERROR: {split_sentence(report.split)}\n")
    figures = report.figures
    experiment = figures.experiment
    since = figures.started_at.astimezone().isoformat(" ", "minutes")
    until = (
        f" until {figures.ended_at.astimezone().isoformat(' ', 'minutes')}"
        if figures.ended_at
        else ""
    )
    people = sum(group.people for group in figures.groups.values())
    typer.echo(
        f"{experiment.name} (flag {experiment.flag}), since {since}{until}. People: {people:,}."
    )
    for comparison in report.comparisons:
        if comparison.metric is report.primary and comparison.verdict:
            variants = f"{comparison.variant} compared with {_control(report)}"
            typer.echo(
                f"{report.primary.title}: {variants}: {_said(comparison, report)}."
            )
    typer.echo("")
    headers = (
        "METRIC",
        "VARIANT",
        "PEOPLE",
        "MEAN",
        "DIFFERENCE",
        _confidence(report),
        "VERDICT",
    )
    show_table(headers, list(_rows(report)))
    typer.echo("")
    for sentence in _notes(report):
        typer.echo(sentence)


def split_sentence(split: Split) -> str:
    """What is wrong with how people are spread over the variants."""
    people = sum(split.counts.values())
    shares = ", ".join(
        f"{name} has {split.counts[name]:,} people ({100 * split.counts[name] / people:.1f} %"
        f" instead of {100 * share:.1f} %)"
        for name, share in split.expected.items()
    )
    return (
        f"the split is not the configured one: {shares}; by chance that happens "
        f"with p = {split.p_value:.1g}."
        " The numbers below compare groups that are not alike, so there is no "
        "verdict. Find out what keeps people of"
        " one variant from being recorded, and begin a new experiment."
    )


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    shown: Metric | None = None
    for comparison in report.comparisons:
        metric = comparison.metric
        if metric is not shown:
            title = f"{metric.title} *" if metric is report.primary else metric.title
            yield (
                title,
                _control(report),
                *_mean(comparison.control, metric),
                "",
                "",
                "",
            )
            shown = metric
        yield (
            "",
            comparison.variant,
            *_mean(comparison.sample, metric),
            _difference(comparison),
            _range(comparison),
            _said(comparison, report),
        )


def _notes(report: Report) -> Iterator[str]:
    figures = report.figures
    variants = len(figures.experiment.variants) - 1
    shared = (
        f" The error rate of 5 % is shared among {variants} variants (Bonferroni)."
        if variants > 1
        else ""
    )
    yield (
        "* decides; metrics beside it show side effects, and of many one may "
        f"look different by chance.{shared}"
        " Intervals and verdicts hold however often you look."
    )
    yield (
        f"PEOPLE are those with a value; a verdict needs {MIN_PEOPLE} in each "
        "variant. The interval is of the difference"
        f" relative to {_control(report)}; less than "
        f"{100 * figures.experiment.detect:g} % is not worth knowing here."
    )
    if figures.crossed:
        yield (
            f"Left out: {figures.crossed:,} people seen under several variants "
            "(they linked accounts meanwhile)."
        )
    for name, group in figures.groups.items():
        if group.unknown_costs:
            yield (
                f"Not in the cost of {name}: {group.unknown_costs:,} answers "
                "of unknown price. Add prices to MODELS."
            )


def _said(comparison: Comparison, report: Report) -> str:
    """The verdict in words; none where the split is wrong."""
    match comparison.verdict:
        case ReportVerdict.NO_DIFFERENCE:
            return (
                f"no difference of {100 * report.figures.experiment.detect:g} % or more"
            )
        case ReportVerdict.NOT_YET if comparison.lacking is not None:
            rough = "about" if comparison.sequential else "at least"
            return (
                f"not yet: {rough} {_about(comparison.lacking)} more people per variant"
            )
        case ReportVerdict.NOT_YET if comparison.sequential is None:
            return "not yet: all people are alike"
        case ReportVerdict.NOT_YET:
            return "not yet: nobody can tell how many more people it takes"
        case verdict:
            return verdict.value if verdict else ""


def _about(people: int) -> str:
    """Two digits that count, rounded up: more is not known."""
    step = 10 ** max(len(str(people)) - 2, 0)
    return f"{-(-people // step) * step:,}"


def _control(report: Report) -> str:
    return report.figures.experiment.variants[0].name


def _confidence(report: Report) -> str:
    return f"{100 * report.confidence:.4g} % INTERVAL"


def _mean(sample: Sample, metric: Metric) -> tuple[str, str]:
    return f"{sample.count:,}", _number(sample.mean, metric) if sample.count else "-"


def _difference(comparison: Comparison) -> str:
    if not isfinite(comparison.difference):
        return "-"
    relative = comparison.relative_difference
    said = _number(comparison.difference, comparison.metric, "+").replace("%", "points")
    return said if relative is None else f"{said} ({100 * relative:+z.1f} %)"


def _range(comparison: Comparison) -> str:
    """Relative if it can be, so that it is beside what is worth knowing."""
    if comparison.relative:
        return f"{100 * comparison.relative.low:+z.1f} … {100 * comparison.relative.high:+z.1f} %"
    if comparison.sequential:
        ends = comparison.sequential.low, comparison.sequential.high
        return " … ".join(_number(end, comparison.metric, "+") for end in ends).replace(
            "%", "points"
        )
    return "-"


def _number(value: float, metric: Metric, sign: str = "") -> str:
    match metric.unit:
        case "share":
            return f"{100 * value:{sign}z.1f} %"
        case "ms":
            return f"{value:{sign}z,.0f} ms"
        case "USD":
            return f"{value:{sign}z.6f} USD"
        case _:
            return f"{value:{sign}z,.2f}"
