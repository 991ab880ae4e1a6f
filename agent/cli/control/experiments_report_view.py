"""How the report of an experiment looks on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agent.cli.output import show_table, tell
from agent.reports.experiment import Metric, Report
from agent.reports.experiment_document import control_of, split_sentence
from agent.reports.wording import (
    confidence_text,
    difference_text,
    interval_text,
    mean_text,
    notes_text,
    verdict_text,
)


def show_report(report: Report) -> None:
    if report.split.wrong:
        tell(f"ERROR: {split_sentence(report.split)}\n")
    tell(_summary(report))
    for comparison in report.comparisons:
        if comparison.metric is report.primary and comparison.verdict:
            variants = f"{comparison.variant} compared with {control_of(report)}"
            verdict = verdict_text(comparison, report)
            tell(f"{report.primary.title}: {variants}: {verdict}.")

    tell("")
    headers = (
        "METRIC",
        "VARIANT",
        "PEOPLE",
        "MEAN",
        "DIFFERENCE",
        f"{confidence_text(report)} INTERVAL",
        "VERDICT",
    )
    show_table(headers, list(_rows(report)))
    tell("")
    for sentence in notes_text(report):
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
                *mean_text(comparison.control, metric),
                "",
                "",
                "",
            )
            shown = metric

        yield (
            "",
            comparison.variant,
            *mean_text(comparison.sample, metric),
            difference_text(comparison),
            interval_text(comparison),
            verdict_text(comparison, report),
        )
