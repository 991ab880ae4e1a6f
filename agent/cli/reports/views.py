"""Reports as records, for every way in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import typer

from agent.cli.output import show_json, show_table, tell
from agent.cli.reports.options import Wanted
from agent.core.text import visible
from agent.reports.export import Record, to_csv, to_parquet, write
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


@dataclass(frozen=True, slots=True)
class View:
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
    notes: Sequence[str] = field(default=())


def most_first(lines: Sequence[Line], amount: str) -> list[Line]:
    """Within each period, the line with the largest amount comes first."""

    def key(line: Line) -> tuple[float, Decimal]:
        begun = line.period.timestamp() if line.period else 0.0

        return begun, -Decimal(getattr(line, amount))

    return sorted(lines, key=key)


def record_of(line: Line, names: Sequence[str], called: Mapping[str, str]) -> Record:
    """What these columns say of a line."""
    special = {
        "period": line.period,
        "cost_usd": line.known_cost,
        "model": line.subject or None,
        "person": line.subject or None,
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


def show(view: View, wanted: Wanted) -> None:
    """As asked for: files, and a document or a table."""
    if wanted.csv:
        write(wanted.csv, to_csv(view.names, view.records))
    if wanted.parquet:
        write(wanted.parquet, to_parquet(view.names, view.records))
    if wanted.plot:
        write(wanted.plot, _picture(view).encode())

    if wanted.as_json:
        show_json(_document(view))
    else:
        _show_table(view)


def _document(view: View) -> dict[str, Any]:
    return {
        "report": view.name,
        "since": view.scope.since.isoformat(),
        "until": view.scope.until.isoformat(),
        "by": view.scope.unit,
        "counted_until": view.counted_until.isoformat(),
        "lines": [_plain(record) for record in view.records],
        "total": _plain(view.total) if view.total else None,
        "forecast": _forecast_document(view.forecast),
    }


def _plain(record: Record) -> dict[str, Any]:
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else str(value)
        if isinstance(value, Decimal)
        else value
        for name, value in record.items()
    }


def _forecast_document(found: Forecast | None) -> dict[str, Any] | None:
    if found is None:
        return None

    return {
        "month_end": found.month_end.isoformat(),
        "so_far": str(found.so_far),
        "expected": str(found.expected),
        "low": str(found.low),
        "high": str(found.high),
        "days": found.days,
    }


def _show_table(view: View) -> None:
    scope = view.scope
    typer.echo(
        f"{view.name}, {scope.since:%Y-%m-%d %H:%M} to {scope.until:%Y-%m-%d %H:%M} UTC"
    )
    if not view.records:
        tell("\n".join(["Nothing happened in this time.", *view.notes]))
        return

    names = [name for name in view.names if name not in HIDDEN]
    titles = [TITLES.get(name, name.upper()) for name in names]
    totals = [view.total] if view.total and len(view.records) > 1 else []
    rows = [_cells(record, names, scope.unit) for record in view.records]
    rows += [["all", *_cells(total, names, None)[1:]] for total in totals]
    show_table(titles, rows)
    for note in view.notes:
        tell(note)


def _cells(record: Record, names: Sequence[str], unit: str | None) -> list[str]:
    return [_cell(name, record, unit) for name in names]


def _cell(name: str, record: Record, unit: str | None) -> str:
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


def _picture(view: View) -> str:
    bars = [
        Bar(_label(view, record), _number(record[view.plotted]))
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
        _cell(name, record, view.scope.unit)
        for name in ("begun", "period", "model", "name")
        if name in view.names
    ]

    return " ".join(parts)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
