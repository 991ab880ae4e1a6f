"""The report of an experiment in words: the same on a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from agent.reports.experiment import (
    MIN_PEOPLE,
    Comparison,
    Metric,
    Report,
    ReportVerdict,
)
from agent.reports.experiment_document import control_of
from agent.reports.statistics import Sample


def notes_text(report: Report) -> Iterator[str]:
    """What a reader has to know, in sentences; the first begins with the mark of the metric
    that decides.
    """
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
        f"People are those with a value; a verdict needs {MIN_PEOPLE} in each variant. "
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


def verdict_text(comparison: Comparison, report: Report) -> str:
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


def confidence_text(report: Report) -> str:
    """How sure each interval is."""
    return f"{100 * report.confidence:.4g} %"


def mean_text(sample: Sample, metric: Metric) -> tuple[str, str]:
    """The number of people, and their mean."""
    return f"{sample.count:,}", _number(sample.mean, metric) if sample.count else "-"


def difference_text(comparison: Comparison) -> str:
    """Absolute and, if possible, relative."""
    if not isfinite(comparison.difference):
        return "-"

    number = _number(comparison.difference, comparison.metric, "+")
    absolute = number.replace("%", "points")
    relative = comparison.relative_difference

    return absolute if relative is None else f"{absolute} ({100 * relative:+z.1f} %)"


def interval_text(comparison: Comparison) -> str:
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
