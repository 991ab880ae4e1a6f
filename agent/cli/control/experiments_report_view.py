"""How the report of an experiment looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import isfinite

from agent.cli.output import show_table, tell
from agent.reports.experiment import (
    MIN_PEOPLE,
    Comparison,
    Metric,
    Report,
    ReportVerdict,
)
from agent.reports.experiment_document import control_of, split_sentence
from agent.reports.statistics import Sample


def show_report(report: Report) -> None:
    if report.split.wrong:
        tell(f"ERROR: {split_sentence(report.split)}\n")
    tell(_summary(report))
    for comparison in report.comparisons:
        if comparison.metric is report.primary and comparison.verdict:
            variants = f"{comparison.variant} compared with {control_of(report)}"
            verdict = _verdict(comparison, report)
            tell(f"{report.primary.title}: {variants}: {verdict}.")

    tell("")
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
    tell("")
    for sentence in _notes(report):
        tell(sentence)


def _summary(report: Report) -> str:
    """What ran, since when, and how many people took part."""
    figures = report.figures
    experiment = figures.experiment
    since = _minutes(figures.started_at)
    until = f" until {_minutes(figures.ended_at)}" if figures.ended_at else ""
    people = sum(group.people for group in figures.groups.values())

    return (
        f"{experiment.name} (flag {experiment.flag}), since {since}{until}. "
        f"People: {people:,}."
    )


def _minutes(at: datetime) -> str:
    return at.astimezone().isoformat(" ", "minutes")


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    shown: Metric | None = None
    for comparison in report.comparisons:
        metric = comparison.metric
        if metric is not shown:
            title = f"{metric.title} *" if metric is report.primary else metric.title
            yield (
                title,
                control_of(report),
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
            _verdict(comparison, report),
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
        "* decides; the other metrics show side effects, and of many one may look "
        f"different by chance.{shared} Intervals and verdicts hold however often you look."
    )

    detect = f"{100 * figures.experiment.detect:g} %"
    yield (
        f"PEOPLE are those with a value; a verdict needs {MIN_PEOPLE} in each variant. "
        f"The interval is of the difference relative to {control_of(report)}; "
        f"less than {detect} is not worth knowing here."
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


def _verdict(comparison: Comparison, report: Report) -> str:
    """The verdict in words; "" where the split is wrong."""
    match comparison.verdict:
        case ReportVerdict.NO_DIFFERENCE:
            detect = f"{100 * report.figures.experiment.detect:g} %"
            return f"no difference of {detect} or more"
        case ReportVerdict.NOT_YET if comparison.lacking is not None:
            rough = "about" if comparison.sequential else "at least"
            people = _about(comparison.lacking)
            return f"not yet: {rough} {people} more people per variant"
        case ReportVerdict.NOT_YET if comparison.sequential is None:
            return "not yet: all people are alike"
        case ReportVerdict.NOT_YET:
            return "not yet: nobody can tell how many more people it takes"
        case verdict:
            return verdict.value if verdict else ""


def _about(people: int) -> str:
    """Rounded up to two significant digits: more is not known."""
    step = 10 ** max(len(str(people)) - 2, 0)

    return f"{-(-people // step) * step:,}"


def _confidence(report: Report) -> str:
    return f"{100 * report.confidence:.4g} % INTERVAL"


def _mean(sample: Sample, metric: Metric) -> tuple[str, str]:
    return f"{sample.count:,}", _number(sample.mean, metric) if sample.count else "-"


def _difference(comparison: Comparison) -> str:
    if not isfinite(comparison.difference):
        return "-"

    number = _number(comparison.difference, comparison.metric, "+")
    absolute = number.replace("%", "points")
    relative = comparison.relative_difference

    return absolute if relative is None else f"{absolute} ({100 * relative:+z.1f} %)"


def _range(comparison: Comparison) -> str:
    """The interval; relative if possible, to be compared with what is worth knowing."""
    if relative := comparison.relative:
        return f"{100 * relative.low:+z.1f} … {100 * relative.high:+z.1f} %"
    if interval := comparison.sequential:
        low = _number(interval.low, comparison.metric, "+")
        high = _number(interval.high, comparison.metric, "+")
        return f"{low} … {high}".replace("%", "points")

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
