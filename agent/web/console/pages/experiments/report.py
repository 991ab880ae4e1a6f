"""`/experiments/<name>/report`: what each variant did for people, renewed while it runs."""

from __future__ import annotations

from collections.abc import (
    Iterator,
    Mapping,
)
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from agent.control.experiments import Stage
from agent.core.errors import (
    ConfigurationError,
    Rejected,
)
from agent.reports.experiment import (
    METRICS,
    PRIMARY,
    Comparison,
    MetricName,
    Report,
    ReportVerdict,
)
from agent.reports.experiment_document import (
    control_of,
    split_sentence,
)
from agent.reports.winner import winner_of
from agent.reports.wording import (
    confidence_text,
    difference_text,
    interval_text,
    mean_text,
    notes_text,
    verdict_text,
)
from agent.web.console.errors import described
from agent.web.console.page import PageContext
from agent.web.console.pages.experiments.one import found
from agent.web.console.pages.experiments.plot import (
    Row,
    plot_of,
)
from storage.reports.experiment_figures import experiment_report


class Figure(Struct, frozen=True):
    """A line of the table: a variant in one metric."""

    metric: str
    """Empty where it is that of the line above."""
    variant: str
    people: str
    mean: str
    difference: str = ""
    interval: str = ""
    verdict: str = ""
    mark: str = ""
    """How the verdict looks; the word stands beside it."""


MARKS: Mapping[ReportVerdict | None, str] = {
    ReportVerdict.BETTER: "good",
    ReportVerdict.WORSE: "bad",
}


async def show(
    context: PageContext,
) -> Response:
    """Without scipy, and before the first answer, it says so."""
    name = context.address["name"]
    view = await found(context, name)
    metric = metric_of(context.query["metric"])
    services = context.services
    shown: dict[str, Any] = {
        "name": name,
        "metric": metric,
        "metrics": METRICS,
        "is_within": context.query["within"] == "yes",
        "is_live": view.stage is Stage.RUNNING,
    }

    try:
        url = services.stores.database.url
        report = await experiment_report(
            services.settings,
            url,
            name,
            metric,
        )
    except (Rejected, ConfigurationError) as error:
        problem = described(error)
        return context.render(
            "experiments/no_report.html",
            problem=problem,
            **shown,
        )

    return context.render(
        "experiments/report.html",
        **shown,
        **_values(report),
    )


def metric_of(
    typed: str,
) -> MetricName:
    """The one that is meant; another name means the usual one."""
    return next((name for name in METRICS if name == typed), PRIMARY)


def _values(
    report: Report,
) -> dict[str, Any]:
    figures, split = report.figures, report.split
    primary = [one for one in report.comparisons if one.metric is report.primary]
    detect = figures.experiment.detect
    rows = [_row(one, report) for one in primary]

    return {
        "report": report,
        "error": split_sentence(split) if split.wrong else "",
        "control": control_of(report),
        "people": sum(group.people for group in figures.groups.values()),
        "verdicts": [(one.variant, verdict_text(one, report)) for one in primary],
        "winner": winner_of(report),
        "figures": [*_figures(report)],
        "plot": plot_of(rows, detect),
        "detect": f"{100 * detect:g} %",
        "confidence": confidence_text(report),
        "notes": [*notes_text(report)],
    }


def _row(
    one: Comparison,
    report: Report,
) -> Row:
    """A line of the plot."""
    relative = one.relative
    label = f"{one.variant}: {verdict_text(one, report) or 'no verdict'}"
    mark = MARKS.get(one.verdict, "")
    ends = (relative.low, relative.high) if relative else None

    return Row(
        label,
        mark,
        one.relative_difference,
        ends,
        interval_text(one),
    )


def _figures(
    report: Report,
) -> Iterator[Figure]:
    """As `agent experiments report` shows them: the control before each metric's variants."""
    shown = None
    for one in report.comparisons:
        metric = one.metric
        if metric is not shown:
            shown = metric
            title = f"{metric.title} *" if metric is report.primary else metric.title
            yield Figure(
                title,
                control_of(report),
                *mean_text(one.control, metric),
            )

        yield Figure(
            "",
            one.variant,
            *mean_text(one.sample, metric),
            difference_text(one),
            interval_text(one),
            verdict_text(one, report),
            MARKS.get(one.verdict, ""),
        )
