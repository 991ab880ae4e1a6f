"""The report of an experiment as a document, for programs."""

from __future__ import annotations

from math import isfinite
from typing import Any

from agent.reports.experiment import Comparison, Report, Split
from agent.reports.statistics import Interval, Sample


def document_of(report: Report) -> dict[str, Any]:
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


def split_sentence(split: Split) -> str:
    """What is wrong with how people are spread over the variants."""
    people = sum(split.counts.values())
    shares = ", ".join(
        f"{name} has {split.counts[name]:,} people ({100 * split.counts[name] / people:.1f} %"
        f" instead of {100 * share:.1f} %)"
        for name, share in split.expected.items()
    )

    return (
        f"the split is not the configured one: {shares}; by chance that happens with "
        f"p = {split.p_value:.1g}. The numbers below compare groups that are not alike, "
        "so there is no verdict. Find out what keeps people of one variant from being "
        "recorded, and begin a new experiment."
    )


def control_of(report: Report) -> str:
    """The name of the variant that the others are compared with."""
    return report.figures.experiment.variants[0].name
