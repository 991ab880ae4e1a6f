"""Which variant of an experiment is shipped, by its report. Pure."""

from __future__ import annotations

from agent.reports.experiment import (
    Report,
    ReportVerdict,
)


def winner_of(
    report: Report,
) -> str | None:
    """The variant that is better than the control by the primary metric; of several, the one
    that differs most. The control, if all others are worse. None: nobody can tell.
    """
    compared = [one for one in report.comparisons if one.metric is report.primary]
    better = [one for one in compared if one.verdict is ReportVerdict.BETTER]
    if better:
        return max(better, key=lambda one: abs(one.difference)).variant

    all_worse = all(one.verdict is ReportVerdict.WORSE for one in compared)

    return report.figures.experiment.variants[0].name if all_worse else None


def why_none(
    report: Report,
) -> str:
    """Why nobody can tell, as one sentence."""
    if report.split.wrong:
        return "The split is wrong, so that the figures say nothing."

    return f"No variant is better by {report.primary.title}."
