"""How reports are shown on the screen, as documents and as files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer

from agent.cli.output import show_json, show_table, tell
from agent.cli.reports.options import Wanted
from agent.reports.export import Record, to_csv, to_parquet, write
from agent.reports.forecast import Forecast
from agent.reports.table import HIDDEN, TITLES, View, cell_of, picture_of


def show(view: View, wanted: Wanted) -> None:
    """As asked for: files, and a document or a table."""
    if wanted.csv:
        write(wanted.csv, to_csv(view.names, view.records))
    if wanted.parquet:
        write(wanted.parquet, to_parquet(view.names, view.records))
    if wanted.plot:
        write(wanted.plot, picture_of(view).encode())

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
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in record.items()
    }


def _forecast_document(found: Forecast | None) -> dict[str, Any] | None:
    if found is None:
        return None

    return {
        "month_end": found.month_end.isoformat(),
        "so_far": found.so_far,
        "expected": found.expected,
        "low": found.low,
        "high": found.high,
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
    return [cell_of(name, record, unit) for name in names]
