"""Reports as records and pictures, for every way in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct

from agent.core.text import visible
from agent.reports.export import Record
from agent.reports.forecast import Forecast
from agent.reports.plot import Bar, svg_plot
from agent.reports.usage import Cohort, Latency, Line, Scope, cost_text

TITLES = {
    "prompt_tokens": "READ",
    "cached_tokens": "CACHED",
    "tokens": "WRITTEN",
    "cost_usd": "COST",
    "thumbs_up": "UP",
    "thumbs_down": "DOWN",
}
"""Of columns whose title is not their name."""

HIDDEN = {"unpriced", "person"}
"""In documents and files only: the table says it otherwise."""


class Report(Struct, frozen=True):
    """What a report shows."""

    name: str
    columns: Sequence[str]
    plotted: str
    """The column that a picture shows."""


USED = ("prompt_tokens", "cached_tokens", "tokens", "cost_usd", "unpriced")
THUMBS = ("thumbs_up", "thumbs_down")
COUNTED = ("people", "messages", "answers", "failures")

USAGE = Report("usage", (*COUNTED, "retries", *USED, *THUMBS), "messages")
COST = Report("cost", ("answers", "estimated", *USED), "cost_usd")
MODELS = Report("models", ("model", "answers", "failures", *USED, *THUMBS), "answers")
CHANNELS = Report("channels", ("channel", *COUNTED, *USED, *THUMBS), "messages")
PEOPLE = Report(
    "people", ("name", "person", "messages", "answers", *USED), "messages"
)
VARIANTS = Report(
    "variants", ("variant", "people", "answers", "failures", *USED), "cost_usd"
)


class View(Struct, frozen=True):
    """A report that is ready to be shown."""

    name: str
    scope: Scope
    counted_until: datetime
    names: Sequence[str]
    records: Sequence[Record]
    plotted: str
    """The column that a picture shows."""
    total: Record | None = None
    forecast: Forecast | None = None
    notes: Sequence[str] = ()
    left_out: int = 0
    """Lines that were found and are not among the records."""


def most_first(lines: Sequence[Line], amount: str) -> list[Line]:
    """Within each period, the line with the largest amount comes first."""

    def key(line: Line) -> tuple[float, Decimal]:
        begun = line.period.timestamp() if line.period else 0.0

        return begun, -Decimal(getattr(line, amount))

    return sorted(lines, key=key)


def record_of(line: Line, names: Sequence[str], called: Mapping[str, str]) -> Record:
    """What these columns say of a line."""
    subject = line.subject or None
    special = {
        "period": line.period,
        "cost_usd": line.known_cost,
        "model": subject,
        "channel": subject,
        "variant": subject,
        "person": subject,
        "name": called.get(line.subject),
    }

    return {
        name: special[name] if name in special else getattr(line, name)
        for name in names
    }


def latency_record(line: Latency) -> Record:
    return {
        "period": line.period,
        "model": line.subject or None,
        "answers": line.answers,
        "p50": line.p50,
        "p90": line.p90,
        "p95": line.p95,
        "p99": line.p99,
        "longest": line.longest,
    }


def cohort_records(cohorts: Sequence[Cohort]) -> list[Record]:
    """The first period is the cohort itself, of which everybody is part."""
    return [
        {
            "begun": cohort.begun,
            "period": period,
            "people": people,
            "share": people / cohort.people,
        }
        for cohort in cohorts
        for period, people in [(cohort.begun, cohort.people), *cohort.returned]
    ]


def cell_of(name: str, record: Record, unit: str | None) -> str:
    """What one column of a line says, for people."""
    value = record.get(name)
    if name == "cost_usd":
        return cost_text(value, record["unpriced"])
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}" if unit == "hour" else f"{value:%Y-%m-%d}"
    if isinstance(value, float):
        return f"{value:.0%}"
    if isinstance(value, int):
        return f"{value:,}"

    return visible(value) if value else "not known"


def picture_of(view: View) -> str:
    """Its plotted column as an SVG."""
    bars = [
        Bar(_label(view, record), _number(record[view.plotted]), _note(view, record))
        for record in view.records
    ]
    title = TITLES.get(view.plotted, view.plotted).lower()
    unit = {"cost_usd": "US dollars", "p95": "ms"}.get(view.plotted, title)

    return svg_plot(
        f"{view.name}: {title}, {view.scope.since:%Y-%m-%d} to {view.scope.until:%Y-%m-%d}",
        unit,
        bars,
    )


def _label(view: View, record: Record) -> str:
    parts = [
        cell_of(name, record, view.scope.unit)
        for name in ("begun", "period", "model", "channel", "variant", "name")
        if name in view.names
    ]

    return " ".join(parts)


def _note(view: View, record: Record) -> str:
    """A sum of costs says what it leaves out."""
    if view.plotted != "cost_usd" or not record["unpriced"]:
        return ""

    return f" and {record['unpriced']} of unknown price"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
